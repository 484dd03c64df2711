//! Who wants to be called, and when: one timer for all groups and transactions.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::clock::Clock;
use super::group::Millis;

/// The times at which keys want to be called; each has one at the most.
pub struct Deadlines<K> {
    times: Mutex<Times<K>>,
    /// The earliest time has become earlier.
    earlier: Notify,
}

struct Times<K> {
    in_order: BTreeSet<(Millis, K)>,
    of_key: HashMap<K, Millis>,
}

impl<K: Clone + Ord + Hash> Default for Deadlines<K> {
    fn default() -> Self {
        Self {
            times: Mutex::new(Times {
                in_order: BTreeSet::new(),
                of_key: HashMap::new(),
            }),
            earlier: Notify::new(),
        }
    }
}

impl<K: Clone + Ord + Hash> Deadlines<K> {
    /// Sets the time of a key, or takes it away.
    pub fn set(&self, key: &K, time: Option<Millis>) {
        let mut times = self.times.lock();
        let before = times.of_key.get(key).copied();
        if before == time {
            return;
        }
        let first = times.in_order.first().map(|(time, _)| *time);
        if let Some(before) = before {
            times.of_key.remove(key);
            times.in_order.remove(&(before, key.clone()));
        }
        if let Some(time) = time {
            times.of_key.insert(key.clone(), time);
            times.in_order.insert((time, key.clone()));
            if first.is_none_or(|first| time < first) {
                self.earlier.notify_one();
            }
        }
    }

    /// Takes the keys whose time has come.
    pub fn take_due(&self, now: Millis) -> Vec<K> {
        let mut times = self.times.lock();
        let mut due = Vec::new();
        while let Some((time, key)) = times.in_order.first().cloned() {
            if time > now {
                break;
            }
            times.in_order.pop_first();
            times.of_key.remove(&key);
            due.push(key);
        }
        due
    }

    /// Waits until some key's time has come.
    pub async fn wait(&self, clock: &dyn Clock) {
        loop {
            let first = self.times.lock().in_order.first().map(|(time, _)| *time);
            let Some(first) = first else {
                self.earlier.notified().await;
                continue;
            };
            let now = clock.now();
            if first <= now {
                return;
            }
            let time = std::time::Duration::from_millis(first - now);
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = self.earlier.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_due_in_order_and_once() {
        let deadlines = Deadlines::default();
        deadlines.set(&"a", Some(30));
        deadlines.set(&"b", Some(10));
        deadlines.set(&"c", Some(20));
        deadlines.set(&"c", None);
        deadlines.set(&"a", Some(15));
        assert_eq!(deadlines.take_due(9), Vec::<&str>::new());
        assert_eq!(deadlines.take_due(15), ["b", "a"]);
        assert_eq!(deadlines.take_due(100), Vec::<&str>::new());
    }
}
