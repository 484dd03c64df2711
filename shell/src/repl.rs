//! The interactive loop: read, run, print, again.
//!
//! The line editor blocks, so the loop has the main thread for itself; statements run on the runtime, where an embedded
//! server keeps working while the prompt waits.

use std::fs;
use std::io;
use std::sync::{Arc, RwLock};

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::Handle;

use crate::command;
use crate::config;
use crate::copy::{self, DataLines};
use crate::lexer;
use crate::session::{Failure, Next, Session};

mod complete;
mod helper;
mod keywords;
mod names;
mod password;

use helper::SqlHelper;
use names::Names;
pub use password::ask as ask_password;

type LineEditor = Editor<SqlHelper, FileHistory>;

const PROMPT: &str = "millpond> ";
const HISTORY_ENTRIES_MAX: usize = 5_000;

/// Reads and runs until the user leaves. Errors of statements have been shown and do not end it.
pub fn run(session: &mut Session, runtime: &Handle) -> Result<(), Failure> {
    let names = Arc::new(RwLock::new(Names::default()));
    let mut editor = match editor(session, Arc::clone(&names)) {
        Ok(editor) => editor,
        Err(error) => return Err(session.fail(&format!("cannot use the terminal: {error}"))),
    };
    loop {
        if session.names_stale {
            session.names_stale = false;
            let fresh = runtime.block_on(names::fetch(&session.client));
            *names
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
        }
        let input = match editor.readline(PROMPT) {
            Ok(input) => input,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => {
                return Err(session.fail(&format!("cannot read from the terminal: {error}")));
            }
        };
        if input.trim().is_empty() {
            continue;
        }
        remember(&mut editor, &input);
        match run_input(session, runtime, &mut editor, &input) {
            Ok(Next::Quit) => return Ok(()),
            Ok(Next::Continue) | Err(Failure::Statement) => {}
            Err(Failure::Output) => return Err(Failure::Output),
            Err(Failure::Connection) => {
                let target = session.client.target().clone();
                session.complain("connection lost; connecting again\n");
                runtime
                    .block_on(session.reconnect(&target))
                    .map_err(|_| Failure::Connection)?;
            }
        }
    }
}

fn run_input(
    session: &mut Session,
    runtime: &Handle,
    editor: &mut LineEditor,
    input: &str,
) -> Result<Next, Failure> {
    match input
        .trim()
        .trim_end_matches(';')
        .to_ascii_lowercase()
        .as_str()
    {
        "quit" | "exit" => return Ok(Next::Quit),
        "help" => {
            return session
                .write_line(&command::help())
                .and(session.flush())
                .map(|()| Next::Continue);
        }
        _ => {}
    }
    // A pasted text may hold several statements. One that waits for rows takes them from the keyboard.
    if copy::direction(input) == Some(copy::Direction::In) && lexer::statement_end(input).is_some()
    {
        session.complain("Type the rows, one per line, and \\. (or Ctrl-D) after the last.\n");
        let mut lines = TypedLines(editor);
        return runtime
            .block_on(session.run_statement(input.trim(), &mut lines))
            .map(|()| Next::Continue);
    }
    runtime.block_on(session.run_script(input.as_bytes()))
}

/// Rows typed at the terminal.
struct TypedLines<'a>(&'a mut LineEditor);

impl DataLines for TypedLines<'_> {
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(helper) = self.0.helper_mut() {
            helper.plain = true;
        }
        let line = self.0.readline(">> ");
        if let Some(helper) = self.0.helper_mut() {
            helper.plain = false;
        }
        match line {
            Ok(line) if line == "\\." => Ok(None),
            Ok(line) => Ok(Some(format!("{line}\n").into_bytes())),
            Err(ReadlineError::Eof) => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

fn editor(session: &Session, names: Arc<RwLock<Names>>) -> rustyline::Result<LineEditor> {
    let config = Config::builder()
        .max_history_size(HISTORY_ENTRIES_MAX)?
        .history_ignore_space(true)
        .history_ignore_dups(true)?
        .completion_type(CompletionType::List)
        .auto_add_history(false)
        .tab_stop(4)
        .build();
    let mut editor = LineEditor::with_config(config)?;
    editor.set_helper(Some(SqlHelper::new(names, session.paint)));
    if let Some(path) = config::history_file() {
        if let Some(directory) = path.parent() {
            // Without a history file the session works all the same.
            let _ = fs::create_dir_all(directory);
        }
        let _ = editor.load_history(&path);
    }
    Ok(editor)
}

fn remember(editor: &mut LineEditor, input: &str) {
    // What holds a password is not written to a file.
    if input.to_ascii_lowercase().contains("password") {
        return;
    }
    if editor.add_history_entry(input.trim_end()).unwrap_or(false)
        && let Some(path) = config::history_file()
    {
        let _ = editor.append_history(&path);
    }
}
