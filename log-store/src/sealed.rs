//! The sealed epoch: published by the committer, awaited by everybody else without polling.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::Epoch;

/// The times of so many newest epochs are kept in memory; older ones are looked up in the log.
const TIMES_MAX: usize = 65_536;

pub(crate) struct Sealed {
    epoch: AtomicU64,
    watch: watch::Sender<Epoch>,
    times: Mutex<VecDeque<(Epoch, i64)>>,
    changed: Condvar,
}

impl Sealed {
    pub fn new(epoch: Epoch, time: i64) -> Self {
        Sealed {
            epoch: AtomicU64::new(epoch.0),
            watch: watch::Sender::new(epoch),
            times: Mutex::new(VecDeque::from([(epoch, time)])),
            changed: Condvar::new(),
        }
    }

    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    pub fn watch(&self) -> watch::Receiver<Epoch> {
        self.watch.subscribe()
    }

    /// The wall-clock time of the newest epoch.
    pub fn last_time(&self) -> i64 {
        self.times.lock().back().map_or(i64::MIN, |&(_, time)| time)
    }

    /// Everything of `epoch` is published already.
    pub fn seal(&self, epoch: Epoch, time: i64) {
        let mut times = self.times.lock();
        if times.len() == TIMES_MAX {
            times.pop_front();
        }
        times.push_back((epoch, time));
        self.epoch.store(epoch.0, Ordering::Release);
        self.changed.notify_all();
        drop(times);
        self.watch.send_replace(epoch);
    }

    /// The time of `epoch` (or of the nearest one before it, if its number was skipped), while it is among the newest.
    pub fn recent_time(&self, epoch: Epoch) -> Option<i64> {
        let times = self.times.lock();
        // From the front on every sealed epoch is here; what lies before it is known only to the log.
        let after = times.partition_point(|&(known, _)| known <= epoch);
        times.get(after.checked_sub(1)?).map(|&(_, time)| time)
    }

    pub fn wait_after(&self, epoch: Epoch, timeout: Duration) -> Epoch {
        let deadline = Instant::now() + timeout;
        let mut times = self.times.lock();
        while self.epoch() <= epoch {
            if self.changed.wait_until(&mut times, deadline).timed_out() {
                break;
            }
        }
        self.epoch()
    }
}
