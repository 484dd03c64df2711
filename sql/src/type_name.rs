//! Names of types: read, written, and told to sqlparser.

use std::fmt;

use sqlparser::{
    ast::{
        ArrayElemTypeDef, CharacterLength, DataType as SqlType, ExactNumberInfo, Ident, ObjectName,
        StructBracketKind, StructField as SqlStructField, TimezoneInfo,
    },
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan},
};

use crate::{
    ast::{DataType, StructField},
    dialect::{MillpondDialect, is_reserved},
    error::{ParseError, ParseErrorKind},
    suggest,
};

/// How deeply types may nest.
const NESTING_MAX: usize = 32;
/// The longest decimal Arrow can hold.
const PRECISION_MAX: u64 = 76;

/// Names of types, for "did you mean".
const NAMES: &[&str] = &[
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "real",
    "double",
    "decimal",
    "numeric",
    "text",
    "varchar",
    "string",
    "char",
    "bytea",
    "bytes",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "array",
    "map",
    "struct",
];

/// A type of ours, or a name that may mean something to the planner (`regclass`, `oid`).
enum TypeName {
    Ours(DataType),
    /// With its position and the dimensions of the array of it.
    Other(ObjectName, usize, usize),
}

/// Reads one type. `>>` is one token, so a `>` of it may be left over for the type around.
struct TypeParser<'a, 'p> {
    dialect: &'a MillpondDialect,
    parser: &'a mut Parser<'p>,
    pending_gt: bool,
}

impl MillpondDialect {
    /// A type of ours; anything else is an error.
    pub(crate) fn parse_type(&self, parser: &mut Parser) -> Result<DataType, ParserError> {
        match self.type_name(parser)? {
            TypeName::Ours(data_type) => Ok(data_type),
            TypeName::Other(name, position, _) => Err(self.fail(undefined(&name, position))),
        }
    }

    /// A type to cast to; names we do not know are left to the planner.
    pub(crate) fn parse_cast_type(&self, parser: &mut Parser) -> Result<SqlType, ParserError> {
        Ok(match self.type_name(parser)? {
            TypeName::Ours(data_type) => to_sql_type(&data_type),
            TypeName::Other(name, _, dimensions) => {
                let array_of = |element| {
                    SqlType::Array(ArrayElemTypeDef::SquareBracket(Box::new(element), None))
                };
                (0..dimensions).fold(SqlType::Custom(name, Vec::new()), |element, _| {
                    array_of(element)
                })
            }
        })
    }

    /// A type before a literal.
    pub(crate) fn parse_literal_type(&self, parser: &mut Parser) -> Result<SqlType, ParserError> {
        self.parse_type(parser)
            .map(|data_type| to_sql_type(&data_type))
    }

    fn type_name(&self, parser: &mut Parser) -> Result<TypeName, ParserError> {
        let mut types = TypeParser {
            dialect: self,
            parser,
            pending_gt: false,
        };
        let name = types.name(0)?;
        if types.pending_gt {
            let found = types.parser.peek_token();
            return types.parser.expected("the end of a type", found);
        }
        Ok(name)
    }
}

fn undefined(name: &ObjectName, position: usize) -> ParseError {
    let plain: Vec<&str> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|i| i.value.as_str())
        .collect();
    let plain = plain.join(".");
    let mut error = ParseError::new(
        ParseErrorKind::UndefinedType,
        format!("type \"{plain}\" does not exist"),
    )
    .at(position);
    if let Some(near) = suggest::nearest(&plain, NAMES) {
        error = error.hint(format!("did you mean {}?", near.to_ascii_uppercase()));
    }
    error
}

impl TypeParser<'_, '_> {
    fn ours(&mut self, depth: usize) -> Result<DataType, ParserError> {
        match self.name(depth)? {
            TypeName::Ours(data_type) => Ok(data_type),
            TypeName::Other(name, position, _) => {
                Err(self.dialect.fail(undefined(&name, position)))
            }
        }
    }

