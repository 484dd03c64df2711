//! Topics that change: rows deleted at the front, partitions added; and finding rows by time.

mod support;

use std::sync::Arc;

use log_store::{
    Cleanup, Epoch, Log, LogConfig, LogError, Offset, Partition, PartitionId, Topic, TopicConfig,
    sim::{Fault, SimClock, SimDisk},
};
use support::{batch, config, open, read_all, read_from};

const P0: PartitionId = PartitionId(0);

struct Harness {
    disk: SimDisk,
    clock: Arc<SimClock>,
    config: LogConfig,
    log: Log,
    topic: Topic,
}

impl Harness {
    fn new(topic: TopicConfig, config: LogConfig) -> Self {
        let (disk, clock) = (SimDisk::new(3), SimClock::new(0));
        let (log, _) = open(&disk, &clock, config.clone()).unwrap();
        let topic = log.create_topic(topic).unwrap();
        Harness {
            disk,
            clock,
            config,
            log,
            topic,
        }
    }

    fn partition(&self) -> Partition {
        self.topic.partition(P0).unwrap()
    }

    /// Batches of three rows each, whose values are their offsets.
    fn fill(&self, batches: u64) {
        let from = self.partition().end_offset().0;
        for n in 0..batches {
            let rows: Vec<(u64, u64)> = (0..3).map(|row| (row, from + n * 3 + row)).collect();
            self.log
                .append(vec![batch(&self.topic, 0, &rows)])
                .wait()
                .unwrap();
        }
    }

    fn delete(&self, before: u64) -> Result<Offset, LogError> {
        self.log.delete_records(self.topic.id(), P0, Offset(before))
    }

    fn crash(&mut self) {
        self.disk = self.disk.crash();
        let (log, _) = open(&self.disk, &self.clock, self.config.clone()).unwrap();
        self.log = log;
        self.topic = self.log.topic_by_name("t").unwrap();
    }

    #[track_caller]
    fn check(&self, start: u64, end: u64) {
        let partition = self.partition();
        assert_eq!(partition.start_offset(), Offset(start));
        assert_eq!(partition.end_offset(), Offset(end));
        let values: Vec<u64> = read_all(&partition)
            .unwrap()
            .iter()
            .map(|row| {
                assert_eq!(row.offset, row.value);
                row.value
            })
            .collect();
        assert_eq!(values, (start..end).collect::<Vec<u64>>());
        if start > 0 {
            assert!(matches!(
                partition.read(Offset(start - 1), 1, Epoch::MAX),
                Err(LogError::OffsetOutOfRange { .. })
            ));
        }
    }
}

#[test]
fn deleted_rows_are_gone_for_good() {
    for tail_bytes_max in [0, 1 << 20] {
        let config = LogConfig {
            tail_bytes_max,
            ..config()
        };
        let mut harness = Harness::new(TopicConfig::ingested("t", 1), config);
        harness.fill(30);
        let segments = harness.partition().segment_count();
        assert!(segments > 3);
        // Within the first segment.
        assert_eq!(harness.delete(4).unwrap(), Offset(4));
        harness.check(4, 90);
        assert_eq!(harness.partition().segment_count(), segments);
        assert_eq!(harness.delete(2).unwrap(), Offset(4), "it never goes back");
        harness.crash();
        harness.check(4, 90);
        // Rows before the start are not found by epoch or time either.
        let partition = harness.partition();
        assert_eq!(partition.offset_of_epoch(Epoch(0)).unwrap(), Offset(4));
        assert_eq!(partition.offset_of_time(1).unwrap(), Offset(4));
        assert_eq!(partition.epochs_after(Epoch(0)).unwrap()[0], Epoch(2));
        // Several whole segments.
        assert_eq!(harness.delete(50).unwrap(), Offset(50));
        harness.check(50, 90);
        assert!(harness.partition().segment_count() < segments - 1);
        harness.crash();
        harness.check(50, 90);
        harness.fill(2);
        harness.log.run_maintenance_once().unwrap();
        harness.check(50, 96);
        assert!(matches!(
            harness.delete(97),
            Err(LogError::OffsetOutOfRange { .. })
        ));
        // Everything.
        assert_eq!(harness.delete(96).unwrap(), Offset(96));
        harness.check(96, 96);
        let left = harness.disk.paths();
        let left: Vec<_> = left
            .iter()
            .filter(|path| path.extension().is_some_and(|e| e == "seg"))
            .collect();
        assert_eq!(left.len(), 1, "{left:?}");
        harness.crash();
        harness.check(96, 96);
        harness.fill(1);
        harness.crash();
        harness.check(96, 99);
    }
}

#[test]
fn a_deletion_that_is_cut_short_happened_or_did_not() {
    for halt_at in 1..25 {
        let mut harness = Harness::new(TopicConfig::ingested("t", 1), config());
        harness.fill(20);
        harness.disk.inject(Fault::Halt, halt_at);
        let answer = harness.delete(40);
        harness.crash();
        let start = harness.partition().start_offset();
        match answer {
            Ok(offset) => assert_eq!(start, offset),
            Err(_) => assert!(start == Offset(0) || start == Offset(40)),
        }
        harness.check(start.0, 60);
    }
}

