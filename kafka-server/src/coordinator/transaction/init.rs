//! `InitProducerId` for a transactional id: a new epoch, which fences whoever had the one before.

use kafka_protocol::ResponseError;

use super::buffer::{Buffer, Sequences};
use super::{Producer, Stage, Transaction};
use crate::coordinator::transaction_records::{Stored, StoredState};

/// The last epoch that is given out. The next one is needed to fence it.
const EPOCH_MAX: i16 = i16::MAX - 1;

/// A producer that wants to speak for the transactional id.
#[derive(Debug, Clone, Copy)]
pub struct InitRequest {
    pub timeout_ms: i32,
    /// Who it is, if it has been here before and wants to go on after an error.
    pub expected: Option<Producer>,
}

/// What an [`InitRequest`] leads to.
#[derive(Debug)]
pub enum InitOutcome {
    /// It is a retry: this is the epoch that it got.
    Done(Producer),
    /// To be stored, and then told to [`Transaction::initialized`]. What an open transaction held is gone.
    Store(Stored, Option<Buffer>),
    /// The epochs are used up: come again with a new producer id.
    NeedsProducerId,
}

impl Transaction {
    /// A producer wants to speak for the transactional id. `new_producer_id`: one to be used if the epochs
    /// of the present one are used up.
    pub fn init(
        &mut self,
        wall: i64,
        request: InitRequest,
        new_producer_id: Option<i64>,
    ) -> Result<InitOutcome, ResponseError> {
        if self.pending {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let current = self.producer();
        let is_new = current.epoch < 0;
        if let Some(expected) = request.expected
            && !is_new
        {
            let before_rotation =
                expected.id == self.stored.previous_producer_id && expected.epoch >= EPOCH_MAX;
            if expected.id == current.id && expected.epoch == current.epoch {
                // It goes on after an error.
            } else if before_rotation
                || (expected.id == current.id && expected.epoch == self.stored.last_epoch)
            {
                // The answer was lost. Nobody has come between, who would have erased the last epoch.
                return Ok(InitOutcome::Done(current));
            } else {
                return Err(ResponseError::ProducerFenced);
            }
        }
        let rotated = match (current.epoch >= EPOCH_MAX, new_producer_id) {
            (true, None) => return Ok(InitOutcome::NeedsProducerId),
            (true, Some(id)) => Some(id),
            (false, _) => None,
        };
        let stored = self.prepare(wall, |stored| {
            stored.state = StoredState::Empty;
            stored.timeout_ms = request.timeout_ms;
            match rotated {
                Some(id) => {
                    stored.previous_producer_id = match request.expected {
                        Some(_) => current.id,
                        None => -1,
                    };
                    stored.producer_id = id;
                    stored.epoch = 0;
                    stored.last_epoch = -1;
                }
                None => {
                    stored.epoch = current.epoch + 1;
                    stored.previous_producer_id = -1;
                    stored.last_epoch = match request.expected {
                        Some(_) => current.epoch,
                        None => -1,
                    };
                }
            }
        });
        let buffer = match self.stage {
            Stage::Open { .. } | Stage::Lost => self.take_buffer(Stage::Lost),
            Stage::Idle => None,
        };
        Ok(InitOutcome::Store(stored, buffer))
    }

    /// The new epoch is durable, or is not.
    pub fn initialized(&mut self, stored: Result<Stored, ()>) -> Option<Producer> {
        self.pending = false;
        self.stored = stored.ok()?;
        self.stage = Stage::Idle;
        self.sequences = Sequences::new(true);
        Some(self.producer())
    }
}
