//! `INSERT`, `UPDATE` and `DELETE` as queries for the rows they write.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::expr::{Cast, Placeholder, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Values, lit};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast as sqlast;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, SelectItem, SetExpr};
use sql::ast::{Delete, InsertSource, Update, position};

use super::prepare::{self, MODIFY, name_position, select_all_from, split, undefined_relation};
use super::{BindOptions, Binder, finish, ksql};
use crate::error::{PlanError, PlanErrorKind, Result, closest};
use crate::functions::{CHECK_LENGTH, TO_JSON, TO_JSONB, TO_UUID, functions};
use crate::relations::{ROW_ID, ROWTIME, RelationDef, RelationKind, Relations};
use crate::scalar_expr::ScalarExpr;
use crate::stack::on_large_stack;
use crate::types::{self, is_assignable, is_text, logical_type, timestamptz, type_name};

/// Rows that a statement writes.
#[derive(Debug, Clone)]
pub struct DmlPlan {
    pub plan: LogicalPlan,
    /// How many columns come first that identify an old row: the primary key, or the row's hidden
    /// number. None for INSERT.
    pub key_columns: usize,
    /// Whether there is a last column with the rowtime of each row.
    pub has_rowtime: bool,
    /// Whether the rows are constants and parameters only: nothing is read.
    pub constant: bool,
}

impl DmlPlan {
    /// The rows themselves, if they are constants that can be computed here and now: no parameter
    /// is left in them, and no function asks for the time or for chance. Anything else must be run.
    ///
    /// # Errors
    /// When a value cannot be computed.
    pub fn constant_rows(&self) -> Result<Option<RecordBatch>> {
        let LogicalPlan::Values(values) = &self.plan else {
            return Ok(None);
        };
        let width = values.schema.fields().len();
        let mut columns = vec![Vec::with_capacity(values.values.len()); width];
        for row in &values.values {
            for (expr, column) in row.iter().zip(&mut columns) {
                match constant(expr)? {
                    Some(value) => column.push(value),
                    None => return Ok(None),
                }
            }
        }
        let arrays = columns
            .into_iter()
            .map(ScalarValue::iter_to_array)
            .collect::<Result<Vec<_>, _>>()?;
        let batch = RecordBatch::try_new(values.schema.inner().clone(), arrays)
            .map_err(|error| PlanError::internal(format!("rows of an INSERT: {error}")))?;
        Ok(Some(batch))
    }
}

/// The value of an expression that is the same wherever and whenever it is computed.
fn constant(expr: &Expr) -> Result<Option<ScalarValue>> {
    match expr {
        Expr::Literal(value, _) => return Ok(Some(value.clone())),
        Expr::Alias(alias) => return constant(&alias.expr),
        _ => {}
    }
    let Ok(scalar) = ScalarExpr::from_logical(expr, &DFSchema::empty()) else {
        return Ok(None);
    };
    let field = Field::new("row", DataType::Boolean, false);
    let schema = Arc::new(Schema::new(vec![field]));
    let one: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let row = RecordBatch::try_new(schema.clone(), vec![one])
        .map_err(|error| PlanError::internal(error.to_string()))?;
    let value = scalar.to_physical(&schema)?.evaluate(&row)?;
    Ok(Some(ScalarValue::try_from_array(&value.into_array(1)?, 0)?))
}

/// Plans the rows of an `INSERT`: all columns of the target in order, cast to their types, NULL
/// where none is given; then, if it was named among `columns`, `rowtime`.
///
/// # Errors
/// When columns and expressions do not fit the target.
pub fn plan_insert(
    target: &RelationDef,
    columns: &[Ident],
    source: &InsertSource,
    relations: &dyn Relations,
    options: &BindOptions,
) -> Result<DmlPlan> {
    on_large_stack(|| {
        let mut insert = Insert::new(target, columns, relations, options)?;
        if !insert.named
            && options.dialect == sql::Dialect::Ksqldb
            && matches!(source, InsertSource::Values(_))
        {
            // Wherever its columns were declared, the key comes first.
            insert
                .positions
                .sort_by_key(|column| !target.record_key.contains(column));
        }
        insert.plan(source)
    })
}

