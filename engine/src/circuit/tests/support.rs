//! Plans by hand, changes from text, a state store in memory, and DataFusion's batch answer.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use planner::scalar_expr::{Literal, ScalarExpr};
use planner::step_plan::{
    AggregateCall, ChangelogMode, Operator, Source, SourceColumn, StateBound, Step, StepPlan,
};

use crate::change_batch::ChangeBatch;
use crate::circuit::{Circuit, CircuitOptions};
use crate::operator::{ErrorSink, RowError, StateReader, StateWriter, StepContext, StepError};

/// Builds a plan step by step.
pub(super) struct PlanBuilder {
    steps: Vec<Step>,
    mode: ChangelogMode,
}

impl PlanBuilder {
    /// Sources give changes of this mode.
    pub(super) fn new(mode: ChangelogMode) -> Self {
        Self {
            steps: Vec::new(),
            mode,
        }
    }

    fn push(
        &mut self,
        operator: Operator,
        inputs: &[usize],
        schema: Schema,
        mode: ChangelogMode,
    ) -> usize {
        self.steps.push(Step {
            id: format!("s{}", self.steps.len()),
            inputs: inputs.to_vec(),
            operator,
            schema: Arc::new(schema),
            key: None,
            mode,
            state: StateBound::Stateless,
        });
        self.steps.len() - 1
    }

    pub(super) fn schema(&self, step: usize) -> &SchemaRef {
        &self.steps[step].schema
    }

    pub(super) fn source(&mut self, columns: &[(&str, DataType)]) -> usize {
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
            .collect();
        let source = Operator::Source(Source {
            relation: 1,
            name: "t".into(),
            columns: (0..columns.len()).map(SourceColumn::Value).collect(),
        });
        self.push(source, &[], Schema::new(fields), self.mode)
    }

    pub(super) fn source_with_rowtime(&mut self, columns: &[(&str, DataType)]) -> usize {
        let step = self.source(columns);
        let Operator::Source(source) = &mut self.steps[step].operator else {
            unreachable!("a source was added");
        };
        source.columns.push(SourceColumn::Rowtime);
        let mut fields: Vec<Field> = self.steps[step]
            .schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone())
            .collect();
        let rowtime = DataType::Timestamp(
            arrow::datatypes::TimeUnit::Microsecond,
            Some("+00:00".into()),
        );
        fields.push(Field::new("rowtime", rowtime, true));
        self.steps[step].schema = Arc::new(Schema::new(fields));
        step
    }

    pub(super) fn filter(&mut self, input: usize, predicate: ScalarExpr) -> usize {
        let schema = self.schema(input).as_ref().clone();
        let mode = self.steps[input].mode;
        self.push(Operator::Filter { predicate }, &[input], schema, mode)
    }

    pub(super) fn project(
        &mut self,
        input: usize,
        exprs: Vec<(ScalarExpr, &str, DataType)>,
    ) -> usize {
        let fields: Vec<Field> = exprs
            .iter()
            .map(|(_, name, data_type)| Field::new(*name, data_type.clone(), true))
            .collect();
        let exprs = exprs.into_iter().map(|(expr, _, _)| expr).collect();
        let mode = self.steps[input].mode;
        self.push(
            Operator::Project { exprs },
            &[input],
            Schema::new(fields),
            mode,
        )
    }

    pub(super) fn unnest(&mut self, input: usize, list: usize, preserve_nulls: bool) -> usize {
        let fields: Vec<Field> = self
            .schema(input)
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| match field.data_type() {
                DataType::List(element) if index == list => {
                    Field::new(field.name(), element.data_type().clone(), true)
                }
                _ => field.as_ref().clone(),
            })
            .collect();
        let operator = Operator::Unnest {
            lists: vec![list],
            preserve_nulls,
        };
        let mode = self.steps[input].mode;
        self.push(operator, &[input], Schema::new(fields), mode)
    }

    pub(super) fn union(&mut self, inputs: &[usize]) -> usize {
        let schema = self.schema(inputs[0]).as_ref().clone();
        let mode = inputs.iter().map(|input| self.steps[*input].mode).max();
        self.push(
            Operator::Union,
            inputs,
            schema,
            mode.expect("a union has inputs"),
        )
    }

    /// Groups by columns.
    pub(super) fn aggregate(
        &mut self,
        input: usize,
        group_by: &[usize],
        aggregates: Vec<AggregateCall>,
    ) -> usize {
        let mut fields: Vec<Field> = group_by
            .iter()
            .map(|column| self.schema(input).field(*column).clone())
            .collect();
        fields.extend(
            aggregates.iter().enumerate().map(|(index, call)| {
                Field::new(format!("a{index}"), call.return_type.clone(), true)
            }),
        );
        let operator = Operator::Aggregate {
            group_by: group_by.iter().map(|c| ScalarExpr::Column(*c)).collect(),
            aggregates,
            keeps_groups: false,
        };
        let append_only_distinct = matches!(&operator, Operator::Aggregate { aggregates, .. }
            if aggregates.is_empty() && self.steps[input].mode == ChangelogMode::AppendOnly);
        let mode = match append_only_distinct {
            true => ChangelogMode::AppendOnly,
            false => ChangelogMode::Retract,
        };
        self.push(operator, &[input], Schema::new(fields), mode)
    }

    pub(super) fn build(self) -> StepPlan {
        StepPlan { steps: self.steps }
    }
}

