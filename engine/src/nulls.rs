//! What lies under NULLs.
//!
//! Arrow says nothing of it, and its row format leaves the least value of the type there. Functions
//! that compute first and mask afterwards (`date_trunc`, …) overflow on that.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, downcast_primitive_array};

/// The columns with zeros under their NULLs.
pub fn zero_under_nulls(columns: Vec<ArrayRef>) -> Vec<ArrayRef> {
    columns
        .into_iter()
        .map(|column| match column.null_count() {
            0 => column,
            _ => zeroed(&column),
        })
        .collect()
}

fn zeroed(column: &ArrayRef) -> ArrayRef {
    let array = column.as_ref();
    downcast_primitive_array!(
        array => Arc::new(zeroed_primitive(array)),
        _ => column.clone(),
    )
}

fn zeroed_primitive<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> PrimitiveArray<T> {
    let values: Vec<T::Native> = array
        .iter()
        .map(|value| value.unwrap_or_default())
        .collect();
    PrimitiveArray::new(values.into(), array.nulls().cloned())
        .with_data_type(array.data_type().clone())
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn values_under_nulls_are_zero_and_others_stay() {
        let nulls = NullBuffer::from(vec![false, true]);
        let column: ArrayRef = Arc::new(Int64Array::new(vec![i64::MIN, 7].into(), Some(nulls)));
        let zeroed = zero_under_nulls(vec![column.clone()]);
        assert_eq!(&zeroed[0], &column);
        assert_eq!(zeroed[0].as_primitive::<Int64Type>().values(), &[0, 7]);
    }
}
