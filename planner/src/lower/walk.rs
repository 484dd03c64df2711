//! The walk over the optimised plan: one logical node, one step or none.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Distinct, EmptyRelation, Expr, LogicalPlan, Projection, TableScan, Unnest, Values,
};

use super::{OutputKind, PlanNotice, schema_of};
use crate::error::{PlanError, Result};
use crate::relations::{
    ROWOFFSET, ROWPARTITION, ROWTIME, RelationDef, RelationKind, Relations, ScanKind, scan_schema,
};
use crate::scalar_expr::{Literal, ScalarExpr};
use crate::step_plan::{ChangelogMode, Operator, Source, SourceColumn, StateBound, Step};

/// The steps so far.
pub(super) struct Walk<'a> {
    relations: &'a dyn Relations,
    pub output: OutputKind,
    pub steps: Vec<Step>,
    pub notices: Vec<PlanNotice>,
    /// How many steps of each kind there are, for their names.
    counts: HashMap<String, usize>,
}

impl<'a> Walk<'a> {
    pub fn new(relations: &'a dyn Relations, output: OutputKind, notices: Vec<PlanNotice>) -> Self {
        Self {
            relations,
            output,
            steps: Vec::new(),
            notices,
            counts: HashMap::new(),
        }
    }

    /// Adds the steps of a plan and gives the position of its last.
    pub fn plan(&mut self, plan: &LogicalPlan) -> Result<usize> {
        match plan {
            // A step has at least one column, whether anybody looks at it or not.
            LogicalPlan::Projection(projection) if projection.expr.is_empty() => {
                self.plan(&projection.input)
            }
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input),
            LogicalPlan::Subquery(subquery) => self.plan(&subquery.subquery),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => {
                let input = self.plan(&filter.input)?;
                let predicate = ScalarExpr::from_logical(&filter.predicate, filter.input.schema())?;
                Ok(self.filter(input, predicate))
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(input),
            LogicalPlan::Distinct(Distinct::On(_)) => {
                Err(PlanError::not_incremental("DISTINCT ON"))
            }
            LogicalPlan::Union(union) => self.union(&union.inputs, schema_of(plan)),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(empty) => Ok(self.empty(empty)),
            LogicalPlan::Sort(_) => Err(PlanError::not_incremental("ORDER BY with LIMIT")),
            LogicalPlan::Limit(_) => Err(PlanError::not_incremental("LIMIT")),
            LogicalPlan::Window(_) => Err(PlanError::not_incremental("a window function")),
            LogicalPlan::RecursiveQuery(_) => Err(PlanError::not_incremental("WITH RECURSIVE")),
            other => Err(PlanError::not_incremental(
                other
                    .display()
                    .to_string()
                    .split(':')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            )),
        }
    }

    pub fn push(&mut self, kind: &str, step: NewStep) -> usize {
        let count = self.counts.entry(kind.to_owned()).or_insert(0);
        *count += 1;
        let id = match (&step.operator, *count) {
            // One scan of a relation needs no number.
            (Operator::Source(_), 1) => kind.to_owned(),
            (_, count) => format!("{kind}-{count}"),
        };
        self.steps.push(Step {
            id,
            inputs: step.inputs,
            operator: step.operator,
            schema: step.schema,
            key: step.key,
            mode: step.mode,
            state: step.state,
        });
        self.steps.len() - 1
    }

    pub fn filter(&mut self, input: usize, predicate: ScalarExpr) -> usize {
        let source = &self.steps[input];
        let step = NewStep {
            inputs: vec![input],
            operator: Operator::Filter { predicate },
            schema: source.schema.clone(),
            key: source.key.clone(),
            mode: source.mode,
            state: StateBound::Stateless,
        };
        self.push("filter", step)
    }

