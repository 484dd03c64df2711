//! Functions of which ksqlDB's, written in Java, give other results than those of the same name here.
//!
//! In ksqlDB's dialect a call of one becomes a call of what is here ([`name_of`]). The names begin with
//! an underscore, so nobody calls them otherwise.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::make_comparator;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int32Array, ListArray,
    StringArray, StructArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::{self, SortOptions, cast};
use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type};
use arrow::row::{RowConverter, SortField};
use arrow_schema::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use super::ksqldb::write_java;
use crate::error::{PlanError, PlanErrorKind};
use crate::types::{data_type_name, is_text};

/// `LIKE … ESCAPE …`.
pub const LIKE_ESCAPE: &str = "_like_escape";
/// A list with each element once.
pub const ARRAY_DISTINCT: &str = "_java_array_distinct";
/// A value in a form that equals that of an equal value: the entries of maps are in order.
pub const COMPARABLE: &str = "_comparable";

/// What a call of ksqlDB's `name` calls here, if it is not what everybody calls.
pub fn name_of(name: &str) -> Option<&'static str> {
    let kind = match name {
        "initcap" => Kind::Initcap,
        "lpad" => Kind::Pad { left: true },
        "rpad" => Kind::Pad { left: false },
        "array_join" => Kind::ArrayJoin,
        "substring" | "substr" => Kind::Substring,
        "sqrt" => Kind::Sqrt,
        "sign" => Kind::Sign,
        "floor" => Kind::Floor,
        "trunc" => Kind::Trunc,
        "array_distinct" => Kind::ArrayDistinct,
        _ => return None,
    };
    Some(kind.name())
}

