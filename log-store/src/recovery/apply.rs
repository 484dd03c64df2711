//! Acting on what was found: keeping sealed batches in new files, cutting off the rest, refusing what is damaged.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{
    RecoveryReport,
    tail::{FoundPartition, Stop, TailBatch},
};
use crate::{
    Epoch, LogError, OpenMode, TopicId, TopicKind,
    batch::body_range,
    log::{Shared, Topics},
    manifest::{Manifest, SegmentEntry, TopicEntry},
    partition::{Env, Health, Layout, PartitionInner, PartitionState, Writer, parse_dir_name},
    producers::Producers,
    segment::{SEGMENT_HEADER_LEN, Segment, SegmentId, parse_file_name},
    tail::Tail,
    topic::{SharedKind, TopicInner},
    waiting::Waiters,
};

/// The kept tail is written in pieces of this size.
const WRITE_BYTES: u64 = 8 << 20;

pub(super) struct Applied {
    pub topics: Topics,
    pub garbage: Vec<PathBuf>,
    pub cuts: Vec<(PathBuf, u64)>,
}

pub(super) fn apply(
    env: &Arc<Env>,
    manifest: &Manifest,
    found: Vec<FoundPartition>,
    sealed: Epoch,
    report: &mut RecoveryReport,
) -> Result<Applied, LogError> {
    let mut applied = Applied {
        topics: Topics::default(),
        garbage: Vec::new(),
        cuts: Vec::new(),
    };
    let kinds: HashMap<TopicId, Arc<SharedKind>> = (manifest.topics.iter())
        .map(|entry| (entry.id, SharedKind::new(entry.config.kind)))
        .collect();
    let mut partitions: HashMap<_, Vec<Arc<PartitionInner>>> = HashMap::new();
    for partition in found {
        let topic = partition.topic;
        let config = manifest.topics.iter().find(|entry| entry.id == topic);
        let segment_bytes = config
            .and_then(|entry| entry.config.segment_bytes)
            .unwrap_or(env.config.segment_bytes_max);
        let kind = kinds[&topic].clone();
        let opened = open_partition(
            env,
            partition,
            kind,
            sealed,
            segment_bytes,
            &mut applied,
            report,
        )?;
        partitions.entry(topic).or_default().push(opened);
    }
    for entry in &manifest.topics {
        let partitions = partitions.remove(&entry.id).unwrap_or_default();
        let topic = open_topic(env, entry, kinds[&entry.id].clone(), partitions);
        applied.topics.by_name.insert(topic.name.clone(), topic.id);
        applied.topics.by_id.insert(topic.id, topic);
    }
    remove_unknown(env, &applied.topics)?;
    Ok(applied)
}

fn open_topic(
    env: &Arc<Env>,
    entry: &TopicEntry,
    kind: Arc<SharedKind>,
    partitions: Vec<Arc<PartitionInner>>,
) -> Arc<TopicInner> {
    Arc::new(TopicInner {
        id: entry.id,
        kind,
        name: entry.config.name.clone(),
        config: RwLock::new(entry.config.clone()),
        partitions: RwLock::new(partitions),
        frontier: watch::Sender::new(entry.frontier),
        synced_frontier: RwLock::new(entry.frontier),
        compaction_bound: RwLock::default(),
        env: env.clone(),
    })
}

