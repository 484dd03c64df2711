//! Errors and notices as the user sees them: message and SQLSTATE, the offending line with a caret, detail and hint.

use std::error::Error as _;

use tokio_postgres::error::{DbError, ErrorPosition};
use unicode_width::UnicodeWidthStr as _;

use crate::style::{Paint, Style};

/// Renders an error in answer to `sql`.
pub fn render_error(error: &tokio_postgres::Error, sql: &str, paint: Paint) -> String {
    match error.as_db_error() {
        Some(server) => render(server, sql, paint),
        None => {
            let reason = error
                .source()
                .map_or_else(|| error.to_string(), ToString::to_string);
            format!("{}  {reason}\n", paint.apply(Style::Error, "ERROR:"))
        }
    }
}

/// What went wrong, in one line.
pub fn reason(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(server), _) => server.message().to_owned(),
        (None, Some(source)) => source.to_string(),
        (None, None) => error.to_string(),
    }
}

/// Renders what the server said about `sql`.
pub fn render(message: &DbError, sql: &str, paint: Paint) -> String {
    let style = match message.severity() {
        "ERROR" | "FATAL" | "PANIC" => Style::Error,
        _ => Style::Notice,
    };
    let mut text = format!(
        "{}  {}",
        paint.apply(style, &format!("{}:", message.severity())),
        message.message()
    );
    if style == Style::Error {
        text.push_str(&paint.apply(Style::Faint, &format!("  [{}]", message.code().code())));
    }
    text.push('\n');
    if let Some(ErrorPosition::Original(position)) = message.position() {
        text.push_str(&excerpt(sql, *position as usize));
    }
    for (label, part) in [
        ("DETAIL", message.detail()),
        ("HINT", message.hint()),
        ("WHERE", message.where_()),
    ] {
        if let Some(part) = part {
            text.push_str(&format!(
                "{}  {part}\n",
                paint.apply(Style::Faint, &format!("{label}:"))
            ));
        }
    }
    text
}

/// Characters of a long line shown before and after the position.
const EXCERPT_BEFORE: usize = 50;
const EXCERPT_AFTER: usize = 30;

/// The line that holds the character at `position` (counted from 1), with a caret under it.
fn excerpt(sql: &str, position: usize) -> String {
    let mut left = position.saturating_sub(1);
    for (number, line) in sql.split('\n').enumerate() {
        let chars = line.chars().count();
        if left > chars {
            left -= chars + 1;
            continue;
        }
        let skipped = left.saturating_sub(EXCERPT_BEFORE);
        let shown: String = line
            .chars()
            .skip(skipped)
            .take(left - skipped + EXCERPT_AFTER)
            .collect();
        let shown = shown.trim_end_matches('\r').replace('\t', " ");
        let dots = |cut| if cut { "..." } else { "" };
        let label = format!("LINE {}: {}", number + 1, dots(skipped > 0));
        let before: String = shown.chars().take(left - skipped).collect();
        let tail = dots(chars > left + EXCERPT_AFTER);
        return format!(
            "{label}{shown}{tail}\n{}^\n",
            " ".repeat(label.width() + before.width())
        );
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_position() {
        assert_eq!(
            excerpt("SELECT *\nFROM fligths;", 15),
            "LINE 2: FROM fligths;\n             ^\n"
        );
        assert_eq!(excerpt("SELECT", 7), "LINE 1: SELECT\n              ^\n");
        assert_eq!(excerpt("é = ü", 5), "LINE 1: é = ü\n            ^\n");
        assert_eq!(excerpt("a", 99), "");
    }

    #[test]
    fn a_long_line_is_cut_around_the_position() {
        let sql = format!("SELECT {}, oops, {}", "a".repeat(200), "b".repeat(200));
        let text = excerpt(&sql, sql.find("oops").expect("there") + 1);
        let (line, caret) = text.split_once('\n').expect("two lines");
        assert!(
            line.starts_with("LINE 1: ...aaa") && line.ends_with("bbb..."),
            "{line}"
        );
        assert_eq!(line.find("oops"), caret.find('^'));
    }
}
