//! Where state survives: one RocksDB in the data directory.
//!
//! A checkpoint is one atomic, synced write batch: the changed entries of every operator and table
//! together with the frontier they stand at. So what is read back after a crash is always the state
//! at one epoch. The log is the source of truth; all of this could be computed again from it, and
//! is where something here cannot be read.
//!
//! Rows that memory has no room for are read from here, too: of the present state by steps, and by
//! readers as they were when the reader began ([`frozen`]).
//!
//! Keys: `owner length: u16 · owner · key`, where the owner is `query/step` or `relation`.

mod frozen;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use rocksdb::{
    BlockBasedOptions, DB, DBCompressionType, Direction, ErrorKind, FlushOptions, IteratorMode,
    Options, ReadOptions, WriteBatch, WriteOptions,
};

use crate::error::{Error, Result};
use crate::operator::{ChunkSource, StateReader, StateWriter, StepError};

/// Key of the meta data record; no owner has an empty name.
const META_KEY: &[u8] = &[0, 0];

/// Entries that are copied at a time when a damaged store is replaced, bytes.
const COPY_BYTES: usize = 4 << 20;

/// A store up to this size is read through when it is opened, which takes a second at most.
const VERIFIED_BYTES_MAX: u64 = 512 << 20;

/// The state store of an engine.
pub struct StateStore {
    path: PathBuf,
    /// `None` only while it is opened anew.
    db: RwLock<Option<Arc<DB>>>,
    /// Whether it could be opened anew for reading only.
    read_only: AtomicBool,
    /// Whether the disk is to look full to the tests.
    #[cfg(test)]
    pub(crate) refuses: AtomicBool,
}

/// Rows in memory before RocksDB writes a file of them, bytes.
const WRITE_BUFFER_BYTES: usize = 32 << 20;

/// More than this in memory is written when the store is closed, bytes: a start replays it slower
/// than it reads a file.
const CLOSED_BYTES_MAX: u64 = 1 << 20;

/// Changes that become durable together.
#[derive(Default)]
pub struct Checkpoint {
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    cleared: Vec<Vec<u8>>,
}

/// A key, and the value that stands behind it.
struct Entry {
    start: usize,
    key_bytes: u32,
    /// [`Entry::DELETED`] for none.
    value_bytes: u32,
}

impl Entry {
    const DELETED: u32 = u32::MAX;

    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start..][..self.key_bytes as usize]
    }

    fn value<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let value = &bytes[self.start + self.key_bytes as usize..];
        (self.value_bytes != Self::DELETED).then(|| &value[..self.value_bytes as usize])
    }
}

/// The form that entries have now. State of another form is computed anew.
pub const FORMAT: u32 = 2;

/// What a checkpoint says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckpointMeta {
    /// See [`FORMAT`].
    #[serde(default)]
    pub format: u32,
    /// The epoch that all state stands at.
    pub frontier: u64,
    /// Queries whose state is in the checkpoint.
    pub queries: Vec<QueryMeta>,
    /// Tables that could not be read when it was taken, so that what it has of them is not theirs.
    #[serde(default)]
    pub unreadable: Vec<u32>,
    /// Numbers of base tables over records whose rows are in the checkpoint.
    #[serde(default)]
    pub tables_over_records: Vec<u32>,
}

/// A query whose state is in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct QueryMeta {
    pub id: String,
    /// The epoch that its state stands at; less than the checkpoint's if it is paused.
    pub frontier: u64,
    /// Through which epoch it has seen streams of which it has not seen all up to `frontier`.
    #[serde(default)]
    pub seen: BTreeMap<u32, u64>,
}