fn open_partition(
    env: &Arc<Env>,
    mut found: FoundPartition,
    kind: Arc<SharedKind>,
    sealed: Epoch,
    segment_bytes: u64,
    applied: &mut Applied,
    report: &mut RecoveryReport,
) -> Result<Arc<PartitionInner>, LogError> {
    if matches!(found.stop, Stop::Fault { .. }) {
        report.torn_tails += 1;
    }
    let keep = kept(&found, sealed);
    report.batches_dropped += found.batches.len() - keep;
    report.batches_kept += keep;
    found.batches.truncate(keep);

    if let Some(damage) = found.damage.take() {
        let damage = Arc::new(damage);
        report.damaged.push((found.topic, found.id, damage.clone()));
        if !env.config.accept_data_loss {
            let mut frozen = found.entry.clone();
            frozen.damage = Some((*damage).clone());
            return Ok(in_place(
                env,
                found,
                kind,
                segment_bytes,
                Health::Damaged(damage),
                frozen,
            ));
        }
        found.entry.damage = None;
    }

    drop_files_behind(env, &mut found)?;
    let mut segments: Vec<Arc<Segment>> = listed(env, &found);
    let mut writer = Writer {
        next: found.entry.end,
        dir_made: !segments.is_empty() || !found.tail_files.is_empty(),
        ..Writer::default()
    };
    // A listed segment without durable batches gives way to whatever is written next.
    let replaced = segments
        .pop_if(|last| last.len() <= SEGMENT_HEADER_LEN)
        .map(|last| last.id);
    for &(base, generation) in &found.tail_files {
        applied
            .garbage
            .push(Segment::path_of(&found.dir, base, generation));
    }
    let mut last_epoch = found.entry.last_epoch;
    let mut end = found.entry.end;
    if found.batches.is_empty() {
        if let Some(id) = replaced {
            applied
                .garbage
                .push(Segment::path_of(&found.dir, id.base, id.generation));
        }
        if let Some(last) = segments.last() {
            if found.excess {
                // Nothing behind the recorded length is kept: it must be gone before anything is appended there.
                cut(env, &last.path, last.len())?;
            }
            if last.len() < segment_bytes && !last.summary().merged && !last.summary().compacted {
                writer.position = last.len();
                writer.synced = Some(last.summary());
                writer.active = Some(last.clone());
            }
        }
    } else {
        let base = found.entry.end;
        let generation = found
            .tail_files
            .iter()
            .filter(|(other, _)| *other == base)
            .map(|(_, generation)| *generation)
            .chain(
                replaced
                    .filter(|id| id.base == base)
                    .map(|id| id.generation),
            )
            .max()
            // Never zero: until the manifest lists the file, it must not be taken for a tail.
            .map_or(1, |generation| generation + 1);
        let id = SegmentId {
            topic: found.topic,
            partition: found.id,
            base,
            generation,
        };
        match rewrite(env, &found, id) {
            Ok(segment) => {
                if let Some(id) = replaced {
                    applied
                        .garbage
                        .push(Segment::path_of(&found.dir, id.base, id.generation));
                } else if let Some(last) = segments.last()
                    && found.excess
                {
                    applied.cuts.push((last.path.clone(), last.len()));
                }
                end = segment.end();
                last_epoch = segment.summary().last_epoch;
                writer.next = end;
                writer.position = segment.len();
                writer.synced = Some(segment.summary());
                writer.active = Some(segment.clone());
                segments.push(segment);
            }
            Err(LogError::DiskFull) => {
                // Served from where it lies, and recovered again by the next start.
                applied.garbage.retain(|path| !path.starts_with(&found.dir));
                let reason = LogError::DiskFull.to_string();
                let frozen = found.entry.clone();
                return Ok(in_place(
                    env,
                    found,
                    kind,
                    segment_bytes,
                    Health::Poisoned(reason),
                    frozen,
                ));
            }
            Err(error) => return Err(error),
        }
    }
    remove_unlisted(env, &found, &segments)?;
    let producers = producers(&found);
    Ok(Arc::new(PartitionInner {
        topic: found.topic,
        id: found.id,
        kind,
        dir: found.dir,
        env: env.clone(),
        state: RwLock::new(PartitionState {
            segments,
            // Accepted losses may have taken what lay behind the start.
            start: found.entry.start.min(end),
            end,
            last_epoch,
            producers,
            tail: Tail::default(),
            health: Health::Good,
            segment_bytes,
            frozen: None,
        }),
        writer: Mutex::new(writer),
        waiters: Waiters::default(),
    }))
}

