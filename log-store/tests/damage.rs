//! Damage to files: cut off at every byte, one flipped bit anywhere, files that are missing. The log either gives every
//! row back, or says what is wrong; it never gives other rows, and never fewer in silence.

mod support;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use log_store::{
    Epoch, Log, LogError, NewBatch, Offset, PartitionId, ProducerStamp, TopicConfig, scan_batches,
    sim::SimClock, sim::SimDisk,
};
use proptest::prelude::*;
use support::{Row, batch, config, files, open, read_all};

/// A log of two partitions and two segments in one of them.
fn small_log(disk: &SimDisk, clock: &Arc<SimClock>) -> (Log, Vec<Vec<Row>>) {
    let (log, _) = open(disk, clock, config()).unwrap();
    let topic = log.create_topic(TopicConfig::ingested("t", 2)).unwrap();
    for value in 0..4u64 {
        let rows = [(value, value), (value + 1, value)];
        let stamp = ProducerStamp {
            id: 1 << 40,
            epoch: 5,
            sequence: value as i32 * 2,
        };
        let mut batches = vec![NewBatch {
            producer: Some(stamp),
            ..batch(&topic, 0, &rows)
        }];
        if value % 2 == 0 {
            batches.push(batch(&topic, 1, &rows[..1]));
        }
        log.append(batches).wait().unwrap();
    }
    let rows = all_rows(&log).into_iter().map(Result::unwrap).collect();
    (log, rows)
}

fn all_rows(log: &Log) -> Vec<Result<Vec<Row>, LogError>> {
    log.topics()
        .iter()
        .flat_map(|topic| topic.partitions())
        .map(|partition| read_all(&partition))
        .collect()
}

/// What a start finds after damage: all rows up to one epoch, or for each partition an error. Says which, and how many of
/// the newest epochs are gone.
fn outcome(disk: &SimDisk, clock: &Arc<SimClock>, rows: &[Vec<Row>]) -> (&'static str, u64) {
    let (log, report) = match open(disk, clock, config()) {
        Ok(opened) => opened,
        Err(
            LogError::Corruption(_)
            | LogError::EpochIncomplete { .. }
            | LogError::FormatVersion { .. },
        ) => return ("refused", 0),
        Err(error) => panic!("{error}"),
    };
    let newest = rows
        .iter()
        .flatten()
        .map(|row| row.epoch)
        .max()
        .unwrap_or(0);
    let mut outcome = "whole";
    for (found, expected) in all_rows(&log).into_iter().zip(rows) {
        match found {
            Ok(found) => {
                let mut kept = expected.clone();
                kept.retain(|row| row.epoch <= report.sealed.0);
                assert_eq!(found, kept);
            }
            Err(LogError::Corruption(_)) => outcome = "damaged",
            Err(error) => panic!("{error}"),
        }
    }
    (outcome, newest - report.sealed.0)
}

#[test]
fn every_flipped_bit_is_detected_after_a_clean_end() {
    let (disk, clock) = (SimDisk::new(1), SimClock::new(0));
    let (log, rows) = small_log(&disk, &clock);
    log.close().unwrap();
    for path in files(&disk) {
        let bits = disk.contents(&path).unwrap().len() * 8;
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        for bit in 0..bits {
            let copy = disk.copy(7);
            copy.flip_bit(&path, bit);
            let outcome = outcome(&copy, &clock, &rows);
            // A damaged copy of the manifest has another beside it.
            let expected = if is_segment { "damaged" } else { "whole" };
            assert_eq!(outcome, (expected, 0), "bit {bit} of {}", path.display());
        }
    }
}

#[test]
fn every_flipped_bit_is_detected_after_a_crash() {
    let (disk, clock) = (SimDisk::new(1), SimClock::new(0));
    let (_log, rows) = small_log(&disk, &clock);
    let disk = disk.kill();
    for path in files(&disk) {
        let bits = disk.contents(&path).unwrap().len() * 8;
        for bit in 0..bits {
            let copy = disk.copy(7);
            copy.flip_bit(&path, bit);
            let (_, lost) = outcome(&copy, &clock, &rows);
            assert!(
                lost <= 1,
                "in the last epoch damage and a torn write look alike; never before"
            );
        }
    }
}

