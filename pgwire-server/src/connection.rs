//! One connection: its start, its loop over messages, its end.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use engine::Session;
use engine::auth::OWNER;
use engine::formats::Zone;
use engine::response::TransactionStatus;
use futures::FutureExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::cancel::CancelHandle;
use crate::extended::{Portal, Prepared};
use crate::failure::{Failure, Report, write_notice};
use crate::guard::{Guard, panicked};
use crate::login::authenticate;
use crate::server::Server;
use crate::socket::{Input, Output, Wire};
use crate::sqlstate;
use crate::startup::{Opening, negotiate};
use crate::wire::backend;
use crate::wire::frontend::{self, Message};

/// A client's connection once its session has begun.
pub struct Connection {
    pub server: Arc<Server>,
    pub input: Input,
    pub output: Output,
    pub session: Session,
    pub cancel: CancelHandle,
    pub prepared: HashMap<String, Arc<Prepared>>,
    pub portals: HashMap<String, Portal>,
    /// The session's `TimeZone`.
    pub zone: Zone,
    /// After an error in the extended protocol everything is skipped up to the next Sync.
    pub skip_to_sync: bool,
}

/// Serves one connection to its end.
pub async fn run(stream: TcpStream, server: Arc<Server>) {
    let _ = stream.set_nodelay(true);
    let Ok(peer) = stream.peer_addr() else {
        return;
    };
    let config = &server.config;
    let mut wire = Wire::new(stream, peer, config.message_bytes_max, config.write_timeout);
    let opening = tokio::select! {
        biased;
        () = server.shutdown.cancelled() => Err(Failure::Disconnected),
        opening = tokio::time::timeout(config.startup_timeout, open(&mut wire, &server)) => {
            opening.unwrap_or(Err(Failure::Disconnected))
        }
    };
    let Wire { input, output, .. } = wire;
    let mut parameters = match opening {
        Ok(Opening::Cancel { process, secret }) => return server.cancels.cancel(process, &secret),
        Ok(Opening::Session(parameters)) => parameters,
        Err(failure) => return end(output, failure).await,
    };
    let _slot = match server.admit(&parameters) {
        Ok(slot) => slot,
        Err(report) => return end(output, Failure::Session(Box::new(report))).await,
    };
    let cancel = server.cancels.register();
    parameters.process = cancel.process();
    let session =
        match std::panic::catch_unwind(AssertUnwindSafe(|| server.engine.session(parameters))) {
            Ok(session) => session,
            Err(panic) => return end(output, panicked(panic.as_ref())).await,
        };
    let mut connection = Connection {
        cancel,
        server,
        input,
        output,
        session,
        prepared: HashMap::new(),
        portals: HashMap::new(),
        zone: Zone::UTC,
        skip_to_sync: false,
    };
    connection.greet();
    let result = AssertUnwindSafe(connection.messages()).catch_unwind().await;
    let failure = match result {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => failure,
        Err(panic) => panicked(panic.as_ref()),
    };
    end(connection.output, failure).await;
}

/// Finds out what the client wants, and who it is.
async fn open(wire: &mut Wire, server: &Server) -> Result<Opening, Failure> {
    let mut opening = negotiate(wire, &server.config).await?;
    if let Opening::Session(parameters) = &mut opening {
        if server.config.tls_required && !wire.encrypted {
            let report = Report::new(
                sqlstate::INVALID_AUTHORIZATION,
                "the server accepts encrypted connections only",
            )
            .with_hint("Connect with sslmode=require, or a stricter mode.");
            return Err(Failure::Session(Box::new(report)));
        }
        if parameters.user == OWNER || server.engine.asks_for_passwords() {
            authenticate(&server.engine, wire, &parameters.user).await?;
            parameters.authenticated = true;
        }
    }
    Ok(opening)
}

/// Tells the client why the connection ends, and ends it.
async fn end(mut output: Output, failure: Failure) {
    if let Failure::Session(report) | Failure::Statement(report) = failure {
        report.write(&mut output.buffer, "FATAL");
        let _ = output.flush().await;
        output.shutdown().await;
    }
}

