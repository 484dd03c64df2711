//! All transactional ids: finds the one that a request is about, drives it, stores what it wants stored.
//!
//! A transactional id is locked for each step, never across a wait; groups may be locked while it is, never
//! the other way round. Work that must be finished goes on when the client that asked for it has gone.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use kafka_protocol::ResponseError;
use parking_lot::{Mutex, RwLock};

use super::clock::Clock;
use super::deadlines::Deadlines;
use super::group::{Committer, Millis, PartitionName};
use super::groups::{Groups, NewOffset, finish, offset_records};
use super::producer_ids::ProducerIds;
use super::storage::{InternalTopic, Storage, StorageError, Write};
use super::transaction::{
    Buffer, DataBatch, EndOutcome, InitOutcome, InitRequest, Producer, SequenceCheck, Transaction,
};
use super::transaction_records::{self, Stored, TransactionKey};

/// Bounds of transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionsConfig {
    /// Longest time that a producer may ask for.
    pub timeout_max_ms: i32,
    /// Bytes of records that one open transaction may hold in memory.
    pub transaction_bytes_max: usize,
    /// Bytes of records that all open transactions may hold in memory.
    pub transactions_bytes_max: usize,
    /// A transactional id is forgotten when it has not been used for this time.
    pub id_retention_ms: i64,
    /// How often it is looked for what may be forgotten.
    pub id_check_interval_ms: Millis,
}

impl Default for TransactionsConfig {
    fn default() -> Self {
        Self {
            timeout_max_ms: 15 * 60 * 1_000,
            transaction_bytes_max: 256 << 20,
            transactions_bytes_max: 1 << 30,
            id_retention_ms: 7 * 24 * 3_600 * 1_000,
            id_check_interval_ms: 3_600 * 1_000,
        }
    }
}

type SharedTransaction = Arc<Mutex<Transaction>>;

/// All transactional ids, and the producer ids.
pub struct Transactions {
    config: TransactionsConfig,
    transactions: RwLock<HashMap<String, SharedTransaction>>,
    producer_ids: ProducerIds,
    groups: Arc<Groups>,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    deadlines: Deadlines<String>,
    /// Bytes of records that open transactions hold.
    buffered: AtomicUsize,
    next_check: Mutex<Millis>,
}

impl Transactions {
    /// The transactional ids as the log has them. What was open is lost. Blocks.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn open(
        config: TransactionsConfig,
        groups: Arc<Groups>,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StorageError> {
        let mut transactions = HashMap::new();
        let mut next_producer_id = 0;
        let mut unknown = 0_u64;
        storage.replay(InternalTopic::TransactionState, &mut |_, record| match (
            transaction_records::read_key(&record.key),
            record.value,
        ) {
            (Some(TransactionKey::Transaction(id)), None) => {
                transactions.remove(&id);
            }
            (Some(TransactionKey::Transaction(id)), Some(value)) => {
                match transaction_records::read_transaction(&value) {
                    Some(stored) => {
                        transactions.insert(id, stored);
                    }
                    None => unknown += 1,
                }
            }
            (Some(TransactionKey::ProducerIds), Some(value)) => {
                match transaction_records::read_producer_ids(&value) {
                    Some(next) => next_producer_id = next_producer_id.max(next),
                    None => unknown += 1,
                }
            }
            (Some(TransactionKey::ProducerIds), None) | (None, _) => unknown += 1,
        })?;
        if unknown > 0 {
            tracing::warn!(
                unknown,
                "records of transactions that this version cannot read"
            );
        }
        let transactions = transactions
            .into_iter()
            .map(|(id, stored): (String, Stored)| {
                let transaction = Transaction::restore(&*id, stored);
                (id, Arc::new(Mutex::new(transaction)))
            });
        let next_check = clock.now() + config.id_check_interval_ms;
        Ok(Arc::new(Self {
            config,
            transactions: RwLock::new(transactions.collect()),
            producer_ids: ProducerIds::new(storage.clone(), next_producer_id),
            groups,
            storage,
            clock,
            deadlines: Deadlines::default(),
            buffered: AtomicUsize::new(0),
            next_check: Mutex::new(next_check),
        }))
    }