#[test]
fn a_log_cut_off_at_any_byte_is_whole_up_to_an_epoch_or_damaged() {
    let (disk, clock) = (SimDisk::new(1), SimClock::new(0));
    let (_log, rows) = small_log(&disk, &clock);
    let disk = disk.kill();
    for path in files(&disk) {
        let bytes = disk.contents(&path).unwrap();
        for len in 0..bytes.len() {
            let copy = disk.copy(7);
            copy.set_contents(&path, bytes[..len].to_vec());
            outcome(&copy, &clock, &rows);
        }
    }
}

#[test]
fn a_cut_or_missing_file_is_noticed_after_a_clean_end() {
    let (disk, clock) = (SimDisk::new(1), SimClock::new(0));
    let (log, rows) = small_log(&disk, &clock);
    log.close().unwrap();
    for path in files(&disk) {
        let bytes = disk.contents(&path).unwrap();
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            let copy = disk.copy(7);
            copy.set_contents(&path, bytes[..len].to_vec());
            let (log, report) = open(&copy, &clock, config()).unwrap();
            assert_eq!(!report.damaged.is_empty(), is_segment);
            assert_eq!(!report.manifest_damage.is_empty(), !is_segment);
            drop(log);
            // The refusal is not forgotten.
            let expected = if is_segment { "damaged" } else { "whole" };
            assert_eq!(outcome(&copy, &clock, &rows).0, expected);
        }
    }
}

#[test]
fn damage_names_file_position_offset_and_epoch_and_stays_refused_until_accepted() {
    let (disk, clock) = (SimDisk::new(1), SimClock::new(0));
    let (log, rows) = small_log(&disk, &clock);
    drop(log);
    // Unclean: the log of the second start is killed after some more appends.
    let (log, _) = open(&disk, &clock, config()).unwrap();
    let topic = log.topic_by_name("t").unwrap();
    for value in 10..16 {
        log.append(vec![batch(&topic, 0, &[(value, value)])])
            .wait()
            .unwrap();
    }
    let disk = disk.kill();
    let is_first = |path: &PathBuf| path.starts_with("/log/1-0");
    let file = files(&disk).into_iter().rfind(is_first).unwrap();
    let bytes = disk.contents(&file).unwrap();
    // Into the body of the third batch from the end.
    disk.flip_bit(&file, (bytes.len() - 2 * 128 - 8) * 8);
    {
        let (log, report) = open(&disk, &clock, config()).unwrap();
        let [(_, partition, corruption)] = report.damaged.as_slice() else {
            panic!("{report:?}");
        };
        assert_eq!(
            format!("{partition}: {corruption}"),
            "0: data corrupted in file \"/log/1-0/00000000000000000010.0.seg\" at position 192 (offset 11, epoch 7): \
             the checksum of the body does not match"
        );
        let topic = log.topic_by_name("t").unwrap();
        let damaged = topic.partition(PartitionId(0)).unwrap();
        assert!(matches!(read_all(&damaged), Err(LogError::Corruption(_))));
        // What lies before the damage is served, and so are other partitions.
        let before = damaged.read(Offset(0), 1 << 20, Epoch::MAX).unwrap();
        assert_eq!(before.iter().map(|batch| batch.rows).sum::<u32>(), 11);
        assert_eq!(
            read_all(&topic.partition(PartitionId(1)).unwrap()).unwrap(),
            rows[1]
        );
        let refused = log.append(vec![batch(&topic, 0, &[(0, 0)])]).wait();
        assert!(matches!(refused, Err(LogError::Corruption(_))));
        log.append(vec![batch(&topic, 1, &[(0, 0)])])
            .wait()
            .unwrap();
        log.run_maintenance_once().unwrap();
    }
    let (log, report) = open(&disk, &clock, config()).unwrap();
    assert_eq!(report.damaged.len(), 1, "the refusal is not forgotten");
    drop(log);
    let mut accepting = config();
    accepting.accept_data_loss = true;
    let (log, report) = open(&disk, &clock, accepting).unwrap();
    assert_eq!(report.damaged.len(), 1);
    let topic = log.topic_by_name("t").unwrap();
    assert_eq!(
        read_all(&topic.partition(PartitionId(0)).unwrap())
            .unwrap()
            .len(),
        11
    );
    log.append(vec![batch(&topic, 0, &[(0, 0)])])
        .wait()
        .unwrap();
    drop(log);
    let (log, report) = open(&disk, &clock, config()).unwrap();
    assert!(report.damaged.is_empty());
    let topic = log.topic_by_name("t").unwrap();
    assert_eq!(
        read_all(&topic.partition(PartitionId(0)).unwrap())
            .unwrap()
            .len(),
        12
    );
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (disk, clock) = (SimDisk::new(1), SimClock::new(0));
    let (log, _) = small_log(&disk, &clock);
    log.close().unwrap();
    let manifest = Path::new("/log/manifest.a");
    let mut bytes = disk.contents(manifest).unwrap();
    bytes[8] = 99;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[8..12]), &bytes[20..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    disk.set_contents(manifest, bytes);
    let error = open(&disk, &clock, config()).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "file \"/log/manifest.a\" has format version 99; this server reads up to 1"
    );
}

