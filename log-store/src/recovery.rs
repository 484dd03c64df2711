//! Opening a log: finding the last sealed epoch, and leaving nothing in doubt.
//!
//! The manifest names, for each partition, a length that was durable when every epoch up to `sealed` was. What lies
//! behind is the *tail*: batches of later epochs, perhaps torn.
//!
//! The committer writes epoch n + 1 only after n was synced everywhere (and a failed epoch was cut off again). So with M
//! the newest epoch of which any trace is found, every earlier one was sealed and must be whole; M itself is sealed if all
//! its parts are there, and was never acknowledged otherwise. That gives, without any commit record on the way of an append:
//!
//! - M is incomplete: its parts are dropped in all partitions;
//! - something earlier is missing: that is damage, not a torn tail. The partition is refused from there on and left
//!   exactly as it is, until its owner opens the log with `accept_data_loss`.
//!
//! Which partition is damaged is seen where its tail breaks off: a valid batch behind the break names the first offset of
//! its own group, and everything before that offset was sealed.
//!
//! With `Durability::Os` (and in derived topics) nothing was synced, so a tail may break anywhere: the log goes back to
//! the last epoch up to which all are complete (a derived partition to its last whole epoch).
//!
//! After an unclean end the tail that is kept is written to a new file and synced before it is served: what the page
//! cache shows may never have reached the disk.

mod apply;
mod tail;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::{
    BodyCodec, Clock, Corruption, Disk, Durability, Epoch, LogConfig, LogError, Offset,
    PartitionId, TopicId, TopicKind,
    log::{ManifestState, Topics},
    manifest::Manifest,
    partition::{Env, parse_dir_name},
    sealed::Sealed,
    tail::TailBudget,
};

pub(crate) use apply::finish;
use tail::{FoundPartition, Stop};

/// What opening a log found and did.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// The log had been closed in order: there was nothing to check.
    pub clean: bool,
    /// The last sealed epoch.
    pub sealed: Epoch,
    /// Batches behind the manifest's knowledge that were kept (and written anew).
    pub batches_kept: usize,
    /// Batches dropped because their epoch was never sealed.
    pub batches_dropped: usize,
    /// Partitions with a torn end that was cut off.
    pub torn_tails: usize,
    /// Partitions that are refused (or, with `accept_data_loss`, were cut back), and why.
    pub damaged: Vec<(TopicId, PartitionId, Arc<Corruption>)>,
    /// Damage to one copy of the manifest; the other was used and both are written anew.
    pub manifest_damage: Vec<LogError>,
}

/// Everything an open log begins with.
pub(crate) struct Recovered {
    pub env: Arc<Env>,
    pub topics: Topics,
    pub next_epoch: Epoch,
    pub manifest: ManifestState,
    pub report: RecoveryReport,
    /// Files with dead bytes behind their recorded length.
    pub cuts: Vec<(PathBuf, u64)>,
    /// Files that the next manifest does not name.
    pub removed: Vec<PathBuf>,
}

pub(crate) fn recover(
    config: LogConfig,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    codec: Arc<dyn BodyCodec>,
) -> Result<Recovered, LogError> {
    let (manifest, manifest_damage) = Manifest::read(&*disk, &config.dir)?;
    let manifest = match manifest {
        Some(manifest) => manifest,
        None => {
            refuse_orphans(&*disk, &config)?;
            Manifest::new(config.durability)
        }
    };
    let mut found = Vec::new();
    for topic in &manifest.topics {
        for (partition, entry) in topic.partitions.iter().enumerate() {
            found.push(FoundPartition::scan(
                &disk,
                &config.dir,
                topic,
                PartitionId(partition as u32),
                entry,
                manifest.clean,
            )?);
        }
    }
    let verdict = judge(&mut found, &manifest, &config)?;
    let mut report = RecoveryReport {
        clean: manifest.clean,
        sealed: verdict.sealed,
        manifest_damage,
        ..RecoveryReport::default()
    };
    let sealed_time = found
        .iter()
        .filter(|partition| partition.kind == TopicKind::Ingested)
        .flat_map(|partition| &partition.batches)
        .filter(|batch| batch.header.epoch <= verdict.sealed)
        .map(|batch| batch.header.epoch_time)
        .fold(manifest.sealed_time, i64::max);
    let env = Arc::new(Env {
        budget: TailBudget::new(config.tail_bytes_max),
        sealed: Sealed::new(verdict.sealed, sealed_time),
        config,
        disk,
        clock,
        codec,
    });
    let applied = apply::apply(&env, &manifest, found, verdict.sealed, &mut report)?;
    for (topic, partition, corruption) in &report.damaged {
        tracing::error!(topic = topic.0, partition = partition.0, %corruption, "partition is damaged");
    }
    Ok(Recovered {
        env,
        topics: applied.topics,
        next_epoch: verdict.newest.next(),
        manifest: ManifestState {
            generation: manifest.generation,
            next_topic: manifest.next_topic,
            garbage: applied.garbage.clone(),
            growing: None,
        },
        removed: applied.garbage,
        report,
        cuts: applied.cuts,
    })
}

