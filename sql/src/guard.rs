//! Refuses what would overflow a stack, on the tokens, before any tree exists.
//!
//! sqlparser counts nesting as it recurses, but it reads flat chains (`1+1+…`, `a OR b OR …`, `… UNION …`) in a loop
//! and builds a tree as deep as they are long; cloning, printing, planning or even dropping that tree recurses. Here
//! the depth is bounded from above: per pair of parentheses or CASE (a *frame*), the operators of a chain, plus what
//! the deepest frame inside adds.
//!
//! Invariants (of the bound; `Dialect::parse_prefix` keeps reserved words out of expressions, which they rest on):
//! - A chain never crosses a comma of its frame, nor UNION, INTERSECT, EXCEPT, nor WHEN, THEN, ELSE of its CASE.
//! - OR binds weaker than AND, and AND weaker than any other operator, so a chain is no deeper than its ORs, plus the
//!   ANDs of one OR term, plus the other operators of one AND term.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use crate::{
    config::Limits,
    error::{ParseError, ParseErrorKind},
};

/// What one pair of parentheses or one CASE holds.
#[derive(Debug, Default)]
struct Frame {
    is_case: bool,
    /// The chain at hand.
    chain: Chain,
    /// The deepest frame inside the chain at hand.
    inside: usize,
    /// The deepest chain before it, with what was inside.
    before: usize,
    /// Set operators and joins: they are deep over the whole frame.
    branches: usize,
    /// Commas.
    commas: usize,
}

#[derive(Debug, Default)]
struct Chain {
    or: usize,
    and: usize,
    other: usize,
    and_max: usize,
    other_max: usize,
}

impl Chain {
    fn depth(&self) -> usize {
        self.or + self.and_max.max(self.and) + self.other_max.max(self.other)
    }
}

impl Frame {
    fn depth(&self) -> usize {
        self.branches + self.before.max(self.chain.depth() + self.inside)
    }

    fn end_chain(&mut self) {
        self.before = self.before.max(self.chain.depth() + self.inside);
        self.chain = Chain::default();
        self.inside = 0;
    }

    fn or(&mut self) {
        self.and();
        self.chain.and_max = self.chain.and_max.max(self.chain.and);
        self.chain.and = 0;
        self.chain.or += 1;
    }

    fn and(&mut self) {
        self.chain.other_max = self.chain.other_max.max(self.chain.other);
        self.chain.other = 0;
        self.chain.and += 1;
    }
}

/// Checks the tokens of one statement.
pub(crate) fn check(tokens: &[TokenWithSpan], limits: &Limits) -> Result<(), ParseError> {
    let mut frames = vec![Frame::default()];
    let mut previous: Option<&Token> = None;
    for token in tokens {
        step(&mut frames, &token.token, previous);
        let position = token.span.start.column as usize;
        if frames.len() > limits.nesting_max {
            return Err(ParseError::new(
                ParseErrorKind::TooComplex,
                "statement is nested too deeply",
            )
            .detail(format!(
                "at most {} levels of nesting are allowed",
                limits.nesting_max
            ))
            .at(position));
        }
        let top = frames.last().expect("the outermost frame is never closed");
        if top.commas >= limits.list_max {
            return Err(
                ParseError::new(ParseErrorKind::TooComplex, "list is too long")
                    .detail(format!("at most {} entries are allowed", limits.list_max))
                    .hint("load large amounts of data with COPY, or join with VALUES instead of IN")
                    .at(position),
            );
        }
        // A frame's depth grows only at its own tokens and when a frame inside it closes, so looking at the one on
        // top after each token misses nothing; the sum over all open ones is the depth of what is being built.
        if top.depth() > limits.depth_max || open_depth(&frames) > limits.depth_max {
            return Err(ParseError::new(ParseErrorKind::TooComplex, "expression is too complex")
                .detail(format!("at most {} operators in a row are allowed", limits.depth_max))
                .hint("use IN (…), = ANY (ARRAY[…]) or a join instead of a long chain of conditions")
                .at(position));
        }
        previous = Some(&token.token);
    }
    Ok(())
}

/// The depth of everything that is open; at most `nesting_max` frames are.
fn open_depth(frames: &[Frame]) -> usize {
    frames
        .iter()
        .map(|frame| frame.branches + frame.chain.depth())
        .sum()
}

fn step(frames: &mut Vec<Frame>, token: &Token, previous: Option<&Token>) {
    match token {
        Token::LParen => frames.push(Frame::default()),
        Token::LBracket => {
            top(frames).chain.other += 1; // a subscript, or nothing worse than an array
            frames.push(Frame::default());
        }
        Token::RParen | Token::RBracket => while frames.len() > 1 && close(frames) {},
        Token::Comma => {
            let frame = top(frames);
            frame.end_chain();
            frame.commas += 1;
        }
        Token::Word(word) if word.quote_style.is_none() && !is_name(previous) => match word.keyword
        {
            Keyword::CASE => frames.push(Frame {
                is_case: true,
                ..Frame::default()
            }),
            Keyword::END if top(frames).is_case => {
                close(frames);
            }
            Keyword::WHEN | Keyword::THEN | Keyword::ELSE if top(frames).is_case => {
                top(frames).end_chain()
            }
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS => {
                let frame = top(frames);
                frame.end_chain();
                frame.branches += 1;
            }
            Keyword::JOIN => top(frames).branches += 1,
            Keyword::OR => top(frames).or(),
            Keyword::AND => top(frames).and(),
            Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::SIMILAR
            | Keyword::BETWEEN
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::NOTNULL
            | Keyword::XOR
            | Keyword::DIV
            | Keyword::OVERLAPS
            | Keyword::OPERATOR
            | Keyword::MEMBER
            | Keyword::MATCH => top(frames).chain.other += 1,
            _ => {}
        },
        Token::Word(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::Period => {}
        _ => top(frames).chain.other += 1,
    }
}

/// Whether the word after this token can only be a name, whatever it looks like.
fn is_name(previous: Option<&Token>) -> bool {
    match previous {
        Some(Token::Period | Token::Arrow) => true,
        Some(Token::Word(word)) => {
            matches!(word.keyword, Keyword::AS | Keyword::COLLATE | Keyword::OVER)
                && word.quote_style.is_none()
        }
        _ => false,
    }
}

fn top(frames: &mut [Frame]) -> &mut Frame {
    frames
        .last_mut()
        .expect("the outermost frame is never closed")
}

/// Closes the innermost frame; says whether it was a CASE whose END is missing, or is just being read.
fn close(frames: &mut Vec<Frame>) -> bool {
    if frames.len() == 1 {
        return false;
    }
    let closed = frames.pop().expect("there are two frames");
    let depth = closed.depth() + 1;
    let outer = top(frames);
    outer.inside = outer.inside.max(depth);
    closed.is_case
}
