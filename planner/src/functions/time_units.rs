//! `DATEADD`, `TIMEADD`, `TIMESTAMPADD` and their opposites in `SUB`: so many units of time more or less.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_schema::{DataType, TimeUnit};
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use crate::error::{PlanError, PlanErrorKind};
use crate::types::data_type_name;

const DAY: i64 = 86_400_000_000;

/// Words for units, and their lengths in microseconds.
const UNITS: [(&str, i64); 6] = [
    ("MICROSECONDS", 1),
    ("MILLISECONDS", 1_000),
    ("SECONDS", 1_000_000),
    ("MINUTES", 60_000_000),
    ("HOURS", 3_600_000_000),
    ("DAYS", DAY),
];

const NAMES: [(&str, Of, i64); 6] = [
    ("dateadd", Of::Date, 1),
    ("datesub", Of::Date, -1),
    ("timeadd", Of::Time, 1),
    ("timesub", Of::Time, -1),
    ("timestampadd", Of::Timestamp, 1),
    ("timestampsub", Of::Timestamp, -1),
];

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    NAMES
        .into_iter()
        .map(|(name, of, sign)| {
            Arc::new(ScalarUDF::new_from_impl(Shift {
                name,
                of,
                sign,
                signature: Signature::new(TypeSignature::Any(3), Volatility::Immutable),
            }))
        })
        .collect()
}

/// Whether a function's first argument is a unit of time, which ksqlDB writes as a bare word.
pub(crate) fn takes_unit(function: &str) -> bool {
    NAMES.iter().any(|(name, _, _)| *name == function)
}

/// Whether a word is a unit of time.
pub(crate) fn is_unit(word: &str) -> bool {
    length_of(word).is_some()
}

fn length_of(unit: &str) -> Option<i64> {
    let known = UNITS.iter();
    let mut known = known.filter(|(word, _)| word.eq_ignore_ascii_case(unit));
    known.next().map(|(_, micros)| *micros)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    Date,
    Time,
    Timestamp,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    name: &'static str,
    of: Of,
    sign: i64,
    signature: Signature,
}

impl ScalarUDFImpl for Shift {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let result = match self.of {
            Of::Date => DataType::Date32,
            Of::Time => DataType::Time64(TimeUnit::Microsecond),
            Of::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        };
        let fits = match arg_types {
            [unit, number, value] => {
                matches!(unit, DataType::Utf8 | DataType::Null)
                    && (number.is_integer() || number.is_null())
                    && (*value == result || value.is_null())
            }
            _ => false,
        };
        if fits {
            return Ok(result);
        }
        let types: Vec<String> = arg_types.iter().map(data_type_name).collect();
        Err(PlanError::new(
            PlanErrorKind::UndefinedFunction,
            format!(
                "function {} does not accept parameters ({})",
                self.name,
                types.join(", ")
            ),
        )
        .into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [units, numbers, values] = args.args.as_slice() else {
            return internal_err!("{} takes three arguments", self.name);
        };
        let units = cast(&units.to_array(rows)?, &DataType::Utf8)?;
        let numbers = cast(&numbers.to_array(rows)?, &DataType::Int64)?;
        let values = cast(&values.to_array(rows)?, args.return_field.data_type())?;
        let shifted: ArrayRef = match self.of {
            Of::Date => {
                let of = |days: i32, by: i64| {
                    let micros = i64::from(days).checked_mul(DAY)?.checked_add(by)?;
                    i32::try_from(micros.div_euclid(DAY)).ok()
                };
                Arc::new(self.each::<Date32Type>(&units, &numbers, &values, of)?)
            }
            Of::Time => {
                let of = |micros: i64, by: i64| Some((micros + by % DAY).rem_euclid(DAY));
                Arc::new(self.each::<Time64MicrosecondType>(&units, &numbers, &values, of)?)
            }
            Of::Timestamp => Arc::new(self.each::<TimestampMicrosecondType>(
                &units,
                &numbers,
                &values,
                i64::checked_add,
            )?),
        };
        Ok(ColumnarValue::Array(shifted))
    }
}

