//! Persistent queries: `INSERT INTO stream SELECT …`, `TERMINATE`, `PAUSE`, `RESUME`.

use std::sync::Arc;

use datafusion::scalar::ScalarValue;
use sql::ast::{Insert, InsertSource, QueryTarget, Statement};

use crate::catalog::{Change, Query, QueryStatus, Relation, SinkKind};
use crate::engine::Engine;
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::mill::query::bind;
use crate::response::Response;
use crate::session::plan::check_insertable;
use crate::session::{Session, done};

impl Session {
    /// Rows of a query go into a stream that others write as well, from now on.
    pub(super) async fn insert_continuously(
        &mut self,
        insert: &Insert,
        relation: &Relation,
        _statement: &Statement,
        parameters: &[ScalarValue],
    ) -> Result<Response> {
        let InsertSource::Query(query) = &insert.source else {
            return Err(Error::Internal("only a query runs continuously".into()));
        };
        let engine = self.engine.clone();
        if let Some(writer) = &relation.written_by {
            engine.mill.caught_up(writer).await?;
        }
        let mut ddl = engine.lock_ddl().await;
        let catalog = engine.catalog();
        self.warn_of_transaction("INSERT INTO … SELECT");
        let planned = self.plan_insert(insert, parameters).await?;
        let lowered = self.plan_continuous_insert(planned, relation).await?;
        for input in lowered
            .plan
            .steps
            .iter()
            .filter_map(|step| match &step.operator {
                planner::step_plan::Operator::Source(source) => Some(source.relation),
                _ => None,
            })
        {
            if catalog.flows_into(relation.id, input) {
                return Err(StatementError::new(
                    StatementErrorKind::InvalidDefinition,
                    format!(
                        "rows of \"{}\" would come back to it for ever",
                        relation.name
                    ),
                )
                .into());
            }
        }
        let passes_marks = relation.takes_marks() && Query::can_pass_marks(&lowered.plan, &catalog);
        let number = catalog.next_number();
        let id = match insert.options.get("query_id") {
            Some(id) => {
                let id = id.as_str().to_uppercase();
                if catalog.expect_query(&id).is_ok() {
                    return Err(StatementError::new(
                        StatementErrorKind::DuplicateObject,
                        format!("query \"{id}\" already exists"),
                    )
                    .into());
                }
                id
            }
            None => format!("INSERTQUERY_{number}"),
        };
        let query = Query {
            id: id.clone(),
            sink: relation.id,
            sink_kind: SinkKind::Insert,
            plan: lowered.plan,
            text: query.to_string(),
            status: QueryStatus::Running,
            from_beginning: self.settings.begins_with_history(),
            every_change: false,
            passes_marks,
            timed_by: relation.timestamp,
            since: self.engine.log.sealed().0,
            sequence: number,
            state_limit: self.settings.state_limit(),
        };
        if catalog
            .relation(relation.id)
            .is_some_and(|now| now.written_by.is_some())
        {
            ddl = self.engine.share_stream(ddl, relation.id).await?;
        }
        let changes = vec![Change::PutQuery(Box::new(query.clone()))];
        self.engine
            .commit_changes(ddl, changes, move |engine, catalog| {
                let bindings = bind(&query.plan, catalog)?;
                engine.mill.add_query(Arc::new(query), bindings)
            })
            .await?;
        self.notice(format!("query {id} runs until it is terminated"));
        Ok(done("INSERT 0 0"))
    }

    /// Lets others write a stream that a query makes, from now on; gives it as it then is.
    pub(super) async fn share(&mut self, stream: &Relation) -> Result<Arc<Relation>> {
        if let Some(writer) = &stream.written_by {
            self.engine.mill.caught_up(writer).await?;
        }
        let ddl = self.engine.lock_ddl().await;
        let now = |engine: &Engine| engine.catalog().expect_relation(&stream.name).cloned();
        let relation = now(&self.engine)?;
        if relation.id != stream.id || relation.written_by.is_none() {
            check_insertable(&relation)?;
            return Ok(relation);
        }
        self.engine.share_stream(ddl, relation.id).await?;
        now(&self.engine)
    }

    pub(super) async fn terminate(&mut self, target: &QueryTarget) -> Result<Response> {
        let engine = self.engine.clone();
        let ddl = engine.lock_ddl().await;
        let queries = self.targets(target)?;
        // What such a query maintained stays as it is, and is written by nobody any more.
        let catalog = self.engine.catalog();
        let mut changes = Vec::new();
        for query in &queries {
            changes.push(Change::DropQuery(query.id.clone()));
            if query.sink_kind == SinkKind::Derived
                && let Some(sink) = catalog.relation(query.sink)
            {
                let mut sink = Relation::clone(sink);
                sink.terminated = true;
                changes.push(Change::PutRelation(Box::new(sink)));
            }
        }
        if !changes.is_empty() {
            let ids: Vec<String> = queries.iter().map(|query| query.id.clone()).collect();
            self.engine
                .commit_changes(ddl, changes, move |engine, _| {
                    engine.mill.remove(&[], &ids);
                    Ok(())
                })
                .await?;
            // Nobody can compute again what they have put into their tables.
            let mill = self.engine.mill.clone();
            tokio::task::spawn_blocking(move || mill.checkpoint())
                .await
                .map_err(|error| Error::Internal(error.to_string()))??;
        }
        Ok(done("TERMINATE"))
    }

    pub(super) async fn pause(&mut self, target: &QueryTarget) -> Result<Response> {
        let engine = self.engine.clone();
        let ddl = engine.lock_ddl().await;
        let mut changes = Vec::new();
        let mut refused = Ok(());
        for query in self.targets(target)? {
            refused = self.engine.mill.pause(&query.id);
            if refused.is_err() {
                break;
            }
            changes.extend(with_status(&query, QueryStatus::Paused));
        }
        if !changes.is_empty() {
            // What they have put out so far must be there after a crash, without being computed anew.
            let mill = self.engine.mill.clone();
            tokio::task::spawn_blocking(move || mill.checkpoint())
                .await
                .map_err(|error| Error::Internal(error.to_string()))??;
            self.engine
                .commit_changes(ddl, changes, |_, _| Ok(()))
                .await?;
        }
        refused?;
        Ok(done("PAUSE"))
    }

    pub(super) async fn resume(&mut self, target: &QueryTarget) -> Result<Response> {
        let engine = self.engine.clone();
        let ddl = engine.lock_ddl().await;
        let queries = self.targets(target)?;
        let changes: Vec<Change> = queries
            .iter()
            .filter_map(|query| with_status(query, QueryStatus::Running))
            .collect();
        let resume = move |engine: &Arc<Engine>| {
            queries
                .iter()
                .try_for_each(|query| engine.mill.resume(&query.id))
        };
        if changes.is_empty() {
            // One that has failed is not paused.
            resume(&engine)?;
        } else {
            self.engine
                .commit_changes(ddl, changes, move |engine, _| resume(engine))
                .await?;
        }
        Ok(done("RESUME"))
    }

    fn targets(&self, target: &QueryTarget) -> Result<Vec<Arc<Query>>> {
        let catalog = self.engine.catalog();
        match target {
            QueryTarget::All => Ok(catalog.queries().into_iter().cloned().collect()),
            QueryTarget::Id(id) => Ok(vec![catalog.expect_query(id)?.clone()]),
        }
    }
}

/// What gives a query another status.
fn with_status(query: &Query, status: QueryStatus) -> Option<Change> {
    let mut changed = query.clone();
    changed.status = status;
    (changed.status != query.status).then(|| Change::PutQuery(Box::new(changed)))
}
