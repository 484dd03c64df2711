//! What a join keeps of each side, and what it says about it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use planner::step_plan::JoinKind;

use crate::change_batch::ChangeBatch;
use crate::expression::Expression;
use crate::operator::{StepContext, StepError};
use crate::operators::join::JoinOptions;
use crate::state::consolidate::consolidate;
use crate::state::exchange::concat;
use crate::state::{Key, Keys};

pub(super) const LEFT: usize = 0;
pub(super) const RIGHT: usize = 1;

/// Deltas of fewer rows are joined in one go.
const SMALL_ROWS_MAX: usize = 8_192;

/// When a row stands in the result for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Solo {
    /// Outer joins, beside NULLs; anti joins.
    Unmatched,
    /// Semi joins.
    Matched,
}

/// The plan of a join, shared by its slices.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) sides: [Side; 2],
    /// Whether pairs of matching rows are in the result.
    pub(super) pairs: bool,
    pub(super) filter: Option<Expression>,
    /// Columns of both sides, as the filter sees them.
    pub(super) pair_schema: SchemaRef,
    pub(super) output: SchemaRef,
    pub(super) null_equals_null: bool,
    pub(super) lookup: bool,
}

/// One side of a join.
#[derive(Debug)]
pub(super) struct Side {
    on: Vec<Expression>,
    /// Columns of the input, which are the first of the stored ones unless only keys are kept.
    pub(super) width: usize,
    input: SchemaRef,
    /// What is stored: the input's columns, then keys that are computed.
    pub(super) schema: SchemaRef,
    /// Positions of the keys among the stored columns.
    pub(super) key: Vec<usize>,
    keys_only: bool,
    pub(super) stored: bool,
    pub(super) solo: Option<Solo>,
}

impl Layout {
    pub(super) fn new(
        kind: JoinKind,
        on: Vec<(Expression, Expression)>,
        filter: Option<Expression>,
        left: &SchemaRef,
        right: &SchemaRef,
        output: SchemaRef,
        options: JoinOptions,
    ) -> Result<Self, StepError> {
        if options.lookup && matches!(kind, JoinKind::Right | JoinKind::Full) {
            return Err(StepError::Internal(
                "a lookup join does not keep rows of its right side".into(),
            ));
        }
        for (left, right) in &on {
            if !left.data_type().equals_datatype(right.data_type()) {
                return Err(StepError::Internal(format!(
                    "keys of a join have types {} and {}",
                    left.data_type(),
                    right.data_type()
                )));
            }
        }
        let (left_on, right_on): (Vec<_>, Vec<_>) = on.into_iter().unzip();
        let (pairs, left_solo, right_solo) = match kind {
            JoinKind::Inner => (true, None, None),
            JoinKind::Left => (true, Some(Solo::Unmatched), None),
            JoinKind::Right => (true, None, Some(Solo::Unmatched)),
            JoinKind::Full => (true, Some(Solo::Unmatched), Some(Solo::Unmatched)),
            JoinKind::LeftSemi => (false, Some(Solo::Matched), None),
            JoinKind::LeftAnti => (false, Some(Solo::Unmatched), None),
        };
        // Nobody sees more of the right side of a semi join than that a key is there.
        let keys_only = !pairs && filter.is_none() && !right_on.is_empty();
        let mut fields = left.fields().to_vec();
        fields.extend(right.fields().iter().cloned());
        let fields = fields
            .iter()
            .map(|field| Arc::new(field.as_ref().clone().with_nullable(true)))
            .collect::<Vec<_>>();
        Ok(Self {
            sides: [
                Side::new(left_on, left, false, !options.lookup, left_solo),
                Side::new(right_on, right, keys_only, true, right_solo),
            ],
            pairs,
            filter,
            pair_schema: Arc::new(Schema::new(fields)),
            output,
            null_equals_null: options.null_equals_null,
            lookup: options.lookup,
        })
    }

    pub(super) fn has_solo_rows(&self) -> bool {
        self.sides.iter().any(|side| side.solo.is_some())
    }

    /// Whether the number of matches is kept beside each row of a side.
    pub(super) fn counts(&self, side: usize) -> bool {
        self.filter.is_some() && self.sides[side].solo.is_some()
    }

