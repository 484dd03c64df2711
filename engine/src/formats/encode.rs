//! From record batches to the bytes of `COPY … TO STDOUT`.

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use sql::ast::{CopyFormat, CopyHeader, CopyOptions};

use super::column::{Column, write_json_string};
use super::zone::Zone;
use crate::error::{Error, Result};
use crate::response::CopyData;

/// Encodes the data of `COPY … TO STDOUT`.
pub struct RowEncoder {
    schema: SchemaRef,
    format: CopyFormat,
    zone: Zone,
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
    header: bool,
    /// For JSON, what stands before each value: `{"a":`, `,"b":`.
    labels: Vec<Vec<u8>>,
}

impl RowEncoder {
    /// An encoder of rows with these columns. Timestamps with time zone show the clocks of `zone`.
    pub fn new(schema: SchemaRef, options: &CopyOptions, zone: Zone) -> Self {
        let (delimiter, null) = match options.format {
            CopyFormat::Csv => (b',', ""),
            CopyFormat::Text | CopyFormat::Json => (b'\t', "\\N"),
        };
        let quote = options.quote.unwrap_or(b'"');
        let labels = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(n, field)| {
                let mut label = vec![if n == 0 { b'{' } else { b',' }];
                write_json_string(&mut label, field.name().as_bytes());
                label.push(b':');
                label
            })
            .collect();
        RowEncoder {
            schema,
            format: options.format,
            zone,
            delimiter: options.delimiter.unwrap_or(delimiter),
            quote,
            escape: options.escape.unwrap_or(quote),
            null: options.null.as_deref().unwrap_or(null).as_bytes().to_vec(),
            header: options.header != CopyHeader::Absent && options.format != CopyFormat::Json,
            labels,
        }
    }

    /// The header line, the first time, if one was asked for. A result without rows has one too.
    pub fn header(&mut self) -> Option<CopyData> {
        if !std::mem::take(&mut self.header) {
            return None;
        }
        let mut out = Vec::new();
        let fields = self.schema.fields().clone();
        for (n, field) in fields.iter().enumerate() {
            if n > 0 {
                out.push(self.delimiter);
            }
            let from = out.len();
            out.extend_from_slice(field.name().as_bytes());
            self.protect(&mut out, from, fields.len() == 1);
        }
        out.push(b'\n');
        let end = out.len() as u32;
        Some(CopyData {
            bytes: Bytes::from(out),
            ends: vec![end],
            rows: 0,
        })
    }

    /// Encodes all rows of a batch.
    pub fn encode(&self, batch: &RecordBatch) -> Result<CopyData> {
        let columns = self
            .schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| Column::new(array, field, &self.zone))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::Internal(error.to_string()))?;
        let mut out = Vec::with_capacity(batch.num_rows() * columns.len() * 8);
        let mut ends = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            match self.format {
                CopyFormat::Json => self.json_row(&columns, row, &mut out),
                CopyFormat::Text | CopyFormat::Csv => self.plain_row(&columns, row, &mut out),
            }
            out.push(b'\n');
            ends.push(out.len() as u32);
        }
        Ok(CopyData {
            bytes: Bytes::from(out),
            ends,
            rows: batch.num_rows() as u64,
        })
    }

    fn json_row(&self, columns: &[Column], row: usize, out: &mut Vec<u8>) {
        if columns.is_empty() {
            out.push(b'{');
        }
        for (column, label) in columns.iter().zip(&self.labels) {
            out.extend_from_slice(label);
            column.write_json(row, out);
        }
        out.push(b'}');
    }

    fn plain_row(&self, columns: &[Column], row: usize, out: &mut Vec<u8>) {
        for (n, column) in columns.iter().enumerate() {
            if n > 0 {
                out.push(self.delimiter);
            }
            if column.is_null(row) {
                out.extend_from_slice(&self.null);
                continue;
            }
            let from = out.len();
            column.write_text(row, out);
            self.protect(out, from, columns.len() == 1);
        }
    }

    /// Escapes or quotes what has been written since `from`, if it must be.
    fn protect(&self, out: &mut Vec<u8>, from: usize, single: bool) {
        if self.format == CopyFormat::Csv {
            self.quote(out, from, single);
        } else {
            self.escape(out, from);
        }
    }

    fn quote(&self, out: &mut Vec<u8>, from: usize, single: bool) {
        let value = &out[from..];
        let needed = value == self.null
            || (single && value == b"\\.")
            || value.iter().any(|byte| {
                *byte == self.delimiter || *byte == self.quote || matches!(byte, b'\n' | b'\r')
            });
        if !needed {
            return;
        }
        let value = out.split_off(from);
        out.push(self.quote);
        for byte in value {
            if byte == self.quote || byte == self.escape {
                out.push(self.escape);
            }
            out.push(byte);
        }
        out.push(self.quote);
    }

    fn escape(&self, out: &mut Vec<u8>, from: usize) {
        let special =
            |byte: u8| byte == self.delimiter || byte == b'\\' || (0x08..=0x0d).contains(&byte);
        if !out[from..].iter().any(|byte| special(*byte)) {
            return;
        }
        let value = out.split_off(from);
        for byte in value {
            let letter = match byte {
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0b => b'v',
                0x0c => b'f',
                b'\r' => b'r',
                other => {
                    if other == self.delimiter || other == b'\\' {
                        out.push(b'\\');
                    }
                    out.push(other);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', letter]);
        }
    }
}