    fn name(&mut self, depth: usize) -> Result<TypeName, ParserError> {
        let TokenWithSpan { token, span } = self.parser.next_token();
        let Token::Word(mut word) = token else {
            return self
                .parser
                .expected("a type", TokenWithSpan { token, span });
        };
        if word.value.eq_ignore_ascii_case("pg_catalog")
            && self.parser.consume_token(&Token::Period)
        {
            match self.parser.next_token().token {
                Token::Word(second) => word = second,
                token => {
                    return self
                        .parser
                        .expected("a type", TokenWithSpan { token, span });
                }
            }
        }
        let position = span.start.column as usize;
        let lower = word.value.to_ascii_lowercase();
        // PostgreSQL's one-byte "char" is written with quotes; none of our other types needs any.
        let found = match word.quote_style {
            Some(_) if lower == "char" => None,
            _ => self.simple(&lower, depth, position)?,
        };
        let mut data_type = match found {
            Some(data_type) => data_type,
            None if word.quote_style.is_none() && is_reserved(word.keyword) => {
                let token = Token::Word(word);
                return self
                    .parser
                    .expected("a type", TokenWithSpan { token, span });
            }
            None => {
                let ident = Ident {
                    value: lower,
                    quote_style: None,
                    span,
                };
                let name = ObjectName::from(vec![Ident {
                    quote_style: word.quote_style,
                    ..ident
                }]);
                let mut dimensions = 0;
                while self.parser.consume_token(&Token::LBracket) {
                    self.parser.expect_token(&Token::RBracket)?;
                    dimensions += 1;
                    self.check_depth(depth + dimensions)?;
                }
                return Ok(TypeName::Other(name, position, dimensions));
            }
        };
        let mut dimensions = depth;
        loop {
            let array = !self.pending_gt
                && match &self.parser.peek_token_ref().token {
                    Token::LBracket => {
                        self.parser.advance_token();
                        if let Token::Number(..) = self.parser.peek_token_ref().token {
                            self.parser.advance_token(); // PostgreSQL ignores it too
                        }
                        self.parser.expect_token(&Token::RBracket)?;
                        true
                    }
                    Token::Word(word)
                        if word.keyword == Keyword::ARRAY && word.quote_style.is_none() =>
                    {
                        self.parser.advance_token();
                        true
                    }
                    _ => false,
                };
            if !array {
                return Ok(TypeName::Ours(data_type));
            }
            dimensions += 1;
            self.check_depth(dimensions)?;
            data_type = DataType::Array(Box::new(data_type));
        }
    }

    fn simple(
        &mut self,
        name: &str,
        depth: usize,
        position: usize,
    ) -> Result<Option<DataType>, ParserError> {
        self.check_depth(depth)?;
        Ok(Some(match name {
            "boolean" | "bool" => DataType::Boolean,
            "smallint" | "int2" => DataType::SmallInt,
            "int" | "integer" | "int4" => DataType::Integer,
            "bigint" | "int8" => DataType::BigInt,
            "real" | "float4" => DataType::Real,
            "float8" => DataType::Double,
            "double" => {
                self.word("PRECISION");
                DataType::Double
            }
            "float" => match self.arguments()?.as_slice() {
                [] => DataType::Double,
                [1..=24] => DataType::Real,
                [25..=53] => DataType::Double,
                _ => {
                    return Err(self.invalid(
                        "precision for type float must be between 1 and 53",
                        position,
                    ));
                }
            },
            "decimal" | "numeric" | "dec" => match self.arguments()?.as_slice() {
                [] => DataType::Decimal(None),
                [precision @ 1..=PRECISION_MAX] => DataType::Decimal(Some((*precision as u8, 0))),
                [precision @ 1..=PRECISION_MAX, scale] if scale <= precision => {
                    DataType::Decimal(Some((*precision as u8, *scale as i8)))
                }
                [precision @ 1..=PRECISION_MAX, scale] => {
                    let message = format!(
                        "NUMERIC scale {scale} must be between 0 and precision {precision}"
                    );
                    return Err(self.invalid(&message, position));
                }
                [precision, ..] => {
                    let message = format!(
                        "NUMERIC precision {precision} must be between 1 and {PRECISION_MAX}"
                    );
                    return Err(self.invalid(&message, position));
                }
            },
            "text" | "name" => DataType::Text(None),
            "string" | "varchar" => DataType::Text(self.length(position)?),
            "character" | "char" | "bpchar" => {
                if self.word("VARYING") {
                    DataType::Text(self.length(position)?)
                } else {
                    DataType::Char(self.length(position)?.unwrap_or(1))
                }
            }
            "bytea" | "bytes" => DataType::Bytea,
            "date" => DataType::Date,
            "time" => {
                self.microseconds(position)?;
                if self.time_zone()? {
                    return Err(self
                        .dialect
                        .fail(ParseError::unsupported("TIME WITH TIME ZONE").at(position)));
                }
                DataType::Time
            }
            "timetz" => {
                return Err(self
                    .dialect
                    .fail(ParseError::unsupported("TIME WITH TIME ZONE").at(position)));
            }
            "timestamp" => {
                self.microseconds(position)?;
                if self.time_zone()? {
                    DataType::TimestampTz
                } else {
                    DataType::Timestamp
                }
            }
            "timestamptz" => {
                self.microseconds(position)?;
                DataType::TimestampTz
            }
            "interval" => DataType::Interval,
            "uuid" => DataType::Uuid,
            "json" => DataType::Json,
            "jsonb" => DataType::Jsonb,
            "array" if self.parser.peek_token_ref().token == Token::Lt => {
                let close = self.open()?;
                let element = self.ours(depth + 1)?;
                self.close(&close)?;
                DataType::Array(Box::new(element))
            }
            "map"
                if matches!(
                    self.parser.peek_token_ref().token,
                    Token::Lt | Token::LParen
                ) =>
            {
                let close = self.open()?;
                let key = self.ours(depth + 1)?;
                self.parser.expect_token(&Token::Comma)?;
                let value = self.ours(depth + 1)?;
                self.close(&close)?;
                DataType::Map(Box::new(key), Box::new(value))
            }
            // `STRUCT<>`, in which the two are one token.
            "struct" if self.parser.consume_token(&Token::Neq) => DataType::Struct(Vec::new()),
            "struct"
                if matches!(
                    self.parser.peek_token_ref().token,
                    Token::Lt | Token::LParen
                ) =>
            {
                let close = self.open()?;
                let mut fields = Vec::new();
                let next = &self.parser.peek_token_ref().token;
                // `STRUCT< >>` ends what is around it as well.
                let ends = *next == close || close == Token::Gt && *next == Token::ShiftRight;
                if !ends {
                    loop {
                        let name = self.parser.parse_identifier()?.value;
                        fields.push(StructField {
                            name,
                            data_type: self.ours(depth + 1)?,
                        });
                        if self.pending_gt || !self.parser.consume_token(&Token::Comma) {
                            break;
                        }
                    }
                }
                self.close(&close)?;
                DataType::Struct(fields)
            }
            name => return Ok(self.dialect.named_type(name)),
        }))
    }