impl StateStore {
    /// Opens the store, creating it if absent. One that is damaged as a whole is put aside.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let db = match open_db(path) {
            Err(error) if is_damage(&error) => {
                let aside = put_aside(path)?;
                tracing::error!(
                    %error,
                    aside = %aside.display(),
                    "the state store cannot be opened; computing all state anew from the log"
                );
                open_db(path)
            }
            opened => opened,
        };
        Ok(Arc::new(Self {
            path: path.to_owned(),
            db: RwLock::new(Some(Arc::new(db.map_err(store)?))),
            read_only: AtomicBool::new(false),
            #[cfg(test)]
            refuses: AtomicBool::new(false),
        }))
    }

    fn db(&self) -> Result<Arc<DB>> {
        let db = self.db.read().clone();
        db.ok_or_else(|| Error::Store("it could not be opened again after an error".into()))
    }

    /// Meta data of the last checkpoint, `None` before the first.
    pub fn meta(&self) -> Result<Option<CheckpointMeta>> {
        let Some(bytes) = self.db()?.get(META_KEY).map_err(store)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::Corruption(format!("state store meta data: {error}")))
    }

    /// Makes a checkpoint durable, all or nothing. After an error it may be tried again.
    pub fn commit(&self, checkpoint: &Checkpoint, meta: &CheckpointMeta) -> Result<()> {
        #[cfg(test)]
        if self.refuses.load(Ordering::Acquire) {
            return Err(Error::Store("no space left on device".into()));
        }
        let write = || -> Result<()> {
            let mut options = WriteOptions::default();
            options.set_sync(true);
            let whole = checkpoint.whole(meta);
            let db = self.db()?;
            db.write_opt(whole, &options).map_err(store)?;
            // One write fills memory beyond its bound, and the next one may be far away.
            if checkpoint.bytes() > WRITE_BUFFER_BYTES {
                let mut options = FlushOptions::default();
                options.set_wait(false);
                if let Err(error) = db.flush_opt(&options) {
                    tracing::warn!(%error, "the state store cannot be flushed");
                }
            }
            Ok(())
        };
        if self.read_only.load(Ordering::Acquire) {
            self.reopen()?;
            return write();
        }
        write().or_else(|error| {
            // RocksDB takes no more writes after one has failed, until it is opened anew.
            tracing::warn!(%error, "the state store could not be written; opening it anew");
            match self.reopen() {
                Ok(()) => write(),
                Err(_) => Err(error),
            }
        })
    }

    /// Leaves little to be replayed by the next start. Nothing is lost if it fails.
    pub fn settle(&self) {
        let settle = || -> Result<()> {
            let db = self.db()?;
            let held = db.property_int_value("rocksdb.cur-size-all-mem-tables");
            if held.map_err(store)?.unwrap_or(0) > CLOSED_BYTES_MAX {
                db.flush().map_err(store)?;
            }
            Ok(())
        };
        if let Err(error) = settle() {
            tracing::warn!(%error, "the state store cannot be flushed");
        }
    }

    /// Closes the database and opens it again, if only for reading when the disk is full.
    fn reopen(&self) -> Result<()> {
        let mut held = self.db.write();
        if held.as_ref().is_some_and(|db| Arc::strong_count(db) > 1) {
            return Err(Error::Store(
                "readers keep it from being opened anew".into(),
            ));
        }
        *held = None;
        match open_db(&self.path) {
            Ok(db) => {
                *held = Some(Arc::new(db));
                self.read_only.store(false, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.read_only.store(true, Ordering::Release);
                let db = DB::open_for_read_only(&options(), &self.path, false).map_err(store)?;
                *held = Some(Arc::new(db));
                Err(store(error))
            }
        }
    }

    /// Reads everything, unless that takes long; whether all could be read.
    pub fn verify(&self) -> Result<bool> {
        let db = self.db()?;
        let size = db.property_int_value("rocksdb.total-sst-files-size");
        if size
            .map_err(store)?
            .is_some_and(|size| size > VERIFIED_BYTES_MAX)
        {
            return Ok(true);
        }
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        for entry in db.iterator_opt(IteratorMode::Start, options) {
            if let Err(error) = entry {
                tracing::error!(%error, "the state store is damaged");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Forgets everything.
    pub fn wipe(&self) -> Result<()> {
        let mut all = WriteBatch::default();
        all.delete_range(vec![], vec![u8::MAX; 3]);
        self.db()?.write(all).map_err(store)
    }

    /// Puts the database aside and begins an empty one.
    pub fn start_over(&self) -> Result<()> {
        let mut held = self.db.write();
        *held = None;
        put_aside(&self.path)?;
        *held = Some(Arc::new(open_db(&self.path).map_err(store)?));
        Ok(())
    }

    /// Replaces a database of which something cannot be read by a new one with what can; gives the
    /// owners that are lost.
    pub fn salvage(&self, owners: &[String]) -> Result<Vec<String>> {
        let new_path = self.path.with_extension("new");
        let io = |source| Error::Io {
            path: new_path.display().to_string(),
            source,
        };
        if new_path.exists() {
            std::fs::remove_dir_all(&new_path).map_err(io)?;
        }
        let (old, new) = (self.db()?, open_db(&new_path).map_err(store)?);
        let mut lost = Vec::new();
        for owner in owners {
            if let Err(error) = copy_owner(&old, &new, &owner_prefix(owner)) {
                tracing::error!(%owner, %error, "state cannot be read");
                lost.push(owner.clone());
            }
        }
        if let Ok(Some(meta)) = old.get(META_KEY) {
            new.put(META_KEY, meta).map_err(store)?;
        }
        new.flush().map_err(store)?;
        let mut held = self.db.write();
        drop((old, new));
        *held = None;
        put_aside(&self.path)?;
        std::fs::rename(&new_path, &self.path).map_err(io)?;
        *held = Some(Arc::new(open_db(&self.path).map_err(store)?));
        Ok(lost)
    }

    /// The entries of one owner.
    pub fn reader(self: &Arc<Self>, owner: &str) -> OwnerReader {
        OwnerReader {
            store: self.clone(),
            prefix: owner_prefix(owner),
        }
    }

    /// Where the rows of one owner are read that are not in memory.
    pub fn source(self: &Arc<Self>, owner: &str) -> Arc<dyn ChunkSource> {
        Arc::new(self.reader(owner))
    }
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_size(16 << 10);
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_block_based_table_factory(&table);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options
}

fn open_db(path: &Path) -> Result<DB, rocksdb::Error> {
    DB::open(&options(), path)
}

/// Whether a store cannot be opened because of what is in its files.
fn is_damage(error: &rocksdb::Error) -> bool {
    // A file that is missing is reported by the file system.
    error.kind() == ErrorKind::Corruption || error.to_string().contains("No such file")
}

/// Renames a damaged store, for whoever wants to look at it; the last one only is kept.
fn put_aside(path: &Path) -> Result<PathBuf> {
    let aside = path.with_extension("damaged");
    let io = |source| Error::Io {
        path: aside.display().to_string(),
        source,
    };
    if aside.exists() {
        std::fs::remove_dir_all(&aside).map_err(io)?;
    }
    std::fs::rename(path, &aside).map_err(io)?;
    Ok(aside)
}

/// Copies an owner's entries; if some cannot be read, none is there.
fn copy_owner(old: &DB, new: &DB, prefix: &[u8]) -> Result<()> {
    let copy = || -> Result<(), rocksdb::Error> {
        let mut batch = WriteBatch::default();
        for entry in old.iterator(IteratorMode::From(prefix, Direction::Forward)) {
            let (key, value) = entry?;
            if !key.starts_with(prefix) {
                break;
            }
            batch.put(key, value);
            if batch.size_in_bytes() > COPY_BYTES {
                new.write(std::mem::take(&mut batch))?;
            }
        }
        new.write(batch)
    };
    copy().map_err(|error| {
        let mut nothing = WriteBatch::default();
        let (from, to) = owner_range(prefix);
        nothing.delete_range(from, to);
        let _ = new.write(nothing);
        store(error)
    })
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
        self.bytes.len()
    }

    fn push(&mut self, prefix: &[u8], key: &[u8], value: Option<&[u8]>) {
        let length = |bytes: usize| u32::try_from(bytes).expect("RocksDB takes less than 4 GiB");
        self.entries.push(Entry {
            start: self.bytes.len(),
            key_bytes: length(prefix.len() + key.len()),
            value_bytes: value.map_or(Entry::DELETED, |value| length(value.len())),
        });
        for part in [prefix, key, value.unwrap_or_default()] {
            self.bytes.extend_from_slice(part);
        }
    }

    fn whole(&self, meta: &CheckpointMeta) -> WriteBatch {
        let mut whole = WriteBatch::with_capacity_bytes(self.bytes.len() + self.entries.len() * 8);
        // A clear stands before everything the same owner wrote in this checkpoint, so the ranges
        // go first.
        for owner in &self.cleared {
            let (from, to) = owner_range(owner);
            whole.delete_range(from, to);
        }
        // In the order of the keys, where each finds its place in RocksDB's list beside the one
        // before: now, and again when a start replays them. Of one key the last one counts, so
        // equal ones must stay in their order.
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.key(&self.bytes));
        for entry in entries {
            let key = entry.key(&self.bytes);
            match entry.value(&self.bytes) {
                Some(value) => whole.put(key, value),
                None => whole.delete(key),
            }
        }
        let meta = serde_json::to_vec(meta).expect("meta data has only strings and numbers");
        whole.put(META_KEY, meta);
        whole
    }
}

/// Writes one owner's entries into a checkpoint.
pub struct OwnerWriter<'a> {
    checkpoint: &'a mut Checkpoint,
    prefix: Vec<u8>,
}

