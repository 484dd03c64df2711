//! One session of the user: runs statements and scripts over a connection, and shows what comes back.
//!
//! While a statement runs three things can happen: the server sends something, the server remarks something, or the user
//! presses Ctrl-C. The last stops the statement and keeps the session.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use tokio_postgres::error::SqlState;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryStream};

use crate::client::{Client, Target};
use crate::command;
use crate::copy::{self, DataLines};
use crate::lexer;
use crate::print::{self, Heading, Look, Printer};
use crate::problem;
use crate::script::{Item, Script};
use crate::style::{Paint, Style};

/// Why something did not succeed. The user has already been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A statement or command failed; the session goes on.
    Statement,
    /// The connection is gone.
    Connection,
    /// Nobody reads the output any more.
    Output,
}

/// What comes after a statement or command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next one.
    Continue,
    /// The end of the session.
    Quit,
}

/// Scripts that include scripts stop at this depth.
const INCLUDE_DEPTH_MAX: usize = 16;

/// See the module's text.
pub struct Session {
    /// The connection.
    pub client: Client,
    /// How results look.
    pub look: Look,
    /// How messages on standard error look.
    pub paint: Paint,
    /// Show how long each statement took.
    pub timing: bool,
    /// Whether a person sits in front of it.
    pub interactive: bool,
    /// Go on with a script after an error.
    pub keep_going: bool,
    /// Relations may have come or gone since this was last set to false.
    pub names_stale: bool,
    out: Box<dyn Write + Send>,
    include_depth: usize,
    /// Ctrl-C was pressed since this was last set to false.
    interrupted: Arc<AtomicBool>,
}

impl Session {
    /// A session that writes to standard output.
    pub fn new(client: Client, look: Look, paint: Paint) -> Self {
        Self {
            client,
            look,
            paint,
            timing: false,
            interactive: false,
            keep_going: false,
            names_stale: true,
            out: Box::new(BufWriter::new(io::stdout())),
            include_depth: 0,
            interrupted: Arc::new(AtomicBool::new(false)),
        }
    }

