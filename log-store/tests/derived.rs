//! A derived topic that becomes an ingested one.

mod support;

use std::sync::Arc;

use log_store::{
    Epoch, Log, LogError, PartitionId, Topic, TopicConfig, TopicKind,
    sim::{Fault, SimClock, SimDisk},
};
use support::{batch, config, open, read_all};

struct Harness {
    disk: SimDisk,
    clock: Arc<SimClock>,
    log: Log,
    source: Topic,
    view: Topic,
}

impl Harness {
    /// Three epochs, of which the view has rows in both partitions, in one, and in both.
    fn new() -> Self {
        let (disk, clock) = (SimDisk::new(5), SimClock::new(0));
        let (log, _) = open(&disk, &clock, config()).unwrap();
        let source = log.create_topic(TopicConfig::ingested("in", 1)).unwrap();
        let view = log.create_topic(TopicConfig::derived("out", 2)).unwrap();
        let harness = Harness {
            disk,
            clock,
            log,
            source,
            view,
        };
        harness.derive(&[0, 1]).unwrap();
        harness.derive(&[1]).unwrap();
        harness.derive(&[0, 1]).unwrap();
        harness
    }

    /// One epoch more of the source, and a row of its number in partitions of the view.
    fn derive(&self, partitions: &[u32]) -> Result<(), LogError> {
        let appended = self.log.append(vec![batch(&self.source, 0, &[(0, 0)])]);
        let epoch = appended.wait()?.epoch;
        let rows = |partition: &u32| batch(&self.view, *partition, &[(0, epoch.0)]);
        let rows = partitions.iter().map(rows).collect();
        self.log.append_derived(self.view.id(), epoch, rows)?;
        self.log.set_derived_frontier(self.view.id(), epoch)
    }

    /// A client's row, in both partitions.
    fn append(&self, value: u64) -> Result<Epoch, LogError> {
        let rows = |partition| batch(&self.view, partition, &[(1, value)]);
        let appended = self.log.append(vec![rows(0), rows(1)]).wait()?;
        Ok(appended.epoch)
    }

    fn after(&self, disk: SimDisk) -> Self {
        let (log, report) = open(&disk, &self.clock, config()).unwrap();
        assert!(report.damaged.is_empty(), "{report:?}");
        Harness {
            source: log.topic_by_name("in").unwrap(),
            view: log.topic_by_name("out").unwrap(),
            clock: self.clock.clone(),
            log,
            disk,
        }
    }

    fn values(&self) -> [Vec<u64>; 2] {
        [0, 1].map(|partition| {
            let partition = self.view.partition(PartitionId(partition)).unwrap();
            let rows = read_all(&partition).unwrap();
            rows.iter().map(|row| row.value).collect()
        })
    }
}

#[test]
fn clients_append_behind_what_was_derived() {
    let harness = Harness::new();
    assert!(matches!(harness.append(9), Err(LogError::WrongKind { .. })));
    harness.log.make_ingested(harness.view.id()).unwrap();
    harness.log.make_ingested(harness.view.id()).unwrap();
    assert!(matches!(
        harness.derive(&[0]),
        Err(LogError::WrongKind { .. })
    ));
    let epoch = harness.append(9).unwrap();
    assert_eq!(harness.view.frontier(), epoch);
    let all = [vec![1, 3, 9], vec![1, 2, 3, 9]];
    assert_eq!(harness.values(), all);
    // Nothing of it was left to the page cache.
    let harness = harness.after(harness.disk.crash());
    assert_eq!(harness.view.kind(), TopicKind::Ingested);
    assert_eq!(harness.values(), all);
    assert_eq!(harness.append(10).unwrap().0, epoch.0 + 1);
}

#[test]
fn a_crash_at_any_moment_leaves_a_topic_of_either_kind() {
    let mut kinds = Vec::new();
    for halt_at in 1.. {
        let harness = Harness::new();
        harness.disk.inject(Fault::Halt, halt_at);
        let answer = harness.log.make_ingested(harness.view.id());
        let done = answer.is_ok();
        harness.disk.clear_faults();
        let harness = harness.after(harness.disk.crash());
        let kind = harness.view.kind();
        kinds.push(kind);
        let [first, second] = harness.values();
        match kind {
            TopicKind::Ingested => {
                assert_eq!([first, second], [vec![1, 3], vec![1, 2, 3]]);
                harness.append(9).unwrap();
            }
            TopicKind::Derived => {
                assert!(!done);
                // Not all of it was durable, but each partition ends with a whole epoch.
                assert!([1, 3].starts_with(&first) && [1, 2, 3].starts_with(&second));
                harness.derive(&[0, 1]).unwrap();
            }
        }
        let before = harness.values();
        if kind == TopicKind::Ingested {
            assert_eq!(harness.after(harness.disk.crash()).values(), before);
        }
        if done {
            break;
        }
    }
    assert!(kinds.contains(&TopicKind::Derived) && kinds.len() > 4);
}

#[test]
fn what_cannot_be_written_down_changes_nothing() {
    for failures in 0.. {
        let harness = Harness::new();
        harness.disk.inject(Fault::Sync, failures + 1);
        let answer = harness.log.make_ingested(harness.view.id());
        harness.disk.clear_faults();
        if answer.is_ok() {
            assert!(failures > 3);
            return;
        }
        // Either it goes on as it was, or its partitions say that they cannot.
        let goes_on = harness.derive(&[0, 1]).is_ok();
        let before = harness.values();
        let harness = harness.after(harness.disk.kill());
        if goes_on {
            assert_eq!(harness.view.kind(), TopicKind::Derived);
            assert_eq!(harness.values(), before);
        }
        harness.log.make_ingested(harness.view.id()).unwrap();
        harness.append(9).unwrap();
    }
}
