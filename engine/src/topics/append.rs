//! Records on their way in: checked one batch at a time, appended together.
//!
//! The two steps are apart for transactions: their batches are checked on arrival, kept by the
//! coordinator, and appended when the transaction commits.

use std::future::Future;

use bytes::{Bytes, BytesMut};
use log_store::{BodyKind, Cleanup, Compression, NewBatch, PartitionId, ProducerStamp};

use super::settings::Rules;
use super::{Found, INTERNAL_TOPICS, TopicError, Topics, settings};
use crate::catalog::{RelationId, TopicContents};
use crate::records::KafkaBatch;
use crate::records::batch::stamp_append_time;

/// What the records of a batch may take decompressed, where they have to be looked at.
pub(super) const RECORDS_BYTES_MAX: usize = 256 << 20;

/// Batches of records to be appended together.
pub type Batches = Vec<Prepared>;

/// A batch that has passed every check, on its way to one partition.
#[derive(Debug, Clone)]
pub struct Prepared {
    topic: String,
    batches: Vec<NewBatch>,
    /// The table whose other writers must be kept away meanwhile.
    table: Option<RelationId>,
    producer: Option<Producer>,
    transactional: bool,
    records: u32,
    bytes: usize,
    append_time: Option<i64>,
    replicas_min: u32,
}

/// Who numbers the records of a batch, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    /// Number of the first record.
    pub first_sequence: i32,
    /// Number of the last record; 0 comes after `i32::MAX`.
    pub last_sequence: i32,
}

impl Prepared {
    /// A batch that the server has built itself.
    pub(super) fn internal(topic: &str, batch: NewBatch) -> Self {
        Self {
            topic: topic.to_owned(),
            records: batch.rows,
            bytes: batch.body.len(),
            batches: vec![batch],
            table: None,
            producer: None,
            transactional: false,
            append_time: None,
            replicas_min: 1,
        }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// How many records there are.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Bytes that it keeps in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// `None` if its producer is not idempotent.
    pub fn producer(&self) -> Option<Producer> {
        self.producer
    }

    /// Whether it is part of a transaction. Then its numbers are not checked when it is appended:
    /// whoever keeps it until then has to.
    pub fn is_transactional(&self) -> bool {
        self.transactional
    }

    /// The time that was given to all its records, milliseconds, if the topic wants that.
    pub fn append_time(&self) -> Option<i64> {
        self.append_time
    }

    /// How many replicas the topic wants to be in sync where the producer asks for all of them.
    pub fn replicas_min(&self) -> u32 {
        self.replicas_min
    }
}

impl Topics {
    /// Checks the one batch of records that a client sends to a partition.
    pub fn prepare(
        &self,
        topic: &str,
        partition: i32,
        records: Bytes,
    ) -> Result<Prepared, TopicError> {
        if INTERNAL_TOPICS.contains(&topic) {
            return Err(TopicError::InvalidTopic(format!(
                "topic \"{topic}\" is written by the server only"
            )));
        }
        let found = self.find(topic)?;
        found.partition(partition)?;
        let batch = only_batch(records)?;
        let set = match &found.entry {
            Some(entry) => settings::rules(&entry.settings),
            None => settings::rules(&Default::default()),
        };
        check_size(&batch, &set)?;
        batch.validate()?;
        if batch.is_control() {
            return Err(TopicError::InvalidRecord(
                "producers may not write control records".into(),
            ));
        }
        let producer = producer_of(&batch)?;
        let transactional = batch.is_transactional();
        if transactional && producer.is_none() {
            return Err(TopicError::InvalidRecord(
                "a batch of a transaction has no producer".into(),
            ));
        }
        let partition = PartitionId(partition as u32);
        let contents = found.entry.as_ref().map(|entry| &entry.contents);
        let (batches, table, append_time) = match contents {
            Some(TopicContents::Columnar(_)) => {
                let (batches, table) = self.decode(&found, partition, &batch)?;
                (batches, table, None)
            }
            Some(TopicContents::Raw) | None => {
                let (batch, append_time) = self.raw_batch(&found, partition, batch, &set)?;
                (vec![batch], None, append_time)
            }
        };
        let mut prepared = Prepared {
            topic: topic.to_owned(),
            records: batches.iter().map(|batch| batch.rows).sum(),
            bytes: batches.iter().map(|batch| batch.body.len()).sum(),
            batches,
            table,
            producer,
            transactional,
            append_time,
            replicas_min: set.replicas_min,
        };
        prepared.stamp();
        Ok(prepared)
    }