    /// From now on Ctrl-C between two statements ends the script they belong to. (While a statement runs it stops the
    /// statement, and at the prompt the line editor has it.)
    pub fn watch_interrupts(&self) {
        let interrupted = Arc::clone(&self.interrupted);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                interrupted.store(true, Ordering::Relaxed);
            }
        });
    }

    /// Sends results to a file, or back to standard output.
    pub fn redirect(&mut self, path: Option<&Path>) -> io::Result<()> {
        self.out.flush()?;
        self.out = match path {
            Some(path) => Box::new(BufWriter::new(File::create(path)?)),
            None => Box::new(BufWriter::new(io::stdout())),
        };
        Ok(())
    }

    /// Connects to another server.
    pub async fn reconnect(&mut self, target: &Target) -> Result<(), Failure> {
        match Client::connect(target).await {
            Ok(client) => {
                self.client = client;
                self.names_stale = true;
                Ok(())
            }
            Err(error) => {
                let shown = match error.downcast_ref() {
                    Some(error) => problem::render_error(error, "", self.paint),
                    None => format!("{error:#}\n"),
                };
                self.complain(&shown);
                Err(Failure::Statement)
            }
        }
    }

    /// Runs everything in `reader`; stops at the first error unless told to keep going.
    pub async fn run_script<R: BufRead + Send>(&mut self, reader: R) -> Result<Next, Failure> {
        let mut script = Script::new(reader);
        let mut result = Ok(Next::Continue);
        self.interrupted.store(false, Ordering::Relaxed);
        loop {
            let item = match script.next_item() {
                Ok(Some(item)) => item,
                Ok(None) => return result,
                Err(error) => return Err(self.fail(&format!("cannot read the script: {error}"))),
            };
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(self.fail("stopped before the next statement"));
            }
            let outcome = match item {
                Item::Statement(sql) => self
                    .run_statement(&sql, &mut script)
                    .await
                    .map(|()| Next::Continue),
                Item::Command(line) => Box::pin(command::run(self, &line)).await,
            };
            match outcome {
                Ok(Next::Continue) => {}
                Ok(Next::Quit) => return result.map(|_| Next::Quit),
                Err(Failure::Statement) if self.keep_going => result = Err(Failure::Statement),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Runs a script file; `-` is standard input.
    pub async fn run_file(&mut self, path: &Path) -> Result<Next, Failure> {
        if self.include_depth >= INCLUDE_DEPTH_MAX {
            return Err(self.fail(&format!(
                "scripts include each other more than {INCLUDE_DEPTH_MAX} deep"
            )));
        }
        let reader: Box<dyn Read + Send> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            match File::open(path) {
                Ok(file) => Box::new(file),
                Err(error) => {
                    return Err(self.fail(&format!("cannot open \"{}\": {error}", path.display())));
                }
            }
        };
        self.include_depth += 1;
        let result = self.run_script(BufReader::new(reader)).await;
        self.include_depth -= 1;
        result
    }

    /// Runs one statement. `data` is where `COPY … FROM STDIN` finds its rows.
    pub async fn run_statement(
        &mut self,
        sql: &str,
        data: &mut (dyn DataLines + Send),
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let mut outcome = match copy::direction(sql) {
            Some(copy::Direction::In) => copy::copy_in(self, sql, data, None).await,
            Some(copy::Direction::Out) => copy::copy_out(self, sql).await,
            None => self.run_query(sql).await,
        };
        self.show_waiting_notices();
        if self.timing {
            let text = format!("Time: {}", show_duration(started.elapsed()));
            outcome = outcome.and(self.write_line(&self.look.paint.apply(Style::Faint, &text)));
        }
        if changes_names(sql) {
            self.names_stale = true;
        }
        outcome.and(self.flush())
    }

    async fn run_query(&mut self, sql: &str) -> Result<(), Failure> {
        let heading = Heading {
            endless: is_endless(sql),
            ..Heading::default()
        };
        let types = match self.look.format {
            // Only the extended protocol tells types. What cannot be prepared is shown as text.
            crate::cli::Format::Json => self.client.session().prepare(sql).await.ok(),
            _ => None,
        };
        let types = types.map(|s| {
            s.columns()
                .iter()
                .map(|column| column.type_().clone())
                .collect()
        });
        match self.client.run(sql).await {
            Ok(answer) => {
                let heading = Heading {
                    types: types.unwrap_or_default(),
                    ..heading
                };
                self.show_answer(sql, heading, answer).await
            }
            Err(error) => Err(self.report(&error, sql)),
        }
    }

    async fn show_answer(
        &mut self,
        sql: &str,
        heading: Heading,
        answer: SimpleQueryStream,
    ) -> Result<(), Failure> {
        let mut answer = std::pin::pin!(answer);
        let mut printer: Option<Box<dyn Printer + Send>> = None;
        let (mut rows, mut stopped) = (0_u64, false);
        loop {
            // Rows that are here already are printed together; when none is, what was printed is shown.
            let message = match answer.next().now_or_never() {
                Some(message) => message,
                None => {
                    if let Some(printer) = &mut printer {
                        written(printer.pause(&mut self.out))?;
                    }
                    tokio::select! {
                        biased;
                        notice = self.client.next_notice() => {
                            self.show_notice(&notice);
                            continue;
                        }
                        message = answer.next() => message,
                        _ = tokio::signal::ctrl_c() => {
                            self.client.cancel();
                            stopped = true;
                            continue;
                        }
                    }
                }
            };
            match message {
                None => return Ok(()),
                Some(Ok(SimpleQueryMessage::RowDescription(columns))) => {
                    self.show_waiting_notices();
                    let names = columns
                        .iter()
                        .map(|column| column.name().to_owned())
                        .collect();
                    printer = Some(print::printer(
                        self.look,
                        Heading {
                            names,
                            ..heading.clone()
                        },
                    ));
                }
                Some(Ok(SimpleQueryMessage::Row(row))) => {
                    rows += 1;
                    if let Some(printer) = &mut printer {
                        written(printer.row(print::cells(&row), &mut self.out))?;
                    }
                }
                Some(Ok(SimpleQueryMessage::CommandComplete(count))) => match printer.take() {
                    Some(mut printer) => written(printer.finish(&mut self.out))?,
                    None => self.show_tag(sql, count)?,
                },
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    if let Some(mut printer) = printer.take()
                        && rows > 0
                    {
                        written(printer.finish(&mut self.out))?;
                    }
                    self.flush()?;
                    // Ctrl-C is the way to end an endless query, so its end is no error.
                    if stopped
                        && self.interactive
                        && error.code() == Some(&SqlState::QUERY_CANCELED)
                    {
                        self.complain(&self.paint.apply(Style::Faint, "stopped\n"));
                        return Ok(());
                    }
                    return Err(self.report(&error, sql));
                }
            }
        }
    }

    /// Shows what a statement without rows did.
    pub fn show_tag(&mut self, sql: &str, count: u64) -> Result<(), Failure> {
        let results_only = !matches!(
            self.look.format,
            crate::cli::Format::Table | crate::cli::Format::Expanded
        );
        if self.look.quiet || (results_only && !self.interactive) {
            return Ok(());
        }
        self.write_line(&tag(sql, count))
    }

    /// Shows a notice.
    pub fn show_notice(&mut self, notice: &tokio_postgres::error::DbError) {
        if !self.look.quiet {
            let text = problem::render(notice, "", self.paint);
            self.complain(&text);
        }
    }

    fn show_waiting_notices(&mut self) {
        while let Some(notice) = self.client.take_notice() {
            self.show_notice(&notice);
        }
    }

    /// Tells the user about an error of the server or the connection.
    pub fn report(&mut self, error: &tokio_postgres::Error, sql: &str) -> Failure {
        self.show_waiting_notices();
        self.complain(&problem::render_error(error, sql, self.paint));
        let lost = error.is_closed()
            || self.client.is_closed()
            || (error.as_db_error().is_none() && error.code().is_none());
        if lost {
            Failure::Connection
        } else {
            Failure::Statement
        }
    }

    /// Tells the user about an error of our own.
    pub fn fail(&mut self, message: &str) -> Failure {
        let label = self.paint.apply(Style::Error, "ERROR:");
        self.complain(&format!("{label}  {message}\n"));
        Failure::Statement
    }

    /// Writes to standard error, after what was already written to standard output.
    pub fn complain(&mut self, text: &str) {
        // Without a standard error there is nobody to tell.
        let _ = self.out.flush();
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Writes results.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let result = self.out.write_all(bytes);
        written(result)
    }

    /// Writes a line.
    pub fn write_line(&mut self, line: &str) -> Result<(), Failure> {
        let result = writeln!(self.out, "{line}");
        written(result)
    }

    /// Makes everything written visible.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let result = self.out.flush();
        written(result)
    }
}

