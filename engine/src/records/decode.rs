//! Records into rows.
//!
//! ```text
//!  record ─ key ────► window │ key format ──► columns ─┐
//!         ─ value ──────────── value format ► columns ─┼─► rows in the log's schema
//!         ─ headers ────────────────────────► columns ─┤
//!         ─ timestamp, or a column ─────────► __rowtime┘
//! ```
//!
//! A record that cannot be read leaves an error and no row. Columns that nobody needs are not read;
//! they are NULL, and what is wrong with them goes unnoticed.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int8Array, Int64Array, RecordBatch, new_null_array,
};
use arrow_schema::SchemaRef;

use super::batch::{BatchError, KafkaBatch};
use super::column::{Column, Members};
use super::delimited::Line;
use super::fail::{Fail, Fallible};
use super::format::{Format, KeyWindow, RecordFormat};
use super::json::decode as json;
use super::json::marks::Marks;
use super::mark::Mark;
use super::names::Names;
use super::pattern::Pattern;
use super::record::{Headers, Record};
use super::{kafka, text};
use crate::catalog::{LOG_ROWTIME, RelationKind};
use crate::error::{Error, Result};

/// Reads records as rows of one relation.
pub struct RecordDecoder {
    schema: SchemaRef,
    kind: RelationKind,
    key: Part,
    value: Part,
    window: Option<KeyWindow>,
    headers: Vec<HeaderReader>,
    timestamp: Option<TimestampSource>,
    keep_marks: bool,
    rows: Rows,
}

/// Rows that were read, and what could not be.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// In the log's schema. Columns that were not needed are NULL.
    pub rows: RecordBatch,
    /// The offset of each row's record.
    pub offsets: Vec<i64>,
    /// The windows of the rows' keys, if keys have windows.
    pub windows: Option<Windows>,
    /// If marks are kept: those of a stream's records (see [`Mark`]), unless no record has one.
    pub marks: Option<BinaryArray>,
    /// Records that could not be read.
    pub errors: Vec<RecordError>,
    /// Records that mean nothing, and are no errors: null values in a stream, null keys in a table.
    pub passed_over: usize,
}

/// Windows of keys, milliseconds since the epoch; NULL where the key is.
#[derive(Debug, Clone)]
pub struct Windows {
    pub starts: Int64Array,
    pub ends: Int64Array,
}

/// Why a record is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    pub offset: i64,
    pub part: RecordPart,
    pub reason: String,
}

/// Parts of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordPart {
    Key,
    Value,
    Headers,
    Timestamp,
}

impl std::fmt::Display for RecordPart {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            RecordPart::Key => "key",
            RecordPart::Value => "value",
            RecordPart::Headers => "headers",
            RecordPart::Timestamp => "timestamp",
        })
    }
}

/// A key or a value.
struct Part {
    format: Format,
    /// Whether JSON is an object although there is one column only.
    wrapped: bool,
    delimiter: char,
    /// For each column of the part its index among those that are read.
    slots: Vec<Option<usize>>,
    /// Of those that are read, the position in the relation.
    positions: Vec<usize>,
    /// Those that are read.
    members: Members,
    line: Line,
    marks: Marks,
}

struct HeaderReader {
    position: usize,
    name: Option<String>,
    column: Column,
}

/// The column that tells a row's time.
struct TimestampSource {
    in_key: bool,
    /// Index among the columns of its part that are read.
    index: usize,
    name: String,
    pattern: Option<Pattern>,
}

/// What rows have beside their columns.
#[derive(Default)]
struct Rows {
    rowtimes: Vec<i64>,
    weights: Vec<i8>,
    offsets: Vec<i64>,
    window_starts: Vec<Option<i64>>,
    window_ends: Vec<Option<i64>>,
    /// Begins with the first record that has one.
    marks: Option<BinaryBuilder>,
    /// The mark that is being written.
    mark: Vec<u8>,
    errors: Vec<RecordError>,
    passed_over: usize,
}

