//! From bytes, cut anywhere, to record batches.
//!
//! ```text
//!  bytes ──► block ──Splitter──► Rows (ranges of the block) ──one column after the other──► RecordBatch
//! ```
//!
//! Invariants:
//! - `block[..split_to]` are the bytes of `rows`; behind it stands the beginning of a row at most.
//! - What comes out does not depend on how the bytes were cut.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use sql::ast::{CopyFormat, CopyHeader, CopyOptions};

use super::build::build_column;
use super::csv::CsvSplitter;
use super::json::JsonSplitter;
use super::rows::{Checked, RowError, Rows, Splitter};
use super::text::TextSplitter;
use super::zone::Zone;
use crate::error::{DataError, DataErrorKind, Error, Result, StatementError, StatementErrorKind};

/// Rows in a batch, at most.
const BATCH_ROWS: usize = 8192;
/// A batch is finished when its rows have so many bytes, however few they are.
const BATCH_BYTES: usize = 8 << 20;
/// Longer input is taken in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;
/// The longest row.
const ROW_BYTES_MAX: usize = 256 << 20;
/// A beginning of a row longer than this is only looked at again when it has doubled, so that long rows that come in
/// small pieces cost no more than twice their length.
const PATIENCE_BYTES: usize = 64 << 10;

/// Decodes the data of `COPY … FROM STDIN`.
pub struct RowDecoder {
    relation: String,
    schema: SchemaRef,
    zone: Zone,
    json: bool,
    header: CopyHeader,
    splitter: Box<dyn Splitter>,
    block: Vec<u8>,
    split_to: usize,
    rows: Rows,
    /// So many bytes behind `split_to` are needed before it is worth looking again.
    patience: usize,
}

impl RowDecoder {
    /// A decoder of rows for these columns. `relation` is named in errors; timestamps without a zone are meant in
    /// `zone`.
    pub fn new(
        relation: impl Into<String>,
        schema: SchemaRef,
        options: &CopyOptions,
        zone: Zone,
    ) -> Self {
        let null = |default: &str| {
            options
                .null
                .as_deref()
                .unwrap_or(default)
                .as_bytes()
                .to_vec()
        };
        let splitter: Box<dyn Splitter> = match options.format {
            CopyFormat::Text => Box::new(TextSplitter::new(
                options.delimiter.unwrap_or(b'\t'),
                null("\\N"),
            )),
            CopyFormat::Csv => {
                let quote = options.quote.unwrap_or(b'"');
                Box::new(CsvSplitter::new(
                    options.delimiter.unwrap_or(b','),
                    quote,
                    options.escape.unwrap_or(quote),
                    null(""),
                ))
            }
            CopyFormat::Json => {
                let names = schema
                    .fields()
                    .iter()
                    .map(|field| field.name().clone())
                    .collect();
                Box::new(JsonSplitter::new(names))
            }
        };
        let json = options.format == CopyFormat::Json;
        RowDecoder {
            relation: relation.into(),
            schema,
            zone,
            json,
            header: if json {
                CopyHeader::Absent
            } else {
                options.header
            },
            splitter,
            block: Vec::new(),
            split_to: 0,
            rows: Rows::default(),
            patience: 0,
        }
    }

    /// Columns of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows that have been read but not given out yet.
    pub fn pending_rows(&self) -> usize {
        self.rows.len()
    }