#[test]
fn verifying_finds_damage_that_nobody_has_read_yet() {
    let (disk, clock) = (SimDisk::new(1), SimClock::new(0));
    let (log, rows) = small_log(&disk, &clock);
    assert!(log.verify().is_empty());
    let is_second = |path: &PathBuf| path.starts_with("/log/1-1");
    let file = files(&disk).into_iter().rfind(is_second).unwrap();
    disk.flip_bit(&file, 8 * 200);
    let damage = log.verify();
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].1, PartitionId(1));
    assert_eq!(
        read_all(&log.topics()[0].partition(PartitionId(0)).unwrap()).unwrap(),
        rows[0]
    );
}

#[test]
fn partitions_without_a_manifest_are_refused() {
    let (disk, clock) = (SimDisk::new(1), SimClock::new(0));
    let (log, _) = small_log(&disk, &clock);
    log.close().unwrap();
    for copy in ["/log/manifest.a", "/log/manifest.b"] {
        log_store::Disk::remove(&disk, Path::new(copy)).unwrap();
    }
    assert!(matches!(
        open(&disk, &clock, config()),
        Err(LogError::Corruption(_))
    ));
}

/// The bytes of a real segment, for the reader to stumble over.
fn segment_bytes() -> Vec<u8> {
    let (disk, clock) = (SimDisk::new(1), SimClock::new(0));
    let (log, _) = small_log(&disk, &clock);
    log.run_maintenance_once().unwrap();
    drop(log);
    let path = files(&disk)
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .unwrap();
    disk.contents(&path).unwrap().split_off(64)
}

proptest! {
    /// The segment reader takes any bytes: it reads a prefix, and never panics.
    #[test]
    fn the_reader_survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (batches, _) = scan_batches(&bytes.into());
        prop_assert!(batches.is_empty());
    }

    #[test]
    fn the_reader_survives_edited_segments(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let original = segment_bytes();
        let mut bytes = original.clone();
        for (at, byte) in edits {
            bytes[at.index(original.len())] = byte;
        }
        bytes.truncate(cut.index(original.len() + 1));
        let (whole, _) = scan_batches(&original.clone().into());
        let (batches, _) = scan_batches(&bytes.into());
        // Whatever is read is a prefix of the truth.
        prop_assert!(batches.len() <= whole.len());
        for (found, known) in batches.iter().zip(&whole) {
            prop_assert_eq!(&found.body, &known.body);
            prop_assert_eq!(found.base_offset, known.base_offset);
        }
    }
}