    /// Lets time pass for the transactions, for as long as it is polled.
    pub async fn keep_time(self: &Arc<Self>) {
        loop {
            let until_check = self.next_check.lock().saturating_sub(self.clock.now());
            tokio::select! {
                () = self.deadlines.wait(&*self.clock) => {}
                () = tokio::time::sleep(std::time::Duration::from_millis(until_check)) => {}
            }
            self.expire();
        }
    }

    /// Aborts what has taken too long, and forgets what was not used.
    pub fn expire(self: &Arc<Self>) {
        let now = self.clock.now();
        for id in self.deadlines.take_due(now) {
            if let Some(shared) = self.get(&id) {
                self.time_out(&shared, now);
            }
        }
        let check_due = {
            let mut next_check = self.next_check.lock();
            let due = *next_check <= now;
            if due {
                *next_check = now + self.config.id_check_interval_ms.max(1);
            }
            due
        };
        if check_due {
            self.forget_unused();
        }
    }

    /// A producer wants an id. With a transactional id it gets the same one again, with an epoch that fences
    /// whoever had it before, and whose open transaction is aborted.
    pub async fn init(
        self: &Arc<Self>,
        transactional_id: Option<&str>,
        request: InitRequest,
    ) -> Result<Producer, ResponseError> {
        let Some(id) = transactional_id else {
            let id = self.producer_ids.next().await?;
            return Ok(Producer { id, epoch: 0 });
        };
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if !(1..=self.config.timeout_max_ms).contains(&request.timeout_ms) {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let shared = match self.get(id) {
            Some(shared) => shared,
            None => {
                let producer_id = self.producer_ids.next().await?;
                let mut transactions = self.transactions.write();
                let shared = transactions.entry(id.to_owned()).or_insert_with(|| {
                    let new = Transaction::new(id, producer_id, request.timeout_ms);
                    Arc::new(Mutex::new(new))
                });
                shared.clone()
            }
        };
        let mut new_producer_id = None;
        loop {
            match self.begin_init(&shared, request, new_producer_id)? {
                BeganInit::Done(producer) => return Ok(producer),
                BeganInit::Store(work) => return finish(work).await,
                BeganInit::NeedsProducerId => {
                    new_producer_id = Some(self.producer_ids.next().await?);
                }
            }
        }
    }

    fn begin_init(
        self: &Arc<Self>,
        shared: &SharedTransaction,
        request: InitRequest,
        new_producer_id: Option<i64>,
    ) -> Result<BeganInit, ResponseError> {
        let mut transaction = shared.lock();
        match transaction.init(self.clock.wall(), request, new_producer_id)? {
            InitOutcome::Done(producer) => Ok(BeganInit::Done(producer)),
            InitOutcome::NeedsProducerId => Ok(BeganInit::NeedsProducerId),
            InitOutcome::Store(stored, buffer) => {
                if let Some(buffer) = buffer {
                    self.let_go(transaction.id(), &buffer);
                }
                let work = self.store(shared, &transaction, stored, |transaction, _, stored| {
                    transaction
                        .initialized(stored)
                        .ok_or(ResponseError::CoordinatorNotAvailable)
                });
                Ok(BeganInit::Store(work))
            }
        }
    }

    /// A producer wants to write to partitions, or to commit offsets of a group.
    pub async fn add(
        self: &Arc<Self>,
        id: &str,
        producer: Producer,
        partitions: Vec<PartitionName>,
        group: Option<String>,
    ) -> Result<(), ResponseError> {
        let shared = self.expect(id)?;
        let work = {
            let mut transaction = shared.lock();
            if !transaction.add(producer, &partitions, group.as_deref())? {
                return Ok(());
            }
            let stored = transaction.begin(self.clock.wall());
            self.store(
                &shared,
                &transaction,
                stored,
                move |transaction, now, stored| {
                    transaction.begun(now, stored);
                    if stored_failed(transaction) {
                        return Err(ResponseError::CoordinatorNotAvailable);
                    }
                    transaction
                        .add(producer, &partitions, group.as_deref())
                        .map(|_| ())
                },
            )
        };
        finish(work).await
    }

    /// Whether a partition is part of an open transaction.
    pub fn verify(
        &self,
        id: &str,
        producer: Producer,
        partition: &PartitionName,
    ) -> Result<(), ResponseError> {
        self.expect(id)?.lock().verify(producer, partition)
    }

    /// A producer writes to a partition of its transaction. The batch is held until the transaction ends.
    pub fn produce(
        &self,
        id: &str,
        producer: Producer,
        batch: DataBatch,
    ) -> Result<SequenceCheck, ResponseError> {
        let shared = self.expect(id)?;
        let bytes = batch.bytes;
        let mut transaction = shared.lock();
        let used = self.buffered.load(Ordering::Relaxed);
        let left = self.config.transactions_bytes_max.saturating_sub(used);
        let bytes_max = self.config.transaction_bytes_max;
        let check = transaction.produce(producer, batch, bytes_max, left)?;
        if check == SequenceCheck::Next {
            self.buffered.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(check)
    }

    /// A producer commits offsets of a group with its transaction; an answer for each.
    pub fn commit_offsets(
        &self,
        id: &str,
        producer: Producer,
        group: &str,
        committer: Committer<'_>,
        offsets: Vec<(PartitionName, NewOffset)>,
    ) -> Result<Vec<Result<(), ResponseError>>, ResponseError> {
        let shared = self.expect(id)?;
        let (good, answers) = self.groups.check_offsets(offsets);
        let mut transaction = shared.lock();
        transaction.check_offsets(producer, group)?;
        let good: super::transaction::GroupOffsets = good.into_iter().collect();
        let partitions = good.keys().cloned();
        self.groups.hold(group, committer, id, partitions)?;
        transaction.commit_offsets(group, good)?;
        Ok(answers)
    }

    /// A producer ends its transaction: everything it holds becomes durable and visible at once, or nothing.
    pub async fn end(
        self: &Arc<Self>,
        id: &str,
        producer: Producer,
        commit: bool,
    ) -> Result<(), ResponseError> {
        let shared = self.expect(id)?;
        let work = {
            let mut transaction = shared.lock();
            match transaction.end(producer, commit)? {
                EndOutcome::Done => return Ok(()),
                EndOutcome::Commit => self.commit(&shared, &mut transaction),
                EndOutcome::Abort => {
                    let (stored, buffer) = transaction.begin_abort(self.clock.wall());
                    self.abort(&shared, &transaction, stored, buffer)
                }
            }
        };
        finish(work).await
    }

    fn commit(
        self: &Arc<Self>,
        shared: &SharedTransaction,
        transaction: &mut Transaction,
    ) -> BoxFuture<'static, Result<(), ResponseError>> {
        let stored = transaction.begin_commit(self.clock.wall());
        let buffer = transaction.buffer().expect("what commits is open");
        let record = transaction_records::transaction_record(transaction.id(), Some(&stored));
        let mut write = Write {
            transactions: vec![record],
            ..Write::default()
        };
        for (group, offsets) in buffer.offsets() {
            let offsets: Vec<_> = offsets.clone().into_iter().collect();
            write.offsets.extend(offset_records(group, &offsets));
        }
        // A topic that was deleted meanwhile takes its records with it, and does not hold up the others.
        let is_there = |batch: &&DataBatch| self.storage.takes(batch);
        write.data = buffer.batches().iter().filter(is_there).cloned().collect();
        let durable = self.storage.append(write);
        let (transactions, shared) = (self.clone(), shared.clone());
        Box::pin(async move {
            let result = durable.await;
            let mut transaction = shared.lock();
            let outcome = match result {
                Ok(position) => {
                    let buffer = transaction.committed(Ok(stored));
                    let buffer =
                        buffer.expect("nothing ends a transaction that is being committed");
                    transactions.publish(transaction.id(), &buffer, position);
                    Ok(())
                }
                Err(error) => {
                    tracing::warn!(id = transaction.id(), %error, "a transaction could not be committed");
                    transaction.committed(Err(()));
                    Err(error.code())
                }
            };
            transactions.renew_deadline(&transaction);
            outcome
        })
    }

    fn abort(
        self: &Arc<Self>,
        shared: &SharedTransaction,
        transaction: &Transaction,
        stored: Stored,
        buffer: Option<Buffer>,
    ) -> BoxFuture<'static, Result<(), ResponseError>> {
        if let Some(buffer) = buffer {
            self.let_go(transaction.id(), &buffer);
        }
        self.store(shared, transaction, stored, |transaction, _, stored| {
            let result = match stored {
                Ok(_) => Ok(()),
                Err(()) => Err(ResponseError::CoordinatorNotAvailable),
            };
            transaction.aborted(stored);
            result
        })
    }

