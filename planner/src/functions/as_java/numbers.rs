//! Numbers.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int32Array, Int64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type};
use arrow_schema::DataType;
use datafusion::common::Result;

use crate::error::{PlanError, PlanErrorKind};

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

/// The nearest number with so many places behind the point, or before it; of two that are as near the
/// greater one, also below zero. Without `places` a whole number; with them a decimal keeps its scale.
pub(super) fn round(
    numbers: &ArrayRef,
    places: Option<&ArrayRef>,
    to: &DataType,
) -> Result<ArrayRef> {
    if let DataType::Decimal128(_, scale) = numbers.data_type() {
        let numbers = numbers.as_primitive::<Decimal128Type>();
        let rounded: Decimal128Array = match places {
            None => {
                let unit = 10i128.pow(u32::try_from(*scale).unwrap_or(0));
                numbers.unary(|number| nearest_multiple(number, unit) / unit)
            }
            Some(places) => {
                let places = places.as_primitive::<Int64Type>();
                let rounded = numbers.iter().zip(places).map(|(number, places)| {
                    let (number, cut) = (number?, i64::from(*scale).saturating_sub(places?));
                    Some(
                        match u32::try_from(cut).map(|cut| 10i128.checked_pow(cut)) {
                            Err(_) => number,
                            Ok(Some(unit)) => nearest_multiple(number, unit),
                            Ok(None) => 0,
                        },
                    )
                });
                rounded.collect()
            }
        };
        let DataType::Decimal128(precision, scale) = to else {
            return Ok(cast(&rounded, to)?);
        };
        let rounded = rounded.with_precision_and_scale(*precision, *scale)?;
        // 9.9 is 10, which has a digit more.
        if let Err(error) = rounded.validate_decimal_precision(*precision) {
            return Err(PlanError::new(
                PlanErrorKind::NumericOutOfRange,
                format!("numeric field overflow: {error}"),
            )
            .into());
        }
        return Ok(Arc::new(rounded));
    }
    let Some(places) = places else {
        if numbers.data_type().is_integer() || numbers.data_type().is_null() {
            return Ok(cast(numbers, to)?);
        }
        let doubles = cast(numbers, &DataType::Float64)?;
        let whole: Int64Array = doubles
            .as_primitive::<Float64Type>()
            .unary(|number| round_double(number, 0) as i64);
        return Ok(Arc::new(whole));
    };
    let doubles = cast(numbers, &DataType::Float64)?;
    let doubles = doubles.as_primitive::<Float64Type>().iter();
    let rounded = doubles.zip(places.as_primitive::<Int64Type>());
    let rounded: Float64Array = rounded
        .map(|(number, places)| Some(round_double(number?, places?)))
        .collect();
    Ok(Arc::new(rounded))
}

/// The multiple of a power of ten that is nearest; of two the greater.
fn nearest_multiple(number: i128, unit: i128) -> i128 {
    // Neither is greater than 10^38, so the sum is far from overflowing.
    (number + unit / 2).div_euclid(unit) * unit
}

/// As a number with the digits that a double is written with, as Java's `BigDecimal.valueOf` has it.
fn round_double(number: f64, places: i64) -> f64 {
    let written = format!("{:e}", number.abs());
    let Some((digits, exponent)) = written.split_once('e') else {
        return number;
    };
    let digits = digits.replace('.', "");
    let Ok(exponent) = exponent.parse::<i64>() else {
        return number;
    };
    let Ok(kept) = usize::try_from(exponent.saturating_add(places).saturating_add(1)) else {
        return 0.0;
    };
    if kept >= digits.len() {
        return number;
    }
    let (kept, rest) = digits.split_at(kept);
    let up = match rest.as_bytes() {
        [b'5', others @ ..] => number > 0.0 || others.iter().any(|digit| *digit != b'0'),
        [first, ..] => *first > b'5',
        [] => false,
    };
    let kept: u64 = kept.parse().unwrap_or(0);
    let text = format!("{}e{}", kept + u64::from(up), places.saturating_neg());
    let rounded: f64 = text.parse().unwrap_or(number);
    match number < 0.0 && rounded != 0.0 {
        true => -rounded,
        false => rounded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_number_and_of_two_the_greater() {
        for (number, places, expected) in [
            (1.5, 0, 2.0),
            (-1.5, 0, -1.0),
            (-1.51, 0, -2.0),
            (0.5, 0, 1.0),
            (-0.5, 0, 0.0),
            // A double a little below, and one a little above.
            (1.005, 2, 1.01),
            (2.675, 2, 2.68),
            (-2.675, 2, -2.67),
            (1234.5, -2, 1200.0),
            (1250.0, -2, 1300.0),
            (51.0, -2, 100.0),
            (49.0, -2, 0.0),
            (5.0, -2, 0.0),
            (1e300, 5, 1e300),
            (1e-300, 5, 0.0),
            (9.99, 1, 10.0),
            (f64::MAX, -400, 0.0),
        ] {
            assert_eq!(round_double(number, places), expected, "{number} {places}");
        }
        assert!(round_double(f64::NAN, 1).is_nan());
        assert_eq!(round_double(f64::INFINITY, 1), f64::INFINITY);
        assert_eq!(nearest_multiple(-15, 10), -10);
        assert_eq!(nearest_multiple(-16, 10), -20);
        assert_eq!(nearest_multiple(15, 10), 20);
    }
}