struct Insert<'a> {
    /// For each expression given, in order: the position of its column, or that of rowtime.
    positions: Vec<usize>,
    /// Whether the statement named the columns.
    named: bool,
    /// The columns of the target, then rowtime if it is given.
    fields: Vec<FieldRef>,
    has_rowtime: bool,
    target: &'a RelationDef,
    binder: Binder<'a>,
}

impl<'a> Insert<'a> {
    fn new(
        target: &'a RelationDef,
        columns: &[Ident],
        relations: &'a dyn Relations,
        options: &'a BindOptions,
    ) -> Result<Self> {
        let mut fields: Vec<FieldRef> = target.columns.fields().iter().cloned().collect();
        let width = fields.len();
        let mut positions = Vec::with_capacity(columns.len());
        let mut has_rowtime = false;
        for column in columns {
            let place = match target.columns.column_with_name(&column.value) {
                Some((place, _)) => place,
                None if column.value.eq_ignore_ascii_case(ROWTIME) => {
                    has_rowtime = true;
                    width
                }
                None => return Err(undefined_column(target, column)),
            };
            if positions.contains(&place) {
                return Err(PlanError::new(
                    PlanErrorKind::DuplicateColumn,
                    format!("column \"{}\" specified more than once", column.value),
                )
                .at(position(column.span)));
            }
            positions.push(place);
        }
        let named = !columns.is_empty();
        if !named {
            positions = (0..width).collect();
        }
        if has_rowtime {
            fields.push(Arc::new(Field::new(ROWTIME, timestamptz(), true)));
        }
        Ok(Self {
            positions,
            named,
            fields,
            has_rowtime,
            target,
            binder: Binder::new(relations, options),
        })
    }

    fn plan(&self, source: &InsertSource) -> Result<DmlPlan> {
        self.refuse_headers()?;
        let (plan, constant) = match source {
            InsertSource::DefaultValues => (self.constants(&[Vec::new()])?, true),
            InsertSource::Values(rows) if rows.iter().flatten().all(is_plain) => {
                (self.constants(rows)?, true)
            }
            InsertSource::Values(rows) => (self.assign(self.selects(rows)?)?, false),
            InsertSource::Query(query) => {
                super::refuse_streaming_clauses(query, self.binder.options.dialect)?;
                let plan = match self.binder.options.dialect {
                    sql::Dialect::Postgres => self.binder.query((*query.body).clone())?,
                    sql::Dialect::Ksqldb => self.ksql_query(query)?,
                };
                (self.assign(plan)?, false)
            }
        };
        Ok(DmlPlan {
            plan,
            key_columns: 0,
            has_rowtime: self.has_rowtime,
            constant,
        })
    }

