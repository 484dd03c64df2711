//! What the tests of the log share.
#![allow(dead_code, reason = "each test uses its own part")]

pub mod producers;
pub mod rows;

use std::{path::Path, sync::Arc};

use log_store::{
    BodyKind, Compression, Epoch, Log, LogConfig, LogError, NewBatch, Offset, Partition,
    PartitionId, RecoveryReport, Topic,
    sim::{SimClock, SimDisk},
};
use rows::RowCodec;

pub fn config() -> LogConfig {
    LogConfig {
        background: false,
        segment_bytes_max: 1024,
        ..LogConfig::new("/log")
    }
}

pub fn open(
    disk: &SimDisk,
    clock: &Arc<SimClock>,
    config: LogConfig,
) -> Result<(Log, RecoveryReport), LogError> {
    Log::open(
        config,
        Arc::new(disk.clone()),
        clock.clone(),
        Arc::new(RowCodec),
    )
}

pub fn batch(topic: &Topic, partition: u32, rows: &[(u64, u64)]) -> NewBatch {
    NewBatch {
        topic: topic.id(),
        partition: PartitionId(partition),
        rows: rows.len() as u32,
        rowtime_min: rows.iter().map(|row| row.1 as i64).min().unwrap_or(0),
        rowtime_max: rows.iter().map(|row| row.1 as i64).max().unwrap_or(0),
        schema_id: 1,
        kind: BodyKind::ROWS,
        compression: Compression::None,
        body: rows::body(rows),
        decoded: None,
        producer: None,
    }
}

/// A row as a reader finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub offset: u64,
    pub epoch: u64,
    pub key: u64,
    pub value: u64,
}

/// All rows from an offset on, read in pieces.
pub fn read_from(
    partition: &Partition,
    from: Offset,
    bytes_max: usize,
    up_to: Epoch,
) -> Result<Vec<Row>, LogError> {
    let mut from = from;
    let mut found = Vec::new();
    loop {
        let batches = partition.read(from, bytes_max, up_to)?;
        let Some(last) = batches.last() else {
            return Ok(found);
        };
        let next = last.offset_of(last.visible.end - 1).plus(1);
        assert!(next > from);
        from = next;
        for batch in &batches {
            let rows = rows::rows(&batch.body);
            assert_eq!(rows.len(), batch.rows as usize);
            for run in batch.epochs() {
                for row in run.rows {
                    if batch.visible.contains(&row) {
                        found.push(Row {
                            offset: batch.offset_of(row).0,
                            epoch: run.epoch.0,
                            key: rows[row as usize].0,
                            value: rows[row as usize].1,
                        });
                    }
                }
            }
        }
    }
}

pub fn read_all(partition: &Partition) -> Result<Vec<Row>, LogError> {
    read_from(partition, partition.start_offset(), 1 << 20, Epoch::MAX)
}

/// Every file of a disk that says something, for tests that damage each.
pub fn files(disk: &SimDisk) -> Vec<std::path::PathBuf> {
    disk.paths()
        .into_iter()
        .filter(|path| path != Path::new("/log/reserve"))
        .collect()
}
