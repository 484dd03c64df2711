//! A stream that a query makes becomes one that others write as well.
//!
//! The rows of such a stream stand at the epochs of what they are computed from, which only one writer can keep to. Once
//! others write it, its rows get epochs of their own, as those of any stream that clients write, and its query goes on
//! as `INSERT INTO … SELECT` does: what it has put out so far is written down as the progress of that.
//!
//! One epoch holds this progress and the catalog's record, and all that the query has put out is durable before: so a
//! crash at any moment leaves the stream as it was, or as it is to be ([`crate::engine`] makes the topic follow).

use log_store::{Log, NewBatch, TopicKind};

use crate::catalog::{Catalog, RelationId, RelationKind};
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::mill::query::Standing;
use crate::mill::{Mill, progress};

impl Mill {
    /// Waits until a query no longer catches up, or is gone.
    pub async fn caught_up(&self, id: &str) -> Result<()> {
        let mut standings = self.standings.subscribe();
        standings
            .wait_for(|_| self.standing(id) != Some(Standing::CatchingUp))
            .await
            .map_err(|_| Error::ShuttingDown)?;
        Ok(())
    }

    /// Lets others write the stream. `catalog` is as it will be ([`Catalog::sharing`]), `record` what makes it so. Blocks
    /// for the disk, while the rounds wait.
    ///
    /// # Errors
    /// When its query catches up, or when the log refuses the record: then nothing has changed.
    pub(crate) fn share(
        &self,
        catalog: &Catalog,
        stream: RelationId,
        record: NewBatch,
    ) -> Result<()> {
        let mut turning = self.lock();
        let turning = &mut *turning;
        let (Some(relation), Some(state)) =
            (catalog.relation(stream), turning.relations.get_mut(&stream))
        else {
            return Err(Error::Internal(format!("stream {stream} is gone")));
        };
        let topic = state.topic.clone();
        let topic = topic.ok_or_else(|| Error::Internal("a stream without a topic".into()))?;
        let writers = catalog.writers(stream);
        let query = writers.into_iter().find(|q| q.was_made_with(stream));
        let turns = query.and_then(|query| turning.queries.get_mut(&query.sequence));
        if turns
            .as_ref()
            .is_some_and(|q| q.standing == Standing::CatchingUp)
        {
            return Err(StatementError::new(
                StatementErrorKind::ObjectNotInPrerequisiteState,
                format!(
                    "the query behind \"{}\" is still catching up",
                    relation.name
                ),
            )
            .with_hint("FLUSH waits until it has.")
            .into());
        }
        self.log.sync_derived(&[topic.id()])?;
        let mut batches = vec![record];
        let held = topic.partitions().iter().map(|p| p.frontier().0).max();
        let reached = query.map(|query| (progress::name(query), held.unwrap_or_default()));
        if let Some((name, epoch)) = &reached {
            batches.push(progress::batch(&self.progress, name, *epoch)?);
        }
        self.log.append(batches).wait()?;
        state.relation = relation.clone();
        if let (Some(state), Some(query)) = (turns, query) {
            state.query = query.clone();
        }
        turning.inserted.lock().extend(reached);
        turning.dirty = true;
        // If it fails, nobody can append until the next start does it.
        Ok(self.log.make_ingested(topic.id())?)
    }
}

/// Makes topics follow what the catalog says of their streams, where a crash came in between.
pub(crate) fn finish_sharing(log: &Log, catalog: &Catalog) -> Result<()> {
    let shared = catalog.relations().filter(|relation| {
        relation.kind == RelationKind::Stream
            && relation.written_by.is_none()
            && !relation.over_records
    });
    for id in shared.filter_map(|relation| relation.topic) {
        let topic = log.topic(log_store::TopicId(id))?;
        if topic.kind() == TopicKind::Derived {
            log.make_ingested(topic.id())?;
        }
    }
    Ok(())
}
