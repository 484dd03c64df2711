//! `PRINT topic`: its records as they are, for as long as the client wants to see them.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use futures::StreamExt;
use sql::ast::Print;

use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::records::split_batches;
use crate::response::Rows;
use crate::session::{Session, show};
use crate::topics::{OffsetQuery, TopicError, TopicWatch, Topics};

/// Bytes read from a partition at once.
const FETCH_BYTES_MAX: usize = 1 << 20;
/// Bytes that a batch may unfold to.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// A record as it is shown: time, partition, offset, key, value.
type Shown = [Option<String>; 5];

struct Printer {
    topics: Topics,
    topic: String,
    /// The next offset of each partition.
    next: Vec<i64>,
    watch: TopicWatch,
    ready: VecDeque<Shown>,
    interval: u64,
    /// Records passed since the last that was shown.
    passed: u64,
    left: Option<u64>,
    columns: SchemaRef,
}

impl Session {
    pub(super) async fn print(&mut self, print: &Print) -> Result<Rows> {
        let topics = self.engine.topics();
        let info = topics.get(&print.topic).ok_or_else(|| {
            StatementError::new(
                StatementErrorKind::UndefinedObject,
                format!("topic \"{}\" does not exist", print.topic),
            )
            .with_hint("SHOW TOPICS lists them.")
        })?;
        let numbers: Vec<i32> = (0..info.partitions as i32).collect();
        let watch = topics.watch(numbers.iter().map(|number| (info.name.as_str(), *number)));
        let query = match print.from_beginning {
            true => OffsetQuery::Earliest,
            false => OffsetQuery::Latest,
        };
        let next = numbers
            .iter()
            .map(|number| Ok(topics.offset(&info.name, *number, query)?.offset))
            .collect::<Result<Vec<i64>, TopicError>>()
            .map_err(failed)?;
        let columns = print_columns();
        let printer = Printer {
            topics,
            topic: info.name,
            next,
            watch,
            ready: VecDeque::new(),
            interval: print.interval,
            passed: 0,
            left: print.limit,
            columns: columns.clone(),
        };
        let batches = futures::stream::unfold(Some(printer), |printer| async move {
            let mut printer = printer?;
            match printer.next().await {
                Ok(Some(batch)) => Some((Ok(batch), Some(printer))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Rows {
            columns,
            batches: batches.boxed(),
            endless: true,
            tag: "PRINT",
        })
    }
}

/// Columns of PRINT.
pub(super) fn print_columns() -> SchemaRef {
    show::text_columns(&["rowtime", "partition", "offset", "key", "value"])
}

impl Printer {
    /// The next records; `None` when there were as many as asked for.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            if !self.ready.is_empty() {
                return self.take().map(Some);
            }
            let before = self.next.clone();
            self.read()?;
            if self.ready.is_empty() && self.next == before {
                self.watch.changed().await;
            }
        }
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let most = self.left.map_or(usize::MAX, |left| {
            usize::try_from(left).unwrap_or(usize::MAX)
        });
        let count = self.ready.len().min(most);
        let rows: Vec<Shown> = self.ready.drain(..count).collect();
        if let Some(left) = &mut self.left {
            *left -= count as u64;
        }
        let arrays: Vec<ArrayRef> = (0..self.columns.fields().len())
            .map(|column| {
                let values: StringArray = rows.iter().map(|row| row[column].as_deref()).collect();
                Arc::new(values) as ArrayRef
            })
            .collect();
        RecordBatch::try_new(self.columns.clone(), arrays)
            .map_err(|error| Error::Internal(error.to_string()))
    }

    /// Reads on in each partition.
    fn read(&mut self) -> Result<()> {
        for partition in 0..self.next.len() {
            let number = partition as i32;
            let from = self.next[partition];
            let fetched = match self
                .topics
                .fetch(&self.topic, number, from, FETCH_BYTES_MAX)
            {
                Ok(fetched) => fetched,
                // Retention has taken what came next.
                Err(TopicError::OffsetOutOfRange { start, .. }) if from < start => {
                    self.next[partition] = start;
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            let mut bytes = BytesMut::with_capacity(fetched.bytes);
            for chunk in &fetched.chunks {
                bytes.extend_from_slice(chunk);
            }
            self.show(number, bytes.freeze())?;
        }
        Ok(())
    }

    fn show(&mut self, partition: i32, bytes: Bytes) -> Result<()> {
        let damaged = |error| Error::Corruption(format!("a record batch cannot be read: {error}"));
        for batch in split_batches(bytes).map_err(damaged)? {
            let place = partition as usize;
            let records = batch.records(BATCH_BYTES_MAX).map_err(damaged)?;
            for record in records.iter() {
                let record = record.map_err(damaged)?;
                let offset = batch.base_offset() + i64::from(record.offset_delta);
                if offset < self.next[place] {
                    continue;
                }
                self.passed += 1;
                if self.passed < self.interval {
                    continue;
                }
                self.passed = 0;
                self.ready.push_back([
                    DateTime::from_timestamp_millis(record.timestamp)
                        .map(|time| time.format("%Y-%m-%d %H:%M:%S%.3f+00").to_string()),
                    Some(partition.to_string()),
                    Some(offset.to_string()),
                    record.key.map(guessed),
                    record.value.map(guessed),
                ]);
            }
            let after = batch.base_offset() + i64::from(batch.last_offset_delta()) + 1;
            self.next[place] = self.next[place].max(after);
        }
        Ok(())
    }
}

/// Bytes as what they most likely are: text, a number of Kafka's serializers, or just bytes.
fn guessed(bytes: &[u8]) -> String {
    let is_shown = |text: &&str| {
        text.chars()
            .all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
    };
    if let Some(text) = std::str::from_utf8(bytes).ok().filter(is_shown) {
        return text.to_owned();
    }
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return i32::from_be_bytes(bytes).to_string();
    }
    if let Ok(bytes) = <[u8; 8]>::try_from(bytes) {
        let whole = i64::from_be_bytes(bytes);
        let double = f64::from_be_bytes(bytes);
        // A whole number of this size that is a sensible double is one.
        let is_double = double.is_normal() && (1e-6..1e15).contains(&double.abs());
        return match is_double {
            true => double.to_string(),
            false => whole.to_string(),
        };
    }
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\\x{hex}")
}

fn failed(error: TopicError) -> Error {
    StatementError::new(
        StatementErrorKind::ObjectNotInPrerequisiteState,
        error.to_string(),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::guessed;

    #[test]
    fn bytes_are_shown_as_what_they_look_like() {
        assert_eq!(guessed(b"{\"a\":1}"), "{\"a\":1}");
        assert_eq!(guessed(&7i32.to_be_bytes()), "7");
        assert_eq!(
            guessed(&1_700_000_000_000i64.to_be_bytes()),
            "1700000000000"
        );
        assert_eq!(guessed(&2.5f64.to_be_bytes()), "2.5");
        assert_eq!(guessed(&[0xff, 0x00]), "\\xff00");
    }
}
