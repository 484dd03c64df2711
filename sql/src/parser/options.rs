//! `(name = value, …)`.

use sqlparser::tokenizer::Token;

use super::{Result, StatementParser};
use crate::{
    ast::{OptionValue, Options, WithOption},
    error::{ParseError, ParseErrorKind},
    idents::is_word_everywhere,
};

impl StatementParser<'_> {
    /// `WITH (name = value, …)`, if it is there.
    pub(super) fn with_options(&mut self) -> Result<Options> {
        if !(self.is_word(0, "WITH") && self.is_token(1, &Token::LParen)) {
            return Ok(Options::default());
        }
        self.advance(2);
        let mut options = Options::default();
        if self.take(&Token::RParen) {
            return Ok(options);
        }
        loop {
            let position = self.position();
            let name = self.option_name()?;
            self.expect(&Token::Eq)?;
            let value = self.option_value()?;
            self.add_option(
                &mut options,
                WithOption {
                    name,
                    value,
                    position,
                },
            )?;
            if !self.take(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RParen)?;
        Ok(options)
    }

    pub(super) fn add_option(&mut self, options: &mut Options, option: WithOption) -> Result<()> {
        if options.get(&option.name).is_some() {
            let message = format!("option \"{}\" is given more than once", option.name);
            return Err(ParseError::new(ParseErrorKind::Syntax, message).at(option.position));
        }
        options.0.push(option);
        Ok(())
    }

    /// A name, perhaps with periods, or a string; in lower case.
    pub(super) fn option_name(&mut self) -> Result<String> {
        if let Token::SingleQuotedString(text) = &self.parser.peek_token_ref().token {
            let name = text.to_ascii_lowercase();
            if name.is_empty() {
                return Err(self.unexpected("the name of an option"));
            }
            self.advance(1);
            return Ok(name);
        }
        let mut name = self.option_word()?;
        while self.take(&Token::Period) {
            name.push('.');
            name += &self.option_word()?;
        }
        Ok(name)
    }

    /// Any word at all: `NULL` and `DEFAULT` are options too.
    fn option_word(&mut self) -> Result<String> {
        match &self.parser.peek_token_ref().token {
            Token::Word(word) => {
                let name = word.value.to_ascii_lowercase();
                self.advance(1);
                Ok(name)
            }
            _ => Err(self.unexpected("the name of an option")),
        }
    }

    /// A string, a number with its sign, or a word.
    pub(super) fn option_value(&mut self) -> Result<OptionValue> {
        let sign = match self.parser.peek_token_ref().token {
            Token::Minus => "-",
            Token::Plus => "+",
            _ => "",
        };
        let signed = !sign.is_empty();
        let value = match &self.parser.peek_nth_token_ref(usize::from(signed)).token {
            Token::Number(digits, _) if sign == "-" => OptionValue::Number(format!("-{digits}")),
            Token::Number(digits, _) => OptionValue::Number(digits.clone()),
            Token::SingleQuotedString(text) if !signed => OptionValue::Text(text.clone()),
            Token::Word(word)
                if !signed && word.quote_style.is_none() && is_word_everywhere(&word.value) =>
            {
                OptionValue::Word(word.value.to_ascii_lowercase())
            }
            Token::Word(word) if !signed => OptionValue::Text(word.value.clone()),
            _ => return Err(self.unexpected("a value")),
        };
        self.advance(1 + usize::from(signed));
        Ok(value)
    }
}
