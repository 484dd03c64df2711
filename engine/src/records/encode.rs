//! Rows into records.

use arrow::array::{Array, AsArray, BinaryArray, Int8Array, Int64Array, RecordBatch};
use arrow::datatypes::{Int8Type, Int64Type};
use arrow_schema::SchemaRef;

use super::build::BatchBuilder;
use super::decode::{Windows, rowtime_position};
use super::delimited;
use super::format::{Format, KeyWindow, RecordFormat};
use super::json::encode as json;
use super::kafka;
use super::mark::Mark;
use crate::catalog::{LOG_MARK, RelationKind};
use crate::error::{Error, Result};
use crate::formats::{self, Values, Zone, write_json_string};

/// Writes the rows of one relation as records.
#[derive(Debug, Clone)]
pub struct RecordEncoder {
    kind: RelationKind,
    key: Part,
    value: Part,
    window: Option<KeyWindow>,
    /// Whether several NULLs are a key.
    key_is_computed: bool,
    /// Positions and names of the columns that are headers.
    headers: Vec<(usize, Option<String>)>,
    rowtime: usize,
    /// Position of the marks, if the log has them.
    mark: Option<usize>,
}

#[derive(Debug, Clone)]
struct Part {
    format: Format,
    wrapped: bool,
    delimiter: char,
    positions: Vec<usize>,
    /// `"name":` of each column.
    names: Vec<Vec<u8>>,
}

/// Rows whose keys and values can be written one by one.
pub struct EncodedRows<'a> {
    encoder: &'a RecordEncoder,
    key: Vec<formats::Column>,
    value: Vec<formats::Column>,
    headers: Vec<formats::Column>,
    rowtimes: &'a Int64Array,
    weights: Option<&'a Int8Array>,
    marks: Option<&'a BinaryArray>,
}

impl RecordEncoder {
    /// For a relation with this schema in the log.
    pub fn new(format: &RecordFormat, log_schema: &SchemaRef, kind: RelationKind) -> Self {
        let part = |format, positions: Vec<usize>, wrapped, delimiter| Part {
            format,
            wrapped,
            delimiter,
            names: positions
                .iter()
                .map(|position| {
                    let mut name = Vec::new();
                    write_json_string(&mut name, log_schema.field(*position).name().as_bytes());
                    name.push(b':');
                    name
                })
                .collect(),
            positions,
        };
        let value_columns = format.value_columns(log_schema);
        let several = value_columns.len() != 1;
        Self {
            kind,
            key: part(
                format.key,
                format.key_columns.clone(),
                format.key_columns.len() > 1,
                format.key_delimiter,
            ),
            value: part(
                format.value,
                value_columns,
                several || format.wrap_single_value,
                format.value_delimiter,
            ),
            window: format.window,
            key_is_computed: format.key_is_computed,
            headers: format
                .headers
                .iter()
                .map(|header| (header.column, header.name.clone()))
                .collect(),
            rowtime: rowtime_position(log_schema),
            mark: match kind {
                RelationKind::Stream => mark_position(log_schema),
                RelationKind::Table => None,
            },
        }
    }

    /// Makes rows in the log's schema ready to be written.
    ///
    /// # Errors
    /// When they are not in that schema.
    pub fn rows<'a>(&'a self, rows: &'a RecordBatch) -> Result<EncodedRows<'a>> {
        let schema = rows.schema();
        let misfit = || Error::Internal("rows are not in the log's schema".into());
        let column = |position: usize| {
            let array = rows.columns().get(position).ok_or_else(misfit)?;
            formats::Column::new(array, schema.field(position), &Zone::UTC)
                .map_err(|error| Error::Internal(format!("rows cannot be encoded: {error}")))
        };
        let columns = |positions: &[usize]| -> Result<Vec<_>> {
            positions.iter().map(|position| column(*position)).collect()
        };
        let headers: Vec<usize> = self.headers.iter().map(|(position, _)| *position).collect();
        let array = |position: usize| rows.columns().get(position).ok_or_else(misfit);
        Ok(EncodedRows {
            encoder: self,
            key: columns(&self.key.positions)?,
            value: columns(&self.value.positions)?,
            headers: columns(&headers)?,
            rowtimes: array(self.rowtime)?
                .as_primitive_opt::<Int64Type>()
                .ok_or_else(misfit)?,
            weights: match self.kind {
                RelationKind::Stream => None,
                RelationKind::Table => Some(
                    array(self.rowtime + 1)?
                        .as_primitive_opt::<Int8Type>()
                        .ok_or_else(misfit)?,
                ),
            },
            marks: match self.mark {
                None => None,
                Some(at) => Some(array(at)?.as_binary_opt::<i32>().ok_or_else(misfit)?),
            },
        })
    }

    /// Appends rows in the log's schema as records. Windowed keys need the windows.
    ///
    /// # Errors
    /// When the rows are not in that schema.
    pub fn encode(
        &self,
        rows: &RecordBatch,
        windows: Option<&Windows>,
        out: &mut BatchBuilder,
    ) -> Result<()> {
        let encoded = self.rows(rows)?;
        let mut scratch = Scratch::default();
        for row in 0..rows.num_rows() {
            encoded.append(row, windows, &mut scratch, out);
        }
        Ok(())
    }
}