    /// `<` or `(`; returns what must close it.
    fn open(&mut self) -> Result<Token, ParserError> {
        if self.parser.consume_token(&Token::LParen) {
            return Ok(Token::RParen);
        }
        self.parser.expect_token(&Token::Lt)?;
        Ok(Token::Gt)
    }

    fn close(&mut self, close: &Token) -> Result<(), ParserError> {
        if *close == Token::Gt {
            if self.pending_gt {
                self.pending_gt = false;
                return Ok(());
            }
            if self.parser.consume_token(&Token::ShiftRight) {
                self.pending_gt = true;
                return Ok(());
            }
        }
        self.parser.expect_token(close).map(|_| ())
    }

    /// `(n, …)`, if there is one.
    fn arguments(&mut self) -> Result<Vec<u64>, ParserError> {
        if self.pending_gt || !self.parser.consume_token(&Token::LParen) {
            return Ok(Vec::new());
        }
        let arguments = self
            .parser
            .parse_comma_separated(Parser::parse_literal_uint)?;
        self.parser.expect_token(&Token::RParen)?;
        Ok(arguments)
    }

    fn length(&mut self, position: usize) -> Result<Option<u32>, ParserError> {
        // ksqlDB writes VARCHAR(STRING) for a string of any length.
        if let Token::Word(word) = &self.parser.peek_nth_token_ref(1).token
            && !self.pending_gt
            && self.parser.peek_token_ref().token == Token::LParen
            && word.value.eq_ignore_ascii_case("string")
        {
            self.parser.advance_token();
            self.parser.advance_token();
            self.parser.expect_token(&Token::RParen)?;
            return Ok(None);
        }
        match self.arguments()?.as_slice() {
            [] => Ok(None),
            [length @ 1..=10_485_760] => Ok(Some(*length as u32)),
            _ => Err(self.invalid(
                "length for type varchar must be between 1 and 10485760",
                position,
            )),
        }
    }

    /// Times have microseconds; PostgreSQL's default precision, 6, may be written out.
    fn microseconds(&mut self, position: usize) -> Result<(), ParserError> {
        match self.arguments()?.as_slice() {
            [] | [6] => Ok(()),
            _ => {
                let error =
                    ParseError::unsupported("a precision of times other than 6").at(position);
                Err(self.dialect.fail(error))
            }
        }
    }

    /// `WITH | WITHOUT TIME ZONE`; whether it is with.
    fn time_zone(&mut self) -> Result<bool, ParserError> {
        for (word, with) in [(Keyword::WITH, true), (Keyword::WITHOUT, false)] {
            if self
                .parser
                .parse_keywords(&[word, Keyword::TIME, Keyword::ZONE])
            {
                return Ok(with);
            }
        }
        Ok(false)
    }

