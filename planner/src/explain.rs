//! Plans drawn as trees.
//!
//! ```text
//! aggregate-1   GROUP BY carrier: count(*), avg(dep_delay)   key (carrier) · retract · state: per key
//! └─ filter-1   dep_delay IS NOT NULL                        append-only
//!    └─ source-flights   stream flights (carrier, dep_delay)   append-only
//! ```

use std::fmt::Write;

use arrow_schema::Schema;

use crate::scalar_expr::ScalarExpr;
use crate::step_plan::{
    ChangelogMode, JoinKind, Operator, SourceColumn, StateBound, Step, StepPlan,
};

/// The plan as lines of text: for each step what it does, its key, what changes it emits and what
/// state it keeps.
pub fn explain(plan: &StepPlan) -> String {
    let mut out = String::new();
    draw(plan, plan.steps.len().saturating_sub(1), "", "", &mut out);
    out
}

fn draw(plan: &StepPlan, at: usize, first: &str, rest: &str, out: &mut String) {
    let step = &plan.steps[at];
    let _ = writeln!(out, "{first}{}: {}", step.id, describe(plan, step));
    let bar = if step.inputs.is_empty() { " " } else { "│" };
    let _ = writeln!(out, "{rest}{bar}    {}", properties(step));
    for (i, input) in step.inputs.iter().enumerate() {
        let last = i + 1 == step.inputs.len();
        let (branch, below) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        draw(
            plan,
            *input,
            &format!("{rest}{branch}"),
            &format!("{rest}{below}"),
            out,
        );
    }
}

/// What a step does, on one line.
pub fn describe(plan: &StepPlan, step: &Step) -> String {
    let input = |i: usize| step.inputs.get(i).map(|at| plan.steps[*at].schema.as_ref());
    let empty = Schema::empty();
    let first = input(0).unwrap_or(&empty);
    match &step.operator {
        Operator::Source(source) => {
            let columns: Vec<&str> = source
                .columns
                .iter()
                .zip(step.schema.fields())
                .map(|(column, field)| match column {
                    SourceColumn::Value(_) => field.name().as_str(),
                    SourceColumn::Rowtime => "rowtime",
                    SourceColumn::Partition => "rowpartition",
                    SourceColumn::Offset => "rowoffset",
                })
                .collect();
            format!("read {} ({})", source.name, columns.join(", "))
        }
        Operator::Constant { rows } => {
            let shown: Vec<String> = rows
                .iter()
                .take(3)
                .map(|row| {
                    let values: Vec<String> = row.iter().map(ToString::to_string).collect();
                    format!("({})", values.join(", "))
                })
                .collect();
            let more = if rows.len() > 3 { ", …" } else { "" };
            match rows.is_empty() {
                true => "no rows".to_owned(),
                false => format!("values {}{more}", shown.join(", ")),
            }
        }
        Operator::Filter { predicate } => format!("where {}", predicate.sql(first)),
        Operator::Project { exprs } => {
            let columns: Vec<String> = exprs
                .iter()
                .zip(step.schema.fields())
                .map(|(expr, field)| named(&expr.sql(first), field.name()))
                .collect();
            format!("select {}", columns.join(", "))
        }
        Operator::Unnest {
            lists,
            preserve_nulls,
        } => {
            let columns: Vec<String> = lists
                .iter()
                .map(|list| ScalarExpr::Column(*list).sql(first))
                .collect();
            let outer = if *preserve_nulls { " or NULL" } else { "" };
            format!("unnest {}{outer}", columns.join(", "))
        }
        Operator::Union => "union all".to_owned(),
        Operator::Aggregate {
            group_by,
            aggregates,
            keeps_groups,
        } => {
            let groups: Vec<String> = group_by.iter().map(|expr| expr.sql(first)).collect();
            let calls: Vec<String> = aggregates.iter().map(|call| call.sql(first)).collect();
            match (groups.is_empty(), calls.is_empty()) {
                (_, true) => format!("distinct {}", groups.join(", ")),
                (true, false) => calls.join(", "),
                (false, false) => {
                    let kept = if *keeps_groups {
                        ", groups are kept"
                    } else {
                        ""
                    };
                    format!("{} by {}{kept}", calls.join(", "), groups.join(", "))
                }
            }
        }
        Operator::Join {
            kind,
            on,
            filter,
            null_equals_null,
            lookup,
        } => {
            let second = input(1).unwrap_or(&empty);
            let equals = if *null_equals_null {
                "IS NOT DISTINCT FROM"
            } else {
                "="
            };
            let mut conditions: Vec<String> = on
                .iter()
                .map(|(l, r)| format!("{} {equals} {}", l.sql(first), r.sql(second)))
                .collect();
            if let Some(filter) = filter {
                let fields: Vec<_> = first
                    .fields()
                    .iter()
                    .chain(second.fields())
                    .cloned()
                    .collect();
                conditions.push(filter.sql(&Schema::new(fields)));
            }
            let word = match (kind, conditions.is_empty()) {
                (JoinKind::Inner, true) => "cross join",
                (JoinKind::Inner, false) => "join",
                (JoinKind::Left, _) => "left join",
                (JoinKind::Right, _) => "right join",
                (JoinKind::Full, _) => "full join",
                (JoinKind::LeftSemi, _) => "semi join",
                (JoinKind::LeftAnti, _) => "anti join",
            };
            let lookup = if *lookup { "lookup " } else { "" };
            match conditions.is_empty() {
                true => format!("{lookup}{word}"),
                false => format!("{lookup}{word} on {}", conditions.join(" AND ")),
            }
        }
    }
}

fn named(sql: &str, name: &str) -> String {
    let bare = sql.trim_matches('"');
    match bare == name {
        true => sql.to_owned(),
        false => format!("{sql} AS {name}"),
    }
}

/// Key, changes and state of a step.
pub fn properties(step: &Step) -> String {
    let key = match &step.key {
        None => "no key".to_owned(),
        Some(key) if key.is_empty() => "one row".to_owned(),
        Some(key) => {
            let names: Vec<&str> = key
                .iter()
                .map(|column| step.schema.field(*column).name().as_str())
                .collect();
            format!("key ({})", names.join(", "))
        }
    };
    let mode = match step.mode {
        ChangelogMode::AppendOnly => "append-only",
        ChangelogMode::Retract => "retract",
    };
    let state = match step.state {
        StateBound::Stateless => "no state",
        StateBound::PerKey => "state: one entry for each key",
        StateBound::Rows => "state: all rows of its input",
        StateBound::Unbounded => "state: unbounded, all rows that ever came",
    };
    format!("{key} · {mode} · {state}")
}
