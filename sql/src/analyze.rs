//! Questions about trees that do not need a catalog.

use std::{collections::BTreeMap, convert::Infallible, ops::ControlFlow};

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query as SqlQuery,
    Select, SelectItem, TableFactor, Value, ValueWithSpan, Visit, Visitor,
};

use crate::ast::{Copy, CopySource, ExplainTarget, InsertSource, Query, Statement};

/// Something with queries or expressions inside.
///
/// Implemented for [`Query`], [`Statement`] and [`Expr`], so that the questions below can be asked of all of them.
pub trait Parts {
    /// Shows every sqlparser tree in it to a visitor.
    fn visit_parts<V: Visitor>(&self, visitor: &mut V) -> ControlFlow<V::Break>;
}

impl Parts for Expr {
    fn visit_parts<V: Visitor>(&self, visitor: &mut V) -> ControlFlow<V::Break> {
        self.visit(visitor)
    }
}

impl Parts for Query {
    fn visit_parts<V: Visitor>(&self, visitor: &mut V) -> ControlFlow<V::Break> {
        self.body.visit(visitor)?;
        self.partition_by.visit(visitor)
    }
}

impl Parts for Statement {
    fn visit_parts<V: Visitor>(&self, visitor: &mut V) -> ControlFlow<V::Break> {
        match self {
            Statement::Query(query) => query.visit_parts(visitor),
            Statement::CreateQuery(create) => create.query.visit_parts(visitor),
            Statement::Insert(insert) => match &insert.source {
                InsertSource::Values(rows) => rows.visit(visitor),
                InsertSource::Query(query) => query.visit_parts(visitor),
                InsertSource::DefaultValues => ControlFlow::Continue(()),
            },
            Statement::Update(update) => {
                for assignment in &update.assignments {
                    assignment.value.visit(visitor)?;
                }
                update.selection.visit(visitor)
            }
            Statement::Delete(delete) => delete.selection.visit(visitor),
            Statement::Copy(Copy::To {
                source: CopySource::Query(query),
                ..
            }) => query.visit_parts(visitor),
            Statement::Explain(explain) => match &explain.target {
                ExplainTarget::Statement(statement) => statement.node.visit_parts(visitor),
                ExplainTarget::RunningQuery(_) => ControlFlow::Continue(()),
            },
            Statement::Declare(declare) => declare.query.visit_parts(visitor),
            Statement::Prepare(prepare) => prepare.statement.node.visit_parts(visitor),
            Statement::Execute(execute) => execute.parameters.visit(visitor),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// How many parameters a statement takes: the greatest n of its `$n`, 0 if there is none.
pub fn parameter_count(parts: &impl Parts) -> usize {
    struct Greatest(usize);

    impl Visitor for Greatest {
        type Break = Infallible;

        fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<Infallible> {
            if let Value::Placeholder(name) = &value.value
                && let Some(number) = name
                    .strip_prefix('$')
                    .and_then(|digits| digits.parse().ok())
            {
                self.0 = self.0.max(number);
            }
            ControlFlow::Continue(())
        }
    }

    let mut greatest = Greatest(0);
    let ControlFlow::Continue(()) = parts.visit_parts(&mut greatest);
    greatest.0
}

/// Whether an expression somewhere names this column, alone or as the last part of a longer name, without regard to
/// case: `mentions(query, "rowtime")`. Wildcards do not count.
pub fn mentions(parts: &impl Parts, column: &str) -> bool {
    struct Find<'a>(&'a str);

    impl Visitor for Find<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let is_it = |ident: &Ident| ident.value.eq_ignore_ascii_case(self.0);
            let found = match expr {
                Expr::Identifier(ident) => is_it(ident),
                // Any part: `s.rowtime.x` takes a field of the column.
                Expr::CompoundIdentifier(idents) => idents.iter().any(is_it),
                _ => false,
            };
            if found {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
    }

    parts.visit_parts(&mut Find(column)).is_break()
}

/// Whether `*` or `t.*` stands for columns somewhere, in a SELECT list or as an argument; `count(*)` does not count.
pub fn has_wildcard(parts: &impl Parts) -> bool {
    struct Find;

    impl Visitor for Find {
        type Break = ();

        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            let wildcard = |item: &SelectItem| {
                matches!(
                    item,
                    SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
                )
            };
            if select.projection.iter().any(wildcard) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let found = match expr {
                Expr::QualifiedWildcard(..) => true,
                Expr::Function(function) => match &function.args {
                    FunctionArguments::List(list) => list.args.iter().any(|argument| {
                        matches!(
                            argument,
                            FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(_))
                        )
                    }),
                    _ => false,
                },
                _ => false,
            };
            if found {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
    }

    parts.visit_parts(&mut Find).is_break()
}

/// The relations that queries somewhere read, each once, in order of their names. Names of common table expressions
/// are left out where they are in scope; table functions are no relations.
pub fn relations(parts: &impl Parts) -> Vec<ObjectName> {
    let mut collect = Collect::default();
    let ControlFlow::Continue(()) = parts.visit_parts(&mut collect);
    collect.found.0.into_values().collect()
}

#[derive(Default)]
struct Collect {
    /// One entry per query being visited, outermost first.
    scopes: Vec<Scope>,
    found: Found,
}

/// The common table expressions of a query.
struct Scope {
    names: Vec<String>,
    /// How many of them can be seen at the moment: without RECURSIVE one sees those before it, the body sees all.
    visible: usize,
}

/// Names with the parts by which they are told apart.
#[derive(Default)]
struct Found(BTreeMap<Vec<String>, ObjectName>);

impl Found {
    fn insert(&mut self, name: &ObjectName) {
        let parts = name.0.iter().map(|part| match part.as_ident() {
            Some(ident) => ident.value.clone(),
            None => part.to_string(),
        });
        self.0
            .entry(parts.collect())
            .or_insert_with(|| name.clone());
    }
}

impl Collect {
    fn relation(&mut self, name: &ObjectName) {
        let in_scope = |name: &String| {
            let mut scopes = self.scopes.iter();
            scopes.any(|scope| scope.names[..scope.visible].contains(name))
        };
        let is_cte = match name.0.as_slice() {
            [part] => part.as_ident().is_some_and(|ident| in_scope(&ident.value)),
            _ => false,
        };
        if !is_cte {
            self.found.insert(name);
        }
    }
}

impl Visitor for Collect {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &SqlQuery) -> ControlFlow<Infallible> {
        let (names, recursive) = match &query.with {
            Some(with) => {
                let names = with
                    .cte_tables
                    .iter()
                    .map(|cte| cte.alias.name.value.clone());
                (names.collect(), with.recursive)
            }
            None => (Vec::new(), false),
        };
        let visible = if recursive { names.len() } else { 0 };
        self.scopes.push(Scope { names, visible });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &SqlQuery) -> ControlFlow<Infallible> {
        self.scopes.pop();
        // The first queries directly inside a query are its common table expressions, in order.
        if let Some(outer) = self.scopes.last_mut() {
            outer.visible = (outer.visible + 1).min(outer.names.len());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<Infallible> {
        if let TableFactor::Table {
            name, args: None, ..
        } = table
        {
            self.relation(name);
        }
        ControlFlow::Continue(())
    }
}