    /// Whether the topic that a batch was prepared for is still there.
    pub fn takes(&self, prepared: &Prepared) -> bool {
        let found = self.find(&prepared.topic);
        found.is_ok_and(|found| {
            let mut batches = prepared.batches.iter();
            batches.all(|batch| batch.topic == found.topic.id())
        })
    }

    /// Appends batches in one epoch, over all their topics: all of them, or none. Gives the offset
    /// of each one's first record once they are durable.
    ///
    /// Batches of raw topics stand in line for the log when this returns, so that the order of calls
    /// is the order in the log; dropping the future takes nothing back.
    pub fn append(
        &self,
        batches: Batches,
    ) -> impl Future<Output = Result<Vec<u64>, TopicError>> + Send + 'static {
        let engine = self.engine.clone();
        let mut tables: Vec<RelationId> = batches.iter().filter_map(|batch| batch.table).collect();
        // Everybody takes several locks in the same order.
        tables.sort_unstable();
        tables.dedup();
        let name = batches.first().map(|batch| batch.topic.clone());
        let mut firsts = Vec::with_capacity(batches.len());
        let mut all = Vec::with_capacity(batches.len());
        for batch in batches {
            firsts.push(all.len());
            all.extend(batch.batches);
        }
        let begun = tables
            .is_empty()
            .then(|| engine.log.append(std::mem::take(&mut all)));
        async move {
            let mut guards = Vec::with_capacity(tables.len());
            let appending = match begun {
                Some(appending) => appending,
                None => {
                    for table in tables {
                        guards.push(engine.writes.shared(table).await);
                    }
                    engine.log.append(all)
                }
            };
            let appended = appending
                .await
                .map_err(|error| TopicError::of_log(error, &name.unwrap_or_default()))?;
            drop(guards);
            Ok(firsts
                .into_iter()
                .map(|first| appended.base_offsets[first].0)
                .collect())
        }
    }

    fn raw_batch(
        &self,
        found: &Found,
        partition: PartitionId,
        batch: KafkaBatch,
        rules: &Rules,
    ) -> Result<(NewBatch, Option<i64>), TopicError> {
        let count = batch.count();
        if count == 0 || count != batch.last_offset_delta() + 1 {
            return Err(TopicError::InvalidRecord(format!(
                "a record batch has {count} records up to offset delta {}",
                batch.last_offset_delta()
            )));
        }
        if matches!(found.topic.config().cleanup, Cleanup::Compact { .. }) {
            check_keys(&batch, found.name())?;
        }
        let now = self.engine.now();
        let append_time = rules.append_time.then_some(now / 1000);
        let batch = match append_time {
            Some(time) => {
                let mut bytes = BytesMut::from(&batch.bytes()[..]);
                stamp_append_time(&mut bytes, time);
                KafkaBatch::new(bytes.freeze())?
            }
            None => {
                check_time(&batch, rules, now / 1000)?;
                batch
            }
        };
        Ok((
            raw_body(found, partition, count as u32, &batch),
            append_time,
        ))
    }
}

impl Prepared {
    /// Numbers of records become those of rows: one record is one row.
    fn stamp(&mut self) {
        let Some(producer) = self.producer.filter(|_| !self.transactional) else {
            return;
        };
        let mut sequence = i64::from(producer.first_sequence);
        for batch in &mut self.batches {
            batch.producer = Some(ProducerStamp {
                id: producer.id,
                epoch: producer.epoch,
                sequence: (sequence % (1 << 31)) as i32,
            });
            sequence += i64::from(batch.rows);
        }
    }
}

/// The batch as the log keeps it.
pub(super) fn raw_body(
    found: &Found,
    partition: PartitionId,
    rows: u32,
    batch: &KafkaBatch,
) -> NewBatch {
    let micros = |millis: i64| millis.saturating_mul(1000);
    let (base, max) = (
        micros(batch.base_timestamp()),
        micros(batch.max_timestamp()),
    );
    NewBatch {
        topic: found.topic.id(),
        partition,
        rows,
        rowtime_min: base.min(max),
        rowtime_max: max,
        schema_id: 0,
        kind: BodyKind::RAW,
        compression: Compression::None,
        body: batch.bytes().clone(),
        decoded: None,
        producer: None,
    }
}

