//! Array literals: `{1,NULL,"a b",{2}}`.

use super::parse::Misfit;

/// Arrays inside arrays, at most: Postgres' own bound.
const DEPTH_MAX: usize = 6;

/// One element of an array literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// `NULL`, without quotes.
    Null,
    /// A value's text, unquoted and unescaped.
    Value(String),
    /// An array within, as it was written.
    Nested(String),
}

/// Takes one dimension of an array literal apart.
pub fn split_array(text: &str) -> Result<Vec<Element>, Misfit> {
    let text = text.trim_ascii();
    let inner = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or(Misfit::Syntax)?;
    let mut elements = Vec::new();
    if inner.trim_ascii().is_empty() {
        return Ok(elements);
    }
    let bytes = inner.as_bytes();
    let mut at = 0;
    loop {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        let (element, end) = match bytes.get(at) {
            Some(b'{') => {
                let end = nested_end(bytes, at)?;
                (Element::Nested(inner[at..end].to_owned()), end)
            }
            Some(b'"') => quoted(inner, at + 1)?,
            _ => unquoted(inner, at)?,
        };
        elements.push(element);
        at = end;
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        match bytes.get(at) {
            None => return Ok(elements),
            Some(b',') => at += 1,
            Some(_) => return Err(Misfit::Syntax),
        }
    }
}

/// One past the brace that closes the one at `start`.
fn nested_end(bytes: &[u8], start: usize) -> Result<usize, Misfit> {
    let mut depth = 0;
    let mut in_quotes = false;
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'"' => in_quotes = !in_quotes,
            b'{' if !in_quotes => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Misfit::Syntax);
                }
            }
            b'}' if !in_quotes => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(Misfit::Syntax)
}

/// An element in quotes, from behind the first one.
fn quoted(text: &str, start: usize) -> Result<(Element, usize), Misfit> {
    let mut value = String::new();
    let mut chars = text[start..].char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((Element::Value(value), start + at + 1)),
            '\\' => value.push(chars.next().ok_or(Misfit::Syntax)?.1),
            other => value.push(other),
        }
    }
    Err(Misfit::Syntax)
}

/// An element without quotes: ends before the next comma, white space around it does not belong to it.
fn unquoted(text: &str, start: usize) -> Result<(Element, usize), Misfit> {
    let mut value = String::new();
    let mut escaped = false;
    let mut end = text.len();
    // White space at the end falls away, unless it was escaped.
    let mut keep = 0;
    let mut chars = text[start..].char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            ',' => {
                end = start + at;
                break;
            }
            '"' | '{' | '}' => return Err(Misfit::Syntax),
            '\\' => {
                value.push(chars.next().ok_or(Misfit::Syntax)?.1);
                escaped = true;
                keep = value.len();
            }
            other => {
                value.push(other);
                if !other.is_ascii_whitespace() {
                    keep = value.len();
                }
            }
        }
    }
    value.truncate(keep);
    if value.is_empty() {
        return Err(Misfit::Syntax);
    }
    if !escaped && value.eq_ignore_ascii_case("null") {
        return Ok((Element::Null, end));
    }
    Ok((Element::Value(value), end))
}

/// Whether an element must stand in quotes.
pub fn needs_quotes(value: &[u8]) -> bool {
    value.is_empty()
        || value.eq_ignore_ascii_case(b"null")
        || value.iter().any(|byte| {
            matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\')
                || byte.is_ascii_whitespace()
                || *byte == 0x0b
        })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_come_apart() {
        let texts = [
            "{}",
            " { } ",
            "{1,2,3}",
            "{a b , \" c \",NULL,\"NULL\",\\N}",
            "{{1,2},{3}}",
            "{\"a\\\"b\",\"{\"}",
            "{,}",
            "{1,}",
            "{1",
            "1,2",
            "{\"a}",
            "{a\"b}",
            "{{{{{{{{1}}}}}}}}",
            "{{1},2}",
        ];
        let shown: String = texts
            .iter()
            .map(|text| format!("{text} => {:?}\n", split_array(text)))
            .collect();
        expect![[r#"
            {} => Ok([])
             { }  => Ok([])
            {1,2,3} => Ok([Value("1"), Value("2"), Value("3")])
            {a b , " c ",NULL,"NULL",\N} => Ok([Value("a b"), Value(" c "), Null, Value("NULL"), Value("N")])
            {{1,2},{3}} => Ok([Nested("{1,2}"), Nested("{3}")])
            {"a\"b","{"} => Ok([Value("a\"b"), Value("{")])
            {,} => Err(Syntax)
            {1,} => Err(Syntax)
            {1 => Err(Syntax)
            1,2 => Err(Syntax)
            {"a} => Err(Syntax)
            {a"b} => Err(Syntax)
            {{{{{{{{1}}}}}}}} => Err(Syntax)
            {{1},2} => Ok([Nested("{1}"), Value("2")])
        "#]].assert_eq(&shown);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r#"\{[{}"\\, a-zé]{0,20}\}"#) {
            let _ = split_array(&text);
        }
    }
}
