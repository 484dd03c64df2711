//! Users, and how clients prove that they are who they say.
//!
//! ```text
//!  CREATE USER … PASSWORD ─► Verifier ─► catalog
//!                                           │ Credential
//!  pgwire-server, kafka-server ─messages─► scram ─► let in, or not
//! ```
//!
//! While nobody has a password nobody is asked for one. A password itself is kept nowhere: a [`Verifier`] for each
//! mechanism is. What happens to a client that names a user who does not exist is what happens to one with a wrong
//! password, salt and all.

pub mod scram;
mod verifier;

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

pub use scram::Credential;
pub use verifier::{Mechanism, Verifier};

use crate::catalog::Catalog;
use crate::engine::Engine;
use verifier::random;

/// The user as whom the process that has the data directory open talks to itself. Nobody can create it.
pub const OWNER: &str = "millpond_owner";

/// Whether clients are asked for a password.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// As soon as a user has one.
    #[default]
    Automatic,
    /// Never: everybody is who they say, and may do everything.
    Trust,
    /// Always; while nobody has one, nobody gets in.
    Password,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// From the same sequence as numbers of relations; never used twice.
    pub id: u32,
    pub name: String,
    /// Whether it may log in.
    pub login: bool,
    /// Whether it may manage users.
    pub superuser: bool,
    /// Its password's, one for each mechanism; none without a password. There may be fewer mechanisms if a verifier was
    /// given instead of a password.
    pub verifiers: Vec<Verifier>,
}

impl User {
    /// Whether it can log in with a password.
    pub fn has_password(&self) -> bool {
        self.login && !self.verifiers.is_empty()
    }

    fn verifier(&self, mechanism: Mechanism) -> Option<&Verifier> {
        self.verifiers
            .iter()
            .find(|verifier| verifier.mechanism() == mechanism)
    }
}

/// What the salts of users that do not exist are made from. Its `Debug` shows no part of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginSecret(String);

impl LoginSecret {
    pub(crate) fn random() -> Self {
        Self(BASE64_STANDARD.encode(random::<32>()))
    }
}

impl fmt::Debug for LoginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginSecret")
    }
}

/// What an engine knows of logging in beside its catalog.
pub(crate) struct Logins {
    mode: AuthMode,
    /// The password of [`OWNER`], once this process has asked for it.
    owner: OnceLock<String>,
    /// In place of the catalog's secret while there is none.
    secret: LoginSecret,
}

impl Logins {
    pub(crate) fn new(mode: AuthMode) -> Self {
        Self {
            mode,
            owner: OnceLock::new(),
            secret: LoginSecret::random(),
        }
    }

    /// See [`Engine::asks_for_passwords`].
    pub(crate) fn ask(&self, catalog: &Catalog) -> bool {
        match self.mode {
            AuthMode::Trust => false,
            AuthMode::Password => true,
            AuthMode::Automatic => catalog.users().any(|user| user.has_password()),
        }
    }

    pub(crate) fn mode(&self) -> AuthMode {
        self.mode
    }
}

impl Engine {
    /// Whether a client that connects now has to prove who it is.
    pub fn asks_for_passwords(&self) -> bool {
        self.logins.ask(&self.catalog())
    }

    /// What a client that says it is this user is checked against. There is an answer for users that do not exist, too.
    pub fn credential(&self, user: &str, mechanism: Mechanism) -> Credential {
        let catalog = self.catalog();
        if let Some(password) = self.logins.owner.get().filter(|_| user == OWNER) {
            return Credential {
                verifier: Verifier::of_password(mechanism, password),
                exists: true,
            };
        }
        let known = catalog
            .user(user)
            .and_then(|user| user.verifier(mechanism).cloned());
        if let Some(verifier) = known {
            return Credential {
                verifier,
                exists: true,
            };
        }
        let secret = catalog.login_secret().unwrap_or(&self.logins.secret);
        Credential {
            verifier: Verifier::mock(mechanism, secret.0.as_bytes(), user),
            exists: false,
        }
    }

    /// Whether this is the user's password. Takes as long for a user who does not exist.
    pub async fn is_password(self: &Arc<Self>, user: &str, password: &str) -> bool {
        let engine = self.clone();
        let (user, password) = (user.to_owned(), password.to_owned());
        let check = move || {
            let catalog = engine.catalog();
            // A verifier that was given as such may be of either mechanism.
            let mechanism = match catalog.user(&user).map(|user| user.verifiers.as_slice()) {
                Some([only]) => only.mechanism(),
                _ => Mechanism::Sha256,
            };
            let credential = engine.credential(&user, mechanism);
            credential.verifier.matches(&password) && credential.exists
        };
        // It is computed for milliseconds, and strangers can make us do it.
        tokio::task::spawn_blocking(check).await.unwrap_or(false)
    }

    /// Whether a user who has proved who it is may log in.
    pub fn may_log_in(&self, user: &str) -> bool {
        user == OWNER || self.catalog().user(user).is_some_and(|user| user.login)
    }

    /// Whether a user who has proved who it is may do everything.
    pub fn is_superuser(&self, user: &str) -> bool {
        user == OWNER
            || self
                .catalog()
                .user(user)
                .is_some_and(|user| user.superuser && user.login)
    }

    /// Name and password for the process itself, which has the data directory and so may do everything.
    pub fn owner_login(&self) -> (&str, &str) {
        let password = self
            .logins
            .owner
            .get_or_init(|| BASE64_STANDARD.encode(random::<24>()));
        (OWNER, password)
    }
}
