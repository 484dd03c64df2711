//! Values with maps in them in a form that can be compared.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, UInt32Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute;
use arrow_schema::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_err};

/// Whether a type has a map in it, which cannot be compared as it is.
pub fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::List(element) => has_map(element.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
        _ => false,
    }
}

pub(super) fn comparable_type(data_type: &DataType) -> DataType {
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

pub(super) fn comparable(values: &ArrayRef) -> Result<ArrayRef> {
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
            let order = UInt32Array::from(order);
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