/// Since the third version of Produce there is exactly one.
fn only_batch(records: Bytes) -> Result<KafkaBatch, TopicError> {
    let mut batches = crate::records::split_batches(records)?;
    match (batches.pop(), batches.is_empty()) {
        (Some(batch), true) => Ok(batch),
        (None, _) => Err(TopicError::InvalidRecord("there is no record batch".into())),
        (Some(_), false) => Err(TopicError::InvalidRecord(
            "there is more than one record batch for a partition".into(),
        )),
    }
}

fn check_size(batch: &KafkaBatch, rules: &Rules) -> Result<(), TopicError> {
    let size = batch.bytes().len();
    if size > rules.message_bytes_max {
        return Err(TopicError::TooLarge(format!(
            "The record batch size in the append is {size} bytes which exceeds the maximum configured value of {}.",
            rules.message_bytes_max
        )));
    }
    Ok(())
}

fn producer_of(batch: &KafkaBatch) -> Result<Option<Producer>, TopicError> {
    let id = batch.producer_id();
    if id < 0 {
        return Ok(None);
    }
    let (epoch, first) = (batch.producer_epoch(), batch.base_sequence());
    if epoch < 0 || first < 0 {
        return Err(TopicError::InvalidRecord(format!(
            "a batch of producer {id} has the epoch {epoch} and the sequence {first}"
        )));
    }
    let last = (i64::from(first) + i64::from(batch.last_offset_delta())) % (1 << 31);
    Ok(Some(Producer {
        id,
        epoch,
        first_sequence: first,
        last_sequence: last as i32,
    }))
}

fn check_time(batch: &KafkaBatch, rules: &Rules, now: i64) -> Result<(), TopicError> {
    let latest = batch.max_timestamp();
    // −1 is no time at all.
    if latest == -1 {
        return Ok(());
    }
    let ahead = latest.saturating_sub(now) > rules.ahead_ms_max;
    let behind = now.saturating_sub(batch.base_timestamp().min(latest)) > rules.behind_ms_max;
    if ahead || behind {
        return Err(TopicError::InvalidTimestamp(format!(
            "Timestamp {latest} of a record is out of range: it may be {} ms behind and {} ms ahead of {now}",
            rules.behind_ms_max, rules.ahead_ms_max
        )));
    }
    Ok(())
}

/// In a compacted topic a record without a key could never be told from another.
fn check_keys(batch: &KafkaBatch, topic: &str) -> Result<(), TopicError> {
    let records = batch.records(RECORDS_BYTES_MAX)?;
    for record in &records {
        if record?.key.is_none() {
            return Err(TopicError::InvalidRecord(format!(
                "Compacted topic cannot accept message without key in topic {topic}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{BatchBuilder, Codec};

    fn batch() -> KafkaBatch {
        let mut builder = BatchBuilder::new(Codec::None).producer(7, 1, i32::MAX - 1);
        for i in 0..4 {
            builder.append(1_000 + i, None, Some(b"x"));
        }
        KafkaBatch::new(builder.build(0)).expect("well-formed")
    }

    #[test]
    fn numbers_of_records_begin_again_after_the_greatest() {
        let producer = producer_of(&batch()).expect("valid").expect("there is one");
        assert_eq!(producer.first_sequence, i32::MAX - 1);
        assert_eq!(producer.last_sequence, 1);
    }

    #[test]
    fn times_out_of_range_are_refused() {
        let mut rules = settings::rules(&Default::default());
        assert_eq!(check_time(&batch(), &rules, 2_000), Ok(()));
        rules.ahead_ms_max = 10;
        assert!(check_time(&batch(), &rules, 500).is_err());
        rules.behind_ms_max = 10;
        assert!(check_time(&batch(), &rules, 5_000).is_err());
    }

    #[test]
    fn there_is_exactly_one_batch() {
        let bytes = batch().into_bytes();
        assert!(only_batch(bytes.clone()).is_ok());
        assert!(only_batch(Bytes::new()).is_err());
        assert!(only_batch([&bytes[..], &bytes[..]].concat().into()).is_err());
    }
}
