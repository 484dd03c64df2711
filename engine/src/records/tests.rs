//! Records in, rows out, and records again, as text.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::catalog::{LOG_ROWTIME, LOG_WEIGHT, RelationKind};
use crate::formats::{self, Zone};

/// A relation: `name type` of its columns, those of the key marked with `key`.
struct Relation {
    format: RecordFormat,
    schema: SchemaRef,
    kind: RelationKind,
    timestamp: Option<usize>,
}

fn data_type(name: &str) -> DataType {
    let list = |item: &str| DataType::List(Arc::new(Field::new("item", data_type(item), true)));
    match name {
        "boolean" => DataType::Boolean,
        "smallint" => DataType::Int16,
        "int" => DataType::Int32,
        "bigint" => DataType::Int64,
        "real" => DataType::Float32,
        "double" => DataType::Float64,
        "decimal" => DataType::Decimal128(6, 4),
        "string" | "json" | "uuid" => DataType::Utf8,
        "bytes" => DataType::Binary,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "headers" => list("header"),
        "header" => DataType::Struct(
            vec![
                Field::new("KEY", DataType::Utf8, true),
                Field::new("VALUE", DataType::Binary, true),
            ]
            .into(),
        ),
        "point" => DataType::Struct(
            vec![
                Field::new("X", DataType::Int32, true),
                Field::new("Y", list("string").clone(), true),
            ]
            .into(),
        ),
        other => {
            if let Some(item) = other.strip_suffix("[]") {
                return list(item);
            }
            let value = other.strip_prefix("map:").expect("a type");
            DataType::Map(
                Arc::new(Field::new(
                    "entries",
                    DataType::Struct(
                        vec![
                            Field::new("key", DataType::Utf8, false),
                            Field::new("value", data_type(value), true),
                        ]
                        .into(),
                    ),
                    false,
                )),
                false,
            )
        }
    }
}

fn relation(kind: RelationKind, columns: &[&str]) -> Relation {
    let mut fields = Vec::new();
    let mut format = RecordFormat::default();
    for (at, column) in columns.iter().enumerate() {
        let mut words = column.split(' ');
        let name = words.next().unwrap();
        let type_name = words.next().unwrap();
        let mut field = Field::new(name, data_type(type_name), true);
        if matches!(type_name, "json" | "uuid") {
            let logical = (formats::LOGICAL_TYPE.to_owned(), type_name.to_owned());
            field = field.with_metadata([logical].into());
        }
        fields.push(field);
        match words.next() {
            Some("key") => format.key_columns.push(at),
            Some("header") => format.headers.push(HeaderColumn {
                column: at,
                name: words.next().map(str::to_owned),
            }),
            _ => {}
        }
    }
    fields.push(Field::new(LOG_ROWTIME, DataType::Int64, true));
    if kind == RelationKind::Table {
        fields.push(Field::new(LOG_WEIGHT, DataType::Int8, true));
    }
    Relation {
        format,
        schema: Arc::new(Schema::new(fields)),
        kind,
        timestamp: None,
    }
}

fn stream(columns: &[&str]) -> Relation {
    relation(RelationKind::Stream, columns)
}

fn table(columns: &[&str]) -> Relation {
    relation(RelationKind::Table, columns)
}

impl Relation {
    fn formats(mut self, key: Format, value: Format) -> Self {
        self.format.key = key;
        self.format.value = value;
        self
    }

    fn bare(mut self) -> Self {
        self.format.wrap_single_value = false;
        self
    }

    fn timestamp(mut self, column: usize, pattern: Option<&str>) -> Self {
        self.timestamp = Some(column);
        self.format.timestamp_format = pattern.map(str::to_owned);
        self
    }

    fn window(mut self, window: KeyWindow) -> Self {
        self.format.window = Some(window);
        self
    }

    fn decoder(&self) -> RecordDecoder {
        RecordDecoder::new(&self.format, self.schema.clone(), self.kind, self.timestamp).unwrap()
    }
}

type Input<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

fn batch(records: &[Input<'_>]) -> KafkaBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    for (at, (key, value)) in records.iter().enumerate() {
        builder.append(at as i64, *key, *value);
    }
    KafkaBatch::new(builder.build(100)).unwrap()
}

fn show(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".into(),
        Some(bytes) => bytes.escape_ascii().to_string().replace("\\\"", "\""),
    }
}

