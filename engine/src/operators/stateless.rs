//! What operators without state have in common: each turns one batch of changes into another.

use crate::change_batch::ChangeBatch;
use crate::operator::{StepContext, StepError};

/// An operator that needs nothing but the batch before it.
///
/// Batches may be given in any order and on any thread; the order of rows within a batch is kept.
pub trait Stateless: Send + Sync {
    fn apply(
        &self,
        batch: ChangeBatch,
        context: &StepContext<'_>,
    ) -> Result<ChangeBatch, StepError>;
}