    /// The index that a side is kept under.
    pub(super) fn key(&self, side: usize) -> Key {
        match self.sides[side].keys_only {
            true => Key::Row,
            false => Key::Secondary(self.sides[side].key.clone()),
        }
    }

    pub(super) fn key_columns(&self, side: usize, delta: &ChangeBatch) -> Vec<ArrayRef> {
        let key = &self.sides[side].key;
        key.iter()
            .map(|column| delta.column(*column).clone())
            .collect()
    }

    pub(super) fn keys(&self, side: usize, delta: &ChangeBatch) -> Keys {
        let columns = self.key_columns(side, delta);
        Keys::new(&columns, delta.num_rows(), self.null_equals_null)
    }

    /// The changes of an input as they are stored, in as few batches as is sensible.
    pub(super) fn prepare(
        &self,
        side: usize,
        batches: Vec<ChangeBatch>,
        context: &StepContext<'_>,
    ) -> Result<Vec<ChangeBatch>, StepError> {
        let side = &self.sides[side];
        let prepared = batches
            .iter()
            .filter(|batch| batch.num_rows() > 0)
            .map(|batch| side.prepare(batch, context))
            .collect::<Result<Vec<_>, _>>()?;
        let rows: usize = prepared.iter().map(ChangeBatch::num_rows).sum();
        // A retraction may come in an earlier batch than the insertion that it takes back.
        let retracts = prepared.iter().any(|batch| !batch.is_append_only());
        let prepared = match retracts {
            true => consolidate(&side.schema, prepared)?,
            false => prepared,
        };
        match prepared.len() > 1 && (retracts || rows <= SMALL_ROWS_MAX) {
            true => Ok(vec![concat(&side.schema, &prepared)?]),
            false => Ok(prepared),
        }
    }

    /// Columns of the result for rows of one side that stand for themselves.
    pub(super) fn solo_columns(
        &self,
        side: usize,
        columns: Vec<ArrayRef>,
        rows: usize,
    ) -> Vec<ArrayRef> {
        if !self.pairs {
            return columns;
        }
        let nulls = self.sides[1 - side]
            .input
            .fields()
            .iter()
            .map(|field| new_null_array(field.data_type(), rows));
        match side {
            LEFT => columns.into_iter().chain(nulls).collect(),
            _ => nulls.chain(columns).collect(),
        }
    }
}

impl Side {
    fn new(
        on: Vec<Expression>,
        input: &SchemaRef,
        keys_only: bool,
        stored: bool,
        solo: Option<Solo>,
    ) -> Self {
        let mut fields: Vec<Field> = match keys_only {
            true => Vec::new(),
            false => input
                .fields()
                .iter()
                .map(|field| field.as_ref().clone().with_nullable(true))
                .collect(),
        };
        let mut key = Vec::new();
        for (number, expression) in on.iter().enumerate() {
            match expression.as_column() {
                Some(column) if !keys_only => key.push(column),
                _ => {
                    key.push(fields.len());
                    let name = format!("key {number}");
                    fields.push(Field::new(name, expression.data_type().clone(), true));
                }
            }
        }
        if fields.is_empty() {
            fields.push(Field::new("row", DataType::Boolean, true));
        }
        Self {
            on,
            width: input.fields().len(),
            input: input.clone(),
            schema: Arc::new(Schema::new(fields)),
            key,
            keys_only,
            stored,
            solo,
        }
    }

    fn prepare(
        &self,
        batch: &ChangeBatch,
        context: &StepContext<'_>,
    ) -> Result<ChangeBatch, StepError> {
        let rows = batch.num_rows();
        let mut columns = match self.keys_only {
            true => Vec::new(),
            false => batch.rows.columns().to_vec(),
        };
        for expression in &self.on {
            if self.keys_only || expression.as_column().is_none() {
                columns.push(expression.evaluate(batch, context)?);
            }
        }
        if columns.is_empty() {
            columns.push(Arc::new(BooleanArray::from(vec![true; rows])));
        }
        // A literal may be evaluated to another representation than it is declared to have.
        for (column, field) in columns.iter_mut().zip(self.schema.fields()) {
            if column.data_type() != field.data_type() {
                *column = compute::cast(column, field.data_type())?;
            }
        }
        let rows = arrow::array::RecordBatch::try_new(self.schema.clone(), columns)?;
        Ok(batch.with_rows(rows))
    }
}
