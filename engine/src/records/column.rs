//! Columns that grow value by value and can forget the last ones.
//!
//! A record turns out to be bad only after some of its columns have been read, so every column can be
//! cut back to the rows before it. Formats append to the variants directly.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    ListArray, MapArray, NullBufferBuilder, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, IntervalMonthDayNano};
use arrow::error::ArrowError;
use arrow_schema::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};

use super::names::Names;
use crate::error::{Error, Result};
use crate::formats::{logical_type, text_length};

/// Bytes of one column at the most: Arrow's offsets have 31 bits.
const BYTES_MAX: usize = i32::MAX as usize;

/// A column under construction.
pub(super) enum Column {
    Boolean(Booleans),
    Int16(Numbers<i16>),
    Int32(Numbers<i32>),
    Int64(Numbers<i64>),
    Float32(Numbers<f32>),
    Float64(Numbers<f64>),
    Decimal(Numbers<i128>, Decimals),
    /// Days.
    Date(Numbers<i32>),
    /// Microseconds of the day.
    Time(Numbers<i64>),
    /// Microseconds, and the time zone.
    Timestamp(Numbers<i64>, Option<Arc<str>>),
    Interval(Numbers<IntervalMonthDayNano>),
    Text(Blobs, TextKind),
    Binary(Blobs),
    List(Lists),
    Struct(Structs),
    Map(Maps),
}

/// Precision and scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimals {
    pub precision: u8,
    pub scale: i8,
}

/// What a text must be.
#[derive(Debug, Clone)]
pub(super) enum TextKind {
    Plain,
    /// At most so many characters; with the type's name.
    Limited(usize, String),
    Uuid,
    /// One JSON value as it is written.
    Json,
    /// One JSON value in the planner's canonical form.
    Jsonb(FieldRef),
}

pub(super) struct Booleans {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
}

pub(super) struct Numbers<T> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
}

/// Texts or byte strings, one behind the other.
pub(super) struct Blobs {
    pub data: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

pub(super) struct Lists {
    pub items: Box<Column>,
    field: FieldRef,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

pub(super) struct Structs {
    pub members: Members,
    fields: Fields,
    nulls: NullBufferBuilder,
}

pub(super) struct Maps {
    pub keys: Box<Column>,
    pub values: Box<Column>,
    entries: FieldRef,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

/// Columns that are found by name, as those of an object.
pub(super) struct Members {
    pub columns: Vec<Column>,
    pub names: Names,
}

impl Members {
    fn truncate(&mut self, rows: usize) {
        for column in &mut self.columns {
            column.truncate(rows);
        }
    }
}

impl<T: ArrowNativeType> Numbers<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            nulls: NullBufferBuilder::new(0),
        }
    }

    #[inline]
    pub fn append(&mut self, value: T) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    #[inline]
    fn append_null(&mut self) {
        self.values.push(T::default());
        self.nulls.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    fn finish(&mut self) -> (ScalarBuffer<T>, Option<NullBuffer>) {
        (std::mem::take(&mut self.values).into(), self.nulls.finish())
    }

    /// The last value, `None` if it is NULL.
    pub fn last(&self) -> Option<T> {
        let row = self.values.len().checked_sub(1)?;
        self.nulls.is_valid(row).then(|| self.values[row])
    }
}

impl Booleans {
    #[inline]
    pub fn append(&mut self, value: bool) {
        self.values.append(value);
        self.nulls.append_non_null();
    }
}

impl Blobs {
    fn new() -> Self {
        Self {
            data: Vec::new(),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        }
    }

    /// Appends a value; `false` if it does not fit any more.
    #[inline]
    #[must_use]
    pub fn append(&mut self, value: &[u8]) -> bool {
        self.data.extend_from_slice(value);
        self.close()
    }

    /// Ends a value that was written to `data`; `false` if it does not fit any more.
    #[inline]
    #[must_use]
    pub fn close(&mut self) -> bool {
        if self.data.len() > BYTES_MAX {
            return false;
        }
        self.offsets.push(self.data.len() as i32);
        self.nulls.append_non_null();
        true
    }