#[test]
fn rows_of_a_derived_topic_can_be_deleted_before_they_are_synced() {
    let mut harness = Harness::new(TopicConfig::derived("t", 1), config());
    let other = harness.log.create_topic(TopicConfig::ingested("i", 1));
    let other = other.unwrap();
    for n in 0..6u64 {
        let appended = harness.log.append(vec![batch(&other, 0, &[(0, 0)])]);
        let epoch = appended.wait().unwrap().epoch;
        let rows = batch(&harness.topic, 0, &[(0, n)]);
        let id = harness.topic.id();
        harness.log.append_derived(id, epoch, vec![rows]).unwrap();
    }
    assert_eq!(harness.topic.visible_end(P0).unwrap(), Offset(0));
    let id = harness.topic.id();
    harness.log.set_derived_frontier(id, Epoch(4)).unwrap();
    assert_eq!(harness.topic.visible_end(P0).unwrap(), Offset(4));
    harness.delete(6).unwrap();
    harness.crash();
    harness.check(6, 6);
    // What was deleted was written all the same.
    let rows = batch(&harness.topic, 0, &[(0, 6)]);
    let again = harness.log.append_derived(id, Epoch(6), vec![rows]);
    assert!(matches!(again, Err(LogError::EpochNotAfter { .. })));
}

#[test]
fn topics_grow() {
    let mut harness = Harness::new(TopicConfig::ingested("t", 1), config());
    harness.fill(3);
    let id = harness.topic.id();
    for total in [0, 1, 1_000_000] {
        let refused = harness.log.add_partitions(id, total);
        assert!(matches!(refused, Err(LogError::InvalidConfig(_))));
    }
    harness.log.add_partitions(id, 3).unwrap();
    assert_eq!(harness.topic.config().partitions, 3);
    let to_all = |harness: &Harness, value| {
        let batches = (0..3).map(|p| batch(&harness.topic, p, &[(0, value)]));
        harness.log.append(batches.collect()).wait().unwrap()
    };
    let appended = to_all(&harness, 9);
    assert_eq!(appended.base_offsets, [Offset(9), Offset(0), Offset(0)]);
    harness.crash();
    assert_eq!(harness.topic.partitions().len(), 3);
    let appended = to_all(&harness, 10);
    assert_eq!(appended.base_offsets, [Offset(10), Offset(1), Offset(1)]);
    harness.check(0, 11);
    // Changing the rest keeps them.
    let config = TopicConfig {
        cleanup: Cleanup::Compact {
            tombstone_retention_ms: 1,
        },
        ..harness.topic.config()
    };
    harness.log.alter_topic(id, config.clone()).unwrap();
    harness.crash();
    assert_eq!(harness.topic.config(), config);
    let derived = harness.log.create_topic(TopicConfig::derived("v", 1));
    let refused = harness.log.add_partitions(derived.unwrap().id(), 2);
    assert!(matches!(refused, Err(LogError::WrongKind { .. })));
}

#[test]
fn growing_that_is_cut_short_happened_or_did_not() {
    for halt_at in 1..12 {
        let mut harness = Harness::new(TopicConfig::ingested("t", 1), config());
        harness.fill(1);
        harness.disk.inject(Fault::Halt, halt_at);
        let answer = harness.log.add_partitions(harness.topic.id(), 2);
        harness.crash();
        let count = harness.topic.partitions().len();
        assert_eq!(harness.topic.config().partitions as usize, count);
        assert!(count == 2 || answer.is_err() && count == 1);
        harness.check(0, 3);
    }
}

#[test]
fn rows_are_found_by_time() {
    let mut harness = Harness::new(
        TopicConfig::ingested("t", 1),
        LogConfig {
            tail_bytes_max: 0,
            ..config()
        },
    );
    assert_eq!(harness.partition().max_rowtime().unwrap(), None);
    // The rowtime of a row is its value: upwards, then downwards.
    for value in (0..40).chain((0..39).rev()) {
        let rows = [(0, value), (0, value)];
        let appended = harness.log.append(vec![batch(&harness.topic, 0, &rows)]);
        appended.wait().unwrap();
    }
    for _ in 0..2 {
        let partition = harness.partition();
        assert_eq!(partition.max_rowtime().unwrap(), Some((39, Offset(78))));
        assert_eq!(partition.offset_of_time(17).unwrap(), Offset(34));
        assert_eq!(partition.offset_of_time(40).unwrap(), Offset(158));
        let from = |from| partition.offset_of_time_from(17, Offset(from)).unwrap();
        assert_eq!(from(35), Offset(35));
        assert_eq!(from(36), Offset(36));
        // 17 comes again at offset 122; behind it, never.
        assert_eq!(from(122), Offset(122));
        assert_eq!(from(124), Offset(158));
        harness.crash();
    }
    // Of the rows that are left.
    harness.delete(81).unwrap();
    let partition = harness.partition();
    assert_eq!(partition.max_rowtime().unwrap(), Some((38, Offset(81))));
    assert_eq!(partition.offset_of_time(17).unwrap(), Offset(81));
    assert_eq!(partition.offset_of_time(39).unwrap(), Offset(158));
    assert_eq!(
        read_from(&partition, Offset(81), 1, Epoch::MAX)
            .unwrap()
            .len(),
        77
    );
}
