use expect_test::expect;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::records::build::{BatchBuilder, retain_records};

const LIMIT: usize = 1 << 20;

type Row = (
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(Vec<u8>, Option<Vec<u8>>)>,
);

fn any_codec() -> impl Strategy<Value = Codec> {
    (0u8..5).prop_map(|number| Codec::of_number(number).unwrap())
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let bytes = || option::of(vec(any::<u8>(), 0..20));
    let header = (vec(any::<u8>(), 0..5), bytes());
    vec((0i64..1 << 45, bytes(), bytes(), vec(header, 0..3)), 1..30)
}

fn build(codec: Codec, rows: &[Row]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for (timestamp, key, value, headers) in rows {
        let headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
            .collect();
        builder.append_with_headers(*timestamp, key.as_deref(), value.as_deref(), &headers);
    }
    builder.build(0)
}

fn rows(records: &Records) -> Vec<Row> {
    records
        .iter()
        .map(|record| {
            let record = record.unwrap();
            let headers = record
                .headers
                .map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)))
                .collect();
            let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            (
                record.timestamp,
                own(record.key),
                own(record.value),
                headers,
            )
        })
        .collect()
}

/// What a broker does with the bytes of a Produce request.
fn accept(bytes: Bytes) -> Result<(), BatchError> {
    for batch in split_batches(bytes)? {
        batch.validate_produced(LIMIT)?;
    }
    Ok(())
}

/// Walks over everything without minding errors.
fn touch(bytes: Bytes) {
    for batch in split_batches(bytes).unwrap_or_default() {
        let _ = batch.validate();
        if let Ok(records) = batch.records(LIMIT) {
            for record in records.iter().flatten() {
                record.headers.count();
            }
            let _ = records.timestamps();
        }
        let _ = retain_records(&batch, |delta| delta % 2 == 0, LIMIT);
    }
}

proptest! {
    #[test]
    fn records_come_back(codec in any_codec(), expected in any_rows()) {
        let bytes = build(codec, &expected);
        let batch = KafkaBatch::new(bytes).unwrap();
        let records = batch.validate_produced(LIMIT).unwrap();
        prop_assert_eq!(rows(&records), expected);
    }

    #[test]
    fn no_truncation_and_no_flipped_bit_is_accepted(
        codec in any_codec(),
        rows in any_rows(),
        place in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let good = build(codec, &rows);
        let at = place.index(good.len());
        if at > 0 {
            prop_assert!(accept(good.slice(..at)).is_err());
        }
        let mut flipped = good.to_vec();
        flipped[at] ^= 1 << bit;
        // The base offset and the leader's epoch are free.
        if !(at < 8 || (12..16).contains(&at)) {
            prop_assert!(accept(flipped.clone().into()).is_err());
        }
        touch(flipped.into());
    }

    #[test]
    fn no_bytes_make_it_panic(
        codec in any_codec(),
        rows in any_rows(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..10),
    ) {
        let mut bytes = build(codec, &rows).to_vec();
        for (place, byte) in changes {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        // With the right checksum, so that it goes on to the records.
        bytes[16] = 2;
        let length = (bytes.len() - LENGTH_PREFIX) as i32;
        bytes[AT_LENGTH..AT_LENGTH + 4].copy_from_slice(&length.to_be_bytes());
        seal(&mut bytes);
        let _ = accept(bytes.clone().into());
        touch(bytes.into());
    }

    #[test]
    fn retained_records_stay_as_they_were(
        codec in any_codec(),
        all in any_rows(),
        mask: u32,
    ) {
        let batch = KafkaBatch::new(build(codec, &all)).unwrap();
        let keep = |delta: i32| mask >> delta & 1 != 0;
        let kept = KafkaBatch::new(retain_records(&batch, keep, LIMIT).unwrap()).unwrap();
        kept.validate().unwrap();
        prop_assert_eq!(kept.last_offset_delta(), batch.last_offset_delta());
        let records = kept.records(LIMIT).unwrap();
        let deltas: Vec<i32> = records.iter().map(|record| record.unwrap().offset_delta).collect();
        let expected: Vec<i32> = (0..all.len() as i32).filter(|delta| keep(*delta)).collect();
        prop_assert_eq!(deltas, expected);
        let expected: Vec<Row> = all
            .into_iter()
            .enumerate()
            .filter(|(at, _)| keep(*at as i32))
            .map(|(_, row)| row)
            .collect();
        prop_assert_eq!(rows(&records), expected);
    }
}

#[test]
fn several_batches_stand_one_behind_the_other() {
    let mut bytes = Vec::new();
    for value in 1..=3 {
        let mut builder = BatchBuilder::new(Codec::None);
        for _ in 0..value {
            builder.append(5, None, Some(b"x"));
        }
        bytes.extend(builder.build(0));
    }
    let counts: Vec<i32> = split_batches(bytes.into())
        .unwrap()
        .iter()
        .map(KafkaBatch::count)
        .collect();
    assert_eq!(counts, [1, 2, 3]);
}

#[test]
fn a_batch_is_laid_out_as_kafka_lays_it_out() {
    let mut builder = BatchBuilder::new(Codec::None).producer(7, 1, 9);
    builder.append(1000, Some(b"k"), Some(b"v"));
    builder.append_with_headers(999, None, None, &[(b"h", Some(b"1")), (b"n", None)]);
    let bytes = builder.build(3);
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expect!["00000000000000030000004800000000029a3120c500000000000100000000000003e800000000000003e800000000000000070001000000090000000210000000026b0276001a00010201010402680231026e01"]
    .assert_eq(&hex.concat());
}

#[test]
fn restamping_keeps_the_checksum_right() {
    let mut bytes = build(Codec::Lz4, &[(5, None, Some(vec![1]), vec![])]).to_vec();
    restamp(&mut bytes, 77, 3);
    stamp_append_time(&mut bytes, 99);
    let batch = KafkaBatch::new(bytes.into()).unwrap();
    let records = batch.validate_produced(LIMIT).unwrap();
    assert_eq!((batch.base_offset(), batch.leader_epoch()), (77, 3));
    assert_eq!(records.timestamps().unwrap(), Some((99, 99)));
}

#[test]
fn what_producers_may_not_send() {
    let mut gap = BatchBuilder::new(Codec::None);
    gap.append(1, None, None);
    gap.skip_to(2);
    gap.append(1, None, None);
    let mut control = BatchBuilder::new(Codec::None).control();
    control.append(1, None, None);
    let mut old = BatchBuilder::new(Codec::None).build(0).to_vec();
    old[16] = 1;
    let mut codec = build(Codec::None, &[(5, None, None, vec![])]).to_vec();
    codec[22] = 6;
    seal(&mut codec);
    let errors: Vec<String> = [
        gap.build(0),
        control.build(0),
        BatchBuilder::new(Codec::None).build(0),
        old.into(),
        codec.into(),
    ]
    .into_iter()
    .map(|bytes| accept(bytes).unwrap_err().to_string())
    .collect();
    expect![[r#"
        a record batch has 2 records up to offset delta 2
        producers may not write control records
        a record batch has 0 records up to offset delta 0
        record batches of format 1 are not supported, only format 2
        compression type 6 is not known"#]]
    .assert_eq(&errors.join("\n"));
}
