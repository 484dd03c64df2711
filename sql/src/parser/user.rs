//! `CREATE | ALTER | DROP USER | ROLE`.

use sqlparser::tokenizer::Token;

use super::{Result, StatementParser};
use crate::{
    ast::{AlterUser, CreateUser, DropUsers, Secret, Statement, UserName, UserOptions},
    error::{ParseError, ParseErrorKind},
};

impl StatementParser<'_> {
    /// Whether the word after the verb is `USER` or `ROLE`.
    pub(super) fn is_about_users(&self) -> bool {
        // In ksqlDB's dialect the lexer takes USER for a name.
        let is_user = matches!(
            &self.parser.peek_nth_token_ref(1).token,
            Token::Word(word) if word.value.eq_ignore_ascii_case("USER")
        );
        is_user || self.is_word(1, "ROLE")
    }

    pub(super) fn create_user(&mut self) -> Result<Statement> {
        let role = self.is_word(1, "ROLE");
        self.advance(2);
        let if_not_exists = self.take_words(&["IF", "NOT", "EXISTS"]);
        let name = self.ident()?;
        let options = self.user_options()?;
        Ok(Statement::CreateUser(CreateUser {
            if_not_exists,
            name,
            role,
            options,
        }))
    }

    pub(super) fn alter_user(&mut self) -> Result<Statement> {
        self.advance(2);
        let user = self.user_name()?;
        for (word, what) in [
            ("RENAME", "renaming a user"),
            ("SET", "settings of a user"),
            ("RESET", "settings of a user"),
            ("IN", "settings of a user"),
        ] {
            if self.is_word(0, word) {
                return Err(ParseError::unsupported(what).at(self.position()));
            }
        }
        let options = self.user_options()?;
        if options == UserOptions::default() {
            return Err(self.unexpected("PASSWORD, LOGIN or SUPERUSER"));
        }
        Ok(Statement::AlterUser(AlterUser { user, options }))
    }

    pub(super) fn drop_users(&mut self) -> Result<Statement> {
        self.advance(2);
        let if_exists = self.take_words(&["IF", "EXISTS"]);
        let names = self.list(|parser| parser.ident())?;
        Ok(Statement::DropUsers(DropUsers { if_exists, names }))
    }

    fn user_name(&mut self) -> Result<UserName> {
        for word in ["CURRENT_USER", "SESSION_USER", "CURRENT_ROLE"] {
            if self.take_word(word) {
                return Ok(UserName::Current);
            }
        }
        self.ident().map(UserName::Name)
    }

    /// `[WITH] [NO]LOGIN [NO]SUPERUSER [ENCRYPTED] PASSWORD 'text' | NULL …`, in any order, each once.
    fn user_options(&mut self) -> Result<UserOptions> {
        let mut options = UserOptions::default();
        self.take_word("WITH");
        while !self.at_end() {
            let position = self.position();
            let word = self.word(0).unwrap_or_default();
            let given_before = match word.as_str() {
                "LOGIN" => options.login.replace(true).is_some(),
                "NOLOGIN" => options.login.replace(false).is_some(),
                "SUPERUSER" => options.superuser.replace(true).is_some(),
                "NOSUPERUSER" => options.superuser.replace(false).is_some(),
                "PASSWORD" | "ENCRYPTED" => {
                    if word == "ENCRYPTED" {
                        self.advance(1);
                    }
                    if !self.is_word(0, "PASSWORD") {
                        return Err(self.unexpected("PASSWORD"));
                    }
                    self.advance(1);
                    let password = self.password()?;
                    if options.password.replace(password).is_some() {
                        return Err(twice(position));
                    }
                    continue;
                }
                // What every user is, as nothing else can be said of one yet.
                "INHERIT" | "NOINHERIT" | "NOCREATEDB" | "NOCREATEROLE" | "NOREPLICATION"
                | "NOBYPASSRLS" => false,
                "CREATEDB" | "CREATEROLE" | "REPLICATION" | "BYPASSRLS" | "CONNECTION"
                | "VALID" | "UNENCRYPTED" | "SYSID" | "IN" | "ROLE" | "USER" | "ADMIN" => {
                    let what = format!("{word} of a user");
                    return Err(ParseError::unsupported(&what).at(position));
                }
                _ => return Err(self.unexpected("PASSWORD, LOGIN or SUPERUSER")),
            };
            if given_before {
                return Err(twice(position));
            }
            self.advance(1);
        }
        Ok(options)
    }

    fn password(&mut self) -> Result<Option<Secret>> {
        if self.take_word("NULL") {
            return Ok(None);
        }
        self.string().map(|text| Some(Secret::new(text)))
    }
}

fn twice(position: usize) -> ParseError {
    ParseError::new(ParseErrorKind::Syntax, "conflicting or redundant options").at(position)
}