    pub fn project(&mut self, input: usize, exprs: Vec<ScalarExpr>, schema: SchemaRef) -> usize {
        let source = &self.steps[input];
        // A projection of a projection that only moves columns is one.
        if let Operator::Project { exprs: inner } = &source.operator
            && input + 1 == self.steps.len()
            && inner
                .iter()
                .all(|expr| matches!(expr, ScalarExpr::Column(_)))
        {
            let places: Vec<usize> = inner
                .iter()
                .filter_map(|expr| match expr {
                    ScalarExpr::Column(column) => Some(*column),
                    _ => None,
                })
                .collect();
            let below = source.inputs[0];
            self.steps.pop();
            if let Some(count) = self.counts.get_mut("project") {
                *count -= 1;
            }
            let exprs = exprs
                .iter()
                .map(|expr| expr.shifted(&|column| places[column]))
                .collect();
            return self.project(below, exprs, schema);
        }
        let key = source.key.as_ref().and_then(|key| {
            key.iter()
                .map(|column| {
                    exprs
                        .iter()
                        .position(|expr| *expr == ScalarExpr::Column(*column))
                })
                .collect()
        });
        let step = NewStep {
            inputs: vec![input],
            operator: Operator::Project { exprs },
            schema,
            key,
            mode: source.mode,
            state: StateBound::Stateless,
        };
        self.push("project", step)
    }

    /// Gives the last step the names that the user sees.
    pub fn rename_root(&mut self, root: usize, columns: &[FieldRef]) -> usize {
        let fields: Vec<FieldRef> = self.steps[root]
            .schema
            .fields()
            .iter()
            .zip(columns)
            .map(|(field, column)| {
                Arc::new(
                    field
                        .as_ref()
                        .clone()
                        .with_name(column.name())
                        .with_metadata(column.metadata().clone()),
                )
            })
            .collect();
        let schema = Arc::new(Schema::new(fields));
        // The root must be the last step, and a source keeps its own names.
        if root + 1 != self.steps.len() || matches!(self.steps[root].operator, Operator::Source(_))
        {
            let exprs = (0..schema.fields().len()).map(ScalarExpr::Column).collect();
            return self.project(root, exprs, schema);
        }
        self.steps[root].schema = schema;
        root
    }

    fn scan(&mut self, scan: &TableScan) -> Result<usize> {
        let def = self.relation(&scan.table_name)?;
        if scan.fetch.is_some() {
            return Err(PlanError::not_incremental("LIMIT"));
        }
        let full = scan_schema(&def, ScanKind::Read);
        let positions: Vec<usize> = match &scan.projection {
            Some(positions) => positions.clone(),
            None => (0..full.fields().len()).collect(),
        };
        // Filters may name columns that the scan does not give; they need them before.
        let filters = conjunction(scan.filters.iter().cloned());
        let mut scanned = positions.clone();
        if scanned.is_empty() && filters.is_none() {
            scanned.push(0);
        }
        if let Some(filters) = &filters {
            for column in filters.column_refs() {
                let position = full
                    .index_of(&column.name)
                    .map_err(|_| PlanError::internal(format!("filter of a scan names {column}")))?;
                if !scanned.contains(&position) {
                    scanned.push(position);
                }
            }
        }
        let input = self.source(&def, &scanned);
        let Some(filters) = filters else {
            return Ok(input);
        };
        let scanned_schema = DFSchema::try_from_qualified_schema(
            scan.projected_schema
                .iter()
                .next()
                .and_then(|(qualifier, _)| qualifier.cloned())
                .unwrap_or_else(|| scan.table_name.clone()),
            &self.steps[input].schema,
        )?;
        let predicate = ScalarExpr::from_logical(&filters, &scanned_schema)?;
        let filtered = self.filter(input, predicate);
        if scanned.len() == positions.len() || positions.is_empty() {
            return Ok(filtered);
        }
        let exprs = (0..positions.len()).map(ScalarExpr::Column).collect();
        let schema = Arc::new(
            full.project(&positions)
                .map_err(|error| PlanError::internal(format!("projection of a scan: {error}")))?,
        );
        Ok(self.project(filtered, exprs, schema))
    }

