//! Texts in, printed statements or errors out.
#![allow(dead_code)] // each test binary uses its own part

use expect_test::Expect;
use sql::{Dialect, ParseError, ParseOptions, parse};

pub const KSQLDB: ParseOptions = ParseOptions {
    dialect: Dialect::Ksqldb,
    ..postgres()
};

pub const fn postgres() -> ParseOptions {
    ParseOptions {
        dialect: Dialect::Postgres,
        limits: sql::Limits::DEFAULT,
    }
}

/// Parses, prints, and makes sure that what was printed parses to the same.
pub fn printed(text: &str, options: &ParseOptions) -> Result<Vec<String>, ParseError> {
    let statements = parse(text, options)?;
    let mut lines = Vec::new();
    for statement in &statements {
        let line = statement.node.to_string();
        if !matches!(statement.node, sql::Statement::Unsupported { .. }) {
            for dialect in [Dialect::Postgres, Dialect::Ksqldb] {
                let options = ParseOptions {
                    dialect,
                    ..*options
                };
                match parse(&line, &options).as_deref() {
                    Ok([again]) if again == statement => {}
                    Ok([again]) => {
                        // Positions differ anyway; leave them out.
                        let bare = |node: &sql::Statement| {
                            let drawn = format!("{node:?}");
                            let pieces = drawn.split("span: Span(");
                            pieces
                                .map(|piece| piece.split_once("))").map_or(piece, |(_, rest)| rest))
                                .collect::<String>()
                        };
                        panic!(
                            "{text}\nprinted as {line}\nwas {}\nbecame {}",
                            bare(statement),
                            bare(again)
                        );
                    }
                    Ok(more) => panic!("{line} became {} statements", more.len()),
                    Err(error) => panic!("{line} is refused: {}", drawn(error, &line)),
                }
            }
        }
        lines.push(line);
    }
    Ok(lines)
}

pub fn drawn(error: &ParseError, text: &str) -> String {
    let mut drawn = format!("{}: {}\n", error.kind.sqlstate(), error.message);
    if let Some(position) = error.position {
        let rest: String = text.chars().skip(position - 1).take(24).collect();
        drawn += &format!("  at {position}: {rest:?}\n");
    }
    if let Some(detail) = &error.detail {
        drawn += &format!("  detail: {detail}\n");
    }
    if let Some(hint) = &error.hint {
        drawn += &format!("  hint: {hint}\n");
    }
    drawn
}

fn result(text: &str, options: &ParseOptions) -> String {
    match printed(text, options) {
        Ok(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
        Err(error) => drawn(&error, text),
    }
}

pub fn check(text: &str, expected: Expect) {
    expected.assert_eq(&result(text, &postgres()));
}

pub fn check_ksqldb(text: &str, expected: Expect) {
    expected.assert_eq(&result(text, &KSQLDB));
}

/// Several texts, one after the other.
pub fn check_all(texts: &[&str], expected: Expect) {
    let all: String = texts
        .iter()
        .map(|text| format!("{text}\n=> {}", result(text, &postgres())))
        .collect();
    expected.assert_eq(&all);
}
