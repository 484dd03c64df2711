//! Statements that exist elsewhere, so that they get "not supported" rather than "syntax error".

use super::StatementParser;

/// First words that need no second one.
const WHOLE: &[&str] = &[
    "ANALYSE",
    "ANALYZE",
    "ATTACH",
    "CALL",
    "CHECKPOINT",
    "CLUSTER",
    "COMMENT",
    "DETACH",
    "DO",
    "GRANT",
    "KILL",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "REASSIGN",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "REVOKE",
    "RUN",
    "SAVEPOINT",
    "SECURITY",
    "SPOOL",
    "UNLISTEN",
    "USE",
    "VACUUM",
];

/// What CREATE, ALTER and DROP may name that we do not have.
const OBJECTS: &[&str] = &[
    "ACCESS",
    "AGGREGATE",
    "CAST",
    "CLUSTER",
    "COLLATION",
    "CONNECTION",
    "CONNECTOR",
    "CONVERSION",
    "DATABASE",
    "DEFAULT",
    "DOMAIN",
    "EVENT",
    "EXTENSION",
    "EXTERNAL",
    "FOREIGN",
    "FUNCTION",
    "GLOBAL",
    "GROUP",
    "INDEX",
    "LANGUAGE",
    "LARGE",
    "LOCAL",
    "MACRO",
    "OPERATOR",
    "OWNED",
    "POLICY",
    "PROCEDURE",
    "PUBLICATION",
    "RECURSIVE",
    "ROUTINE",
    "RULE",
    "SCHEMA",
    "SECRET",
    "SEQUENCE",
    "SERVER",
    "SINK",
    "STATISTICS",
    "SUBSCRIPTION",
    "TABLESPACE",
    "TEMP",
    "TEMPORARY",
    "TEXT",
    "TRANSFORM",
    "TRIGGER",
    "TRUSTED",
    "TYPE",
    "UNIQUE",
    "UNLOGGED",
];

impl StatementParser<'_> {
    /// What a statement that begins with this word is called, if we know of it.
    pub(super) fn unsupported_statement(&self, word: &str) -> Option<String> {
        match word {
            "ALTER" => {
                let object = self.word(1)?;
                let known = OBJECTS.contains(&object.as_str())
                    || matches!(
                        object.as_str(),
                        "STREAM" | "TABLE" | "VIEW" | "MATERIALIZED" | "SYSTEM"
                    );
                known.then(|| match object.as_str() {
                    "MATERIALIZED" => "ALTER MATERIALIZED VIEW".to_owned(),
                    object => format!("ALTER {object}"),
                })
            }
            "ASSERT" => {
                let second = if self.is_word(1, "NOT") && self.is_word(2, "EXISTS") {
                    3
                } else {
                    1
                };
                match self.word(second)?.as_str() {
                    object @ ("SCHEMA" | "VALUES" | "STREAM" | "TABLE") => {
                        Some(format!("ASSERT {object}"))
                    }
                    "NULL" => Some("ASSERT NULL VALUES".to_owned()),
                    _ => None,
                }
            }
            word => WHOLE.contains(&word).then(|| word.to_owned()),
        }
    }

    pub(super) fn unsupported_create(&self) -> Option<String> {
        let object = if self.is_word(1, "OR") && self.is_word(2, "REPLACE") {
            3
        } else {
            1
        };
        if self.is_word(object, "SOURCE") && self.is_word(object + 1, "CONNECTOR") {
            return Some("CREATE CONNECTOR".to_owned());
        }
        self.unsupported_object("CREATE", object)
    }

    pub(super) fn unsupported_drop(&self) -> Option<String> {
        self.unsupported_object("DROP", 1)
    }

    fn unsupported_object(&self, verb: &str, n: usize) -> Option<String> {
        let object = self.word(n)?;
        let known = OBJECTS.contains(&object.as_str());
        known.then(|| match (object.as_str(), self.word(n + 1).as_deref()) {
            ("SINK", Some("CONNECTOR")) => format!("{verb} CONNECTOR"),
            ("UNIQUE", Some("INDEX")) => format!("{verb} INDEX"),
            ("TEMP" | "TEMPORARY" | "UNLOGGED", Some(what)) => format!("{verb} {object} {what}"),
            _ => format!("{verb} {object}"),
        })
    }
}