/// The same for calls that only differ with so many arguments.
pub fn name_of_call(name: &str, arguments: usize) -> Option<&'static str> {
    match (name, arguments) {
        ("generate_series", 2) => Some(Kind::Series.name()),
        ("log", 2) => Some(Kind::Log.name()),
        ("array_remove", 2) => Some(Kind::ArrayRemove.name()),
        ("ifnull", 2) => Some("coalesce"),
        _ => name_of(name),
    }
}

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let of = |kind: Kind| {
        let counts = kind.arguments().map(TypeSignature::Any).collect();
        Arc::new(ScalarUDF::new_from_impl(Function {
            kind,
            signature: Signature::new(TypeSignature::OneOf(counts), Volatility::Immutable),
        }))
    };
    vec![
        of(Kind::Initcap),
        of(Kind::Pad { left: true }),
        of(Kind::Pad { left: false }),
        of(Kind::ArrayJoin),
        of(Kind::ArrayRemove),
        of(Kind::Series),
        of(Kind::Substring),
        of(Kind::Sqrt),
        of(Kind::Log),
        of(Kind::Sign),
        of(Kind::Floor),
        of(Kind::Trunc),
        of(Kind::ArrayDistinct),
        of(Kind::LikeEscape),
        of(Kind::Comparable),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Initcap,
    Pad { left: bool },
    ArrayJoin,
    ArrayRemove,
    Series,
    Substring,
    Sqrt,
    Log,
    Sign,
    Floor,
    Trunc,
    ArrayDistinct,
    LikeEscape,
    Comparable,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Initcap => "_java_initcap",
            Kind::Pad { left: true } => "_java_lpad",
            Kind::Pad { left: false } => "_java_rpad",
            Kind::ArrayJoin => "_java_array_join",
            Kind::ArrayRemove => "_java_array_remove",
            Kind::Series => "_java_generate_series",
            Kind::Substring => "_java_substring",
            Kind::Sqrt => "_java_sqrt",
            Kind::Log => "_java_log",
            Kind::Sign => "_java_sign",
            Kind::Floor => "_java_floor",
            Kind::Trunc => "_java_trunc",
            Kind::ArrayDistinct => ARRAY_DISTINCT,
            Kind::LikeEscape => LIKE_ESCAPE,
            Kind::Comparable => COMPARABLE,
        }
    }

    /// How many arguments it takes.
    fn arguments(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Kind::Initcap
            | Kind::Sqrt
            | Kind::Sign
            | Kind::Floor
            | Kind::ArrayDistinct
            | Kind::Comparable => 1..=1,
            Kind::ArrayJoin | Kind::Trunc => 1..=2,
            Kind::Series | Kind::Log | Kind::ArrayRemove => 2..=2,
            Kind::Substring => 2..=3,
            Kind::Pad { .. } | Kind::LikeEscape => 3..=3,
        }
    }

    /// The type of the result; `None` where the arguments are not what it takes.
    fn result(self, types: &[DataType]) -> Option<DataType> {
        let text = |data_type: &DataType| is_text(data_type) || data_type.is_null();
        let bytes = |data_type: &DataType| *data_type == DataType::Binary;
        let whole = |data_type: &DataType| data_type.is_integer() || data_type.is_null();
        let number = |data_type: &DataType| data_type.is_numeric() || data_type.is_null();
        match (self, types) {
            (Kind::Initcap, [of]) if text(of) => Some(DataType::Utf8),
            (Kind::Pad { .. }, [of, length, padding]) if whole(length) => {
                if bytes(of) && (bytes(padding) || padding.is_null()) {
                    Some(DataType::Binary)
                } else {
                    (text(of) && text(padding)).then_some(DataType::Utf8)
                }
            }
            (Kind::ArrayJoin, [DataType::List(element), rest @ ..]) => {
                let flat = !element.data_type().is_nested();
                (flat && rest.iter().all(text)).then_some(DataType::Utf8)
            }
            (Kind::ArrayRemove, [list @ DataType::List(element), of]) => {
                let (element, of) = (element.data_type(), of);
                let fits = element == of
                    || of.is_null()
                    || element.is_numeric() && of.is_numeric()
                    || is_text(element) && is_text(of)
                    || element.is_nested() && element.equals_datatype(of);
                fits.then(|| list.clone())
            }
            (Kind::Series, [from, to]) if whole(from) && whole(to) => {
                let element = match (from, to) {
                    (DataType::Int64, _) | (_, DataType::Int64) => DataType::Int64,
                    _ => DataType::Int32,
                };
                Some(DataType::List(Arc::new(Field::new_list_field(
                    element, true,
                ))))
            }
            (Kind::Substring, [of, rest @ ..]) if rest.iter().all(whole) => match bytes(of) {
                true => Some(DataType::Binary),
                false => text(of).then_some(DataType::Utf8),
            },
            (Kind::Sqrt, [of]) if number(of) => Some(DataType::Float64),
            (Kind::Log, [base, of]) if number(base) && number(of) => Some(DataType::Float64),
            (Kind::Sign, [of]) if number(of) => Some(DataType::Int32),
            (Kind::Floor, [DataType::Null]) => Some(DataType::Float64),
            (Kind::Floor, [of]) if of.is_numeric() => Some(of.clone()),
            (Kind::Trunc, [DataType::Decimal128(precision, scale)]) => {
                let whole = i16::from(*precision) - i16::from(*scale);
                Some(DataType::Decimal128(whole.clamp(1, 38) as u8, 0))
            }
            (Kind::Trunc, [DataType::Null]) => Some(DataType::Int64),
            (Kind::Trunc, [of]) if of.is_floating() => Some(DataType::Int64),
            (Kind::Trunc, [of]) if of.is_integer() => Some(of.clone()),
            (Kind::Trunc, [of, places]) if of.is_numeric() && whole(places) => Some(of.clone()),
            (Kind::ArrayDistinct, [list @ DataType::List(_)]) => Some(list.clone()),
            (Kind::LikeEscape, [of, pattern, escape])
                if text(of) && text(pattern) && text(escape) =>
            {
                Some(DataType::Boolean)
            }
            (Kind::Comparable, [of]) => Some(comparable_type(of)),
            _ => None,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.kind.result(arg_types).ok_or_else(|| {
            let types: Vec<String> = arg_types.iter().map(data_type_name).collect();
            PlanError::new(
                PlanErrorKind::UndefinedFunction,
                format!(
                    "function {} does not accept parameters ({})",
                    self.name().trim_start_matches("_java_"),
                    types.join(", ")
                ),
            )
            .into()
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let result = self.return_type(&types)?;
        Ok(Arc::new(Field::new(self.name(), result, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let to = args.return_field.data_type();
        let args = args
            .args
            .iter()
            .map(|arg| arg.to_array(rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        Ok(ColumnarValue::Array(self.evaluate(&args, to)?))
    }
}

impl Function {
    fn evaluate(&self, args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
        let rows = args.first().map_or(0, |arg| arg.len());
        let texts = |arg: usize| -> Result<ArrayRef> { Ok(cast(&args[arg], &DataType::Utf8)?) };
        let wholes = |arg: usize| -> Result<ArrayRef> { Ok(cast(&args[arg], &DataType::Int64)?) };
        let doubles =
            |arg: usize| -> Result<ArrayRef> { Ok(cast(&args[arg], &DataType::Float64)?) };
        Ok(match self.kind {
            Kind::Initcap => {
                let texts = texts(0)?;
                let texts = texts.as_string::<i32>().iter();
                Arc::new(texts.map(|text| text.map(initcap)).collect::<StringArray>())
            }
            Kind::Pad { left } => {
                let lengths = wholes(1)?;
                let lengths = lengths.as_primitive::<Int64Type>();
                if *to == DataType::Binary {
                    let (of, padding) = (cast(&args[0], to)?, cast(&args[2], to)?);
                    let (of, padding) = (of.as_binary::<i32>(), padding.as_binary::<i32>());
                    let padded = of.iter().zip(lengths).zip(padding);
                    let padded = padded
                        .map(|((of, length), padding)| checked_pad(of?, length?, padding?, left));
                    let padded = padded.map(Option::transpose).collect::<Result<Vec<_>>>()?;
                    Arc::new(BinaryArray::from_iter(padded))
                } else {
                    let (of, padding) = (texts(0)?, texts(2)?);
                    let (of, padding) = (of.as_string::<i32>(), padding.as_string::<i32>());
                    let padded = of.iter().zip(lengths).zip(padding);
                    let padded = padded.map(|((of, length), padding)| {
                        let of: Vec<char> = of?.chars().collect();
                        let padding: Vec<char> = padding?.chars().collect();
                        checked_pad(&of, length?, &padding, left)
                    });
                    let padded = padded.map(Option::transpose).collect::<Result<Vec<_>>>()?;
                    let padded = padded.into_iter();
                    Arc::new(StringArray::from_iter(
                        padded.map(|padded| padded.map(String::from_iter)),
                    ))
                }
            }
            Kind::ArrayJoin => {
                let delimiters = match args.len() {
                    1 => None,
                    _ => Some(texts(1)?),
                };
                Arc::new(array_join(&args[0], delimiters.as_ref())?)
            }
            Kind::ArrayRemove => array_remove(&args[0], &args[1])?,
            Kind::Series => series(&wholes(0)?, &wholes(1)?, to)?,
            Kind::Substring => {
                let starts = wholes(1)?;
                let lengths = match args.len() {
                    2 => None,
                    _ => Some(wholes(2)?),
                };
                let range = |row: usize, length: usize| {
                    let start = whole_at(&starts, row)?;
                    let taken = match &lengths {
                        None => i64::MAX,
                        Some(lengths) => whole_at(lengths, row)?,
                    };
                    Some(java_range(length, start, taken))
                };
                if *to == DataType::Binary {
                    let of = args[0].as_binary::<i32>();
                    let cut = (0..rows).map(|row| {
                        let of = of.is_valid(row).then(|| of.value(row))?;
                        Some(&of[range(row, of.len())?])
                    });
                    Arc::new(BinaryArray::from_iter(cut))
                } else {
                    let of = texts(0)?;
                    let of = of.as_string::<i32>();
                    let cut = (0..rows).map(|row| {
                        let of: Vec<char> =
                            of.is_valid(row).then(|| of.value(row).chars().collect())?;
                        Some(of[range(row, of.len())?].iter().collect::<String>())
                    });
                    Arc::new(StringArray::from_iter(cut))
                }
            }
            Kind::Sqrt => {
                let roots: Float64Array =
                    doubles(0)?.as_primitive::<Float64Type>().unary(f64::sqrt);
                Arc::new(roots)
            }
            Kind::Log => {
                let (bases, of) = (doubles(0)?, doubles(1)?);
                let (bases, of) = (
                    bases.as_primitive::<Float64Type>(),
                    of.as_primitive::<Float64Type>(),
                );
                let logarithms: Float64Array =
                    compute::binary(bases, of, |base, of| match base <= 0.0 || base == 1.0 {
                        true => f64::NAN,
                        false => of.ln() / base.ln(),
                    })?;
                Arc::new(logarithms)
            }
            Kind::Sign => Arc::new(signs(&args[0])?),
            Kind::Floor => floor(&args[0], to)?,
            Kind::Trunc => {
                let places = match args.len() {
                    1 => None,
                    _ => Some(wholes(1)?),
                };
                truncate(&args[0], places.as_ref(), to)?
            }
            Kind::ArrayDistinct => array_distinct(&args[0])?,
            Kind::LikeEscape => {
                let (of, patterns, escapes) = (texts(0)?, texts(1)?, texts(2)?);
                let (of, patterns, escapes) = (
                    of.as_string::<i32>(),
                    patterns.as_string::<i32>(),
                    escapes.as_string::<i32>(),
                );
                let found = of.iter().zip(patterns).zip(escapes);
                let found = found.map(|((of, pattern), escape)| {
                    Some(is_like(of?, pattern?, escape?.chars().next()))
                });
                Arc::new(found.collect::<BooleanArray>())
            }
            Kind::Comparable => comparable(&args[0])?,
        })
    }
}

fn whole_at(values: &ArrayRef, row: usize) -> Option<i64> {
    let values = values.as_primitive::<Int64Type>();
    values.is_valid(row).then(|| values.value(row))
}

/// Each word, which ends at white space only, with a capital first and small letters behind.
fn initcap(text: &str) -> String {
    let mut capitalised = String::with_capacity(text.len());
    let mut begins = true;
    for character in text.chars() {
        match begins {
            true => capitalised.extend(character.to_uppercase()),
            false => capitalised.extend(character.to_lowercase()),
        }
        begins = character.is_whitespace();
    }
    capitalised
}

/// Elements of a padded value at most.
const PADDED_MAX: i64 = 64 << 20;

/// Cut or padded to a length; `None` where ksqlDB gives NULL.
fn checked_pad<T: Clone>(
    of: &[T],
    length: i64,
    padding: &[T],
    left: bool,
) -> Option<Result<Vec<T>>> {
    if length < 0 || padding.is_empty() {
        return None;
    }
    if length > PADDED_MAX {
        return Some(Err(PlanError::new(
            PlanErrorKind::InvalidParameterValue,
            format!("requested length too large: {length}"),
        )
        .into()));
    }
    let length = length as usize;
    let kept = &of[..of.len().min(length)];
    let filling = padding.iter().cycle().take(length - kept.len()).cloned();
    Some(Ok(match left {
        true => filling.chain(kept.iter().cloned()).collect(),
        false => kept.iter().cloned().chain(filling).collect(),
    }))
}

/// The elements as Java writes them, those that are NULL too.
fn array_join(lists: &ArrayRef, delimiters: Option<&ArrayRef>) -> Result<StringArray> {
    let lists = lists.as_list::<i32>();
    let delimiters = delimiters.map(|delimiters| delimiters.as_string::<i32>());
    let mut joined = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        if lists.is_null(row) {
            joined.push(None);
            continue;
        }
        let delimiter = match delimiters {
            None => ",",
            Some(delimiters) if delimiters.is_valid(row) => delimiters.value(row),
            Some(_) => "",
        };
        let elements = lists.value(row);
        let mut text = String::new();
        for element in 0..elements.len() {
            if element > 0 {
                text.push_str(delimiter);
            }
            write_java(&elements, element, &mut text)?;
        }
        joined.push(Some(text));
    }
    Ok(StringArray::from(joined))
}

/// A list without the elements that equal a value, or are NULL as it is.
fn array_remove(lists: &ArrayRef, of: &ArrayRef) -> Result<ArrayRef> {
    let DataType::List(element) = lists.data_type() else {
        return exec_err!("elements are removed from a list");
    };
    let wanted = of;
    let of = match element.data_type().is_nested() {
        // Only names of fields inside may differ.
        true if !of.data_type().is_null() => of.clone(),
        _ => cast(of, element.data_type())?,
    };
    // A number that no element can be.
    let is_beyond = |row: usize| of.is_null(row) && wanted.is_valid(row);
    let lists = lists.as_list::<i32>();
    let elements = comparable(lists.values())?;
    let compare = make_comparator(&elements, &comparable(&of)?, SortOptions::default())?;
    let offsets = lists.value_offsets();
    let (mut kept, mut ends) = (Vec::with_capacity(elements.len()), vec![0i32]);
    for row in 0..lists.len() {
        if lists.is_valid(row) {
            let elements = offsets[row] as usize..offsets[row + 1] as usize;
            kept.extend(
                elements
                    .filter(|element| is_beyond(row) || compare(*element, row).is_ne())
                    .map(|element| element as u32),
            );
        }
        ends.push(kept.len() as i32);
    }
    let kept = arrow::array::UInt32Array::from(kept);
    Ok(Arc::new(ListArray::try_new(
        element.clone(),
        OffsetBuffer::new(ScalarBuffer::from(ends)),
        compute::take(lists.values(), &kept, None)?,
        lists.nulls().cloned(),
    )?))
}

/// Elements of a series at most.
const SERIES_MAX: u64 = 10_000_000;

/// The whole numbers from one to another, up or down.
fn series(from: &ArrayRef, to: &ArrayRef, list: &DataType) -> Result<ArrayRef> {
    let DataType::List(element) = list else {
        return exec_err!("a series is a list");
    };
    let mut numbers: Vec<i64> = Vec::new();
    let mut offsets = vec![0i32];
    let mut valid = Vec::with_capacity(from.len());
    for row in 0..from.len() {
        let ends = whole_at(from, row).zip(whole_at(to, row));
        valid.push(ends.is_some());
        if let Some((from, to)) = ends {
            if from.abs_diff(to).saturating_add(numbers.len() as u64) >= SERIES_MAX {
                return Err(PlanError::new(
                    PlanErrorKind::InvalidParameterValue,
                    format!("generate_series gives at most {SERIES_MAX} elements"),
                )
                .into());
            }
            match from <= to {
                true => numbers.extend(from..=to),
                false => numbers.extend((to..=from).rev()),
            }
        }
        offsets.push(numbers.len() as i32);
    }
    let numbers: ArrayRef = Arc::new(arrow::array::Int64Array::from(numbers));
    Ok(Arc::new(ListArray::try_new(
        element.clone(),
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        cast(&numbers, element.data_type())?,
        Some(valid.into()),
    )?))
}

/// The places from `start`, counted from 1 or, below zero, from the end; a zero is the beginning.
fn java_range(length: usize, start: i64, taken: i64) -> std::ops::Range<usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let first = match start < 0 {
        true => length.saturating_add(start).max(0),
        false => (start - 1).clamp(0, length),
    };
    let end = first.saturating_add(taken).clamp(first, length);
    first as usize..end as usize
}

fn signs(numbers: &ArrayRef) -> Result<Int32Array> {
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
fn floor(numbers: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
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
fn truncate(numbers: &ArrayRef, places: Option<&ArrayRef>, to: &DataType) -> Result<ArrayRef> {
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
        let truncated: arrow::array::Decimal128Array = truncated.collect();
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

/// Each element once, where it came first; maps are equal whatever the order of their entries.
fn array_distinct(lists: &ArrayRef) -> Result<ArrayRef> {
    let DataType::List(element) = lists.data_type() else {
        return exec_err!("distinct elements are of a list");
    };
    let lists = lists.as_list::<i32>();
    let elements = comparable(lists.values())?;
    let converter = RowConverter::new(vec![SortField::new(elements.data_type().clone())])?;
    let encoded = converter.convert_columns(&[elements])?;
    let offsets = lists.value_offsets();
    let (mut kept, mut ends) = (Vec::new(), vec![0i32]);
    for row in 0..lists.len() {
        if lists.is_valid(row) {
            let mut seen = HashSet::new();
            let elements = offsets[row] as usize..offsets[row + 1] as usize;
            kept.extend(
                elements
                    .filter(|element| seen.insert(encoded.row(*element)))
                    .map(|element| element as u32),
            );
        }
        ends.push(kept.len() as i32);
    }
    let kept = arrow::array::UInt32Array::from(kept);
    Ok(Arc::new(ListArray::try_new(
        element.clone(),
        OffsetBuffer::new(ScalarBuffer::from(ends)),
        compute::take(lists.values(), &kept, None)?,
        lists.nulls().cloned(),
    )?))
}

/// Whether a text is like a pattern, in which what follows `escape` means itself.
fn is_like(text: &str, pattern: &str, escape: Option<char>) -> bool {
    enum Part {
        One(char),
        Any,
        Many,
    }
    let mut parts = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        parts.push(match character {
            character if Some(character) == escape => match characters.next() {
                Some(literal) => Part::One(literal),
                None => Part::One(character),
            },
            '%' => Part::Many,
            '_' => Part::Any,
            literal => Part::One(literal),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut part) = (0, 0);
    // Where to go on when what comes after the last `%` does not fit.
    let mut again: Option<(usize, usize)> = None;
    while at < text.len() {
        let fits = match parts.get(part) {
            Some(Part::Many) => {
                again = Some((at, part));
                part += 1;
                continue;
            }
            Some(Part::Any) => true,
            Some(Part::One(wanted)) => *wanted == text[at],
            None => false,
        };
        if fits {
            at += 1;
            part += 1;
        } else if let Some((from, many)) = again {
            again = Some((from + 1, many));
            at = from + 1;
            part = many + 1;
        } else {
            return false;
        }
    }
    parts[part..].iter().all(|part| matches!(part, Part::Many))
}

/// Whether a type has a map in it, which cannot be compared as it is.
pub fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::List(element) => has_map(element.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
        _ => false,
    }
}

fn comparable_type(data_type: &DataType) -> DataType {
    let of = |field: &FieldRef| {
        let data_type = comparable_type(field.data_type());
        Arc::new(
            field
                .as_ref()
                .clone()
                .with_data_type(data_type)
                .with_nullable(true),
        )
    };
    match data_type {
        DataType::Map(entries, _) => DataType::List(Arc::new(Field::new_list_field(
            comparable_type(entries.data_type()),
            true,
        ))),
        DataType::List(element) => DataType::List(of(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(of).collect()),
        other => other.clone(),
    }
}

fn comparable(values: &ArrayRef) -> Result<ArrayRef> {
    if !has_map(values.data_type()) {
        return Ok(values.clone());
    }
    let to = comparable_type(values.data_type());
    Ok(match (values.data_type(), &to) {
        (DataType::Map(..), DataType::List(entry)) => {
            let map = values.as_map();
            let (keys, held) = (comparable(map.keys())?, comparable(map.values())?);
            let offsets = map.value_offsets();
            let mut order: Vec<u32> = Vec::with_capacity(keys.len());
            let mut ends = vec![0i32];
            let ranked = compute::rank(&keys, None)?;
            for row in 0..map.len() {
                let mut entries: Vec<u32> = match map.is_null(row) {
                    true => Vec::new(),
                    false => (offsets[row] as u32..offsets[row + 1] as u32).collect(),
                };
                entries.sort_by_key(|entry| ranked[*entry as usize]);
                order.extend(entries);
                ends.push(order.len() as i32);
            }
            let order = arrow::array::UInt32Array::from(order);
            let DataType::Struct(fields) = entry.data_type() else {
                return exec_err!("entries of a map are pairs");
            };
            let pair = StructArray::try_new(
                fields.clone(),
                vec![
                    compute::take(&keys, &order, None)?,
                    compute::take(&held, &order, None)?,
                ],
                None,
            )?;
            Arc::new(ListArray::try_new(
                entry.clone(),
                OffsetBuffer::new(ScalarBuffer::from(ends)),
                Arc::new(pair),
                map.nulls().cloned(),
            )?)
        }
        (DataType::List(_), DataType::List(element)) => {
            let list = values.as_list::<i32>();
            Arc::new(ListArray::try_new(
                element.clone(),
                list.offsets().clone(),
                comparable(list.values())?,
                list.nulls().cloned(),
            )?)
        }
        (_, DataType::Struct(fields)) => {
            let members = values.as_struct();
            let columns = members.columns().iter().map(comparable);
            let fields: Fields = fields.clone();
            Arc::new(StructArray::try_new(
                fields,
                columns.collect::<Result<Vec<_>>>()?,
                members.nulls().cloned(),
            )?)
        }
        _ => values.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_escape_means_itself() {
        assert!(is_like("%", "!%", Some('!')));
        assert!(!is_like("x", "!%", Some('!')));
        assert!(is_like("a%bc", "_!%%", Some('!')));
        assert!(is_like("", "%%", Some('!')));
        assert!(is_like("abab", "%ab", None));
        assert!(!is_like("aba", "%ab", None));
    }

    #[test]
    fn substrings_are_counted_as_in_ksqldb() {
        assert_eq!(java_range(5, 0, 2), 0..2);
        assert_eq!(java_range(5, 2, 2), 1..3);
        assert_eq!(java_range(5, -3, i64::MAX), 2..5);
        assert_eq!(java_range(5, -9, 2), 0..2);
        assert_eq!(java_range(5, 9, 2), 5..5);
        assert_eq!(java_range(5, 2, -1), 1..1);
    }

    #[test]
    fn words_end_at_white_space() {
        assert_eq!(initcap("some_string"), "Some_string");
        assert_eq!(initcap("the   Quick br0wn fOx"), "The   Quick Br0wn Fox");
    }

    #[test]
    fn padding_is_repeated_and_cut() {
        let pad = |of: &[u8], length, padding: &[u8], left| {
            checked_pad(of, length, padding, left).map(|padded| padded.unwrap())
        };
        assert_eq!(pad(b"yes", 8, b"no", false), Some(b"yesnonon".to_vec()));
        assert_eq!(pad(b"foo", 7, b"Bar", true), Some(b"BarBfoo".to_vec()));
        assert_eq!(pad(b"foo", 2, b"Bar", true), Some(b"fo".to_vec()));
        assert_eq!(pad(b"foo", -1, b"Bar", true), None);
        assert_eq!(pad(b"foo", 7, b"", true), None);
    }
}
