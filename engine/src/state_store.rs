//! Where state survives: one RocksDB in the data directory.
//!
//! A checkpoint is one atomic, synced write batch: the changed entries of every operator and table
//! together with the frontier they stand at. So what is read back after a crash is always the state
//! at one epoch. The log is the source of truth; all of this could be computed again from it.
//!
//! Keys: `owner length: u16 · owner · key`, where the owner is `query/step` or `relation`.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, DB, DBCompressionType, Direction, IteratorMode, Options, WriteBatch,
    WriteOptions,
};

use crate::error::{Error, Result};
use crate::operator::{StateReader, StateWriter, StepError};

/// Key of the meta data record; no owner has an empty name.
const META_KEY: &[u8] = &[0, 0];

/// The state store of an engine.
pub struct StateStore {
    db: DB,
}

/// Changes that become durable together.
#[derive(Default)]
pub struct Checkpoint {
    batch: WriteBatch,
    cleared: Vec<Vec<u8>>,
    bytes: usize,
}

/// What a checkpoint says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckpointMeta {
    /// The epoch that all state stands at.
    pub frontier: u64,
    /// Queries whose state is in the checkpoint.
    pub queries: Vec<QueryMeta>,
}

/// A query whose state is in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct QueryMeta {
    pub id: String,
    /// The epoch that its state stands at; less than the checkpoint's if it is paused.
    pub frontier: u64,
}

impl StateStore {
    /// Opens the store, creating it if absent.
    pub fn open(path: &Path) -> Result<Self> {
        let mut table = BlockBasedOptions::default();
        table.set_block_size(16 << 10);
        table.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_block_based_table_factory(&table);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(2);
        options.set_write_buffer_size(32 << 20);
        let db = DB::open(&options, path).map_err(store)?;
        Ok(Self { db })
    }

    /// Meta data of the last checkpoint, `None` before the first.
    pub fn meta(&self) -> Result<Option<CheckpointMeta>> {
        match self.db.get(META_KEY).map_err(store)? {
            None => Ok(None),
            Some(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| Error::Corruption(format!("state store meta data: {error}"))),
        }
    }

    /// Makes a checkpoint durable, all or nothing.
    pub fn commit(&self, checkpoint: Checkpoint, meta: &CheckpointMeta) -> Result<()> {
        let Checkpoint { batch, cleared, .. } = checkpoint;
        let mut whole = WriteBatch::default();
        for owner in &cleared {
            let (from, to) = owner_range(owner);
            whole.delete_range(from, to);
        }
        // A clear stands before everything the same owner wrote in this checkpoint, so the ranges
        // go first and the entries are replayed behind them.
        batch.iterate(&mut Replay(&mut whole));
        let meta = serde_json::to_vec(meta).expect("meta data has only strings and numbers");
        whole.put(META_KEY, meta);
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(whole, &options).map_err(store)
    }

    /// Forgets everything.
    pub fn wipe(&self) -> Result<()> {
        let mut all = WriteBatch::default();
        all.delete_range(vec![], vec![u8::MAX; 3]);
        self.db.write(all).map_err(store)
    }

    /// The entries of one owner.
    pub fn reader(&self, owner: &str) -> OwnerReader<'_> {
        OwnerReader {
            db: &self.db,
            prefix: owner_prefix(owner),
        }
    }
}

struct Replay<'a>(&'a mut WriteBatch);

impl rocksdb::WriteBatchIterator for Replay<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.put(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.delete(key);
    }
}

impl Checkpoint {
    /// Takes the entries of one owner.
    pub fn writer<'a>(&'a mut self, owner: &str) -> OwnerWriter<'a> {
        OwnerWriter {
            prefix: owner_prefix(owner),
            checkpoint: self,
        }
    }

    /// Forgets everything an owner ever wrote.
    pub fn drop_owner(&mut self, owner: &str) {
        self.cleared.push(owner_prefix(owner));
    }

    /// Bytes of entries taken so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Writes one owner's entries into a checkpoint.
pub struct OwnerWriter<'a> {
    checkpoint: &'a mut Checkpoint,
    prefix: Vec<u8>,
}

impl OwnerWriter<'_> {
    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_slice(), key].concat()
    }
}

impl StateWriter for OwnerWriter<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        let key = self.key(key);
        self.checkpoint.bytes += key.len() + value.len();
        self.checkpoint.batch.put(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        let key = self.key(key);
        self.checkpoint.bytes += key.len();
        self.checkpoint.batch.delete(key);
    }

    fn clear(&mut self) {
        self.checkpoint.cleared.push(self.prefix.clone());
    }
}

/// Reads one owner's entries.
pub struct OwnerReader<'a> {
    db: &'a DB,
    prefix: Vec<u8>,
}

impl StateReader for OwnerReader<'_> {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StepError> {
        let from = [self.prefix.as_slice(), prefix].concat();
        for entry in self
            .db
            .iterator(IteratorMode::From(&from, Direction::Forward))
        {
            let (key, value) = entry.map_err(|error| StepError::Store(error.to_string()))?;
            if !key.starts_with(&from) {
                break;
            }
            visit(&key[self.prefix.len()..], &value);
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StepError> {
        self.db
            .get([self.prefix.as_slice(), key].concat())
            .map_err(|error| StepError::Store(error.to_string()))
    }
}

fn owner_prefix(owner: &str) -> Vec<u8> {
    let length = u16::try_from(owner.len()).expect("owners' names are short");
    [&length.to_be_bytes(), owner.as_bytes()].concat()
}

/// First key of an owner and the first key behind it.
fn owner_range(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut end = prefix.to_vec();
    for at in (0..end.len()).rev() {
        if end[at] < u8::MAX {
            end[at] += 1;
            end.truncate(at + 1);
            break;
        }
    }
    (prefix.to_vec(), end)
}

fn store(error: rocksdb::Error) -> Error {
    Error::Store(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(store: &StateStore, owner: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        store
            .reader(owner)
            .scan(b"", &mut |key, value| {
                found.push((
                    String::from_utf8_lossy(key).into_owned(),
                    String::from_utf8_lossy(value).into_owned(),
                ));
            })
            .unwrap();
        found
    }

    #[test]
    fn a_checkpoint_replaces_what_an_owner_cleared_and_leaves_others_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateStore::open(dir.path()).unwrap();
        let mut first = Checkpoint::default();
        first.writer("a").put(b"1", b"x");
        first.writer("a").put(b"2", b"y");
        first.writer("ab").put(b"1", b"z");
        let meta = CheckpointMeta {
            frontier: 7,
            queries: vec![],
        };
        store.commit(first, &meta).unwrap();
        let mut second = Checkpoint::default();
        let mut writer = second.writer("a");
        writer.clear();
        writer.put(b"3", b"w");
        store.commit(second, &meta).unwrap();
        assert_eq!(entries(&store, "a"), [("3".into(), "w".into())]);
        assert_eq!(entries(&store, "ab"), [("1".into(), "z".into())]);
        assert_eq!(store.meta().unwrap(), Some(meta));
    }
}
