//! Many threads at once on real files: appends over several partitions, readers, rolling, merging, retention.

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use log_store::{
    Epoch, Log, LogConfig, NewBatch, Offset, PartitionId, ProducerStamp, RealDisk, SystemClock,
    Topic, TopicConfig,
};
use support::{Row, batch, read_from, rows::RowCodec};

const WRITERS: u64 = 4;
const APPENDS: u64 = 150;

/// Every append adds as many rows to one partition as to the other, so a reader of whole epochs finds both equal.
#[test]
fn readers_see_whole_epochs_in_order_whatever_happens_beside() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes_max: 4 << 10,
        tail_bytes_max: 8 << 10,
        manifest_bytes: 4 << 10,
        maintenance_interval_ms: 1,
        ..LogConfig::new(dir.path())
    };
    let open = || {
        Log::open(
            config.clone(),
            Arc::new(RealDisk),
            Arc::new(SystemClock),
            Arc::new(RowCodec),
        )
    };
    let (log, _) = open().unwrap();
    let topic = log.create_topic(TopicConfig::ingested("t", 2)).unwrap();
    let writing = AtomicUsize::new(WRITERS as usize);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (log, topic, writing) = (&log, &topic, &writing);
            scope.spawn(move || {
                for index in 0..APPENDS {
                    let rows = vec![(writer, index); 1 + (index % 3) as usize];
                    let both = vec![batch(topic, 0, &rows), batch(topic, 1, &rows)];
                    log.append(both).wait().unwrap();
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| follow(&log, &topic, &writing));
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                log.run_maintenance_once().unwrap();
                if writing.load(Ordering::SeqCst) == 0 {
                    done.store(true, Ordering::SeqCst);
                }
            }
        });
    });
    let rows = all(&topic, Epoch::MAX);
    drop((topic, log));
    let (log, report) = open().unwrap();
    assert!(report.clean);
    assert_eq!(all(&log.topic_by_name("t").unwrap(), Epoch::MAX), rows);
    let expected = WRITERS * (0..APPENDS).map(|index| 1 + index % 3).sum::<u64>();
    assert_eq!(rows[0].len() as u64, expected);
}

fn all(topic: &Topic, up_to: Epoch) -> Vec<Vec<Row>> {
    topic
        .partitions()
        .iter()
        .map(|partition| read_from(partition, Offset(0), 1000, up_to).unwrap())
        .collect()
}

/// Reads on as epochs are sealed, from where it was.
fn follow(log: &Log, topic: &Topic, writing: &AtomicUsize) {
    let mut next = [Offset(0); 2];
    let mut frontier = Epoch::ZERO;
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    loop {
        let ended = writing.load(Ordering::SeqCst) == 0;
        let sealed = log.wait_sealed_after(frontier, Duration::from_millis(10));
        let mut found = Vec::new();
        for (partition, next) in next.iter_mut().enumerate() {
            let partition = topic.partition(PartitionId(partition as u32)).unwrap();
            let rows = read_from(&partition, *next, 1000, sealed).unwrap();
            if let Some(last) = rows.last() {
                *next = Offset(last.offset + 1);
            }
            assert!(
                rows.iter()
                    .all(|row| row.epoch > frontier.0 && row.epoch <= sealed.0)
            );
            found.push(rows);
        }
        // An epoch is whole over both partitions, and each writer's rows come in its order.
        let key = |row: &Row| (row.epoch, row.key, row.value);
        assert_eq!(
            found[0].iter().map(key).collect::<Vec<_>>(),
            found[1].iter().map(key).collect::<Vec<_>>()
        );
        for row in &found[0] {
            let before = last.insert(row.key, row.value);
            assert!(before.is_none_or(|before| before <= row.value));
        }
        frontier = sealed;
        if ended {
            return;
        }
    }
}

/// An asynchronous client awaits what a thread would wait for.
#[tokio::test]
async fn handles_and_watches_can_be_awaited() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(
        LogConfig::new(dir.path()),
        Arc::new(RealDisk),
        Arc::new(SystemClock),
        Arc::new(RowCodec),
    )
    .unwrap();
    let topic = log.create_topic(TopicConfig::ingested("t", 1)).unwrap();
    let mut sealed = log.sealed_watch();
    let appended = log.append(vec![batch(&topic, 0, &[(1, 1)])]).await.unwrap();
    sealed
        .wait_for(|epoch| *epoch >= appended.epoch)
        .await
        .unwrap();
    let none = log.append(Vec::new()).await;
    assert_eq!(
        none.unwrap_err().to_string(),
        "invalid batch: there is none"
    );
}

