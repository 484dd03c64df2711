//! The log through its public face, on a real directory.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use log_store::{
    BodyKind, Compression, Epoch, Log, LogConfig, LogError, NewBatch, Offset, OpaqueBodies,
    PartitionId, RealDisk, RecoveryReport, SystemClock, Topic, TopicConfig,
};

fn config(dir: &std::path::Path) -> LogConfig {
    LogConfig {
        background: false,
        ..LogConfig::new(dir)
    }
}

fn open(config: LogConfig) -> Result<(Log, RecoveryReport), LogError> {
    Log::open(
        config,
        Arc::new(RealDisk),
        Arc::new(SystemClock),
        Arc::new(OpaqueBodies),
    )
}

fn batch(topic: &Topic, partition: u32, rows: u32, body: &str) -> NewBatch {
    NewBatch {
        topic: topic.id(),
        partition: PartitionId(partition),
        rows,
        rowtime_min: 10,
        rowtime_max: 20,
        schema_id: 7,
        kind: BodyKind::ARROW,
        compression: Compression::None,
        body: Bytes::from(body.to_owned()),
        decoded: None,
        producer: None,
    }
}

/// All rows of a partition as text.
fn text(topic: &Topic, partition: u32, up_to: Epoch) -> String {
    let partition = topic.partition(PartitionId(partition)).unwrap();
    let mut from = partition.start_offset();
    let mut lines = String::new();
    loop {
        let batches = partition.read(from, 1, up_to).unwrap();
        let Some(last) = batches.last() else {
            return lines;
        };
        from = last.last_offset.plus(1);
        for batch in &batches {
            lines.push_str(&format!(
                "{}..{} epoch {} {}\n",
                batch.base_offset,
                batch.last_offset,
                batch.epoch,
                String::from_utf8_lossy(&batch.body)
            ));
        }
    }
}

#[test]
fn what_is_acknowledged_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let before = {
        let (log, report) = open(config(dir.path())).unwrap();
        assert!(!report.clean);
        let topic = log
            .create_topic(TopicConfig::ingested("flights", 2))
            .unwrap();
        let first = log
            .append(vec![batch(&topic, 0, 3, "a"), batch(&topic, 1, 2, "b")])
            .wait()
            .unwrap();
        assert_eq!(first.base_offsets, [Offset(0), Offset(0)]);
        let second = log.append(vec![batch(&topic, 0, 1, "c")]).wait().unwrap();
        assert_eq!(second.base_offsets, [Offset(3)]);
        assert!(second.epoch > first.epoch);
        assert_eq!(log.sealed(), second.epoch);
        assert_eq!(
            log.wait_sealed_after(first.epoch, Duration::ZERO),
            second.epoch
        );
        text(&topic, 0, Epoch::MAX) + &text(&topic, 1, Epoch::MAX)
    };
    let (log, report) = open(config(dir.path())).unwrap();
    assert!(report.clean);
    let topic = log.topic_by_name("flights").unwrap();
    assert_eq!(
        text(&topic, 0, Epoch::MAX) + &text(&topic, 1, Epoch::MAX),
        before
    );
    assert_eq!(before, "0..2 epoch 1 a\n3..3 epoch 2 c\n0..1 epoch 1 b\n");
    let partition = topic.partition(PartitionId(0)).unwrap();
    assert_eq!(partition.offset_of_epoch(Epoch(1)).unwrap(), Offset(3));
    assert_eq!(
        partition.epochs_after(Epoch(0)).unwrap(),
        [Epoch(1), Epoch(2)]
    );
    assert_eq!(text(&topic, 0, Epoch(1)), "0..2 epoch 1 a\n");
    let stored = &partition.read(Offset(0), 1, Epoch::MAX).unwrap()[0];
    assert_eq!(
        stored.body.as_ptr() as usize % 64,
        0,
        "Arrow bodies are aligned"
    );
    let third = log.append(vec![batch(&topic, 0, 1, "d")]).wait().unwrap();
    assert_eq!(third.base_offsets, [Offset(4)]);
    assert!(log.epoch_time(Epoch(1)).unwrap() <= log.epoch_time(third.epoch).unwrap());
}

#[test]
fn a_second_open_fails_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(config(dir.path())).unwrap();
    assert!(matches!(open(config(dir.path())), Err(LogError::InUse(_))));
    drop(log);
    open(config(dir.path())).unwrap();
}

#[test]
fn a_derived_topic_keeps_the_epochs_given() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (log, _) = open(config(dir.path())).unwrap();
        let source = log.create_topic(TopicConfig::ingested("in", 1)).unwrap();
        let view = log.create_topic(TopicConfig::derived("out", 1)).unwrap();
        for body in ["a", "b"] {
            let epoch = log
                .append(vec![batch(&source, 0, 1, body)])
                .wait()
                .unwrap()
                .epoch;
            log.append_derived(view.id(), epoch, vec![batch(&view, 0, 2, body)])
                .unwrap();
            log.set_derived_frontier(view.id(), epoch).unwrap();
        }
        assert_eq!(view.frontier(), log.sealed());
        assert!(matches!(
            log.append_derived(view.id(), Epoch(2), vec![batch(&view, 0, 2, "late")]),
            Err(LogError::EpochNotAfter { .. })
        ));
        assert!(matches!(
            log.append(vec![batch(&view, 0, 2, "x")]).wait(),
            Err(LogError::WrongKind { .. })
        ));
        log.sync_derived(&[view.id()]).unwrap();
    }
    let (log, _) = open(config(dir.path())).unwrap();
    let view = log.topic_by_name("out").unwrap();
    assert_eq!(
        text(&view, 0, Epoch::MAX),
        "0..1 epoch 1 a\n2..3 epoch 2 b\n"
    );
    assert_eq!(view.frontier(), Epoch(2));
}

#[test]
fn segments_roll_and_topics_go() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(config(dir.path())).unwrap();
    let topic = log
        .create_topic(TopicConfig {
            segment_bytes: Some(1024),
            ..TopicConfig::ingested("t", 1)
        })
        .unwrap();
    for index in 0..40 {
        log.append(vec![batch(&topic, 0, 1, &format!("row {index}"))])
            .wait()
            .unwrap();
    }
    let partition = topic.partition(PartitionId(0)).unwrap();
    assert!(partition.segment_count() > 4);
    assert_eq!(text(&topic, 0, Epoch::MAX).lines().count(), 40);
    assert_eq!(partition.offset_of_epoch(Epoch(20)).unwrap(), Offset(20));
    log.drop_topic(topic.id()).unwrap();
    assert!(log.topic_by_name("t").is_none());
    assert_eq!(text(&topic, 0, Epoch::MAX).lines().count(), 40);
    assert!(matches!(
        log.append(vec![batch(&topic, 0, 1, "late")]).wait(),
        Err(LogError::UnknownTopic(_))
    ));
}
