//! The wall clock, behind a trait so that tests own it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the wall-clock time that is recorded with each epoch.
///
/// Offsets and the order of commits never depend on it; a clock that jumps back is held at its last value.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since 1970-01-01 UTC.
    fn now_micros(&self) -> i64;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_micros() as i64,
            Err(before) => -(before.duration().as_micros() as i64),
        }
    }
}