impl Shift {
    /// Each value moved by microseconds; NULL where any argument is.
    fn each<T: ArrowPrimitiveType>(
        &self,
        units: &ArrayRef,
        numbers: &ArrayRef,
        values: &ArrayRef,
        moved: impl Fn(T::Native, i64) -> Option<T::Native>,
    ) -> Result<PrimitiveArray<T>> {
        let units = units.as_string::<i32>();
        let numbers = numbers.as_primitive::<Int64Type>();
        let values = values.as_primitive::<T>();
        (0..values.len())
            .map(|row| {
                if units.is_null(row) || numbers.is_null(row) || values.is_null(row) {
                    return Ok(None);
                }
                let unit = length_of(units.value(row)).ok_or_else(|| {
                    invalid(
                        PlanErrorKind::InvalidParameterValue,
                        format!("\"{}\" is no unit of time", units.value(row)),
                    )
                })?;
                let by = unit
                    .checked_mul(self.sign)
                    .and_then(|unit| unit.checked_mul(numbers.value(row)));
                by.and_then(|by| moved(values.value(row), by))
                    .map(Some)
                    .ok_or_else(|| {
                        invalid(
                            PlanErrorKind::NumericOutOfRange,
                            format!("the result of {} is out of range", self.name),
                        )
                    })
            })
            .collect()
    }
}

fn invalid(kind: PlanErrorKind, message: String) -> DataFusionError {
    PlanError::new(kind, message).into()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Int64Array, StringArray, Time64MicrosecondArray};

    use super::*;

    fn shift(name: &str) -> Shift {
        let (name, of, sign) = NAMES.into_iter().find(|(n, ..)| *n == name).unwrap();
        Shift {
            name,
            of,
            sign,
            signature: Signature::any(3, Volatility::Immutable),
        }
    }

    fn of_day(name: &str, unit: &str, number: Option<i64>, micros: i64) -> Option<i64> {
        let (units, numbers, values): (ArrayRef, ArrayRef, ArrayRef) = (
            Arc::new(StringArray::from(vec![unit])),
            Arc::new(Int64Array::from(vec![number])),
            Arc::new(Time64MicrosecondArray::from(vec![micros])),
        );
        let of = |micros: i64, by: i64| Some((micros + by % DAY).rem_euclid(DAY));
        shift(name)
            .each::<Time64MicrosecondType>(&units, &numbers, &values, of)
            .unwrap()
            .iter()
            .next()
            .unwrap()
    }

    #[test]
    fn a_time_of_day_goes_round() {
        assert_eq!(of_day("timeadd", "milliseconds", Some(10), 0), Some(10_000));
        assert_eq!(
            of_day("timesub", "MILLISECONDS", Some(10), 5_000),
            Some(DAY - 5_000)
        );
        assert_eq!(
            of_day("timeadd", "HOURS", Some(-49), 0),
            Some(DAY - 3_600_000_000)
        );
        assert_eq!(of_day("timeadd", "HOURS", None, 0), None);
    }

    #[test]
    fn what_is_out_of_range_or_no_unit_is_an_error() {
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![5]));
        let of = |unit: &str, number: i64| {
            let units: ArrayRef = Arc::new(StringArray::from(vec![unit]));
            let numbers: ArrayRef = Arc::new(Int64Array::from(vec![number]));
            let moved = |days: i32, by: i64| i32::try_from(i64::from(days) + by / DAY).ok();
            shift("datesub").each::<Date32Type>(&units, &numbers, &dates, moved)
        };
        assert_eq!(of("DAYS", -5).unwrap().value(0), 10);
        assert!(of("DAYS", i64::MAX).is_err());
        assert!(of("FORTNIGHTS", 1).is_err());
    }
}