    #[inline]
    fn append_null(&mut self) {
        self.offsets.push(self.data.len() as i32);
        self.nulls.append_null();
    }

    /// A value that is not NULL.
    pub fn value(&self, row: usize) -> &[u8] {
        &self.data[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    /// Where the value that is being written begins in `data`.
    pub fn open(&self) -> usize {
        self.offsets[self.offsets.len() - 1] as usize
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.data.truncate(self.open());
        self.nulls.truncate(rows);
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let data = std::mem::take(&mut self.data);
        (
            OffsetBuffer::new(offsets.into()),
            Buffer::from_vec(data),
            self.nulls.finish(),
        )
    }

    /// The last value, `None` if it is NULL.
    pub fn last(&self) -> Option<&[u8]> {
        let row = self.len().checked_sub(1)?;
        self.nulls
            .is_valid(row)
            .then(|| &self.data[self.offsets[row] as usize..])
    }
}

impl Lists {
    /// Ends a list whose items have been appended.
    pub fn close(&mut self) {
        self.offsets.push(self.items.len() as i32);
        self.nulls.append_non_null();
    }

    fn append_null(&mut self) {
        self.offsets.push(self.items.len() as i32);
        self.nulls.append_null();
    }
}

impl Maps {
    /// Ends a map whose entries have been appended.
    pub fn close(&mut self) {
        self.offsets.push(self.keys.len() as i32);
        self.nulls.append_non_null();
    }

    fn append_null(&mut self) {
        self.offsets.push(self.keys.len() as i32);
        self.nulls.append_null();
    }

    /// Entries of the map that is being written.
    pub fn open(&self) -> std::ops::Range<usize> {
        self.offsets[self.offsets.len() - 1] as usize..self.keys.len()
    }
}

impl Structs {
    /// Ends a struct whose members have been appended.
    pub fn close(&mut self) {
        self.nulls.append_non_null();
    }
}

impl Column {
    /// For a field of a relation.
    ///
    /// # Errors
    /// When the type is none that a column of a relation can have.
    pub fn new(field: &Field) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::Boolean => Column::Boolean(Booleans {
                values: BooleanBufferBuilder::new(0),
                nulls: NullBufferBuilder::new(0),
            }),
            DataType::Int16 => Column::Int16(Numbers::new()),
            DataType::Int32 => Column::Int32(Numbers::new()),
            DataType::Int64 => Column::Int64(Numbers::new()),
            DataType::Float32 => Column::Float32(Numbers::new()),
            DataType::Float64 => Column::Float64(Numbers::new()),
            DataType::Decimal128(precision, scale) => Column::Decimal(
                Numbers::new(),
                Decimals {
                    precision: *precision,
                    scale: *scale,
                },
            ),
            DataType::Date32 => Column::Date(Numbers::new()),
            DataType::Time64(TimeUnit::Microsecond) => Column::Time(Numbers::new()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Column::Timestamp(Numbers::new(), zone.clone())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => Column::Interval(Numbers::new()),
            DataType::Utf8 => Column::Text(Blobs::new(), text_kind(field)),
            DataType::Binary => Column::Binary(Blobs::new()),
            DataType::List(item) => Column::List(Lists {
                items: Box::new(Column::new(item)?),
                field: item.clone(),
                offsets: vec![0],
                nulls: NullBufferBuilder::new(0),
            }),
            DataType::Struct(fields) => Column::Struct(Structs {
                members: Members {
                    columns: fields
                        .iter()
                        .map(|field| Column::new(field))
                        .collect::<Result<_>>()?,
                    names: Names::new(
                        fields
                            .iter()
                            .enumerate()
                            .map(|(at, field)| (field.name().as_str(), Some(at))),
                    ),
                },
                fields: fields.clone(),
                nulls: NullBufferBuilder::new(0),
            }),
            DataType::Map(entries, false) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => Column::Map(Maps {
                    keys: Box::new(Column::new(&pair[0])?),
                    values: Box::new(Column::new(&pair[1])?),
                    entries: entries.clone(),
                    offsets: vec![0],
                    nulls: NullBufferBuilder::new(0),
                }),
                _ => return Err(no_column(field)),
            },
            _ => return Err(no_column(field)),
        })
    }