/// Buffers that are kept from row to row.
#[derive(Debug, Default)]
pub struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl EncodedRows<'_> {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rowtimes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rowtimes.is_empty()
    }

    /// Milliseconds since the epoch.
    pub fn timestamp(&self, row: usize) -> i64 {
        self.rowtimes.value(row).div_euclid(1000)
    }

    /// Appends the bytes of a row's key without its window; `false` if it is null.
    pub fn write_key(&self, row: usize, out: &mut Vec<u8>) -> bool {
        // A key of NULLs alone is none, unless it was computed.
        let is_key = self.encoder.key_is_computed && self.key.len() > 1;
        if !is_key && self.key.iter().all(|column| column.is_null(row)) {
            return false;
        }
        self.encoder.key.write(&self.key, row, out)
    }

    /// Appends the bytes of a row's value; `false` if it is null.
    pub fn write_value(&self, row: usize, out: &mut Vec<u8>) -> bool {
        if self.is_tombstone(row) || self.mark(row).is_some_and(|mark| mark.null_value) {
            return false;
        }
        self.encoder.value.write(&self.value, row, out)
    }

    /// Whether the row deletes its key.
    pub fn is_tombstone(&self, row: usize) -> bool {
        self.weights
            .is_some_and(|weights| weights.is_valid(row) && weights.value(row) < 0)
    }

    fn mark(&self, row: usize) -> Option<Mark<'_>> {
        let marks = self.marks.filter(|marks| marks.is_valid(row))?;
        Mark::read(marks.value(row))
    }

    /// Appends a row as a record.
    pub fn append(
        &self,
        row: usize,
        windows: Option<&Windows>,
        scratch: &mut Scratch,
        out: &mut BatchBuilder,
    ) {
        let Scratch { key, value } = scratch;
        key.clear();
        value.clear();
        let has_key = self.write_key(row, key);
        if let (true, Some(kind), Some(windows)) = (has_key, self.encoder.window, windows) {
            if kind == KeyWindow::Session {
                key.extend(windows.ends.value(row).to_be_bytes());
            }
            key.extend(windows.starts.value(row).to_be_bytes());
        }
        let has_value = self.write_value(row, value);
        out.append_with_headers(
            self.timestamp(row),
            has_key.then_some(key.as_slice()),
            has_value.then_some(value.as_slice()),
            &self.headers(row),
        );
    }

    fn headers(&self, row: usize) -> Vec<(&[u8], Option<&[u8]>)> {
        let mut headers = Vec::new();
        if let Some(mark) = self.mark(row) {
            headers.extend(mark.headers.map(|header| (header.key, header.value)));
        }
        for (column, (_, name)) in self.headers.iter().zip(&self.encoder.headers) {
            if column.is_null(row) {
                continue;
            }
            match (name, column.values()) {
                (Some(name), Values::Bytes(blobs)) => {
                    headers.push((name.as_bytes(), Some(blobs.value(row))));
                }
                (None, Values::List(offsets, items)) => {
                    if let Values::Struct(members) = items.values()
                        && let [(_, keys), (_, values)] = &members[..]
                        && let (Values::Text(keys), Values::Bytes(blobs)) =
                            (keys.values(), values.values())
                    {
                        for item in offsets[row] as usize..offsets[row + 1] as usize {
                            let value = (!values.is_null(item)).then(|| blobs.value(item));
                            headers.push((keys.value(item).as_bytes(), value));
                        }
                    }
                }
                _ => {}
            }
        }
        headers
    }
}

/// Where marks stand in a log's schema, behind event time.
fn mark_position(log_schema: &SchemaRef) -> Option<usize> {
    let behind = rowtime_position(log_schema) + 1;
    let field = log_schema.fields().get(behind)?;
    (field.name() == LOG_MARK).then_some(behind)
}

impl Part {
    /// Writes the columns of a row; `false` if the bytes are null.
    fn write(&self, columns: &[formats::Column], row: usize, out: &mut Vec<u8>) -> bool {
        match (self.format, columns) {
            (Format::None, _) => false,
            (Format::Kafka, [column]) => {
                if column.is_null(row) {
                    return false;
                }
                kafka::write(column, row, out);
                true
            }
            // Statements see to it that there is one; none at all is nothing.
            (Format::Kafka, _) => true,
            (Format::Json, [column]) if !self.wrapped => {
                if column.is_null(row) {
                    return false;
                }
                json::write(column, row, out);
                true
            }
            (Format::Json, columns) => {
                out.push(b'{');
                for (at, (name, column)) in self.names.iter().zip(columns).enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(name);
                    json::write(column, row, out);
                }
                out.push(b'}');
                true
            }
            (Format::Delimited, columns) => {
                for (at, column) in columns.iter().enumerate() {
                    if at > 0 {
                        let mut encoded = [0; 4];
                        out.extend_from_slice(self.delimiter.encode_utf8(&mut encoded).as_bytes());
                    }
                    if !column.is_null(row) {
                        let start = out.len();
                        json::write_plain(column, row, out);
                        delimited::quote(out, start, at == 0, self.delimiter);
                    }
                }
                true
            }
        }
    }
}