    fn time_out(self: &Arc<Self>, shared: &SharedTransaction, now: Millis) {
        let mut transaction = shared.lock();
        let Some((stored, buffer)) = transaction.begin_timeout(now, self.clock.wall()) else {
            // What is in progress sets it again when it is done.
            return;
        };
        tracing::info!(
            id = transaction.id(),
            "a transaction has taken too long and is aborted"
        );
        let work = self.abort(shared, &transaction, stored, buffer);
        tokio::spawn(work);
    }

    /// Stores a change of a transactional id, and lets it take effect.
    fn store<T: Send + 'static>(
        self: &Arc<Self>,
        shared: &SharedTransaction,
        transaction: &Transaction,
        stored: Stored,
        effect: impl FnOnce(&mut Transaction, Millis, Result<Stored, ()>) -> Result<T, ResponseError>
        + Send
        + 'static,
    ) -> BoxFuture<'static, Result<T, ResponseError>> {
        let record = transaction_records::transaction_record(transaction.id(), Some(&stored));
        let durable = self.storage.append(Write {
            transactions: vec![record],
            ..Write::default()
        });
        let (transactions, shared) = (self.clone(), shared.clone());
        Box::pin(async move {
            let result = durable.await;
            let mut transaction = shared.lock();
            let stored = result.map(|_| stored).map_err(|error| {
                tracing::warn!(id = transaction.id(), %error, "a transaction's state could not be stored");
            });
            let outcome = effect(&mut transaction, transactions.clock.now(), stored);
            transactions.renew_deadline(&transaction);
            outcome
        })
    }

    fn renew_deadline(&self, transaction: &Transaction) {
        self.deadlines
            .set(&transaction.id().to_owned(), transaction.deadline());
    }

    /// What a transaction has committed for groups becomes visible.
    fn publish(&self, id: &str, buffer: &Buffer, position: u64) {
        let mut position = position;
        for (group, offsets) in buffer.offsets() {
            let count = offsets.len() as u64;
            let offsets = offsets.clone().into_iter().collect();
            self.groups.release(group, id, offsets, position);
            position += count;
        }
        self.buffered.fetch_sub(buffer.bytes(), Ordering::Relaxed);
    }

    /// What a transaction held is gone.
    fn let_go(&self, id: &str, buffer: &Buffer) {
        for group in buffer.offsets().keys() {
            self.groups.release(group, id, Vec::new(), 0);
        }
        self.buffered.fetch_sub(buffer.bytes(), Ordering::Relaxed);
    }

    fn forget_unused(&self) {
        let long_ago = self
            .clock
            .wall()
            .saturating_sub(self.config.id_retention_ms);
        let mut transactions = self.transactions.write();
        transactions.retain(|id, shared| {
            // Nobody else can get hold of it while all are locked.
            let unused = Arc::strong_count(shared) == 1 && shared.lock().is_unused_since(long_ago);
            if unused {
                let durable = self.storage.append(Write {
                    transactions: vec![transaction_records::transaction_record(id, None)],
                    ..Write::default()
                });
                // If it is not stored, the next start finds it again.
                drop(durable);
                self.deadlines.set(id, None);
            }
            !unused
        });
    }

    fn get(&self, id: &str) -> Option<SharedTransaction> {
        self.transactions.read().get(id).cloned()
    }

    fn expect(&self, id: &str) -> Result<SharedTransaction, ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        self.get(id).ok_or(ResponseError::InvalidProducerIdMapping)
    }
}

enum BeganInit {
    Done(Producer),
    Store(BoxFuture<'static, Result<Producer, ResponseError>>),
    NeedsProducerId,
}

/// Whether the transaction that was to begin has not.
fn stored_failed(transaction: &Transaction) -> bool {
    transaction.buffer().is_none()
}
