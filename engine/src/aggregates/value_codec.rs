//! Values as the keys of collections.
//!
//! Fixed-width values of up to 64 bits become integers that order as the values do; everything else
//! becomes bytes in Arrow's row format, which order likewise. NaN is the greatest number, and −0 is
//! the same value as 0.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::SortOptions;
use arrow::datatypes::*;
use arrow::row::{RowConverter, SortField};

use super::codec::{Damaged, read_u64, write_u64};
use crate::nulls::zero_under_nulls;
use crate::operator::StepError;

/// A value in a collection.
pub(super) trait Value: Ord + Hash + Clone + Send + 'static {
    /// Bytes that the value holds outside itself.
    fn heap_bytes(&self) -> usize;
    fn write(&self, out: &mut Vec<u8>);
    fn read(bytes: &[u8]) -> Result<Self, Damaged>;
}

impl Value for u64 {
    fn heap_bytes(&self) -> usize {
        0
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_u64(*self, out);
    }

    fn read(mut bytes: &[u8]) -> Result<Self, Damaged> {
        read_u64(&mut bytes)
    }
}

impl Value for Box<[u8]> {
    fn heap_bytes(&self) -> usize {
        self.len() + 16
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        Ok(bytes.into())
    }
}

/// Turns columns into values and back.
pub(super) trait ValueCodec: Send {
    type Value: Value;

    /// Calls `each` with the value of every row; NULLs are values too only where they can be told
    /// apart ([`RowCodec`]).
    fn encode(
        &self,
        columns: &[ArrayRef],
        each: impl FnMut(usize, Self::Value),
    ) -> Result<(), StepError>;

    /// The columns of some values; `None` is NULL in all of them.
    fn decode(&self, values: &[Option<&Self::Value>]) -> Result<Vec<ArrayRef>, StepError>;
}

/// One column whose values fit 64 bits.
pub(super) struct FixedCodec {
    data_type: DataType,
}

impl FixedCodec {
    pub(super) fn new(data_type: &DataType) -> Option<Self> {
        is_fixed(data_type).then(|| Self {
            data_type: data_type.clone(),
        })
    }
}

impl ValueCodec for FixedCodec {
    type Value = u64;

    fn encode(
        &self,
        columns: &[ArrayRef],
        mut each: impl FnMut(usize, u64),
    ) -> Result<(), StepError> {
        for (row, value) in to_ordered(&columns[0]).into_iter().enumerate() {
            each(row, value);
        }
        Ok(())
    }

    fn decode(&self, values: &[Option<&u64>]) -> Result<Vec<ArrayRef>, StepError> {
        let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
        let plain: Vec<u64> = values
            .iter()
            .map(|value| value.copied().unwrap_or(0))
            .collect();
        Ok(vec![from_ordered(&plain, Some(nulls), &self.data_type)])
    }
}

/// Any columns, in Arrow's row format.
pub(super) struct RowCodec {
    converter: RowConverter,
    data_types: Vec<DataType>,
    /// Whether numbers that are equal get equal bytes.
    normalises: bool,
}

impl RowCodec {
    pub(super) fn new(columns: &[(DataType, SortOptions)]) -> Result<Self, StepError> {
        let fields = columns
            .iter()
            .map(|(data_type, options)| SortField::new_with_options(data_type.clone(), *options));
        Ok(Self {
            converter: RowConverter::new(fields.collect())?,
            data_types: columns
                .iter()
                .map(|(data_type, _)| data_type.clone())
                .collect(),
            normalises: true,
        })
    }

    /// For values that come back exactly as they were, be it −0.
    pub(super) fn verbatim(data_types: &[DataType]) -> Result<Self, StepError> {
        Ok(Self {
            normalises: false,
            ..Self::unordered(data_types)?
        })
    }

    pub(super) fn unordered(data_types: &[DataType]) -> Result<Self, StepError> {
        let columns: Vec<_> = data_types
            .iter()
            .map(|data_type| (data_type.clone(), SortOptions::default()))
            .collect();
        Self::new(&columns)
    }
}

