//! From a plan to operators.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{Field, Schema, SchemaRef};
use planner::PlanError;
use planner::scalar_expr::ScalarExpr;
use planner::step_plan::{self, AggregateCall, ChangelogMode, Step, StepPlan};

use super::chain::Chain;
use super::source::Source;
use super::{Circuit, CircuitOptions, Kind, Node, StepStatistics};
use crate::aggregates::{Call, Demands};
use crate::expression::Expression;
use crate::operator::StepError;
use crate::operators::aggregate::{Aggregate, AggregateSpec};
use crate::operators::constant::Constant;
use crate::operators::filter::Filter;
use crate::operators::join::{Join, JoinOptions};
use crate::operators::project::Project;
use crate::operators::stateless::Stateless;
use crate::operators::unnest::Unnest;

/// Builds the operators of a plan, without state.
pub(super) fn circuit(plan: &StepPlan, options: &CircuitOptions) -> Result<Circuit, StepError> {
    let mut readers = vec![0usize; plan.steps.len()];
    for step in &plan.steps {
        for input in &step.inputs {
            *readers.get_mut(*input).ok_or_else(malformed)? += 1;
        }
    }
    let mut nodes: Vec<Node> = Vec::new();
    // The node that computes each step; steps inside of chains have none.
    let mut node_of: Vec<Option<usize>> = vec![None; plan.steps.len()];
    for (index, step) in plan.steps.iter().enumerate() {
        if step.inputs.iter().any(|input| *input >= index) {
            return Err(malformed());
        }
        let is_inside_of_chain = is_stateless(step)
            && readers[index] == 1
            && plan.steps[index + 1..]
                .iter()
                .any(|reader| reader.inputs == [index] && is_stateless(reader));
        if is_inside_of_chain {
            continue;
        }
        let (kind, inputs) = match is_stateless(step) {
            true => {
                let first = chain_before(plan, index, &readers);
                let input = single_input(&plan.steps[first[0]])?;
                (Kind::Chain(chain(plan, &first)?), vec![input])
            }
            false => (kind(plan, step, options)?, step.inputs.clone()),
        };
        let inputs = inputs
            .into_iter()
            .map(|input| node_of[input].ok_or_else(malformed))
            .collect::<Result<Vec<_>, _>>()?;
        for input in &inputs {
            nodes[*input].consumers += 1;
        }
        node_of[index] = Some(nodes.len());
        nodes.push(Node {
            step: index,
            inputs,
            consumers: 0,
            kind,
        });
    }
    if nodes.is_empty() {
        return Err(malformed());
    }
    let statistics = plan.steps.iter().map(|step| StepStatistics {
        step: step.id.clone(),
        ..StepStatistics::default()
    });
    Ok(Circuit {
        nodes,
        statistics: statistics.collect(),
        stateless: plan.is_stateless(),
        failed: false,
    })
}

fn malformed() -> StepError {
    StepError::Internal("a plan is not in topological order".into())
}

fn internal(error: PlanError) -> StepError {
    StepError::Internal(error.to_string())
}

fn single_input(step: &Step) -> Result<usize, StepError> {
    match step.inputs.as_slice() {
        [input] => Ok(*input),
        _ => Err(malformed()),
    }
}

fn is_stateless(step: &Step) -> bool {
    use step_plan::Operator::*;
    match step.operator {
        Filter { .. } | Project { .. } | Unnest { .. } => true,
        Source(_) | Constant { .. } | Union | Aggregate { .. } | Join { .. } => false,
    }
}

/// The run of stateless steps that ends here, each read by the next alone.
fn chain_before(plan: &StepPlan, last: usize, readers: &[usize]) -> Vec<usize> {
    let mut steps = vec![last];
    while let [input] = plan.steps[steps[0]].inputs[..]
        && is_stateless(&plan.steps[input])
        && readers[input] == 1
    {
        steps.insert(0, input);
    }
    steps
}

/// The same columns, each of which may be NULL: a row that cannot be evaluated gives NULL, whatever
/// the plan thought.
fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn compile(expr: &ScalarExpr, schema: &Schema, step: &Step) -> Result<Expression, StepError> {
    Expression::compile(expr, schema, &step.id)
}

