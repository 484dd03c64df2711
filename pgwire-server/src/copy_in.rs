//! `COPY … FROM STDIN`: bytes from the client to the engine.

use bytes::{Bytes, BytesMut};
use engine::response::CopyIn;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::guard::Guard;
use crate::sqlstate;
use crate::wire::backend;
use crate::wire::frontend::{self, Message};

/// Clients send a line a message; so much of it is handed on together.
const PIECE_BYTES: usize = 256 << 10;

impl Connection {
    /// Takes data until the client ends it; gives the number of rows.
    pub async fn copy_in(
        &mut self,
        mut copy: Box<dyn CopyIn>,
        guard: &Guard,
    ) -> Result<u64, Failure> {
        backend::copy_response(&mut self.output.buffer, b'G', copy.columns().fields().len());
        guard.run(&mut self.input, self.output.flush()).await??;
        let mut gathered = BytesMut::new();
        loop {
            let frame = match self.input.ready_frame()? {
                Some(frame) => frame,
                None => {
                    // Nothing more has come yet: what there is need not wait for it.
                    self.copy_write(&mut copy, gathered.split().freeze(), guard)
                        .await?;
                    guard.run_reading(self.input.frame()).await??
                }
            };
            match frontend::decode(frame.0, frame.1)? {
                Message::CopyData(data) if gathered.is_empty() && data.len() >= PIECE_BYTES => {
                    self.copy_write(&mut copy, data, guard).await?;
                }
                Message::CopyData(data) => {
                    gathered.extend_from_slice(&data);
                    if gathered.len() >= PIECE_BYTES {
                        self.copy_write(&mut copy, gathered.split().freeze(), guard)
                            .await?;
                    }
                }
                Message::CopyDone => {
                    self.copy_write(&mut copy, gathered.split().freeze(), guard)
                        .await?;
                    return Ok(guard.run(&mut self.input, copy.finish()).await??);
                }
                Message::CopyFail(reason) => {
                    return Connection::refuse(
                        sqlstate::QUERY_CANCELED,
                        format!("COPY from stdin failed: {reason}"),
                    );
                }
                // Clients may send these without knowing whether a COPY has begun.
                Message::Flush | Message::Sync => {}
                Message::Terminate => return Err(Failure::Disconnected),
                _ => {
                    return Connection::refuse(
                        sqlstate::PROTOCOL_VIOLATION,
                        "unexpected message type during COPY from stdin",
                    );
                }
            }
        }
    }

    async fn copy_write(
        &mut self,
        copy: &mut Box<dyn CopyIn>,
        data: Bytes,
        guard: &Guard,
    ) -> Result<(), Failure> {
        if !data.is_empty() {
            guard.run(&mut self.input, copy.write(data)).await??;
        }
        Ok(())
    }
}