    /// In ksqlDB's dialect event time is a number of milliseconds.
    fn in_dialect(&self, value: Expr, place: usize) -> Result<Expr> {
        if self.binder.options.dialect == sql::Dialect::Postgres {
            return Ok(value);
        }
        let value = ksql::fold_constants(value)?;
        let is_rowtime = self.has_rowtime && place + 1 == self.fields.len();
        if !is_rowtime {
            return Ok(value);
        }
        let of = |expr: Expr, to: DataType| {
            let field = Arc::new(Field::new("", to, true));
            Expr::Cast(Cast::new_from_field(Box::new(expr), field))
        };
        let millis = DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, None);
        let local = of(of(value, DataType::Int64), millis);
        Ok(of(local, timestamptz()))
    }

    /// Columns that are filled from headers are not to be written.
    fn refuse_headers(&self) -> Result<()> {
        match self
            .positions
            .iter()
            .find(|place| self.target.headers.contains(place))
        {
            None => Ok(()),
            Some(place) => Err(PlanError::new(
                PlanErrorKind::WrongObjectType,
                format!(
                    "cannot insert into header column \"{}\"",
                    self.target.columns.field(*place).name()
                ),
            )),
        }
    }

    /// Rows of a query in ksqlDB's dialect: they must be as the target's, column by column.
    fn ksql_query(&self, query: &sql::Query) -> Result<LogicalPlan> {
        let refuse = |message: String| Err(PlanError::new(PlanErrorKind::WrongObjectType, message));
        let target = self.target;
        if target.kind == RelationKind::Table {
            return refuse(format!(
                "INSERT INTO … SELECT can only be used to insert into a stream; \"{}\" is a table",
                target.name
            ));
        }
        if !target.headers.is_empty() {
            return refuse(format!(
                "cannot insert into \"{}\" because it has header columns",
                target.name
            ));
        }
        let options = BindOptions {
            output: Some(crate::lower::OutputKind::Stream),
            ..self.binder.options.clone()
        };
        let rewritten = ksql::rewrite(query, self.binder.names.relations, &options)?;
        let plan = self.binder.query(rewritten.query)?;
        let (plan, columns) = finish(plan)?;
        // The key comes first in the result; the target has it where it was declared.
        let key = &target.record_key;
        let others = (0..target.columns.fields().len()).filter(|column| !key.contains(column));
        let order: Vec<usize> = key.iter().copied().chain(others).collect();
        let wanted: Vec<&FieldRef> = order
            .iter()
            .map(|column| &target.columns.fields()[*column])
            .collect();
        let describe = |fields: &[&FieldRef], key: usize| -> String {
            let fields: Vec<String> = fields
                .iter()
                .enumerate()
                .map(|(i, field)| {
                    let key = if i < key { " KEY" } else { "" };
                    format!("{} {}{key}", field.name(), type_name(field))
                })
                .collect();
            fields.join(", ")
        };
        let given: Vec<&FieldRef> = columns.iter().collect();
        let key_width = rewritten.key_columns.unwrap_or(0);
        let equal = given.len() == wanted.len()
            && key_width == key.len()
            && given.iter().zip(&wanted).all(|(given, wanted)| {
                given.name() == wanted.name()
                    && given.data_type().equals_datatype(wanted.data_type())
            });
        if !equal {
            return Err(PlanError::new(
                PlanErrorKind::DatatypeMismatch,
                "incompatible schema between results and sink",
            )
            .with_detail(format!(
                "Result schema is {}\nSink schema is {}",
                describe(&given, key_width),
                describe(&wanted, key.len())
            )));
        }
        let schema = plan.schema().clone();
        let exprs: Vec<Expr> = (0..order.len())
            .map(|column| {
                let given = order
                    .iter()
                    .position(|place| *place == column)
                    .expect("the order is one of all columns");
                Expr::from(schema.qualified_field(given))
            })
            .collect();
        Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
    }

    fn check_count(&self, count: usize, position: Option<usize>) -> Result<()> {
        let message = match count.cmp(&self.positions.len()) {
            std::cmp::Ordering::Greater => "INSERT has more expressions than target columns",
            std::cmp::Ordering::Less if self.named => {
                "INSERT has more target columns than expressions"
            }
            _ => return Ok(()),
        };
        Err(PlanError::new(PlanErrorKind::Syntax, message).at(position))
    }

    /// Rows that need nothing but themselves.
    fn constants(&self, rows: &[Vec<sqlast::Expr>]) -> Result<LogicalPlan> {
        let schema = DFSchema::from_unqualified_fields(
            self.fields
                .iter()
                .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
                .collect(),
            Default::default(),
        )?;
        let empty = DFSchema::empty();
        let planner = self.binder.planner();
        let mut context = self.binder.context();
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(first) = rows.first()
                && row.len() != first.len()
            {
                return Err(PlanError::new(
                    PlanErrorKind::Syntax,
                    "VALUES lists must all be the same length",
                ));
            }
            if !row.is_empty() {
                self.check_count(
                    row.len(),
                    row.get(self.positions.len()).and_then(expr_position),
                )?;
            }
            let mut out: Vec<Expr> = self.fields.iter().map(|field| null(field)).collect();
            for (expr, place) in row.iter().zip(&self.positions) {
                let at = expr_position(expr);
                let mut expr = expr.clone();
                if self.binder.options.dialect == sql::Dialect::Ksqldb {
                    ksql::prepare_constant(&mut expr).map_err(|error| error.at(at))?;
                }
                prepare::prepare_expr(&mut expr, self.binder.names.relations)?;
                let bound = planner
                    .sql_to_expr(expr, &empty, &mut context)
                    .map_err(|error| PlanError::from(error).at(at))?;
                let bound = self.in_dialect(bound, *place)?;
                let field = &self.fields[*place];
                let from = match &bound {
                    Expr::Placeholder(_) => field.clone(),
                    other => other.to_field(&empty)?.1,
                };
                out[*place] = assign(bound, &from, field).map_err(|error| error.at(at))?;
            }
            values.push(out);
        }
        let plan = LogicalPlan::Values(Values {
            schema: Arc::new(schema),
            values,
        });
        self.binder.complete(plan)
    }

    /// Rows with subqueries in them, as a union of `SELECT`s.
    fn selects(&self, rows: &[Vec<sqlast::Expr>]) -> Result<LogicalPlan> {
        let selects = rows.iter().map(|row| {
            let mut select = select_all_from(ObjectName::from(Vec::<Ident>::new()));
            select.from.clear();
            select.projection = row
                .iter()
                .enumerate()
                .map(|(i, expr)| SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias: Ident::with_quote('"', format!("column{}", i + 1)),
                })
                .collect();
            SetExpr::Select(Box::new(select))
        });
        let body = selects.reduce(|left, right| SetExpr::SetOperation {
            op: sqlast::SetOperator::Union,
            set_quantifier: sqlast::SetQuantifier::All,
            left: Box::new(left),
            right: Box::new(right),
        });
        match body {
            Some(body) => self.binder.query(query_of(body)),
            None => Err(PlanError::internal("INSERT without rows")),
        }
    }

    /// Brings the columns of a query to those of the target.
    fn assign(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let schema = plan.schema().clone();
        self.check_count(schema.fields().len(), None)?;
        let mut out: Vec<Expr> = self.fields.iter().map(|field| null(field)).collect();
        for ((qualifier, from), place) in schema.iter().zip(&self.positions) {
            let field = &self.fields[*place];
            let column = Expr::from((qualifier, from));
            let constant = is_constant_column(&plan, from.name());
            out[*place] = assign_from(column, from, field, constant)?;
        }
        named(plan, out, &self.fields)
    }
}

