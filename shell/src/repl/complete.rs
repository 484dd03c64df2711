//! What may follow at the cursor. A look at the words before it is enough: no grammar is consulted, so an odd statement
//! merely gets more candidates than it needs.

use super::keywords::{FUNCTIONS, KEYWORDS};
use super::names::Names;
use crate::command::COMMANDS;
use crate::lexer::{self, Kind};

/// Whether a file name is being typed: after `\i`, `\o`, or in the quotes of `\copy`.
pub fn wants_file(before: &str) -> bool {
    let before = before.trim_start();
    ["\\i ", "\\o ", "\\include "]
        .iter()
        .any(|command| before.starts_with(command))
        || (before.starts_with("\\copy ") && before.matches('\'').count() % 2 == 1)
}

/// The candidates at `position`, and where the word they replace begins.
pub fn candidates(line: &str, position: usize, names: &Names) -> (usize, Vec<String>) {
    let before = &line[..position];
    let start = before
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '"'))
        .map_or(0, |at| {
            at + before[at..].chars().next().map_or(0, char::len_utf8)
        });
    if before.trim_start().starts_with('\\') && !before.contains(char::is_whitespace) {
        let commands = COMMANDS.iter().map(|(name, _, _)| (*name).to_owned());
        return (
            0,
            commands.filter(|name| name.starts_with(before)).collect(),
        );
    }
    let prefix = &before[start..];
    let place = Place::find(&before[..start]);
    let matching = |name: &&String| starts_with(name, prefix);
    let mut found: Vec<String> = match &place {
        Place::Inside => Vec::new(),
        Place::Relation => names.relations.keys().filter(matching).cloned().collect(),
        Place::ColumnOf(qualifier) => match names.relations.get(qualifier) {
            Some(columns) => columns.iter().filter(matching).cloned().collect(),
            // An alias: any column of the relations in the statement.
            None => columns_in(line, names).filter(matching).cloned().collect(),
        },
        Place::Anywhere => {
            let mut found: Vec<String> =
                columns_in(line, names).filter(matching).cloned().collect();
            found.extend(names.relations.keys().filter(matching).cloned());
            if !prefix.is_empty() {
                let functions = FUNCTIONS.iter().filter(|name| starts_with(name, prefix));
                found.extend(functions.map(|name| (*name).to_owned()));
                let upper = !prefix.chars().any(char::is_lowercase);
                let keywords = KEYWORDS.iter().filter(|name| starts_with(name, prefix));
                found.extend(keywords.map(|name| {
                    if upper {
                        (*name).to_owned()
                    } else {
                        name.to_lowercase()
                    }
                }));
            }
            found
        }
    };
    let mut seen = std::collections::HashSet::new();
    found.retain(|name| seen.insert(name.clone()));
    (start, found)
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// What can stand at the cursor.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// In a string or comment: nothing of ours.
    Inside,
    /// A stream, table or view.
    Relation,
    /// A column after `name.`
    ColumnOf(String),
    /// Keywords, columns, relations, functions.
    Anywhere,
}

impl Place {
    fn find(before: &str) -> Self {
        let tokens: Vec<_> = lexer::tokens(before)
            .filter(|token| token.kind != Kind::Blank)
            .collect();
        let Some(last) = tokens.last() else {
            return Self::Anywhere;
        };
        if !last.closed
            || (last.kind == Kind::Comment
                && !before.ends_with('\n')
                && last.text(before).starts_with("--"))
        {
            return Self::Inside;
        }
        let text = last.text(before);
        if text == "."
            && let [.., qualifier, _] = tokens.as_slice()
        {
            return Self::ColumnOf(qualifier.text(before).to_owned());
        }
        let expects_relation = [
            "FROM", "JOIN", "INTO", "UPDATE", "DESCRIBE", "EXTENDED", "COPY",
        ];
        let is_drop = tokens
            .first()
            .is_some_and(|first| first.text(before).eq_ignore_ascii_case("drop"));
        if expects_relation
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word))
            || (is_drop
                && ["STREAM", "TABLE", "VIEW", "EXISTS"]
                    .iter()
                    .any(|word| text.eq_ignore_ascii_case(word)))
            || matches!(before.trim(), "\\d" | "\\d+" | "\\copy")
        {
            return Self::Relation;
        }
        Self::Anywhere
    }
}

/// The columns of the relations that a statement names.
fn columns_in<'a>(line: &'a str, names: &'a Names) -> impl Iterator<Item = &'a String> {
    let named =
        lexer::tokens(line).filter(|token| matches!(token.kind, Kind::Word | Kind::QuotedName));
    named
        .filter_map(|token| names.relations.get(token.text(line)))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Completes at the `|` in `text`.
    fn check(text: &str, expected: &[&str]) {
        let mut names = Names::default();
        names.relations.insert(
            "flights".to_owned(),
            vec!["carrier".to_owned(), "dep_delay".to_owned()],
        );
        names
            .relations
            .insert("planes".to_owned(), vec!["tailnum".to_owned()]);
        let position = text.find('|').expect("a cursor");
        let (_, found) = candidates(&text.replace('|', ""), position, &names);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn relations_after_from() {
        check("select * from |", &["flights", "planes"]);
        check("select * from fl|", &["flights"]);
        check("drop stream |", &["flights", "planes"]);
        check("\\d pl|", &["planes"]);
    }

    #[test]
    fn columns_of_the_relations_in_the_statement() {
        check("select dep| from flights", &["dep_delay"]);
        check("select planes.| from planes", &["tailnum"]);
        check("select f.ca| from flights f", &["carrier"]);
    }

    #[test]
    fn keywords_follow_the_case_of_what_is_typed() {
        check("sele|", &["select"]);
        check("SELE|", &["SELECT"]);
    }

    #[test]
    fn nothing_in_strings_and_comments() {
        check("select 'sel|", &[]);
        check("-- sel|", &[]);
    }

    #[test]
    fn commands() {
        check("\\cop|", &["\\copy"]);
        assert!(
            wants_file("\\i scr") && wants_file("\\copy t from 'da") && !wants_file("\\copy t")
        );
    }
}
