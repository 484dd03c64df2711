//! What ksqlDB's dialect needs beside the functions that users call: event time as a number, casts by
//! Java's rules, division of decimals, and aggregates that are not NULL over nothing.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int32Array, Int64Array, ListArray,
    MapArray, StringArray, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use chrono::{DateTime, NaiveTime};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::error::{PlanError, PlanErrorKind};
use crate::types::data_type_name;

/// Event time as milliseconds since the epoch.
pub const EPOCH_MS: &str = "_epoch_ms";
/// A value and a NULL of the type that it becomes, by Java's rules.
pub const JAVA_CAST: &str = "_java_cast";
/// The quotient of two decimals with the digits that ksqlDB keeps.
pub const DECIMAL_DIVIDE: &str = "_decimal_divide";
/// `SUM` with the type of its argument, 0 over nothing.
pub const SUM: &str = "_ksql_sum";
/// `AVG`, 0 over nothing.
pub const AVG: &str = "_ksql_avg";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let of = |kind, arguments| {
        Arc::new(ScalarUDF::new_from_impl(Function {
            kind,
            signature: Signature::new(TypeSignature::Any(arguments), Volatility::Immutable),
        }))
    };
    vec![
        of(Kind::EpochMs, 1),
        of(Kind::Cast, 2),
        of(Kind::DecimalDivide, 2),
    ]
}