/// What became of the records, and the records that are made of that.
fn draw(relation: &Relation, batch: &KafkaBatch) -> String {
    let mut decoder = relation.decoder();
    decoder.push_batch(batch, 1 << 20).unwrap();
    let decoded = decoder.finish().unwrap();
    let mut out = String::new();
    let columns: Vec<formats::Column> = decoded
        .rows
        .columns()
        .iter()
        .zip(decoded.rows.schema().fields())
        .map(|(array, field)| formats::Column::new(array, field, &Zone::UTC).unwrap())
        .collect();
    let mut builder = BatchBuilder::new(Codec::None);
    let encoder = RecordEncoder::new(&relation.format, &relation.schema, relation.kind);
    encoder
        .encode(&decoded.rows, decoded.windows.as_ref(), &mut builder)
        .unwrap();
    let encoded = KafkaBatch::new(builder.build(0)).unwrap();
    let encoded = encoded.records(1 << 20).unwrap();
    let mut encoded = encoded.iter();
    let mut errors = decoded.errors.iter().peekable();
    for (row, offset) in decoded.offsets.iter().enumerate() {
        while let Some(error) = errors.next_if(|error| error.offset < *offset) {
            writeln!(out, "{} {}: {}", error.offset, error.part, error.reason).unwrap();
        }
        let mut text = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                text.extend(b" | ");
            }
            match column.is_null(row) {
                true => text.extend(b"NULL"),
                false => column.write_text(row, &mut text),
            }
        }
        if let Some(windows) = &decoded.windows {
            let window = format!(
                " @{}..{}",
                windows.starts.value(row),
                windows.ends.value(row)
            );
            text.extend(window.as_bytes());
        }
        let record = encoded.next().unwrap().unwrap();
        let text = String::from_utf8(text).unwrap();
        let (key, value) = (show(record.key), show(record.value));
        writeln!(out, "{offset} {text} => {key} {value}").unwrap();
    }
    for error in errors {
        writeln!(out, "{} {}: {}", error.offset, error.part, error.reason).unwrap();
    }
    if decoded.passed_over > 0 {
        writeln!(out, "{} passed over", decoded.passed_over).unwrap();
    }
    out
}

