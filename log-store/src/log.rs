//! The log: topics, the queue in front of the committer, and the threads behind.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::watch;

use crate::{
    AppendHandle, BodyCodec, Clock, Disk, Epoch, LogConfig, LogError, NewBatch, RecoveryReport,
    TopicId,
    append::{Queue, Request},
    batch::Prepared,
    committer::CommitState,
    disk::DirLock,
    partition::{Env, PartitionInner},
    recovery,
    topic::TopicInner,
};

/// The commit log of a server. Cheap to clone; the last clone to go closes it.
#[derive(Clone)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
    running: Arc<Running>,
}

pub(crate) struct Shared {
    pub env: Arc<Env>,
    pub topics: RwLock<Topics>,
    pub queue: Queue,
    /// Held for the whole of a group commit, and by whoever needs commits to rest. Taken after `manifest`.
    pub commit: Mutex<CommitState>,
    pub manifest: Mutex<ManifestState>,
    /// Why the log as a whole takes no appends.
    failed: RwLock<Option<LogError>>,
    appended_bytes: AtomicU64,
    /// Work for the background thread: woken early, or told to end.
    background: Mutex<Background>,
    background_wake: Condvar,
    /// One maintenance at a time.
    pub maintenance: Mutex<()>,
}

#[derive(Default)]
struct Background {
    due: bool,
    ended: bool,
}

#[derive(Default)]
pub(crate) struct Topics {
    pub by_id: BTreeMap<TopicId, Arc<TopicInner>>,
    pub by_name: HashMap<String, TopicId>,
}

/// What the writers of manifests share.
pub(crate) struct ManifestState {
    pub generation: u64,
    pub next_topic: TopicId,
    /// Files that the next manifest no longer names; removed after it was written.
    pub garbage: Vec<PathBuf>,
    /// Partitions that are not in use before the manifest names them.
    pub growing: Option<(TopicId, Vec<Arc<PartitionInner>>)>,
}

impl Log {
    /// Opens the log in a directory, recovering it after an unclean end.
    ///
    /// Damaged partitions are refused (see the report) and everything else is served.
    pub fn open(
        config: LogConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        codec: Arc<dyn BodyCodec>,
    ) -> Result<(Log, RecoveryReport), LogError> {
        let dir = config.dir.clone();
        make_root(&*disk, &dir)?;
        let lock = disk
            .lock(&dir.join("lock"))
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::WouldBlock => LogError::InUse(dir.clone()),
                _ => LogError::io("lock", &dir, error),
            })?;
        let background = config.background;
        let recovered = recovery::recover(config, disk, clock, codec)?;
        let shared = Arc::new(Shared {
            env: recovered.env,
            topics: RwLock::new(recovered.topics),
            queue: Queue::default(),
            commit: Mutex::new(CommitState {
                next_epoch: recovered.next_epoch,
            }),
            manifest: Mutex::new(recovered.manifest),
            failed: RwLock::new(None),
            appended_bytes: AtomicU64::new(0),
            background: Mutex::default(),
            background_wake: Condvar::new(),
            maintenance: Mutex::new(()),
        });
        match shared.write_manifest() {
            Ok(()) => recovery::finish(&shared, &recovered.cuts, &recovered.removed)?,
            // A full disk can still be read from.
            Err(LogError::DiskFull) => shared.fail(&LogError::DiskFull),
            Err(error) => return Err(error),
        }
        shared.reserve().renew();
        let mut threads = Vec::new();
        let committer = shared.clone();
        threads.push(spawn("log-committer", move || committer.commit_groups())?);
        if background {
            let maintainer = shared.clone();
            threads.push(spawn("log-maintenance", move || maintainer.maintain())?);
        }
        let running = Arc::new(Running {
            shared: shared.clone(),
            state: Mutex::new(RunningState {
                threads,
                lock: Some(lock),
            }),
        });
        Ok((Log { shared, running }, recovered.report))
    }

    /// Appends batches, atomically over partitions and topics: all in one epoch, or none.
    ///
    /// The bodies are compressed and their checksums computed on the calling thread; the rest is the committer's. Never
    /// waits for the disk. Batches of one call keep their order in each partition.
    pub fn append(&self, batches: Vec<NewBatch>) -> AppendHandle {
        let (reply, handle) = AppendHandle::new();
        let config = &self.shared.env.config;
        let prepared: Result<Vec<Prepared>, LogError> = batches
            .into_iter()
            .map(|batch| Prepared::new(batch, config.body_bytes_max))
            .collect();
        match prepared {
            Ok(batches) if !batches.is_empty() => self
                .shared
                .queue
                .push(Request { batches, reply }, config.queue_bytes_max),
            refused => {
                let error = refused
                    .err()
                    .unwrap_or_else(|| LogError::InvalidBatch("there is none".into()));
                // The handle is in our hands, so the answer arrives.
                let _ = reply.send(Err(error));
            }
        }
        handle
    }

    /// The last sealed epoch: everything up to it is durable, visible, and final.
    pub fn sealed(&self) -> Epoch {
        self.shared.env.sealed.epoch()
    }

    /// Wakes whenever an epoch is sealed.
    pub fn sealed_watch(&self) -> watch::Receiver<Epoch> {
        self.shared.env.sealed.watch()
    }

    /// Blocks until an epoch after `epoch` is sealed, or until the timeout; gives the sealed epoch.
    pub fn wait_sealed_after(&self, epoch: Epoch, timeout: Duration) -> Epoch {
        self.shared.env.sealed.wait_after(epoch, timeout)
    }

    /// The wall-clock time, in microseconds, that was recorded for an epoch. Never decreases with the epoch.
    ///
    /// For an epoch of which retention (or a dropped topic) has left no row, the nearest earlier time that is known.
    pub fn epoch_time(&self, epoch: Epoch) -> Result<i64, LogError> {
        if let Some(time) = self.shared.env.sealed.recent_time(epoch) {
            return Ok(time);
        }
        let mut nearest = (Epoch::ZERO, 0);
        for topic in self.topics() {
            for partition in topic.partitions() {
                if let Some(found) = partition.time_of_epoch(epoch)? {
                    if found.0 == epoch {
                        return Ok(found.1);
                    }
                    nearest = nearest.max(found);
                }
            }
        }
        Ok(nearest.1)
    }

    /// Why the log as a whole takes no appends, if it does not.
    pub fn fault(&self) -> Option<LogError> {
        self.shared.check_usable().err()
    }

    /// Closes the log cleanly: what waits is committed, everything is synced, the next start has nothing to check.
    ///
    /// Later appends fail; topics and partitions that are still held can be read.
    pub fn close(&self) -> Result<(), LogError> {
        self.running.close()
    }
}