impl Connection {
    /// The server's part of the start: settings, the key for cancel requests, and that it is ready.
    fn greet(&mut self) {
        let out = &mut self.output.buffer;
        backend::authentication_ok(out);
        let version = concat!("16.0 (Millpond ", env!("CARGO_PKG_VERSION"), ")");
        let mut settings: BTreeMap<String, String> = [
            ("server_version", version),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", "UTC"),
            ("integer_datetimes", "on"),
            ("standard_conforming_strings", "on"),
            ("in_hot_standby", "off"),
            ("default_transaction_read_only", "off"),
            ("application_name", ""),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        for (name, value) in self.session.take_reported_settings() {
            // Settings are one whatever the case of their names.
            settings.retain(|known, _| *known == name || !known.eq_ignore_ascii_case(&name));
            settings.insert(name, value);
        }
        for (name, value) in &settings {
            backend::parameter_status(out, name, value);
            if name.eq_ignore_ascii_case("timezone") {
                self.zone = Zone::parse(value).unwrap_or(Zone::UTC);
            }
        }
        backend::backend_key_data(out, self.cancel.process(), self.cancel.secret());
        self.send_notices();
        self.ready();
    }

    /// Handles messages until the client ends the session, or something else does.
    async fn messages(&mut self) -> Result<(), Failure> {
        self.output.flush().await?;
        loop {
            let (kind, body) = self.next_frame().await?;
            let message = match frontend::decode(kind, body) {
                Ok(message) => message,
                Err(error) => {
                    self.fail(error.into(), kind != b'Q').await?;
                    continue;
                }
            };
            match message {
                Message::Terminate => return Ok(()),
                Message::Sync => {
                    self.skip_to_sync = false;
                    self.sync();
                    self.output.flush().await?;
                }
                _ if self.skip_to_sync => {}
                Message::Query(text) => {
                    if let Err(failure) = self.simple_query(&text).await {
                        self.fail(failure, false).await?;
                    } else {
                        self.ready();
                        self.output.flush().await?;
                    }
                }
                Message::Flush => self.output.flush().await?,
                // What a client was still sending when its COPY failed.
                Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => {}
                extended => {
                    if let Err(failure) = self.extended(extended).await {
                        self.fail(failure, true).await?;
                    }
                }
            }
        }
    }

    /// The next message; waits no longer than the session may be idle.
    async fn next_frame(&mut self) -> Result<(u8, bytes::Bytes), Failure> {
        if let Some(frame) = self.input.ready_frame()? {
            return Ok(frame);
        }
        let idle = self.session.idle_timeout();
        let deadline = async {
            match idle {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.server.shutdown.cancelled() => Err(engine::Error::ShuttingDown.into()),
            frame = self.input.frame() => Ok(frame?),
            () = deadline => Err(match self.session.transaction_status() {
                TransactionStatus::Idle => Failure::session(
                    sqlstate::IDLE_SESSION_TIMEOUT,
                    "terminating connection due to idle-session timeout",
                ),
                TransactionStatus::InTransaction | TransactionStatus::Failed => Failure::session(
                    sqlstate::IDLE_IN_TRANSACTION_TIMEOUT,
                    "terminating connection due to idle-in-transaction timeout",
                ),
            }),
        }
    }

    /// Reports a failed statement and makes the session ready for the next; passes on what ends the connection.
    async fn fail(&mut self, failure: Failure, extended: bool) -> Result<(), Failure> {
        self.cancel.end();
        let Failure::Statement(report) = failure else {
            return Err(failure);
        };
        self.session.fail_transaction();
        self.send_notices();
        self.report_settings();
        report.write(&mut self.output.buffer, "ERROR");
        if extended {
            self.skip_to_sync = true;
        } else {
            self.ready();
        }
        self.output.flush().await?;
        Ok(())
    }

    /// The end of an implicit transaction closes its portals.
    fn sync(&mut self) {
        if self.session.transaction_status() == TransactionStatus::Idle {
            self.portals.clear();
        }
        self.ready();
    }

    fn ready(&mut self) {
        self.report_settings();
        backend::ready_for_query(&mut self.output.buffer, self.session.transaction_status());
    }

    /// Passes on the session's notices.
    pub fn send_notices(&mut self) {
        for notice in self.session.take_notices() {
            write_notice(&mut self.output.buffer, &notice);
        }
    }

    /// Tells the client of settings that have changed, and takes note of its time zone.
    pub fn report_settings(&mut self) {
        for (name, value) in self.session.take_reported_settings() {
            backend::parameter_status(&mut self.output.buffer, &name, &value);
            if name.eq_ignore_ascii_case("timezone") {
                self.zone = Zone::parse(&value).unwrap_or(Zone::UTC);
            }
        }
    }

    /// What watches over a statement that begins now.
    pub fn guard(&self) -> Guard {
        Guard {
            cancelled: self.cancel.begin(),
            engine: self.session.cancel_token(),
            deadline: self
                .session
                .statement_timeout()
                .map(|timeout| Instant::now() + timeout),
            shutdown: self.server.shutdown.clone(),
        }
    }

    /// An error that there is no better word for.
    pub fn refuse<T>(code: &'static str, message: impl Into<String>) -> Result<T, Failure> {
        Err(Report::new(code, message).into())
    }
}
