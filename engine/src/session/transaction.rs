//! `BEGIN`, `COMMIT`, `ROLLBACK`.
//!
//! What a transaction writes is kept until it commits, and is then one append: one epoch, for every
//! reader all of it or nothing. Its own reads do not see it before.

use std::collections::HashMap;
use std::time::Duration;

use log_store::NewBatch;
use sql::ast::TransactionModes;

use crate::catalog::RelationId;
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::response::Response;
use crate::session::{Session, done};
use crate::write_locks::WriteGuard;

/// Bytes that a transaction may write.
const TRANSACTION_BYTES_MAX: usize = 512 << 20;

/// A transaction that holds a table and waits this long for another is given up.
const DEADLOCK_AFTER: Duration = Duration::from_secs(5);

/// An open transaction.
#[derive(Default)]
pub struct Transaction {
    pub failed: bool,
    batches: Vec<NewBatch>,
    bytes: usize,
    guards: HashMap<RelationId, WriteGuard>,
}

impl Transaction {
    /// Gives up what was written; statements are refused until the transaction ends.
    pub fn fail(&mut self) {
        self.failed = true;
        self.batches.clear();
        self.guards.clear();
    }
}

impl Session {
    pub(super) fn begin(&mut self, _modes: &TransactionModes) -> Result<Response> {
        if self.transaction.is_some() {
            self.notice("there is already a transaction in progress");
        } else {
            self.transaction = Some(Transaction::default());
        }
        Ok(done("BEGIN"))
    }

    pub(super) async fn commit(&mut self, chain: bool) -> Result<Response> {
        let Some(transaction) = self.transaction.take() else {
            self.notice("there is no transaction in progress");
            return Ok(done("COMMIT"));
        };
        self.end_transaction(chain);
        if transaction.failed {
            return Ok(done("ROLLBACK"));
        }
        if !transaction.batches.is_empty() {
            self.append(transaction.batches, transaction.guards).await?;
        }
        Ok(done("COMMIT"))
    }

    pub(super) fn rollback(&mut self, chain: bool) -> Response {
        if self.transaction.take().is_none() {
            self.notice("there is no transaction in progress");
        }
        self.end_transaction(chain);
        done("ROLLBACK")
    }

    fn end_transaction(&mut self, chain: bool) {
        self.cursors.retain(|_, cursor| cursor.hold);
        self.settings.end_transaction();
        if chain {
            self.transaction = Some(Transaction::default());
        }
    }

    /// Takes the right to write a relation: for this statement, or until the transaction ends.
    pub(super) async fn lock_for_write(
        &mut self,
        relation: RelationId,
        exclusive: bool,
    ) -> Result<Option<WriteGuard>> {
        let held = self
            .transaction
            .as_ref()
            .and_then(|t| t.guards.get(&relation));
        match (held, exclusive) {
            (Some(WriteGuard::Exclusive(_)), false) | (Some(WriteGuard::Shared(_)), false) => {
                return Ok(None);
            }
            (Some(_), true) => {
                return Err(StatementError::new(
                    StatementErrorKind::Unsupported,
                    "UPDATE or DELETE of a table that the transaction has already written is not supported",
                )
                .with_hint("Commit first: a transaction does not read its own writes.")
                .into());
            }
            (None, _) => {}
        }
        let holds_others = self
            .transaction
            .as_ref()
            .is_some_and(|transaction| !transaction.guards.is_empty());
        let writes = &self.engine.writes;
        let locking = async {
            match exclusive {
                true => writes.exclusive(relation).await,
                false => writes.shared(relation).await,
            }
        };
        let guard = if holds_others {
            // Whoever has it may be waiting for what this transaction has.
            tokio::time::timeout(DEADLOCK_AFTER, locking)
                .await
                .map_err(|_| {
                    StatementError::new(StatementErrorKind::Deadlock, "deadlock detected")
                        .with_detail("The transaction has written one table and waits for another that others are writing.")
                        .with_hint("Try the transaction again; write tables in the same order everywhere.")
                })?
        } else {
            locking.await
        };
        match &mut self.transaction {
            None => Ok(Some(guard)),
            Some(transaction) => {
                transaction.guards.insert(relation, guard);
                Ok(None)
            }
        }
    }

    /// Appends. What is held is let go only when the rows are in the log, even if nobody waits for the
    /// answer any more: who computes rows from what is there must not miss these.
    async fn append<G: Send + 'static>(&mut self, batches: Vec<NewBatch>, held: G) -> Result<()> {
        let append = self.engine.log.append(batches);
        let appending = tokio::spawn(async move {
            let appended = append.await;
            drop(held);
            appended
        });
        let appended = appending
            .await
            .map_err(|error| Error::Internal(error.to_string()))??;
        self.written = self.written.max(appended.epoch.0);
        Ok(())
    }

    /// Appends, or keeps for the commit.
    pub(super) async fn write(
        &mut self,
        batches: Vec<NewBatch>,
        guard: Option<WriteGuard>,
    ) -> Result<()> {
        if batches.is_empty() {
            return Ok(());
        }
        let Some(transaction) = &mut self.transaction else {
            return self.append(batches, guard).await;
        };
        transaction.bytes += batches.iter().map(|batch| batch.body.len()).sum::<usize>();
        if transaction.bytes > TRANSACTION_BYTES_MAX {
            return Err(too_large());
        }
        transaction.batches.extend(batches);
        Ok(())
    }
}

fn too_large() -> Error {
    StatementError::new(
        StatementErrorKind::ProgramLimit,
        format!(
            "a transaction may write at most {} MiB",
            TRANSACTION_BYTES_MAX >> 20
        ),
    )
    .into()
}