impl Shared {
    /// Fails if the log takes no appends at all.
    pub fn check_usable(&self) -> Result<(), LogError> {
        match &*self.failed.read() {
            None => Ok(()),
            Some(error @ (LogError::DiskFull | LogError::Closed)) => Err(error.clone()),
            Some(error) => Err(LogError::Failed(error.to_string())),
        }
    }

    /// Makes the log read-only until it is opened anew.
    pub fn fail(&self, error: &LogError) {
        match error {
            LogError::Closed => tracing::debug!("the log is closed"),
            error => tracing::error!(%error, "the log is read-only"),
        }
        self.failed.write().get_or_insert_with(|| error.clone());
    }

    pub fn topic(&self, id: TopicId) -> Result<Arc<TopicInner>, LogError> {
        self.topics
            .read()
            .by_id
            .get(&id)
            .cloned()
            .ok_or(LogError::UnknownTopic(id))
    }

    /// Keeps count of what a recovery would have to check, and has the manifest renewed in time.
    pub fn count_appended(&self, bytes: u64) {
        let before = self.appended_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes >= self.env.config.manifest_bytes {
            self.appended_bytes.store(0, Ordering::Relaxed);
            self.background.lock().due = true;
            self.background_wake.notify_all();
        }
    }

    fn maintain(&self) {
        let interval = Duration::from_millis(self.env.config.maintenance_interval_ms.max(1));
        loop {
            {
                let mut background = self.background.lock();
                if !background.due && !background.ended {
                    self.background_wake.wait_for(&mut background, interval);
                }
                if background.ended {
                    return;
                }
                background.due = false;
            }
            if let Err(error) = self.run_maintenance() {
                tracing::error!(%error, "log maintenance failed; it is tried again");
            }
        }
    }

    /// Whether long background work should give way to the end of the log.
    pub fn is_ending(&self) -> bool {
        self.background.lock().ended
    }
}

/// Ends the threads and gives the directory back, once.
struct Running {
    shared: Arc<Shared>,
    state: Mutex<RunningState>,
}

struct RunningState {
    threads: Vec<JoinHandle<()>>,
    lock: Option<DirLock>,
}

impl Running {
    fn close(&self) -> Result<(), LogError> {
        let mut state = self.state.lock();
        if state.lock.is_none() {
            return Ok(());
        }
        self.shared.queue.close();
        self.shared.background.lock().ended = true;
        self.shared.background_wake.notify_all();
        for thread in state.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
                self.shared
                    .fail(&LogError::Failed("a thread of the log panicked".into()));
            }
        }
        let result = self.shared.write_clean_manifest();
        self.shared.fail(&LogError::Closed);
        for topic in self.shared.topics.read().by_id.values() {
            topic.wake_waiters();
        }
        state.lock = None;
        result
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the log could not be closed cleanly; the next start recovers it");
        }
    }
}

/// Makes the log's directory, and its name (with those above it) durable: losing it would lose everything.
fn make_root(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    if disk.list(dir).is_ok() {
        return Ok(());
    }
    disk.create_dir(dir)
        .map_err(|error| LogError::io("create", dir, error))?;
    for above in dir.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() {
            Path::new(".")
        } else {
            above
        };
        match disk.sync_dir(above) {
            // A directory that we may not read is none that we made.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => break,
            result => result.map_err(|error| LogError::io("sync", above, error))?,
        }
    }
    Ok(())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LogError> {
    thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|error| LogError::io("start", name, error))
}