/// Plans an `UPDATE`: the old row's key, then all columns of the new row.
///
/// # Errors
/// When the relation cannot be updated or the assignments do not fit it.
pub fn plan_update(
    update: &Update,
    relations: &dyn Relations,
    options: &BindOptions,
) -> Result<DmlPlan> {
    on_large_stack(|| {
        let def = base_table(&update.relation, relations, "update")?;
        let mut assigned: Vec<Option<&sql::ast::Assignment>> =
            vec![None; def.columns.fields().len()];
        for assignment in &update.assignments {
            let column = &assignment.column;
            let Some((place, _)) = def.columns.column_with_name(&column.value) else {
                return Err(undefined_column(&def, column));
            };
            if assigned[place].replace(assignment).is_some() {
                return Err(PlanError::new(
                    PlanErrorKind::Syntax,
                    format!("multiple assignments to same column \"{}\"", column.value),
                )
                .at(position(column.span)));
            }
        }
        let shown = shown_name(&update.relation, update.alias.as_ref());
        let mut items = key_items(&def, &shown);
        let key_columns = items.len();
        for (field, assignment) in def.columns.fields().iter().zip(&assigned) {
            items.push(SelectItem::ExprWithAlias {
                expr: match assignment {
                    Some(assignment) => assignment.value.clone(),
                    None => column_of(&shown, field.name()),
                },
                alias: Ident::with_quote('"', format!("__new_{}", field.name())),
            });
        }
        let plan = modified_rows(
            &update.relation,
            &shown,
            items,
            update.selection.as_ref(),
            relations,
            options,
        )?;
        let schema = plan.schema().clone();
        let mut out = Vec::new();
        let mut fields = Vec::new();
        for (i, (qualifier, from)) in schema.iter().enumerate() {
            let column = Expr::from((qualifier, from));
            match i.checked_sub(key_columns) {
                None => {
                    out.push(column);
                    fields.push(from.clone());
                }
                Some(place) => {
                    let field = def.columns.fields()[place].clone();
                    let constant = is_constant_column(&plan, from.name());
                    let at =
                        assigned[place].and_then(|assignment| position(assignment.column.span));
                    out.push(
                        assign_from(column, from, &field, constant)
                            .map_err(|error| error.at(at))?,
                    );
                    fields.push(field);
                }
            }
        }
        Ok(DmlPlan {
            plan: named(plan, out, &fields)?,
            key_columns,
            has_rowtime: false,
            constant: false,
        })
    })
}

