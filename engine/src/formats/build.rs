//! Columns from texts.
//!
//! The splitters of all formats leave the same thing behind: for each cell a text or NULL. Here one column of such
//! cells becomes an Arrow array. The loop over the cells is inside the type's own branch, so that each type costs
//! one dispatch a column.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder,
    GenericStringBuilder, ListArray, NullArray, OffsetSizeTrait, PrimitiveBuilder,
    StringViewBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, i256,
};
use arrow::error::ArrowError;
use arrow_schema::{DataType, Field, FieldRef, IntervalUnit, Schema, TimeUnit};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::datetime::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
use super::interval::parse_interval;
use super::literal::{Element, split_array};
use super::parse::{
    Misfit, check_json, parse_bool, parse_bytea, parse_decimal, parse_float, parse_int,
    parse_small_int, parse_uuid,
};
use super::types::{is_json, logical_type, text_length, type_name};
use super::zone::Zone;
use crate::error::{DataError, DataErrorKind};

/// The cells of one column.
pub trait Cells {
    /// How many there are.
    fn len(&self) -> usize;
    /// The text of a cell, `None` for NULL. The error is a text that is not UTF-8.
    fn get(&self, row: usize) -> Result<Option<&str>, BadUtf8>;
}

/// A text that is not UTF-8, at its first bad byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadUtf8(pub u8);

impl Cells for [Option<String>] {
    fn len(&self) -> usize {
        <[Option<String>]>::len(self)
    }

    fn get(&self, row: usize) -> Result<Option<&str>, BadUtf8> {
        Ok(self[row].as_deref())
    }
}

/// A cell that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellError {
    /// Which one.
    pub row: usize,
    /// What is wrong with it.
    pub error: DataError,
}

impl CellError {
    fn new(row: usize, kind: DataErrorKind, message: String) -> Self {
        CellError {
            row,
            error: DataError::new(kind, message),
        }
    }
}

/// One value from its text, by Postgres' rules.
pub fn parse_value(text: Option<&str>, field: &Field, zone: &Zone) -> Result<ArrayRef, DataError> {
    let cells = [text.map(str::to_owned)];
    build_column(cells.as_slice(), field, zone).map_err(|error| error.error)
}

/// A column from texts, `None` for NULL.
pub fn build_texts(
    texts: &[Option<String>],
    field: &Field,
    zone: &Zone,
) -> Result<ArrayRef, DataError> {
    build_column(texts, field, zone).map_err(|error| error.error)
}

