//! One JSON object a line.
//!
//! A column takes the value of the member of its name: a string's content, any other value as it is written, NULL for
//! `null` or when there is none. Members that no column is named after are passed over; of several of one name the
//! last counts. Names are compared exactly and, failing that, without regard to case. Blank lines are passed over, and a
//! line `\.` ends the data, because psql sends it.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::rows::{RowError, Rows, Splitter};
use crate::error::{DataError, DataErrorKind};

/// Takes JSON lines apart.
pub struct JsonSplitter {
    names: Vec<String>,
    exact: HashMap<String, usize>,
    /// By lower-case name; `None` where several columns have it.
    lower: HashMap<String, Option<usize>>,
    line: u64,
    ended: bool,
}

impl JsonSplitter {
    /// For columns of these names.
    pub fn new(names: Vec<String>) -> Self {
        let mut lower = HashMap::new();
        for (column, name) in names.iter().enumerate() {
            lower
                .entry(name.to_lowercase())
                .and_modify(|found| *found = None)
                .or_insert(Some(column));
        }
        let exact = names
            .iter()
            .enumerate()
            .map(|(column, name)| (name.clone(), column))
            .collect();
        JsonSplitter {
            names,
            exact,
            lower,
            line: 0,
            ended: false,
        }
    }

    /// The column of a member, most likely the one behind the column of the member before.
    fn column(&self, name: &str, guess: usize) -> Option<usize> {
        if self.names.get(guess).is_some_and(|guessed| guessed == name) {
            return Some(guess);
        }
        if let Some(column) = self.exact.get(name) {
            return Some(*column);
        }
        self.lower.get(&name.to_lowercase()).copied().flatten()
    }
}

impl Splitter for JsonSplitter {
    fn split(
        &mut self,
        block: &[u8],
        from: usize,
        last: bool,
        rows: &mut Rows,
        rows_max: usize,
    ) -> Result<usize, RowError> {
        let mut at = from;
        while !self.ended && at < block.len() && rows.len() < rows_max {
            let (end, next) = match memchr::memchr(b'\n', &block[at..]) {
                Some(length) => (at + length, at + length + 1),
                None if last => (block.len(), block.len()),
                None => break,
            };
            self.line += 1;
            let line = &block[at..end];
            if line.trim_ascii() == b"\\." {
                self.ended = true;
                return Ok(block.len());
            }
            if !line.trim_ascii().is_empty() {
                let base = rows.cell_count();
                for _ in 0..self.names.len() {
                    rows.push_null();
                }
                let seed = Object {
                    splitter: self,
                    block,
                    rows,
                    base,
                };
                let mut deserializer = serde_json::Deserializer::from_slice(line);
                seed.deserialize(&mut deserializer)
                    .and_then(|()| deserializer.end())
                    .map_err(|error| json_error(self.line, at..end, &error))?;
                rows.end_row(self.line, at..end);
            }
            at = next;
        }
        Ok(at)
    }

    fn ended(&self) -> bool {
        self.ended
    }
}

#[cold]
fn json_error(line: u64, row: std::ops::Range<usize>, error: &serde_json::Error) -> RowError {
    let reason = error.to_string();
    // The place within the line is told by its column alone.
    let reason = reason.replace(" at line 1 column", " at character");
    let error = DataError::new(
        DataErrorKind::InvalidJson,
        format!("invalid input syntax for type json: {reason}"),
    );
    RowError { line, error, row }
}

/// Fills the cells of one row from an object.
struct Object<'a> {
    splitter: &'a JsonSplitter,
    block: &'a [u8],
    rows: &'a mut Rows,
    base: usize,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let mut guess = 0;
        while let Some(column) = members.next_key_seed(Name {
            splitter: self.splitter,
            guess,
        })? {
            let Some(column) = column else {
                members.next_value::<serde::de::IgnoredAny>()?;
                continue;
            };
            guess = column + 1;
            let raw = members.next_value::<&RawValue>()?.get();
            self.push(raw).map_err(serde::de::Error::custom)?;
            self.rows.move_last_to(self.base, column);
        }
        Ok(())
    }
}

impl Object<'_> {
    /// Appends the cell of a value as it is written in the block.
    fn push(&mut self, raw: &str) -> Result<(), serde_json::Error> {
        let start = raw.as_ptr() as usize - self.block.as_ptr() as usize;
        if raw == "null" {
            self.rows.push_null();
        } else if !raw.starts_with('"') {
            self.rows.push(start, start + raw.len());
        } else if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
            self.rows.push(start + 1, start + raw.len() - 1);
        } else {
            let text: String = serde_json::from_str(raw)?;
            let aside = self.rows.aside().len();
            self.rows.aside().extend_from_slice(text.as_bytes());
            self.rows.push_aside(aside);
        }
        Ok(())
    }
}

/// Finds a member's column by its name without keeping the name.
struct Name<'a> {
    splitter: &'a JsonSplitter,
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.splitter.column(name, self.guess))
    }
}