    fn word(&mut self, expected: &str) -> bool {
        let found = matches!(
            &self.parser.peek_token_ref().token,
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected)
        );
        if found {
            self.parser.advance_token();
        }
        found
    }

    fn check_depth(&self, depth: usize) -> Result<(), ParserError> {
        if depth > NESTING_MAX {
            Err(ParserError::RecursionLimitExceeded)
        } else {
            Ok(())
        }
    }

    fn invalid(&self, message: &str, position: usize) -> ParserError {
        self.dialect
            .fail(ParseError::new(ParseErrorKind::InvalidValue, message).at(position))
    }
}

/// The type as DataFusion's planner knows it.
pub(crate) fn to_sql_type(data_type: &DataType) -> SqlType {
    match data_type {
        DataType::Boolean => SqlType::Boolean,
        DataType::SmallInt => SqlType::SmallInt(None),
        DataType::Integer => SqlType::Integer(None),
        DataType::BigInt => SqlType::BigInt(None),
        DataType::Real => SqlType::Real,
        DataType::Double => SqlType::DoublePrecision,
        DataType::Decimal(None) => SqlType::Numeric(ExactNumberInfo::None),
        DataType::Decimal(Some((precision, scale))) => SqlType::Numeric(
            ExactNumberInfo::PrecisionAndScale((*precision).into(), (*scale).into()),
        ),
        DataType::Text(None) => SqlType::Text,
        DataType::Text(Some(length)) => SqlType::Varchar(Some(character_length(*length))),
        DataType::Char(length) => SqlType::Char(Some(character_length(*length))),
        DataType::Bytea => SqlType::Bytea,
        DataType::Date => SqlType::Date,
        DataType::Time => SqlType::Time(None, TimezoneInfo::None),
        DataType::Timestamp => SqlType::Timestamp(Some(6), TimezoneInfo::None),
        DataType::TimestampTz => SqlType::Timestamp(Some(6), TimezoneInfo::Tz),
        DataType::Interval => SqlType::Interval {
            fields: None,
            precision: None,
        },
        DataType::Uuid => SqlType::Uuid,
        DataType::Json => SqlType::JSON,
        DataType::Jsonb => SqlType::JSONB,
        DataType::Array(element) => SqlType::Array(ArrayElemTypeDef::AngleBracket(Box::new(
            to_sql_type(element),
        ))),
        DataType::Map(key, value) => {
            SqlType::Map(Box::new(to_sql_type(key)), Box::new(to_sql_type(value)))
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| SqlStructField {
                field_name: Some(Ident::with_quote('"', field.name.clone())),
                field_type: to_sql_type(&field.data_type),
                options: None,
            });
            SqlType::Struct(fields.collect(), StructBracketKind::AngleBrackets)
        }
    }
}

fn character_length(length: u32) -> CharacterLength {
    CharacterLength::IntegerLength {
        length: length.into(),
        unit: None,
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Boolean => f.write_str("BOOLEAN"),
            DataType::SmallInt => f.write_str("SMALLINT"),
            DataType::Integer => f.write_str("INTEGER"),
            DataType::BigInt => f.write_str("BIGINT"),
            DataType::Real => f.write_str("REAL"),
            DataType::Double => f.write_str("DOUBLE PRECISION"),
            DataType::Decimal(None) => f.write_str("NUMERIC"),
            DataType::Decimal(Some((precision, scale))) => {
                write!(f, "NUMERIC({precision},{scale})")
            }
            DataType::Text(None) => f.write_str("TEXT"),
            DataType::Text(Some(length)) => write!(f, "VARCHAR({length})"),
            DataType::Char(length) => write!(f, "CHAR({length})"),
            DataType::Bytea => f.write_str("BYTEA"),
            DataType::Date => f.write_str("DATE"),
            DataType::Time => f.write_str("TIME"),
            DataType::Timestamp => f.write_str("TIMESTAMP"),
            DataType::TimestampTz => f.write_str("TIMESTAMPTZ"),
            DataType::Interval => f.write_str("INTERVAL"),
            DataType::Uuid => f.write_str("UUID"),
            DataType::Json => f.write_str("JSON"),
            DataType::Jsonb => f.write_str("JSONB"),
            DataType::Array(element) => write!(f, "ARRAY<{element}>"),
            DataType::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            DataType::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(
                        f,
                        "{comma}\"{}\" {}",
                        field.name.replace('"', "\"\""),
                        field.data_type
                    )?;
                }
                f.write_str(">")
            }
        }
    }
}