    /// Takes bytes, cut anywhere; gives the batches that are full. The rest waits for more, or for
    /// [`RowDecoder::flush`].
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for piece in bytes.chunks(PIECE_BYTES) {
            if self.splitter.ended() {
                break;
            }
            self.block.extend_from_slice(piece);
            self.advance(false, &mut batches)?;
        }
        Ok(batches)
    }

    /// Gives out the complete rows that are waiting.
    pub fn flush(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows.len() == 0 {
            Ok(None)
        } else {
            self.take_batch().map(Some)
        }
    }

    /// The end of the data: gives out everything, also a last row without line end.
    pub fn finish(&mut self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        if !self.splitter.ended() {
            self.patience = 0;
            self.advance(true, &mut batches)?;
        }
        batches.extend(self.flush()?);
        Ok(batches)
    }

    fn advance(&mut self, last: bool, batches: &mut Vec<RecordBatch>) -> Result<()> {
        if self.header != CopyHeader::Absent && !self.header(last)? {
            return Ok(());
        }
        loop {
            if !last && self.block.len() - self.split_to < self.patience {
                return Ok(());
            }
            let before = self.rows.len();
            self.split_to = self
                .splitter
                .split(&self.block, self.split_to, last, &mut self.rows, BATCH_ROWS)
                .map_err(|error| self.row_error(error))?;
            if !self.json {
                self.check_widths(before)?;
            }
            if self.rows.len() < BATCH_ROWS && self.split_to < BATCH_BYTES {
                break;
            }
            if self.rows.len() > 0 {
                batches.push(self.take_batch()?);
            } else {
                self.forget();
            }
        }
        let partial = self.block.len() - self.split_to;
        if partial > ROW_BYTES_MAX {
            let message = format!("row is longer than {ROW_BYTES_MAX} bytes");
            return Err(DataError::new(DataErrorKind::StringTooLong, message).into());
        }
        self.patience = if partial > PATIENCE_BYTES {
            partial * 2
        } else {
            0
        };
        Ok(())
    }

    /// Every row must have a cell for each column: from here on the place of a cell is computed, not kept.
    fn check_widths(&self, first: usize) -> Result<()> {
        let columns = self.schema.fields().len();
        for row in first..self.rows.len() {
            let width = self.rows.width(row);
            let message = if width > columns {
                "extra data after last expected column".to_owned()
            } else if width < columns {
                format!(
                    "missing data for column \"{}\"",
                    self.schema.field(width).name()
                )
            } else {
                continue;
            };
            let (line, range) = self.rows.place(row);
            return Err(self.row_error(RowError::new(line, range, message)));
        }
        Ok(())
    }

    /// Reads the header; false if it is not complete.
    fn header(&mut self, last: bool) -> Result<bool> {
        let mut rows = Rows::default();
        let end = self
            .splitter
            .split(&self.block, self.split_to, last, &mut rows, 1)
            .map_err(|error| self.row_error(error))?;
        if rows.len() == 0 {
            return Ok(last);
        }
        if self.header == CopyHeader::Match {
            self.match_header(&rows)?;
        }
        self.header = CopyHeader::Absent;
        self.split_to = end;
        self.forget();
        Ok(true)
    }

    fn match_header(&self, rows: &Rows) -> Result<()> {
        let (line, range) = rows.place(0);
        let error = |message: String| self.row_error(RowError::new(line, range.clone(), message));
        let fields = self.schema.fields();
        if rows.cell_count() != fields.len() {
            return Err(error(format!(
                "wrong number of fields in header line: got {}, expected {}",
                rows.cell_count(),
                fields.len()
            )));
        }
        for (cell, field) in fields.iter().enumerate() {
            let expected = field.name();
            match rows.bytes(&self.block, cell) {
                Some(name) if name == expected.as_bytes() => {}
                Some(name) => {
                    return Err(error(format!(
                        "column name mismatch in header line field {}: got \"{}\", expected \"{expected}\"",
                        cell + 1,
                        String::from_utf8_lossy(name)
                    )));
                }
                None => {
                    return Err(error(format!(
                        "column name mismatch in header line field {}: got null value, expected \"{expected}\"",
                        cell + 1
                    )));
                }
            }
        }
        Ok(())
    }

    fn take_batch(&mut self) -> Result<RecordBatch> {
        let row_count = self.rows.len();
        let fields = self.schema.fields();
        let mut arrays = Vec::with_capacity(fields.len());
        {
            let block = &self.block[..self.split_to];
            let checked = Checked::new(&self.rows, block, fields.len());
            for (column, field) in fields.iter().enumerate() {
                let array =
                    build_column(&checked.column(column), field, &self.zone).map_err(|error| {
                        let cell = self.rows.bytes(block, error.row * fields.len() + column);
                        self.cell_error(error.row, field.name(), cell, error.error)
                    })?;
                if !field.is_nullable() && array.null_count() > 0 {
                    let row = (0..row_count).find(|row| array.is_null(*row)).unwrap_or(0);
                    return Err(self.null_error(row, field.name()));
                }
                arrays.push(array);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(row_count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| Error::Internal(error.to_string()))?;
        self.forget();
        Ok(batch)
    }

    /// Forgets the rows and their bytes.
    fn forget(&mut self) {
        self.rows.clear();
        self.block.drain(..self.split_to);
        self.split_to = 0;
    }

    #[cold]
    fn row_error(&self, error: RowError) -> Error {
        let row = self.block.get(error.row).unwrap_or_default();
        let mut data = error.error;
        data.context = Some(format!(
            "COPY {}, line {}: {}",
            self.relation,
            error.line,
            shown(row.trim_ascii_end())
        ));
        data.into()
    }

    #[cold]
    fn cell_error(
        &self,
        row: usize,
        column: &str,
        cell: Option<&[u8]>,
        mut error: DataError,
    ) -> Error {
        let (line, _) = self.rows.place(row);
        let value = cell.map_or("null input".to_owned(), shown);
        error.context = Some(format!(
            "COPY {}, line {line}, column {column}: {value}",
            self.relation
        ));
        error.into()
    }

    #[cold]
    fn null_error(&self, row: usize, column: &str) -> Error {
        let (line, range) = self.rows.place(row);
        let row = self.block.get(range).unwrap_or_default();
        StatementError::new(
            StatementErrorKind::NotNullViolation,
            format!(
                "null value in column \"{column}\" of relation \"{}\" violates not-null constraint",
                self.relation
            ),
        )
        .with_detail(format!("line {line}: {}", shown(row.trim_ascii_end())))
        .into()
    }
}

/// A piece of input in quotes, shortened if it is long.
fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 100;
    let text = String::from_utf8_lossy(bytes);
    if text.chars().count() <= SHOWN_MAX {
        format!("\"{text}\"")
    } else {
        let head: String = text.chars().take(SHOWN_MAX).collect();
        format!("\"{head}...\"")
    }
}

/// A schema of these columns of another one, as `COPY relation (columns)` has it.
pub fn project(schema: &Schema, columns: &[usize]) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .iter()
            .map(|column| schema.fields()[*column].clone())
            .collect::<Vec<_>>(),
    ))
}