impl RecordDecoder {
    /// For a relation with this schema in the log. `timestamp` is the column of its event time.
    ///
    /// # Errors
    /// When a column has a type that records do not have, or the timestamp's pattern is none.
    pub fn new(
        format: &RecordFormat,
        log_schema: SchemaRef,
        kind: RelationKind,
        timestamp: Option<usize>,
    ) -> Result<Self> {
        Self::with_needed(format, log_schema, kind, timestamp, None)
    }

    /// Reads only some of the columns.
    ///
    /// # Errors
    /// As [`RecordDecoder::new`].
    pub fn with_needed(
        format: &RecordFormat,
        log_schema: SchemaRef,
        kind: RelationKind,
        timestamp: Option<usize>,
        needed: Option<&[usize]>,
    ) -> Result<Self> {
        let needs = |column: usize| {
            timestamp == Some(column) || needed.is_none_or(|needed| needed.contains(&column))
        };
        let value_columns = format.value_columns(&log_schema);
        let key = Part::new(
            format.key,
            &log_schema,
            &format.key_columns,
            needs,
            format.key_columns.len() > 1,
            format.key_delimiter,
        )?;
        let value = Part::new(
            format.value,
            &log_schema,
            &value_columns,
            needs,
            format.wrap_single_value || value_columns.len() > 1,
            format.value_delimiter,
        )?;
        let headers = format
            .headers
            .iter()
            .filter(|header| needs(header.column))
            .map(|header| {
                Ok(HeaderReader {
                    position: header.column,
                    name: header.name.clone(),
                    column: Column::new(log_schema.field(header.column))?,
                })
            })
            .collect::<Result<_>>()?;
        let timestamp = match timestamp {
            None => None,
            Some(column) => {
                let index_in = |part: &Part| part.positions.iter().position(|at| *at == column);
                let (in_key, index) = match (index_in(&key), index_in(&value)) {
                    (Some(index), _) => (true, index),
                    (None, Some(index)) => (false, index),
                    (None, None) => {
                        return Err(Error::Internal(
                            "the timestamp is neither in the key nor in the value".into(),
                        ));
                    }
                };
                let pattern = format.timestamp_format.as_deref();
                Some(TimestampSource {
                    in_key,
                    index,
                    name: log_schema.field(column).name().clone(),
                    pattern: pattern
                        .map(Pattern::parse)
                        .transpose()
                        .map_err(|reason| Error::Internal(format!("timestamp format: {reason}")))?,
                })
            }
        };
        Ok(Self {
            schema: log_schema,
            kind,
            key,
            value,
            window: format.window,
            headers,
            timestamp,
            keep_marks: false,
            rows: Rows::default(),
        })
    }

    /// Keeps records of a stream with a null value, as rows whose value columns are NULL, and tells which
    /// they are and what headers records have.
    pub fn keep_marks(mut self) -> Self {
        self.keep_marks = true;
        self
    }

    /// Reads all records of a batch.
    ///
    /// # Errors
    /// When the batch is damaged, or takes more than `bytes_max` decompressed.
    pub fn push_batch(&mut self, batch: &KafkaBatch, bytes_max: usize) -> Result<(), BatchError> {
        let base_offset = batch.base_offset();
        for record in &batch.records(bytes_max)? {
            let record = record?;
            self.push(&record, base_offset + i64::from(record.offset_delta));
        }
        Ok(())
    }

