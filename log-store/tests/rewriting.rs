//! Retention, merging and compaction.

mod support;

use std::{collections::BTreeMap, sync::Arc};

use log_store::{
    BodyKind, Cleanup, Compression, Epoch, Log, LogConfig, LogError, NewBatch, Offset, Partition,
    PartitionId, Topic, TopicConfig,
    sim::{SimClock, SimDisk},
};
use proptest::prelude::*;
use support::{Row, batch, config, open, read_all, read_from};

fn start(topic: TopicConfig, config: LogConfig) -> (SimDisk, Arc<SimClock>, Log, Topic, Partition) {
    let (disk, clock) = (SimDisk::new(5), SimClock::new(0));
    let (log, _) = open(&disk, &clock, config).unwrap();
    let topic = log.create_topic(topic).unwrap();
    let partition = topic.partition(PartitionId(0)).unwrap();
    (disk, clock, log, topic, partition)
}

#[test]
fn small_batches_are_merged_and_keep_their_offsets_and_epochs() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let config = LogConfig {
            segment_bytes_max: 8 << 10,
            tail_bytes_max: 0,
            rewrite_compression: compression,
            ..config()
        };
        let (disk, clock, log, topic, partition) =
            start(TopicConfig::ingested("t", 1), config.clone());
        for value in 0..200 {
            clock.advance(1_000);
            log.append(vec![batch(&topic, 0, &[(value, value)])])
                .wait()
                .unwrap();
        }
        let before = read_all(&partition).unwrap();
        let size = partition.size_bytes();
        let report = log.run_maintenance_once().unwrap();
        assert_eq!(report.segments_merged, 3);
        assert!(partition.size_bytes() < size / 2);
        assert_eq!(read_all(&partition).unwrap(), before);
        // Readers in the middle of a merged batch get their part of it.
        for at in [0u64, 1, 57, 120, 199] {
            let rows = read_from(&partition, Offset(at), 1, Epoch(150)).unwrap();
            let expected: Vec<Row> = before[at as usize..]
                .iter()
                .filter(|row| row.epoch <= 150)
                .copied()
                .collect();
            assert_eq!(rows, expected);
            assert_eq!(partition.offset_of_epoch(Epoch(at)).unwrap(), Offset(at));
            assert_eq!(
                log.epoch_time(Epoch(at + 1)).unwrap(),
                (at as i64 + 1) * 1000
            );
        }
        assert_eq!(partition.epochs_after(Epoch(0)).unwrap().len(), 200);
        assert_eq!(log.run_maintenance_once().unwrap(), Default::default());
        drop(log);
        let (log, _) = open(&disk, &clock, config).unwrap();
        let topic = log.topic_by_name("t").unwrap();
        let partition = topic.partition(PartitionId(0)).unwrap();
        assert_eq!(read_all(&partition).unwrap(), before);
        assert_eq!(log.epoch_time(Epoch(77)).unwrap(), 77_000);
    }
}

#[test]
fn retention_drops_whole_segments_by_age_and_by_size() {
    let by_age = TopicConfig {
        retention_ms: Some(1000),
        ..TopicConfig::ingested("t", 1)
    };
    let (disk, clock, log, topic, partition) = start(by_age, config());
    for value in 0..30 {
        clock.advance(100_000);
        log.append(vec![batch(&topic, 0, &[(value, value)])])
            .wait()
            .unwrap();
    }
    let report = log.run_maintenance_once().unwrap();
    assert!(report.segments_deleted > 0);
    let start = partition.start_offset();
    assert!(start > Offset(10) && start <= Offset(20), "{start}");
    assert_eq!(read_all(&partition).unwrap().len() as u64, 30 - start.0);
    assert!(matches!(
        partition.read(Offset(0), 1, Epoch::MAX),
        Err(LogError::OffsetOutOfRange { .. })
    ));
    // A quiet partition forgets too.
    clock.advance(2_000_000);
    log.run_maintenance_once().unwrap();
    log.run_maintenance_once().unwrap();
    assert_eq!(partition.start_offset(), Offset(30));
    assert!(read_all(&partition).unwrap().is_empty());
    let (log, report) = open(&disk.crash(), &clock, config()).unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
    let topic = log.topic_by_name("t").unwrap();
    let appended = log
        .append(vec![batch(&topic, 0, &[(1, 1)])])
        .wait()
        .unwrap();
    assert_eq!(appended.base_offsets, [Offset(30)]);

    let by_size = TopicConfig {
        retention_bytes: Some(3000),
        ..TopicConfig::ingested("s", 1)
    };
    let (_, _, log, topic, partition) = self::start(by_size, config());
    for value in 0..60 {
        log.append(vec![batch(&topic, 0, &[(value, value)])])
            .wait()
            .unwrap();
    }
    assert!(partition.size_bytes() > 6000);
    log.run_maintenance_once().unwrap();
    assert!(partition.size_bytes() <= 3000);
    assert_eq!(partition.end_offset(), Offset(60));
}

