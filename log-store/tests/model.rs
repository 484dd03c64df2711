//! The log against a plain in-memory model: random operations, faults and crashes on a simulated disk.
//!
//! After every start: what was acknowledged is there, in order, with its epoch; what failed is not; an append that was
//! under way is whole in all its partitions or absent from all; a derived partition ends with a whole epoch and holds at
//! least what was synced. What a producer sends twice is there once, and what was deleted stays deleted.
//!
//! `MILLPOND_LOG_CASES` sets how many cases are run.

mod support;

use std::{collections::BTreeMap, sync::Arc};

use log_store::{
    AppendHandle, Durability, Epoch, Log, LogConfig, LogError, NewBatch, Offset, PartitionId,
    ProducerStamp, Topic, TopicConfig,
    sim::{Fault, SimClock, SimDisk},
};
use proptest::prelude::*;
use support::{
    Row, batch, config, open,
    producers::{Behaviour, Outcome, Producers, any_behaviour},
    read_all, read_from,
};

/// Ingested: topics 0 (two partitions) and 1. Derived: topic 2 (two partitions).
const INGESTED: [(usize, u32); 3] = [(0, 0), (0, 1), (1, 0)];
const DERIVED: [(usize, u32); 2] = [(2, 0), (2, 1)];

#[derive(Clone, Debug)]
enum Op {
    /// Rows for each of the ingested partitions, as so many batches.
    Append([u8; 3]),
    /// As above, with a fault at the nth operation on the disk.
    AppendFailing([u8; 3], Fault, u64),
    /// As above, with so much room left on the disk.
    AppendFull([u8; 3], u64),
    /// Batches of producers, in one append.
    Produce(Vec<Sent>),
    ProduceFailing(Vec<Sent>, Fault, u64),
    /// Appends of producers that wait together.
    ProduceTogether(Vec<Vec<Sent>>),
    /// So many quarters of a partition's rows are deleted.
    Delete(usize, u64),
    DeleteHalting(usize, u64, u64),
    /// The second topic gets another partition.
    Grow,
    /// The output of the newest epoch.
    Derive([u8; 2]),
    SyncDerived,
    /// A topic is made, shares an epoch with the others, and is dropped.
    ShortLived([u8; 3]),
    Maintain,
    /// Maintenance or a start that stops in the middle, then a crash.
    MaintainHalting(u64),
    StartHalting(u64),
    /// The process dies; with or without the power.
    Kill,
    Crash,
    Close,
}

/// A batch of a producer: to one of the ingested partitions, by one of the producers.
#[derive(Clone, Debug)]
struct Sent {
    to: usize,
    producer: i64,
    behaviour: Behaviour,
}