/// Plans a `DELETE`: the keys of the old rows.
///
/// # Errors
/// When rows of the relation cannot be deleted.
pub fn plan_delete(
    delete: &Delete,
    relations: &dyn Relations,
    options: &BindOptions,
) -> Result<DmlPlan> {
    on_large_stack(|| {
        let def = base_table(&delete.relation, relations, "delete from")?;
        let shown = shown_name(&delete.relation, delete.alias.as_ref());
        let items = key_items(&def, &shown);
        let key_columns = items.len();
        let plan = modified_rows(
            &delete.relation,
            &shown,
            items,
            delete.selection.as_ref(),
            relations,
            options,
        )?;
        let (plan, _) = finish(plan)?;
        Ok(DmlPlan {
            plan,
            key_columns,
            has_rowtime: false,
            constant: false,
        })
    })
}

fn base_table(
    name: &ObjectName,
    relations: &dyn Relations,
    verb: &str,
) -> Result<Arc<RelationDef>> {
    let def = split(name)
        .and_then(|(schema, table)| {
            relations.relation(schema.map(|schema| schema.value.as_str()), &table.value)
        })
        .ok_or_else(|| undefined_relation(name, relations))?;
    match def.kind {
        RelationKind::Table => Ok(def),
        RelationKind::Stream => Err(PlanError::new(
            PlanErrorKind::WrongObjectType,
            format!("cannot {verb} stream \"{}\"", def.name),
        )
        .at(name_position(name))
        .with_detail("A stream is append-only.")),
    }
}

fn shown_name(name: &ObjectName, alias: Option<&Ident>) -> String {
    match (alias, split(name)) {
        (Some(alias), _) => alias.value.clone(),
        (None, Some((_, table))) => table.value.clone(),
        (None, None) => name.to_string(),
    }
}

fn column_of(relation: &str, column: &str) -> sqlast::Expr {
    sqlast::Expr::CompoundIdentifier(vec![
        Ident::with_quote('"', relation),
        Ident::with_quote('"', column),
    ])
}

/// The columns that identify a row: `__old_key_0`, `__old_key_1`, ….
fn key_items(def: &RelationDef, shown: &str) -> Vec<SelectItem> {
    let key: Vec<&str> = match def.hidden_row_id {
        true => vec![ROW_ID],
        false => def
            .key
            .iter()
            .map(|place| def.columns.field(*place).name().as_str())
            .collect(),
    };
    key.into_iter()
        .enumerate()
        .map(|(i, column)| SelectItem::ExprWithAlias {
            expr: column_of(shown, column),
            alias: Ident::with_quote('"', format!("__old_key_{i}")),
        })
        .collect()
}

/// `SELECT items FROM relation AS shown WHERE selection`, scanned for modification.
fn modified_rows(
    relation: &ObjectName,
    shown: &str,
    items: Vec<SelectItem>,
    selection: Option<&sqlast::Expr>,
    relations: &dyn Relations,
    options: &BindOptions,
) -> Result<LogicalPlan> {
    let mut name = relation.clone();
    prepare::mark(&mut name, MODIFY);
    let mut select = select_all_from(name);
    select.projection = items;
    select.selection = selection.cloned();
    if let Some(sqlast::TableFactor::Table { alias, .. }) =
        select.from.first_mut().map(|from| &mut from.relation)
    {
        *alias = Some(sqlast::TableAlias {
            explicit: true,
            name: Ident::with_quote('"', shown),
            columns: Vec::new(),
            at: None,
        });
    }
    Binder::new(relations, options).query(query_of(SetExpr::Select(Box::new(select))))
}