impl ValueCodec for RowCodec {
    type Value = Box<[u8]>;

    fn encode(
        &self,
        columns: &[ArrayRef],
        mut each: impl FnMut(usize, Box<[u8]>),
    ) -> Result<(), StepError> {
        let rows = match self.normalises {
            true => {
                let columns: Vec<ArrayRef> = columns.iter().map(normalise_floats).collect();
                self.converter.convert_columns(&columns)?
            }
            false => self.converter.convert_columns(columns)?,
        };
        for (index, row) in rows.iter().enumerate() {
            each(index, row.as_ref().into());
        }
        Ok(())
    }

    fn decode(&self, values: &[Option<&Box<[u8]>>]) -> Result<Vec<ArrayRef>, StepError> {
        let parser = self.converter.parser();
        let mut columns = zero_under_nulls(
            self.converter
                .convert_rows(values.iter().flatten().map(|bytes| parser.parse(bytes)))?,
        );
        if values.iter().any(Option::is_none) {
            let mut next = 0;
            let positions: arrow::array::UInt32Array = values
                .iter()
                .map(|value| {
                    value.map(|_| {
                        next += 1;
                        next - 1
                    })
                })
                .collect();
            columns = columns
                .iter()
                .map(|column| arrow::compute::take(column, &positions, None))
                .collect::<Result<_, _>>()?;
        }
        columns
            .into_iter()
            .zip(&self.data_types)
            .map(|(column, data_type)| {
                // The row format has no dictionaries.
                match column.data_type() == data_type {
                    true => Ok(column),
                    false => Ok(arrow::compute::cast(&column, data_type)?),
                }
            })
            .collect()
    }
}

/// Whether values of the type become integers.
pub(crate) fn is_fixed(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        Boolean
            | Int8
            | Int16
            | Int32
            | Int64
            | UInt8
            | UInt16
            | UInt32
            | UInt64
            | Float32
            | Float64
            | Date32
            | Date64
            | Time32(_)
            | Time64(_)
            | Timestamp(_, _)
            | Duration(_)
    )
}

const SIGN: u64 = 1 << 63;

