//! Constants as text.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use datafusion::scalar::ScalarValue;

use super::Literal;
use crate::error::{PlanError, Result};

impl Literal {
    /// The constant that DataFusion holds.
    ///
    /// # Errors
    /// When its type cannot be written.
    pub fn from_scalar(value: &ScalarValue) -> Result<Self> {
        let data_type = value.data_type();
        let value = match value {
            value if value.is_null() => None,
            ScalarValue::Utf8(Some(text)) => Some(text.clone()),
            ScalarValue::Float32(Some(number)) => Some(number.to_string()),
            ScalarValue::Float64(Some(number)) => Some(number.to_string()),
            ScalarValue::Boolean(Some(value)) => Some(value.to_string()),
            ScalarValue::Int16(Some(value)) => Some(value.to_string()),
            ScalarValue::Int32(Some(value)) => Some(value.to_string()),
            ScalarValue::Int64(Some(value)) => Some(value.to_string()),
            ScalarValue::UInt64(Some(value)) => Some(value.to_string()),
            other => Some(to_hex(other)?),
        };
        Ok(Self { data_type, value })
    }

    /// The constant as DataFusion holds it.
    ///
    /// # Errors
    /// When the text is not a value of the type.
    pub fn to_scalar(&self) -> Result<ScalarValue> {
        let damaged = || {
            PlanError::internal(format!(
                "damaged constant of type {}: {:?}",
                self.data_type, self.value
            ))
        };
        let Some(text) = &self.value else {
            return Ok(ScalarValue::try_from(&self.data_type)?);
        };
        Ok(match self.data_type {
            DataType::Utf8 => ScalarValue::Utf8(Some(text.clone())),
            DataType::Float32 => ScalarValue::Float32(Some(text.parse().map_err(|_| damaged())?)),
            DataType::Float64 => ScalarValue::Float64(Some(text.parse().map_err(|_| damaged())?)),
            DataType::Boolean => ScalarValue::Boolean(Some(text.parse().map_err(|_| damaged())?)),
            DataType::Int16 => ScalarValue::Int16(Some(text.parse().map_err(|_| damaged())?)),
            DataType::Int32 => ScalarValue::Int32(Some(text.parse().map_err(|_| damaged())?)),
            DataType::Int64 => ScalarValue::Int64(Some(text.parse().map_err(|_| damaged())?)),
            DataType::UInt64 => ScalarValue::UInt64(Some(text.parse().map_err(|_| damaged())?)),
            _ => from_hex(text).ok_or_else(damaged)?,
        })
    }
}

fn to_hex(value: &ScalarValue) -> Result<String> {
    let write = || -> Result<Vec<u8>, ArrowError> {
        let array = value
            .to_array()
            .map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
        let field = Field::new("", array.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let batch = RecordBatch::try_new(schema.clone(), vec![array])?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        writer.write(&batch)?;
        writer.into_inner()
    };
    let bytes = write().map_err(|error| {
        PlanError::internal(format!("constant of type {}: {error}", value.data_type()))
    })?;
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}

fn from_hex(hex: &str) -> Option<ScalarValue> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<_>>()?;
    let mut reader = StreamReader::try_new(bytes.as_slice(), None).ok()?;
    let batch = reader.next()?.ok()?;
    ScalarValue::try_from_array(batch.column(0), 0).ok()
}
