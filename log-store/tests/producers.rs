//! Idempotent producers: what is written twice, what is refused, and what is still known after a restart.

mod support;

use std::sync::Arc;

use log_store::{
    Appended, Epoch, Log, LogConfig, LogError, NewBatch, Offset, PartitionId, ProducerStamp, Topic,
    TopicConfig,
    sim::{SimClock, SimDisk},
};
use support::{batch, config, open, read_all};

struct Harness {
    disk: SimDisk,
    clock: Arc<SimClock>,
    config: LogConfig,
    log: Log,
    topic: Topic,
}

impl Harness {
    fn new(config: LogConfig) -> Self {
        let (disk, clock) = (SimDisk::new(3), SimClock::new(0));
        let (log, _) = open(&disk, &clock, config.clone()).unwrap();
        let topic = log.create_topic(TopicConfig::ingested("t", 2)).unwrap();
        Harness {
            disk,
            clock,
            config,
            log,
            topic,
        }
    }

    /// Rows with the values `sequence..`, as producer `id` of an epoch sends them.
    fn batch(&self, partition: u32, id: i64, epoch: i16, sequence: i32, rows: u32) -> NewBatch {
        let rows: Vec<(u64, u64)> = (0..rows).map(|n| (0, u64::from(n))).collect();
        NewBatch {
            producer: Some(ProducerStamp {
                id,
                epoch,
                sequence,
            }),
            ..batch(&self.topic, partition, &rows)
        }
    }

    /// Appends one batch of producer 1, epoch 0, to partition 0.
    fn send(&self, sequence: i32, rows: u32) -> Result<Appended, LogError> {
        let batch = self.batch(0, 1, 0, sequence, rows);
        self.log.append(vec![batch]).wait()
    }

    fn end(&self, partition: u32) -> Offset {
        let partition = self.topic.partition(PartitionId(partition)).unwrap();
        assert_eq!(
            read_all(&partition).unwrap().len() as u64,
            partition.end_offset().0 - partition.start_offset().0
        );
        partition.end_offset()
    }

    fn crash(&mut self) {
        self.disk = self.disk.crash();
        let (log, _) = open(&self.disk, &self.clock, self.config.clone()).unwrap();
        self.log = log;
        self.topic = self.log.topic_by_name("t").unwrap();
    }
}

fn first(appended: &Appended) -> (u64, bool) {
    (appended.base_offsets[0].0, appended.duplicates[0])
}

#[test]
fn a_batch_sent_twice_is_written_once() {
    let harness = Harness::new(config());
    assert_eq!(first(&harness.send(0, 3).unwrap()), (0, false));
    assert_eq!(first(&harness.send(3, 2).unwrap()), (3, false));
    let sealed = harness.log.sealed();
    let again = harness.send(0, 3).unwrap();
    assert_eq!(first(&again), (0, true));
    assert_eq!(again.epoch, sealed, "nothing was written");
    assert_eq!(harness.log.sealed(), sealed);
    assert_eq!(harness.end(0), Offset(5));
    // The partitions count for themselves.
    let other = harness.batch(1, 1, 0, 0, 3);
    let other = harness.log.append(vec![other]).wait().unwrap();
    assert_eq!(first(&other), (0, false));
}

#[test]
fn what_is_out_of_sequence_is_refused_and_harms_nobody_else() {
    let harness = Harness::new(config());
    harness.send(0, 3).unwrap();
    assert!(matches!(
        harness.send(4, 1),
        Err(LogError::OutOfOrderSequence {
            producer: 1,
            epoch: 0,
            sequence: 4,
            expected: 3
        })
    ));
    // Appends that wait together, most likely committed as one group.
    let handles: Vec<_> = (0..40)
        .map(|n| match n % 4 {
            0 => harness.batch(0, 1, 0, 3 + n / 4, 1),
            1 => harness.batch(0, 1, 0, 3 + n / 4, 1),
            2 => harness.batch(0, 1, 0, 1000, 1),
            _ => batch(&harness.topic, 0, &[(1, 1)]),
        })
        .map(|batch| harness.log.append(vec![batch]))
        .collect();
    let mut written = Vec::new();
    for (n, handle) in handles.into_iter().enumerate() {
        match (n % 4, handle.wait()) {
            (0 | 3, Ok(appended)) => {
                assert!(!appended.duplicates[0]);
                written.push(appended);
            }
            (1, Ok(again)) => {
                let original = written.last().unwrap();
                assert!(again.duplicates[0]);
                assert_eq!(again.base_offsets, original.base_offsets);
                assert!(again.epoch >= original.epoch);
            }
            (2, Err(LogError::OutOfOrderSequence { .. })) => {}
            (_, other) => panic!("{n}: {other:?}"),
        }
    }
    let offsets: Vec<u64> = written.iter().map(|a| a.base_offsets[0].0).collect();
    assert_eq!(offsets, (3..23).collect::<Vec<u64>>());
    assert_eq!(harness.end(0), Offset(23));
}