/// Without a manifest there must be no partitions either.
fn refuse_orphans(disk: &dyn Disk, config: &LogConfig) -> Result<(), LogError> {
    let entries = disk
        .list(&config.dir)
        .map_err(|error| LogError::io("list", &config.dir, error))?;
    match entries
        .iter()
        .find(|entry| entry.is_dir && parse_dir_name(&entry.name).is_some())
    {
        None => Ok(()),
        Some(_) => Err(Corruption {
            file: config.dir.join("manifest.a"),
            position: 0,
            offset: Offset::ZERO,
            epoch: Epoch::ZERO,
            reason: "the manifest is missing while there are partitions".into(),
        }
        .into()),
    }
}

struct Verdict {
    sealed: Epoch,
    /// The newest epoch of which there is any trace; its number is not used again.
    newest: Epoch,
}

/// Finds the last sealed epoch, and marks the partitions that lack something of it.
fn judge(
    found: &mut [FoundPartition],
    manifest: &Manifest,
    config: &LogConfig,
) -> Result<Verdict, LogError> {
    // How many parts of each epoch behind the manifest's knowledge were found, of how many.
    let mut parts: BTreeMap<Epoch, (u32, u32)> = BTreeMap::new();
    // Every epoch of which there is a trace, and the one that was sealed before it.
    let mut traces: BTreeMap<Epoch, Option<Epoch>> = BTreeMap::from([(manifest.sealed, None)]);
    let mut newest = manifest.sealed;
    for partition in found.iter() {
        for header in partition.traces() {
            newest = newest.max(header.epoch);
        }
        if partition.kind == TopicKind::Derived {
            continue;
        }
        for batch in &partition.batches {
            let epoch = batch.header.epoch;
            if epoch > manifest.sealed {
                let count = parts.entry(epoch).or_insert((0, batch.header.parts));
                count.0 += 1;
            }
        }
        for header in partition.traces() {
            traces.insert(header.epoch, header.previous_epoch());
        }
    }
    let is_complete = |epoch: &Epoch| {
        *epoch <= manifest.sealed || parts.get(epoch).is_some_and(|(found, all)| found >= all)
    };

    let sealed = match manifest.durability {
        // Nothing orders what reached the disk: back to where all is complete.
        Durability::Os => {
            let mut sealed = manifest.sealed;
            for (epoch, previous) in traces.range(manifest.sealed.next()..) {
                if !is_complete(epoch) || previous.is_some_and(|previous| previous != sealed) {
                    break;
                }
                sealed = *epoch;
            }
            sealed
        }
        Durability::Sync => {
            let last = traces.keys().last().copied().unwrap_or(manifest.sealed);
            if is_complete(&last) {
                last
            } else {
                let earlier = traces.range(..last).next_back().map(|(epoch, _)| *epoch);
                let previous = traces.get(&last).copied().flatten();
                earlier
                    .max(previous)
                    .unwrap_or_default()
                    .max(manifest.sealed)
            }
        }
    };
    let strict = manifest.durability == Durability::Sync;
    for partition in found.iter_mut() {
        partition.find_damage(sealed, strict);
    }
    if strict {
        for (&epoch, &(count, all)) in parts.range(..=sealed) {
            if count >= all {
                continue;
            }
            explain_missing(found, epoch, count, all, config)?;
        }
        for previous in traces.values().copied().flatten() {
            if previous > manifest.sealed && !traces.contains_key(&previous) {
                explain_missing(found, previous, 0, 1, config)?;
            }
        }
    }
    Ok(Verdict { sealed, newest })
}

/// Parts of a sealed epoch are missing: some partition's tail broke off before them.
fn explain_missing(
    found: &mut [FoundPartition],
    epoch: Epoch,
    count: u32,
    all: u32,
    config: &LogConfig,
) -> Result<(), LogError> {
    let ends_before = |partition: &&mut FoundPartition| {
        partition.kind == TopicKind::Ingested && partition.last_epoch() <= epoch
    };
    let mut explained = false;
    for partition in found.iter_mut().filter(ends_before) {
        if partition.damage.is_none() && matches!(partition.stop, Stop::Fault { .. }) {
            partition.damage = Some(partition.corruption_at_stop());
        }
        explained |= partition.damage.is_some();
    }
    if explained || config.accept_data_loss {
        return Ok(());
    }
    Err(LogError::EpochIncomplete {
        epoch,
        found: count,
        parts: all,
    })
}