#[test]
fn a_compacted_topic_may_forget_by_age_as_well() {
    let both = TopicConfig {
        cleanup: Cleanup::Compact {
            tombstone_retention_ms: 1000,
        },
        retention_ms: Some(10_000),
        ..TopicConfig::ingested("t", 1)
    };
    let (_, clock, log, topic, partition) = start(both, config());
    log.set_compaction_bound(topic.id(), Epoch::MAX).unwrap();
    for value in 0..40 {
        log.append(vec![batch(&topic, 0, &[(value % 3, value)])])
            .wait()
            .unwrap();
    }
    let report = log.run_maintenance_once().unwrap();
    assert!(report.rows_removed > 20 && report.segments_deleted == 0);
    clock.advance(11_000_000);
    log.run_maintenance_once().unwrap();
    assert_eq!(partition.start_offset(), Offset(40));
}

#[test]
fn compaction_waits_for_its_bound() {
    let compacted = TopicConfig {
        cleanup: Cleanup::Compact {
            tombstone_retention_ms: 1000,
        },
        ..TopicConfig::ingested("t", 1)
    };
    let (_, _, log, topic, partition) = start(compacted, config());
    for value in 0..40 {
        log.append(vec![batch(&topic, 0, &[(value % 3, value)])])
            .wait()
            .unwrap();
    }
    assert_eq!(log.run_maintenance_once().unwrap().rows_removed, 0);
    log.set_compaction_bound(topic.id(), Epoch::MAX).unwrap();
    let report = log.run_maintenance_once().unwrap();
    assert!(report.rows_removed > 20, "{report:?}");
    let rows = read_all(&partition).unwrap();
    assert_eq!(partition.end_offset(), Offset(40));
    assert_eq!(rows.last().unwrap().offset, 39);
    assert!(rows.iter().all(|row| row.offset == row.value));
}

/// What compaction takes is gone for readers at once, however much of the log is in memory.
#[test]
fn rows_in_memory_are_compacted_like_those_on_disk() {
    for tail_bytes_max in [0, 3_000, 1 << 20] {
        let config = LogConfig {
            tail_bytes_max,
            ..config()
        };
        let compacted = TopicConfig {
            cleanup: Cleanup::Compact {
                tombstone_retention_ms: 1000,
            },
            ..TopicConfig::ingested("t", 1)
        };
        let (_, _, log, topic, partition) = start(compacted, config);
        let other = log.create_topic(TopicConfig::ingested("u", 1)).unwrap();
        log.set_compaction_bound(topic.id(), Epoch::MAX).unwrap();
        let (mut written, mut removed) = (0, 0);
        for _ in 0..3 {
            for _ in 0..40 {
                for topic in [&topic, &other] {
                    let row = (written % 3, written);
                    log.append(vec![batch(topic, 0, &[row])]).wait().unwrap();
                }
                written += 1;
            }
            let taken = log.run_maintenance_once().unwrap().rows_removed;
            assert!(taken > 20, "{taken}");
            removed += taken;
            let rows = read_all(&partition).unwrap();
            assert_eq!(rows.len() as u64, written - removed);
            assert!(rows.iter().all(|row| row.offset == row.value));
            let last: Vec<u64> = rows.iter().rev().take(3).map(|row| row.value).collect();
            assert_eq!(last, [written - 1, written - 2, written - 3]);
            // What others have in memory stays.
            let others = read_all(&other.partition(PartitionId(0)).unwrap()).unwrap();
            assert_eq!(others.len() as u64, written);
        }
    }
}