#[test]
fn an_append_is_refused_as_a_whole() {
    let harness = Harness::new(config());
    harness.send(0, 1).unwrap();
    let refused = vec![
        harness.batch(0, 1, 0, 1, 2),
        harness.batch(1, 1, 0, 0, 2),
        harness.batch(0, 1, 0, 9, 1),
        harness.batch(1, 2, 0, 0, 1),
    ];
    assert!(matches!(
        harness.log.append(refused).wait(),
        Err(LogError::OutOfOrderSequence { expected: 3, .. })
    ));
    assert_eq!((harness.end(0), harness.end(1)), (Offset(1), Offset(0)));
    // Nothing of it is remembered either; and of a mixed append the new part is written.
    let mixed = vec![
        harness.batch(0, 1, 0, 0, 1),
        harness.batch(0, 1, 0, 1, 2),
        harness.batch(1, 1, 0, 5, 2),
        harness.batch(0, 1, 0, 1, 2),
    ];
    let appended = harness.log.append(mixed).wait().unwrap();
    assert_eq!(appended.duplicates, [true, false, false, true]);
    assert_eq!(
        appended.base_offsets,
        [Offset(0), Offset(1), Offset(0), Offset(1)]
    );
    assert_eq!(appended.epoch, harness.log.sealed());
    assert_eq!((harness.end(0), harness.end(1)), (Offset(3), Offset(2)));
}

#[test]
fn epochs_fence() {
    let harness = Harness::new(config());
    let send = |epoch, sequence| {
        let batch = harness.batch(0, 1, epoch, sequence, 1);
        harness.log.append(vec![batch]).wait()
    };
    send(0, 0).unwrap();
    assert!(matches!(
        send(1, 1),
        Err(LogError::OutOfOrderSequence { expected: 0, .. })
    ));
    send(1, 0).unwrap();
    assert!(matches!(
        send(0, 1),
        Err(LogError::ProducerFenced { current: 1, .. })
    ));
    assert!(matches!(
        send(0, 0),
        Err(LogError::ProducerFenced { current: 1, .. })
    ));
    let partition = harness.topic.partition(PartitionId(0)).unwrap();
    let states = partition.producers();
    assert_eq!((states[0].epoch, states[0].next_sequence), (1, 1));
    assert_eq!(states[0].last_offset, Offset(1));
}

#[test]
fn what_a_stamp_must_not_say_is_refused() {
    let harness = Harness::new(config());
    for (id, epoch, sequence) in [(-1, 0, 0), (0, -1, 0), (0, 0, -1)] {
        let batch = harness.batch(0, id, epoch, sequence, 1);
        let answer = harness.log.append(vec![batch]).wait();
        assert!(matches!(answer, Err(LogError::InvalidBatch(_))));
    }
    let derived = harness.log.create_topic(TopicConfig::derived("v", 1));
    let derived = derived.unwrap();
    let batch = NewBatch {
        topic: derived.id(),
        ..harness.batch(0, 1, 0, 0, 1)
    };
    let answer = harness
        .log
        .append_derived(derived.id(), Epoch(1), vec![batch]);
    assert!(matches!(answer, Err(LogError::InvalidBatch(_))));
}