#[inline]
fn order_float(value: f64) -> u64 {
    let value = if value.is_nan() {
        f64::NAN
    } else {
        value + 0.0
    };
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

#[inline]
fn restore_float(ordered: u64) -> f64 {
    f64::from_bits(match ordered & SIGN {
        0 => !ordered,
        _ => ordered & !SIGN,
    })
}

/// The values of a fixed-width column as integers in the same order. Where the column is NULL the
/// integer means nothing.
pub(crate) fn to_ordered(array: &ArrayRef) -> Vec<u64> {
    macro_rules! map {
        ($type:ty, $value:ident => $ordered:expr) => {
            array
                .as_primitive::<$type>()
                .values()
                .iter()
                .map(|$value| {
                    let $value = *$value;
                    $ordered
                })
                .collect()
        };
    }
    macro_rules! signed {
        ($type:ty) => {
            map!($type, value => (value as i64 as u64) ^ SIGN)
        };
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().values().iter().map(u64::from).collect(),
        DataType::Int8 => signed!(Int8Type),
        DataType::Int16 => signed!(Int16Type),
        DataType::Int32 => signed!(Int32Type),
        DataType::UInt8 => map!(UInt8Type, value => u64::from(value)),
        DataType::UInt16 => map!(UInt16Type, value => u64::from(value)),
        DataType::UInt32 => map!(UInt32Type, value => u64::from(value)),
        DataType::UInt64 => map!(UInt64Type, value => value),
        DataType::Float32 => map!(Float32Type, value => order_float(f64::from(value))),
        DataType::Float64 => map!(Float64Type, value => order_float(value)),
        _ => match array.data_type().primitive_width() {
            Some(4) => native::<i32>(array)
                .iter()
                .map(|value| (i64::from(*value) as u64) ^ SIGN)
                .collect(),
            _ => native::<i64>(array)
                .iter()
                .map(|value| (*value as u64) ^ SIGN)
                .collect(),
        },
    }
}

/// The values of a primitive column as another native type of the same width.
fn native<T: ArrowNativeType>(array: &ArrayRef) -> ScalarBuffer<T> {
    let data = array.to_data();
    ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
}

/// Undoes [`to_ordered`].
pub(crate) fn from_ordered(
    values: &[u64],
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    fn primitive<T: ArrowPrimitiveType>(
        values: &[u64],
        nulls: Option<NullBuffer>,
        data_type: &DataType,
        restore: impl Fn(u64) -> T::Native,
    ) -> ArrayRef {
        let values: Vec<T::Native> = values.iter().map(|value| restore(*value)).collect();
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(data_type.clone()))
    }
    macro_rules! signed {
        ($type:ty) => {
            primitive::<$type>(values, nulls, data_type, |value| (value ^ SIGN) as i64 as _)
        };
    }
    macro_rules! unsigned {
        ($type:ty) => {
            primitive::<$type>(values, nulls, data_type, |value| value as _)
        };
    }
    match data_type {
        DataType::Boolean => Arc::new(BooleanArray::new(
            values.iter().map(|value| *value != 0).collect(),
            nulls,
        )),
        DataType::Int8 => signed!(Int8Type),
        DataType::Int16 => signed!(Int16Type),
        DataType::Int32 => signed!(Int32Type),
        DataType::UInt8 => unsigned!(UInt8Type),
        DataType::UInt16 => unsigned!(UInt16Type),
        DataType::UInt32 => unsigned!(UInt32Type),
        DataType::UInt64 => unsigned!(UInt64Type),
        DataType::Float32 => primitive::<Float32Type>(values, nulls, data_type, |value| {
            restore_float(value) as f32
        }),
        DataType::Float64 => primitive::<Float64Type>(values, nulls, data_type, restore_float),
        DataType::Date32 => signed!(Date32Type),
        DataType::Date64 => signed!(Date64Type),
        DataType::Time32(TimeUnit::Second) => signed!(Time32SecondType),
        DataType::Time32(_) => signed!(Time32MillisecondType),
        DataType::Time64(TimeUnit::Microsecond) => signed!(Time64MicrosecondType),
        DataType::Time64(_) => signed!(Time64NanosecondType),
        DataType::Timestamp(TimeUnit::Second, _) => signed!(TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => signed!(TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => signed!(TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => signed!(TimestampNanosecondType),
        DataType::Duration(TimeUnit::Second) => signed!(DurationSecondType),
        DataType::Duration(TimeUnit::Millisecond) => signed!(DurationMillisecondType),
        DataType::Duration(TimeUnit::Microsecond) => signed!(DurationMicrosecondType),
        DataType::Duration(TimeUnit::Nanosecond) => signed!(DurationNanosecondType),
        _ => signed!(Int64Type),
    }
}

/// −0 as 0 and one NaN, so that equal numbers have equal bytes.
pub(crate) fn normalise_floats(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(
            |value| {
                if value.is_nan() {
                    f64::NAN
                } else {
                    value + 0.0
                }
            },
        )),
        DataType::Float32 => Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(
            |value| {
                if value.is_nan() {
                    f32::NAN
                } else {
                    value + 0.0
                }
            },
        )),
        _ => Arc::clone(array),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int32Array, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn values_order_as_their_integers_and_come_back() {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![i32::MIN, -1, 0, 1, i32::MAX])),
            Arc::new(Float64Array::from(vec![
                f64::NEG_INFINITY,
                -1.5,
                0.0,
                2.5,
                f64::INFINITY,
                f64::NAN,
            ])),
            Arc::new(TimestampMicrosecondArray::from(vec![-5, 7]).with_timezone("+00:00")),
            Arc::new(BooleanArray::from(vec![false, true])),
        ];
        for array in arrays {
            let ordered = to_ordered(&array);
            assert!(ordered.is_sorted_by(|a, b| a < b), "{array:?}");
            assert_eq!(&from_ordered(&ordered, None, array.data_type()), &array);
        }
    }
}
