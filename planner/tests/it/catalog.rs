//! A small catalog to plan against, and the ways from text to text.

use std::sync::Arc;

use arrow_schema::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::TableSource;
use planner::bind::{BindOptions, BoundQuery};
use planner::relations::{RelationDef, RelationKind, Relations, ScanKind, ViewDef, scan_schema};
use planner::{OutputKind, PlanError, lower, plan_query};
use sql::ast::DataType as Sql;
use sql::{Query, Statement};

pub struct Catalog(pub Vec<Arc<RelationDef>>);

impl Relations for Catalog {
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<Arc<RelationDef>> {
        if schema.is_some_and(|schema| schema != "public") {
            return None;
        }
        self.0.iter().find(|def| def.name == name).cloned()
    }

    fn source(&self, def: &RelationDef, kind: ScanKind) -> Arc<dyn TableSource> {
        source(scan_schema(def, kind))
    }

    fn system_source(&self, schema: Option<&str>, name: &str) -> Option<Arc<dyn TableSource>> {
        (schema == Some("pg_catalog") && name == "pg_class").then(|| {
            source(Arc::new(Schema::new(vec![arrow_schema::Field::new(
                "relname",
                DataType::Utf8,
                true,
            )])))
        })
    }

    fn view(&self, _schema: Option<&str>, name: &str) -> Option<Arc<ViewDef>> {
        (name == "late").then(|| {
            Arc::new(ViewDef {
                name: "late".into(),
                query: query("SELECT carrier, dep_delay FROM flights WHERE dep_delay > 60"),
                columns: vec!["who".into()],
            })
        })
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|def| def.name.clone()).collect()
    }
}

fn source(schema: SchemaRef) -> Arc<dyn TableSource> {
    let table = MemTable::try_new(schema, vec![vec![]]).unwrap();
    provider_as_source(Arc::new(table))
}

/// A relation; `key` is a table's primary key or what is in the key of a stream's records.
pub fn relation(
    id: u32,
    kind: RelationKind,
    name: &str,
    columns: &[(&str, Sql)],
    key: &[usize],
) -> Arc<RelationDef> {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, data_type)| planner::types::field(name, data_type, true).unwrap())
        .collect();
    Arc::new(RelationDef {
        id,
        name: name.into(),
        kind,
        columns: Arc::new(Schema::new(fields)),
        key: match kind {
            RelationKind::Table => key.to_vec(),
            RelationKind::Stream => Vec::new(),
        },
        record_key: key.to_vec(),
        headers: vec![],
        partitions: 1,
        hidden_row_id: kind == RelationKind::Table && key.is_empty(),
        has_places: kind == RelationKind::Stream,
        windowed: false,
        queryable: true,
    })
}

pub fn catalog() -> Catalog {
    use RelationKind::{Stream, Table};
    Catalog(vec![
        relation(
            1,
            Stream,
            "flights",
            &[
                ("carrier", Sql::Text(None)),
                ("tailnum", Sql::Text(None)),
                ("dep_delay", Sql::BigInt),
                ("distance", Sql::Double),
            ],
            &[],
        ),
        relation(
            2,
            Table,
            "airlines",
            &[("carrier", Sql::Text(None)), ("name", Sql::Text(None))],
            &[0],
        ),
        relation(
            3,
            Table,
            "planes",
            &[
                ("tailnum", Sql::Text(None)),
                ("year", Sql::Integer),
                ("seats", Sql::SmallInt),
            ],
            &[0],
        ),
        relation(4, Table, "notes", &[("text", Sql::Text(Some(5)))], &[]),
        relation(
            5,
            Stream,
            "odd",
            &[
                ("id", Sql::Uuid),
                ("doc", Sql::Jsonb),
                ("tags", Sql::Array(Box::new(Sql::Text(None)))),
                (
                    "attrs",
                    Sql::Map(Box::new(Sql::Text(None)), Box::new(Sql::BigInt)),
                ),
                (
                    "place",
                    Sql::Struct(vec![sql::ast::StructField {
                        name: "city".into(),
                        data_type: Sql::Text(None),
                    }]),
                ),
                ("at", Sql::Timestamp),
                ("price", Sql::Decimal(Some((10, 2)))),
            ],
            &[],
        ),
        relation(
            6,
            Stream,
            "other",
            &[("carrier", Sql::Text(None)), ("n", Sql::BigInt)],
            &[],
        ),
    ])
}

