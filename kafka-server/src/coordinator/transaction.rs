//! The transactions of one transactional id: who its producer is, and what its open transaction holds.
//!
//! ```text
//!          AddPartitionsToTxn, AddOffsetsToTxn        EndTxn(commit): one append
//!   Idle ──────────────────────────────────► Open ───────────────────────────────► Idle
//!    ▲                                         │ abort, timeout, InitProducerId
//!    └──────────── Lost ◄──────────────────────┘
//!                   ▲
//!                   └── found Ongoing at the start of the server
//! ```
//!
//! Records of an open transaction are held in memory and appended when it is committed, all in one append
//! together with the offsets and the state; so nobody ever reads what is not committed, and there are no
//! markers. Like Kafka's, the machine is told durably that a transaction has begun before any record of it is
//! taken: that is how a start of the server knows which transactions it has lost. Such a one refuses
//! everything with errors on which clients abort and ask for a new epoch ([`Stage::Lost`]); it never commits.
//!
//! The machine is pure. A change that must be stored is prepared with [`Transaction::prepare`], during which
//! everybody else is told to come back ([`ResponseError::ConcurrentTransactions`]), and then takes effect or
//! does not.

mod buffer;
mod init;
#[cfg(test)]
mod tests;

use kafka_protocol::ResponseError;

pub use buffer::{Buffer, DataBatch, GroupOffsets, SequenceCheck};
pub use init::{InitOutcome, InitRequest};

use super::group::{Millis, PartitionName};
use super::transaction_records::{Stored, StoredState};
use buffer::Sequences;

/// Who speaks for a transactional id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// Where the transaction stands in memory.
#[derive(Debug)]
pub enum Stage {
    /// None is open.
    Idle,
    /// Open, with what it holds, until a time.
    Open { buffer: Buffer, deadline: Millis },
    /// Begun, but what it held is gone, because the server was restarted or the abort is being stored.
    Lost,
}

/// A transactional id.
#[derive(Debug)]
pub struct Transaction {
    id: String,
    /// As it is stored, or will be when what is pending has been stored.
    stored: Stored,
    stage: Stage,
    /// A change is being stored.
    pending: bool,
    /// Of the present epoch, over its transactions.
    sequences: Sequences,
}

/// What `EndTxn` leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum EndOutcome {
    /// It is a retry of what has been done.
    Done,
    /// The transaction is to be committed: [`Transaction::begin_commit`].
    Commit,
    /// It is to be aborted: [`Transaction::begin_abort`].
    Abort,
}

impl Transaction {
    /// A transactional id that nobody has used.
    pub fn new(id: impl Into<String>, producer_id: i64, timeout_ms: i32) -> Self {
        Self {
            id: id.into(),
            stored: Stored {
                producer_id,
                epoch: -1,
                last_epoch: -1,
                previous_producer_id: -1,
                timeout_ms,
                state: StoredState::Empty,
                updated_at: 0,
            },
            stage: Stage::Idle,
            pending: false,
            sequences: Sequences::new(true),
        }
    }

