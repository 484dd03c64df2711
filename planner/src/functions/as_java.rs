//! Functions of which ksqlDB's, written in Java, give other results than those of the same name here.
//!
//! In ksqlDB's dialect a call of one becomes a call of what is here ([`name_of`]). The names begin with
//! an underscore, so nobody calls them otherwise.

mod comparable;
mod lists;
mod numbers;
mod text;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array, StringArray, StructArray};
use arrow::compute::{self, cast};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow_schema::{DataType, Field, FieldRef, Fields};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use crate::error::{PlanError, PlanErrorKind};
use crate::types::{data_type_name, is_text};

pub use comparable::has_map;
use comparable::{comparable, comparable_type};
use lists::{array_distinct, array_join, array_remove, series};
use numbers::{floor, round, signs, truncate};
use text::{checked_pad, initcap, java_range, like_pattern};

/// The pattern of `LIKE … ESCAPE …` with the escape that everybody has.
pub const LIKE_PATTERN: &str = "_like_pattern";
/// A list with each element once.
pub const ARRAY_DISTINCT: &str = "_java_array_distinct";
/// The struct without fields, which others have no way to write.
pub const EMPTY_STRUCT: &str = "_empty_struct";
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
        "round" => Kind::Round,
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
        let counts = kind.arguments().map(|count| match count {
            0 => TypeSignature::Nullary,
            count => TypeSignature::Any(count),
        });
        let counts = counts.collect();
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
        of(Kind::Round),
        of(Kind::ArrayDistinct),
        of(Kind::LikePattern),
        of(Kind::EmptyStruct),
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
    Round,
    ArrayDistinct,
    LikePattern,
    EmptyStruct,
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
            Kind::Round => "_java_round",
            Kind::ArrayDistinct => ARRAY_DISTINCT,
            Kind::LikePattern => LIKE_PATTERN,
            Kind::EmptyStruct => EMPTY_STRUCT,
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
            Kind::EmptyStruct => 0..=0,
            Kind::ArrayJoin | Kind::Trunc | Kind::Round => 1..=2,
            Kind::Series | Kind::Log | Kind::ArrayRemove | Kind::LikePattern => 2..=2,
            Kind::Substring => 2..=3,
            Kind::Pad { .. } => 3..=3,
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
            (Kind::Trunc | Kind::Round, [DataType::Decimal128(precision, scale)]) => {
                let whole = i16::from(*precision) - i16::from(*scale);
                Some(DataType::Decimal128(whole.clamp(1, 38) as u8, 0))
            }
            (Kind::Trunc, [DataType::Null]) => Some(DataType::Int64),
            (Kind::Trunc, [of]) if of.is_floating() => Some(DataType::Int64),
            (Kind::Trunc, [of]) if of.is_integer() => Some(of.clone()),
            (Kind::Trunc, [of, places]) if of.is_numeric() && whole(places) => Some(of.clone()),
            (Kind::Round, [of]) if number(of) => Some(DataType::Int64),
            (Kind::Round, [of @ DataType::Decimal128(..), places]) if whole(places) => {
                Some(of.clone())
            }
            (Kind::Round, [of, places]) if number(of) && whole(places) => Some(DataType::Float64),
            (Kind::EmptyStruct, []) => Some(DataType::Struct(Fields::empty())),
            (Kind::ArrayDistinct, [list @ DataType::List(_)]) => Some(list.clone()),
            (Kind::LikePattern, [pattern, escape]) if text(pattern) && text(escape) => {
                Some(DataType::Utf8)
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
        Ok(ColumnarValue::Array(self.evaluate(&args, rows, to)?))
    }
}

impl Function {
    fn evaluate(&self, args: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
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
            Kind::Round => {
                let places = match args.len() {
                    1 => None,
                    _ => Some(wholes(1)?),
                };
                round(&args[0], places.as_ref(), to)?
            }
            Kind::EmptyStruct => Arc::new(StructArray::new_empty_fields(rows, None)),
            Kind::ArrayDistinct => array_distinct(&args[0])?,
            Kind::LikePattern => {
                let (patterns, escapes) = (texts(0)?, texts(1)?);
                let patterns = patterns.as_string::<i32>().iter();
                let translated = patterns.zip(escapes.as_string::<i32>());
                let translated = translated
                    .map(|(pattern, escape)| Some(like_pattern(pattern?, escape?.chars().next())));
                Arc::new(translated.collect::<StringArray>())
            }
            Kind::Comparable => comparable(&args[0])?,
        })
    }
}

fn whole_at(values: &ArrayRef, row: usize) -> Option<i64> {
    let values = values.as_primitive::<Int64Type>();
    values.is_valid(row).then(|| values.value(row))
}