/// Without that a topic of which little is written would never be compacted.
#[test]
fn a_segment_is_closed_by_age_also_after_a_start() {
    let compacted = TopicConfig {
        cleanup: Cleanup::Compact {
            tombstone_retention_ms: 1000,
        },
        segment_ms: Some(1000),
        segment_bytes: Some(1 << 20),
        ..TopicConfig::ingested("t", 1)
    };
    for restarts in [false, true] {
        let (disk, clock, mut log, _, _) = start(compacted.clone(), config());
        let topic = log.topic_by_name("t").unwrap();
        for value in 0..40 {
            clock.advance(10_000);
            let row = (value % 3, value);
            log.append(vec![batch(&topic, 0, &[row])]).wait().unwrap();
        }
        drop(topic);
        if restarts {
            drop(log);
            log = open(&disk, &clock, config()).unwrap().0;
        }
        let topic = log.topic_by_name("t").unwrap();
        let partition = topic.partition(PartitionId(0)).unwrap();
        log.set_compaction_bound(topic.id(), Epoch::MAX).unwrap();
        assert_eq!(log.run_maintenance_once().unwrap().rows_removed, 0);
        clock.advance(700_000);
        // The first row is old enough, the last is not.
        assert_eq!(log.run_maintenance_once().unwrap().rows_removed, 37);
        assert_eq!(read_all(&partition).unwrap().len(), 3);
        let appended = log.append(vec![batch(&topic, 0, &[(0, 40)])]).wait();
        assert_eq!(appended.unwrap().base_offsets, [Offset(40)]);
        // A segment without rows is not closed.
        clock.advance(10_000_000);
        log.run_maintenance_once().unwrap();
        let segments = partition.segment_count();
        clock.advance(10_000_000);
        log.run_maintenance_once().unwrap();
        assert_eq!(partition.segment_count(), segments);
    }
}

