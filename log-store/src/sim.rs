//! A disk that fails as disks fail, for tests of the log and of those who stand on it.
//!
//! Two images are kept of everything: what a running program sees (the page cache), and what a power cut leaves. For each
//! file the second is what was synced, plus any part of what was written since: [`SimDisk::crash`] keeps nothing, all, or
//! any mix of 512-byte sectors, as its random numbers say. Names in directories become durable with `sync_dir`; a crash
//! keeps a prefix of the changes since.
//!
//! A failed sync follows Linux: the pages become clean without having reached the disk, so that a later sync succeeds and
//! saves nothing.
//!
//! A [`SimDisk`] is a handle; [`SimDisk::crash`] and [`SimDisk::kill`] end all other handles and open files, whose every
//! operation then fails, as if their process had died.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Clock, DirEntry, DirLock, Disk, DiskFile, OpenMode};

const SECTOR: usize = 512;

/// A simulated disk. Clones are handles to the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Which life of the machine this handle belongs to.
    life: u64,
}

type FileId = u64;

struct State {
    life: u64,
    random: u64,
    next_id: FileId,
    files: BTreeMap<FileId, File>,
    /// What a running program sees.
    names: BTreeMap<PathBuf, FileId>,
    dirs: BTreeSet<PathBuf>,
    /// What a power cut leaves, if nothing of `pending` was kept.
    durable_names: BTreeMap<PathBuf, FileId>,
    durable_dirs: BTreeSet<PathBuf>,
    /// Changes of names since, in order, by directory.
    pending: Vec<(PathBuf, NameChange)>,
    locks: BTreeSet<PathBuf>,
    capacity: Option<u64>,
    /// Operations until the fault strikes.
    faults: Vec<(Fault, u64)>,
    operations: u64,
}

#[derive(Clone)]
enum NameChange {
    Set(PathBuf, FileId),
    Unset(PathBuf),
    MakeDir(PathBuf),
    RemoveDir(PathBuf),
}

#[derive(Default, Clone)]
struct File {
    /// As the page cache has it.
    cached: Vec<u8>,
    /// As of the last sync that worked.
    synced: Vec<u8>,
    /// Since then, in order.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

/// A failure to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A write fails, having written some part.
    Write,
    /// A sync of a file fails, and what it should have saved is lost.
    Sync,
    /// Everything fails from then on, as if the process were dead: for a crash in the middle of something.
    Halt,
}

impl SimDisk {
    /// An empty disk whose crashes are decided by `seed`.
    pub fn new(seed: u64) -> Self {
        SimDisk {
            state: Arc::new(Mutex::new(State {
                life: 0,
                random: seed,
                next_id: 0,
                files: BTreeMap::new(),
                names: BTreeMap::new(),
                dirs: BTreeSet::new(),
                durable_names: BTreeMap::new(),
                durable_dirs: BTreeSet::new(),
                pending: Vec::new(),
                locks: BTreeSet::new(),
                capacity: None,
                faults: Vec::new(),
                operations: 0,
            })),
            life: 0,
        }
    }

    /// The power is cut: unsynced writes and names are kept or lost at random. Gives the disk as the next start finds it.
    pub fn crash(&self) -> SimDisk {
        let mut state = self.state.lock();
        state.power_cut();
        self.next_life(&mut state)
    }

    /// The process dies and the machine lives: the page cache survives. Gives the disk to the next process.
    pub fn kill(&self) -> SimDisk {
        let mut state = self.state.lock();
        self.next_life(&mut state)
    }

    fn next_life(&self, state: &mut State) -> SimDisk {
        state.life += 1;
        state.locks.clear();
        state.faults.clear();
        SimDisk {
            state: self.state.clone(),
            life: state.life,
        }
    }

    /// An independent copy, as files are copied while nothing runs: everything counts as synced.
    pub fn copy(&self, seed: u64) -> SimDisk {
        let state = self.state.lock();
        let files = state
            .files
            .iter()
            .map(|(id, file)| {
                let synced = File {
                    cached: file.cached.clone(),
                    synced: file.cached.clone(),
                    pending: Vec::new(),
                };
                (*id, synced)
            })
            .collect();
        let copy = SimDisk::new(seed);
        *copy.state.lock() = State {
            life: 0,
            random: seed,
            next_id: state.next_id,
            files,
            names: state.names.clone(),
            dirs: state.dirs.clone(),
            durable_names: state.names.clone(),
            durable_dirs: state.dirs.clone(),
            pending: Vec::new(),
            locks: BTreeSet::new(),
            capacity: None,
            faults: Vec::new(),
            operations: 0,
        };
        copy
    }

    /// Lets the `nth` matching operation from now (1 is the next) fail.
    pub fn inject(&self, fault: Fault, nth: u64) {
        self.state.lock().faults.push((fault, nth));
    }

