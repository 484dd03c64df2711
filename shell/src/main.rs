//! `millpond`: a server, a shell over a running server, or both in one process.
//!
//! ```text
//!  main ─► cli, config ─┬─► server                       (millpond server)
//!                       └─► server (unless --connect) ◄─PostgreSQL protocol─ session ─┬─ repl      (terminal)
//!                                                                                     └─ scripts   (-c, -f, pipe)
//! ```
//!
//! The shell is a client like any other: it reaches an embedded server through a socket of the loopback interface, too,
//! so that what works here works in psql.

use std::io::{self, BufReader, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::client::{Client, Target};
use crate::config::Config;
use crate::print::Look;
use crate::server::{Port, Server};
use crate::session::{Failure, Next, Session};
use crate::style::Paint;
use crate::telemetry::Destination;

mod cli;
mod client;
mod command;
mod config;
mod copy;
mod lexer;
mod memory;
mod print;
mod problem;
mod repl;
mod script;
mod security;
mod server;
mod session;
mod style;
mod telemetry;

/// Exit codes, as `--help` promises them.
const STATEMENT_FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;

/// An error of the process itself, with its exit code.
struct Fatal(u8, anyhow::Error);

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(Fatal(code, error)) => {
            eprintln!("millpond: {error:#}");
            ExitCode::from(code)
        }
    }
}

fn run(cli: &Cli) -> Result<u8, Fatal> {
    let usage = |error| Fatal(USAGE, error);
    let config = Config::load(&cli.settings).map_err(|error| usage(error.into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Fatal(UNREACHABLE, error.into()))?;
    if let Some(Command::Server) = cli.command {
        if !cli.shell.execute.is_empty() || !cli.shell.file.is_empty() {
            return Err(usage(anyhow::anyhow!(
                "`millpond server` takes neither -c nor -f"
            )));
        }
        telemetry::start(&config.log_level, config.log_format, Destination::Stderr)
            .map_err(usage)?;
        let result = runtime.block_on(server::run(&config));
        return result
            .map(|()| 0)
            .map_err(|error| Fatal(UNREACHABLE, error));
    }
    let mode = Mode::of(cli);
    let log_file = config.data_dir.join("millpond.log");
    let remote = cli.shell.connect.as_deref().map(Target::parse).transpose();
    let remote = remote.map_err(|message| usage(anyhow::Error::msg(message)))?;
    match remote {
        // The server has its own log; this process has little to say.
        Some(_) => telemetry::start("warn", config.log_format, Destination::Stderr),
        None => telemetry::start(
            &config.log_level,
            config.log_format,
            Destination::File(&log_file),
        ),
    }
    .map_err(usage)?;
    let embedded = match remote {
        Some(_) => None,
        None => {
            let port = if mode == Mode::Interactive {
                Port::ConfiguredOrFree
            } else {
                Port::Free
            };
            let server = runtime.block_on(async {
                let server = Server::start(&config, port).await?;
                server.stop_on_termination()?;
                anyhow::Ok(server)
            });
            Some(server.map_err(|error| Fatal(UNREACHABLE, error))?)
        }
    };
    let result = converse(
        cli,
        &config,
        mode,
        &runtime,
        remote.as_ref(),
        embedded.as_ref(),
    );
    if let Some(server) = embedded {
        runtime
            .block_on(server.stop())
            .map_err(|error| Fatal(UNREACHABLE, error))?;
    }
    result
}

/// Where statements come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// `-c` and `-f`.
    Arguments,
    /// A person at a terminal.
    Interactive,
    /// Standard input that is no terminal.
    Pipe,
}

impl Mode {
    fn of(cli: &Cli) -> Self {
        if !cli.shell.execute.is_empty() || !cli.shell.file.is_empty() {
            Self::Arguments
        } else if io::stdin().is_terminal() && io::stdout().is_terminal() {
            Self::Interactive
        } else {
            Self::Pipe
        }
    }
}