    /// Reads a record.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>, offset: i64) {
        match self.read(record, offset) {
            Ok(true) => {}
            Ok(false) => {
                self.forget_last();
                self.rows.passed_over += 1;
            }
            Err((part, fail)) => {
                self.forget_last();
                self.rows.errors.push(RecordError {
                    offset,
                    part,
                    reason: fail.message(),
                });
            }
        }
    }

    /// Rows that have been read.
    pub fn len(&self) -> usize {
        self.rows.offsets.len()
    }

    /// Whether no row has been read.
    pub fn is_empty(&self) -> bool {
        self.rows.offsets.is_empty()
    }

    /// What has been read; the decoder is empty again.
    ///
    /// # Errors
    /// When the columns do not make a batch, which is our own fault.
    pub fn finish(&mut self) -> Result<Decoded> {
        let rows = std::mem::take(&mut self.rows);
        let count = rows.offsets.len();
        let fields = self.schema.fields();
        let mut columns: Vec<Option<ArrayRef>> = vec![None; fields.len()];
        let failed =
            |error| Error::Internal(format!("records do not make a batch of rows: {error}"));
        for part in [&mut self.key, &mut self.value] {
            for (column, position) in part.members.columns.iter_mut().zip(&part.positions) {
                columns[*position] = Some(column.finish().map_err(failed)?);
            }
        }
        for header in &mut self.headers {
            columns[header.position] = Some(header.column.finish().map_err(failed)?);
        }
        let rowtime = rowtime_position(&self.schema);
        columns[rowtime] = Some(Arc::new(Int64Array::from(rows.rowtimes)));
        if self.kind == RelationKind::Table {
            columns[rowtime + 1] = Some(Arc::new(Int8Array::from(rows.weights)));
        }
        let columns = columns
            .into_iter()
            .zip(fields)
            .map(|(column, field)| {
                column.unwrap_or_else(|| new_null_array(field.data_type(), count))
            })
            .collect();
        Ok(Decoded {
            rows: RecordBatch::try_new(self.schema.clone(), columns).map_err(failed)?,
            offsets: rows.offsets,
            windows: self.window.map(|_| Windows {
                starts: Int64Array::from(rows.window_starts),
                ends: Int64Array::from(rows.window_ends),
            }),
            marks: rows.marks.map(|mut marks| {
                pad(&mut marks, count);
                marks.finish()
            }),
            errors: rows.errors,
            passed_over: rows.passed_over,
        })
    }

    /// Appends a row, or says that the record means nothing.
    fn read(&mut self, record: &Record<'_>, offset: i64) -> Result<bool, (RecordPart, Box<Fail>)> {
        let rows = self.rows.offsets.len();
        let window = self
            .read_key(record.key, rows)
            .map_err(|fail| (RecordPart::Key, fail))?;
        let Some(window) = window else {
            return Ok(false);
        };
        let has_value = match record.value {
            None => false,
            Some(bytes) => self
                .value
                .read(bytes, rows)
                .map_err(|fail| (RecordPart::Value, fail))?,
        };
        if !has_value {
            let nothing_lost = self.keep_marks || self.value.slots.is_empty();
            if self.kind == RelationKind::Stream && !nothing_lost {
                return Ok(false);
            }
            self.value.append_nulls();
        }
        for header in &mut self.headers {
            header
                .read(record.headers)
                .map_err(|fail| (RecordPart::Headers, fail))?;
        }
        let rowtime = self
            .rowtime(record.timestamp, has_value)
            .map_err(|fail| (RecordPart::Timestamp, fail))?;
        let rows = &mut self.rows;
        rows.rowtimes.push(rowtime);
        if self.kind == RelationKind::Table {
            rows.weights.push(if has_value { 1 } else { -1 });
        }
        if self.window.is_some() {
            rows.window_starts.push(window.map(|(start, _)| start));
            rows.window_ends.push(window.map(|(_, end)| end));
        }
        let null_value = !has_value && !self.value.slots.is_empty();
        if self.keep_marks && (null_value || !record.headers.is_empty()) {
            let marks = rows.marks.get_or_insert_default();
            pad(marks, rows.offsets.len());
            let mark = Mark {
                null_value,
                headers: record.headers,
            };
            rows.mark.clear();
            mark.write(&mut rows.mark);
            marks.append_value(&rows.mark);
        }
        rows.offsets.push(offset);
        Ok(true)
    }

    /// Appends the key's columns and returns its window; `None` for a record without a key where
    /// there must be one.
    #[allow(clippy::type_complexity)]
    fn read_key(
        &mut self,
        key: Option<&[u8]>,
        rows: usize,
    ) -> Fallible<Option<Option<(i64, i64)>>> {
        let mut window = None;
        let has_key = match (key, self.window) {
            (None, _) => false,
            (Some(bytes), None) => self.key.read(bytes, rows)?,
            (Some(bytes), Some(kind)) => {
                let (bytes, start, end) = split_window(bytes, kind)
                    .ok_or_else(|| Fail::reason("the key is too short for its window".into()))?;
                window = Some((start, end));
                self.key.read(bytes, rows)?
            }
        };
        if !has_key {
            if self.kind == RelationKind::Table && !self.key.slots.is_empty() {
                return Ok(None);
            }
            self.key.append_nulls();
        }
        Ok(Some(window))
    }

    /// Microseconds.
    fn rowtime(&self, record_ms: i64, has_value: bool) -> Fallible<i64> {
        let of_record = record_ms.saturating_mul(1000);
        let Some(source) = &self.timestamp else {
            return Ok(of_record);
        };
        let part = match source.in_key {
            true => &self.key,
            false if has_value => &self.value,
            false => return Ok(of_record),
        };
        let micros = match &part.members.columns[source.index] {
            Column::Timestamp(numbers, _) => numbers.last(),
            Column::Int64(numbers) => numbers.last().map(|ms| ms.saturating_mul(1000)),
            Column::Text(blobs, _) => match blobs.last() {
                None => None,
                Some(bytes) => {
                    let text = std::str::from_utf8(bytes).expect("a text column holds texts");
                    let micros = match &source.pattern {
                        Some(pattern) => pattern.read(text),
                        None => crate::formats::parse_timestamp(text).ok(),
                    };
                    Some(micros.ok_or_else(|| {
                        let name = &source.name;
                        Fail::reason(format!(
                            "column \"{name}\" is no timestamp of the given format: \"{text}\""
                        ))
                    })?)
                }
            },
            Column::Date(numbers) => numbers.last().map(|days| i64::from(days) * 86_400_000_000),
            _ => None,
        };
        match micros {
            Some(micros @ 0..) => Ok(micros),
            Some(_) => Err(Fail::reason(format!(
                "timestamp column \"{}\" is before 1970",
                source.name
            ))),
            None => Err(Fail::reason(format!(
                "timestamp column \"{}\" is NULL",
                source.name
            ))),
        }
    }

    /// Cuts all columns back to the rows that are whole.
    #[cold]
    fn forget_last(&mut self) {
        let rows = self.rows.offsets.len();
        self.key.truncate(rows);
        self.value.truncate(rows);
        for header in &mut self.headers {
            header.column.truncate(rows);
        }
    }
}