fn chain(plan: &StepPlan, steps: &[usize]) -> Result<Chain, StepError> {
    let mut links: Vec<(usize, Box<dyn Stateless>)> = Vec::new();
    let input = single_input(&plan.steps[steps[0]])?;
    let mut schema = nullable(&plan.steps[input].schema);
    // For each column of `schema` its position before a filter dropped columns.
    let mut kept: Option<Vec<usize>> = None;
    let mut rearrangement: Option<Vec<usize>> = Some((0..schema.fields().len()).collect());
    for (place, index) in steps.iter().enumerate() {
        let step = &plan.steps[*index];
        let output = nullable(&step.schema);
        let link: Box<dyn Stateless> = match &step.operator {
            step_plan::Operator::Filter { predicate } => {
                let predicate = compile(predicate, &schema, step)?;
                let next = steps.get(place + 1).map(|next| &plan.steps[*next].operator);
                let keep = match next {
                    Some(step_plan::Operator::Project { exprs }) => used(exprs, &schema, step)?,
                    _ => (0..schema.fields().len()).collect(),
                };
                schema = Arc::new(schema.project(&keep)?);
                kept = Some(keep.clone());
                rearrangement = None;
                Box::new(Filter::new(predicate, keep, schema.clone()))
            }
            step_plan::Operator::Project { exprs } => {
                let before = nullable(&plan.steps[single_input(step)?].schema);
                let exprs = exprs
                    .iter()
                    .map(|expr| {
                        let expr = compile(expr, &before, step)?;
                        match &kept {
                            None => Ok(expr),
                            Some(kept) => expr.over_kept_columns(kept),
                        }
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                rearrangement = rearrangement.and_then(|before| {
                    let columns = exprs.iter().map(|expr| Some(before[expr.as_column()?]));
                    columns.collect()
                });
                kept = None;
                schema = output;
                Box::new(Project::new(exprs, schema.clone()))
            }
            step_plan::Operator::Unnest {
                lists,
                preserve_nulls,
            } => {
                kept = None;
                rearrangement = None;
                schema = output;
                Box::new(Unnest::new(lists.clone(), *preserve_nulls, schema.clone()))
            }
            _ => return Err(malformed()),
        };
        links.push((*index, link));
    }
    Ok(Chain::new(
        links,
        rearrangement.map(|columns| (columns, schema)),
    ))
}

/// The columns that some expressions use, in ascending order.
fn used(exprs: &[ScalarExpr], schema: &Schema, step: &Step) -> Result<Vec<usize>, StepError> {
    let mut columns: Vec<usize> = Vec::new();
    for expr in exprs {
        columns.extend(compile(expr, schema, step)?.columns());
    }
    columns.sort_unstable();
    columns.dedup();
    Ok(columns)
}

fn kind(plan: &StepPlan, step: &Step, options: &CircuitOptions) -> Result<Kind, StepError> {
    let input = |index: usize| -> Result<&Step, StepError> {
        let input = step.inputs.get(index).ok_or_else(malformed)?;
        Ok(&plan.steps[*input])
    };
    Ok(match &step.operator {
        step_plan::Operator::Source(source) => {
            debug_assert!(!options.passes_marks || plan.is_stateless());
            Kind::Source(Source::new(
                source.columns.clone(),
                nullable(&step.schema),
                options.passes_marks,
            ))
        }
        step_plan::Operator::Constant { rows } => {
            let rows = rows
                .iter()
                .map(|row| {
                    row.iter()
                        .map(|cell| cell.to_scalar().map_err(internal))
                        .collect()
                })
                .collect::<Result<Vec<_>, StepError>>()?;
            Kind::Constant(Constant::new(&rows, nullable(&step.schema))?)
        }
        step_plan::Operator::Union => Kind::Union,
        step_plan::Operator::Aggregate {
            group_by,
            aggregates,
            keeps_groups,
        } => {
            let input = input(0)?;
            let demands = Demands {
                append_only: input.mode == ChangelogMode::AppendOnly,
                durable: options.durable,
            };
            let schema = nullable(&input.schema);
            let group_by = group_by
                .iter()
                .map(|expr| compile(expr, &schema, step))
                .collect::<Result<_, _>>()?;
            let aggregates = aggregates
                .iter()
                .map(|call| aggregate(call, &schema, step))
                .collect::<Result<_, _>>()?;
            let aggregate = Aggregate::new(
                &step.id,
                group_by,
                aggregates,
                nullable(&step.schema),
                demands,
                options.slices,
            )?;
            Kind::Aggregate(Box::new(match keeps_groups {
                true => aggregate.keeping_groups(),
                false => aggregate,
            }))
        }
        step_plan::Operator::Join {
            kind,
            on,
            filter,
            null_equals_null,
            lookup,
        } => {
            let (left, right) = (nullable(&input(0)?.schema), nullable(&input(1)?.schema));
            let on = on
                .iter()
                .map(|(l, r)| Ok((compile(l, &left, step)?, compile(r, &right, step)?)))
                .collect::<Result<_, StepError>>()?;
            let both: Vec<_> = left
                .fields()
                .iter()
                .chain(right.fields())
                .cloned()
                .collect();
            let both = Schema::new(both);
            let filter = filter
                .as_ref()
                .map(|filter| compile(filter, &both, step))
                .transpose()?;
            let join_options = JoinOptions {
                null_equals_null: *null_equals_null,
                lookup: *lookup,
                slices: options.slices,
            };
            let output = nullable(&step.schema);
            let join = Join::new(*kind, on, filter, &left, &right, output, join_options)?;
            Kind::Stateful(Box::new(join))
        }
        step_plan::Operator::Filter { .. }
        | step_plan::Operator::Project { .. }
        | step_plan::Operator::Unnest { .. } => return Err(malformed()),
    })
}

fn aggregate(
    call: &AggregateCall,
    schema: &Schema,
    step: &Step,
) -> Result<AggregateSpec, StepError> {
    let args = call
        .args
        .iter()
        .map(|arg| compile(arg, schema, step))
        .collect::<Result<Vec<_>, _>>()?;
    let order = call
        .order_by
        .iter()
        .map(|key| compile(&key.expr, schema, step))
        .collect::<Result<Vec<_>, _>>()?;
    let filter = call
        .filter
        .as_ref()
        .map(|filter| compile(filter, schema, step))
        .transpose()?;
    let options = call.order_by.iter().map(|key| SortOptions {
        descending: key.descending,
        nulls_first: key.nulls_first,
    });
    Ok(AggregateSpec {
        text: call.sql(schema),
        call: Call {
            function: call.function.clone(),
            udaf: call.udf().map_err(internal)?,
            args: args.iter().map(|arg| Arc::clone(arg.physical())).collect(),
            arg_types: args.iter().map(|arg| arg.data_type().clone()).collect(),
            order: order
                .iter()
                .map(|key| key.data_type().clone())
                .zip(options)
                .collect(),
            distinct: call.distinct,
            ignore_nulls: call.ignore_nulls,
            return_type: call.return_type.clone(),
        },
        args,
        order,
        filter,
    })
}