    /// A transactional id as it was stored.
    pub fn restore(id: impl Into<String>, stored: Stored) -> Self {
        Self {
            id: id.into(),
            stage: match stored.state {
                StoredState::Ongoing => Stage::Lost,
                StoredState::Empty | StoredState::CompleteCommit | StoredState::CompleteAbort => {
                    Stage::Idle
                }
            },
            stored,
            pending: false,
            // Its producer may have gone on with this epoch from where it was.
            sequences: Sequences::new(false),
        }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who speaks for it now.
    pub fn producer(&self) -> Producer {
        Producer {
            id: self.stored.producer_id,
            epoch: self.stored.epoch,
        }
    }

    /// When its open transaction is to be aborted.
    pub fn deadline(&self) -> Option<Millis> {
        match &self.stage {
            Stage::Open { deadline, .. } => Some(*deadline),
            Stage::Idle | Stage::Lost => None,
        }
    }

    /// Whether it is not in use, as of a time on the wall clock.
    pub fn is_unused_since(&self, wall: i64) -> bool {
        !self.pending && !matches!(self.stage, Stage::Open { .. }) && self.stored.updated_at < wall
    }

    /// What its open transaction holds.
    pub fn buffer(&self) -> Option<&Buffer> {
        match &self.stage {
            Stage::Open { buffer, .. } => Some(buffer),
            Stage::Idle | Stage::Lost => None,
        }
    }

    /// Whoever speaks for it must be its present producer, and nothing may be in progress.
    fn check(&self, producer: Producer) -> Result<(), ResponseError> {
        self.check_owner(producer)?;
        match self.pending {
            true => Err(ResponseError::ConcurrentTransactions),
            false => Ok(()),
        }
    }

    fn check_owner(&self, producer: Producer) -> Result<(), ResponseError> {
        if producer.id != self.stored.producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if producer.epoch != self.stored.epoch {
            return Err(ResponseError::ProducerFenced);
        }
        Ok(())
    }

    /// The producer wants to write to partitions, or to commit offsets of a group. `true`: a transaction
    /// begins, which must be stored first ([`Transaction::begin`]).
    pub fn add(
        &mut self,
        producer: Producer,
        partitions: &[PartitionName],
        group: Option<&str>,
    ) -> Result<bool, ResponseError> {
        self.check(producer)?;
        match &mut self.stage {
            Stage::Idle => Ok(true),
            Stage::Open { buffer, .. } => {
                buffer.add(partitions, group);
                Ok(false)
            }
            // The error on which all clients abort, which they can, and go on. The one that the mapping of the
            // producer's id is gone ends newer Java producers.
            Stage::Lost => Err(ResponseError::UnknownProducerId),
        }
    }

    /// A transaction begins. Gives what is to be stored.
    pub fn begin(&mut self, wall: i64) -> Stored {
        self.prepare(wall, |stored| stored.state = StoredState::Ongoing)
    }

    /// That a transaction has begun is durable, or is not.
    pub fn begun(&mut self, now: Millis, stored: Result<Stored, ()>) {
        self.pending = false;
        if let Ok(stored) = stored {
            self.stage = Stage::Open {
                buffer: Buffer::default(),
                deadline: now + stored.timeout_ms.max(0) as Millis,
            };
            self.stored = stored;
        }
    }

    /// Whether partitions are part of the open transaction.
    pub fn verify(
        &self,
        producer: Producer,
        partition: &PartitionName,
    ) -> Result<(), ResponseError> {
        self.check(producer)?;
        match self.buffer() {
            Some(buffer) if buffer.has(partition) => Ok(()),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// The producer writes to a partition of its transaction, which may hold so much memory, and all
    /// together so much more.
    pub fn produce(
        &mut self,
        producer: Producer,
        batch: DataBatch,
        bytes_max: usize,
        bytes_left: usize,
    ) -> Result<SequenceCheck, ResponseError> {
        // A fenced producer is told by this code when it writes, not by `PRODUCER_FENCED`.
        self.check_owner(producer).map_err(|error| match error {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            other => other,
        })?;
        if self.pending {
            return Err(ResponseError::InvalidTxnState);
        }
        match &mut self.stage {
            Stage::Idle => Err(ResponseError::InvalidTxnState),
            // Clients answer this one, too, with an abort and a new epoch.
            Stage::Lost => Err(ResponseError::UnknownProducerId),
            Stage::Open { buffer, .. } => {
                if !buffer.has(&batch.partition) {
                    return Err(ResponseError::InvalidTxnState);
                }
                let check = self.sequences.check(&batch)?;
                if check == SequenceCheck::Next {
                    if buffer.bytes().saturating_add(batch.bytes) > bytes_max {
                        // Trying again would not help, and clients do not with this one: they abort.
                        return Err(ResponseError::PolicyViolation);
                    }
                    if batch.bytes > bytes_left {
                        return Err(ResponseError::ThrottlingQuotaExceeded);
                    }
                    self.sequences.remember(&batch);
                    buffer.push(batch);
                }
                Ok(check)
            }
        }
    }

    /// The producer commits offsets of a group when the transaction commits. The group has agreed.
    pub fn commit_offsets(
        &mut self,
        group: &str,
        offsets: GroupOffsets,
    ) -> Result<(), ResponseError> {
        match &mut self.stage {
            Stage::Open { buffer, .. } => {
                buffer.put_offsets(group, offsets);
                Ok(())
            }
            Stage::Idle | Stage::Lost => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Whether offsets of a group may be added now.
    pub fn check_offsets(&self, producer: Producer, group: &str) -> Result<(), ResponseError> {
        self.check(producer).map_err(|error| match error {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            other => other,
        })?;
        match &self.stage {
            Stage::Open { buffer, .. } if buffer.has_group(group) => Ok(()),
            Stage::Open { .. } | Stage::Idle => Err(ResponseError::InvalidTxnState),
            // With this request clients abort on what is wrong with a group, not with a producer.
            Stage::Lost => Err(ResponseError::IllegalGeneration),
        }
    }

    /// The producer ends its transaction. A retry of an end that was done is answered likewise.
    pub fn end(&self, producer: Producer, commit: bool) -> Result<EndOutcome, ResponseError> {
        self.check(producer)?;
        match (&self.stage, self.stored.state, commit) {
            (Stage::Open { .. }, _, true) => Ok(EndOutcome::Commit),
            (Stage::Open { .. } | Stage::Lost, _, false) => Ok(EndOutcome::Abort),
            (Stage::Lost, _, true) => Err(ResponseError::UnknownProducerId),
            (Stage::Idle, StoredState::CompleteCommit, true)
            | (Stage::Idle, StoredState::CompleteAbort, false) => Ok(EndOutcome::Done),
            (Stage::Idle, _, _) => Err(ResponseError::InvalidTxnState),
        }
    }

    /// The transaction commits. Gives what is to be stored together with what it holds.
    pub fn begin_commit(&mut self, wall: i64) -> Stored {
        self.prepare(wall, |stored| stored.state = StoredState::CompleteCommit)
    }

    /// The commit is durable, and gives back what was held; or nothing has changed.
    pub fn committed(&mut self, stored: Result<Stored, ()>) -> Option<Buffer> {
        self.pending = false;
        let stored = stored.ok()?;
        self.stored = stored;
        self.take_buffer(Stage::Idle)
    }

    /// The transaction aborts: what it holds is given back at once. Also what is to be stored.
    pub fn begin_abort(&mut self, wall: i64) -> (Stored, Option<Buffer>) {
        let stored = self.prepare(wall, |stored| stored.state = StoredState::CompleteAbort);
        (stored, self.take_buffer(Stage::Lost))
    }

    /// The transaction has taken too long: it aborts, and its producer is fenced.
    pub fn begin_timeout(&mut self, now: Millis, wall: i64) -> Option<(Stored, Option<Buffer>)> {
        if self.pending || self.deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        let stored = self.prepare(wall, |stored| {
            stored.state = StoredState::CompleteAbort;
            // At the last epoch the next `InitProducerId` gives a new id.
            stored.epoch = stored.epoch.saturating_add(1);
            stored.last_epoch = -1;
        });
        // Whatever becomes of the record, the producer is not let back.
        self.stored.epoch = stored.epoch;
        self.stored.last_epoch = -1;
        self.sequences = Sequences::new(true);
        Some((stored, self.take_buffer(Stage::Lost)))
    }

    /// The abort is durable; or it stays lost, until it is aborted again.
    pub fn aborted(&mut self, stored: Result<Stored, ()>) {
        self.pending = false;
        if let Ok(stored) = stored {
            self.stored = stored;
            self.stage = Stage::Idle;
        }
    }

    fn take_buffer(&mut self, next: Stage) -> Option<Buffer> {
        match std::mem::replace(&mut self.stage, next) {
            Stage::Open { buffer, .. } => Some(buffer),
            Stage::Idle | Stage::Lost => None,
        }
    }

    /// Prepares a change. Until its end is told, nothing else may happen.
    fn prepare(&mut self, wall: i64, change: impl FnOnce(&mut Stored)) -> Stored {
        self.pending = true;
        let mut stored = self.stored.clone();
        stored.updated_at = wall;
        change(&mut stored);
        stored
    }
}
