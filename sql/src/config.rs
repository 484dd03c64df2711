//! What the caller decides about parsing.

use std::{collections::BTreeMap, sync::Arc};

use crate::ast::DataType;

/// Names given to types by `CREATE TYPE`, in lower case. A type of the language goes before one of the same name.
pub type TypeNames = Arc<BTreeMap<String, DataType>>;

/// How to read a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParseOptions {
    /// Which way unquoted names fold.
    pub dialect: Dialect,
    /// What is too much.
    pub limits: Limits,
}

/// Which language the text is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// Unquoted names fold to lower case.
    #[default]
    Postgres,
    /// Unquoted names fold to upper case.
    Ksqldb,
}

impl Dialect {
    /// Folds an unquoted name, ASCII letters only.
    pub fn fold(self, name: &str) -> String {
        match self {
            Dialect::Postgres => name.to_ascii_lowercase(),
            Dialect::Ksqldb => name.to_ascii_uppercase(),
        }
    }
}

/// What is refused before anybody recurses over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest text, in bytes.
    pub text_bytes_max: usize,
    /// Most words, literals and symbols in one text; what a token costs in memory is some 100 bytes.
    pub tokens_max: usize,
    /// How deeply parentheses, CASE and subqueries may nest.
    pub nesting_max: usize,
    /// Longest path through an expression's tree; a flat chain of n operators is a tree n deep.
    pub depth_max: usize,
    /// Longest list: `IN (…)`, `VALUES …`, arguments.
    pub list_max: usize,
    /// Most columns in a definition.
    pub columns_max: usize,
}

impl Limits {
    /// The limits of a server that faces strangers.
    pub const DEFAULT: Limits = Limits {
        text_bytes_max: 16 << 20,
        tokens_max: 4_000_000,
        nesting_max: 128,
        depth_max: 2_000,
        list_max: 1_000_000,
        columns_max: 1_600,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}
