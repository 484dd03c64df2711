//! A script read piece by piece: statements, backslash commands and the data lines of `COPY … FROM STDIN`.
//!
//! Lines are taken from the reader only as far as the next statement needs, so a script can be typed through a pipe and
//! each statement runs as soon as it is complete.

use std::io::{self, BufRead};

use crate::lexer;

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A statement with its `;` (the last one may lack it).
    Statement(String),
    /// A backslash command: a whole line outside of any statement.
    Command(String),
}

/// A script and how far it has been read.
pub struct Script<R> {
    reader: R,
    /// Lines read and not yet handed out.
    pending: String,
}

impl<R: BufRead> Script<R> {
    /// A script over `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            pending: String::new(),
        }
    }

    /// The next thing to do, or `None` at the end.
    pub fn next_item(&mut self) -> io::Result<Option<Item>> {
        // Only new text with a semicolon can complete a statement, so a long one is not scanned line by line.
        let mut worth_looking = true;
        loop {
            if lexer::is_blank(&self.pending) {
                self.pending.clear();
            } else if self.pending.trim_start().starts_with('\\') {
                let line = self.pending.trim_start();
                let (command, rest) = line.split_once('\n').unwrap_or((line, ""));
                let (command, rest) = (command.trim_end().to_owned(), rest.to_owned());
                self.pending = rest;
                return Ok(Some(Item::Command(command)));
            } else if worth_looking && let Some(end) = lexer::statement_end(&self.pending) {
                let rest = self.pending.split_off(end);
                let statement = std::mem::replace(&mut self.pending, rest);
                if lexer::is_blank(&statement) {
                    continue;
                }
                return Ok(Some(Item::Statement(statement.trim().to_owned())));
            }
            let before = self.pending.len();
            if self.reader.read_line(&mut self.pending)? == 0 {
                let rest = std::mem::take(&mut self.pending);
                let rest = rest.trim();
                return Ok((!lexer::is_blank(rest)).then(|| Item::Statement(rest.to_owned())));
            }
            if before == 0 && self.pending.starts_with('\u{feff}') {
                self.pending.drain(..'\u{feff}'.len_utf8());
            }
            worth_looking =
                self.pending[before.min(self.pending.len())..].contains(';') || before == 0;
        }
    }

    /// The next data line after a `COPY … FROM STDIN`, with its line end; `None` at `\.` or the end of the script.
    pub fn next_data_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        // What follows the semicolon on the statement's own line is not data.
        if !self.pending.is_empty() && self.pending.trim().is_empty() {
            self.pending.clear();
        }
        let mut line = if self.pending.is_empty() {
            Vec::new()
        } else {
            std::mem::take(&mut self.pending).into_bytes()
        };
        if line.is_empty() && self.reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let content = line.strip_suffix(b"\n").unwrap_or(&line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        Ok((content != b"\\.").then_some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<Item> {
        let mut script = Script::new(text.as_bytes());
        std::iter::from_fn(|| script.next_item().expect("memory does not fail")).collect()
    }

    fn statement(text: &str) -> Item {
        Item::Statement(text.to_owned())
    }

    #[test]
    fn statements_commands_and_comments() {
        let found = items("-- hello\nselect 1; select\n ';'\n;\n\\timing on\nselect 3");
        let command = Item::Command("\\timing on".to_owned());
        assert_eq!(
            found,
            [
                statement("select 1;"),
                statement("select\n ';'\n;"),
                command,
                statement("select 3")
            ]
        );
        assert_eq!(items("\u{feff}select 1;;\n;"), [statement("select 1;")]);
    }

    #[test]
    fn copy_data_stands_in_the_script() {
        let mut script = Script::new("COPY t FROM STDIN;\n1\ta;b\n2\tc\n\\.\nselect 1;".as_bytes());
        assert_eq!(
            script.next_item().expect("read"),
            Some(statement("COPY t FROM STDIN;"))
        );
        assert_eq!(
            script.next_data_line().expect("read"),
            Some(b"1\ta;b\n".to_vec())
        );
        assert_eq!(
            script.next_data_line().expect("read"),
            Some(b"2\tc\n".to_vec())
        );
        assert_eq!(script.next_data_line().expect("read"), None);
        assert_eq!(
            script.next_item().expect("read"),
            Some(statement("select 1;"))
        );
        assert_eq!(script.next_item().expect("read"), None);
    }
}