fn query_of(body: SetExpr) -> sqlast::Query {
    sqlast::Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// Whether an expression reads nothing.
fn is_plain(expr: &sqlast::Expr) -> bool {
    use std::ops::ControlFlow;
    let found = sqlast::visit_expressions(expr, |expr| match expr {
        sqlast::Expr::Subquery(_)
        | sqlast::Expr::Exists { .. }
        | sqlast::Expr::InSubquery { .. }
        | sqlast::Expr::AnyOp { .. }
        | sqlast::Expr::AllOp { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_continue()
}

fn expr_position(expr: &sqlast::Expr) -> Option<usize> {
    position(sqlast::Spanned::span(expr))
}

fn undefined_column(def: &RelationDef, column: &Ident) -> PlanError {
    let error = PlanError::new(
        PlanErrorKind::UndefinedColumn,
        format!(
            "column \"{}\" of relation \"{}\" does not exist",
            column.value, def.name
        ),
    )
    .at(position(column.span));
    let names = def
        .columns
        .fields()
        .iter()
        .map(|field| field.name().as_str());
    match closest(&column.value, names) {
        Some(name) => error.with_hint(format!(
            "Perhaps you meant to reference the column \"{name}\"."
        )),
        None => error,
    }
}

fn null(field: &Field) -> Expr {
    Expr::Literal(
        ScalarValue::try_from(field.data_type()).unwrap_or(ScalarValue::Null),
        None,
    )
}

/// Whether a result column is a string constant, which has no type of its own yet.
fn is_constant_column(plan: &LogicalPlan, name: &str) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => projection.expr.iter().any(|expr| match expr {
            Expr::Alias(alias) => {
                alias.name == name
                    && matches!(*alias.expr, Expr::Literal(..) | Expr::Placeholder(_))
            }
            _ => false,
        }),
        LogicalPlan::Values(_) => true,
        LogicalPlan::Union(union) => union
            .inputs
            .iter()
            .all(|input| is_constant_column(input, name)),
        LogicalPlan::SubqueryAlias(alias) => is_constant_column(&alias.input, name),
        _ => false,
    }
}

fn assign(expr: Expr, from: &Field, to: &Field) -> Result<Expr> {
    if let Expr::Placeholder(Placeholder { id, field: None }) = expr {
        let stored = Field::new(to.name(), to.data_type().clone(), true);
        let typed = Placeholder::new_with_field(id, Some(Arc::new(stored)));
        return convert(Expr::Placeholder(typed), from, to);
    }
    let constant = matches!(expr, Expr::Literal(..) | Expr::Placeholder(_));
    assign_from(expr, from, to, constant)
}

fn assign_from(expr: Expr, from: &Field, to: &Field, constant: bool) -> Result<Expr> {
    if !is_assignable(from, to, constant) {
        return Err(PlanError::new(
            PlanErrorKind::DatatypeMismatch,
            format!(
                "column \"{}\" is of type {} but expression is of type {}",
                to.name(),
                type_name(to),
                type_name(from)
            ),
        )
        .with_hint("You will need to rewrite or cast the expression."));
    }
    convert(expr, from, to)
}

/// The expression as a value of the target's type.
fn convert(expr: Expr, from: &Field, to: &Field) -> Result<Expr> {
    let expr = match from.data_type() == to.data_type() {
        true => expr,
        false => Expr::Cast(Cast::new_from_field(
            Box::new(expr),
            Arc::new(Field::new(to.name(), to.data_type().clone(), true)),
        )),
    };
    if !is_text(to.data_type())
        || logical_type(from) == logical_type(to) && !matches!(expr, Expr::Placeholder(_))
    {
        return Ok(expr);
    }
    let (function, extra) = match logical_type(to) {
        Some("uuid") => (TO_UUID, None),
        Some("json") => (TO_JSON, None),
        Some("jsonb") => (TO_JSONB, None),
        Some(other) => match types::length(other) {
            Some((_, length)) => (CHECK_LENGTH, Some(lit(i64::from(length)))),
            None => return Ok(expr),
        },
        None => return Ok(expr),
    };
    let function = functions()
        .scalar(function)
        .ok_or_else(|| PlanError::internal(format!("function {function} is not registered")))?;
    let mut args = vec![expr];
    args.extend(extra);
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(
        function, args,
    )))
}

/// A projection whose columns have these names.
fn named(plan: LogicalPlan, exprs: Vec<Expr>, fields: &[FieldRef]) -> Result<LogicalPlan> {
    let exprs: Vec<Expr> = exprs
        .into_iter()
        .zip(fields)
        .map(|(expr, field)| expr.alias_qualified(None::<TableReference>, field.name()))
        .collect();
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}
