//! `CREATE TYPE`, `DROP TYPE`: names for types, resolved where they are used.

use sql::ast::CreateType;

use crate::catalog::Change;
use crate::error::{Result, StatementError, StatementErrorKind};
use crate::response::Response;
use crate::session::{Session, done};

impl Session {
    pub(super) async fn create_type(&mut self, create: &CreateType) -> Result<Response> {
        let engine = self.engine.clone();
        let ddl = engine.lock_ddl().await;
        if engine.catalog().types().contains_key(&create.name) {
            if create.if_not_exists {
                self.notice(format!("type \"{}\" already exists, skipping", create.name));
                return Ok(done("CREATE TYPE"));
            }
            return Err(StatementError::new(
                StatementErrorKind::DuplicateObject,
                format!("type \"{}\" already exists", create.name),
            )
            .into());
        }
        // What no column can have is no type.
        planner::types::field("", &create.data_type, true)?;
        self.warn_of_transaction("TYPE");
        let change = Change::PutType(create.name.clone(), create.data_type.clone());
        engine
            .commit_changes(ddl, vec![change], |_, _| Ok(()))
            .await?;
        Ok(done("CREATE TYPE"))
    }

    pub(super) async fn drop_type(&mut self, name: &str, if_exists: bool) -> Result<Response> {
        let engine = self.engine.clone();
        let ddl = engine.lock_ddl().await;
        if !engine.catalog().types().contains_key(name) {
            if if_exists {
                self.notice(format!("type \"{name}\" does not exist, skipping"));
                return Ok(done("DROP TYPE"));
            }
            return Err(StatementError::new(
                StatementErrorKind::UndefinedObject,
                format!("type \"{name}\" does not exist"),
            )
            .into());
        }
        let change = Change::DropType(name.to_owned());
        engine
            .commit_changes(ddl, vec![change], |_, _| Ok(()))
            .await?;
        Ok(done("DROP TYPE"))
    }
}
