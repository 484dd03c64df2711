//! `CREATE`, `ALTER` and `DROP USER`.
//!
//! Invariant: while somebody can log in with a password, a superuser can, so that users can be managed.

use std::sync::Arc;

use sql::ast::{AlterUser, CreateUser, DropUsers, Ident, Secret, UserName};

use crate::auth::{AuthMode, LoginSecret, Mechanism, OWNER, User, Verifier};
use crate::catalog::{Catalog, Change};
use crate::engine::DdlGuard;
use crate::error::{Error, Result, StatementError, StatementErrorKind};
use crate::response::Response;
use crate::session::{Session, done};

/// Names of users are not longer.
const NAME_BYTES_MAX: usize = 128;
/// Passwords are not longer.
const PASSWORD_BYTES_MAX: usize = 4096;

impl Session {
    pub(super) async fn create_user(&mut self, create: &CreateUser) -> Result<Response> {
        let word = if create.role { "ROLE" } else { "USER" };
        self.require_superuser(&format!("create a {}", word.to_lowercase()))?;
        let name = new_name(&create.name)?;
        let ddl = self.engine.lock_ddl().await;
        let catalog = self.engine.catalog();
        if catalog.user(&name).is_some() {
            if create.if_not_exists {
                self.notice(format!("role \"{name}\" already exists, skipping"));
                return Ok(done(format!("CREATE {word}")));
            }
            return Err(StatementError::new(
                StatementErrorKind::DuplicateObject,
                format!("role \"{name}\" already exists"),
            )
            .into());
        }
        self.warn_of_transaction(&format!("CREATE {word}"));
        let options = &create.options;
        let mut user = User {
            id: super::ddl::next_relation_id(&catalog)?,
            name,
            login: options.login.unwrap_or(!create.role),
            superuser: options.superuser.unwrap_or(false),
            verifiers: self.verifiers(options.password.clone().flatten()).await?,
        };
        if options.superuser.is_none() && user.has_password() && !anybody(&catalog) {
            user.superuser = true;
            self.notice(format!(
                "\"{}\" is the first user with a password and so a superuser",
                user.name
            ));
        }
        self.commit_users(ddl, &catalog, vec![Change::PutUser(Box::new(user))])
            .await?;
        Ok(done(format!("CREATE {word}")))
    }

    pub(super) async fn alter_user(&mut self, alter: &AlterUser) -> Result<Response> {
        let name = match &alter.user {
            UserName::Name(name) => name.value.clone(),
            UserName::Current => self.parameters.user.clone(),
        };
        let options = &alter.options;
        let own_password =
            name == self.parameters.user && options.login.is_none() && options.superuser.is_none();
        if !own_password {
            self.require_superuser("alter another user")?;
        }
        let ddl = self.engine.lock_ddl().await;
        let catalog = self.engine.catalog();
        let mut user = User::clone(catalog.user(&name).ok_or_else(|| missing(&name))?);
        self.warn_of_transaction("ALTER ROLE");
        if let Some(password) = options.password.clone() {
            user.verifiers = self.verifiers(password).await?;
        }
        user.login = options.login.unwrap_or(user.login);
        user.superuser = options.superuser.unwrap_or(user.superuser);
        if options.superuser.is_none()
            && user.has_password()
            && !user.superuser
            && !anybody(&catalog)
        {
            user.superuser = true;
            self.notice(format!(
                "\"{name}\" is the first user with a password and so a superuser"
            ));
        }
        self.commit_users(ddl, &catalog, vec![Change::PutUser(Box::new(user))])
            .await?;
        Ok(done("ALTER ROLE"))
    }

    pub(super) async fn drop_users(&mut self, drop: &DropUsers) -> Result<Response> {
        self.require_superuser("drop a user")?;
        let ddl = self.engine.lock_ddl().await;
        let catalog = self.engine.catalog();
        self.warn_of_transaction("DROP ROLE");
        let mut changes = Vec::new();
        for name in &drop.names {
            let name = &name.value;
            if catalog.user(name).is_some() {
                changes.push(Change::DropUser(name.clone()));
            } else if drop.if_exists {
                self.notice(format!("role \"{name}\" does not exist, skipping"));
            } else {
                return Err(missing(name));
            }
        }
        if !changes.is_empty() {
            self.commit_users(ddl, &catalog, changes).await?;
        }
        Ok(done("DROP ROLE"))
    }

    /// Whether the session may do everything: it was not asked who it is, or it is a superuser's.
    pub(super) fn is_superuser(&self) -> bool {
        !self.parameters.authenticated || self.engine.is_superuser(&self.parameters.user)
    }