/// Connects, runs what is to be run, and tells the exit code.
fn converse(
    cli: &Cli,
    config: &Config,
    mode: Mode,
    runtime: &tokio::runtime::Runtime,
    remote: Option<&Target>,
    embedded: Option<&Server>,
) -> Result<u8, Fatal> {
    let address = embedded
        .map(|server| server.address.to_string())
        .unwrap_or_default();
    let own = Target::embedded(&address, embedded.and_then(Server::owner));
    let target = match (remote, &own) {
        (Some(target), _) => target,
        (None, Ok(target)) => target,
        (None, Err(message)) => {
            return Err(Fatal(UNREACHABLE, anyhow::Error::msg(message.clone())));
        }
    };
    let client = connect(runtime, target, mode).map_err(|error| {
        let reason = match error.downcast_ref() {
            Some(error) => problem::reason(error),
            None => format!("{error:#}"),
        };
        Fatal(
            UNREACHABLE,
            anyhow::anyhow!("cannot connect to {}: {reason}", target.address()),
        )
    })?;
    let colours = style::colours_wanted();
    let look = Look {
        format: cli.shell.output,
        terminal_width: print::terminal_width(),
        paint: Paint(colours && io::stdout().is_terminal()),
        quiet: cli.shell.quiet,
    };
    let mut session = Session::new(client, look, Paint(colours && io::stderr().is_terminal()));
    session.keep_going = cli.shell.keep_going;
    runtime.block_on(async { session.watch_interrupts() });
    let outcome = match mode {
        Mode::Interactive => {
            session.interactive = true;
            greet(&session, config, embedded);
            repl::run(&mut session, runtime.handle()).map(|()| Next::Quit)
        }
        Mode::Pipe => runtime.block_on(session.run_script(BufReader::new(io::stdin()))),
        Mode::Arguments => runtime.block_on(run_arguments(cli, &mut session)),
    };
    let outcome = outcome.and_then(|next| session.flush().map(|()| next));
    Ok(match outcome {
        Ok(_) => 0,
        Err(Failure::Statement | Failure::Output) => STATEMENT_FAILED,
        Err(Failure::Connection) => UNREACHABLE,
    })
}

/// Connects. A person is asked for the password if the server wants one and none is known.
fn connect(
    runtime: &tokio::runtime::Runtime,
    target: &Target,
    mode: Mode,
) -> anyhow::Result<Client> {
    let error = match runtime.block_on(Client::connect(target)) {
        Ok(client) => return Ok(client),
        Err(error) => error,
    };
    let wanted = target.lacks_password()
        && mode == Mode::Interactive
        && error.downcast_ref().map(problem::reason).as_deref() == Some("password missing");
    let password = if wanted {
        repl::ask_password(target.user())
    } else {
        None
    };
    match password {
        Some(password) => {
            runtime.block_on(Client::connect(&target.clone().with_password(&password)))
        }
        None => Err(error),
    }
}

/// Runs `-c` and then `-f` arguments, each in the order given.
async fn run_arguments(cli: &Cli, session: &mut Session) -> Result<Next, Failure> {
    let mut result = Ok(Next::Continue);
    for sql in &cli.shell.execute {
        let outcome = match copy::direction(sql) {
            // Its rows are what is piped into this process.
            Some(copy::Direction::In) => {
                let mut rows = copy::standard_input();
                session
                    .run_statement(sql, &mut rows)
                    .await
                    .map(|()| Next::Continue)
            }
            _ => session.run_script(sql.as_bytes()).await,
        };
        match outcome {
            Ok(Next::Continue) => {}
            Err(Failure::Statement) if session.keep_going => result = Err(Failure::Statement),
            other => return other,
        }
    }
    for path in &cli.shell.file {
        match session.run_file(path).await {
            Ok(Next::Continue) => {}
            Err(Failure::Statement) if session.keep_going => result = Err(Failure::Statement),
            other => return other,
        }
    }
    result
}

fn greet(session: &Session, config: &Config, embedded: Option<&Server>) {
    println!(
        "Millpond {}. Type help for help, Ctrl-D to leave.",
        env!("CARGO_PKG_VERSION")
    );
    match embedded {
        Some(server) => {
            println!("Data is kept in {}.", config.data_dir.display());
            if config.pg_port != 0 && server.address.port() != config.pg_port {
                println!("Port {} is taken, so another one is used.", config.pg_port);
            }
            println!("Kafka clients connect to {}.", server.kafka_address);
            println!(
                "psql works too: psql -h {} -p {}\n",
                server.address.ip(),
                server.address.port()
            );
        }
        None => println!("Connected to {}.\n", session.client.target().address()),
    }
}
