//! The engine as a whole: opens the data directory, hands out sessions, shuts down.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use log_store::{Durability, Log, LogConfig, Topic, TopicConfig, TopicId};
use parking_lot::RwLock;

use crate::auth::{AuthMode, Logins};
use crate::body_codec::Schemas;
use crate::catalog::{
    self, CATALOG_TOPIC, Catalog, Change, Relation, RelationId, RelationKind, TopicEntry,
};
use crate::error::{Error, Result};
use crate::ingest;
use crate::mill::{Mill, MillConfig, finish_sharing};
use crate::processing_log::{self, PROCESSING_LOG, ProcessingLog};
use crate::records::RecordFormat;
use crate::session::{Session, SessionParameters};
use crate::state_store::StateStore;
use crate::topics::{ClusterId, is_internal};

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where log and state are kept; created if absent.
    pub data_dir: PathBuf,
    /// Whether a write is acknowledged after it is on disk (`true`) or after the operating system
    /// has it (`false`).
    pub sync: bool,
    /// Threads that queries compute on; 0 means one for each core.
    pub workers: usize,
    /// Memory for batch queries, bytes.
    pub query_memory_max: usize,
    /// Bytes of continuous queries' state and of tables from which on rows that are on disk are
    /// evicted from memory; `None` evicts nothing.
    pub state_memory: Option<usize>,
    /// Bytes that cannot be evicted from which on the query that has most of them is stopped.
    pub state_memory_max: Option<usize>,
    /// How often state is checkpointed, at the latest.
    pub checkpoint_interval: Duration,
    /// A log segment is closed when it reaches this size.
    pub segment_bytes_max: u64,
    /// Settings that every session begins with, such as `statement_timeout`.
    pub session_defaults: Vec<(String, String)>,
    /// Whether clients are asked for a password.
    pub auth: AuthMode,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("millpond-data"),
            sync: true,
            workers: 0,
            query_memory_max: 1 << 30,
            state_memory: None,
            state_memory_max: None,
            checkpoint_interval: Duration::from_secs(10),
            segment_bytes_max: 128 << 20,
            session_defaults: Vec::new(),
            auth: AuthMode::Automatic,
        }
    }
}

/// Held by a DDL statement.
pub(crate) type DdlGuard = tokio::sync::OwnedMutexGuard<()>;

/// A running engine.
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) log: Log,
    pub(crate) mill: Arc<Mill>,
    pub(crate) schemas: Schemas,
    pub(crate) logins: Logins,
    pub(crate) cluster: ClusterId,
    catalog: RwLock<Arc<Catalog>>,
    /// Told of each change of the catalog.
    catalog_changed: tokio::sync::Notify,
    catalog_topic: Topic,
    /// Held by a DDL statement from its checks to its end.
    ddl: Arc<tokio::sync::Mutex<()>>,
    pub(crate) writes: crate::write_locks::WriteLocks,
    pub(crate) batch: crate::batch::BatchRuntime,
    pub(crate) consumer_groups: crate::consumer_groups::Source,
    /// The last wall-clock time handed out, so that time never goes back.
    last_now: AtomicI64,
}

impl Engine {
    /// Opens the data directory, recovers what a crash left, and starts all queries. Blocks.
    ///
    /// # Errors
    /// When the directory is in use by another process, cannot be written or is damaged beyond
    /// what can be left out.
    pub fn open(config: EngineConfig) -> Result<Arc<Self>> {
        std::fs::create_dir_all(&config.data_dir).map_err(|source| Error::Io {
            path: config.data_dir.display().to_string(),
            source,
        })?;
        let schemas = Schemas::default();
        let cluster = ClusterId::open(&config.data_dir)?;
        let log = open_log(&config, &schemas)?;
        let catalog_topic = match log.topic_by_name(CATALOG_TOPIC) {
            Some(topic) => topic,
            None => log.create_topic(TopicConfig::ingested(CATALOG_TOPIC, 1))?,
        };
        let mut catalog = replay(&catalog_topic)?;
        if catalog.relation_by_name(PROCESSING_LOG).is_none() {
            let change = create_processing_log(&log, &catalog)?;
            append_changes(&log, &catalog_topic, std::slice::from_ref(&change))?.wait()?;
            catalog.apply(vec![change]);
        }
        drop_orphans(&log, &catalog);
        finish_sharing(&log, &catalog)?;
        show_derived(&log)?;
        for relation in catalog.relations() {
            if let Some(topic) = relation.topic.filter(|_| !relation.over_records) {
                schemas.insert(topic, relation.log_schema(), relation.key.clone());
            }
        }
        let store = StateStore::open(&config.data_dir.join("state"))?;
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let mill_config = MillConfig {
            workers,
            checkpoint_interval: config.checkpoint_interval,
            state_memory: config.state_memory,
            state_memory_max: config.state_memory_max,
        };
        let relation = catalog.expect_relation(PROCESSING_LOG)?.clone();
        let topic = topic_of(&log, &relation)?;
        let processing_log = ProcessingLog::new(log.clone(), relation, topic);
        let mill = Mill::open(mill_config, log.clone(), store, &catalog, processing_log)?;
        mill.start()?;
        let batch = crate::batch::BatchRuntime::new(workers, config.query_memory_max)?;
        Ok(Arc::new(Self {
            logins: Logins::new(config.auth),
            config,
            log,
            mill,
            schemas,
            cluster,
            catalog: RwLock::new(Arc::new(catalog)),
            catalog_changed: tokio::sync::Notify::new(),
            catalog_topic,
            ddl: Arc::default(),
            writes: crate::write_locks::WriteLocks::default(),
            batch,
            consumer_groups: crate::consumer_groups::Source::default(),
            last_now: AtomicI64::new(0),
        }))
    }

