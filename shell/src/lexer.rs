//! SQL text cut into tokens, as far as a client must understand it: where a statement ends, and what to colour.
//!
//! The lexical rules are PostgreSQL's (single-quoted strings with doubled quotes, `E''` escapes, dollar quoting, nested
//! block comments, double-quoted identifiers) and ksqlDB's back-quoted identifiers. Nothing here knows the grammar; the
//! server judges the statement.
//!
//! Invariant: the tokens of a text are adjacent and cover it completely, so that spans may be painted one after the other.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An unquoted word: a keyword or a name.
    Word,
    /// A name in double quotes or backquotes.
    QuotedName,
    /// A string literal of any of the three kinds.
    String,
    /// A numeric literal.
    Number,
    /// `-- …` or `/* … */`.
    Comment,
    /// Blanks and line ends.
    Blank,
    /// The `;` that ends a statement.
    Semicolon,
    /// Any other single character.
    Symbol,
}

/// A token: its kind and its place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Byte position of its first character.
    pub start: usize,
    /// Byte position after its last character.
    pub end: usize,
    /// False for a string, quoted name or block comment that the text ends inside of.
    pub closed: bool,
}

impl Token {
    /// The token's text.
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.start..self.end]
    }
}

/// Cuts `sql` into tokens.
pub fn tokens(sql: &str) -> Tokens<'_> {
    Tokens { sql, position: 0 }
}

/// Iterator over the tokens of a text.
pub struct Tokens<'a> {
    sql: &'a str,
    position: usize,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.position;
        let rest = &self.sql[start..];
        let first = rest.chars().next()?;
        let (kind, len, closed) = match first {
            ';' => (Kind::Semicolon, 1, true),
            '\'' => string(rest, 0),
            'e' | 'E' if rest[1..].starts_with('\'') => string(rest, 1),
            '"' | '`' => quoted_name(rest, first),
            '$' => dollar_quoted(rest).unwrap_or((Kind::Symbol, 1, true)),
            '-' if rest.starts_with("--") => {
                (Kind::Comment, rest.find('\n').unwrap_or(rest.len()), true)
            }
            '/' if rest.starts_with("/*") => block_comment(rest),
            c if c.is_whitespace() => (Kind::Blank, span(rest, char::is_whitespace), true),
            c if c.is_ascii_digit() => (Kind::Number, number(rest), true),
            c if c.is_alphabetic() || c == '_' => (Kind::Word, span(rest, is_word), true),
            c => (Kind::Symbol, c.len_utf8(), true),
        };
        self.position = start + len;
        Some(Token {
            kind,
            start,
            end: self.position,
            closed,
        })
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Length of the prefix whose characters all fulfil `belongs`.
fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

fn number(text: &str) -> usize {
    let mut len = span(text, |c| c.is_ascii_digit() || c == '.' || c == '_');
    let exponent = &text[len..];
    if exponent.starts_with(['e', 'E']) {
        let sign = usize::from(exponent[1..].starts_with(['+', '-']));
        let digits = span(&exponent[1 + sign..], |c| c.is_ascii_digit());
        if digits > 0 {
            len += 1 + sign + digits;
        }
    }
    len
}

/// A string whose opening quote stands after `prefix` bytes; a prefix means backslash escapes.
fn string(text: &str, prefix: usize) -> (Kind, usize, bool) {
    let bytes = text.as_bytes();
    let mut at = prefix + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return (Kind::String, at + 1, true),
            b'\\' if prefix > 0 && at + 1 < bytes.len() => at += 1 + char_len(text, at + 1),
            _ => at += 1,
        }
    }
    (Kind::String, text.len(), false)
}

fn char_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

fn quoted_name(text: &str, quote: char) -> (Kind, usize, bool) {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        if bytes[at] == quote as u8 {
            if bytes.get(at + 1) != Some(&(quote as u8)) {
                return (Kind::QuotedName, at + 1, true);
            }
            at += 1;
        }
        at += 1;
    }
    (Kind::QuotedName, text.len(), false)
}

/// `$tag$ … $tag$`; `None` where the dollar opens no string (`$1`).
fn dollar_quoted(text: &str) -> Option<(Kind, usize, bool)> {
    let tag = span(&text[1..], |c| c.is_alphanumeric() || c == '_');
    let named = text[1..].starts_with(|c: char| c.is_alphabetic() || c == '_') || tag == 0;
    if !named || !text[1 + tag..].starts_with('$') {
        return None;
    }
    let delimiter = &text[..tag + 2];
    Some(match text[delimiter.len()..].find(delimiter) {
        Some(body) => (Kind::String, body + 2 * delimiter.len(), true),
        None => (Kind::String, text.len(), false),
    })
}