impl StateWriter for OwnerWriter<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.checkpoint.push(&self.prefix, key, Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.checkpoint.push(&self.prefix, key, None);
    }

    fn clear(&mut self) {
        self.checkpoint.cleared.push(self.prefix.clone());
    }
}

/// Reads one owner's entries.
pub struct OwnerReader {
    store: Arc<StateStore>,
    prefix: Vec<u8>,
}

impl OwnerReader {
    fn db(&self) -> Result<Arc<DB>, StepError> {
        self.store
            .db()
            .map_err(|error| StepError::Store(error.to_string()))
    }
}

impl std::fmt::Debug for OwnerReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let owner = String::from_utf8_lossy(&self.prefix[2..]);
        write!(f, "OwnerReader({owner})")
    }
}

impl StateReader for OwnerReader {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StepError> {
        let from = [self.prefix.as_slice(), prefix].concat();
        let db = self.db()?;
        // What is read once, at start, need not stay in memory.
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        for entry in db.iterator_opt(IteratorMode::From(&from, Direction::Forward), options) {
            let (key, value) = entry.map_err(unreadable)?;
            if !key.starts_with(&from) {
                break;
            }
            visit(&key[self.prefix.len()..], &value);
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StepError> {
        self.db()?
            .get([self.prefix.as_slice(), key].concat())
            .map_err(unreadable)
    }

    fn source(&self) -> Option<Arc<dyn ChunkSource>> {
        Some(Arc::new(OwnerReader {
            store: self.store.clone(),
            prefix: self.prefix.clone(),
        }))
    }
}

impl ChunkSource for OwnerReader {
    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StepError> {
        let keys = keys.iter().map(|key| [&self.prefix[..], key].concat());
        self.db()?
            .multi_get(keys)
            .into_iter()
            .map(|value| value.map_err(unreadable))
            .collect()
    }

    fn freeze(&self) -> Result<Arc<dyn ChunkSource>, StepError> {
        let frozen = frozen::FrozenDb::new(self.db()?);
        Ok(Arc::new(frozen::FrozenReader::new(
            frozen,
            self.prefix.clone(),
        )))
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

fn unreadable(error: rocksdb::Error) -> StepError {
    StepError::Store(error.to_string())
}

#[cfg(test)]
mod tests;
