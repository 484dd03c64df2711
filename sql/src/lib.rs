//! The language of Millpond: its lexer, its syntax tree, its parser, and printing a tree back.
//!
//! ```text
//!  text ──lexer──► tokens ──guard──► tokens ──parser──► Statement ──Display──► text
//!          fold names,     refuse      own descent for statements and streaming
//!          positions       what is     clauses; sqlparser for expressions and queries
//!                          too deep
//! ```
//!
//! The dialect is ksqlDB's language on PostgreSQL's lexical rules. This crate knows nothing of catalogs, types of
//! columns or plans: what it returns says what was written, with names folded once and for all.

pub mod ast;
mod config;
mod error;

pub use ast::{DataType, Query, Span, Spanned, Statement};
pub use config::{Dialect, Limits, ParseOptions};
pub use error::{ParseError, ParseErrorKind};
