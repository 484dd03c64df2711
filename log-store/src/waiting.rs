//! Waiting for rows of chosen partitions: no polling, and no waking for rows of others.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Log, Partition, partition::PartitionInner};

/// Those who wait for a partition.
#[derive(Default)]
pub(crate) struct Waiters {
    waiting: Mutex<Vec<Weak<Notify>>>,
}

impl Waiters {
    /// Wakes all of them, also those that look only later.
    pub fn wake(&self) {
        self.waiting.lock().retain(|waiter| {
            let waiter = waiter.upgrade();
            if let Some(waiter) = &waiter {
                waiter.notify_one();
            }
            waiter.is_some()
        });
    }
}

/// Wakes its owner when something changes in any of some partitions: see [`Log::watch_partitions`].
pub struct DataWatch {
    notify: Arc<Notify>,
    partitions: Vec<Arc<PartitionInner>>,
}

impl Log {
    /// A watch on partitions, ingested and derived alike, for one owner.
    ///
    /// Make it first, then read, then wait: nothing that came in between is missed.
    pub fn watch_partitions<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a Partition>,
    ) -> DataWatch {
        let notify = Arc::new(Notify::new());
        let partitions: Vec<_> = partitions
            .into_iter()
            .map(|partition| {
                let waiter = Arc::downgrade(&notify);
                partition.inner.waiters.waiting.lock().push(waiter);
                partition.inner.clone()
            })
            .collect();
        DataWatch { notify, partitions }
    }
}

impl DataWatch {
    /// Waits until rows have become visible in one of the partitions since the last call (or since the watch was made),
    /// or one was dropped, or the log was closed. May wake although nothing can be read yet.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for DataWatch {
    fn drop(&mut self) {
        let own = Arc::as_ptr(&self.notify);
        for partition in &self.partitions {
            let mut waiting = partition.waiters.waiting.lock();
            waiting.retain(|waiter| waiter.as_ptr() != own);
        }
    }
}

impl std::fmt::Debug for DataWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataWatch")
            .field("partitions", &self.partitions.len())
            .finish_non_exhaustive()
    }
}