/// Removes files that hold nothing that counts, durably and before anything else changes: once the batches before them are
/// cut off, a file that begins further on would look as if some were missing.
fn drop_files_behind(env: &Env, found: &mut FoundPartition) -> Result<(), LogError> {
    let end = found.end();
    let mut removed = false;
    // The last first, so that at no moment there is a gap before a file.
    while let Some((base, generation)) = found.tail_files.pop_if(|(base, _)| *base >= end) {
        let path = Segment::path_of(&found.dir, base, generation);
        env.disk
            .remove(&path)
            .map_err(|error| LogError::io("remove", &path, error))?;
        removed = true;
    }
    if removed {
        env.disk
            .sync_dir(&found.dir)
            .map_err(|error| LogError::io("sync", &found.dir, error))?;
    }
    Ok(())
}

/// How many batches of the tail count.
fn kept(found: &FoundPartition, sealed: Epoch) -> usize {
    let sealed_batches = found
        .batches
        .partition_point(|batch| batch.header.epoch <= sealed);
    match found.kind {
        TopicKind::Ingested => sealed_batches,
        // A derived epoch is whole in its partition, or absent.
        TopicKind::Derived => found.batches[..sealed_batches]
            .iter()
            .rposition(|batch| batch.header.is_last_of_epoch())
            .map_or(0, |last| last + 1),
    }
}

fn listed(env: &Arc<Env>, found: &FoundPartition) -> Vec<Arc<Segment>> {
    found
        .entry
        .segments
        .iter()
        .map(|entry| Segment::from_entry(&env.disk, &found.dir, found.topic, found.id, entry))
        .collect()
}

/// A partition that is only read: nothing of it is touched, and the manifest goes on saying what it said.
fn in_place(
    env: &Arc<Env>,
    found: FoundPartition,
    kind: Arc<SharedKind>,
    segment_bytes: u64,
    health: Health,
    frozen: crate::manifest::PartitionEntry,
) -> Arc<PartitionInner> {
    let mut segments = listed(env, &found);
    let mut batches = found.batches.iter().peekable();
    let mut files: Vec<Arc<Segment>> = segments.last().cloned().into_iter().collect();
    for &(base, generation) in &found.tail_files {
        let entry = SegmentEntry::new(base, generation, &crate::segment::Summary::empty(base));
        files.push(Segment::from_entry(
            &env.disk,
            &found.dir,
            found.topic,
            found.id,
            &entry,
        ));
    }
    for (index, segment) in files.iter().enumerate() {
        let next_base = files.get(index + 1).map(|next| next.id.base);
        let mut position = segment.len();
        let mut published = Vec::new();
        while let Some(batch) =
            batches.next_if(|batch| next_base.is_none_or(|base| batch.header.base_offset < base))
        {
            published.push((position, batch.header.clone()));
            position += batch.header.length();
        }
        if segment.id.base > found.entry.end || !published.is_empty() {
            if published.is_empty() {
                break;
            }
            segment.publish(&published);
            if !segments.iter().any(|known| known.id == segment.id) {
                segments.push(segment.clone());
            }
        }
    }
    let state = PartitionState {
        segments,
        start: found.entry.start,
        end: found.end(),
        last_epoch: found.last_epoch(),
        producers: producers(&found),
        tail: Tail::default(),
        health,
        segment_bytes,
        frozen: Some(frozen),
    };
    Arc::new(PartitionInner {
        topic: found.topic,
        id: found.id,
        kind,
        dir: found.dir,
        env: env.clone(),
        state: RwLock::new(state),
        writer: Mutex::default(),
        waiters: Waiters::default(),
    })
}

/// What the manifest knew of producers, and what the kept batches add to it.
fn producers(found: &FoundPartition) -> Producers {
    let mut producers = Producers::from_entries(&found.entry.producers, found.entry.end);
    for batch in &found.batches {
        producers.record(&batch.header);
    }
    producers
}

/// Writes the kept tail to a file of its own, durably.
fn rewrite(
    env: &Arc<Env>,
    found: &FoundPartition,
    id: SegmentId,
) -> Result<Arc<Segment>, LogError> {
    env.disk
        .create_dir(&found.dir)
        .map_err(|error| LogError::io("create", &found.dir, error))?;
    let segment = Segment::create(&env.disk, &found.dir, id)?;
    let written = write_batches(env, found, &segment);
    if written.is_err() {
        let _ = env.disk.remove(&segment.path);
    }
    written.map(|()| segment)
}

