//! Guesses the formats of a topic's keys and values, and shows its records: `PRINT topic`.
//!
//! At first every format is possible; what cannot read a key or value falls out for good. A record is
//! shown in the first format that is left.

use super::decode::split_window;
use super::format::KeyWindow;
use super::json::marks::Marks;
use super::json::scanner::Scanner;
use super::record::Record;
use super::text::write_double;

/// Windows that begin later are none: whatever is text would otherwise look like a window of the far
/// future. Milliseconds of the year 2200.
const WINDOW_MS_MAX: i64 = 7_258_118_400_000;

/// Shows the records of a topic one by one.
#[derive(Debug, Clone)]
pub struct RecordPrinter {
    keys: Guesses,
    values: Guesses,
}

/// The formats that have read everything so far.
#[derive(Debug, Clone)]
struct Guesses {
    possible: Vec<Guess>,
    has_seen_data: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Guess {
    window: Option<Window>,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Session,
    Hopping,
    Tumbling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Int,
    Bigint,
    Double,
    String,
    /// Reads anything, and is not told.
    Bytes,
}

const FORMATS: [Format; 5] = [
    Format::Json,
    Format::Int,
    Format::Bigint,
    Format::Double,
    Format::String,
];

impl Default for RecordPrinter {
    fn default() -> Self {
        Self::new()
    }
}

impl RecordPrinter {
    pub fn new() -> Self {
        Self {
            keys: Guesses::new(&[
                Some(Window::Session),
                Some(Window::Hopping),
                Some(Window::Tumbling),
                None,
            ]),
            values: Guesses::new(&[None]),
        }
    }

    /// The record as a line of text. It also tells something about the formats.
    pub fn print(&mut self, record: &Record<'_>, partition: u32) -> String {
        let rowtime = match record.timestamp {
            -1 => "N/A".into(),
            ms => match chrono::DateTime::from_timestamp_millis(ms) {
                Some(time) => time.format("%Y/%m/%d %H:%M:%S%.3f Z").to_string(),
                None => ms.to_string(),
            },
        };
        format!(
            "rowtime: {rowtime}, key: {}, value: {}, partition: {partition}",
            self.keys.show(record.key),
            self.values.show(record.value)
        )
    }

    /// The formats that can read all keys so far, such as `KAFKA_BIGINT or KAFKA_DOUBLE`.
    pub fn key_formats(&self) -> String {
        self.keys.names()
    }

    /// The formats that can read all values so far.
    pub fn value_formats(&self) -> String {
        self.values.names()
    }
}

impl Guesses {
    fn new(windows: &[Option<Window>]) -> Self {
        let mut possible: Vec<Guess> = FORMATS
            .iter()
            .flat_map(|format| {
                windows.iter().map(|window| Guess {
                    window: *window,
                    format: *format,
                })
            })
            .collect();
        possible.push(Guess {
            window: None,
            format: Format::Bytes,
        });
        Self {
            possible,
            has_seen_data: false,
        }
    }

    fn show(&mut self, bytes: Option<&[u8]>) -> String {
        let Some(bytes) = bytes else {
            return "<null>".into();
        };
        self.has_seen_data = true;
        let mut shown = None;
        self.possible.retain(|guess| match guess.read(bytes) {
            Some(text) => {
                shown.get_or_insert(text);
                true
            }
            None => false,
        });
        shown.expect("bytes are always possible")
    }

