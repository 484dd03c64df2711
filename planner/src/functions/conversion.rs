//! Conversions that Arrow's cast does not know: to `UUID`, `JSON` and text of a limited length.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::{PlanError, PlanErrorKind};
use crate::types::LOGICAL_TYPE;

/// Text to `UUID`: checked, and brought to its usual form.
pub const TO_UUID: &str = "_to_uuid";
/// Text to `JSON`: checked, and kept as it is.
pub const TO_JSON: &str = "_to_json";
/// Text to `JSONB`: checked, and brought to PostgreSQL's form.
pub const TO_JSONB: &str = "_to_jsonb";
/// Text and a length: an error if the text is longer, unless only spaces are beyond.
pub const CHECK_LENGTH: &str = "_check_length";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let conversion = |name, logical_type, convert| {
        Arc::new(ScalarUDF::new_from_impl(Conversion {
            name,
            logical_type,
            convert,
            signature: Signature::new(
                TypeSignature::Exact(vec![DataType::Utf8]),
                Volatility::Immutable,
            ),
        }))
    };
    vec![
        conversion(TO_UUID, "uuid", to_uuid as Convert),
        conversion(TO_JSON, "json", to_json),
        conversion(TO_JSONB, "jsonb", to_jsonb),
        Arc::new(ScalarUDF::new_from_impl(CheckLength {
            signature: Signature::new(
                TypeSignature::Exact(vec![DataType::Utf8, DataType::Int64]),
                Volatility::Immutable,
            ),
        })),
    ]
}

type Convert = fn(&str) -> Result<String, PlanError>;

fn to_uuid(text: &str) -> Result<String, PlanError> {
    uuid::Uuid::try_parse(text.trim())
        .map(|uuid| uuid.hyphenated().to_string())
        .map_err(|_| {
            PlanError::new(
                PlanErrorKind::InvalidText,
                format!("invalid input syntax for type uuid: \"{text}\""),
            )
        })
}

fn to_json(text: &str) -> Result<String, PlanError> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(|_| text.to_owned())
        .map_err(|error| invalid_json(&error))
}

fn to_jsonb(text: &str) -> Result<String, PlanError> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| invalid_json(&e))?;
    let mut out = String::with_capacity(text.len());
    write_jsonb(&value, &mut out);
    Ok(out)
}

/// PostgreSQL's form: keys in order, a space after each colon and comma.
fn write_jsonb(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_jsonb(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then(a.cmp(b)));
            for (i, (key, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push_str(": ");
                write_jsonb(value, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn invalid_json(error: &serde_json::Error) -> PlanError {
    PlanError::new(
        PlanErrorKind::InvalidText,
        "invalid input syntax for type json",
    )
    .with_detail(error.to_string())
}

#[derive(Debug)]
struct Conversion {
    name: &'static str,
    logical_type: &'static str,
    convert: Convert,
    signature: Signature,
}

impl PartialEq for Conversion {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Conversion {}

impl std::hash::Hash for Conversion {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Conversion {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[datafusion::logical_expr::Expr]) -> Result<String> {
        match args {
            [text] => Ok(text.schema_name().to_string()),
            _ => exec_err!("{} takes one argument", self.name),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(
            Field::new(self.name, DataType::Utf8, nullable).with_metadata(HashMap::from([(
                LOGICAL_TYPE.to_owned(),
                self.logical_type.to_owned(),
            )])),
        ))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Scalar(ScalarValue::Utf8(text))] => {
                let text = text.as_deref().map(self.convert).transpose()?;
                Ok(ColumnarValue::Scalar(ScalarValue::Utf8(text)))
            }
            [ColumnarValue::Array(array)] => {
                let converted: StringArray = array
                    .as_string::<i32>()
                    .iter()
                    .map(|text| text.map(self.convert).transpose())
                    .collect::<Result<_, PlanError>>()?;
                Ok(ColumnarValue::Array(Arc::new(converted)))
            }
            _ => exec_err!("{} takes one text", self.name),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckLength {
    signature: Signature,
}

fn check_length(text: &str, length: usize) -> Result<&str, PlanError> {
    let Some((end, _)) = text.char_indices().nth(length) else {
        return Ok(text);
    };
    if text[end..].chars().all(|c| c == ' ') {
        Ok(&text[..end])
    } else {
        Err(PlanError::new(
            PlanErrorKind::InvalidText,
            format!("value too long for type character varying({length})"),
        ))
    }
}

impl ScalarUDFImpl for CheckLength {
    fn name(&self) -> &str {
        CHECK_LENGTH
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [
            text,
            ColumnarValue::Scalar(ScalarValue::Int64(Some(length))),
        ] = args.args.as_slice()
        else {
            return exec_err!("{CHECK_LENGTH} takes a text and a constant length");
        };
        let length = usize::try_from(*length).unwrap_or(usize::MAX);
        let array: ArrayRef = text.to_array(rows)?;
        let checked: StringArray = array
            .as_string::<i32>()
            .iter()
            .map(|text| text.map(|text| check_length(text, length)).transpose())
            .collect::<Result<_, PlanError>>()?;
        Ok(ColumnarValue::Array(Arc::new(checked)))
    }
}
