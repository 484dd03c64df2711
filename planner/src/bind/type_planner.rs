//! Types in casts and before literals, as DataFusion asks for them.

use arrow_schema::{Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as SqlType, ExactNumberInfo, TimezoneInfo,
};
use sql::ast::{DataType, StructField};

use crate::error::{PlanError, PlanErrorKind};
use crate::types;

/// Reads every type as a column of that type would be stored.
#[derive(Debug)]
pub(super) struct ColumnTypes;

impl TypePlanner for ColumnTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let field: Field = types::field("", &read(sql_type)?, true)?;
        // UUID and JSON in casts are calls of their conversion; see `prepare`.
        Ok(Some(field.with_metadata(Default::default()).into()))
    }
}

/// The type that sqlparser's tree names.
pub(super) fn read(sql_type: &SqlType) -> Result<DataType, PlanError> {
    Ok(match sql_type {
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::SmallInt(_) | SqlType::Int2(_) => DataType::SmallInt,
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => DataType::Integer,
        SqlType::BigInt(_) | SqlType::Int8(_) => DataType::BigInt,
        SqlType::Real | SqlType::Float4 => DataType::Real,
        SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 | SqlType::Float(_) => {
            DataType::Double
        }
        SqlType::Numeric(info) | SqlType::Decimal(info) | SqlType::Dec(info) => {
            DataType::Decimal(limits(info)?)
        }
        SqlType::Varchar(length) | SqlType::CharacterVarying(length) => {
            DataType::Text(length.as_ref().and_then(number_of_characters))
        }
        SqlType::Text | SqlType::String(_) => DataType::Text(None),
        SqlType::Char(length) | SqlType::Character(length) => {
            DataType::Char(length.as_ref().and_then(number_of_characters).unwrap_or(1))
        }
        SqlType::Bytea | SqlType::Bytes(_) => DataType::Bytea,
        SqlType::Date => DataType::Date,
        SqlType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => DataType::Time,
        SqlType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Timestamp
        }
        SqlType::Timestamp(..) => DataType::TimestampTz,
        SqlType::Interval { .. } => DataType::Interval,
        SqlType::Uuid => DataType::Uuid,
        SqlType::JSON => DataType::Json,
        SqlType::JSONB => DataType::Jsonb,
        SqlType::Array(
            ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => DataType::Array(Box::new(read(element)?)),
        SqlType::Map(key, value) => DataType::Map(Box::new(read(key)?), Box::new(read(value)?)),
        SqlType::Struct(fields, _) => DataType::Struct(
            fields
                .iter()
                .enumerate()
                .map(|(i, field)| {
                    Ok(StructField {
                        name: match &field.field_name {
                            Some(name) => name.value.clone(),
                            None => format!("f{}", i + 1),
                        },
                        data_type: read(&field.field_type)?,
                    })
                })
                .collect::<Result<_, PlanError>>()?,
        ),
        SqlType::Regclass => DataType::Text(None),
        // Types that only catalog queries name.
        SqlType::Custom(name, _) => match name.to_string().replace('"', "").as_str() {
            "oid" | "xid" | "pg_catalog.oid" => DataType::BigInt,
            "name"
            | "regclass"
            | "regtype"
            | "regproc"
            | "regnamespace"
            | "cstring"
            | "pg_catalog.regclass"
            | "pg_catalog.regtype"
            | "pg_catalog.text"
            | "unknown" => DataType::Text(None),
            other => {
                return Err(PlanError::new(
                    PlanErrorKind::UndefinedObject,
                    format!("type \"{other}\" does not exist"),
                ));
            }
        },
        other => {
            return Err(PlanError::new(
                PlanErrorKind::UndefinedObject,
                format!(
                    "type \"{}\" does not exist",
                    other.to_string().to_lowercase()
                ),
            ));
        }
    })
}

fn number_of_characters(length: &CharacterLength) -> Option<u32> {
    match length {
        CharacterLength::IntegerLength { length, .. } => u32::try_from(*length).ok(),
        CharacterLength::Max => None,
    }
}

fn limits(info: &ExactNumberInfo) -> Result<Option<(u8, i8)>, PlanError> {
    let out_of_range = || {
        PlanError::new(
            PlanErrorKind::InvalidParameterValue,
            "NUMERIC precision must be between 1 and 38",
        )
    };
    Ok(match info {
        ExactNumberInfo::None => None,
        ExactNumberInfo::Precision(precision) => {
            Some((u8::try_from(*precision).map_err(|_| out_of_range())?, 0))
        }
        ExactNumberInfo::PrecisionAndScale(precision, scale) => Some((
            u8::try_from(*precision).map_err(|_| out_of_range())?,
            i8::try_from(*scale).map_err(|_| out_of_range())?,
        )),
    })
}