    /// Values so far.
    pub fn len(&self) -> usize {
        match self {
            Column::Boolean(booleans) => booleans.values.len(),
            Column::Int16(numbers) => numbers.values.len(),
            Column::Int32(numbers) | Column::Date(numbers) => numbers.values.len(),
            Column::Int64(numbers) | Column::Time(numbers) | Column::Timestamp(numbers, _) => {
                numbers.values.len()
            }
            Column::Float32(numbers) => numbers.values.len(),
            Column::Float64(numbers) => numbers.values.len(),
            Column::Decimal(numbers, _) => numbers.values.len(),
            Column::Interval(numbers) => numbers.values.len(),
            Column::Text(blobs, _) | Column::Binary(blobs) => blobs.len(),
            Column::List(lists) => lists.offsets.len() - 1,
            Column::Struct(structs) => structs.nulls.len(),
            Column::Map(maps) => maps.offsets.len() - 1,
        }
    }

    pub fn append_null(&mut self) {
        match self {
            Column::Boolean(booleans) => {
                booleans.values.append(false);
                booleans.nulls.append_null();
            }
            Column::Int16(numbers) => numbers.append_null(),
            Column::Int32(numbers) | Column::Date(numbers) => numbers.append_null(),
            Column::Int64(numbers) | Column::Time(numbers) | Column::Timestamp(numbers, _) => {
                numbers.append_null();
            }
            Column::Float32(numbers) => numbers.append_null(),
            Column::Float64(numbers) => numbers.append_null(),
            Column::Decimal(numbers, _) => numbers.append_null(),
            Column::Interval(numbers) => numbers.append_null(),
            Column::Text(blobs, _) | Column::Binary(blobs) => blobs.append_null(),
            Column::List(lists) => lists.append_null(),
            Column::Struct(structs) => {
                for column in &mut structs.members.columns {
                    column.append_null();
                }
                structs.nulls.append_null();
            }
            Column::Map(maps) => maps.append_null(),
        }
    }

    /// Forgets all but the first values; what stands behind the last whole value goes as well.
    pub fn truncate(&mut self, rows: usize) {
        match self {
            Column::Boolean(booleans) => {
                booleans.values.truncate(rows);
                booleans.nulls.truncate(rows);
            }
            Column::Int16(numbers) => numbers.truncate(rows),
            Column::Int32(numbers) | Column::Date(numbers) => numbers.truncate(rows),
            Column::Int64(numbers) | Column::Time(numbers) | Column::Timestamp(numbers, _) => {
                numbers.truncate(rows);
            }
            Column::Float32(numbers) => numbers.truncate(rows),
            Column::Float64(numbers) => numbers.truncate(rows),
            Column::Decimal(numbers, _) => numbers.truncate(rows),
            Column::Interval(numbers) => numbers.truncate(rows),
            Column::Text(blobs, _) | Column::Binary(blobs) => blobs.truncate(rows),
            Column::List(lists) => {
                lists.offsets.truncate(rows + 1);
                lists.nulls.truncate(rows);
                lists.items.truncate(last(&lists.offsets));
            }
            Column::Struct(structs) => {
                structs.members.truncate(rows);
                structs.nulls.truncate(rows);
            }
            Column::Map(maps) => {
                maps.offsets.truncate(rows + 1);
                maps.nulls.truncate(rows);
                let entries = last(&maps.offsets);
                maps.keys.truncate(entries);
                maps.values.truncate(entries);
            }
        }
    }

