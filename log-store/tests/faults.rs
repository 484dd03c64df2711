//! Single failures of the disk, and what the log says of them.

mod support;

use std::sync::Arc;

use log_store::{
    Epoch, Log, LogError, Offset, PartitionId, Topic, TopicConfig,
    sim::{Fault, SimClock, SimDisk},
};
use support::{batch, config, open, read_all};

fn start() -> (SimDisk, Arc<SimClock>, Log, Topic) {
    let (disk, clock) = (SimDisk::new(3), SimClock::new(0));
    let (log, _) = open(&disk, &clock, config()).unwrap();
    let topic = log.create_topic(TopicConfig::ingested("t", 2)).unwrap();
    (disk, clock, log, topic)
}

fn append(log: &Log, topic: &Topic, partition: u32, value: u64) -> Result<Epoch, LogError> {
    log.append(vec![batch(topic, partition, &[(value, value)])])
        .wait()
        .map(|appended| appended.epoch)
}

fn values(topic: &Topic, partition: u32) -> Vec<u64> {
    read_all(&topic.partition(PartitionId(partition)).unwrap())
        .unwrap()
        .iter()
        .map(|row| row.value)
        .collect()
}

#[test]
fn a_failed_sync_makes_the_partition_read_only_until_the_next_start() {
    let (disk, clock, log, topic) = start();
    append(&log, &topic, 0, 1).unwrap();
    append(&log, &topic, 1, 2).unwrap();
    disk.inject(Fault::Sync, 1);
    assert_eq!(
        append(&log, &topic, 0, 3).unwrap_err().to_string(),
        "could not sync file \"/log/1-0/00000000000000000000.0.seg\": input/output error"
    );
    assert_eq!(
        append(&log, &topic, 0, 4).unwrap_err().to_string(),
        "partition 0 of topic 1 is read-only after a failed write: could not sync file \
         \"/log/1-0/00000000000000000000.0.seg\": input/output error"
    );
    // Others go on, and all can be read.
    append(&log, &topic, 1, 5).unwrap();
    assert_eq!(values(&topic, 0), [1]);
    assert_eq!(values(&topic, 1), [2, 5]);
    // The page cache still shows the failed epoch to the next process; it must not come back.
    let (log, report) = open(&disk.kill(), &clock, config()).unwrap();
    assert!(report.damaged.is_empty());
    let topic = log.topic_by_name("t").unwrap();
    assert_eq!(values(&topic, 0), [1]);
    append(&log, &topic, 0, 6).unwrap();
    assert_eq!(values(&topic, 0), [1, 6]);
}

#[test]
fn an_append_over_several_partitions_fails_as_a_whole() {
    let (disk, clock, log, topic) = start();
    for nth in 1..=2 {
        disk.inject(Fault::Sync, nth);
        let both = log.append(vec![
            batch(&topic, 0, &[(1, 1)]),
            batch(&topic, 1, &[(1, 1)]),
        ]);
        assert!(both.wait().is_err());
        disk.clear_faults();
    }
    let disk = disk.kill();
    let (log, _) = open(&disk, &clock, config()).unwrap();
    let topic = log.topic_by_name("t").unwrap();
    assert!(values(&topic, 0).is_empty() && values(&topic, 1).is_empty());
}

#[test]
fn a_full_disk_refuses_appends_and_changes_nothing() {
    let (disk, clock, log, topic) = start();
    append(&log, &topic, 0, 1).unwrap();
    let other = log.create_topic(TopicConfig::ingested("other", 1)).unwrap();
    disk.set_capacity(Some(disk.used() + 100));
    let sealed = log.sealed();
    assert!(matches!(
        append(&log, &topic, 0, 2),
        Err(LogError::DiskFull)
    ));
    assert!(matches!(
        log.create_topic(TopicConfig::ingested("more", 1)),
        Err(LogError::DiskFull)
    ));
    assert_eq!(log.sealed(), sealed);
    assert_eq!(values(&topic, 0), [1]);
    // What frees space works all the same.
    log.drop_topic(other.id()).unwrap();
    log.run_maintenance_once().unwrap();
    disk.set_capacity(Some(disk.used() + 100));
    // Dropping the process on a full disk, the next one reads and refuses to write.
    let disk = disk.kill();
    let (log, _) = open(&disk, &clock, config()).unwrap();
    let topic = log.topic_by_name("t").unwrap();
    assert_eq!(values(&topic, 0), [1]);
    assert!(matches!(
        append(&log, &topic, 0, 3),
        Err(LogError::DiskFull)
    ));
    drop(log);
    disk.set_capacity(None);
    let (log, _) = open(&disk, &clock, config()).unwrap();
    let topic = log.topic_by_name("t").unwrap();
    append(&log, &topic, 0, 4).unwrap();
    assert_eq!(values(&topic, 0), [1, 4]);
}

#[test]
fn writes_resume_when_there_is_space_again() {
    let (disk, clock, log, topic) = start();
    append(&log, &topic, 0, 1).unwrap();
    disk.set_capacity(Some(disk.used()));
    assert!(matches!(
        append(&log, &topic, 0, 2),
        Err(LogError::DiskFull)
    ));
    disk.set_capacity(None);
    append(&log, &topic, 0, 3).unwrap();
    assert_eq!(values(&topic, 0), [1, 3]);
    let (log, _) = open(&disk.crash(), &clock, config()).unwrap();
    assert_eq!(values(&log.topic_by_name("t").unwrap(), 0), [1, 3]);
}

#[test]
fn recovery_from_recovery_makes_progress() {
    let (mut disk, clock, log, topic) = start();
    for value in 0..20 {
        append(&log, &topic, value as u32 % 2, value).unwrap();
    }
    for nth in 1..60 {
        disk = disk.crash();
        disk.inject(Fault::Halt, nth);
        drop(open(&disk, &clock, config()));
    }
    let (log, _) = open(&disk.crash(), &clock, config()).unwrap();
    let topic = log.topic_by_name("t").unwrap();
    assert_eq!(values(&topic, 0), (0..20).step_by(2).collect::<Vec<_>>());
    assert_eq!(values(&topic, 1), (1..20).step_by(2).collect::<Vec<_>>());
}

#[test]
fn the_clock_may_jump() {
    let (disk, clock, log, topic) = start();
    let mut times = Vec::new();
    for (value, now) in [5_000_000, 3_600_000_000, 1_000_000, 0]
        .into_iter()
        .enumerate()
    {
        clock.set(now);
        let epoch = append(&log, &topic, 0, value as u64).unwrap();
        times.push(log.epoch_time(epoch).unwrap());
    }
    assert_eq!(
        times,
        [5_000_000, 3_600_000_000, 3_600_000_000, 3_600_000_000]
    );
    let (log, _) = open(&disk.crash(), &clock, config()).unwrap();
    let topic = log.topic_by_name("t").unwrap();
    let epoch = append(&log, &topic, 0, 9).unwrap();
    assert_eq!(log.epoch_time(epoch).unwrap(), 3_600_000_000);
    assert_eq!(log.epoch_time(Epoch(1)).unwrap(), 5_000_000);
    let end = topic.partition(PartitionId(0)).unwrap().end_offset();
    assert_eq!(end, Offset(5));
}
