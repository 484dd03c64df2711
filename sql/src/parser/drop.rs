//! `DROP STREAM | TABLE | [MATERIALIZED] VIEW`.

use super::{Result, StatementParser};
use crate::{
    ast::{DropKind, DropRelations, Statement},
    suggest,
};

impl StatementParser<'_> {
    pub(super) fn drop(&mut self) -> Result<Statement> {
        if self.is_word(1, "TYPE") {
            return self.drop_type();
        }
        if let Some(what) = self.unsupported_drop() {
            return Ok(self.swallow(what));
        }
        self.expect_word("DROP")?;
        let kind = match self.word(0).as_deref() {
            Some("STREAM") => DropKind::Stream,
            Some("TABLE") => DropKind::Table,
            Some("VIEW") => DropKind::View,
            Some("MATERIALIZED") if self.is_word(1, "VIEW") => {
                self.advance(1);
                DropKind::MaterializedView
            }
            word => {
                let near = word.and_then(|word| {
                    suggest::nearest(word, &["STREAM", "TABLE", "MATERIALIZED", "VIEW"])
                });
                let error = self.unexpected("STREAM, TABLE, VIEW or MATERIALIZED VIEW");
                return Err(match near {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None => error,
                });
            }
        };
        self.advance(1);
        let if_exists = self.take_words(&["IF", "EXISTS"]);
        let names = self.list(|parser| parser.object_name())?;
        let cascade = self.take_word("CASCADE");
        if !cascade {
            self.take_word("RESTRICT");
        }
        let delete_topic = self.take_words(&["DELETE", "TOPIC"]);
        Ok(Statement::Drop(DropRelations {
            kind,
            if_exists,
            names,
            cascade,
            delete_topic,
        }))
    }
}
