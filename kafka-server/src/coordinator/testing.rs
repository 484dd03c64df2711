//! A clock that stands until it is told, and a log in memory that can be held, refused and crashed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::clock::Clock;
use super::group::{Millis, PartitionName};
use super::storage::{Durable, InternalTopic, Record, Storage, StorageError, Write};

/// A clock that stands until it is told.
#[derive(Default)]
pub struct ManualClock {
    now: AtomicU64,
}

impl ManualClock {
    pub fn advance(&self, by: Millis) {
        self.now.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.now.load(Ordering::SeqCst)
    }

    fn wall(&self) -> i64 {
        1_700_000_000_000 + self.now() as i64
    }
}

/// What is done with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is durable at once.
    Durable,
    /// It waits for [`MemoryLog::settle`], and a crash before that loses it.
    Held,
    /// It fails, and nothing is written.
    Refused,
}

#[derive(Default)]
struct Contents {
    durable: Vec<Write>,
    held: Vec<(Write, oneshot::Sender<Result<u64, StorageError>>)>,
    offsets: u64,
}

/// A log in memory.
pub struct MemoryLog {
    contents: Mutex<Contents>,
    mode: Mutex<Mode>,
    /// Topics that do not exist; all others do, with 100 partitions.
    missing: Mutex<Vec<String>>,
    /// How often topics were made anew.
    made_anew: Mutex<HashMap<String, u128>>,
}

impl MemoryLog {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            contents: Mutex::default(),
            mode: Mutex::new(Mode::Durable),
            missing: Mutex::new(vec!["missing".into()]),
            made_anew: Mutex::default(),
        })
    }

    pub fn set_mode(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }

    pub fn drop_topic(&self, name: &str) {
        self.missing.lock().push(name.into());
    }

    /// Deletes a topic and makes one of the same name.
    pub fn make_topic_anew(&self, name: &str) {
        *self.made_anew.lock().entry(name.into()).or_default() += 1;
    }

    /// Makes durable what is held.
    pub fn settle(&self) {
        let held = std::mem::take(&mut self.contents.lock().held);
        for (write, reply) in held {
            let position = self.contents.lock().write(write);
            let _ = reply.send(Ok(position));
        }
    }

    /// How many writes wait.
    pub fn held(&self) -> usize {
        self.contents.lock().held.len()
    }

    /// The log as it is found after a crash: without what is held.
    pub fn after_crash(&self) -> Arc<Self> {
        let log = Self::new();
        *log.missing.lock() = self.missing.lock().clone();
        *log.made_anew.lock() = self.made_anew.lock().clone();
        for write in &self.contents.lock().durable {
            log.contents.lock().write(Write {
                offsets: write.offsets.clone(),
                transactions: write.transactions.clone(),
                data: write.data.clone(),
            });
        }
        log
    }

    /// The log as it was after its first writes.
    pub fn after_writes(&self, count: usize) -> Arc<Self> {
        let log = self.after_crash();
        let mut contents = log.contents.lock();
        contents.durable.truncate(count);
        contents.offsets = contents
            .durable
            .iter()
            .map(|write| write.offsets.len() as u64)
            .sum();
        drop(contents);
        log
    }

    /// How many writes are durable.
    pub fn writes(&self) -> usize {
        self.contents.lock().durable.len()
    }

    /// What was written to a partition, in order.
    pub fn data(&self, partition: &PartitionName) -> Vec<Bytes> {
        let contents = self.contents.lock();
        let batches = contents.durable.iter().flat_map(|write| &write.data);
        batches
            .filter(|batch| batch.partition == *partition)
            .map(|batch| batch.payload.downcast_ref::<Bytes>().unwrap().clone())
            .collect()
    }
}

impl Contents {
    fn write(&mut self, write: Write) -> u64 {
        let position = self.offsets;
        self.offsets += write.offsets.len() as u64;
        self.durable.push(write);
        position
    }
}

impl Storage for MemoryLog {
    fn append(&self, write: Write) -> Durable {
        match *self.mode.lock() {
            Mode::Durable => {
                let position = self.contents.lock().write(write);
                async move { Ok(position) }.boxed()
            }
            Mode::Held => {
                let (reply, answer) = oneshot::channel();
                self.contents.lock().held.push((write, reply));
                let crashed = || Err(StorageError::Failed("crashed".into()));
                async move { answer.await.unwrap_or_else(|_| crashed()) }.boxed()
            }
            Mode::Refused => async { Err(StorageError::Failed("refused".into())) }.boxed(),
        }
    }

    fn replay(
        &self,
        topic: InternalTopic,
        visit: &mut dyn FnMut(u64, Record),
    ) -> Result<(), StorageError> {
        let contents = self.contents.lock();
        let records = contents.durable.iter().flat_map(|write| match topic {
            InternalTopic::ConsumerOffsets => &write.offsets,
            InternalTopic::TransactionState => &write.transactions,
        });
        for (position, record) in records.enumerate() {
            visit(position as u64, record.clone());
        }
        Ok(())
    }

    fn topic_id(&self, topic: &str, partition: i32) -> Option<Uuid> {
        let is_missing = self.missing.lock().iter().any(|name| name == topic);
        if is_missing || !(0..100).contains(&partition) {
            return None;
        }
        let made_anew = self.made_anew.lock().get(topic).copied();
        Some(Uuid::from_u128(1 + made_anew.unwrap_or(0)))
    }
}

/// A partition by name.
pub fn partition(topic: &str, partition: i32) -> PartitionName {
    PartitionName {
        topic: topic.into(),
        partition,
    }
}

/// A result as text.
pub fn outcome<T>(result: Result<T, ResponseError>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => format!("{error:?}"),
    }
}