    /// A session for a client that has been let in.
    pub fn session(self: &Arc<Self>, parameters: SessionParameters) -> Session {
        Session::new(self.clone(), parameters)
    }

    /// Stops all queries, checkpoints, and closes the log.
    pub async fn shutdown(&self) -> Result<()> {
        let mill = self.mill.clone();
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || {
            mill.shutdown()?;
            log.close()?;
            Ok(())
        })
        .await
        .map_err(|error| Error::Internal(format!("shutdown panicked: {error}")))?
    }

    /// What is defined now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().clone()
    }

    /// Waits until the catalog is as wanted.
    pub(crate) async fn wait_catalog(&self, mut wanted: impl FnMut(&Catalog) -> bool) {
        loop {
            let changed = self.catalog_changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that no change falls in between.
            changed.as_mut().enable();
            if wanted(&self.catalog()) {
                return;
            }
            changed.await;
        }
    }

    /// Waits for other DDL statements to end.
    pub(crate) async fn lock_ddl(&self) -> DdlGuard {
        self.ddl.clone().lock_owned().await
    }

    /// Makes changes of a DDL statement durable, puts them into effect, then makes them visible. Once
    /// begun, all of this happens even if the client does not wait for it: a record in the log that
    /// the catalog in memory knows nothing of would contradict the next one.
    pub(crate) async fn commit_changes(
        self: &Arc<Self>,
        ddl: DdlGuard,
        changes: Vec<Change>,
        take_effect: impl FnOnce(&Arc<Engine>, &Catalog) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let engine = self.clone();
        let committing = tokio::spawn(async move {
            let _ddl = ddl;
            append_changes(&engine.log, &engine.catalog_topic, &changes)?.await?;
            let before = engine.catalog();
            let mut catalog = Catalog::clone(&before);
            catalog.apply(changes);
            let effect = take_effect(&engine, &catalog);
            let is_gone = |topic: &Arc<TopicEntry>| {
                let now = catalog.topic(&topic.name);
                now.is_none_or(|now| now.id != topic.id)
            };
            let topics_are_gone = before.topics().any(is_gone);
            *engine.catalog.write() = Arc::new(catalog);
            engine.catalog_changed.notify_waiters();
            if topics_are_gone && let Some(groups) = engine.consumer_groups.get() {
                groups.topics_are_gone();
            }
            effect
        });
        committing
            .await
            .map_err(|error| Error::Internal(format!("a definition failed: {error}")))?
    }

    /// Lets others write a stream that a query makes ([`crate::mill`]'s `sharing`), durably and visibly. Once begun, it
    /// happens even if the client does not wait for it.
    pub(crate) async fn share_stream(
        self: &Arc<Self>,
        ddl: DdlGuard,
        stream: RelationId,
    ) -> Result<DdlGuard> {
        let engine = self.clone();
        let sharing = tokio::task::spawn_blocking(move || {
            let mut catalog = Catalog::clone(&engine.catalog());
            let changes = catalog.sharing(stream);
            let record = catalog_record(&engine.catalog_topic, &changes)?;
            catalog.apply(changes);
            let shared = engine.mill.share(&catalog, stream, record);
            if shared.is_ok() {
                *engine.catalog.write() = Arc::new(catalog);
                engine.catalog_changed.notify_waiters();
            }
            shared.map(|()| ddl)
        });
        sharing
            .await
            .map_err(|error| Error::Internal(format!("a stream could not be shared: {error}")))?
    }

    /// Wall-clock time in microseconds since the epoch UTC; never goes back while the process lives.
    pub(crate) fn now(&self) -> i64 {
        let now = chrono::Utc::now().timestamp_micros();
        self.last_now.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// The topic of a relation.
    pub(crate) fn topic(&self, relation: &Relation) -> Result<Topic> {
        topic_of(&self.log, relation)
    }
}

