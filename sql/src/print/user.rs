//! Statements about users. A password is never printed: what stands for it reads as one, so that the text parses.

use std::fmt::{Display, Formatter, Result};

use super::{List, Sql};
use crate::ast::{AlterUser, CreateUser, DropUsers, UserName, UserOptions};

impl Display for CreateUser {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let kind = if self.role { "ROLE" } else { "USER" };
        let condition = if self.if_not_exists {
            "IF NOT EXISTS "
        } else {
            ""
        };
        write!(
            f,
            "CREATE {kind} {condition}{}{}",
            Sql(&self.name),
            self.options
        )
    }
}

impl Display for AlterUser {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.user {
            UserName::Name(name) => write!(f, "ALTER USER {}{}", Sql(name), self.options),
            UserName::Current => write!(f, "ALTER USER CURRENT_USER{}", self.options),
        }
    }
}

impl Display for DropUsers {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let condition = if self.if_exists { "IF EXISTS " } else { "" };
        write!(f, "DROP USER {condition}{}", List(&self.names))
    }
}

impl Display for UserOptions {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let flags = [
            (self.superuser, " SUPERUSER", " NOSUPERUSER"),
            (self.login, " LOGIN", " NOLOGIN"),
        ];
        for (flag, yes, no) in flags {
            match flag {
                Some(true) => f.write_str(yes)?,
                Some(false) => f.write_str(no)?,
                None => {}
            }
        }
        match &self.password {
            Some(Some(_)) => f.write_str(" PASSWORD '********'"),
            Some(None) => f.write_str(" PASSWORD NULL"),
            None => Ok(()),
        }
    }
}