    fn relation(&self, name: &TableReference) -> Result<Arc<RelationDef>> {
        if let Some(def) = self.relations.relation(name.schema(), name.table()) {
            return Ok(def);
        }
        if self
            .relations
            .system_source(name.schema(), name.table())
            .is_some()
        {
            return Err(PlanError::not_incremental(format!(
                "the system catalog \"{name}\""
            )));
        }
        Err(PlanError::not_incremental(format!(
            "{} in FROM",
            name.table()
        )))
    }

    fn source(&mut self, def: &RelationDef, positions: &[usize]) -> usize {
        let full = scan_schema(def, ScanKind::Read);
        let width = def.columns.fields().len();
        let columns: Vec<SourceColumn> = positions
            .iter()
            .map(|position| match full.field(*position).name().as_str() {
                _ if *position < width => SourceColumn::Value(*position),
                ROWTIME => SourceColumn::Rowtime,
                ROWPARTITION => SourceColumn::Partition,
                ROWOFFSET => SourceColumn::Offset,
                other => unreachable!("a scan has no column {other}"),
            })
            .collect();
        let fields: Vec<FieldRef> = positions
            .iter()
            .map(|position| full.fields()[*position].clone())
            .collect();
        let key = match def.key.is_empty() {
            true => None,
            false => def
                .key
                .iter()
                .map(|key| positions.iter().position(|position| position == key))
                .collect(),
        };
        let step = NewStep {
            inputs: Vec::new(),
            operator: Operator::Source(Source {
                relation: def.id,
                name: def.name.clone(),
                columns,
            }),
            schema: Arc::new(Schema::new(fields)),
            key,
            mode: match def.kind {
                RelationKind::Stream => ChangelogMode::AppendOnly,
                RelationKind::Table => ChangelogMode::Retract,
            },
            state: StateBound::Stateless,
        };
        self.push(&format!("source-{}", def.name), step)
    }

    fn projection(&mut self, projection: &Projection) -> Result<usize> {
        // `SELECT 1` is a row of its own.
        if let LogicalPlan::EmptyRelation(empty) = projection.input.as_ref()
            && empty.produce_one_row
        {
            let row: Option<Vec<_>> = projection
                .expr
                .iter()
                .map(|expr| match unalias(expr) {
                    Expr::Literal(value, _) => Some(value),
                    _ => None,
                })
                .collect();
            if let Some(row) = row {
                let row = row
                    .into_iter()
                    .map(Literal::from_scalar)
                    .collect::<Result<_>>()?;
                return Ok(self.constant(vec![row], projection.schema.inner().clone()));
            }
        }
        let input = self.plan(&projection.input)?;
        let exprs = ScalarExpr::all_from_logical(&projection.expr, projection.input.schema())?;
        let schema = self.readable(input, &exprs, projection.schema.inner());
        let nothing_changes = exprs.len() == self.steps[input].schema.fields().len()
            && exprs
                .iter()
                .enumerate()
                .all(|(i, expr)| *expr == ScalarExpr::Column(i));
        if nothing_changes {
            return Ok(input);
        }
        Ok(self.project(input, exprs, schema))
    }

    /// The schema of a projection, with the names of the steps below where DataFusion has put an
    /// expression's text.
    fn readable(&self, input: usize, exprs: &[ScalarExpr], schema: &SchemaRef) -> SchemaRef {
        let below = &self.steps[input].schema;
        let fields: Vec<FieldRef> = schema
            .fields()
            .iter()
            .zip(exprs)
            .map(|(field, expr)| match expr {
                ScalarExpr::Column(column) if field.name().contains('(') => Arc::new(
                    field
                        .as_ref()
                        .clone()
                        .with_name(below.field(*column).name()),
                ),
                _ => field.clone(),
            })
            .collect();
        Arc::new(Schema::new(fields))
    }

