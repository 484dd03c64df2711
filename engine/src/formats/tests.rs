//! Decoding and encoding whole rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::util::pretty::pretty_format_batches;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use expect_test::{Expect, expect};
use proptest::prelude::*;
use sql::ast::{CopyFormat, CopyHeader, CopyOptions};

use super::{RowDecoder, RowEncoder, Zone};
use crate::error::Error;

fn flights() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("carrier", DataType::Utf8, true),
        Field::new("flight", DataType::Int32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]))
}

fn options(format: CopyFormat) -> CopyOptions {
    CopyOptions {
        format,
        ..CopyOptions::default()
    }
}

fn decode_pieces(
    schema: SchemaRef,
    options: &CopyOptions,
    pieces: &[&[u8]],
) -> Result<RecordBatch, Error> {
    let mut decoder = RowDecoder::new("flights", schema.clone(), options, Zone::UTC);
    let mut batches = Vec::new();
    for piece in pieces {
        batches.extend(decoder.decode(piece)?);
    }
    batches.extend(decoder.finish()?);
    Ok(concat_batches(&schema, &batches).expect("batches of one schema"))
}

fn show(result: Result<RecordBatch, Error>) -> String {
    match result {
        Ok(batch) => format!("{}\n", pretty_format_batches(&[batch]).expect("a table")),
        Err(Error::Data(error)) => {
            format!(
                "{:?}: {}\n{}\n",
                error.kind,
                error.message,
                error.context.unwrap_or_default()
            )
        }
        Err(other) => format!("{other:?}\n"),
    }
}

fn check(options: &CopyOptions, input: &str, expected: Expect) {
    let whole = show(decode_pieces(flights(), options, &[input.as_bytes()]));
    let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
    assert_eq!(
        show(decode_pieces(flights(), options, &bytes)),
        whole,
        "byte by byte"
    );
    expected.assert_eq(&whole);
}

