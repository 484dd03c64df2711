//! Time, handed in so that tests can let it pass.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::group::Millis;

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// For timeouts: never goes back.
    fn now(&self) -> Millis;

    /// For what is stored: milliseconds since the epoch UTC.
    fn wall(&self) -> i64;
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        self.start.elapsed().as_millis() as Millis
    }

    fn wall(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_millis() as i64)
    }
}
