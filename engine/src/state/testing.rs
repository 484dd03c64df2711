//! What the tests of state share.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use parking_lot::Mutex;

use crate::change_batch::ChangeBatch;
use crate::operator::{ChunkSource, StateReader, StateWriter, StepError};

/// A state store in memory.
#[derive(Debug, Default, Clone)]
pub(crate) struct MemoryStore(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl StateWriter for MemoryStore {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

impl StateReader for MemoryStore {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StepError> {
        for (key, value) in self.0.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) {
                break;
            }
            visit(key, value);
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StepError> {
        Ok(self.0.get(key).cloned())
    }
}

/// A state store in memory that rows can be read from later.
#[derive(Debug, Default, Clone)]
pub(crate) struct SharedStore(Arc<Mutex<MemoryStore>>);

impl StateWriter for SharedStore {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.lock().put(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.lock().delete(key);
    }

    fn clear(&mut self) {
        self.0.lock().clear();
    }
}

impl StateReader for SharedStore {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StepError> {
        self.0.lock().scan(prefix, visit)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StepError> {
        self.0.lock().get(key)
    }

    fn source(&self) -> Option<Arc<dyn ChunkSource>> {
        Some(Arc::new(self.clone()))
    }
}

impl ChunkSource for SharedStore {
    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StepError> {
        let store = self.0.lock();
        keys.iter().map(|key| store.get(key)).collect()
    }

    fn freeze(&self) -> Result<Arc<dyn ChunkSource>, StepError> {
        let now = self.0.lock().clone();
        Ok(Arc::new(SharedStore(Arc::new(Mutex::new(now)))))
    }
}

/// A row of the tests: a key, a text and a float.
pub(crate) type Row = (Option<i64>, Option<&'static str>, Option<f64>);

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("t", DataType::Utf8, true),
        Field::new("f", DataType::Float64, true),
    ]))
}

pub(crate) fn rows(rows: &[Row]) -> RecordBatch {
    let keys: Int64Array = rows.iter().map(|row| row.0).collect();
    let texts: StringArray = rows.iter().map(|row| row.1).collect();
    let floats: Float64Array = rows.iter().map(|row| row.2).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(texts), Arc::new(floats)];
    RecordBatch::try_new(schema(), columns).expect("columns as in the schema")
}

/// Changes with event times 0, 1, ….
pub(crate) fn changes(weighted: &[(i64, Row)]) -> ChangeBatch {
    let only_rows: Vec<Row> = weighted.iter().map(|(_, row)| *row).collect();
    ChangeBatch::new(
        rows(&only_rows),
        weighted.iter().map(|(weight, _)| *weight).collect(),
        (0..weighted.len() as i64).collect(),
    )
}

/// A row as text; -0.0 and NaN can be told from others.
pub(crate) fn row_text(batch: &RecordBatch, row: usize) -> String {
    let values: Vec<String> = batch
        .columns()
        .iter()
        .map(|column| match column.is_null(row) {
            true => "-".to_owned(),
            false => array_value_to_string(column, row).expect("displayable"),
        })
        .collect();
    values.join(" ")
}

/// Changes as lines like `+1 a b`.
pub(crate) fn draw(changes: &ChangeBatch) -> String {
    (0..changes.num_rows()).fold(String::new(), |mut text, row| {
        let weight = changes.weight(row);
        let _ = writeln!(text, "{weight:+} {}", row_text(&changes.rows, row));
        text
    })
}

/// Adds changes up; rows that cancel vanish.
pub(crate) fn accumulate(into: &mut BTreeMap<String, i64>, changes: &ChangeBatch) {
    for row in 0..changes.num_rows() {
        let text = row_text(&changes.rows, row);
        let weight = into.entry(text.clone()).or_default();
        *weight += changes.weight(row);
        if *weight == 0 {
            into.remove(&text);
        }
    }
}