    fn names(&self) -> String {
        if !self.has_seen_data {
            return "¯\\_(ツ)_/¯ - no data processed".into();
        }
        let names: Vec<String> = self
            .possible
            .iter()
            .filter(|guess| guess.format != Format::Bytes)
            .map(|guess| match guess.window {
                None => guess.format.name().into(),
                Some(window) => format!("{}({})", window.name(), guess.format.name()),
            })
            .collect();
        if names.is_empty() {
            return "UNRECOGNISED_BYTES".into();
        }
        names.join(" or ")
    }
}

impl Guess {
    /// The bytes as text, if they can be of this format.
    fn read(self, bytes: &[u8]) -> Option<String> {
        let plausible = |ms: i64| (0..=WINDOW_MS_MAX).contains(&ms);
        match self.window {
            None => self.format.read(bytes),
            Some(Window::Session) => {
                let (key, start, end) = split_window(bytes, KeyWindow::Session)?;
                if !plausible(start) || !plausible(end) || end < start {
                    return None;
                }
                Some(format!("[{}@{start}/{end}]", self.format.read(key)?))
            }
            Some(Window::Hopping | Window::Tumbling) => {
                let (key, start, _) = split_window(bytes, KeyWindow::Time { size_ms: 0 })?;
                if !plausible(start) {
                    return None;
                }
                // The end does not stand in the key.
                Some(format!("[{}@{start}/-]", self.format.read(key)?))
            }
        }
    }
}

impl Window {
    fn name(self) -> &'static str {
        match self {
            Window::Session => "SESSION",
            Window::Hopping => "HOPPING",
            Window::Tumbling => "TUMBLING",
        }
    }
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Json => "JSON",
            Format::Int => "KAFKA_INT",
            Format::Bigint => "KAFKA_BIGINT",
            Format::Double => "KAFKA_DOUBLE",
            Format::String => "KAFKA_STRING",
            Format::Bytes => "UNRECOGNISED_BYTES",
        }
    }

    fn read(self, bytes: &[u8]) -> Option<String> {
        match self {
            Format::Json => {
                let text = std::str::from_utf8(bytes).ok()?;
                let mut marks = Marks::default();
                let mut scanner = Scanner::new(bytes, &mut marks);
                scanner.skip().and_then(|()| scanner.end()).ok()?;
                Some(text.to_owned())
            }
            Format::Int => Some(i32::from_be_bytes(bytes.try_into().ok()?).to_string()),
            Format::Bigint => Some(i64::from_be_bytes(bytes.try_into().ok()?).to_string()),
            Format::Double => {
                let mut text = Vec::new();
                write_double(&mut text, f64::from_be_bytes(bytes.try_into().ok()?));
                Some(String::from_utf8(text).expect("numbers are ASCII"))
            }
            Format::String => {
                let text = std::str::from_utf8(bytes).ok()?;
                (!text.is_empty()).then(|| text.to_owned())
            }
            Format::Bytes => {
                let mut text = String::new();
                for byte in bytes {
                    match byte {
                        b'\\' => text.push_str("\\x5C"),
                        b' '..=b'~' => text.push(*byte as char),
                        _ => text.push_str(&format!("\\x{byte:02X}")),
                    }
                }
                Some(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::super::{BatchBuilder, Codec, KafkaBatch};
    use super::*;

    fn print(records: &[(Option<&[u8]>, Option<&[u8]>)]) -> String {
        let mut builder = BatchBuilder::new(Codec::None);
        for (key, value) in records {
            builder.append(1_588_635_309_190, *key, *value);
        }
        let batch = KafkaBatch::new(builder.build(0)).unwrap();
        let mut printer = RecordPrinter::new();
        let mut out = String::new();
        for record in &batch.records(1 << 20).unwrap() {
            out.push_str(&printer.print(&record.unwrap(), 3));
            out.push('\n');
        }
        format!(
            "{out}key: {}\nvalue: {}\n",
            printer.key_formats(),
            printer.value_formats()
        )
    }

    fn check(records: &[(Option<&[u8]>, Option<&[u8]>)], expected: Expect) {
        expected.assert_eq(&print(records));
    }

    #[test]
    fn formats_fall_out_one_by_one() {
        check(
            &[
                (Some(&7i64.to_be_bytes()), Some(b"{\"a\": 1}")),
                (None, Some(b"{\"a\": 1")),
                (Some(b"longer than that"), None),
            ],
            expect![[r#"
                rowtime: 2020/05/04 23:35:09.190 Z, key: 7, value: {"a": 1}, partition: 3
                rowtime: 2020/05/04 23:35:09.190 Z, key: <null>, value: {"a": 1, partition: 3
                rowtime: 2020/05/04 23:35:09.190 Z, key: longer than that, value: <null>, partition: 3
                key: KAFKA_STRING
                value: KAFKA_STRING
            "#]],
        );
        check(
            &[(None, None)],
            expect![[r#"
            rowtime: 2020/05/04 23:35:09.190 Z, key: <null>, value: <null>, partition: 3
            key: ¯\_(ツ)_/¯ - no data processed
            value: ¯\_(ツ)_/¯ - no data processed
        "#]],
        );
        check(
            &[(Some(b""), Some(&[0, 1, b'a', b'\\', 0xff]))],
            expect![[r#"
                rowtime: 2020/05/04 23:35:09.190 Z, key: , value: \x00\x01a\x5C\xFF, partition: 3
                key: UNRECOGNISED_BYTES
                value: UNRECOGNISED_BYTES
            "#]],
        );
        check(
            &[
                (Some(b"10"), Some(&1.5f64.to_be_bytes())),
                (Some(b"x"), Some(&5i32.to_be_bytes())),
            ],
            expect![[r#"
                rowtime: 2020/05/04 23:35:09.190 Z, key: 10, value: 4609434218613702656, partition: 3
                rowtime: 2020/05/04 23:35:09.190 Z, key: x, value: \x00\x00\x00\x05, partition: 3
                key: KAFKA_STRING
                value: UNRECOGNISED_BYTES
            "#]],
        );
    }

    #[test]
    fn windows_are_seen_behind_keys() {
        let time = |key: &[u8]| [key, &1_588_635_300_000i64.to_be_bytes()].concat();
        let session = |key: &[u8]| {
            [
                key,
                &1_588_635_309_000i64.to_be_bytes(),
                &1_588_635_300_000i64.to_be_bytes(),
            ]
            .concat()
        };
        check(
            &[(Some(&time(b"a")), None)],
            expect![[r#"
            rowtime: 2020/05/04 23:35:09.190 Z, key: [a@1588635300000/-], value: <null>, partition: 3
            key: HOPPING(KAFKA_STRING) or TUMBLING(KAFKA_STRING)
            value: ¯\_(ツ)_/¯ - no data processed
        "#]],
        );
        check(
            &[(Some(&session(b"\"a\"")), None)],
            expect![[r#"
            rowtime: 2020/05/04 23:35:09.190 Z, key: ["a"@1588635300000/1588635309000], value: <null>, partition: 3
            key: SESSION(JSON) or SESSION(KAFKA_STRING)
            value: ¯\_(ツ)_/¯ - no data processed
        "#]],
        );
        check(
            &[(Some(&session(&7i64.to_be_bytes())), None)],
            expect![[r#"
                rowtime: 2020/05/04 23:35:09.190 Z, key: [7@1588635300000/1588635309000], value: <null>, partition: 3
                key: SESSION(KAFKA_BIGINT) or SESSION(KAFKA_DOUBLE) or SESSION(KAFKA_STRING)
                value: ¯\_(ツ)_/¯ - no data processed
            "#]],
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            records in proptest::collection::vec((any::<Option<Vec<u8>>>(), any::<Option<Vec<u8>>>()), 1..5)
        ) {
            let records: Vec<_> = records
                .iter()
                .map(|(key, value)| (key.as_deref(), value.as_deref()))
                .collect();
            print(&records);
        }
    }
}
