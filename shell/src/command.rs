//! Backslash commands: what the shell does itself, and short forms of statements.

use std::path::{Path, PathBuf};

use crate::cli::Format;
use crate::client::Target;
use crate::copy;
use crate::script::Script;
use crate::session::{Failure, Next, Session};

/// The commands: name, arguments, what it does. Help and completion read this.
pub const COMMANDS: &[(&str, &str, &str)] = &[
    ("\\?", "", "this help"),
    ("\\q", "", "leave (so do Ctrl-D, quit and exit)"),
    (
        "\\d",
        "[NAME]",
        "list streams and tables, or describe one; \\d+ tells more",
    ),
    ("\\dt", "", "list tables, materialized views among them"),
    ("\\dv", "", "list materialized views"),
    ("\\ds", "", "list streams"),
    ("\\dq", "", "list persistent queries"),
    ("\\df", "", "list functions"),
    ("\\l", "", "list databases"),
    (
        "\\x",
        "[on|off]",
        "one line per column instead of aligned columns",
    ),
    (
        "\\f",
        "[FORMAT]",
        "table, expanded, csv, tsv, json or markdown",
    ),
    ("\\timing", "[on|off]", "show how long each statement took"),
    ("\\i", "FILE", "run a script"),
    (
        "\\o",
        "[FILE]",
        "write results to a file; without FILE back to the terminal",
    ),
    (
        "\\copy",
        "RELATION from 'FILE' [with (format csv, header)]",
        "load a file; also (QUERY) to 'FILE'",
    ),
    ("\\c", "HOST:PORT", "connect to another server"),
    ("\\conninfo", "", "show where this session is connected"),
    ("\\echo", "TEXT", "write a line"),
];

/// Runs a line that starts with a backslash.
pub async fn run(session: &mut Session, line: &str) -> Result<Next, Failure> {
    let line = line.trim();
    let (name, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    // A trailing semicolon is a habit, not an argument.
    let name = name.trim_end_matches(';');
    let arguments = arguments.trim();
    let argument = unquote(arguments.trim_end_matches(';').trim_end());
    match name {
        "\\q" | "\\quit" => return Ok(Next::Quit),
        "\\?" | "\\h" | "\\help" => session.write_line(&help())?,
        "\\d" | "\\d+" if argument.is_empty() => {
            statement(session, "SHOW STREAMS").await?;
            statement(session, "SHOW TABLES").await?;
        }
        "\\d" => statement(session, &format!("DESCRIBE {argument}")).await?,
        "\\d+" => statement(session, &format!("DESCRIBE EXTENDED {argument}")).await?,
        "\\dt" => statement(session, "SHOW TABLES").await?,
        "\\dv" | "\\dm" => statement(session, "SHOW VIEWS").await?,
        "\\ds" => statement(session, "SHOW STREAMS").await?,
        "\\dq" => statement(session, "SHOW QUERIES").await?,
        "\\df" => statement(session, "SHOW FUNCTIONS").await?,
        "\\l" => {
            statement(
                session,
                "SELECT datname AS name FROM pg_catalog.pg_database ORDER BY 1",
            )
            .await?
        }
        "\\x" => {
            let on = switch(session, &argument, session.look.format == Format::Expanded)?;
            session.look.format = if on { Format::Expanded } else { Format::Table };
            say(session, "Expanded display", on)?;
        }
        "\\f" => match <Format as clap::ValueEnum>::from_str(&argument, true) {
            Ok(format) => session.look.format = format,
            Err(_) => return Err(session.fail("usage: \\f table|expanded|csv|tsv|json|markdown")),
        },
        "\\timing" => {
            session.timing = switch(session, &argument, session.timing)?;
            say(session, "Timing", session.timing)?;
        }
        "\\i" | "\\include" if !argument.is_empty() => {
            return session.run_file(Path::new(&argument)).await;
        }
        "\\o" | "\\out" => {
            let path = (!argument.is_empty()).then(|| PathBuf::from(&argument));
            if let Err(error) = session.redirect(path.as_deref()) {
                return Err(session.fail(&format!("\"{argument}\": {error}")));
            }
        }
        "\\copy" => copy::copy_file(session, arguments).await?,
        "\\c" | "\\connect" if !argument.is_empty() => match Target::parse(&argument) {
            Ok(target) => {
                session.reconnect(&target).await?;
                session.write_line(&connection(session))?;
            }
            Err(message) => return Err(session.fail(&message)),
        },
        "\\c" | "\\conninfo" => session.write_line(&connection(session))?,
        "\\echo" => session.write_line(&unquote(arguments))?,
        "\\i" | "\\include" => return Err(session.fail("usage: \\i FILE")),
        _ => return Err(session.fail(&format!("unknown command {name}; \\? lists the commands"))),
    }
    session.flush()?;
    Ok(Next::Continue)
}

async fn statement(session: &mut Session, sql: &str) -> Result<(), Failure> {
    session
        .run_statement(sql, &mut Script::new(std::io::empty()))
        .await
}

/// Confirms a switch to a person; a script's output holds results only.
fn say(session: &mut Session, what: &str, on: bool) -> Result<(), Failure> {
    match (session.interactive, on) {
        (false, _) => Ok(()),
        (true, true) => session.write_line(&format!("{what} is on.")),
        (true, false) => session.write_line(&format!("{what} is off.")),
    }
}

/// Reads `on` or `off`; nothing turns the switch over.
fn switch(session: &mut Session, argument: &str, current: bool) -> Result<bool, Failure> {
    match argument.to_ascii_lowercase().as_str() {
        "" => Ok(!current),
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err(session.fail("expected on or off")),
    }
}

fn connection(session: &Session) -> String {
    let target = session.client.target();
    format!("connected to {} as \"{}\"", target.address(), target.user())
}

fn unquote(text: &str) -> String {
    match text
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        Some(inner) => inner.replace("''", "'"),
        None => text.to_owned(),
    }
}

/// What `\?` and `help` show.
pub fn help() -> String {
    let mut text = String::from(
        "Statements end with a semicolon and may span lines. Ctrl-C stops a running statement, Tab completes.\n\n",
    );
    let usage = |(name, arguments, _): &(&str, &str, &str)| format!("{name} {arguments}");
    let width = COMMANDS
        .iter()
        .map(|command| usage(command).len())
        .filter(|len| *len < 30)
        .max()
        .unwrap_or_default();
    for command in COMMANDS {
        text.push_str(&format!("  {:width$}  {}\n", usage(command), command.2));
    }
    text.push_str(
        "\nA first view that keeps itself up to date:\n  \
         CREATE STREAM readings (room TEXT, celsius DOUBLE);\n  \
         CREATE MATERIALIZED VIEW warmth AS SELECT room, COUNT(*) AS n, AVG(celsius) AS mean FROM readings GROUP BY room;\n  \
         INSERT INTO readings VALUES ('attic', 17.5), ('cellar', 9.0);\n  \
         SELECT * FROM warmth;\n  \
         SELECT * FROM warmth EMIT CHANGES;   -- and on, until Ctrl-C",
    );
    text
}
