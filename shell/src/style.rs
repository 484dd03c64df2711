//! Colours, in one place and few: they help the eye and carry no meaning of their own.

/// What a piece of text is to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Something failed.
    Error,
    /// The server remarks something.
    Notice,
    /// Less important than the text around it: NULL, row counts, comments.
    Faint,
    /// A heading.
    Strong,
    /// A word of the language.
    Keyword,
    /// A literal string.
    String,
    /// A literal number.
    Number,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Error => "1;31",
            Self::Notice => "33",
            Self::Faint => "2",
            Self::Strong => "1",
            Self::Keyword => "34",
            Self::String => "32",
            Self::Number => "36",
        }
    }
}

/// Whether to paint at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// `text` in its style.
    pub fn apply(self, style: Style, text: &str) -> String {
        if self.0 {
            format!("\x1b[{}m{text}\x1b[0m", style.code())
        } else {
            text.to_owned()
        }
    }
}

/// Whether the user wants colours on a terminal (`NO_COLOR`, see no-color.org).
pub fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var("TERM").map_or(true, |terminal| terminal != "dumb")
}