/// A block comment; they nest.
fn block_comment(text: &str) -> (Kind, usize, bool) {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (at, depth) = (at + 2, depth + 1),
            b"*/" => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return (Kind::Comment, at, true);
        }
    }
    (Kind::Comment, text.len(), false)
}

/// Byte position after the first statement of `sql` (after its `;`), if it is there as a whole.
pub fn statement_end(sql: &str) -> Option<usize> {
    tokens(sql)
        .find(|token| token.kind == Kind::Semicolon)
        .map(|token| token.end)
}

/// Whether `sql` says anything at all: more than blanks, comments and semicolons. An open comment is still to be finished
/// and counts as something.
pub fn is_blank(sql: &str) -> bool {
    tokens(sql).all(|token| {
        matches!(token.kind, Kind::Blank | Kind::Comment | Kind::Semicolon) && token.closed
    })
}

/// Whether a line editor may hand `sql` over: it ends with a `;` outside of all quotes, apart from blanks and comments.
pub fn is_complete(sql: &str) -> bool {
    let mut complete = false;
    for token in tokens(sql) {
        match token.kind {
            Kind::Semicolon => complete = true,
            Kind::Blank | Kind::Comment if token.closed => {}
            _ => complete = false,
        }
    }
    complete
}

/// The words of a statement in upper case, without those in quotes.
pub fn words(sql: &str) -> impl Iterator<Item = String> + '_ {
    tokens(sql)
        .filter(|token| token.kind == Kind::Word)
        .map(|token| token.text(sql).to_uppercase())
}

/// Whether a name must be quoted to mean itself: unquoted names fold to lower case.
pub fn quote_name(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let found: Vec<String> = tokens(sql)
            .filter(|token| token.kind != Kind::Blank)
            .map(|token| {
                format!(
                    "{:?}{} {}",
                    token.kind,
                    if token.closed { "" } else { " open" },
                    token.text(sql)
                )
            })
            .collect();
        assert_eq!(found.join("\n"), expected);
        let joined: String = tokens(sql).map(|token| token.text(sql)).collect();
        assert_eq!(joined, sql, "tokens cover the text");
    }

    #[test]
    fn quotes_hide_semicolons() {
        check(
            "select 'a;''b', E'\\';', \"x;\"\"y\", `z;`, $$;$$, $t$;$$;$t$;",
            "Word select\nString 'a;''b'\nSymbol ,\nString E'\\';'\nSymbol ,\nQuotedName \"x;\"\"y\"\nSymbol ,\n\
             QuotedName `z;`\nSymbol ,\nString $$;$$\nSymbol ,\nString $t$;$$;$t$\nSemicolon ;",
        );
    }

    #[test]
    fn comments_hide_semicolons_and_nest() {
        check(
            "-- a; b\n1 /* ; /* ; */ ; */ ;",
            "Comment -- a; b\nNumber 1\nComment /* ; /* ; */ ; */\nSemicolon ;",
        );
        check("/* a /* b */", "Comment open /* a /* b */");
    }

    #[test]
    fn numbers_parameters_and_umlauts() {
        check(
            "1.5e-3 2e $1 größe 'ü",
            "Number 1.5e-3\nNumber 2\nWord e\nSymbol $\nNumber 1\nWord größe\nString open 'ü",
        );
    }

    #[test]
    fn a_statement_ends_at_its_semicolon() {
        assert_eq!(statement_end("select ';' ; select 2;"), Some(12));
        assert_eq!(statement_end("select ';'"), None);
        assert!(is_complete("select 1; -- done"));
        assert!(!is_complete("select 1; /* not yet"));
        assert!(!is_complete("select 1; select 2"));
        assert!(is_blank(" ; -- x\n"));
        assert!(!is_blank("/* x"));
    }

    #[test]
    fn names_that_fold_are_quoted() {
        assert_eq!(quote_name("delay_2"), "delay_2");
        assert_eq!(quote_name("Delay"), "\"Delay\"");
        assert_eq!(quote_name("a\"b"), "\"a\"\"b\"");
    }
}
