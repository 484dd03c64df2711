//! `DEFINE name = 'value'` and what becomes of `${name}` in the statements after it.
//!
//! The text is put in before the statement is parsed, so a variable may stand for a name, a literal or
//! a part of one. `$${name}` is `${name}` as it stands. A name that was not defined is left as it is,
//! as in ksqlDB.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sql::ast::Statement;

use crate::error::{Result, StatementError, StatementErrorKind};
use crate::response::Response;
use crate::session::{Session, done};

/// A session's variables, by lower-case name.
#[derive(Debug, Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    pub fn define(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_ascii_lowercase(), value.to_owned());
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// The text with values in place of names. Variables that the text itself defines hold from there on.
    pub fn substitute<'t>(
        &self,
        text: &'t str,
        options: &sql::ParseOptions,
    ) -> Result<Cow<'t, str>> {
        if !text.contains("${") {
            return Ok(Cow::Borrowed(text));
        }
        let split = sql::split_statements(text, options);
        let mut variables = self.clone();
        let mut substituted = String::with_capacity(text.len());
        for span in split.statements.iter().chain(&split.rest) {
            let statement = variables.replace(&text[span.start..span.end]);
            if defines(&statement)
                && let Ok(parsed) = sql::parse(&statement, options)
            {
                for statement in &parsed {
                    match &statement.node {
                        Statement::Define { name, value } => variables.define(name, value),
                        Statement::Undefine(name) => {
                            variables.0.remove(name);
                        }
                        _ => {}
                    }
                }
            }
            substituted.push_str(&statement);
            substituted.push_str(";\n");
        }
        if split.open.is_some() {
            // An unfinished text is refused by the parser, with what it lacks.
            return Ok(Cow::Borrowed(text));
        }
        Ok(Cow::Owned(substituted))
    }

    fn replace(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, reference) = rest.split_at(start);
            let escaped = before.ends_with('$');
            replaced.push_str(before.strip_suffix('$').unwrap_or(before));
            let end = reference.find('}').map_or(reference.len(), |end| end + 1);
            let (reference, after) = reference.split_at(end);
            let name = reference
                .trim_start_matches("${")
                .trim_end_matches('}')
                .trim()
                .to_ascii_lowercase();
            match self.0.get(&name) {
                Some(value) if !escaped => replaced.push_str(value),
                _ => replaced.push_str(reference),
            }
            rest = after;
        }
        replaced.push_str(rest);
        replaced
    }
}

fn defines(statement: &str) -> bool {
    let word = statement.split_whitespace().next().unwrap_or_default();
    word.eq_ignore_ascii_case("DEFINE") || word.eq_ignore_ascii_case("UNDEFINE")
}

impl Session {
    pub(super) fn undefine(&mut self, name: &str) -> Result<Response> {
        match self.variables.0.remove(name) {
            Some(_) => Ok(done("UNDEFINE")),
            None => Err(StatementError::new(
                StatementErrorKind::UndefinedObject,
                format!("variable \"{name}\" is not defined"),
            )
            .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let mut variables = Variables::default();
        variables.define("topic", "orders");
        let substituted = variables.substitute(text, &Default::default()).unwrap();
        assert_eq!(substituted, expected);
    }

    #[test]
    fn names_are_replaced_by_values() {
        check("SELECT 1", "SELECT 1");
        check("PRINT '${Topic}-1'", "PRINT 'orders-1';\n");
        check(
            "SELECT '$${topic} ${other}'",
            "SELECT '${topic} ${other}';\n",
        );
        check(
            "DEFINE n = '${topic}s'; SELECT ${n}; UNDEFINE n; SELECT ${n}",
            "DEFINE n = 'orderss';\nSELECT orderss;\nUNDEFINE n;\nSELECT ${n};\n",
        );
    }
}
