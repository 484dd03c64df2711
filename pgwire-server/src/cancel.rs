//! Cancel requests: they come over connections of their own and name the session by its key.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// All sessions that can be asked to cancel what they do.
#[derive(Default)]
pub struct CancelRegistry {
    sessions: Mutex<HashMap<i32, Arc<Slot>>>,
    last_process: AtomicI32,
}

/// One session's entry.
struct Slot {
    secret: [u8; 4],
    running: Mutex<Option<CancellationToken>>,
}

/// A session's place in the registry, given back when dropped.
pub struct CancelHandle {
    registry: Arc<CancelRegistry>,
    slot: Arc<Slot>,
    process: i32,
}

impl CancelRegistry {
    /// A key for a new session.
    pub fn register(self: &Arc<Self>) -> CancelHandle {
        let random = uuid::Uuid::new_v4().into_bytes();
        let secret = [random[0], random[1], random[2], random[3]];
        let slot = Arc::new(Slot {
            secret,
            running: Mutex::new(None),
        });
        let mut sessions = self.sessions.lock();
        let process = loop {
            // Positive numbers, round and round.
            let process = self
                .last_process
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_add(1)
                & i32::MAX;
            if process != 0 && !sessions.contains_key(&process) {
                break process;
            }
        };
        sessions.insert(process, slot.clone());
        CancelHandle {
            registry: self.clone(),
            slot,
            process,
        }
    }

    /// Cancels what the session of this key is doing, if the key is right and it is doing something.
    pub fn cancel(&self, process: i32, secret: &[u8]) {
        let slot = self.sessions.lock().get(&process).cloned();
        if let Some(slot) = slot
            && slot.secret.as_slice() == secret
            && let Some(token) = slot.running.lock().as_ref()
        {
            token.cancel();
        }
    }
}

impl CancelHandle {
    pub fn process(&self) -> i32 {
        self.process
    }

    pub fn secret(&self) -> [u8; 4] {
        self.slot.secret
    }

    /// A statement begins: from now on a request cancels this token.
    pub fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.slot.running.lock() = Some(token.clone());
        token
    }

    /// It is over: requests that come now are too late.
    pub fn end(&self) {
        *self.slot.running.lock() = None;
    }
}

impl Drop for CancelHandle {
    fn drop(&mut self) {
        self.registry.sessions.lock().remove(&self.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_cancels_and_only_while_something_runs() {
        let registry = Arc::new(CancelRegistry::default());
        let one = registry.register();
        let two = registry.register();
        assert_ne!(one.process(), two.process());
        let token = one.begin();
        registry.cancel(one.process(), b"????");
        registry.cancel(two.process(), &two.secret());
        assert!(!token.is_cancelled());
        one.end();
        registry.cancel(one.process(), &one.secret());
        assert!(!token.is_cancelled());
        let token = one.begin();
        registry.cancel(one.process(), &one.secret());
        assert!(token.is_cancelled());
        let (process, secret) = (one.process(), one.secret());
        drop(one);
        registry.cancel(process, &secret);
    }
}
