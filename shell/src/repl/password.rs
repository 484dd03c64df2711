//! Asking for a password at the terminal.

use std::borrow::Cow;

use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::{ColorMode, Completer, Config, Editor, Helper, Hinter, Validator};

/// Shows stars for what is typed.
#[derive(Completer, Helper, Hinter, Validator)]
struct Stars;

impl Highlighter for Stars {
    fn highlight<'l>(&self, line: &'l str, _position: usize) -> Cow<'l, str> {
        Cow::Owned("*".repeat(line.chars().count()))
    }

    fn highlight_char(&self, _line: &str, _position: usize, _kind: CmdKind) -> bool {
        true
    }
}

/// The password of a user; `None` if nobody answers.
pub fn ask(user: &str) -> Option<String> {
    let config = Config::builder()
        .auto_add_history(false)
        .color_mode(ColorMode::Forced)
        .build();
    let mut editor: Editor<Stars, rustyline::history::DefaultHistory> =
        Editor::with_config(config).ok()?;
    editor.set_helper(Some(Stars));
    editor.readline(&format!("Password of {user}: ")).ok()
}
