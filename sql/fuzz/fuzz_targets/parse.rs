//! Any text gets an answer, and what parses is printed to something that parses to the same.
//!
//! `cargo +nightly fuzz run parse` in `sql/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sql::{Dialect, ParseOptions, Statement, parse, split_statements};

fuzz_target!(|text: &str| {
    for dialect in [Dialect::Postgres, Dialect::Ksqldb] {
        let options = ParseOptions { dialect, ..ParseOptions::default() };
        split_statements(text, &options);
        let Ok(statements) = parse(text, &options) else { continue };
        for statement in &statements {
            if matches!(statement.node, Statement::Unsupported { .. }) {
                continue;
            }
            let printed = statement.node.to_string();
            match parse(&printed, &options).as_deref() {
                Ok([again]) => assert_eq!(again, statement, "printed as {printed}"),
                other => panic!("printed as {printed}, which gives {other:?}"),
            }
        }
    }
});