    fn require_superuser(&self, what: &str) -> Result<()> {
        if self.is_superuser() {
            return Ok(());
        }
        Err(StatementError::new(
            StatementErrorKind::InsufficientPrivilege,
            format!("must be superuser to {what}"),
        )
        .into())
    }

    /// Makes changes of users durable and visible, unless they would shut out everybody who may manage users.
    async fn commit_users(
        &mut self,
        ddl: DdlGuard,
        before: &Catalog,
        mut changes: Vec<Change>,
    ) -> Result<()> {
        if before.login_secret().is_none() {
            changes.insert(0, Change::PutLoginSecret(LoginSecret::random()));
        }
        let mut after = before.clone();
        after.apply(changes.clone());
        let managed = after
            .users()
            .any(|user| user.has_password() && user.superuser);
        if anybody(&after) && !managed {
            return Err(StatementError::new(
                StatementErrorKind::ObjectNotInPrerequisiteState,
                "no superuser with a password would be left",
            )
            .with_detail("Passwords are asked for, and nobody could manage users any more.")
            .with_hint("Make another user a superuser first: ALTER USER … SUPERUSER.")
            .into());
        }
        let logins = &self.engine.logins;
        let asked = (logins.ask(before), logins.ask(&after));
        self.engine
            .commit_changes(ddl, changes, |_, _| Ok(()))
            .await?;
        match asked {
            (false, true) => self.notice("from now on all clients are asked for a password"),
            (true, false) => {
                self.notice("no user has a password any more, so nobody is asked for one");
            }
            _ if logins_are_trusted(&self.engine, &after) => {
                self.notice(
                    "passwords are not asked for, because the server runs with auth = trust",
                );
            }
            _ => {}
        }
        Ok(())
    }

    /// What is kept of a password.
    async fn verifiers(&mut self, password: Option<Secret>) -> Result<Vec<Verifier>> {
        let Some(password) = password else {
            return Ok(Vec::new());
        };
        let text = password.reveal();
        if text.is_empty() {
            self.notice("empty string is not a valid password, clearing password");
            return Ok(Vec::new());
        }
        if let Some(verifier) = Verifier::parse(text) {
            if verifier.mechanism() == Mechanism::Sha256 {
                self.notice_with_hint(
                    "the password was given as a verifier, so Kafka clients cannot use it with SCRAM-SHA-512",
                    "They can use SCRAM-SHA-256 or PLAIN, or give the password itself here.",
                );
            }
            return Ok(vec![verifier]);
        }
        let is_md5 = text.len() == 35
            && text.starts_with("md5")
            && text[3..].bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_md5 {
            return Err(StatementError::new(
                StatementErrorKind::Unsupported,
                "MD5 passwords are not supported",
            )
            .into());
        }
        if text.len() > PASSWORD_BYTES_MAX {
            return Err(StatementError::new(
                StatementErrorKind::InvalidParameterValue,
                format!("password is longer than {PASSWORD_BYTES_MAX} bytes"),
            )
            .into());
        }
        let derive = move || {
            Mechanism::ALL.map(|mechanism| Verifier::of_password(mechanism, password.reveal()))
        };
        tokio::task::spawn_blocking(derive)
            .await
            .map(Vec::from)
            .map_err(|error| Error::Internal(error.to_string()))
    }
}

/// Whether anybody can log in with a password.
fn anybody(catalog: &Catalog) -> bool {
    catalog.users().any(|user| user.has_password())
}

fn logins_are_trusted(engine: &Arc<crate::Engine>, catalog: &Catalog) -> bool {
    engine.logins.mode() == AuthMode::Trust && anybody(catalog)
}

fn new_name(name: &Ident) -> Result<String> {
    let name = &name.value;
    let reserved = matches!(name.as_str(), "public" | "none") || name.starts_with("pg_");
    if reserved || name == OWNER {
        return Err(StatementError::new(
            StatementErrorKind::ReservedName,
            format!("role name \"{name}\" is reserved"),
        )
        .into());
    }
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(StatementError::new(
            StatementErrorKind::InvalidParameterValue,
            format!(
                "name of a user is longer than {NAME_BYTES_MAX} bytes or has control characters"
            ),
        )
        .into());
    }
    Ok(name.clone())
}

fn missing(name: &str) -> Error {
    StatementError::new(
        StatementErrorKind::UndefinedObject,
        format!("role \"{name}\" does not exist"),
    )
    .with_hint("SHOW USERS lists the users.")
    .into()
}