#[test]
fn csv_by_postgres_rules() {
    check(
        &options(CopyFormat::Csv),
        "UA,1545,2013-01-01 05:15:00\r\n\"A\"\"A\",,\n\"\",7,\"2013-01-01\"\n,8,\n\"two\nlines\",9,\n a\"b,c\"d ,10,\nlast,11,2013-01-01T05:00Z",
        expect![[r#"
            +---------+--------+---------------------+
            | carrier | flight | at                  |
            +---------+--------+---------------------+
            | UA      | 1545   | 2013-01-01T05:15:00 |
            | A"A     |        |                     |
            |         | 7      | 2013-01-01T00:00:00 |
            |         | 8      |                     |
            | two     | 9      |                     |
            | lines   |        |                     |
            |  ab,cd  | 10     |                     |
            | last    | 11     | 2013-01-01T05:00:00 |
            +---------+--------+---------------------+
        "#]],
    );
}

#[test]
fn csv_with_other_characters() {
    let options = CopyOptions {
        format: CopyFormat::Csv,
        header: CopyHeader::Match,
        delimiter: Some(b';'),
        null: Some("NA".to_owned()),
        quote: Some(b'\''),
        escape: Some(b'\\'),
    };
    check(
        &options,
        "carrier;flight;at\n'a;\\'b';NA;NA\n'NA';1;NA\n;2;NA\n\\.\nignored",
        expect![[r#"
        +---------+--------+----+
        | carrier | flight | at |
        +---------+--------+----+
        | a;'b    |        |    |
        | NA      | 1      |    |
        |         | 2      |    |
        +---------+--------+----+
    "#]],
    );
    check(
        &options,
        "carrier;flights;at\n",
        expect![[r#"
        BadCopyFormat: column name mismatch in header line field 2: got "flights", expected "flight"
        COPY flights, line 1: "carrier;flights;at"
    "#]],
    );
    check(
        &options,
        "carrier;flight\n",
        expect![[r#"
        BadCopyFormat: wrong number of fields in header line: got 2, expected 3
        COPY flights, line 1: "carrier;flight"
    "#]],
    );
}

#[test]
fn csv_that_is_wrong() {
    let csv = options(CopyFormat::Csv);
    check(
        &csv,
        "UA,1,\nUA,x,\n",
        expect![[r#"
        InvalidText: invalid input syntax for type integer: "x"
        COPY flights, line 2, column flight: "x"
    "#]],
    );
    check(
        &csv,
        "UA,99999999999,\n",
        expect![[r#"
        NumericOutOfRange: value "99999999999" is out of range for type integer
        COPY flights, line 1, column flight: "99999999999"
    "#]],
    );
    check(
        &csv,
        "UA,1,2013-02-30\n",
        expect![[r#"
        DatetimeOverflow: date/time field value out of range: "2013-02-30"
        COPY flights, line 1, column at: "2013-02-30"
    "#]],
    );
    check(
        &csv,
        "UA,1,NA\n",
        expect![[r#"
        InvalidDatetime: invalid input syntax for type timestamp: "NA"
        COPY flights, line 1, column at: "NA"
    "#]],
    );
    check(
        &csv,
        "UA,1\n",
        expect![[r#"
        BadCopyFormat: missing data for column "at"
        COPY flights, line 1: "UA,1"
    "#]],
    );
    check(
        &csv,
        "\"x\ny\",1,\nUA,1,,2\n",
        expect![[r#"
        BadCopyFormat: extra data after last expected column
        COPY flights, line 3: "UA,1,,2"
    "#]],
    );
    check(
        &csv,
        "\n",
        expect![[r#"
        BadCopyFormat: missing data for column "flight"
        COPY flights, line 1: ""
    "#]],
    );
    check(
        &csv,
        "UA,\"1,\n",
        expect![[r#"
        BadCopyFormat: unterminated CSV quoted field
        COPY flights, line 1: "UA,"1,"
    "#]],
    );
    let bad: &[&[u8]] = &[b"ok,1,\nU\xff,1,\n"];
    expect![[r#"
        InvalidByteSequence: invalid byte sequence for encoding "UTF8": 0xff
        COPY flights, line 2, column carrier: "U�"
    "#]]
    .assert_eq(&show(decode_pieces(flights(), &csv, bad)));
    // Two cells that are UTF-8 only together.
    let bad: &[&[u8]] = &[b"\"\"\"\xc3\",1,\n\"\"\"\xa9\",1,\n"];
    expect![[r#"
        InvalidByteSequence: invalid byte sequence for encoding "UTF8": 0xc3
        COPY flights, line 1, column carrier: ""�"
    "#]]
    .assert_eq(&show(decode_pieces(flights(), &csv, bad)));
}

#[test]
fn text_by_postgres_rules() {
    let text = options(CopyFormat::Text);
    check(
        &text,
        "UA\t1545\t2013-01-01 05:15:00\n\\N\t\\N\t\\N\na\\tb\\\\\\x41\\101\\q\t1\t\\N\r\n\t2\t\\N\ntwo\\\nlines\t3\t\\N\n\\.\nignored\n",
        expect![[r#"
            +---------+--------+---------------------+
            | carrier | flight | at                  |
            +---------+--------+---------------------+
            | UA      | 1545   | 2013-01-01T05:15:00 |
            |         |        |                     |
            | a	b\AAq | 1      |                     |
            |         | 2      |                     |
            | two     | 3      |                     |
            | lines   |        |                     |
            +---------+--------+---------------------+
        "#]],
    );
    check(
        &text,
        "UA\t\t\n",
        expect![[r#"
        InvalidText: invalid input syntax for type integer: ""
        COPY flights, line 1, column flight: ""
    "#]],
    );
    check(
        &text,
        "UA\n",
        expect![[r#"
        BadCopyFormat: missing data for column "flight"
        COPY flights, line 1: "UA"
    "#]],
    );
    check(
        &text,
        "UA\t1\t\\N\tx\n",
        expect![[r#"
        BadCopyFormat: extra data after last expected column
        COPY flights, line 1: "UA	1	\N	x"
    "#]],
    );
    check(
        &CopyOptions {
            header: CopyHeader::Present,
            ..text
        },
        "a\tb\tc\tand more\nUA\t1\t\\N\n",
        expect![[r#"
        +---------+--------+----+
        | carrier | flight | at |
        +---------+--------+----+
        | UA      | 1      |    |
        +---------+--------+----+
    "#]],
    );
}

#[test]
fn json_lines() {
    let json = options(CopyFormat::Json);
    check(
        &json,
        "{\"carrier\":\"UA\",\"flight\":1545,\"at\":\"2013-01-01T05:15:00\"}\n\n{\"FLIGHT\":\"7\",\"extra\":{\"x\":[1]}}\n  {\"at\":null,\"carrier\":\"a\\\"\\u00e9\"} \r\n{\"carrier\":{\"nested\": [1, 2]}}\n{\"carrier\":true,\"carrier\":1.50}\n{}\n\\.\nignored",
        expect![[r#"
            +--------------------+--------+---------------------+
            | carrier            | flight | at                  |
            +--------------------+--------+---------------------+
            | UA                 | 1545   | 2013-01-01T05:15:00 |
            |                    | 7      |                     |
            | a"é                |        |                     |
            | {"nested": [1, 2]} |        |                     |
            | 1.50               |        |                     |
            |                    |        |                     |
            +--------------------+--------+---------------------+
        "#]],
    );
    check(
        &json,
        "{\"flight\":1.5}\n",
        expect![[r#"
        InvalidText: invalid input syntax for type integer: "1.5"
        COPY flights, line 1, column flight: "1.5"
    "#]],
    );
    check(
        &json,
        "{\"flight\":1}\n{\"flight\":\n",
        expect![[r#"
        InvalidJson: invalid input syntax for type json: EOF while parsing a value at character 10
        COPY flights, line 2: "{"flight":"
    "#]],
    );
    check(
        &json,
        "[1]\n",
        expect![[r#"
        InvalidJson: invalid input syntax for type json: invalid type: sequence, expected a JSON object at character 0
        COPY flights, line 1: "[1]"
    "#]],
    );
    check(
        &json,
        "{\"flight\":1} x\n",
        expect![[r#"
        InvalidJson: invalid input syntax for type json: trailing characters at character 14
        COPY flights, line 1: "{"flight":1} x"
    "#]],
    );
}

#[test]
fn columns_that_are_not_nullable() {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
    let result = decode_pieces(schema, &options(CopyFormat::Csv), &[b"1\n\n3\n"]);
    let Err(Error::Statement(error)) = result else {
        panic!("{result:?}")
    };
    expect![[r#"
        null value in column "id" of relation "flights" violates not-null constraint
        line 2: """#]]
    .assert_eq(&format!(
        "{}\n{}",
        error.message,
        error.detail.unwrap_or_default()
    ));
}

#[test]
fn long_input_comes_in_batches() {
    let mut decoder = RowDecoder::new("flights", flights(), &options(CopyFormat::Csv), Zone::UTC);
    let line = b"UA,1545,2013-01-01 05:15:00\n";
    let mut rows = 0;
    for _ in 0..20_000 {
        for batch in decoder.decode(line).expect("good rows") {
            rows += batch.num_rows();
            assert_eq!(batch.num_rows(), 8192);
        }
    }
    assert_eq!(rows, 16384);
    assert_eq!(decoder.pending_rows(), 20_000 - rows);
    assert_eq!(
        decoder
            .flush()
            .expect("good rows")
            .map(|batch| batch.num_rows()),
        Some(20_000 - rows)
    );
    assert!(decoder.finish().expect("nothing left").is_empty());
}

#[test]
fn a_long_row_in_small_pieces_is_not_read_again_and_again() {
    let mut decoder = RowDecoder::new("flights", flights(), &options(CopyFormat::Csv), Zone::UTC);
    let piece = [b'x'; 64];
    decoder.decode(b"\"").expect("part of a row");
    for _ in 0..100_000 {
        decoder.decode(&piece).expect("part of a row");
    }
    decoder
        .decode(b"\",1,\nUA,2,\n")
        .expect("the end of the row");
    let rows: usize = decoder
        .finish()
        .expect("two rows")
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    assert_eq!(rows, 2);
}

fn encode(batch: &RecordBatch, options: &CopyOptions) -> String {
    let mut encoder = RowEncoder::new(batch.schema(), options, Zone::UTC);
    let mut bytes = encoder
        .header()
        .map(|data| data.bytes.to_vec())
        .unwrap_or_default();
    let data = encoder.encode(batch).expect("rows");
    assert_eq!(data.rows, batch.num_rows() as u64);
    assert_eq!(data.ends.len(), batch.num_rows());
    bytes.extend_from_slice(&data.bytes);
    String::from_utf8(bytes).expect("UTF-8")
}

fn words(words: Vec<Option<&str>>) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..words.len() as i64));
    let words: ArrayRef = Arc::new(StringArray::from(words));
    RecordBatch::try_from_iter_with_nullable([("a word", words, true), ("n", numbers, true)])
        .expect("a batch")
}

#[test]
fn rows_are_written() {
    let batch = words(vec![
        Some("plain"),
        None,
        Some(""),
        Some("a,b\"c"),
        Some("tab\tnew\nline\\"),
        Some("\\N"),
    ]);
    let header = |format| CopyOptions {
        header: CopyHeader::Present,
        ..options(format)
    };
    expect![[r#"
        a word	n
        plain	0
        \N	1
        	2
        a,b"c	3
        tab\tnew\nline\\	4
        \\N	5
    "#]]
    .assert_eq(&encode(&batch, &header(CopyFormat::Text)));
    expect![[r#"
        a word,n
        plain,0
        ,1
        "",2
        "a,b""c",3
        "tab	new
        line\",4
        \N,5
    "#]]
    .assert_eq(&encode(&batch, &header(CopyFormat::Csv)));
    expect![[r#"
        {"a word":"plain","n":0}
        {"a word":null,"n":1}
        {"a word":"","n":2}
        {"a word":"a,b\"c","n":3}
        {"a word":"tab\tnew\nline\\","n":4}
        {"a word":"\\N","n":5}
    "#]]
    .assert_eq(&encode(&batch, &header(CopyFormat::Json)));
    let odd = CopyOptions {
        delimiter: Some(b'|'),
        null: Some("NA".to_owned()),
        quote: Some(b'\''),
        escape: Some(b'\\'),
        ..options(CopyFormat::Csv)
    };
    expect![[r#"
        'NA'|0
        NA|1
        'a|\'b\\'|2
        a,b|3
    "#]]
    .assert_eq(&encode(
        &words(vec![Some("NA"), None, Some("a|'b\\"), Some("a,b")]),
        &odd,
    ));
}

fn any_format() -> impl Strategy<Value = CopyOptions> {
    prop_oneof![
        Just(options(CopyFormat::Text)),
        Just(options(CopyFormat::Csv)),
        Just(options(CopyFormat::Json)),
        Just(CopyOptions {
            escape: Some(b'\\'),
            quote: Some(b'\''),
            null: Some("NA".into()),
            ..options(CopyFormat::Csv)
        }),
        Just(CopyOptions {
            delimiter: Some(b'|'),
            null: Some(String::new()),
            ..options(CopyFormat::Text)
        }),
    ]
}

proptest! {
    /// What is written can be read, however it is cut.
    #[test]
    fn rows_come_back(
        texts in prop::collection::vec(prop::option::of("[a-c,|'\"\\\\\t\n\r NA.é]{0,6}"), 1..8),
        options in any_format(),
        cuts in prop::collection::vec(1usize..9, 1..20),
    ) {
        // With the empty string for NULL the text format cannot tell them apart.
        let texts: Vec<Option<String>> = if options.null.as_deref() == Some("") {
            texts.into_iter().map(|text| text.filter(|text| !text.is_empty())).collect()
        } else {
            texts
        };
        let batch = words(texts.iter().map(Option::as_deref).collect());
        let bytes = encode(&batch, &options);
        let mut pieces = Vec::new();
        let mut rest = bytes.as_bytes();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        let back = decode_pieces(batch.schema(), &options, &pieces);
        prop_assert_eq!(show(back), show(Ok(batch)), "{}", bytes);
    }

    #[test]
    fn no_bytes_are_too_strange(
        bytes in prop::collection::vec(prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\\'), Just(b'{'), Just(b'.'), any::<u8>()], 0..60),
        options in any_format(),
    ) {
        let whole = show(decode_pieces(flights(), &options, &[&bytes]));
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(show(decode_pieces(flights(), &options, &single)), whole);
    }
}