/// Record batches of Kafka clients count their records' offsets from the batch's first one. Here a row's value is that
/// distance: whatever compaction takes, base offset plus value is the row's offset.
#[test]
fn raw_bodies_stay_by_themselves_and_keep_their_base_offset() {
    for cleanup in [
        Cleanup::Delete,
        Cleanup::Compact {
            tombstone_retention_ms: 0,
        },
    ] {
        let compacts = cleanup != Cleanup::Delete;
        let topic = TopicConfig {
            cleanup,
            ..TopicConfig::ingested("t", 1)
        };
        let config = LogConfig {
            tail_bytes_max: 0,
            ..config()
        };
        let (disk, clock, log, topic, _) = start(topic, config.clone());
        log.set_compaction_bound(topic.id(), Epoch::MAX).unwrap();
        let rows = |n: u64| -> Vec<(u64, u64)> { (0..5).map(|d| ((n + d) % 7, d)).collect() };
        for n in 0..60 {
            let raw = NewBatch {
                kind: BodyKind::RAW,
                compression: Compression::Lz4,
                ..batch(&topic, 0, &rows(n))
            };
            log.append(vec![raw]).wait().unwrap();
        }
        let report = log.run_maintenance_once().unwrap();
        assert_eq!(report.rows_removed > 0, compacts);
        drop((log, topic));
        let (log, _) = open(&disk.crash(), &clock, config).unwrap();
        let partition = log.topics()[0].partition(PartitionId(0)).unwrap();
        let batches = partition.read(Offset(0), 1 << 20, Epoch::MAX).unwrap();
        if !compacts {
            assert_eq!(batches.len(), 60);
        }
        let mut sparse = 0;
        for batch in &batches {
            assert_eq!(batch.kind, BodyKind::RAW);
            assert_eq!(batch.base_offset.0 % 5, 0, "as it was appended");
            assert_eq!(batch.last_offset, batch.base_offset.plus(4));
            let original = rows(batch.base_offset.0 / 5);
            let left = support::rows::rows(&batch.body);
            assert_eq!(left.len(), batch.rows as usize);
            for (index, row) in left.iter().enumerate() {
                assert_eq!(original[row.1 as usize], *row);
                let offset = batch.offset_of(index as u32);
                assert_eq!(offset, batch.base_offset.plus(row.1));
            }
            sparse += usize::from(batch.sparse_offsets);
            // Who asks for a row that is gone gets the batch, and in it the rows behind.
            for delta in 0..5 {
                let from = batch.base_offset.plus(delta);
                let read = partition.read(from, 1, Epoch::MAX).unwrap();
                let visible = &read[0].visible;
                let first = read[0].offset_of(visible.start);
                assert!(first >= from);
                if let Some(&(_, at)) = left.iter().find(|row| row.1 >= delta) {
                    assert_eq!(first, batch.base_offset.plus(at));
                }
            }
        }
        assert_eq!(sparse > 0, compacts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is compacted when, with restarts between: the last row of each key is there, at its offset and with its
    /// epoch; no row is there that was never written; and a tombstone is gone only when it is old.
    #[test]
    fn compaction_keeps_the_last_row_of_each_key(
        rounds in prop::collection::vec(
            (prop::collection::vec((0u64..8, prop::bool::weighted(0.2)), 1..40), any::<bool>(), any::<bool>()),
            1..8,
        ),
        compaction_bytes_max in prop_oneof![Just(1usize), Just(1 << 20)],
        tail_bytes_max in prop_oneof![Just(0usize), Just(2_000), Just(1 << 20)],
    ) {
        let config = LogConfig { compaction_bytes_max, tail_bytes_max, ..config() };
        let compacted = TopicConfig {
            cleanup: Cleanup::Compact { tombstone_retention_ms: 1 },
            ..TopicConfig::ingested("t", 1)
        };
        let (mut disk, clock, mut log, _, _) = start(compacted, config.clone());
        let mut written: Vec<Row> = Vec::new();
        for (rows, crash, compact) in rounds {
            let topic = log.topic_by_name("t").unwrap();
            log.set_compaction_bound(topic.id(), Epoch::MAX).unwrap();
            for chunk in rows.chunks(3) {
                clock.advance(500);
                let rows: Vec<(u64, u64)> = chunk
                    .iter()
                    .enumerate()
                    .map(|(index, (key, tombstone))| {
                        let value = if *tombstone { u64::MAX } else { written.len() as u64 + index as u64 };
                        (*key, value)
                    })
                    .collect();
                let appended = log.append(vec![batch(&topic, 0, &rows)]).wait().unwrap();
                for (key, value) in rows {
                    written.push(Row { offset: written.len() as u64, epoch: appended.epoch.0, key, value });
                }
            }
            if compact {
                log.run_maintenance_once().unwrap();
            }
            if crash {
                disk = disk.crash();
                log = open(&disk, &clock, config.clone()).unwrap().0;
            }
            let partition = log.topic_by_name("t").unwrap().partition(PartitionId(0)).unwrap();
            let found = read_all(&partition).unwrap();
            prop_assert!(found.windows(2).all(|pair| pair[0].offset < pair[1].offset));
            for row in &found {
                prop_assert_eq!(row, &written[row.offset as usize]);
            }
            let last: BTreeMap<u64, Row> = written.iter().map(|row| (row.key, *row)).collect();
            let state: BTreeMap<u64, Row> = found.iter().map(|row| (row.key, *row)).collect();
            for (key, row) in &last {
                if row.value == u64::MAX {
                    // Gone with everything it hides, or there.
                    prop_assert!(state.get(key).is_none_or(|found| found == row));
                } else {
                    prop_assert_eq!(state.get(key), Some(row));
                }
            }
            prop_assert_eq!(partition.end_offset(), Offset(written.len() as u64));
        }
    }
}
