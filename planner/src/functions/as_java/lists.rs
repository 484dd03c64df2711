//! Lists.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, StringArray, UInt32Array, make_comparator,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::{self, SortOptions, cast};
use arrow::row::{RowConverter, SortField};
use arrow_schema::{DataType, FieldRef};
use datafusion::common::{Result, exec_err};

use super::super::ksqldb::write_java;
use super::comparable::comparable;
use super::whole_at;
use crate::error::{PlanError, PlanErrorKind};

/// The elements as Java writes them, those that are NULL too.
pub(super) fn array_join(lists: &ArrayRef, delimiters: Option<&ArrayRef>) -> Result<StringArray> {
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
pub(super) fn array_remove(lists: &ArrayRef, of: &ArrayRef) -> Result<ArrayRef> {
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
    retain(lists, element, |row, at| {
        is_beyond(row) || compare(at, row).is_ne()
    })
}

/// Each element once, where it came first; maps are equal whatever the order of their entries.
pub(super) fn array_distinct(lists: &ArrayRef) -> Result<ArrayRef> {
    let DataType::List(element) = lists.data_type() else {
        return exec_err!("distinct elements are of a list");
    };
    let lists = lists.as_list::<i32>();
    let elements = comparable(lists.values())?;
    let converter = RowConverter::new(vec![SortField::new(elements.data_type().clone())])?;
    let encoded = converter.convert_columns(&[elements])?;
    let (mut seen, mut seen_of) = (HashSet::new(), usize::MAX);
    retain(lists, element, |row, at| {
        if row != seen_of {
            seen.clear();
            seen_of = row;
        }
        seen.insert(encoded.row(at))
    })
}

/// Elements of a series at most.
const SERIES_MAX: u64 = 10_000_000;

/// The whole numbers from one to another, up or down.
pub(super) fn series(from: &ArrayRef, to: &ArrayRef, list: &DataType) -> Result<ArrayRef> {
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
    let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
    Ok(Arc::new(ListArray::try_new(
        element.clone(),
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        cast(&numbers, element.data_type())?,
        Some(valid.into()),
    )?))
}

/// Lists with only those elements for which `keeps` is true, which is asked row by row with the row and
/// the element's place among all.
fn retain(
    lists: &ListArray,
    element: &FieldRef,
    mut keeps: impl FnMut(usize, usize) -> bool,
) -> Result<ArrayRef> {
    let offsets = lists.value_offsets();
    let (mut kept, mut ends) = (Vec::with_capacity(lists.values().len()), vec![0i32]);
    for row in 0..lists.len() {
        if lists.is_valid(row) {
            let elements = offsets[row]..offsets[row + 1];
            kept.extend(
                elements
                    .filter(|at| keeps(row, *at as usize))
                    .map(|at| at as u32),
            );
        }
        ends.push(kept.len() as i32);
    }
    Ok(Arc::new(ListArray::try_new(
        element.clone(),
        OffsetBuffer::new(ScalarBuffer::from(ends)),
        compute::take(lists.values(), &UInt32Array::from(kept), None)?,
        lists.nulls().cloned(),
    )?))
}
