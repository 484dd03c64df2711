//! A SELECT with nothing in it, and `TABLE t` as the SELECT it stands for.

use std::{convert::Infallible, ops::ControlFlow};

use sqlparser::ast::{
    GroupByExpr, Ident, ObjectName, Query, Select, SelectFlavor, SelectItem, SetExpr, TableFactor,
    TableWithJoins, VisitMut, VisitorMut, WildcardAdditionalOptions,
    helpers::attached_token::AttachedToken,
};

/// A SELECT without clauses.
pub(crate) fn select() -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: Vec::new(),
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

/// Replaces every `TABLE t` by `SELECT * FROM t`. sqlparser keeps the name in it as mere text.
pub(crate) fn spell_out_tables<T: VisitMut>(tree: &mut T) {
    let ControlFlow::Continue(()) = tree.visit(&mut SpellOut);
}

struct SpellOut;

impl VisitorMut for SpellOut {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Infallible> {
        let mut bodies = vec![&mut *query.body];
        while let Some(body) = bodies.pop() {
            match body {
                SetExpr::Table(table) => {
                    let parts = [table.schema_name.take(), table.table_name.take()];
                    let idents = parts
                        .into_iter()
                        .flatten()
                        .map(|part| Ident::with_quote('"', part));
                    let relation = TableFactor::Table {
                        name: ObjectName::from(idents.collect::<Vec<_>>()),
                        alias: None,
                        args: None,
                        with_hints: Vec::new(),
                        version: None,
                        with_ordinality: false,
                        partitions: Vec::new(),
                        json_path: None,
                        sample: None,
                        index_hints: Vec::new(),
                    };
                    *body = SetExpr::Select(Box::new(Select {
                        projection: vec![
                            SelectItem::Wildcard(WildcardAdditionalOptions::default()),
                        ],
                        from: vec![TableWithJoins {
                            relation,
                            joins: Vec::new(),
                        }],
                        ..select()
                    }));
                }
                SetExpr::SetOperation { left, right, .. } => {
                    bodies.extend([&mut **left, &mut **right])
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}