/// Reads all cells of a column.
pub fn build_column<C: Cells + ?Sized>(
    cells: &C,
    field: &Field,
    zone: &Zone,
) -> Result<ArrayRef, CellError> {
    let reader = Reader { cells, field };
    match field.data_type() {
        DataType::Null => Ok(Arc::new(NullArray::new(cells.len()))),
        DataType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(cells.len());
            reader.each(parse_bool, |value| builder.append_option(value))?;
            Ok(Arc::new(builder.finish()))
        }
        DataType::Int16 => reader.primitive::<Int16Type>(parse_small_int),
        DataType::Int32 => reader.primitive::<Int32Type>(parse_small_int),
        DataType::Int64 => reader.primitive::<Int64Type>(parse_int),
        DataType::Float32 => reader.primitive::<Float32Type>(parse_float),
        DataType::Float64 => reader.primitive::<Float64Type>(parse_float),
        DataType::Decimal128(precision, scale) => {
            reader.primitive::<Decimal128Type>(|text| parse_decimal(text, *precision, *scale))
        }
        DataType::Decimal256(precision, scale) => reader.primitive::<Decimal256Type>(|text| {
            let text = text.trim_ascii();
            arrow::compute::kernels::cast_utils::parse_decimal::<Decimal256Type>(
                text, *precision, *scale,
            )
            .or_else(|_| i256::from_str(text).map_err(|_| Misfit::Syntax))
        }),
        DataType::Date32 => reader.primitive::<Date32Type>(parse_date),
        DataType::Time64(TimeUnit::Microsecond) => {
            reader.primitive::<Time64MicrosecondType>(parse_time)
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            reader.primitive::<TimestampMicrosecondType>(parse_timestamp)
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            reader.primitive::<TimestampMicrosecondType>(|text| parse_timestamptz(text, zone))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            reader.primitive::<IntervalMonthDayNanoType>(parse_interval)
        }
        DataType::Utf8 => reader.string::<i32>(),
        DataType::LargeUtf8 => reader.string::<i64>(),
        DataType::Utf8View => {
            let mut builder = StringViewBuilder::with_capacity(cells.len());
            reader.texts(|value| builder.append_option(value))?;
            reader.canonical(Arc::new(builder.finish()))
        }
        DataType::Binary => {
            let mut builder = BinaryBuilder::with_capacity(cells.len(), 0);
            reader.each(parse_bytea, |value| builder.append_option(value))?;
            Ok(Arc::new(builder.finish()))
        }
        DataType::FixedSizeBinary(16) => {
            let mut builder = FixedSizeBinaryBuilder::with_capacity(cells.len(), 16);
            reader.each(parse_uuid, |value| match value {
                Some(value) => builder.append_value(value).expect("a UUID has 16 bytes"),
                None => builder.append_null(),
            })?;
            Ok(Arc::new(builder.finish()))
        }
        DataType::List(item) => build_list(cells, field, item, zone),
        DataType::Struct(_) | DataType::Map(_, _) => build_nested(cells, field),
        other => {
            // Types that have a plain sister are read as that and converted.
            let Some(plain) = plain_type(other) else {
                let message = format!("type {} cannot be read from text", type_name(field));
                return Err(CellError::new(0, DataErrorKind::InvalidText, message));
            };
            let sister = field.clone().with_data_type(plain);
            let array = build_column(cells, &sister, zone)?;
            let options = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            cast_with_options(&array, other, &options).map_err(|error| arrow_error(0, &error))
        }
    }
}

/// A type of the same values that is read directly.
fn plain_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(item.clone())
        }
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        _ => return None,
    })
}

/// A text no longer than allowed; spaces beyond that fall away.
fn limited(text: &str, length_max: usize) -> Result<&str, Misfit> {
    match text.char_indices().nth(length_max) {
        None => Ok(text),
        Some((end, _)) if text[end..].bytes().all(|byte| byte == b' ') => Ok(&text[..end]),
        Some(_) => Err(Misfit::TooLong),
    }
}

fn json(text: &str) -> Result<&str, Misfit> {
    check_json(text).map(|()| text)
}

/// Reads cells of one field.
struct Reader<'a, C: ?Sized> {
    cells: &'a C,
    field: &'a Field,
}

