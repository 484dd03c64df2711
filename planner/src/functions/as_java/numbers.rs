//! Numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int32Array};
use arrow::compute::cast;
use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type};
use arrow_schema::DataType;
use datafusion::common::Result;

pub(super) fn signs(numbers: &ArrayRef) -> Result<Int32Array> {
    Ok(match numbers.data_type() {
        DataType::Int32 => numbers.as_primitive::<Int32Type>().unary(i32::signum),
        DataType::Int64 => numbers
            .as_primitive::<Int64Type>()
            .unary(|number| number.signum() as i32),
        DataType::Decimal128(..) => numbers
            .as_primitive::<Decimal128Type>()
            .unary(|number| number.signum() as i32),
        _ => cast(numbers, &DataType::Float64)?
            .as_primitive::<Float64Type>()
            .unary(|number| i32::from(number > 0.0) - i32::from(number < 0.0)),
    })
}

/// Of a whole number it is the number, of a decimal one with as many digits.
pub(super) fn floor(numbers: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(match numbers.data_type() {
        DataType::Decimal128(precision, scale) => {
            let unit = u32::try_from(*scale).ok().map(|scale| 10i128.pow(scale));
            let floored = numbers
                .as_primitive::<Decimal128Type>()
                .unary::<_, Decimal128Type>(|number| match unit {
                    Some(unit) => number.div_euclid(unit) * unit,
                    None => number,
                })
                .with_precision_and_scale(*precision, *scale)?;
            Arc::new(floored)
        }
        DataType::Float64 => {
            let floored: Float64Array = numbers.as_primitive::<Float64Type>().unary(f64::floor);
            Arc::new(floored)
        }
        _ => cast(numbers, to)?,
    })
}

/// Without what comes after so many places behind the point, or before it; without `places` a whole number.
pub(super) fn truncate(
    numbers: &ArrayRef,
    places: Option<&ArrayRef>,
    to: &DataType,
) -> Result<ArrayRef> {
    let Some(places) = places else {
        return Ok(match numbers.data_type() {
            DataType::Decimal128(_, scale) => {
                let unit = 10i128.pow(u32::try_from(*scale).unwrap_or(0));
                let whole = numbers
                    .as_primitive::<Decimal128Type>()
                    .unary::<_, Decimal128Type>(|number| number / unit);
                let whole: ArrayRef = Arc::new(whole.with_data_type(DataType::Decimal128(38, 0)));
                cast(&whole, to)?
            }
            _ => cast(numbers, to)?,
        });
    };
    let places = places.as_primitive::<Int64Type>();
    if let DataType::Decimal128(precision, scale) = numbers.data_type() {
        let numbers = numbers.as_primitive::<Decimal128Type>();
        let truncated = numbers.iter().zip(places).map(|(number, places)| {
            let cut = i64::from(*scale).saturating_sub(places?);
            Some(
                match u32::try_from(cut).ok().map(|cut| 10i128.checked_pow(cut)) {
                    None => number?,
                    Some(None) => number.map(|_| 0)?,
                    Some(Some(unit)) => number? / unit * unit,
                },
            )
        });
        let truncated: Decimal128Array = truncated.collect();
        return Ok(Arc::new(
            truncated.with_precision_and_scale(*precision, *scale)?,
        ));
    }
    let doubles = cast(numbers, &DataType::Float64)?;
    let doubles = doubles.as_primitive::<Float64Type>();
    let truncated: Float64Array = doubles
        .iter()
        .zip(places)
        .map(|(number, places)| {
            let (number, places) = (number?, places?);
            let unit = 10f64.powi(places.clamp(-400, 400) as i32);
            let scaled = (number * unit).trunc() / unit;
            Some(match scaled.is_finite() {
                true => scaled,
                // So many places are all there are, or none of them are.
                false if places > 0 => number,
                false => 0.0,
            })
        })
        .collect();
    let truncated: ArrayRef = Arc::new(truncated);
    Ok(cast(&truncated, to)?)
}