fn open_log(config: &EngineConfig, schemas: &Schemas) -> Result<Log> {
    let mut log_config = LogConfig::new(config.data_dir.join("log"));
    log_config.segment_bytes_max = config.segment_bytes_max;
    log_config.durability = if config.sync {
        Durability::Sync
    } else {
        Durability::Os
    };
    let (log, report) = Log::open(
        log_config,
        Arc::new(log_store::RealDisk),
        Arc::new(log_store::SystemClock),
        Arc::new(crate::row_codec::Codec::new(schemas.clone())),
    )?;
    tracing::info!(report = ?report, "log opened");
    Ok(log)
}

fn topic_of(log: &Log, relation: &Relation) -> Result<Topic> {
    match relation.topic {
        Some(id) => Ok(log.topic(TopicId(id))?),
        None => Err(Error::Internal(format!(
            "\"{}\" has no topic",
            relation.name
        ))),
    }
}

/// What the catalog's topic says.
fn replay(topic: &Topic) -> Result<Catalog> {
    let mut catalog = Catalog::default();
    for partition in topic.partitions() {
        let mut next = partition.start_offset();
        loop {
            let batches = partition.read(next, 4 << 20, log_store::Epoch::MAX)?;
            let Some(last) = batches.last() else { break };
            next = last.last_offset.plus(1);
            for batch in &batches {
                catalog.apply(catalog::decode(&batch.body)?);
            }
        }
    }
    Ok(catalog)
}

fn append_changes(log: &Log, topic: &Topic, changes: &[Change]) -> Result<log_store::AppendHandle> {
    Ok(log.append(vec![catalog_record(topic, changes)?]))
}

fn catalog_record(topic: &Topic, changes: &[Change]) -> Result<log_store::NewBatch> {
    let body = catalog::encode(changes)?;
    Ok(ingest::raw_batch(topic, body, 0))
}

fn create_processing_log(log: &Log, catalog: &Catalog) -> Result<Change> {
    let topic = log.create_topic(TopicConfig {
        retention_bytes: Some(1 << 30),
        ..TopicConfig::ingested(PROCESSING_LOG, 1)
    })?;
    Ok(Change::PutRelation(Box::new(Relation {
        id: catalog.next_number() as u32,
        name: PROCESSING_LOG.into(),
        kind: RelationKind::Stream,
        columns: processing_log::columns(),
        key: Vec::new(),
        topic: Some(topic.id().0),
        topic_name: PROCESSING_LOG.into(),
        partitions: 1,
        timestamp: None,
        written_by: None,
        terminated: false,
        read_only: true,
        definition: String::new(),
        dialect: "postgres".into(),
        format: RecordFormat::default(),
        over_records: false,
        records_of: None,
        has_marks: false,
        keeps_places: false,
    })))
}

/// What recovery has kept of derived topics are whole epochs: their readers may see all of it, although
/// the frontier that was written down last may lie before.
fn show_derived(log: &Log) -> Result<()> {
    for topic in log.topics() {
        if topic.kind() == log_store::TopicKind::Derived {
            let held = topic.partitions().iter().map(|p| p.frontier()).max();
            log.set_derived_frontier(topic.id(), held.unwrap_or_default())?;
        }
    }
    Ok(())
}

/// Drops topics that a crash between the making of a topic and of its relation has left.
fn drop_orphans(log: &Log, catalog: &Catalog) {
    let used: Vec<u32> = catalog.topics().map(|entry| entry.id).collect();
    for topic in log.topics() {
        let id = topic.id();
        if !is_internal(topic.name())
            && !used.contains(&id.0)
            && let Err(error) = log.drop_topic(id)
        {
            tracing::warn!(topic = %topic.name(), %error, "an unused topic could not be dropped");
        }
    }
}
