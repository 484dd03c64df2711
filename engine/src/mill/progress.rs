//! How far queries that insert into streams have come.
//!
//! Rows of `INSERT INTO stream SELECT …` are appended as any client's are, and get new epochs. Each
//! such append carries, in the same epoch, a record of the query and the input epoch it has reached;
//! after a crash the records say which of the replayed output is in the stream already.

use std::collections::HashMap;

use log_store::{Epoch, Log, NewBatch, Topic, TopicConfig};
use serde::{Deserialize, Serialize};

use crate::catalog::Query;
use crate::error::{Error, Result};
use crate::ingest;

/// Name of the topic of the records.
pub(crate) const PROGRESS_TOPIC: &str = "__insert_progress";

#[derive(Serialize, Deserialize)]
struct Progress {
    query: String,
    epoch: u64,
}

/// The topic of the records, made if absent.
pub fn topic(log: &Log) -> Result<Topic> {
    match log.topic_by_name(PROGRESS_TOPIC) {
        Some(topic) => Ok(topic),
        None => Ok(log.create_topic(TopicConfig {
            // Only the last record of each query counts.
            retention_bytes: Some(16 << 20),
            ..TopicConfig::ingested(PROGRESS_TOPIC, 1)
        })?),
    }
}

/// What a query is called in the records: its identity may be given again after it has ended.
pub fn name(query: &Query) -> String {
    format!("{}#{}", query.id, query.sequence)
}

/// A record to append together with a query's rows.
pub fn batch(topic: &Topic, query: &str, epoch: u64) -> Result<NewBatch> {
    let record = Progress {
        query: query.to_owned(),
        epoch,
    };
    let body = serde_json::to_vec(&record)
        .map_err(|error| Error::Internal(format!("cannot encode a progress record: {error}")))?;
    Ok(ingest::raw_batch(topic, body.into(), 0))
}

/// The input epoch that each query has reached. All records are read: a query that catches up may
/// have appended before the last checkpoint without being part of it.
pub fn reached(topic: &Topic) -> Result<HashMap<String, u64>> {
    let mut reached: HashMap<String, u64> = HashMap::new();
    for partition in topic.partitions() {
        let mut next = partition.start_offset();
        loop {
            let batches = partition.read(next, 1 << 20, Epoch::MAX)?;
            let Some(last) = batches.last() else { break };
            next = last.last_offset.plus(1);
            for batch in &batches {
                let record: Progress = serde_json::from_slice(&batch.body).map_err(|error| {
                    Error::Corruption(format!("a progress record cannot be read: {error}"))
                })?;
                let epoch = reached.entry(record.query).or_default();
                *epoch = record.epoch.max(*epoch);
            }
        }
    }
    Ok(reached)
}