impl Part {
    fn new(
        format: Format,
        schema: &SchemaRef,
        columns: &[usize],
        needs: impl Fn(usize) -> bool,
        wrapped: bool,
        delimiter: char,
    ) -> Result<Self> {
        let mut slots = Vec::with_capacity(columns.len());
        let mut positions = Vec::new();
        let mut built = Vec::new();
        for column in columns {
            slots.push(needs(*column).then_some(built.len()));
            if needs(*column) {
                positions.push(*column);
                built.push(Column::new(schema.field(*column))?);
            }
        }
        let names = Names::new(
            columns
                .iter()
                .zip(&slots)
                .map(|(column, slot)| (schema.field(*column).name().as_str(), *slot)),
        );
        Ok(Self {
            format,
            wrapped,
            delimiter,
            slots,
            positions,
            members: Members {
                columns: built,
                names,
            },
            line: Line::default(),
            marks: Marks::default(),
        })
    }

    /// Appends a value to each column. `false`: the bytes say null, and nothing was appended.
    #[inline]
    fn read(&mut self, bytes: &[u8], rows: usize) -> Fallible<bool> {
        match self.format {
            Format::Json => match self.read_json(bytes, false) {
                Err(fail) if *fail == Fail::Duplicate => {
                    self.truncate(rows);
                    self.read_json(bytes, true)
                }
                result => result,
            },
            Format::Delimited => self.read_delimited(bytes).map(|()| true),
            Format::Kafka => {
                if let [Some(slot)] = self.slots[..] {
                    kafka::append(&mut self.members.columns[slot], bytes)?;
                }
                Ok(true)
            }
            Format::None => Ok(false),
        }
    }