#[test]
fn duplicates_are_recognised_after_crashes_and_when_their_rows_are_gone() {
    let mut harness = Harness::new(config());
    for n in 0..5 {
        harness.send(n * 2, 2).unwrap();
    }
    // Only in the headers of batches.
    harness.crash();
    assert_eq!(first(&harness.send(2, 2).unwrap()), (2, true));
    // Partly in the manifest, partly in headers.
    harness.log.run_maintenance_once().unwrap();
    harness.send(10, 2).unwrap();
    harness.crash();
    assert_eq!(first(&harness.send(2, 2).unwrap()), (2, true));
    assert_eq!(first(&harness.send(10, 2).unwrap()), (10, true));
    assert!(matches!(
        harness.send(0, 2),
        Err(LogError::DuplicateSequence { .. })
    ));
    // The rows are merged, then deleted.
    for _ in 0..40 {
        let other = batch(&harness.topic, 0, &[(0, 0); 5]);
        harness.log.append(vec![other]).wait().unwrap();
    }
    let report = harness.log.run_maintenance_once().unwrap();
    assert!(report.segments_merged > 0);
    harness.crash();
    assert_eq!(first(&harness.send(2, 2).unwrap()), (2, true));
    let end = harness.end(0);
    let topic = harness.topic.id();
    harness
        .log
        .delete_records(topic, PartitionId(0), end)
        .unwrap();
    harness.crash();
    assert_eq!(first(&harness.send(2, 2).unwrap()), (2, true));
    assert_eq!(
        first(&harness.send(12, 1).unwrap()),
        (end.0, false),
        "and the next is the next"
    );
    // A clean end.
    harness.log.close().unwrap();
    harness.crash();
    assert_eq!(first(&harness.send(12, 1).unwrap()), (end.0, true));
}

#[test]
fn producers_are_forgotten_when_they_are_quiet_or_too_many() {
    let mut harness = Harness::new(LogConfig {
        producer_expiry_ms: 1000,
        producers_max: 3,
        ..config()
    });
    let ids = |harness: &Harness| -> Vec<i64> {
        let partition = harness.topic.partition(PartitionId(0)).unwrap();
        partition.producers().iter().map(|p| p.id).collect()
    };
    for id in 0..5 {
        harness.clock.advance(100_000);
        let batch = harness.batch(0, id, 0, 0, 1);
        harness.log.append(vec![batch]).wait().unwrap();
    }
    assert_eq!(ids(&harness), [0, 1, 2, 3, 4]);
    harness.log.run_maintenance_once().unwrap();
    assert_eq!(ids(&harness), [2, 3, 4]);
    harness.clock.advance(950_000);
    harness.log.run_maintenance_once().unwrap();
    assert_eq!(ids(&harness), [4]);
    harness.crash();
    assert_eq!(ids(&harness), [4]);
    // Who was forgotten may begin anywhere.
    let batch = harness.batch(0, 0, 0, 9, 1);
    harness.log.append(vec![batch]).wait().unwrap();
    // Not only when a manifest is written.
    for id in 10..30 {
        let batch = harness.batch(0, id, 0, 0, 1);
        harness.log.append(vec![batch]).wait().unwrap();
        assert!(ids(&harness).len() <= 6);
    }
}

/// However the appends are grouped: one that finds no room takes no other with it, and a duplicate of what was written
/// is one.
#[test]
fn a_full_disk_refuses_only_what_does_not_fit() {
    let harness = Harness::new(LogConfig {
        segment_bytes_max: 1 << 20,
        ..config()
    });
    harness.send(0, 1).unwrap();
    for n in 0..100 {
        harness.disk.set_capacity(Some(harness.disk.used() + 1000));
        let next = n * 2 + 1;
        let handles = [
            harness.batch(0, 1, 0, next - 1, 1),
            harness.batch(0, 1, 0, next, 1),
            harness.batch(0, 1, 0, next, 1),
            batch(&harness.topic, 0, &[(0, 0); 500]),
            harness.batch(0, 1, 0, next + 1, 1),
            harness.batch(0, 1, 0, next + 9, 1),
        ]
        .map(|batch| harness.log.append(vec![batch]));
        let answers = handles.map(|handle| handle.wait().map(|appended| first(&appended)));
        let at = next as u64;
        assert!(
            matches!(
                answers,
                [
                    Ok((before, true)),
                    Ok((once, false)),
                    Ok((again, true)),
                    Err(LogError::DiskFull),
                    Ok((after, false)),
                    Err(LogError::OutOfOrderSequence { .. }),
                ] if before + 1 == at && once == at && again == at && after == at + 1
            ),
            "{answers:?}"
        );
        harness.disk.set_capacity(None);
    }
    assert_eq!(harness.end(0), Offset(201));
}