    pub fn union(&mut self, inputs: &[Arc<LogicalPlan>], schema: SchemaRef) -> Result<usize> {
        let mut planned = Vec::with_capacity(inputs.len());
        let counted = schema.fields().is_empty();
        let schema = match counted {
            true => one_column(),
            false => schema,
        };
        for input in inputs {
            let input = self.plan(input)?;
            planned.push(match counted {
                // Only the number of rows matters.
                true => self.project(input, vec![truth(true)], schema.clone()),
                false => input,
            });
        }
        let inputs = planned;
        let mode = self.mode_of(&inputs);
        Ok(self.push(
            "union",
            NewStep {
                inputs,
                operator: Operator::Union,
                schema,
                key: None,
                mode,
                state: StateBound::Stateless,
            },
        ))
    }

    /// What changes come out of a step that passes on those of its inputs.
    pub fn mode_of(&self, inputs: &[usize]) -> ChangelogMode {
        inputs
            .iter()
            .map(|input| self.steps[*input].mode)
            .max()
            .unwrap_or(ChangelogMode::AppendOnly)
    }

    fn unnest(&mut self, unnest: &Unnest) -> Result<usize> {
        use datafusion::common::NullHandling;
        if !unnest.struct_type_columns.is_empty() {
            return Err(PlanError::not_incremental("unnest() of a struct"));
        }
        let input = self.plan(&unnest.input)?;
        let mut lists = Vec::new();
        for (position, list) in &unnest.list_type_columns {
            if list.depth != 1 || lists.contains(position) {
                return Err(PlanError::not_incremental("unnest() of several levels"));
            }
            lists.push(*position);
        }
        lists.sort_unstable();
        let mode = self.steps[input].mode;
        Ok(self.push(
            "unnest",
            NewStep {
                inputs: vec![input],
                operator: Operator::Unnest {
                    lists,
                    preserve_nulls: unnest.options.null_handling != NullHandling::Drop,
                },
                schema: unnest.schema.inner().clone(),
                key: None,
                mode,
                state: StateBound::Stateless,
            },
        ))
    }

    fn values(&mut self, values: &Values) -> Result<usize> {
        let rows = values
            .values
            .iter()
            .map(|row| {
                row.iter()
                    .map(|expr| match unalias(expr) {
                        Expr::Literal(value, _) => Literal::from_scalar(value),
                        other => Err(PlanError::not_incremental(format!("{other} in VALUES"))),
                    })
                    .collect()
            })
            .collect::<Result<Vec<Vec<Literal>>>>()?;
        Ok(self.constant(rows, values.schema.inner().clone()))
    }

    fn empty(&mut self, empty: &EmptyRelation) -> usize {
        let (rows, schema) = match empty.produce_one_row {
            true => (vec![vec![truth_literal(true)]], one_column()),
            false if empty.schema.fields().is_empty() => (Vec::new(), one_column()),
            false => (Vec::new(), empty.schema.inner().clone()),
        };
        self.constant(rows, schema)
    }

    fn constant(&mut self, rows: Vec<Vec<Literal>>, schema: SchemaRef) -> usize {
        self.push(
            "constant",
            NewStep {
                inputs: Vec::new(),
                operator: Operator::Constant { rows },
                schema,
                key: None,
                mode: ChangelogMode::AppendOnly,
                state: StateBound::Stateless,
            },
        )
    }
}

/// The schema of rows of which only the number matters.
fn one_column() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(
        "row",
        DataType::Boolean,
        false,
    )]))
}

pub(super) fn truth_literal(value: bool) -> Literal {
    Literal {
        data_type: DataType::Boolean,
        value: Some(value.to_string()),
    }
}

pub(super) fn truth(value: bool) -> ScalarExpr {
    ScalarExpr::Literal(truth_literal(value))
}

fn unalias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unalias(&alias.expr),
        other => other,
    }
}

/// A step before it has a name.
pub(super) struct NewStep {
    pub inputs: Vec<usize>,
    pub operator: Operator,
    pub schema: SchemaRef,
    pub key: Option<Vec<usize>>,
    pub mode: ChangelogMode,
    pub state: StateBound,
}