    #[inline]
    fn read_json(&mut self, bytes: &[u8], careful: bool) -> Fallible<bool> {
        if self.slots.is_empty() {
            return Ok(true);
        }
        if self.wrapped {
            return json::object(&mut self.members, &mut self.marks, bytes, careful);
        }
        match self.slots[0] {
            Some(slot) => json::bare(
                &mut self.members.columns[slot],
                &mut self.marks,
                bytes,
                careful,
            ),
            None => Ok(bytes.trim_ascii() != b"null"),
        }
    }

    fn read_delimited(&mut self, bytes: &[u8]) -> Fallible {
        if self.slots.is_empty() {
            return Ok(());
        }
        let line =
            std::str::from_utf8(bytes).map_err(|_| Fail::reason("it is not UTF-8".into()))?;
        if line.is_empty() && self.slots.len() == 1 {
            // A single NULL is written as nothing.
            self.append_nulls();
            return Ok(());
        }
        self.line.split(line, self.delimiter)?;
        if self.line.len() != self.slots.len() {
            return Err(Fail::reason(format!(
                "the record has {} fields, not {}",
                self.line.len(),
                self.slots.len()
            )));
        }
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(slot) = *slot else { continue };
            let column = &mut self.members.columns[slot];
            match self.line.field(line, index) {
                Some(field) => text::append(column, field)
                    .map_err(|fail| fail.within(|| format!("[{index}]")))?,
                None => column.append_null(),
            }
        }
        Ok(())
    }

    fn append_nulls(&mut self) {
        for column in &mut self.members.columns {
            column.append_null();
        }
    }

    fn truncate(&mut self, rows: usize) {
        for column in &mut self.members.columns {
            column.truncate(rows);
        }
    }
}

impl HeaderReader {
    fn read(&mut self, headers: Headers<'_>) -> Fallible {
        match (&self.name, &mut self.column) {
            (Some(name), column) => match headers.last_named(name.as_bytes()).flatten() {
                Some(value) => kafka::append(column, value),
                None => {
                    column.append_null();
                    Ok(())
                }
            },
            (None, Column::List(lists)) => {
                if let Column::Struct(pairs) = lists.items.as_mut() {
                    for header in headers {
                        let [key, value] = &mut pairs.members.columns[..] else {
                            return Err(not_headers());
                        };
                        kafka::append(key, header.key)?;
                        match header.value {
                            Some(bytes) => kafka::append(value, bytes)?,
                            None => value.append_null(),
                        }
                        pairs.close();
                    }
                    lists.close();
                    return Ok(());
                }
                Err(not_headers())
            }
            (None, _) => Err(not_headers()),
        }
    }
}

#[cold]
fn not_headers() -> Box<Fail> {
    Fail::reason("the column of all headers is no array of structs of key and value".into())
}

/// Appends NULLs up to a length.
fn pad(marks: &mut BinaryBuilder, length: usize) {
    use arrow::array::ArrayBuilder;
    marks.append_nulls(length.saturating_sub(marks.len()));
}

/// The key without its window, and the window.
pub(super) fn split_window(bytes: &[u8], kind: KeyWindow) -> Option<(&[u8], i64, i64)> {
    let (rest, last) = bytes.split_last_chunk::<8>()?;
    let start = i64::from_be_bytes(*last);
    match kind {
        KeyWindow::Time { size_ms } => Some((rest, start, start.saturating_add(size_ms))),
        KeyWindow::Session => {
            let (rest, end) = rest.split_last_chunk::<8>()?;
            Some((rest, start, i64::from_be_bytes(*end)))
        }
    }
}

/// Where event time stands in a log's schema, behind the user's columns.
pub(super) fn rowtime_position(schema: &SchemaRef) -> usize {
    schema
        .fields()
        .iter()
        .rposition(|field| field.name() == LOG_ROWTIME)
        .expect("a log's schema has event time")
}