pub(super) fn column(index: usize) -> ScalarExpr {
    ScalarExpr::Column(index)
}

pub(super) fn int(value: i64) -> ScalarExpr {
    ScalarExpr::Literal(Literal {
        data_type: DataType::Int64,
        value: Some(value.to_string()),
    })
}

pub(super) fn binary(left: ScalarExpr, op: &str, right: ScalarExpr) -> ScalarExpr {
    ScalarExpr::Binary {
        op: op.into(),
        left: Box::new(left),
        right: Box::new(right),
    }
}

pub(super) fn call(function: &str, args: Vec<ScalarExpr>, return_type: DataType) -> AggregateCall {
    AggregateCall {
        function: function.into(),
        args,
        distinct: false,
        filter: None,
        order_by: vec![],
        ignore_nulls: false,
        return_type,
    }
}

/// Rows from text: words are cells, `NULL` is NULL; the first word is the weight or its sign.
pub(super) fn changes(schema: &Schema, lines: &[&str], first_rowtime: i64) -> ChangeBatch {
    let mut weights = Vec::new();
    let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); schema.fields().len()];
    for line in lines {
        let mut words = line.split_whitespace();
        weights.push(match words.next().expect("a line begins with a weight") {
            "+" => 1,
            "-" => -1,
            weight => weight.parse::<i64>().expect("weights are integers"),
        });
        for (column, cell) in cells.iter_mut().zip(words) {
            column.push((cell != "NULL").then(|| cell.to_owned()));
        }
    }
    let columns = cells
        .into_iter()
        .zip(schema.fields())
        .map(|(cells, field)| {
            let text: ArrayRef = Arc::new(StringArray::from(cells));
            cast(&text, field.data_type()).expect("cells fit their column")
        })
        .collect();
    let rows = RecordBatch::try_new(Arc::new(schema.clone()), columns).expect("columns fit");
    let rowtimes = (first_rowtime..).take(lines.len()).collect();
    ChangeBatch::new(rows, weights.into(), rowtimes)
}

/// A cell as text that does not depend on how floating-point numbers were added up.
pub(super) fn cell(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".into();
    }
    match array.data_type() {
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            // A little is added because sums of binary fractions lie half-way between decimals, where
            // the last bit would decide. −0 and 0 are equal.
            format!("{:.6}", value + 3e-8).replace("-0.000000", "0.000000")
        }
        _ => {
            let options = FormatOptions::default().with_null("NULL");
            let formatter = ArrayFormatter::try_new(array, &options).expect("cells have a text");
            formatter.value(row).to_string()
        }
    }
}

