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

mod analyze;
pub mod ast;
mod audit;
mod blank;
mod config;
mod dialect;
mod error;
mod guard;
mod idents;
mod lexer;
mod parser;
mod print;
mod split;
mod suggest;
mod type_name;

pub use analyze::{Parts, has_wildcard, mentions, parameter_count, relations};
pub use ast::{DataType, Query, Span, Spanned, Statement};
pub use config::{Dialect, Limits, ParseOptions, TypeNames};
pub use error::{ParseError, ParseErrorKind};
pub use parser::{parse, parse_with_types};
pub use split::{Open, Split, split_statements};
