//! Offsets by time, and where partitions begin and end.

use log_store::{BodyKind, Partition, StoredBatch, Topic};

use super::append::RECORDS_BYTES_MAX;
use super::{TopicError, Topics};
use crate::records::KafkaBatch;

/// Which offset is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetQuery {
    Earliest,
    /// Behind the last record.
    Latest,
    /// Of the first record of at least this time, milliseconds.
    AtTime(i64),
    /// Of the first record with the greatest time.
    MaxTime,
}

/// An offset, and the time of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetAt {
    /// −1: there is no such record.
    pub offset: i64,
    /// Milliseconds; −1 if the question was not about time.
    pub timestamp: i64,
}

const NONE: OffsetAt = OffsetAt {
    offset: -1,
    timestamp: -1,
};

impl Topics {
    /// Answers an offset query. Reads from the disk.
    pub fn offset(
        &self,
        topic: &str,
        partition: i32,
        query: OffsetQuery,
    ) -> Result<OffsetAt, TopicError> {
        let found = self.find(topic)?;
        let held = found.partition(partition)?;
        let untimed = |offset: i64| OffsetAt {
            offset,
            timestamp: -1,
        };
        match query {
            OffsetQuery::Earliest => Ok(untimed(held.start_offset().0 as i64)),
            OffsetQuery::Latest => Ok(untimed(visible_end(&found.topic, &held, topic)?)),
            OffsetQuery::AtTime(millis) => self.first_at(&found, &held, millis),
            OffsetQuery::MaxTime => match held
                .max_rowtime()
                .map_err(|error| TopicError::of_log(error, topic))?
            {
                Some((micros, _)) => self.first_at(&found, &held, micros.div_euclid(1000)),
                None => Ok(NONE),
            },
        }
    }

    fn first_at(
        &self,
        found: &super::Found,
        held: &Partition,
        millis: i64,
    ) -> Result<OffsetAt, TopicError> {
        let name = found.name();
        let failed = |error| TopicError::of_log(error, name);
        let rowtime = millis.saturating_mul(1000);
        let end = visible_end(&found.topic, held, name)? as u64;
        let mut offset = held.offset_of_time(rowtime).map_err(failed)?;
        while offset.0 < end {
            let batches = self.read(found, held, offset.0, 1)?;
            let Some(batch) = batches.first() else { break };
            if let Some(at) = self.first_in(found, batch, offset.0, millis)? {
                return Ok(at);
            }
            // What promised it was taken away since, or never told the truth.
            let next = batch.last_offset.plus(1);
            offset = held.offset_of_time_from(rowtime, next).map_err(failed)?;
        }
        Ok(NONE)
    }

    /// The first record of a batch, at or after an offset, of at least a time.
    fn first_in(
        &self,
        found: &super::Found,
        batch: &StoredBatch,
        from: u64,
        millis: i64,
    ) -> Result<Option<OffsetAt>, TopicError> {
        let from = from.max(batch.base_offset.0) as i64;
        if batch.kind == BodyKind::RAW {
            let base = batch.base_offset.0 as i64;
            let records = KafkaBatch::new(batch.body.clone())?.records(RECORDS_BYTES_MAX)?;
            for record in &records {
                let record = record?;
                let offset = base + i64::from(record.offset_delta);
                if offset >= from && record.timestamp >= millis {
                    return Ok(Some(OffsetAt {
                        offset,
                        timestamp: record.timestamp,
                    }));
                }
            }
            return Ok(None);
        }
        let Some(columnar) = found.columnar() else {
            return Ok(None);
        };
        let rows = super::fetch::rows_of(batch, columnar)?;
        let times = super::fetch::rowtimes_of(&rows, columnar.columns.fields().len());
        let first = batch
            .visible
            .clone()
            .find(|row| times.value(*row as usize).div_euclid(1000) >= millis);
        Ok(first.map(|row| OffsetAt {
            offset: batch.offset_of(row).0 as i64,
            timestamp: times.value(row as usize).div_euclid(1000),
        }))
    }
}

/// The first offset of a partition that clients cannot read yet.
pub(super) fn visible_end(topic: &Topic, held: &Partition, name: &str) -> Result<i64, TopicError> {
    topic
        .visible_end(held.id())
        .map(|end| end.0 as i64)
        .map_err(|error| TopicError::of_log(error, name))
}