    /// The array, and the column is empty again.
    ///
    /// # Errors
    /// When the values do not make an array, which would be our own fault.
    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        macro_rules! primitive {
            ($array:ident, $numbers:expr) => {{
                let (values, nulls) = $numbers.finish();
                Arc::new($array::try_new(values, nulls)?)
            }};
        }
        Ok(match self {
            Column::Boolean(booleans) => Arc::new(BooleanArray::new(
                booleans.values.finish(),
                booleans.nulls.finish(),
            )),
            Column::Int16(numbers) => primitive!(Int16Array, numbers),
            Column::Int32(numbers) => primitive!(Int32Array, numbers),
            Column::Int64(numbers) => primitive!(Int64Array, numbers),
            Column::Float32(numbers) => primitive!(Float32Array, numbers),
            Column::Float64(numbers) => primitive!(Float64Array, numbers),
            Column::Date(numbers) => primitive!(Date32Array, numbers),
            Column::Time(numbers) => primitive!(Time64MicrosecondArray, numbers),
            Column::Interval(numbers) => primitive!(IntervalMonthDayNanoArray, numbers),
            Column::Decimal(numbers, decimals) => {
                let (values, nulls) = numbers.finish();
                Arc::new(
                    Decimal128Array::try_new(values, nulls)?
                        .with_precision_and_scale(decimals.precision, decimals.scale)?,
                )
            }
            Column::Timestamp(numbers, zone) => {
                let (values, nulls) = numbers.finish();
                Arc::new(
                    TimestampMicrosecondArray::try_new(values, nulls)?
                        .with_timezone_opt(zone.clone()),
                )
            }
            Column::Text(blobs, _) => {
                let (offsets, data, nulls) = blobs.finish();
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            Column::Binary(blobs) => {
                let (offsets, data, nulls) = blobs.finish();
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            Column::List(lists) => Arc::new(ListArray::try_new(
                lists.field.clone(),
                finish_offsets(&mut lists.offsets),
                lists.items.finish()?,
                lists.nulls.finish(),
            )?),
            Column::Struct(structs) => {
                let rows = structs.nulls.len();
                let nulls = structs.nulls.finish();
                let columns = structs
                    .members
                    .columns
                    .iter_mut()
                    .map(Column::finish)
                    .collect::<Result<_, _>>()?;
                let fields = structs.fields.clone();
                Arc::new(StructArray::try_new_with_length(
                    fields, columns, nulls, rows,
                )?)
            }
            Column::Map(maps) => {
                let DataType::Struct(pair) = maps.entries.data_type() else {
                    unreachable!("checked when the column was made");
                };
                let entries = StructArray::try_new(
                    pair.clone(),
                    vec![maps.keys.finish()?, maps.values.finish()?],
                    None,
                )?;
                Arc::new(MapArray::try_new(
                    maps.entries.clone(),
                    finish_offsets(&mut maps.offsets),
                    entries,
                    maps.nulls.finish(),
                    false,
                )?)
            }
        })
    }

    /// What the type is called in messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Column::Boolean(_) => "boolean",
            Column::Int16(_) => "smallint",
            Column::Int32(_) => "integer",
            Column::Int64(_) => "bigint",
            Column::Float32(_) => "real",
            Column::Float64(_) => "double precision",
            Column::Decimal(..) => "numeric",
            Column::Date(_) => "date",
            Column::Time(_) => "time",
            Column::Timestamp(..) => "timestamp",
            Column::Interval(_) => "interval",
            Column::Text(_, TextKind::Uuid) => "uuid",
            Column::Text(_, TextKind::Json) => "json",
            Column::Text(_, TextKind::Jsonb(_)) => "jsonb",
            Column::Text(..) => "text",
            Column::Binary(_) => "bytea",
            Column::List(_) => "array",
            Column::Struct(_) => "struct",
            Column::Map(_) => "map",
        }
    }
}

fn text_kind(field: &Field) -> TextKind {
    match logical_type(field) {
        Some("uuid") => TextKind::Uuid,
        Some("json") => TextKind::Json,
        Some("jsonb") => TextKind::Jsonb(Arc::new(field.clone())),
        _ => match text_length(field) {
            Some((name, length)) => TextKind::Limited(length, format!("{name}({length})")),
            None => TextKind::Plain,
        },
    }
}

fn last(offsets: &[i32]) -> usize {
    offsets[offsets.len() - 1] as usize
}

fn finish_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into())
}

fn no_column(field: &Field) -> Error {
    Error::Internal(format!(
        "column \"{}\" has the type {}, which no record has",
        field.name(),
        field.data_type()
    ))
}