fn any_sent() -> impl Strategy<Value = Sent> {
    (0usize..3, 0i64..2, any_behaviour()).prop_map(|(to, producer, behaviour)| Sent {
        to,
        producer,
        behaviour,
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    let parts = prop::array::uniform3(0u8..4);
    let append = || prop::collection::vec(any_sent(), 1..4);
    let fault = prop_oneof![
        Just(Fault::Write),
        Just(Fault::Sync),
        Just(Fault::Halt),
        Just(Fault::Halt)
    ];
    let failing = (append(), fault.clone(), 1u64..10);
    prop_oneof![
        6 => append().prop_map(Op::Produce),
        3 => failing.prop_map(|(sent, f, n)| Op::ProduceFailing(sent, f, n)),
        3 => prop::collection::vec(append(), 2..6).prop_map(Op::ProduceTogether),
        1 => (0usize..5, 1u64..5).prop_map(|(at, quarters)| Op::Delete(at, quarters)),
        1 => (0usize..5, 1u64..5, 1u64..20).prop_map(|(at, q, n)| Op::DeleteHalting(at, q, n)),
        1 => Just(Op::Grow),
        8 => parts.clone().prop_map(Op::Append),
        4 => (parts.clone(), fault, 1u64..10).prop_map(|(p, f, n)| Op::AppendFailing(p, f, n)),
        1 => (parts, 0u64..600).prop_map(|(p, room)| Op::AppendFull(p, room)),
        4 => prop::array::uniform2(0u8..4).prop_map(Op::Derive),
        1 => Just(Op::SyncDerived),
        1 => prop::array::uniform3(0u8..4).prop_map(Op::ShortLived),
        2 => Just(Op::Maintain),
        1 => (1u64..40).prop_map(Op::MaintainHalting),
        1 => (1u64..30).prop_map(Op::StartHalting),
        1 => Just(Op::Kill),
        2 => Just(Op::Crash),
        1 => Just(Op::Close),
    ]
}

type Key = (usize, u32);

/// Where to, its stamp, its rows, and what is to become of it.
type SentBatch = (Key, ProducerStamp, u32, Outcome);

/// An append on its way, and what is to become of it.
#[derive(Default)]
struct Append {
    batches: Vec<NewBatch>,
    /// What it adds to each partition.
    rows: BTreeMap<Key, Vec<(u64, u64)>>,
    /// The batches of producers, and what is to become of each.
    sent: Vec<SentBatch>,
    refused: bool,
    /// The offset that each batch would get.
    next: Vec<u64>,
}

impl Append {
    fn plain(&mut self, topics: &[Topic], key: Key, rows: Vec<(u64, u64)>) {
        self.batches.push(batch(&topics[key.0], key.1, &rows));
        self.rows.entry(key).or_default().extend(rows);
    }
}

struct Harness {
    disk: SimDisk,
    clock: Arc<SimClock>,
    config: LogConfig,
    log: Log,
    topics: Vec<Topic>,
    /// What was ever written; readers must see it from `starts` on.
    rows: BTreeMap<Key, Vec<Row>>,
    starts: BTreeMap<Key, u64>,
    /// A deletion whose answer never came.
    uncertain_start: Option<(Key, u64)>,
    producers: Producers<Key>,
    /// Of a derived partition: how many rows survive anything.
    synced: BTreeMap<Key, usize>,
    /// An append whose answer never came: its rows (without offset and epoch).
    uncertain: Option<(BTreeMap<Key, Vec<u64>>, Vec<SentBatch>, Vec<u64>)>,
    next_value: u64,
    /// Takes part in the next append.
    short_lived: Option<Topic>,
}

impl Harness {
    fn new(seed: u64, config: LogConfig) -> Self {
        let disk = SimDisk::new(seed);
        let clock = SimClock::new(1_000_000);
        let (log, _) = open(&disk, &clock, config.clone()).unwrap();
        log.create_topic(TopicConfig::ingested("a", 2)).unwrap();
        log.create_topic(TopicConfig::ingested("b", 1)).unwrap();
        log.create_topic(TopicConfig::derived("v", 2)).unwrap();
        let topics = log.topics();
        Harness {
            disk,
            clock,
            config,
            log,
            topics,
            rows: INGESTED
                .iter()
                .chain(&DERIVED)
                .map(|key| (*key, Vec::new()))
                .collect(),
            starts: INGESTED
                .iter()
                .chain(&DERIVED)
                .map(|key| (*key, 0))
                .collect(),
            uncertain_start: None,
            producers: Producers::default(),
            synced: DERIVED.iter().map(|key| (*key, 0)).collect(),
            uncertain: None,
            next_value: 0,
            short_lived: None,
        }
    }

    fn run(&mut self, op: Op) {
        self.clock.advance(1000);
        match op {
            Op::Append(parts) => {
                // Fails only for partitions that an earlier fault poisoned.
                self.append(parts, None);
            }
            // Unsynced rows on a disk that fails to sync are lost: that is what this durability means.
            Op::AppendFailing(parts, Fault::Sync, _)
                if self.config.durability == Durability::Os =>
            {
                self.append(parts, None);
            }
            Op::AppendFailing(parts, fault, nth) => {
                self.disk.inject(fault, nth);
                self.append(parts, Some(fault));
                self.after_fault(fault);
            }
            Op::AppendFull(parts, room) => {
                self.disk.set_capacity(Some(self.disk.used() + room));
                self.append(parts, None);
                self.check_reads();
                self.disk.set_capacity(None);
            }
            Op::Produce(sent) => self.produce(&sent, None),
            Op::ProduceFailing(sent, Fault::Sync, _)
                if self.config.durability == Durability::Os =>
            {
                self.produce(&sent, None);
            }
            Op::ProduceFailing(sent, fault, nth) => {
                self.disk.inject(fault, nth);
                self.produce(&sent, Some(fault));
                self.after_fault(fault);
            }
            Op::ProduceTogether(appends) => self.produce_together(&appends),
            Op::Delete(at, quarters) => {
                if let Some((key, before)) = self.deletion(at, quarters)
                    && self.delete(key, before).is_ok()
                {
                    self.count_deleted(key, before);
                }
                self.check_reads();
            }
            Op::DeleteHalting(at, quarters, nth) => {
                if let Some((key, before)) = self.deletion(at, quarters) {
                    self.disk.inject(Fault::Halt, nth);
                    match self.delete(key, before) {
                        Ok(_) => self.count_deleted(key, before),
                        Err(_) => self.uncertain_start = Some((key, before)),
                    }
                    self.restart(true, 0);
                }
            }
            Op::Grow => {
                let total = self.topics[1].partitions().len() as u32 + 1;
                let topic = self.topics[1].id();
                self.log.add_partitions(topic, total).unwrap();
            }
            Op::Derive(parts) => self.derive(parts),
            Op::SyncDerived => {
                if self.log.sync_derived(&[self.topics[2].id()]).is_ok() {
                    self.count_synced();
                }
            }
            Op::ShortLived(parts) => {
                let topic = self.log.create_topic(TopicConfig::ingested("short", 1));
                let topic = topic.unwrap();
                self.short_lived = Some(topic.clone());
                self.append(parts, None);
                self.short_lived = None;
                self.log.drop_topic(topic.id()).unwrap();
            }
            Op::Maintain => {
                self.log.run_maintenance_once().unwrap();
                self.check_reads();
            }
            Op::MaintainHalting(nth) => {
                self.disk.inject(Fault::Halt, nth);
                let _ = self.log.run_maintenance_once();
                self.restart(true, 0);
            }
            Op::StartHalting(nth) => self.restart(true, nth),
            Op::Kill => self.restart(false, 0),
            Op::Crash => self.restart(true, 0),
            Op::Close => {
                let poisoned = self.topics.iter().any(|topic| {
                    topic
                        .partitions()
                        .iter()
                        .any(|partition| partition.fault().is_some())
                });
                self.log.close().unwrap();
                if !poisoned {
                    self.count_synced();
                }
                self.restart(false, 0);
            }
        }
    }

    fn values(&mut self, count: u8) -> Vec<(u64, u64)> {
        (0..count)
            .map(|_| {
                self.next_value += 1;
                (self.next_value % 5, self.next_value)
            })
            .collect()
    }

    fn after_fault(&mut self, fault: Fault) {
        if fault == Fault::Halt {
            self.restart(true, 0);
        } else {
            self.disk.clear_faults();
        }
    }

    fn append(&mut self, parts: [u8; 3], fault: Option<Fault>) {
        let mut append = Append::default();
        for (key, count) in INGESTED.into_iter().zip(parts) {
            // Several rows become two batches, so that one epoch has several in one partition.
            for count in [count.min(1), count.saturating_sub(1)] {
                let rows = self.values(count);
                if !rows.is_empty() {
                    append.plain(&self.topics, key, rows);
                }
            }
        }
        if append.batches.is_empty() {
            return;
        }
        if let Some(topic) = &self.short_lived {
            append.batches.push(batch(topic, 0, &[(0, 0)]));
        }
        let handle = self.log.append(append.batches.clone());
        self.answered(append, handle, fault);
        if fault != Some(Fault::Halt) {
            self.check_reads();
        }
    }

    fn produce(&mut self, sent: &[Sent], fault: Option<Fault>) {
        let append = self.planned(sent, &mut self.producers.clone(), &BTreeMap::new());
        let handle = self.log.append(append.batches.clone());
        self.answered(append, handle, fault);
        if fault != Some(Fault::Halt) {
            self.check_reads();
        }
    }

    fn produce_together(&mut self, appends: &[Vec<Sent>]) {
        let mut producers = self.producers.clone();
        let mut added: BTreeMap<Key, u64> = BTreeMap::new();
        let mut planned = Vec::new();
        for sent in appends {
            let mut after = producers.clone();
            let append = self.planned(sent, &mut after, &added);
            let poisoned = sent
                .iter()
                .any(|sent| self.partition(INGESTED[sent.to]).fault().is_some());
            if !append.refused && !poisoned {
                producers = after;
                for (key, rows) in &append.rows {
                    *added.entry(*key).or_default() += rows.len() as u64;
                }
            }
            planned.push(append);
        }
        let handles: Vec<_> = planned
            .iter()
            .map(|append| self.log.append(append.batches.clone()))
            .collect();
        for (append, handle) in planned.into_iter().zip(handles) {
            self.answered(append, handle, None);
        }
        self.check_reads();
    }

    /// What an append of producers is to bring, given what else will have been written by then.
    fn planned(
        &mut self,
        sent: &[Sent],
        producers: &mut Producers<Key>,
        added: &BTreeMap<Key, u64>,
    ) -> Append {
        let mut append = Append::default();
        for sent in sent {
            let key = INGESTED[sent.to];
            let known = self.rows[&key].len() as u64 + added.get(&key).unwrap_or(&0);
            for (stamp, rows) in producers.next(key, sent.producer, sent.behaviour) {
                let values = self.values(rows as u8);
                append.batches.push(NewBatch {
                    producer: Some(stamp),
                    ..batch(&self.topics[key.0], key.1, &values)
                });
                let own = append.rows.get(&key).map_or(0, Vec::len) as u64;
                let outcome = producers.take(key, stamp, rows, known + own);
                match outcome {
                    Outcome::Written => append.rows.entry(key).or_default().extend(values),
                    Outcome::Again(_) => {}
                    Outcome::Refused => append.refused = true,
                }
                append.sent.push((key, stamp, rows, outcome));
                append.next.push(known + own);
            }
        }
        append
    }

    fn answered(&mut self, append: Append, handle: AppendHandle, fault: Option<Fault>) {
        let sealed = self.log.sealed();
        match handle.wait() {
            Ok(appended) => {
                assert!(!append.refused, "{:?}", append.sent);
                let answers = appended.base_offsets.iter().zip(&appended.duplicates);
                let expected = append.sent.iter().zip(&append.next);
                for ((sent, next), (offset, duplicate)) in expected.zip(answers) {
                    match sent.3 {
                        Outcome::Again(known) => assert_eq!((offset.0, *duplicate), (known, true)),
                        _ => assert_eq!((offset.0, *duplicate), (*next, false)),
                    }
                }
                self.remember(&append.sent, &append.next, appended.epoch.0);
                for (key, rows) in append.rows {
                    let known = self.rows.get_mut(&key).unwrap();
                    for (key, value) in rows {
                        known.push(Row {
                            offset: known.len() as u64,
                            epoch: appended.epoch.0,
                            key,
                            value,
                        });
                    }
                }
                assert!(self.log.sealed() >= appended.epoch);
                assert!(appended.epoch >= sealed || fault.is_none());
            }
            Err(error) => {
                let certain = match fault {
                    Some(Fault::Halt) => false,
                    // The failure could not be written down either.
                    Some(_) => self.log.fault().is_none(),
                    None => true,
                };
                let out_of_sequence = matches!(
                    error,
                    LogError::OutOfOrderSequence { .. }
                        | LogError::DuplicateSequence { .. }
                        | LogError::ProducerFenced { .. }
                );
                assert!(append.refused || !out_of_sequence, "{error}");
                let poisoned = matches!(
                    error,
                    LogError::DiskFull | LogError::Poisoned { .. } | LogError::Failed(_)
                );
                assert!(fault.is_some() || poisoned || out_of_sequence, "{error}");
                if !certain && !append.refused {
                    let values = append
                        .rows
                        .into_iter()
                        .map(|(key, rows)| (key, rows.into_iter().map(|row| row.1).collect()));
                    self.uncertain = Some((values.collect(), append.sent, append.next));
                }
            }
        }
    }

    /// Batches of producers were committed.
    fn remember(&mut self, sent: &[SentBatch], next: &[u64], epoch: u64) {
        for ((key, stamp, rows, outcome), base) in sent.iter().zip(next) {
            assert_eq!(self.producers.take(*key, *stamp, *rows, *base), *outcome);
        }
        self.producers.committed(epoch);
    }

    /// Which partition, and before which offset.
    fn deletion(&self, at: usize, quarters: u64) -> Option<(Key, u64)> {
        let (key, rows) = self.rows.iter().nth(at)?;
        let before = rows.len() as u64 * quarters / 4;
        (before > self.starts[key]).then_some((*key, before))
    }

    fn delete(&self, key: Key, before: u64) -> Result<Offset, LogError> {
        let topic = self.topics[key.0].id();
        self.log
            .delete_records(topic, PartitionId(key.1), Offset(before))
    }

    fn count_deleted(&mut self, key: Key, before: u64) {
        self.starts.insert(key, before);
        if DERIVED.contains(&key) {
            // What remains was synced with it.
            self.synced.insert(key, self.rows[&key].len());
        }
    }

    fn derive(&mut self, parts: [u8; 2]) {
        let epoch = self.log.sealed();
        for (key, count) in DERIVED.into_iter().zip(parts) {
            let last = self.rows[&key].last().map_or(0, |row| row.epoch);
            if count == 0 || last >= epoch.0 {
                continue;
            }
            let rows = self.values(count);
            let topic = &self.topics[key.0];
            let batches = rows
                .iter()
                .map(|row| batch(topic, key.1, &[*row]))
                .collect();
            let offsets = self.log.append_derived(topic.id(), epoch, batches);
            let known = self.rows.get_mut(&key).unwrap();
            if let Ok(offsets) = offsets {
                assert_eq!(offsets[0], Offset(known.len() as u64));
                for (key, value) in rows {
                    known.push(Row {
                        offset: known.len() as u64,
                        epoch: epoch.0,
                        key,
                        value,
                    });
                }
            }
        }
    }

    fn count_synced(&mut self) {
        for key in DERIVED {
            self.synced.insert(key, self.rows[&key].len());
        }
    }

    /// Ends the process (perhaps the machine) and starts anew; the first start may itself be cut short.
    fn restart(&mut self, power_cut: bool, halt_at: u64) {
        let end = |disk: &SimDisk| if power_cut { disk.crash() } else { disk.kill() };
        self.disk = end(&self.disk);
        if halt_at > 0 {
            self.disk.inject(Fault::Halt, halt_at);
            drop(open(&self.disk, &self.clock, self.config.clone()));
            self.disk = end(&self.disk);
        }
        let (log, report) = open(&self.disk, &self.clock, self.config.clone()).unwrap();
        assert!(report.damaged.is_empty(), "{report:?}");
        self.log = log;
        self.topics = self.log.topics();
        self.take_survivors(power_cut, report.sealed);
        self.check_reads();
    }

    /// What a crash may decide is read off, checked to be one of the outcomes allowed, and expected from then on.
    fn take_survivors(&mut self, power_cut: bool, sealed: Epoch) {
        if let Some((key, before)) = self.uncertain_start.take() {
            let start = self.partition(key).start_offset().0;
            assert!(start == before || start == self.starts[&key]);
            self.starts.insert(key, start);
        }
        let found: BTreeMap<Key, Vec<Row>> = self
            .rows
            .iter()
            .map(|(key, rows)| {
                let mut found = rows[..self.starts[key] as usize].to_vec();
                found.extend(read_all(&self.partition(*key)).unwrap());
                (*key, found)
            })
            .collect();
        let loses = power_cut && self.config.durability == Durability::Os;
        if loses {
            // Everything up to one epoch, of all partitions alike.
            self.producers.forget_after(sealed.0);
            for key in INGESTED {
                self.rows
                    .get_mut(&key)
                    .unwrap()
                    .retain(|row| row.epoch <= sealed.0);
            }
        }
        if let Some((uncertain, sent, next)) = self.uncertain.take() {
            let tail = |key: &Key, known: usize| -> Vec<Row> {
                found[key].get(known..).unwrap_or_default().to_vec()
            };
            let present = uncertain
                .keys()
                .any(|key| !tail(key, self.rows[key].len()).is_empty());
            if present {
                let mut epochs = Vec::new();
                for (key, values) in uncertain {
                    let rows = tail(&key, self.rows[&key].len());
                    let read: Vec<u64> = rows.iter().map(|row| row.value).collect();
                    assert_eq!(
                        read, values,
                        "an append that was under way is whole or absent"
                    );
                    epochs.extend(rows.iter().map(|row| row.epoch));
                    self.rows.get_mut(&key).unwrap().extend(rows);
                }
                epochs.dedup();
                assert_eq!(epochs.len(), 1);
                self.remember(&sent, &next, epochs[0]);
            }
        }
        for key in DERIVED {
            let rows = self.rows.get_mut(&key).unwrap();
            let kept = found[&key].len();
            assert!(
                kept >= self.synced[&key].min(rows.len()) || loses,
                "synced rows are kept"
            );
            assert!(kept <= rows.len());
            if kept < rows.len() && kept > 0 {
                assert_ne!(
                    rows[kept - 1].epoch,
                    rows[kept].epoch,
                    "an epoch is whole or absent"
                );
            }
            rows.truncate(kept);
            let synced = self.synced.get_mut(&key).unwrap();
            // What recovery kept it has also synced.
            *synced = kept;
        }
    }

    fn partition(&self, key: Key) -> log_store::Partition {
        self.topics[key.0].partition(PartitionId(key.1)).unwrap()
    }

    fn check_reads(&self) {
        for (key, rows) in &self.rows {
            let partition = self.partition(*key);
            let start = self.starts[key];
            let left = &rows[start as usize..];
            assert_eq!(read_all(&partition).unwrap(), left, "partition {key:?}");
            assert_eq!(partition.start_offset(), Offset(start));
            assert_eq!(partition.end_offset(), Offset(rows.len() as u64));
            // From the middle, in small pieces, up to an epoch in the middle.
            let middle = start.max(rows.len() as u64 / 2);
            let epoch = rows.get(rows.len() * 2 / 3).map_or(0, |row| row.epoch);
            let part: Vec<Row> = rows[middle as usize..]
                .iter()
                .filter(|row| row.epoch <= epoch)
                .copied()
                .collect();
            let read = read_from(&partition, Offset(middle), 1, Epoch(epoch)).unwrap();
            assert_eq!(read, part);
            let after = rows.partition_point(|row| row.epoch <= epoch) as u64;
            assert_eq!(
                partition.offset_of_epoch(Epoch(epoch)).unwrap(),
                Offset(after.max(start)),
                "after epoch {epoch} in {key:?}: {rows:?}"
            );
            let mut epochs: Vec<Epoch> = left.iter().map(|row| Epoch(row.epoch)).collect();
            epochs.dedup();
            assert_eq!(partition.epochs_after(Epoch(0)).unwrap(), epochs);
            if let Some(last) = left.last() {
                let offset = partition.offset_of_time(last.value as i64).unwrap();
                assert!((start..=last.offset).contains(&offset.0));
                // Values only grow, and a batch is found by its first row.
                let (rowtime, offset) = partition.max_rowtime().unwrap().unwrap();
                assert_eq!(rowtime, last.value as i64);
                assert!((start..=last.offset).contains(&offset.0));
            }
        }
    }
}

fn cases() -> u32 {
    std::env::var("MILLPOND_LOG_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_its_model(
        seed in any::<u64>(),
        os in prop::bool::weighted(0.2),
        tail_bytes_max in prop_oneof![Just(0usize), Just(3000), Just(1 << 20)],
        ops in prop::collection::vec(any_op(), 1..40),
    ) {
        let durability = if os { Durability::Os } else { Durability::Sync };
        let mut harness = Harness::new(seed, LogConfig { durability, tail_bytes_max, ..config() });
        for op in ops {
            harness.run(op);
        }
        harness.restart(true, 0);
    }
}
