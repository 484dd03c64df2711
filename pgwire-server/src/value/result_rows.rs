//! Results: from batches to DataRow messages.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use engine::formats::{Column, Zone};

use super::binary::{write_binary, write_sized};
use crate::failure::{Failure, Report};
use crate::sqlstate;
use crate::types::wire_type;
use crate::wire::backend::{self, ColumnDescription};

/// Which columns the client wants in binary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultFormats(Vec<i16>);

impl ResultFormats {
    /// As Bind has them: none means text, one is for all columns.
    pub fn new(codes: Vec<i16>) -> Self {
        ResultFormats(codes)
    }

    pub fn is_binary(&self, column: usize) -> bool {
        let code = match self.0.as_slice() {
            [] => 0,
            [all] => *all,
            codes => codes.get(column).copied().unwrap_or(0),
        };
        code == 1
    }

    /// Whether there is a format for each column.
    pub fn fits(&self, columns: usize) -> bool {
        self.0.len() <= 1 || self.0.len() == columns
    }
}

/// Writes the description of a result's columns.
pub fn describe(out: &mut Vec<u8>, columns: &SchemaRef, formats: &ResultFormats) {
    let columns = columns.fields().iter().enumerate().map(|(n, field)| {
        let wire_type = wire_type(field);
        ColumnDescription {
            name: field.name(),
            type_oid: wire_type.oid,
            type_size: wire_type.size,
            type_modifier: wire_type.modifier,
            binary: formats.is_binary(n),
        }
    });
    backend::row_description(out, columns);
}

/// A batch of which some rows have been written.
pub struct ResultRows {
    columns: Vec<(Column, Option<u32>)>,
    rows: usize,
    next: usize,
}

impl ResultRows {
    /// Makes a batch ready to be written.
    pub fn new(
        batch: &RecordBatch,
        schema: &SchemaRef,
        formats: &ResultFormats,
        zone: &Zone,
    ) -> Result<Self, Failure> {
        let columns = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .enumerate()
            .map(|(n, (field, array))| {
                let column = Column::new(array, field, zone)
                    .map_err(|error| Report::new(sqlstate::INTERNAL_ERROR, error.to_string()))?;
                Ok((column, formats.is_binary(n).then(|| wire_type(field).oid)))
            })
            .collect::<Result<_, Failure>>()?;
        Ok(ResultRows {
            columns,
            rows: batch.num_rows(),
            next: 0,
        })
    }

    /// Whether all rows have been written.
    pub fn is_done(&self) -> bool {
        self.next == self.rows
    }

    /// Writes rows until `rows_max` of them are written or the buffer holds `bytes_max`; gives how many.
    pub fn write(
        &mut self,
        out: &mut Vec<u8>,
        rows_max: u64,
        bytes_max: usize,
    ) -> Result<u64, Failure> {
        let mut written = 0;
        while self.next < self.rows && written < rows_max && out.len() < bytes_max {
            let start = out.len();
            if let Err(failure) = self.write_row(out) {
                // Half a row must not remain.
                out.truncate(start);
                return Err(failure);
            }
            self.next += 1;
            written += 1;
        }
        Ok(written)
    }

    fn write_row(&self, out: &mut Vec<u8>) -> Result<(), Failure> {
        out.push(b'D');
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(self.columns.len() as u16).to_be_bytes());
        for (column, binary) in &self.columns {
            if column.is_null(self.next) {
                out.extend_from_slice(&(-1i32).to_be_bytes());
                continue;
            }
            match binary {
                None => write_sized::<Failure>(out, |out| {
                    column.write_text(self.next, out);
                    Ok(())
                })?,
                Some(oid) => write_sized(out, |out| write_binary(column, self.next, *oid, out))
                    .map_err(|_| {
                        Report::new(
                            sqlstate::FEATURE_NOT_SUPPORTED,
                            "arrays of arrays of different lengths have no binary form",
                        )
                        .with_hint("Ask for the result in text format.")
                    })?,
            }
        }
        backend::set_length(out, at);
        if i32::try_from(out.len() - at).is_err() {
            return Err(Report::new(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                "row is too large for one message",
            )
            .into());
        }
        Ok(())
    }
}