fn check(relation: &Relation, records: &[Input<'_>], expected: Expect) {
    expected.assert_eq(&draw(relation, &batch(records)));
}

/// Records with values only.
fn check_values(relation: &Relation, values: &[&str], expected: Expect) {
    let records: Vec<Input<'_>> = values
        .iter()
        .map(|value| (None, Some(value.as_bytes())))
        .collect();
    check(relation, &records, expected);
}

#[test]
fn json_members_are_found_by_name() {
    check_values(
        &stream(&["ID bigint", "name string", "Total double"]),
        &[
            r#"{"id": 1, "name": "a", "total": 1.5}"#,
            r#" { "TOTAL" : 2 , "x" : [ {"y": null} ] , "ID" : 2 } "#,
            r#"{"ID": 3, "id": 4, "Id": 5, "name": "b", "NAME": "c", "name": "d"}"#,
            r#"{"id": 6, "Id": 7}"#,
            r#"{"\u0069d": 8}"#,
            "{}",
            "null",
            "[]",
            "5",
            "",
            "{\"id\": 1",
            "{\"id\": 1} x",
            "{\"id\": 01}",
            "{\"name\": \"\x01\"}",
        ],
        expect![[r#"
            100 1 | a | 1.5 | 0 => null {"ID":1,"name":"a","Total":1.5}
            101 2 | NULL | 2 | 1000 => null {"ID":2,"name":null,"Total":2.0}
            102 3 | d | NULL | 2000 => null {"ID":3,"name":"d","Total":null}
            103 6 | NULL | NULL | 3000 => null {"ID":6,"name":null,"Total":null}
            104 8 | NULL | NULL | 4000 => null {"ID":8,"name":null,"Total":null}
            105 NULL | NULL | NULL | 5000 => null {"ID":null,"name":null,"Total":null}
            107 value: cannot convert an array to a record
            108 value: cannot convert a number to a record
            109 value: invalid JSON at byte 0: the text ends early
            110 value: invalid JSON at byte 8: the text ends early
            111 value: invalid JSON at byte 10: something stands behind the value
            112 value: invalid JSON at byte 7: a number is not written as JSON has it at $.id
            113 value: invalid JSON at byte 10: a control character stands in a string at $.name
            1 passed over
        "#]],
    );
}

#[test]
fn json_values_are_coerced() {
    check_values(
        &stream(&["I int", "L bigint", "D double", "B boolean", "S string"]),
        &[
            r#"{"i": "12", "l": "-7", "d": "1e3", "b": true, "s": 12}"#,
            r#"{"i": 1.9, "l": -1.9, "d": 3, "s": true}"#,
            r#"{"i": 1e2, "l": 9223372036854775807, "d": "NaN", "s": 1.10}"#,
            r#"{"s": {"b": 1.0, "a": [1, "x", null, {"d": 1, "c": 2}]}, "d": "-Infinity"}"#,
            r#"{"s": [1, "x", null, {"b": 1, "a": "2"}], "d": 1e10}"#,
            r#"{"s": "tab\t \"q\" \u00e9 \ud83d\ude00 \ud83d"}"#,
            r#"{"i": "x"}"#,
            r#"{"i": 2147483648}"#,
            r#"{"i": true}"#,
            r#"{"l": 9223372036854775808}"#,
            r#"{"b": "true"}"#,
            r#"{"b": 1}"#,
            r#"{"d": {}}"#,
            r#"{"i": [1]}"#,
        ],
        expect![[r#"
            100 12 | -7 | 1000 | t | 12 | 0 => null {"I":12,"L":-7,"D":1000.0,"B":true,"S":"12"}
            101 1 | -1 | 3 | NULL | true | 1000 => null {"I":1,"L":-1,"D":3.0,"B":null,"S":"true"}
            102 100 | 9223372036854775807 | NaN | NULL | 1.10 | 2000 => null {"I":100,"L":9223372036854775807,"D":"NaN","B":null,"S":"1.10"}
            103 NULL | NULL | -Infinity | NULL | {"a":[1,"x",null,{"c":2,"d":1}],"b":1.0} | 3000 => null {"I":null,"L":null,"D":"-Infinity","B":null,"S":"{\\"a\\":[1,\\"x\\",null,{\\"c\\":2,\\"d\\":1}],\\"b\\":1.0}"}
            104 NULL | NULL | 10000000000 | NULL | [1, x, null, {"a":"2","b":1}] | 4000 => null {"I":null,"L":null,"D":1.0E10,"B":null,"S":"[1, x, null, {\\"a\\":\\"2\\",\\"b\\":1}]"}
            105 NULL | NULL | NULL | NULL | tab	 "q" é 😀 ? | 5000 => null {"I":null,"L":null,"D":null,"B":null,"S":"tab\\t \\"q\\" \xc3\xa9 \xf0\x9f\x98\x80 ?"}
            106 value: invalid input syntax for type integer: "x" at $.i
            107 value: 2147483648 is out of range for type integer at $.i
            108 value: cannot convert a boolean to integer at $.i
            109 value: 9223372036854775808 is out of range for type bigint at $.l
            110 value: cannot convert a string to boolean at $.b
            111 value: cannot convert a number to boolean at $.b
            112 value: cannot convert an object to double precision at $.d
            113 value: cannot convert an array to integer at $.i
        "#]],
    );
}

#[test]
fn json_decimals_dates_and_bytes() {
    check_values(
        &stream(&[
            "D decimal",
            "DATE date",
            "TIME time",
            "TS timestamp",
            "B bytes",
            "J json",
            "U uuid",
        ]),
        &[
            r#"{"d": 10, "date": 10, "time": 10, "ts": 10, "b": "ew==", "j": {"a": 1}, "u": "A0EEBC999C0B4EF8BB6D6BB9BD380A11"}"#,
            r#"{"d": "0.0001", "date": "-10", "time": "5", "ts": "-1500", "b": "", "j": "x"}"#,
            r#"{"d": 1.10000, "date": "2001-02-03", "time": "01:02:03", "ts": "2001-02-03T04:05:06", "j": null}"#,
            r#"{"d": 0.00001}"#,
            r#"{"d": 100}"#,
            r#"{"d": 99.9999}"#,
            r#"{"d": 1e1}"#,
            r#"{"d": "x"}"#,
            r#"{"d": true}"#,
            r#"{"b": "%"}"#,
            r#"{"b": 1}"#,
            r#"{"ts": "soon"}"#,
            r#"{"time": 86400001}"#,
            r#"{"u": "x"}"#,
        ],
        expect![[r#"
            100 10.0000 | 1970-01-11 | 00:00:00.01 | 1970-01-01 00:00:00.01 | \x7b | {"a": 1} | a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 | 0 => null {"D":10.0000,"DATE":10,"TIME":10,"TS":10,"B":"ew==","J":{"a": 1},"U":"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}
            101 0.0001 | 1969-12-22 | 00:00:00.005 | 1969-12-31 23:59:58.5 | \x | "x" | NULL | 1000 => null {"D":0.0001,"DATE":-10,"TIME":5,"TS":-1500,"B":"","J":"x","U":null}
            102 1.1000 | 2001-02-03 | 01:02:03 | 2001-02-03 04:05:06 | NULL | NULL | NULL | 2000 => null {"D":1.1000,"DATE":11356,"TIME":3723000,"TS":981173106000,"B":null,"J":null,"U":null}
            103 value: 0.00001 does not fit numeric(6,4) without rounding at $.d
            104 value: 100 does not fit numeric(6,4) without rounding at $.d
            105 99.9999 | NULL | NULL | NULL | NULL | NULL | NULL | 5000 => null {"D":99.9999,"DATE":null,"TIME":null,"TS":null,"B":null,"J":null,"U":null}
            106 10.0000 | NULL | NULL | NULL | NULL | NULL | NULL | 6000 => null {"D":10.0000,"DATE":null,"TIME":null,"TS":null,"B":null,"J":null,"U":null}
            107 value: invalid input syntax for type numeric: "x" at $.d
            108 value: cannot convert a boolean to numeric at $.d
            109 value: bytes are not written in base64 at $.b
            110 value: cannot convert a number to bytea at $.b
            111 value: invalid input syntax for type timestamp: "soon" at $.ts
            112 value: 86400001 is out of range for type time at $.time
            113 value: invalid input syntax for type uuid: "x" at $.u
        "#]],
    );
}

#[test]
fn json_nested_values() {
    check_values(
        &stream(&["P point", "A int[]", "M map:double", "PS point[]"]),
        &[
            r#"{"p": {"x": 1, "y": ["a", 2]}, "a": [1, null, "3"], "m": {"k": 1.5, "l": null}, "ps": [{"x": 1}, null, {}]}"#,
            r#"{"p": {"x": 1, "X": 2, "y": null}, "a": [], "m": {"k": 1, "k": 2, "j": 3}, "ps": []}"#,
            r#"{"p": null, "a": null}"#,
            r#"{"p": 1}"#,
            r#"{"a": {"b": 1}}"#,
            r#"{"a": [1, "x"]}"#,
            r#"{"ps": [{"x": 1}, {"x": "y"}]}"#,
            r#"{"m": {"k": 1, "l": "x"}}"#,
            r#"{"m": [1]}"#,
            r#"{"p": {"y": [[1], {}]}}"#,
        ],
        expect![[r#"
            100 {"X":1,"Y":["a","2"]} | {1,NULL,3} | {"k":1.5,"l":null} | {"{\"X\":1,\"Y\":null}",NULL,"{\"X\":null,\"Y\":null}"} | 0 => null {"P":{"X":1,"Y":["a","2"]},"A":[1,null,3],"M":{"k":1.5,"l":null},"PS":[{"X":1,"Y":null},null,{"X":null,"Y":null}]}
            101 {"X":2,"Y":null} | {} | {"k":2,"j":3} | {} | 1000 => null {"P":{"X":2,"Y":null},"A":[],"M":{"k":2.0,"j":3.0},"PS":[]}
            102 NULL | NULL | NULL | NULL | 2000 => null {"P":null,"A":null,"M":null,"PS":null}
            103 value: cannot convert a number to struct at $.p
            104 value: cannot convert an object to array at $.a
            105 value: invalid input syntax for type integer: "x" at $.a[1]
            106 value: invalid input syntax for type integer: "y" at $.ps[1].x
            107 value: invalid input syntax for type double precision: "x" at $.m['l']
            108 value: cannot convert an array to map at $.m
            109 {"X":null,"Y":["[1]","{}"]} | NULL | NULL | NULL | 9000 => null {"P":{"X":null,"Y":["[1]","{}"]},"A":null,"M":null,"PS":null}
        "#]],
    );
}

#[test]
fn json_without_an_object() {
    check_values(
        &stream(&["V decimal"]).bare(),
        &["10.1", "\"1\"", " null ", "{\"v\": 1}"],
        expect![[r#"
            100 10.1000 | 0 => null 10.1000
            101 1.0000 | 1000 => null 1.0000
            103 value: cannot convert an object to numeric
            1 passed over
        "#]],
    );
    check_values(
        &stream(&["V string[]"]).bare(),
        &["[\"a\", 2, null]", "[]", "1"],
        expect![[r#"
            100 {a,2,NULL} | 0 => null ["a","2",null]
            101 {} | 1000 => null []
            102 value: cannot convert a number to array
        "#]],
    );
    check_values(
        &stream(&["V point"]).bare(),
        &["{\"x\": 1}", "{\"x\": \"a\"}"],
        expect![[r#"
            100 {"X":1,"Y":null} | 0 => null {"X":1,"Y":null}
            101 value: invalid input syntax for type integer: "a" at $.x
        "#]],
    );
}

#[test]
fn null_values_of_streams_and_tables() {
    let records: &[Input<'_>] = &[
        (Some(b"a"), Some(b"{\"v\": 1}")),
        (Some(b"a"), None),
        (None, Some(b"{\"v\": 2}")),
        (None, None),
        (Some(b""), Some(b"null")),
    ];
    check(
        &stream(&["K string key", "V int"]),
        records,
        expect![[r#"
        100 a | 1 | 0 => a {"V":1}
        102 NULL | 2 | 2000 => null {"V":2}
        3 passed over
    "#]],
    );
    check(
        &table(&["K string key", "V int"]),
        records,
        expect![[r#"
        100 a | 1 | 0 | 1 => a {"V":1}
        101 a | NULL | 1000 | -1 => a null
        104  | NULL | 4000 | -1 =>  null
        2 passed over
    "#]],
    );
    let relation = stream(&["K string key", "V int"]);
    let mut decoder = relation.decoder().keep_marks();
    decoder.push_batch(&batch(records), 1 << 20).unwrap();
    let decoded = decoder.finish().unwrap();
    assert_eq!(decoded.offsets, [100, 101, 102, 103, 104]);
    let marks = decoded.marks.unwrap();
    let null_values: Vec<bool> = (marks.iter())
        .map(|mark| mark.is_some_and(|mark| Mark::read(mark).unwrap().null_value))
        .collect();
    assert_eq!(null_values, [false, true, false, true, true]);
}

#[test]
fn keys_of_json() {
    let several =
        table(&["A int key", "B string key", "V int"]).formats(Format::Json, Format::Json);
    let records: &[Input<'_>] = &[
        (Some(b"{\"a\": 1, \"b\": \"x\"}"), Some(b"{\"v\": 1}")),
        (Some(b"{\"b\": null}"), Some(b"{\"v\": 1}")),
        (Some(b"null"), Some(b"{\"v\": 1}")),
        (Some(b"1"), Some(b"{\"v\": 1}")),
    ];
    check(
        &several,
        records,
        expect![[r#"
        100 1 | x | 1 | 0 | 1 => {"A":1,"B":"x"} {"V":1}
        101 NULL | NULL | 1 | 1000 | 1 => null {"V":1}
        103 key: cannot convert a number to a record
        1 passed over
    "#]],
    );
    let one = stream(&["A bigint key", "V int"]).formats(Format::Json, Format::Json);
    let records: &[Input<'_>] = &[
        (Some(b"998877665544332211"), Some(b"{\"v\": 1}")),
        (Some(b"null"), Some(b"{\"v\": 1}")),
        (Some(b"{\"a\": 1}"), Some(b"{\"v\": 1}")),
    ];
    check(
        &one,
        records,
        expect![[r#"
        100 998877665544332211 | 1 | 0 => 998877665544332211 {"V":1}
        101 NULL | 1 | 1000 => null {"V":1}
        102 key: cannot convert an object to bigint
    "#]],
    );
}

#[test]
fn delimited_values() {
    check_values(
        &stream(&["ID bigint", "NAME string", "D decimal", "B boolean"])
            .formats(Format::Kafka, Format::Delimited),
        &[
            "1,a,1.5,true",
            "-1,\"b,\"\"c\"\"\",.5,no",
            "\"2\",,,",
            "1,2,3",
            "1,2,3,4,5",
            "x,a,1,true",
            "1.5,a,1,true",
            "1,a,1.23456,true",
            "",
            "\"1,a,1,true",
        ],
        expect![[r#"
            100 1 | a | 1.5000 | t | 0 => null 1,a,1.5000,true
            101 -1 | b,"c" | 0.5000 | f | 1000 => null "-1","b,""c""",0.5000,false
            102 2 | NULL | NULL | NULL | 2000 => null 2,,,
            103 value: the record has 3 fields, not 4
            104 value: the record has 5 fields, not 4
            105 value: invalid input syntax for type bigint: "x" at $[0]
            106 value: invalid input syntax for type bigint: "1.5" at $[0]
            107 value: 1.23456 does not fit numeric(6,4) without rounding at $[2]
            108 value: there are no fields in the record
            109 value: a quoted field does not end
        "#]],
    );
    check_values(
        &stream(&["D double", "T timestamp", "BY bytes", "DA date"])
            .formats(Format::Kafka, Format::Delimited),
        &["1e10,10,ew==,-10", "0.1,-10,,1"],
        expect![[r#"
            100 10000000000 | 1970-01-01 00:00:00.01 | \x7b | 1969-12-22 | 0 => null 1.0E10,10,ew==,-10
            101 0.1 | 1969-12-31 23:59:59.99 | NULL | 1970-01-02 | 1000 => null 0.1,-10,,1
        "#]],
    );
    check_values(
        &stream(&["D date"]).formats(Format::Kafka, Format::Delimited),
        &["10", "-10", "\"-10\"", ""],
        expect![[r#"
            100 1970-01-11 | 0 => null 10
            101 1969-12-22 | 1000 => null "-10"
            102 1969-12-22 | 2000 => null "-10"
            103 NULL | 3000 => null 
        "#]],
    );
    let mut piped = stream(&["A int key", "B string key", "C string", "D string"])
        .formats(Format::Delimited, Format::Delimited);
    piped.format.value_delimiter = '|';
    let records: &[Input<'_>] = &[
        (Some(b"1,x"), Some(b"a,b|c d")),
        (Some(b",\"\""), Some(b"|")),
        (None, Some(b" a|\"b\" ")),
    ];
    check(
        &piped,
        records,
        expect![[r#"
        100 1 | x | a,b | c d | 0 => 1,x a,b|c d
        101 NULL | NULL | NULL | NULL | 1000 => null |
        102 NULL | NULL |  a | b | 2000 => null " a"|b
    "#]],
    );
}

#[test]
fn kafka_values() {
    let one = |type_name: &str| {
        stream(&[&format!("K {type_name} key"), &format!("V {type_name}")])
            .formats(Format::Kafka, Format::Kafka)
    };
    let records: &[Input<'_>] = &[
        (Some(&[0, 0, 0, 1]), Some(&[0xff, 0xff, 0xff, 0xfe])),
        (Some(&[0, 0, 0, 1]), Some(&[0, 1])),
        (Some(&[0, 0, 0, 0, 1]), Some(&[0, 0, 0, 1])),
        (None, Some(&[0, 0, 0, 1])),
    ];
    check(
        &one("int"),
        records,
        expect![[r#"
        100 1 | -2 | 0 => \x00\x00\x00\x01 \xff\xff\xff\xfe
        101 value: size of data for type integer is 2, not 4
        102 key: size of data for type integer is 5, not 4
        103 NULL | 1 | 3000 => null \x00\x00\x00\x01
    "#]],
    );
    let bytes = 1.1f64.to_be_bytes();
    check(
        &one("double"),
        &[(Some(&bytes), Some(&bytes))],
        expect![[r#"
        100 1.1 | 1.1 | 0 => ?\xf1\x99\x99\x99\x99\x99\x9a ?\xf1\x99\x99\x99\x99\x99\x9a
    "#]],
    );
    let bytes = 7i64.to_be_bytes();
    check(
        &one("bigint"),
        &[(Some(&bytes), Some(&bytes))],
        expect![[r#"
        100 7 | 7 | 0 => \x00\x00\x00\x00\x00\x00\x00\x07 \x00\x00\x00\x00\x00\x00\x00\x07
    "#]],
    );
    check(
        &one("string"),
        &[(Some(b"\xc3\xa4"), Some(b"")), (Some(b"\xff"), Some(b"x"))],
        expect![[r#"
            100 ä |  | 0 => \xc3\xa4 
            101 key: it is not UTF-8
        "#]],
    );
}

#[test]
fn no_format_at_all() {
    check(
        &stream(&["FOO int"]).formats(Format::None, Format::Json),
        &[
            (None, Some(b"{\"foo\": 10}")),
            (Some(b"ignored"), Some(b"{\"foo\": 11}")),
        ],
        expect![[r#"
            100 10 | 0 => null {"FOO":10}
            101 11 | 1000 => null {"FOO":11}
        "#]],
    );
}

#[test]
fn timestamps_from_columns() {
    check_values(
        &stream(&["ID int", "TS bigint"]).timestamp(1, None),
        &[
            r#"{"id": 1, "ts": 1526075913000}"#,
            r#"{"id": 2, "ts": -1}"#,
            r#"{"id": 3}"#,
        ],
        expect![[r#"
            100 1 | 1526075913000 | 1526075913000000 => null {"ID":1,"TS":1526075913000}
            101 timestamp: timestamp column "TS" is before 1970
            102 timestamp: timestamp column "TS" is NULL
        "#]],
    );
    check_values(
        &stream(&["ID int", "TS string"]).timestamp(1, Some("yy-MM-dd HH:mm:ssX")),
        &[
            r#"{"id": 1, "ts": "10-04-19 12:00:17Z"}"#,
            r#"{"id": 2, "ts": "!!!!!"}"#,
        ],
        expect![[r#"
            100 1 | 10-04-19 12:00:17Z | 1271678417000000 => null {"ID":1,"TS":"10-04-19 12:00:17Z"}
            101 timestamp: column "TS" is no timestamp of the given format: "!!!!!"
        "#]],
    );
}

#[test]
fn windows_of_keys() {
    let mut session = b"a".to_vec();
    session.extend(2000i64.to_be_bytes());
    session.extend(1000i64.to_be_bytes());
    check(
        &stream(&["K string key", "V int"]).window(KeyWindow::Session),
        &[
            (Some(&session), Some(b"{\"v\": 1}")),
            (Some(b"short"), Some(b"{\"v\": 1}")),
        ],
        expect![[r#"
            100 a | 1 | 0 @1000..2000 => a\x00\x00\x00\x00\x00\x00\x07\xd0\x00\x00\x00\x00\x00\x00\x03\xe8 {"V":1}
            101 key: the key is too short for its window
        "#]],
    );
    let mut tumbling = 7i32.to_be_bytes().to_vec();
    tumbling.extend(1000i64.to_be_bytes());
    check(
        &table(&["K int key", "V int"]).window(KeyWindow::Time { size_ms: 500 }),
        &[
            (Some(&tumbling), Some(b"{\"v\": 1}")),
            (Some(&tumbling), None),
        ],
        expect![[r#"
            100 7 | 1 | 0 | 1 @1000..1500 => \x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x03\xe8 {"V":1}
            101 7 | NULL | 1000 | -1 @1000..1500 => \x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x03\xe8 null
        "#]],
    );
}

#[test]
fn headers_are_columns() {
    let relation = stream(&["V int", "H bytes header abc", "ALL headers header"]);
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(0, None, Some(b"{\"v\": 1}"));
    builder.append_with_headers(
        0,
        None,
        Some(b"{\"v\": 2}"),
        &[(b"abc", Some(b"1")), (b"x", None), (b"abc", Some(b"2"))],
    );
    builder.append_with_headers(0, None, Some(b"{\"v\": 3}"), &[(b"abc", None)]);
    let batch = KafkaBatch::new(builder.build(0)).unwrap();
    expect![[r#"
        0 1 | NULL | {} | 0 => null {"V":1}
        1 2 | \x32 | {"{\"KEY\":\"abc\",\"VALUE\":\"\\\\x31\"}","{\"KEY\":\"x\",\"VALUE\":null}","{\"KEY\":\"abc\",\"VALUE\":\"\\\\x32\"}"} | 0 => null {"V":2}
        2 3 | NULL | {"{\"KEY\":\"abc\",\"VALUE\":null}"} | 0 => null {"V":3}
    "#]]
    .assert_eq(&draw(&relation, &batch));
}

#[test]
fn only_what_is_needed_is_read() {
    let relation = stream(&["A int", "B int", "C string"]);
    let mut decoder = RecordDecoder::with_needed(
        &relation.format,
        relation.schema.clone(),
        relation.kind,
        None,
        Some(&[2]),
    )
    .unwrap();
    let values: &[Input<'_>] = &[
        (
            None,
            Some(br#"{"a": "no number", "c": "x", "b": {"a": [1, {}]}}"#),
        ),
        (None, Some(br#"{"a": "unfinished"#)),
    ];
    decoder.push_batch(&batch(values), 1 << 20).unwrap();
    let decoded = decoder.finish().unwrap();
    assert_eq!(decoded.offsets, [100]);
    assert_eq!(decoded.errors.len(), 1);
    assert_eq!(decoded.rows.column(0).null_count(), 1);
}

proptest! {
    /// Whatever records hold, each is a row, an error, or nothing, and rows stay rectangular.
    #[test]
    fn no_bytes_make_it_panic(
        records in proptest::collection::vec(
            (
                proptest::option::of(any::<Vec<u8>>()),
                proptest::option::of("[\\{\\}\\[\\]\":,a-dA-D0-9\\\\ .en]{0,40}"),
            ),
            0..8,
        ),
        format in prop_oneof![
            Just(Format::Json), Just(Format::Delimited), Just(Format::Kafka), Just(Format::None)
        ],
    ) {
        let relation = table(&["K string key", "A int[]", "B string", "C map:int", "D point", "E decimal"])
            .formats(format, Format::Json);
        let records: Vec<Input<'_>> = records
            .iter()
            .map(|(key, value)| (key.as_deref(), value.as_ref().map(String::as_bytes)))
            .collect();
        let mut decoder = relation.decoder();
        decoder.push_batch(&batch(&records), 1 << 20).unwrap();
        let decoded = decoder.finish().unwrap();
        prop_assert_eq!(
            decoded.rows.num_rows() + decoded.errors.len() + decoded.passed_over,
            records.len()
        );
    }

    /// What was written is read again.
    #[test]
    fn rows_come_back(
        values in proptest::collection::vec(
            (any::<Option<i64>>(), any::<Option<f64>>(), proptest::option::of(".{1,10}"), any::<bool>()),
            1..20,
        ),
        delimited: bool,
    ) {
        let format = if delimited { Format::Delimited } else { Format::Json };
        let relation = stream(&["A bigint", "B double", "C string", "D boolean"])
            .formats(Format::Kafka, format);
        let text = |value: Option<String>| value.unwrap_or_else(|| "null".into());
        let json: Vec<String> = values
            .iter()
            .map(|(a, b, c, d)| {
                let b = b.map(|b| if b.is_finite() { format!("{b:e}") } else { format!("\"{}\"", "NaN") });
                let c = c.as_ref().map(|c| serde_json::to_string(c).unwrap());
                format!(
                    "{{\"a\":{},\"b\":{},\"c\":{},\"d\":{d}}}",
                    text(a.map(|a| a.to_string())), text(b), text(c)
                )
            })
            .collect();
        let records: Vec<Input<'_>> = json.iter().map(|json| (None, Some(json.as_bytes()))).collect();
        let mut source = stream(&["A bigint", "B double", "C string", "D boolean"]).decoder();
        source.push_batch(&batch(&records), 1 << 20).unwrap();
        let rows = source.finish().unwrap();
        prop_assert_eq!(&rows.errors, &[]);
        let mut builder = BatchBuilder::new(Codec::None);
        RecordEncoder::new(&relation.format, &relation.schema, relation.kind)
            .encode(&rows.rows, None, &mut builder)
            .unwrap();
        let mut decoder = relation.decoder();
        decoder.push_batch(&KafkaBatch::new(builder.build(0)).unwrap(), 1 << 20).unwrap();
        let back = decoder.finish().unwrap();
        prop_assert_eq!(&back.errors, &[]);
        for column in 0..4 {
            let show = |rows: &arrow::array::RecordBatch| format!("{:?}", rows.column(column));
            prop_assert_eq!(show(&back.rows), show(&rows.rows));
        }
    }
}

/// Which of the records are read when only one column is needed, with nothing known of their shape.
fn accepts(records: &[Vec<u8>], needed: usize) -> Vec<bool> {
    let relation = stream(&["A bigint", "B string", "C double", "D boolean"]);
    let mut decoder = RecordDecoder::with_needed(
        &relation.format,
        relation.schema.clone(),
        relation.kind,
        None,
        Some(&[needed]),
    )
    .unwrap();
    let inputs: Vec<Input<'_>> = records
        .iter()
        .map(|record| (None, Some(record.as_slice())))
        .collect();
    decoder.push_batch(&batch(&inputs), 1 << 20).unwrap();
    let errors = decoder.finish().unwrap().errors;
    let is_bad = |at: usize| errors.iter().any(|error| error.offset == 100 + at as i64);
    (0..records.len()).map(|at| !is_bad(at)).collect()
}

/// Objects as topics have them, with a few bytes changed, put in or taken out.
fn mutated_records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let long = prop_oneof![Just(0usize), 0usize..20, 40usize..140];
    let object = (any::<i32>(), long, any::<bool>(), -1e9f64..1e9, 0usize..4).prop_map(
        |(a, long, d, c, space)| {
            let (text, space) = ("y".repeat(long), " ".repeat(space));
            format!(
                "{{\"a\":{space}{a},\"X\":\"{text}\",\"b\":\"é{text}\"{space},\"c\":{c},\"l\":[1,-0.5e-3,[],\
                 {{}},{{\"k\":null}}],{space}\"d\":{d},\"a name of many bytes\":{{\"z\":\"\\\\n{text}\"}}}}{space}"
            )
            .into_bytes()
        },
    );
    const ALPHABET: &[u8] = b"\"\"\"\\{}[]::,,0012359eE.+- \n\t\x00\x1f\x7f\x80\xffatrufn";
    let change = (any::<prop::sample::Index>(), 0usize..ALPHABET.len(), 0..4);
    let record = (object, prop::collection::vec(change, 0..3)).prop_map(|(mut bytes, changes)| {
        for (place, byte, kind) in changes {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes.insert(at, ALPHABET[byte]),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 if at > 0 => bytes.truncate(at),
                _ => bytes[at] = ALPHABET[byte],
            }
        }
        bytes
    });
    prop::collection::vec(record, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// What is not needed is gone through quickly, and yet what is wrong with it is found.
    #[test]
    fn json_is_refused_where_serde_json_refuses_it(records in mutated_records()) {
        let ours = accepts(&records, 1);
        for (record, accepted) in records.iter().zip(ours) {
            let first = record.trim_ascii_start().first().copied();
            let theirs = matches!(first, Some(b'{' | b'n'))
                && serde_json::from_slice::<serde::de::IgnoredAny>(record).is_ok();
            // Escapes, and whether all is UTF-8, are looked at in needed strings only.
            let escapes = record.iter().filter(|byte| **byte == b'\\').count();
            let exempt = escapes != 1 || !record.windows(2).any(|pair| pair == b"\\n")
                || std::str::from_utf8(record).is_err();
            prop_assert!(accepted == theirs || exempt, "{}: {}", record.escape_ascii(), accepted);
            let other = accepts(std::slice::from_ref(record), 3)[0];
            prop_assert!(accepted || !other || exempt, "{}", record.escape_ascii());
        }
    }

    /// Numbers are read eight digits at a time, except at the end of a text.
    #[test]
    fn json_numbers_are_what_rust_reads(
        whole in "-?(0|[1-9][0-9]{0,20})",
        fraction in "(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,2})?",
        behind in 0usize..10,
    ) {
        let column = |type_name: &str, json: String| {
            let relation = stream(&[&format!("A {type_name}")]).bare();
            let mut decoder = relation.decoder();
            decoder.push_batch(&batch(&[(None, Some(json.as_bytes()))]), 1 << 20).unwrap();
            let decoded = decoder.finish().unwrap();
            decoded.errors.is_empty().then(|| decoded.rows.column(0).clone())
        };
        let behind = " ".repeat(behind);
        let read = column("bigint", format!("{whole}{behind}"));
        let read = read.map(|read| read.as_primitive::<Int64Type>().value(0));
        prop_assert_eq!(read, whole.parse().ok());
        let read = column("double", format!("{whole}{fraction}{behind}")).unwrap();
        let read = read.as_primitive::<Float64Type>().value(0);
        let expected: f64 = format!("{whole}{fraction}").parse().unwrap();
        prop_assert_eq!(read.to_bits(), expected.to_bits());
    }
}

#[test]
fn marks_say_what_a_record_is_beside_its_columns() {
    let mut builder = BatchBuilder::new(Codec::None);
    let headers: &[(&[u8], Option<&[u8]>)] = &[(b"a", Some(b"1")), (b"b", None)];
    builder.append_with_headers(0, Some(b"k"), None, headers);
    builder.append(1, Some(b"k"), Some(b"{\"v\": 1}"));
    let relation = stream(&["K string key", "V int"]);
    let mut decoder = relation.decoder().keep_marks();
    let batch = KafkaBatch::new(builder.build(0)).unwrap();
    decoder.push_batch(&batch, 1 << 20).unwrap();
    let marks = decoder.finish().unwrap().marks.unwrap();
    let marks: Vec<_> = marks.iter().collect();
    assert_eq!(marks.len(), 2);
    assert_eq!(marks[1], None);
    let mark = Mark::read(marks[0].unwrap()).unwrap();
    assert!(mark.null_value);
    let found: Vec<_> = mark.headers.map(|h| (h.key, h.value)).collect();
    assert_eq!(found, headers);
    assert!(Mark::read(&[]).is_none());
    assert!(Mark::read(&[1, 4, 2]).is_none());
}