pub fn statement(text: &str) -> Statement {
    let options = sql::ParseOptions::default();
    let mut statements = sql::parse(text, &options).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    statements.remove(0).node
}

pub fn query(text: &str) -> Query {
    match statement(text) {
        Statement::Query(query) => *query,
        other => panic!("{text} is {other:?}"),
    }
}

pub fn bind(text: &str) -> Result<BoundQuery, PlanError> {
    plan_query(&query(text), &catalog(), &BindOptions::default())
}

/// An error as psql shows it.
pub fn error_text(error: &PlanError) -> String {
    let mut out = format!("{:?}: {}", error.kind, error.message);
    if let Some(position) = error.position {
        out.push_str(&format!(" at {position}"));
    }
    if let Some(detail) = &error.detail {
        out.push_str(&format!("\nDETAIL: {detail}"));
    }
    if let Some(hint) = &error.hint {
        out.push_str(&format!("\nHINT: {hint}"));
    }
    out.push('\n');
    out
}

/// The columns of a bound query and its plan.
pub fn bound(text: &str) -> String {
    match bind(text) {
        Ok(bound) => {
            let columns: Vec<String> = bound
                .columns
                .iter()
                .map(|field| format!("{} {}", field.name(), planner::types::type_name(field)))
                .collect();
            format!("({})\n{}\n", columns.join(", "), bound.plan)
        }
        Err(error) => error_text(&error),
    }
}

/// The continuous plan of a query.
pub fn lowered(text: &str, output: OutputKind) -> String {
    let lowered = match bind(text).and_then(|bound| lower(&bound, &catalog(), output)) {
        Ok(lowered) => lowered,
        Err(error) => return error_text(&error),
    };
    let mut out = planner::explain::explain(&lowered.plan);
    for notice in &lowered.notices {
        out.push_str(&format!("NOTICE: {}\n", notice.message));
        if let Some(hint) = &notice.hint {
            out.push_str(&format!("HINT: {hint}\n"));
        }
    }
    if let Some(limit) = lowered.limit {
        out.push_str(&format!("LIMIT {limit}\n"));
    }
    let json = serde_json::to_string(&lowered.plan).unwrap();
    let back = serde_json::from_str(&json).unwrap();
    assert_eq!(lowered.plan, back, "a plan survives the catalog");
    check_schemas(&lowered.plan);
    out
}

/// Every step's expressions must have the types of its schema.
fn check_schemas(plan: &planner::step_plan::StepPlan) {
    use planner::step_plan::Operator;
    for step in &plan.steps {
        let input = step.inputs.first().map(|at| plan.steps[*at].schema.clone());
        match (&step.operator, input) {
            (Operator::Project { exprs }, Some(input)) => {
                assert_eq!(exprs.len(), step.schema.fields().len());
                for (expr, field) in exprs.iter().zip(step.schema.fields()) {
                    let physical = expr.to_physical(&input).unwrap();
                    assert_eq!(
                        physical.data_type(&input).unwrap(),
                        *field.data_type(),
                        "{expr}"
                    );
                }
            }
            (Operator::Filter { predicate }, Some(input)) => {
                let physical = predicate.to_physical(&input).unwrap();
                assert_eq!(physical.data_type(&input).unwrap(), DataType::Boolean);
            }
            (
                Operator::Aggregate {
                    group_by,
                    aggregates,
                    ..
                },
                Some(input),
            ) => {
                let types = group_by
                    .iter()
                    .map(|expr| expr.to_physical(&input).unwrap().data_type(&input).unwrap())
                    .chain(aggregates.iter().map(|call| {
                        let physical = call.to_physical(&input).unwrap();
                        assert_eq!(*physical.function.field().data_type(), call.return_type);
                        call.return_type.clone()
                    }));
                let expected: Vec<_> = types.collect();
                let found: Vec<_> = step
                    .schema
                    .fields()
                    .iter()
                    .map(|field| field.data_type().clone())
                    .collect();
                assert_eq!(expected, found);
            }
            (Operator::Join { on, .. }, Some(left)) => {
                let right = &plan.steps[step.inputs[1]].schema;
                for (l, r) in on {
                    let l = l.to_physical(&left).unwrap().data_type(&left).unwrap();
                    let r = r.to_physical(right).unwrap().data_type(right).unwrap();
                    assert_eq!(l, r);
                }
            }
            _ => {}
        }
    }
}

#[allow(dead_code)]
pub fn microseconds() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}