/// An output that nobody reads any more ends the session without a word; any other failure is told.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| {
        if error.kind() != io::ErrorKind::BrokenPipe {
            // Without a standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "cannot write the result: {error}");
        }
        Failure::Output
    })
}

/// A query whose rows never end by themselves.
fn is_endless(sql: &str) -> bool {
    let mut words = lexer::words(sql).peekable();
    let first = words.peek().cloned().unwrap_or_default();
    if !["SELECT", "WITH", "VALUES", "PRINT", "TABLE", "FROM"].contains(&first.as_str()) {
        return false;
    }
    first == "PRINT"
        || words
            .collect::<Vec<_>>()
            .windows(2)
            .any(|pair| pair[0] == "EMIT" && pair[1] != "AS")
}

/// Whether completion must ask for names again after this statement.
fn changes_names(sql: &str) -> bool {
    let first = lexer::words(sql).next().unwrap_or_default();
    ["CREATE", "DROP", "ALTER", "SET"].contains(&first.as_str())
}

/// PostgreSQL's command tag. The driver passes on only its count, so the words come from the statement.
fn tag(sql: &str, count: u64) -> String {
    let words: Vec<String> = lexer::words(sql).take(6).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["INSERT", ..] => format!("INSERT 0 {count}"),
        [verb @ ("UPDATE" | "DELETE" | "COPY" | "MOVE" | "FETCH"), ..] => format!("{verb} {count}"),
        ["CREATE", "OR", "REPLACE", "MATERIALIZED", ..] => "CREATE MATERIALIZED VIEW".to_owned(),
        ["CREATE", "OR", "REPLACE", kind, ..] => format!("CREATE {kind}"),
        [
            verb @ ("CREATE" | "DROP" | "ALTER"),
            "MATERIALIZED",
            "VIEW",
            ..,
        ] => format!("{verb} MATERIALIZED VIEW"),
        [verb @ ("CREATE" | "DROP" | "ALTER"), kind, ..] => format!("{verb} {kind}"),
        ["DECLARE", ..] => "DECLARE CURSOR".to_owned(),
        ["CLOSE", ..] => "CLOSE CURSOR".to_owned(),
        ["START", ..] => "START TRANSACTION".to_owned(),
        [verb, ..] => (*verb).to_owned(),
        [] => String::new(),
    }
}

fn show_duration(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1_000.0;
    if millis < 10_000.0 {
        format!("{millis:.3} ms")
    } else {
        format!("{:.3} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_queries_are_known_by_their_words() {
        assert!(is_endless("select * from s emit changes;"));
        assert!(is_endless(
            "WITH a AS (SELECT 1) SELECT * FROM a EMIT CHANGES"
        ));
        assert!(!is_endless("select 'emit changes'"));
        assert!(!is_endless(
            "create table t as select * from s emit changes"
        ));
        assert!(!is_endless("select 1 -- emit changes"));
    }

    #[test]
    fn tags_read_as_postgres_writes_them() {
        assert_eq!(tag("insert into t values (1)", 1), "INSERT 0 1");
        assert_eq!(
            tag("create or replace stream s (a int)", 0),
            "CREATE STREAM"
        );
        assert_eq!(
            tag("create materialized view v as select 1", 0),
            "CREATE MATERIALIZED VIEW"
        );
        assert_eq!(tag("delete from t", 3), "DELETE 3");
        assert_eq!(tag("begin", 0), "BEGIN");
    }
}