fn row_text(rows: &RecordBatch, row: usize) -> String {
    let cells: Vec<String> = rows
        .columns()
        .iter()
        .map(|array| cell(array, row))
        .collect();
    cells.join(" ")
}

/// Changes as text, a line each.
pub(super) fn draw(batches: &[ChangeBatch]) -> String {
    let mut text = String::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let sign = match batch.weight(row) {
                1 => "+".to_owned(),
                -1 => "-".to_owned(),
                weight => format!("{weight:+}"),
            };
            text += &format!("{sign} {}\n", row_text(&batch.rows, row));
        }
    }
    text
}

/// Adds changes to a relation, as text of a row to how often it occurs.
pub(super) fn accumulate(relation: &mut BTreeMap<String, i64>, batches: &[ChangeBatch]) {
    for batch in batches {
        for row in 0..batch.num_rows() {
            let text = row_text(&batch.rows, row);
            let count = relation.entry(text.clone()).or_default();
            *count += batch.weight(row);
            if *count == 0 {
                relation.remove(&text);
            }
        }
    }
}

/// Rows as a relation.
pub(super) fn relation(batches: &[RecordBatch]) -> BTreeMap<String, i64> {
    let mut relation = BTreeMap::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            *relation.entry(row_text(batch, row)).or_default() += 1;
        }
    }
    relation
}

/// DataFusion's answer over a table `t`.
pub(super) fn batch_answer(table: RecordBatch, sql: &str) -> Vec<RecordBatch> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let config = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config(config);
        let table = MemTable::try_new(table.schema(), vec![vec![table]]).expect("rows fit");
        context
            .register_table("t", Arc::new(table))
            .expect("t is new");
        let frame = context.sql(sql).await.expect("the query can be planned");
        frame.collect().await.expect("the query can be run")
    })
}

/// Notes what is reported.
#[derive(Default)]
pub(super) struct Reports(pub(super) Mutex<Vec<RowError>>);

impl ErrorSink for Reports {
    fn report(&self, error: RowError) {
        self.0.lock().expect("nobody panics here").push(error);
    }
}

/// Entries of a step by key.
type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// State of a circuit's steps, in memory.
#[derive(Default)]
pub(super) struct Store(RefCell<HashMap<String, Entries>>);

struct StepStore<'a>(RefCell<&'a mut Entries>);

impl StateWriter for StepStore<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.borrow_mut().insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.borrow_mut().remove(key);
    }

    fn clear(&mut self) {
        self.0.borrow_mut().clear();
    }
}

impl StateReader for StepStore<'_> {
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StepError> {
        for (key, value) in self.0.borrow().range(prefix.to_vec()..) {
            if !key.starts_with(prefix) {
                break;
            }
            visit(key, value);
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StepError> {
        Ok(self.0.borrow().get(key).cloned())
    }
}

impl Store {
    pub(super) fn checkpoint(&self, circuit: &mut Circuit) {
        circuit
            .checkpoint(&mut |step, save| {
                let mut steps = self.0.borrow_mut();
                save(&mut StepStore(RefCell::new(
                    steps.entry(step.to_owned()).or_default(),
                )))
            })
            .expect("memory does not fail");
    }

    pub(super) fn restored(&self, plan: &StepPlan, options: &CircuitOptions) -> Circuit {
        let mut circuit = Circuit::build(plan, options).expect("the plan is good");
        circuit
            .restore(&mut |step, load| {
                let mut steps = self.0.borrow_mut();
                load(&StepStore(RefCell::new(
                    steps.entry(step.to_owned()).or_default(),
                )))
            })
            .expect("the state is good");
        circuit
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.0.borrow().values().map(BTreeMap::len).sum()
    }
}

/// One step with changes of one source.
pub(super) fn step(
    circuit: &mut Circuit,
    source: usize,
    changes: Vec<ChangeBatch>,
    reports: &Reports,
) -> Result<Vec<ChangeBatch>, StepError> {
    let context = StepContext {
        epoch: 1,
        epoch_time: 0,
        errors: reports,
        workers: None,
    };
    circuit.step(HashMap::from([(source, changes)]), &context)
}
