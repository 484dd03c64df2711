//! Bytes inside nested values, as JSON has them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StringArray, StructArray};
use arrow::error::ArrowError;
use arrow_schema::{DataType, Field, Fields};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The same values with bytes as records in JSON have them.
pub(super) fn in_base64(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    use DataType as T;
    let like = |field: &Field, array: &ArrayRef| {
        Arc::new(
            field
                .clone()
                .with_data_type(array.data_type().clone())
                .with_nullable(true),
        )
    };
    Ok(match array.data_type() {
        T::Binary => {
            let texts = array.as_binary::<i32>().iter();
            let texts = texts.map(|bytes| bytes.map(|bytes| BASE64_STANDARD.encode(bytes)));
            Arc::new(texts.collect::<StringArray>())
        }
        T::List(item) => {
            let list = array.as_list::<i32>();
            let items = in_base64(list.values())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::try_new(
                like(item, &items),
                offsets,
                items,
                nulls,
            )?)
        }
        T::Struct(fields) if !fields.is_empty() => {
            let members = array.as_struct();
            let columns = members.columns().iter().map(in_base64);
            let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
            let fields = fields.iter().zip(&columns);
            let fields = fields.map(|(field, column)| like(field, column)).collect();
            Arc::new(StructArray::try_new(
                fields,
                columns,
                members.nulls().cloned(),
            )?)
        }
        T::Map(entries, sorted) => {
            let map = array.as_map();
            let T::Struct(fields) = entries.data_type() else {
                return Ok(array.clone());
            };
            let values = in_base64(map.values())?;
            let fields: Fields = [fields[0].clone(), like(&fields[1], &values)]
                .into_iter()
                .collect();
            let columns = vec![map.keys().clone(), values];
            let pairs = StructArray::try_new(fields.clone(), columns, None)?;
            let entries = entries.as_ref().clone().with_data_type(T::Struct(fields));
            Arc::new(MapArray::try_new(
                Arc::new(entries),
                map.offsets().clone(),
                pairs,
                map.nulls().cloned(),
                *sorted,
            )?)
        }
        _ => array.clone(),
    })
}
