//! A small log whose files were changed, with the checksums of its batches put right or not: opening it says what is
//! wrong, or gives a log that can be read, written and opened again. It never panics, and never loses what it has just
//! acknowledged.
#![no_main]

use std::{path::PathBuf, sync::Arc, sync::LazyLock};

use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use log_store::{
    BodyKind, Compression, Epoch, Log, LogConfig, LogError, NewBatch, OpaqueBodies, PartitionId,
    ProducerStamp, Topic, TopicConfig,
    sim::{SimClock, SimDisk},
};

#[derive(Arbitrary, Debug)]
struct Input {
    clean: bool,
    accept_data_loss: bool,
    edits: Vec<Edit>,
}

#[derive(Arbitrary, Debug)]
struct Edit {
    file: u8,
    change: Change,
    seal: bool,
}

#[derive(Arbitrary, Debug)]
enum Change {
    Bytes(u16, Vec<u8>),
    Cut(u16),
    Remove,
    /// Another file's bytes from a position on.
    Splice(u8, u16),
}

fn config() -> LogConfig {
    LogConfig {
        background: false,
        segment_bytes_max: 1024,
        ..LogConfig::new("/log")
    }
}

fn open(disk: &SimDisk, config: LogConfig) -> Result<Log, LogError> {
    let clock = SimClock::new(1);
    Log::open(
        config,
        Arc::new(disk.clone()),
        clock,
        Arc::new(OpaqueBodies),
    )
    .map(|(log, _)| log)
}

fn batch(topic: &Topic, partition: u32, stamp: Option<(i64, i32)>) -> NewBatch {
    NewBatch {
        topic: topic.id(),
        partition: PartitionId(partition),
        rows: 2,
        rowtime_min: 1,
        rowtime_max: 2,
        schema_id: 0,
        kind: BodyKind::RAW,
        compression: Compression::Lz4,
        body: vec![b'x'; 100].into(),
        decoded: None,
        producer: stamp.map(|(id, sequence)| ProducerStamp {
            id,
            epoch: 0,
            sequence,
        }),
    }
}

/// The files of a small log, after a clean end or as a crash leaves them.
fn files(clean: bool) -> Vec<(PathBuf, Vec<u8>)> {
    let disk = SimDisk::new(1);
    let log = open(&disk, config()).unwrap();
    let topic = log.create_topic(TopicConfig::ingested("t", 2)).unwrap();
    let view = log.create_topic(TopicConfig::derived("v", 1)).unwrap();
    for n in 0..6 {
        let batches = vec![
            batch(&topic, 0, Some((1, n * 2))),
            batch(&topic, n as u32 % 2, None),
        ];
        let epoch = log.append(batches).wait().unwrap().epoch;
        let rows = batch(&view, 0, None);
        log.append_derived(view.id(), epoch, vec![rows]).unwrap();
        log.set_derived_frontier(view.id(), epoch).unwrap();
        if n == 2 {
            log.run_maintenance_once().unwrap();
        }
    }
    if clean {
        log.close().unwrap();
    }
    let paths = disk.paths();
    paths
        .into_iter()
        .filter(|path| path != std::path::Path::new("/log/reserve"))
        .filter_map(|path| disk.contents(&path).map(|bytes| (path, bytes)))
        .collect()
}

static CLEAN: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(|| files(true));
static CRASHED: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(|| files(false));

fn edit(files: &mut Vec<(PathBuf, Vec<u8>)>, edit: &Edit) {
    let count = files.len();
    if count == 0 {
        return;
    }
    let file = usize::from(edit.file) % count;
    match &edit.change {
        Change::Bytes(at, new) => {
            let bytes = &mut files[file].1;
            let at = usize::from(*at) % (bytes.len() + 1);
            let end = (at + new.len().min(200)).max(bytes.len());
            bytes.resize(end, 0);
            bytes[at..at + new.len().min(200)].copy_from_slice(&new[..new.len().min(200)]);
        }
        Change::Cut(at) => {
            let bytes = &mut files[file].1;
            let at = usize::from(*at) % (bytes.len() + 1);
            bytes.truncate(at);
        }
        Change::Remove => {
            files.remove(file);
            return;
        }
        Change::Splice(other, at) => {
            let other = files[usize::from(*other) % count].1.clone();
            let at = usize::from(*at) / 8 * 8;
            files[file].1.extend(other.get(at..).unwrap_or_default());
        }
    }
    let (path, bytes) = &mut files[file];
    if edit.seal && path.extension().is_some_and(|e| e == "seg") && bytes.len() > 64 {
        log_store_fuzz::seal(&mut bytes[64..]);
    }
}

/// Reads everything up to damage; gives how many rows there are in each partition.
fn read(log: &Log) -> Vec<u64> {
    let mut counts = Vec::new();
    for partition in log.topics().iter().flat_map(|topic| topic.partitions()) {
        let mut from = partition.start_offset();
        let mut count = 0;
        while let Ok(batches) = partition.read(from, 1000, Epoch::MAX)
            && let Some(last) = batches.last()
        {
            batches.iter().for_each(log_store_fuzz::look_at);
            count += batches
                .iter()
                .map(|b| u64::from(b.visible.end - b.visible.start))
                .sum::<u64>();
            let next = last.offset_of(last.visible.end - 1).plus(1);
            assert!(next > from);
            from = next;
        }
        counts.push(count);
        let _ = partition.offset_of_epoch(Epoch(3));
        let _ = partition.epochs_after(Epoch(1));
        let _ = partition.offset_of_time(2);
        let _ = partition.max_rowtime();
    }
    let _ = log.verify();
    counts
}

fuzz_target!(|input: Input| {
    let mut files = if input.clean {
        CLEAN.clone()
    } else {
        CRASHED.clone()
    };
    for change in input.edits.iter().take(8) {
        edit(&mut files, change);
    }
    let disk = SimDisk::new(1);
    log_store::Disk::create_dir(&disk, std::path::Path::new("/log")).unwrap();
    for (path, bytes) in files {
        let _ = log_store::Disk::create_dir(&disk, path.parent().unwrap());
        disk.set_contents(&path, bytes);
    }
    let config = LogConfig {
        accept_data_loss: input.accept_data_loss,
        ..config()
    };
    let Ok(log) = open(&disk, config.clone()) else {
        return;
    };
    read(&log);
    let mut acknowledged = Vec::new();
    if let Some(topic) = log.topic_by_name("t") {
        for partition in 0..2 {
            let new = batch(&topic, partition, None);
            if let Ok(appended) = log.append(vec![new]).wait() {
                acknowledged.push((PartitionId(partition), appended.base_offsets[0]));
            }
        }
    }
    let _ = log.run_maintenance_once();
    let before = read(&log);
    drop(log);
    let disk = disk.crash();
    let log = open(&disk, config).expect("what was opened can be opened again");
    let after = read(&log);
    assert_eq!(before, after);
    for (partition, offset) in acknowledged {
        let topic = log.topic_by_name("t").expect("it was there");
        let partition = topic.partition(partition).expect("it was there");
        let batches = partition
            .read(offset, 1, Epoch::MAX)
            .expect("it was acknowledged");
        assert_eq!(batches[0].offset_of(batches[0].visible.start), offset);
    }
});