impl<'a, C: Cells + ?Sized> Reader<'a, C> {
    #[inline]
    fn each<T>(
        &self,
        parse: impl Fn(&'a str) -> Result<T, Misfit>,
        mut append: impl FnMut(Option<T>),
    ) -> Result<(), CellError> {
        for row in 0..self.cells.len() {
            match self.cells.get(row) {
                Ok(Some(text)) => match parse(text) {
                    Ok(value) => append(Some(value)),
                    Err(misfit) => return Err(self.misfit(row, text, misfit)),
                },
                Ok(None) => append(None),
                Err(bad) => return Err(bad_utf8(row, bad)),
            }
        }
        Ok(())
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        parse: impl Fn(&str) -> Result<T::Native, Misfit>,
    ) -> Result<ArrayRef, CellError> {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(self.cells.len())
            .with_data_type(self.field.data_type().clone());
        self.each(parse, |value| builder.append_option(value))?;
        Ok(Arc::new(builder.finish()))
    }

    fn string<O: OffsetSizeTrait>(&self) -> Result<ArrayRef, CellError> {
        let mut builder =
            GenericStringBuilder::<O>::with_capacity(self.cells.len(), self.cells.len() * 8);
        self.texts(|value| builder.append_option(value))?;
        self.canonical(Arc::new(builder.finish()))
    }

    /// Texts, checked for what the SQL type makes of them.
    fn texts(&self, mut append: impl FnMut(Option<&str>)) -> Result<(), CellError> {
        if is_json(self.field) {
            return self.each(json, append);
        }
        if logical_type(self.field) == Some("uuid") {
            let canonical = |text| {
                let bytes = parse_uuid(text)?;
                Ok(uuid::Uuid::from_bytes(bytes).hyphenated().to_string())
            };
            return self.each(canonical, |value| append(value.as_deref()));
        }
        match text_length(self.field) {
            Some((_, length_max)) => self.each(|text| limited(text, length_max), append),
            None => self.each(Ok, append),
        }
    }

    /// `JSONB` is kept in one form, which the planner's conversion knows.
    fn canonical(&self, texts: ArrayRef) -> Result<ArrayRef, CellError> {
        if logical_type(self.field) != Some("jsonb") {
            return Ok(texts);
        }
        let failed = |error: DataFusionError| {
            CellError::new(0, DataErrorKind::InvalidJson, error.strip_backtrace())
        };
        let convert = planner::functions::functions()
            .scalar(planner::functions::TO_JSONB)
            .expect("the planner's own functions are registered");
        let plain: FieldRef = Arc::new(Field::new("text", DataType::Utf8, true));
        let texts = cast_with_options(&texts, &DataType::Utf8, &CastOptions::default())
            .map_err(|error| arrow_error(0, &error))?;
        let converted = convert
            .invoke_with_args(ScalarFunctionArgs {
                number_rows: texts.len(),
                args: vec![ColumnarValue::Array(texts)],
                arg_fields: vec![plain.clone()],
                return_field: plain,
                config_options: Arc::default(),
            })
            .and_then(|value| value.into_array(self.cells.len()))
            .map_err(failed)?;
        cast_with_options(&converted, self.field.data_type(), &CastOptions::default())
            .map_err(|error| arrow_error(0, &error))
    }

    #[cold]
    fn misfit(&self, row: usize, text: &str, misfit: Misfit) -> CellError {
        let name = type_name(self.field);
        let temporal = matches!(
            self.field.data_type(),
            DataType::Date32
                | DataType::Time64(_)
                | DataType::Timestamp(..)
                | DataType::Interval(_)
        );
        let (kind, message) = match misfit {
            Misfit::Syntax if temporal => (
                DataErrorKind::InvalidDatetime,
                format!("invalid input syntax for type {name}: \"{text}\""),
            ),
            Misfit::Syntax => (
                DataErrorKind::InvalidText,
                format!("invalid input syntax for type {name}: \"{text}\""),
            ),
            Misfit::Range => (
                DataErrorKind::NumericOutOfRange,
                match self.field.data_type() {
                    DataType::Float32 | DataType::Float64 => {
                        format!("\"{text}\" is out of range for type {name}")
                    }
                    _ => format!("value \"{text}\" is out of range for type {name}"),
                },
            ),
            Misfit::Field => (
                DataErrorKind::DatetimeOverflow,
                format!("date/time field value out of range: \"{text}\""),
            ),
            Misfit::Precision => (
                DataErrorKind::NumericOutOfRange,
                "numeric field overflow".to_owned(),
            ),
            Misfit::TooLong => (
                DataErrorKind::StringTooLong,
                format!("value too long for type {name}"),
            ),
            Misfit::Json => (
                DataErrorKind::InvalidJson,
                format!("invalid input syntax for type {name}"),
            ),
        };
        CellError::new(row, kind, message)
    }
}

#[cold]
fn bad_utf8(row: usize, bad: BadUtf8) -> CellError {
    let message = format!(
        "invalid byte sequence for encoding \"UTF8\": 0x{:02x}",
        bad.0
    );
    CellError::new(row, DataErrorKind::InvalidByteSequence, message)
}

fn arrow_error(row: usize, error: &ArrowError) -> CellError {
    let kind = match error {
        ArrowError::CastError(_) | ArrowError::ArithmeticOverflow(_) => {
            DataErrorKind::NumericOutOfRange
        }
        _ => DataErrorKind::InvalidText,
    };
    let message = error.to_string();
    let message = message
        .split_once(": ")
        .map_or(message.as_str(), |(_, rest)| rest);
    CellError::new(row, kind, message.to_owned())
}

/// Arrays, written `{…}` as in Postgres or `[…]` as in JSON.
fn build_list<C: Cells + ?Sized>(
    cells: &C,
    field: &Field,
    item: &Arc<Field>,
    zone: &Zone,
) -> Result<ArrayRef, CellError> {
    let reader = Reader { cells, field };
    let mut elements: Vec<Option<String>> = Vec::new();
    // The row of each element, to say where an error is.
    let mut rows: Vec<usize> = Vec::new();
    let mut lengths = Vec::with_capacity(cells.len());
    let mut valid = Vec::with_capacity(cells.len());
    for row in 0..cells.len() {
        let text = match cells.get(row) {
            Ok(text) => text,
            Err(bad) => return Err(bad_utf8(row, bad)),
        };
        let before = elements.len();
        valid.push(text.is_some());
        if let Some(text) = text {
            if text.trim_ascii_start().starts_with('[') {
                let values =
                    split_json_array(text).map_err(|misfit| reader.misfit(row, text, misfit))?;
                elements.extend(values);
            } else {
                let parts = split_array(text).map_err(|_| {
                    let message = format!("malformed array literal: \"{text}\"");
                    CellError::new(row, DataErrorKind::InvalidText, message)
                })?;
                for part in parts {
                    elements.push(match part {
                        Element::Null => None,
                        Element::Value(value) | Element::Nested(value) => Some(value),
                    });
                }
            }
        }
        rows.resize(elements.len(), row);
        lengths.push(elements.len() - before);
    }
    let values = build_column(elements.as_slice(), item, zone).map_err(|error| CellError {
        row: rows.get(error.row).copied().unwrap_or(0),
        ..error
    })?;
    let list = ListArray::new(
        item.clone(),
        OffsetBuffer::from_lengths(lengths),
        values,
        Some(NullBuffer::from(valid)),
    );
    Ok(Arc::new(list))
}

/// The elements of a JSON array: strings without quotes, everything else as written.
fn split_json_array(text: &str) -> Result<Vec<Option<String>>, Misfit> {
    let values: Vec<&serde_json::value::RawValue> =
        serde_json::from_str(text).map_err(|_| Misfit::Json)?;
    values
        .into_iter()
        .map(|value| json_cell(value.get()))
        .collect()
}

/// A JSON value as the text of a cell: NULL for `null`, a string's content, everything else as written.
pub fn json_cell(raw: &str) -> Result<Option<String>, Misfit> {
    if raw == "null" {
        Ok(None)
    } else if raw.starts_with('"') {
        serde_json::from_str(raw)
            .map(Some)
            .map_err(|_| Misfit::Json)
    } else {
        Ok(Some(raw.to_owned()))
    }
}

/// Structs and maps, written as JSON objects.
fn build_nested<C: Cells + ?Sized>(cells: &C, field: &Field) -> Result<ArrayRef, CellError> {
    let reader = Reader { cells, field };
    let column = field.clone().with_name("value").with_nullable(true);
    let schema = Arc::new(Schema::new(vec![column]));
    let mut decoder = arrow::json::ReaderBuilder::new(schema)
        .with_batch_size(cells.len().max(1))
        .build_decoder()
        .map_err(|error| arrow_error(0, &error))?;
    for row in 0..cells.len() {
        let text = match cells.get(row) {
            Ok(text) => text.unwrap_or("null"),
            Err(bad) => return Err(bad_utf8(row, bad)),
        };
        check_json(text).map_err(|misfit| reader.misfit(row, text, misfit))?;
        let object = format!("{{\"value\":{text}}}\n");
        let bytes = object.as_bytes();
        let mut read = 0;
        while read < bytes.len() {
            match decoder.decode(&bytes[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) => return Err(arrow_error(row, &error)),
            }
        }
    }
    match decoder.flush() {
        Ok(Some(batch)) => Ok(batch.column(0).clone()),
        Ok(None) => Ok(arrow::array::new_empty_array(field.data_type())),
        Err(error) => Err(arrow_error(0, &error)),
    }
}
