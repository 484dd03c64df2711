//! The two directions of a connection, each with its buffer.
//!
//! All waiting here can be given up at any time without losing a byte: what was read is in the buffer, and what was
//! written is counted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::server::TlsStream;

use crate::tls::Tls;

use crate::wire::frontend::{self, ProtocolError, Startup};

/// What a client may send ahead while a statement runs; beyond it we stop reading.
const READ_AHEAD_BYTES: usize = 1 << 20;
/// A message of a client that has not logged in yet, at most.
const STARTUP_BYTES_MAX: usize = 64 << 10;

/// A connection while it is not clear yet what it will be.
pub struct Wire {
    pub input: Input,
    pub output: Output,
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// What a login can be bound to.
    pub end_point: Option<Arc<[u8]>>,
}

impl Wire {
    pub fn new(
        stream: TcpStream,
        peer: SocketAddr,
        message_bytes_max: usize,
        write_timeout: Duration,
    ) -> Self {
        let (read, write) = stream.into_split();
        Wire {
            input: Input::new(Reader::Plain(read), message_bytes_max),
            output: Output::new(Writer::Plain(write), write_timeout),
            peer,
            encrypted: false,
            end_point: None,
        }
    }

    /// Goes on by TLS. Nothing that came before may still be in the buffer.
    pub async fn encrypt(&mut self, tls: &Tls) -> io::Result<()> {
        let read = std::mem::replace(&mut self.input.read, Reader::Gone);
        let write = std::mem::replace(&mut self.output.write, Writer::Gone);
        let (Reader::Plain(read), Writer::Plain(write)) = (read, write) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let stream = read
            .reunite(write)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let stream = tls.acceptor().accept(stream).await?;
        let (read, write) = tokio::io::split(stream);
        self.input.read = Reader::Tls(read);
        self.output.write = Writer::Tls(write);
        self.encrypted = true;
        self.end_point = tls.end_point();
        Ok(())
    }
}

/// Where bytes come from.
enum Reader {
    Plain(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
    /// A handshake failed, or is going on.
    Gone,
}

/// Where bytes go.
enum Writer {
    Plain(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
    Gone,
}

impl Reader {
    async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Reader::Plain(read) => read.read_buf(buffer).await,
            Reader::Tls(read) => read.read_buf(buffer).await,
            Reader::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Writer {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Writer::Plain(write) => write.write(bytes).await,
            Writer::Tls(write) => write.write(bytes).await,
            Writer::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Sends what the encryption holds back.
    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Writer::Plain(_) | Writer::Gone => Ok(()),
            Writer::Tls(write) => write.flush().await,
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Writer::Plain(write) => write.shutdown().await,
            Writer::Tls(write) => write.shutdown().await,
            Writer::Gone => Ok(()),
        }
    }
}

/// What comes in.
pub struct Input {
    read: Reader,
    buffer: BytesMut,
    message_bytes_max: usize,
}

/// Why no message came.
#[derive(Debug)]
pub enum ReadError {
    /// The client closed the connection.
    Closed,
    Protocol(ProtocolError),
}

impl From<ReadError> for crate::failure::Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Disconnected,
            ReadError::Protocol(error) => error.into(),
        }
    }
}

impl Input {
    fn new(read: Reader, message_bytes_max: usize) -> Self {
        Input {
            read,
            buffer: BytesMut::with_capacity(8192),
            message_bytes_max,
        }
    }

    /// The first message.
    pub async fn startup(&mut self) -> Result<Startup, ReadError> {
        loop {
            let found = frontend::take_startup(&mut self.buffer, STARTUP_BYTES_MAX);
            if let Some(startup) = found.map_err(ReadError::Protocol)? {
                return Ok(startup);
            }
            self.fill().await?;
        }
    }

    /// The next message of a client that logs in.
    pub async fn login_message(&mut self) -> Result<Bytes, ReadError> {
        loop {
            let found = frontend::take_login_message(&mut self.buffer, STARTUP_BYTES_MAX);
            if let Some(message) = found.map_err(ReadError::Protocol)? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    /// Whether bytes have come that nobody has asked for yet.
    pub fn has_bytes(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next message, if it has come already.
    pub fn ready_frame(&mut self) -> Result<Option<(u8, Bytes)>, ReadError> {
        frontend::take_frame(&mut self.buffer, self.message_bytes_max).map_err(ReadError::Protocol)
    }

    /// The next message.
    pub async fn frame(&mut self) -> Result<(u8, Bytes), ReadError> {
        loop {
            if let Some(frame) = self.ready_frame()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Waits until the client is gone, taking in what it sends ahead.
    pub async fn closed(&mut self) {
        loop {
            if self.buffer.len() >= READ_AHEAD_BYTES {
                // It still has much to say. Should it go now, writing to it will tell.
                return std::future::pending().await;
            }
            if self.fill().await.is_err() {
                return;
            }
        }
    }

    async fn fill(&mut self) -> Result<(), ReadError> {
        self.buffer.reserve(8192);
        match self.read.read(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(ReadError::Closed),
            Ok(_) => Ok(()),
        }
    }
}

/// What goes out.
pub struct Output {
    write: Writer,
    /// Whole messages, except that the first `sent` bytes are gone already.
    pub buffer: Vec<u8>,
    sent: usize,
    timeout: Duration,
}

impl Output {
    fn new(write: Writer, timeout: Duration) -> Self {
        Output {
            write,
            buffer: Vec::with_capacity(8192),
            sent: 0,
            timeout,
        }
    }

    /// Sends everything. Fails when the client takes nothing for too long.
    pub async fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.buffer.len() {
            let written =
                tokio::time::timeout(self.timeout, self.write.write(&self.buffer[self.sent..]))
                    .await
                    .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.sent += written;
        }
        tokio::time::timeout(self.timeout, self.write.flush())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.sent = 0;
        self.buffer.clear();
        // One large row must not keep its memory for the rest of the session.
        if self.buffer.capacity() > 1 << 20 {
            self.buffer = Vec::with_capacity(64 << 10);
        }
        Ok(())
    }

    /// Sends a single byte, outside of any message.
    pub async fn send_byte(&mut self, byte: u8) -> io::Result<()> {
        self.buffer.push(byte);
        self.flush().await
    }

    /// Bytes that wait to be sent.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.sent
    }

    pub async fn shutdown(&mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.write.shutdown()).await;
    }
}