    /// Takes back all faults to come.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// Limits the bytes in all files together; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Bytes in all files together.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// How many operations that change the disk there were.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// All files, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// The bytes of a file.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let id = state.names.get(path)?;
        Some(state.files[id].cached.clone())
    }

    /// Replaces the bytes of a file, durably: bit rot, truncation, or a stranger's editor.
    pub fn set_contents(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        if let Some(id) = state.names.get(path).copied() {
            state.files.insert(
                id,
                File {
                    cached: bytes.clone(),
                    synced: bytes,
                    pending: Vec::new(),
                },
            );
        }
    }

    /// Flips one bit of a file.
    pub fn flip_bit(&self, path: &Path, bit: usize) {
        if let Some(mut bytes) = self.contents(path) {
            bytes[bit / 8] ^= 1 << (bit % 8);
            self.set_contents(path, bytes);
        }
    }

    fn enter(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let state = self.state.lock();
        if state.life != self.life {
            return Err(io::Error::other("the process that held this disk is dead"));
        }
        Ok(state)
    }

    /// Enters for an operation that changes the disk.
    fn change(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.enter()?;
        state.operations += 1;
        if state.strikes(Fault::Halt) {
            state.faults.push((Fault::Halt, 1));
            return Err(io::Error::other("the machine has halted"));
        }
        Ok(state)
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl State {
    /// A small generator (SplitMix64): the order of everything must depend on the seed alone.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|id| self.files[id].cached.len() as u64)
            .sum()
    }

    fn strikes(&mut self, kind: Fault) -> bool {
        let mut struck = false;
        self.faults.retain_mut(|(fault, nth)| {
            if *fault != kind {
                return true;
            }
            *nth -= 1;
            struck |= *nth == 0;
            *nth > 0
        });
        struck
    }

    fn rename_change(&mut self, change: NameChange) {
        let path = match &change {
            NameChange::Set(path, _)
            | NameChange::Unset(path)
            | NameChange::MakeDir(path)
            | NameChange::RemoveDir(path) => path,
        };
        let dir = path.parent().unwrap_or(path).to_owned();
        self.pending.push((dir, change));
    }

    fn make_durable(&mut self, change: NameChange) {
        match change {
            NameChange::Set(path, id) => {
                self.durable_names.insert(path, id);
            }
            NameChange::Unset(path) => {
                self.durable_names.remove(&path);
            }
            NameChange::MakeDir(path) => {
                self.durable_dirs.insert(path);
            }
            NameChange::RemoveDir(path) => {
                self.durable_dirs.remove(&path);
            }
        }
    }

    fn power_cut(&mut self) {
        // Names: each directory keeps a prefix of its changes.
        let dirs: BTreeSet<PathBuf> = self.pending.iter().map(|(dir, _)| dir.clone()).collect();
        let pending = std::mem::take(&mut self.pending);
        for dir in dirs {
            let changes: Vec<_> = pending.iter().filter(|(of, _)| *of == dir).collect();
            let kept = self.random() as usize % (changes.len() + 1);
            for (_, change) in &changes[..kept] {
                self.make_durable(change.clone());
            }
        }
        // A name whose directory was lost is lost with it.
        let dirs = self.durable_dirs.clone();
        let reachable = |path: &Path| {
            path.ancestors().skip(1).all(|dir| {
                dir.as_os_str().is_empty() || dir == Path::new("/") || dirs.contains(dir)
            })
        };
        self.durable_dirs.retain(|dir| reachable(dir));
        self.durable_names.retain(|path, _| reachable(path));
        self.names = self.durable_names.clone();
        self.dirs = self.durable_dirs.clone();
        let live: BTreeSet<FileId> = self.names.values().copied().collect();
        self.files.retain(|id, _| live.contains(id));
        for id in live {
            let mut file = self.files.remove(&id).unwrap_or_default();
            let policy = self.random() % 3;
            for change in std::mem::take(&mut file.pending) {
                match change {
                    Change::Cut(len) => {
                        if policy == 1 || policy == 2 && self.random().is_multiple_of(2) {
                            file.synced.resize(len as usize, 0);
                        }
                    }
                    Change::Write(position, bytes) => {
                        for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                            if policy == 1 || policy == 2 && self.random().is_multiple_of(2) {
                                let at = position as usize + index * SECTOR;
                                write_into(&mut file.synced, at, sector);
                            }
                        }
                    }
                }
            }
            file.cached = file.synced.clone();
            self.files.insert(id, file);
        }
    }
}

