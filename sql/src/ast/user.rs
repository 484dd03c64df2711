//! Users.

use std::fmt;

use super::Ident;

/// `CREATE USER | ROLE [IF NOT EXISTS] name [WITH] options`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateUser {
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name.
    pub name: Ident,
    /// `ROLE`: may not log in unless `LOGIN` says so.
    pub role: bool,
    /// What is said of it.
    pub options: UserOptions,
}

/// `ALTER USER | ROLE name [WITH] options`.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterUser {
    /// Which one.
    pub user: UserName,
    /// What changes.
    pub options: UserOptions,
}

/// `DROP USER | ROLE [IF EXISTS] names`.
#[derive(Debug, Clone, PartialEq)]
pub struct DropUsers {
    /// `IF EXISTS`.
    pub if_exists: bool,
    /// The names.
    pub names: Vec<Ident>,
}

/// A user by name, or the one who asks.
#[derive(Debug, Clone, PartialEq)]
pub enum UserName {
    /// By name.
    Name(Ident),
    /// `CURRENT_USER`, `SESSION_USER`, `CURRENT_ROLE`.
    Current,
}

/// What is said of a user; `None` where nothing is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserOptions {
    /// `[NO]LOGIN`.
    pub login: Option<bool>,
    /// `[NO]SUPERUSER`.
    pub superuser: Option<bool>,
    /// `PASSWORD 'text' | NULL`.
    pub password: Option<Option<Secret>>,
}

/// A text that must not be shown: neither when it is printed nor when it is debugged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