/// A watch wakes for its own partitions, ingested and derived, and misses nothing since it was made.
#[tokio::test]
async fn a_watch_wakes_for_its_partitions_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(
        LogConfig::new(dir.path()),
        Arc::new(RealDisk),
        Arc::new(SystemClock),
        Arc::new(RowCodec),
    )
    .unwrap();
    let topic = log.create_topic(TopicConfig::ingested("t", 3)).unwrap();
    let view = log.create_topic(TopicConfig::derived("v", 1)).unwrap();
    let ours = [
        topic.partition(PartitionId(0)).unwrap(),
        topic.partition(PartitionId(1)).unwrap(),
        view.partition(PartitionId(0)).unwrap(),
    ];
    let watch = log.watch_partitions(&ours);
    let other = log.watch_partitions(&ours[..1]);
    let sleeps = || async {
        tokio::select! {
            biased;
            () = watch.changed() => false,
            () = std::future::ready(()) => true,
        }
    };
    let append = |partition| {
        let rows = batch(&topic, partition, &[(1, 1)]);
        log.append(vec![rows])
    };
    append(2).await.unwrap();
    assert!(sleeps().await, "nobody waits for that partition");
    append(1).await.unwrap();
    append(1).await.unwrap();
    watch.changed().await;
    assert!(sleeps().await, "what came before is one change");
    let ((), (), appended) = tokio::join!(watch.changed(), other.changed(), append(0));
    let epoch = appended.unwrap().epoch;
    let rows = batch(&view, 0, &[(1, 1)]);
    log.append_derived(view.id(), epoch, vec![rows]).unwrap();
    assert!(sleeps().await, "not complete yet");
    log.set_derived_frontier(view.id(), epoch).unwrap();
    watch.changed().await;
    log.drop_topic(view.id()).unwrap();
    watch.changed().await;
    log.close().unwrap();
    watch.changed().await;
    other.changed().await;
}

/// Producers that send everything twice, while the topic grows, forgets and is looked after: everything is there once.
#[test]
fn producers_are_exact_while_their_topic_changes() {
    const PRODUCERS: i64 = 3;
    const BATCHES: i32 = 120;
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes_max: 4 << 10,
        tail_bytes_max: 8 << 10,
        manifest_bytes: 4 << 10,
        maintenance_interval_ms: 1,
        ..LogConfig::new(dir.path())
    };
    let open = || {
        let (disk, clock) = (Arc::new(RealDisk), Arc::new(SystemClock));
        Log::open(config.clone(), disk, clock, Arc::new(RowCodec)).unwrap()
    };
    let (log, _) = open();
    let topic = log.create_topic(TopicConfig::ingested("t", 1)).unwrap();
    let written: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
    let grow_and_forget = |grown: u32| {
        if grown > topic.partitions().len() as u32 {
            log.add_partitions(topic.id(), grown).unwrap();
        }
        for partition in topic.partitions() {
            let before = Offset(partition.end_offset().0 / 2);
            let start = log.delete_records(topic.id(), partition.id(), before);
            assert!(start.unwrap() >= before);
        }
        log.run_maintenance_once().unwrap();
    };
    let so_far = || {
        written
            .iter()
            .map(|n| n.load(Ordering::SeqCst))
            .sum::<u64>()
    };
    thread::scope(|scope| {
        let produce = |id| {
            let (log, topic, written) = (&log, &topic, &written);
            scope.spawn(move || {
                let mut sequences = [0i32; 4];
                for index in 0..BATCHES {
                    let partition = index as usize % topic.partitions().len();
                    let rows = vec![(0, index as u64); 1 + index as usize % 2];
                    let stamped = NewBatch {
                        producer: Some(ProducerStamp {
                            id,
                            epoch: 0,
                            sequence: sequences[partition],
                        }),
                        ..batch(topic, partition as u32, &rows)
                    };
                    let handles = [stamped.clone(), stamped].map(|batch| log.append(vec![batch]));
                    let [once, again] = handles.map(|handle| handle.wait().unwrap());
                    assert_eq!(
                        (once.duplicates, again.duplicates),
                        (vec![false], vec![true])
                    );
                    assert_eq!(once.base_offsets, again.base_offsets);
                    sequences[partition] += rows.len() as i32;
                    written[partition].fetch_add(rows.len() as u64, Ordering::SeqCst);
                }
            })
        };
        let producers: Vec<_> = (0..PRODUCERS).map(produce).collect();
        while !producers.iter().all(|producer| producer.is_finished()) {
            grow_and_forget(1 + (so_far() / 60).min(3) as u32);
        }
    });
    grow_and_forget(4);
    let check = |topic: &Topic| {
        assert_eq!(topic.partitions().len(), 4);
        for (partition, written) in topic.partitions().iter().zip(&written) {
            assert_eq!(partition.end_offset().0, written.load(Ordering::SeqCst));
            let rows = read_from(partition, partition.start_offset(), 1000, Epoch::MAX).unwrap();
            let start = partition.start_offset().0;
            assert_eq!(rows.len() as u64, partition.end_offset().0 - start);
            assert!(start >= partition.end_offset().0 / 2);
        }
    };
    check(&topic);
    drop((topic, log));
    let (log, _) = open();
    check(&log.topic_by_name("t").unwrap());
}