fn write_batches(
    env: &Arc<Env>,
    found: &FoundPartition,
    segment: &Segment,
) -> Result<(), LogError> {
    let file = segment.file_for_append()?;
    let failed = |error| LogError::io("write", &segment.path, error);
    let mut layout = Layout::new(SEGMENT_HEADER_LEN);
    let mut headers = Vec::with_capacity(found.batches.len());
    for TailBatch { header, bytes } in &found.batches {
        let (body, extension) = body_range(header);
        let mut header = header.clone();
        let position = layout.push(&mut header, &bytes.slice(body), &bytes[extension]);
        headers.push((position, header));
        if layout.len() >= WRITE_BYTES {
            layout.flush(&*file).map_err(failed)?;
        }
    }
    layout.flush(&*file).map_err(failed)?;
    file.sync()
        .map_err(|error| LogError::io("sync", &segment.path, error))?;
    for dir in [&found.dir, &env.config.dir] {
        env.disk
            .sync_dir(dir)
            .map_err(|error| LogError::io("sync", dir, error))?;
    }
    segment.publish(&headers);
    Ok(())
}

fn cut(env: &Env, path: &PathBuf, len: u64) -> Result<(), LogError> {
    let file = env
        .disk
        .open(path, OpenMode::Write)
        .map_err(|error| LogError::io("open", path, error))?;
    file.set_len(len)
        .and_then(|()| file.sync())
        .map_err(|error| LogError::io("cut", path, error))
}

/// After the manifest was written, and before anything is appended: what it no longer counts goes for good, or a later
/// recovery might take it for something newer.
pub(crate) fn finish(
    shared: &Shared,
    cuts: &[(PathBuf, u64)],
    removed: &[PathBuf],
) -> Result<(), LogError> {
    for (path, len) in cuts {
        cut(&shared.env, path, *len)?;
    }
    let dirs: BTreeSet<&Path> = removed.iter().filter_map(|path| path.parent()).collect();
    for dir in dirs {
        shared
            .env
            .disk
            .sync_dir(dir)
            .map_err(|error| LogError::io("sync", dir, error))?;
    }
    Ok(())
}

/// Removes files of a partition that no manifest names: left over from work that did not finish.
fn remove_unlisted(
    env: &Env,
    found: &FoundPartition,
    segments: &[Arc<Segment>],
) -> Result<(), LogError> {
    let names = match env.disk.list(&found.dir) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LogError::io("list", &found.dir, error)),
    };
    // What the manifest on disk still names, and the tail, go only after the next manifest was written.
    let known: BTreeSet<(crate::Offset, u32)> = found
        .entry
        .segments
        .iter()
        .map(|entry| (entry.base, entry.generation))
        .chain(segments.iter().map(|s| (s.id.base, s.id.generation)))
        .chain(found.tail_files.iter().copied())
        .collect();
    for name in names {
        if let Some(file) = parse_file_name(&name.name)
            && !known.contains(&file)
        {
            let _ = env.disk.remove(&found.dir.join(&name.name));
        }
    }
    Ok(())
}

/// Removes directories of topics that no manifest names.
fn remove_unknown(env: &Env, topics: &Topics) -> Result<(), LogError> {
    let root = &env.config.dir;
    let entries = env
        .disk
        .list(root)
        .map_err(|error| LogError::io("list", root, error))?;
    for entry in entries {
        let Some((topic, _)) = parse_dir_name(&entry.name).filter(|_| entry.is_dir) else {
            continue;
        };
        if topics.by_id.contains_key(&topic) {
            continue;
        }
        let dir = root.join(&entry.name);
        for file in env.disk.list(&dir).unwrap_or_default() {
            let _ = env.disk.remove(&dir.join(file.name));
        }
        let _ = env.disk.remove_dir(&dir);
    }
    Ok(())
}
