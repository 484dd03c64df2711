//! Where something stood in the text.

use std::ops::Deref;

/// A range of bytes in the text given to [`crate::parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The text it covers.
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        source.get(self.start..self.end).unwrap_or_default()
    }
}

/// A node together with the text it came from. Two are equal when their nodes are.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// The node itself.
    pub node: T,
    /// Its text, without the `;` and without white space or comments around it.
    pub span: Span,
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.node
    }
}

/// The character position, from 1, at which a piece of sqlparser's tree begins; `None` if it is not known.
pub fn position(span: sqlparser::tokenizer::Span) -> Option<usize> {
    (span.start.line != 0).then_some(span.start.column as usize)
}