pub(super) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    [SUM, AVG]
        .into_iter()
        .map(|name| {
            Arc::new(AggregateUDF::new_from_impl(NeverNull {
                name,
                signature: Signature::new(TypeSignature::Any(1), Volatility::Immutable),
            }))
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    EpochMs,
    Cast,
    DecimalDivide,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        match self.kind {
            Kind::EpochMs => EPOCH_MS,
            Kind::Cast => JAVA_CAST,
            Kind::DecimalDivide => DECIMAL_DIVIDE,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match (self.kind, arg_types) {
            (Kind::EpochMs, _) => Ok(DataType::Int64),
            (Kind::Cast, [_, to]) => Ok(to.clone()),
            (Kind::DecimalDivide, [DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)]) => {
                let (precision, scale) = quotient((*p1, *s1), (*p2, *s2));
                Ok(DataType::Decimal128(precision, scale))
            }
            _ => exec_err!("{} is called with other types than its own", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        Ok(Arc::new(Field::new(
            self.name(),
            self.return_type(&types)?,
            true,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let first = args.args[0].to_array(rows)?;
        let to = args.return_field.data_type();
        let result: ArrayRef = match self.kind {
            Kind::EpochMs => epoch_ms(&first)?,
            Kind::Cast => java_cast(&first, to)?,
            Kind::DecimalDivide => divide(&first, &args.args[1].to_array(rows)?, to)?,
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn epoch_ms(times: &ArrayRef) -> Result<ArrayRef> {
    let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
        return exec_err!("{EPOCH_MS} is of a time");
    };
    let millis: Int64Array = times.unary(|micros| micros.div_euclid(1_000));
    Ok(Arc::new(millis))
}

/// Whether Java casts otherwise than Arrow does.
pub(crate) fn casts_as_java(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (from, to) if from == to => false,
        (DataType::Null, _) => false,
        (DataType::Utf8, DataType::Boolean | DataType::Date32) => true,
        (DataType::Utf8, _) => false,
        (DataType::Binary, DataType::Utf8) => false,
        (
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..),
            DataType::Utf8,
        ) => false,
        (_, DataType::Utf8) => true,
        (DataType::Int64, DataType::Int32) => true,
        (DataType::List(from), DataType::List(to)) => {
            casts_as_java(from.data_type(), to.data_type())
        }
        (DataType::Map(from, _), DataType::Map(to, _)) => from.data_type() != to.data_type(),
        (DataType::Struct(from), DataType::Struct(to)) => from != to,
        _ => false,
    }
}

fn java_cast(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let from = values.data_type();
    if from == to {
        return Ok(values.clone());
    }
    Ok(match (from, to) {
        (DataType::Utf8, DataType::Boolean) => {
            let truths: BooleanArray = values
                .as_string::<i32>()
                .iter()
                .map(|text| text.map(|text| text.eq_ignore_ascii_case("true")))
                .collect();
            Arc::new(truths)
        }
        // What is missing of a date is the first of its kind.
        (DataType::Utf8, DataType::Date32) => {
            let texts = values.as_string::<i32>().iter();
            let dates: StringArray = texts
                .map(|text| {
                    text.map(|text| match text.trim() {
                        year if year.len() == 4 => format!("{year}-01-01"),
                        month if month.len() == 7 => format!("{month}-01"),
                        date => date.to_owned(),
                    })
                })
                .collect();
            let options = CastOptions {
                safe: false,
                ..Default::default()
            };
            cast_with_options(&dates, to, &options)?
        }
        // Fields are found by name; those that are not there are NULL.
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let members = values.as_struct();
            let columns = fields
                .iter()
                .map(|field| match members.column_by_name(field.name()) {
                    Some(member) => java_cast(member, field.data_type()),
                    None => Ok(new_null_array(field.data_type(), members.len())),
                })
                .collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(
                fields.clone(),
                columns,
                members.nulls().cloned(),
            )?)
        }
        // Java keeps the low bits.
        (DataType::Int64, DataType::Int32) => {
            let low: Int32Array = values
                .as_primitive::<Int64Type>()
                .unary(|value| value as i32);
            Arc::new(low)
        }
        (_, DataType::Utf8) if casts_as_java(from, to) => {
            let mut texts = Vec::with_capacity(values.len());
            for row in 0..values.len() {
                texts.push(match values.is_null(row) {
                    true => None,
                    false => {
                        let mut text = String::new();
                        write_java(values, row, &mut text)?;
                        Some(text)
                    }
                });
            }
            Arc::new(StringArray::from(texts))
        }
        (DataType::List(_), DataType::List(element)) => {
            let list = values.as_list::<i32>();
            let elements = java_cast(list.values(), element.data_type())?;
            Arc::new(ListArray::try_new(
                element.clone(),
                list.offsets().clone(),
                elements,
                list.nulls().cloned(),
            )?)
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = values.as_map();
            let DataType::Struct(fields) = entries.data_type() else {
                return exec_err!("a map without entries");
            };
            let keys = java_cast(map.keys(), fields[0].data_type())?;
            let held = java_cast(map.values(), fields[1].data_type())?;
            let pairs = StructArray::try_new(fields.clone(), vec![keys, held], None)?;
            Arc::new(MapArray::try_new(
                entries.clone(),
                map.offsets().clone(),
                pairs,
                map.nulls().cloned(),
                *sorted,
            )?)
        }
        _ => {
            let options = CastOptions {
                safe: false,
                ..Default::default()
            };
            cast_with_options(values, to, &options)?
        }
    })
}

/// A value as Java's `toString` writes it.
pub(super) fn write_java(values: &dyn Array, row: usize, out: &mut String) -> Result<()> {
    if values.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match values.data_type() {
        DataType::Utf8 => out.push_str(values.as_string::<i32>().value(row)),
        DataType::Boolean => {
            out.push_str(match values.as_boolean().value(row) {
                true => "true",
                false => "false",
            });
        }
        DataType::Float64 => write_double(values.as_primitive::<Float64Type>().value(row), out),
        DataType::Float32 => write_double(
            f64::from(values.as_primitive::<Float32Type>().value(row)),
            out,
        ),
        DataType::Date32 => {
            let days = values.as_primitive::<Date32Type>().value(row);
            if let Some(date) = Date32Type::to_naive_date_opt(days) {
                let _ = write!(out, "{date}");
            }
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            let micros = values.as_primitive::<Time64MicrosecondType>().value(row);
            let seconds = u32::try_from(micros / 1_000_000).unwrap_or(0);
            let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1_000;
            if let Some(time) = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos) {
                write_time(time, out);
            }
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = values.as_primitive::<TimestampMicrosecondType>().value(row);
            if let Some(time) = DateTime::from_timestamp_micros(micros) {
                let _ = write!(out, "{}", time.format("%Y-%m-%dT%H:%M:%S%.3f"));
            }
        }
        DataType::List(_) => {
            let elements = values.as_list::<i32>().value(row);
            out.push('[');
            for element in 0..elements.len() {
                if element > 0 {
                    out.push_str(", ");
                }
                write_java(&elements, element, out)?;
            }
            out.push(']');
        }
        DataType::Map(..) => {
            let entries = values.as_map().value(row);
            out.push('{');
            for entry in 0..entries.len() {
                if entry > 0 {
                    out.push_str(", ");
                }
                write_java(entries.column(0), entry, out)?;
                out.push('=');
                write_java(entries.column(1), entry, out)?;
            }
            out.push('}');
        }
        DataType::Struct(fields) => {
            let members = values.as_struct();
            out.push_str("Struct{");
            let mut first = true;
            for (field, member) in fields.iter().zip(members.columns()) {
                // A field without a value is left out.
                if member.is_null(row) {
                    continue;
                }
                if !std::mem::replace(&mut first, false) {
                    out.push(',');
                }
                out.push_str(field.name());
                out.push('=');
                write_java(member, row, out)?;
            }
            out.push('}');
        }
        _ => {
            let one = values.slice(row, 1);
            let text = cast_with_options(&one, &DataType::Utf8, &CastOptions::default())?;
            out.push_str(text.as_string::<i32>().value(0));
        }
    }
    Ok(())
}

/// Seconds and what is below only where they are not zero, as `LocalTime.toString`.
fn write_time(time: NaiveTime, out: &mut String) {
    use chrono::Timelike as _;
    let _ = write!(out, "{}", time.format("%H:%M"));
    if time.second() == 0 && time.nanosecond() == 0 {
        return;
    }
    let _ = write!(out, "{}", time.format(":%S"));
    match time.nanosecond() {
        0 => {}
        nanos if nanos % 1_000_000 == 0 => {
            let _ = write!(out, "{}", time.format("%.3f"));
        }
        _ => {
            let _ = write!(out, "{}", time.format("%.6f"));
        }
    }
}

/// As `Double.toString`: plain from a thousandth to ten millions, else with an exponent, always with
/// a digit behind the point.
fn write_double(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
        return;
    }
    if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
        return;
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        let start = out.len();
        let _ = write!(out, "{value}");
        if !out[start..].contains('.') {
            out.push_str(".0");
        }
        return;
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    out.push_str(digits);
    if !digits.contains('.') {
        out.push_str(".0");
    }
    out.push('E');
    out.push_str(exponent);
}

/// Precision and scale of a quotient.
fn quotient((p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> (u8, i8) {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let scale = (s1 + p2 + 1).max(6);
    let precision = p1 - s1 + s2 + scale;
    let precision = precision.clamp(1, 38);
    (precision as u8, scale.min(precision) as i8)
}

fn divide(dividends: &ArrayRef, divisors: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *to else {
        return internal_err!("a quotient of type {to}");
    };
    let dividends = dividends.as_primitive::<Decimal128Type>();
    let divisors = divisors.as_primitive::<Decimal128Type>();
    let shift = i32::from(scale) - i32::from(dividends.scale()) + i32::from(divisors.scale());
    let out_of_range = || {
        DataFusionError::from(PlanError::new(
            PlanErrorKind::NumericOutOfRange,
            format!("{} out of range", data_type_name(to)),
        ))
    };
    let power = u32::try_from(shift)
        .ok()
        .and_then(|shift| 10i128.checked_pow(shift))
        .ok_or_else(out_of_range)?;
    let quotients = dividends
        .iter()
        .zip(divisors)
        .map(|(dividend, divisor)| {
            let (Some(dividend), Some(divisor)) = (dividend, divisor) else {
                return Ok(None);
            };
            if divisor == 0 {
                return Err(DataFusionError::from(PlanError::new(
                    PlanErrorKind::DivisionByZero,
                    "division by zero",
                )));
            }
            let dividend = dividend.checked_mul(power).ok_or_else(out_of_range)?;
            let (quotient, rest) = (dividend / divisor, dividend % divisor);
            // Half away from zero.
            let up = rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2) && rest != 0;
            let sign = if (dividend < 0) == (divisor < 0) {
                1
            } else {
                -1
            };
            Ok(Some(if up { quotient + sign } else { quotient }))
        })
        .collect::<Result<Decimal128Array>>()?
        .with_precision_and_scale(precision, scale)?;
    quotients
        .validate_decimal_precision(precision)
        .map_err(|_| out_of_range())?;
    Ok(Arc::new(quotients))
}

/// Stands in a plan from binding to its end, where it becomes `sum` or `avg` and what makes of their
/// NULL a zero.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NeverNull {
    name: &'static str,
    signature: Signature,
}

impl AggregateUDFImpl for NeverNull {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match (self.name, arg_types) {
            (AVG, [DataType::Int32 | DataType::Int64 | DataType::Float64]) => Ok(DataType::Float64),
            (
                SUM,
                [
                    sum @ (DataType::Int32
                    | DataType::Int64
                    | DataType::Float64
                    | DataType::Decimal128(..)),
                ],
            ) => Ok(sum.clone()),
            (name, types) => Err(PlanError::new(
                PlanErrorKind::UndefinedFunction,
                format!(
                    "function {} does not accept parameters ({})",
                    name.trim_start_matches("_ksql_"),
                    types
                        .iter()
                        .map(data_type_name)
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            )
            .into()),
        }
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        internal_err!("{} was not replaced", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut text = String::new();
        write_double(value, &mut text);
        text
    }

    #[test]
    fn doubles_are_written_as_java_writes_them() {
        assert_eq!(double(1.0), "1.0");
        assert_eq!(double(-0.001), "-0.001");
        assert_eq!(double(0.0001), "1.0E-4");
        assert_eq!(double(1e7), "1.0E7");
        assert_eq!(double(12_345_678.9), "1.23456789E7");
        assert_eq!(double(9_999_999.5), "9999999.5");
        assert_eq!(double(f64::NEG_INFINITY), "-Infinity");
    }

    #[test]
    fn quotients_of_decimals_are_rounded_half_up() {
        assert_eq!(quotient((4, 2), (4, 2)), (11, 7));
        let of = |values: Vec<i128>| -> ArrayRef {
            Arc::new(
                Decimal128Array::from(values)
                    .with_precision_and_scale(4, 2)
                    .unwrap(),
            )
        };
        let result = divide(
            &of(vec![100, 200, -100]),
            &of(vec![300, 300, 300]),
            &DataType::Decimal128(11, 7),
        )
        .unwrap();
        let result = result.as_primitive::<Decimal128Type>();
        assert_eq!(result.values(), &[3_333_333, 6_666_667, -3_333_333]);
    }
}
