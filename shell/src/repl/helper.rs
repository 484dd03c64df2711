//! What the line editor asks for while the user types: whether the input is complete, how to colour it, what may follow.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::complete;
use super::keywords;
use super::names::Names;
use crate::lexer::{self, Kind};
use crate::style::{Paint, Style};

/// See the module's text.
pub struct SqlHelper {
    names: Arc<RwLock<Names>>,
    paint: Paint,
    history: HistoryHinter,
    files: FilenameCompleter,
    /// The input is data, not SQL.
    pub plain: bool,
}

impl SqlHelper {
    /// A helper that completes `names`.
    pub fn new(names: Arc<RwLock<Names>>, paint: Paint) -> Self {
        Self {
            names,
            paint,
            history: HistoryHinter::new(),
            files: FilenameCompleter::new(),
            plain: false,
        }
    }
}

impl Helper for SqlHelper {}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if self.plain || is_input(context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

/// Whether Enter hands the input over.
fn is_input(input: &str) -> bool {
    let trimmed = input.trim();
    trimmed.starts_with('\\')
        || ["help", "quit", "exit"]
            .iter()
            .any(|word| trimmed.eq_ignore_ascii_case(word))
        || lexer::is_blank(input)
        || lexer::is_complete(input)
}

impl Highlighter for SqlHelper {
    fn highlight<'l>(&self, line: &'l str, _position: usize) -> Cow<'l, str> {
        if !self.paint.0 || self.plain || line.starts_with('\\') {
            return Cow::Borrowed(line);
        }
        let painted = lexer::tokens(line).map(|token| {
            let text = token.text(line);
            let style = match token.kind {
                Kind::Word if keywords::is_keyword(text) => Style::Keyword,
                Kind::String => Style::String,
                Kind::Number => Style::Number,
                Kind::Comment => Style::Faint,
                _ => return text.to_owned(),
            };
            // Each line of a token that spans lines is painted by itself.
            let lines: Vec<String> = text
                .split('\n')
                .map(|line| self.paint.apply(style, line))
                .collect();
            lines.join("\n")
        });
        Cow::Owned(painted.collect())
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        Cow::Owned(self.paint.apply(Style::Strong, prompt))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(self.paint.apply(Style::Faint, hint))
    }

    fn highlight_char(&self, _line: &str, _position: usize, kind: CmdKind) -> bool {
        // Any edit may open or close a quote and so recolour everything after it.
        kind != CmdKind::MoveCursor
    }
}

impl Hinter for SqlHelper {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, context: &Context<'_>) -> Option<String> {
        if self.plain || line.trim().is_empty() {
            return None;
        }
        self.history.hint(line, position, context)
    }
}

impl Completer for SqlHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        if self.plain {
            // Tab separates the values of a row.
            let tab = Pair {
                display: String::new(),
                replacement: "\t".to_owned(),
            };
            return Ok((position, vec![tab]));
        }
        if complete::wants_file(&line[..position]) {
            return self.files.complete_path(line, position);
        }
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let (start, candidates) = complete::candidates(line, position, &names);
        let pairs = candidates.into_iter().map(|text| Pair {
            display: text.clone(),
            replacement: text,
        });
        Ok((start, pairs.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_hands_over_what_is_complete() {
        for input in [
            "select 1;",
            "\\d",
            "help",
            "",
            "-- nothing",
            "select 1; -- one",
        ] {
            assert!(is_input(input), "{input}");
        }
        for input in ["select 1", "select ';", "select 1 /*;", "create table help"] {
            assert!(!is_input(input), "{input}");
        }
    }
}