fn write_into(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    if bytes.len() < at + what.len() {
        bytes.resize(at + what.len(), 0);
    }
    bytes[at..at + what.len()].copy_from_slice(what);
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let id = match mode {
            OpenMode::Create => {
                let mut state = self.change()?;
                if !state.dirs.contains(path.parent().unwrap_or(path)) {
                    return Err(not_found());
                }
                if state
                    .capacity
                    .is_some_and(|capacity| state.used() >= capacity)
                {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let id = state.next_id;
                state.next_id += 1;
                state.files.insert(id, File::default());
                state.names.insert(path.to_owned(), id);
                state.rename_change(NameChange::Set(path.to_owned(), id));
                id
            }
            OpenMode::Write | OpenMode::Read => {
                let state = self.enter()?;
                *state.names.get(path).ok_or_else(not_found)?
            }
        };
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            id,
        }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let above: Vec<PathBuf> = path
            .ancestors()
            .filter(|dir| !dir.as_os_str().is_empty() && *dir != Path::new("/"))
            .map(Path::to_owned)
            .collect();
        for dir in above.into_iter().rev() {
            if state.dirs.insert(dir.clone()) {
                state.rename_change(NameChange::MakeDir(dir));
            }
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let (done, left): (Vec<_>, Vec<_>) = std::mem::take(&mut state.pending)
            .into_iter()
            .partition(|(dir, _)| dir == path);
        state.pending = left;
        for (_, change) in done {
            state.make_durable(change);
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let id = state.names.remove(from).ok_or_else(not_found)?;
        state.names.insert(to.to_owned(), id);
        // One directory, so a prefix of the changes never has neither name.
        state.rename_change(NameChange::Set(to.to_owned(), id));
        state.rename_change(NameChange::Unset(from.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        state.names.remove(path).ok_or_else(not_found)?;
        state.rename_change(NameChange::Unset(path.to_owned()));
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let prefix = path.to_owned();
        if state
            .names
            .keys()
            .any(|name| name.parent() == Some(&prefix))
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if !state.dirs.remove(path) {
            return Err(not_found());
        }
        state.rename_change(NameChange::RemoveDir(path.to_owned()));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.enter()?;
        if !state.dirs.contains(path) {
            return Err(not_found());
        }
        let entry = |name: &PathBuf, is_dir| {
            (name.parent() == Some(path)).then(|| DirEntry {
                name: name
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
                is_dir,
            })
        };
        let files = state.names.keys().filter_map(|name| entry(name, false));
        let dirs = state.dirs.iter().filter_map(|name| entry(name, true));
        Ok(files.chain(dirs).collect())
    }

    fn lock(&self, path: &Path) -> io::Result<DirLock> {
        let mut state = self.enter()?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        if let Ok(mut state) = self.disk.enter() {
            state.locks.remove(&self.path);
        }
    }
}

struct SimFile {
    disk: SimDisk,
    id: FileId,
}

impl DiskFile for SimFile {
    fn write_at(&self, position: u64, buffers: &[&[u8]]) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let mut bytes = buffers.concat();
        let mut error = None;
        if state.strikes(Fault::Write) {
            error = Some(io::Error::other("input/output error"));
        } else if let Some(capacity) = state.capacity {
            let len = state
                .files
                .get(&self.id)
                .map_or(0, |file| file.cached.len()) as u64;
            let more = (position + bytes.len() as u64).saturating_sub(len);
            if state.used() + more > capacity {
                error = Some(io::ErrorKind::StorageFull.into());
            }
        }
        if error.is_some() {
            // A short write: some of it is there.
            let part = state.random() as usize % (bytes.len() + 1);
            bytes.truncate(part);
        }
        let file = state.files.get_mut(&self.id).ok_or_else(not_found)?;
        write_into(&mut file.cached, position as usize, &bytes);
        file.pending.push(Change::Write(position, bytes));
        error.map_or(Ok(()), Err)
    }

    fn read(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let state = self.disk.enter()?;
        let file = state.files.get(&self.id).ok_or_else(not_found)?;
        let start = position as usize;
        file.cached
            .get(start..start.saturating_add(len))
            .map(Bytes::copy_from_slice)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.enter()?;
        let file = state.files.get(&self.id).ok_or_else(not_found)?;
        Ok(file.cached.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let file = state.files.get_mut(&self.id).ok_or_else(not_found)?;
        file.cached.resize(len as usize, 0);
        file.pending.push(Change::Cut(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let failed = state.strikes(Fault::Sync);
        let file = state.files.get_mut(&self.id).ok_or_else(not_found)?;
        if failed {
            file.pending.clear();
            return Err(io::Error::other("input/output error"));
        }
        // Only what is pending is written out: what a failed sync dropped stays lost under the cache.
        for change in std::mem::take(&mut file.pending) {
            match change {
                Change::Write(position, bytes) => {
                    write_into(&mut file.synced, position as usize, &bytes);
                }
                Change::Cut(len) => file.synced.resize(len as usize, 0),
            }
        }
        Ok(())
    }
}

/// A clock that tests set.
#[derive(Debug, Default)]
pub struct SimClock {
    micros: AtomicI64,
}

impl SimClock {
    /// A clock that stands at `micros`.
    pub fn new(micros: i64) -> Arc<Self> {
        Arc::new(SimClock {
            micros: AtomicI64::new(micros),
        })
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, micros: i64) {
        self.micros.store(micros, Ordering::SeqCst);
    }

    /// Moves the clock.
    pub fn advance(&self, micros: i64) {
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now_micros(&self) -> i64 {
        self.micros.load(Ordering::SeqCst)
    }
}
