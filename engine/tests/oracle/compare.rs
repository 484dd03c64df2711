//! Answers as multisets of rows.
//!
//! Values are compared as text, exactly: the generator gives floating-point columns values whose sums
//! are exact, so that order cannot matter. What is left are functions that round on their way (the
//! variance family); the generator names such columns `approx…`, and they may differ by [`RELATIVE`]
//! of their size or, near zero, by [`ABSOLUTE`].

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_schema::SchemaRef;

const RELATIVE: f64 = 1e-6;
const ABSOLUTE: f64 = 1e-4;

/// The rows of an answer, sorted.
#[derive(Debug, Clone)]
pub struct Answer {
    types: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    exact: Vec<String>,
    /// `None` for NULL.
    approximate: Vec<Option<f64>>,
}

impl Answer {
    pub fn new(schema: &SchemaRef, batches: &[RecordBatch]) -> Self {
        let types = schema
            .fields()
            .iter()
            .map(|field| type_name(field.data_type()))
            .collect();
        let mut rows = Vec::new();
        for batch in batches {
            append(&mut rows, schema, batch);
        }
        rows.sort_by(|a, b| {
            a.exact.cmp(&b.exact).then_with(|| {
                let key = |row: &Row| -> Vec<f64> {
                    row.approximate
                        .iter()
                        .map(|v| v.unwrap_or(f64::NEG_INFINITY))
                        .collect()
                };
                key(a)
                    .partial_cmp(&key(b))
                    .unwrap_or(std::cmp::Ordering::Equal)
            })
        });
        Self { types, rows }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// What is wrong with this answer, given the right one; `None` when nothing is.
    pub fn difference(&self, right: &Self) -> Option<String> {
        if self.types != right.types {
            return Some(format!(
                "types {:?} instead of {:?}",
                self.types, right.types
            ));
        }
        self.difference_of_rows(right)
    }

    /// The same where columns may have been converted on the way.
    pub fn difference_of_rows(&self, right: &Self) -> Option<String> {
        let same = self.rows.len() == right.rows.len()
            && self.rows.iter().zip(&right.rows).all(|(a, b)| a.matches(b));
        if same {
            return None;
        }
        let mut lines = String::new();
        for row in self.without(right) {
            lines.push_str(&format!("  too much: {row:?}\n"));
        }
        for row in right.without(self) {
            lines.push_str(&format!("  missing:  {row:?}\n"));
        }
        Some(format!(
            "{} rows instead of {}\n{lines}",
            self.rows.len(),
            right.rows.len()
        ))
    }

    /// The first rows that the other does not have (as often).
    fn without(&self, other: &Self) -> Vec<&Row> {
        let mut rest: Vec<&Row> = other.rows.iter().collect();
        let mut left = Vec::new();
        for row in &self.rows {
            match rest.iter().position(|candidate| row.matches(candidate)) {
                Some(position) => drop(rest.swap_remove(position)),
                None => left.push(row),
            }
        }
        left.truncate(8);
        left
    }
}

impl Row {
    fn matches(&self, other: &Self) -> bool {
        self.exact == other.exact
            && self
                .approximate
                .iter()
                .zip(&other.approximate)
                .all(|pair| match pair {
                    (None, None) => true,
                    (Some(a), Some(b)) => {
                        (a - b).abs() <= ABSOLUTE + RELATIVE * a.abs().max(b.abs())
                            || (a.is_nan() && b.is_nan())
                    }
                    _ => false,
                })
    }
}

/// Texts are texts, however Arrow lays them out.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Utf8 => "text".into(),
        DataType::List(field) | DataType::LargeList(field) => {
            format!("{}[]", type_name(field.data_type()))
        }
        other => other.to_string(),
    }
}

fn append(rows: &mut Vec<Row>, schema: &SchemaRef, batch: &RecordBatch) {
    let options = FormatOptions::default().with_null("NULL");
    let mut added = vec![
        Row {
            exact: Vec::new(),
            approximate: Vec::new(),
        };
        batch.num_rows()
    ];
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if field.name().starts_with("approx") {
            let column = cast(column, &DataType::Float64).expect("approximate columns are numbers");
            let values = column.as_primitive::<Float64Type>();
            for (index, row) in added.iter_mut().enumerate() {
                row.approximate
                    .push(values.is_valid(index).then(|| values.value(index)));
            }
        } else {
            let formatter = ArrayFormatter::try_new(column.as_ref(), &options)
                .expect("every type can be shown");
            for (index, row) in added.iter_mut().enumerate() {
                row.exact.push(formatter.value(index).to_string());
            }
        }
    }
    rows.append(&mut added);
}
