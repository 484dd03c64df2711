//! DELIMITED: one line of separated values.
//!
//! Reading follows Apache Commons CSV, which ksqlDB uses: a field is quoted if it begins with a quote,
//! a doubled quote inside stands for one, and only white space may follow the closing quote. Writing
//! quotes what that library quotes, which is more than needed: a record's first field also when it
//! begins with anything but a letter or digit. An empty field is NULL.

use super::fail::{Fail, Fallible};

/// The fields of one line. Kept from line to line for its memory.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Ranges in the line or, of fields with quotes, in `aside`.
    fields: Vec<(usize, usize, bool)>,
    aside: Vec<u8>,
}

impl Line {
    /// Takes the first line of a text apart.
    pub fn split(&mut self, text: &str, delimiter: char) -> Fallible {
        self.fields.clear();
        self.aside.clear();
        let mut encoded = [0; 4];
        let delimiter = delimiter.encode_utf8(&mut encoded).as_bytes();
        // Empty lines in front are passed over.
        let bytes = text.as_bytes();
        let mut at = bytes.iter().take_while(|byte| is_line_end(**byte)).count();
        if at == bytes.len() {
            return Err(Fail::reason("there are no fields in the record".into()));
        }
        loop {
            at = if bytes.get(at) == Some(&b'"') {
                self.quoted(bytes, at + 1, delimiter)?
            } else {
                let length = bytes[at..]
                    .iter()
                    .enumerate()
                    .position(|(offset, byte)| {
                        is_line_end(*byte) || bytes[at + offset..].starts_with(delimiter)
                    })
                    .unwrap_or(bytes.len() - at);
                self.fields.push((at, at + length, false));
                at + length
            };
            if !bytes[at..].starts_with(delimiter) {
                return Ok(());
            }
            at += delimiter.len();
        }
    }

    /// Takes a quoted field from behind its quote; returns where its delimiter or the end stands.
    fn quoted(&mut self, bytes: &[u8], mut at: usize, delimiter: &[u8]) -> Fallible<usize> {
        let start = self.aside.len();
        loop {
            let Some(length) = memchr::memchr(b'"', &bytes[at..]) else {
                return Err(Fail::reason("a quoted field does not end".into()));
            };
            self.aside.extend_from_slice(&bytes[at..at + length]);
            at += length + 1;
            if bytes.get(at) != Some(&b'"') {
                break;
            }
            self.aside.push(b'"');
            at += 1;
        }
        self.fields.push((start, self.aside.len(), true));
        loop {
            match bytes.get(at) {
                None => return Ok(at),
                Some(byte) if is_line_end(*byte) => return Ok(at),
                Some(_) if bytes[at..].starts_with(delimiter) => return Ok(at),
                Some(byte) if byte.is_ascii_whitespace() => at += 1,
                Some(_) => {
                    return Err(Fail::reason(
                        "something stands between a quoted field and its delimiter".into(),
                    ));
                }
            }
        }
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// A field of the text that was split; `None` if it is empty.
    pub fn field<'a>(&'a self, text: &'a str, index: usize) -> Option<&'a str> {
        let (start, end, aside) = self.fields[index];
        let bytes = match aside {
            true => &self.aside[start..end],
            false => &text.as_bytes()[start..end],
        };
        let field = std::str::from_utf8(bytes).expect("cut at whole characters of a text");
        (!field.is_empty()).then_some(field)
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Quotes what was appended behind `start`, if it needs that.
pub(super) fn quote(out: &mut Vec<u8>, start: usize, is_first: bool, delimiter: char) {
    let mut encoded = [0; 4];
    let delimiter = delimiter.encode_utf8(&mut encoded).as_bytes();
    let field = &out[start..];
    let needed = match field {
        [] => is_first,
        [first, ..] if is_first && !first.is_ascii_alphanumeric() => true,
        [first, ..] if *first <= b'#' => true,
        [.., last] if *last <= b' ' => true,
        _ => {
            field
                .iter()
                .any(|byte| matches!(byte, b'\n' | b'\r' | b'"'))
                || field
                    .windows(delimiter.len())
                    .any(|window| window == delimiter)
        }
    };
    if !needed {
        return;
    }
    let field = out.split_off(start);
    out.push(b'"');
    for byte in field {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str, delimiter: char) -> Result<Vec<Option<String>>, String> {
        let mut line = Line::default();
        line.split(text, delimiter).map_err(|fail| fail.message())?;
        let fields = 0..line.len();
        Ok(fields
            .map(|index| line.field(text, index).map(str::to_owned))
            .collect())
    }

    fn some(fields: &[&str]) -> Result<Vec<Option<String>>, String> {
        let field = |field: &&str| (!field.is_empty()).then(|| (*field).to_owned());
        Ok(fields.iter().map(field).collect())
    }

    #[test]
    fn lines_are_split() {
        assert_eq!(split("a,b", ','), some(&["a", "b"]));
        assert_eq!(split(",", ','), some(&["", ""]));
        assert_eq!(split("\"a,\"\"b\",c", ','), some(&["a,\"b", "c"]));
        assert_eq!(split("\"a\" ,c", ','), some(&["a", "c"]));
        assert_eq!(split("a\"b|\"c\"", '|'), some(&["a\"b", "c"]));
        assert_eq!(split("a\tb", '\t'), some(&["a", "b"]));
        assert_eq!(split("ä§b", '§'), some(&["ä", "b"]));
        assert_eq!(split("first\r\nsecond", ','), some(&["first"]));
        assert!(split("", ',').is_err());
        assert!(split("\"a", ',').is_err());
        assert!(split("\"a\"b,c", ',').is_err());
    }

    fn write(fields: &[&str], delimiter: char) -> String {
        let mut out = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                out.extend(delimiter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            let start = out.len();
            out.extend(field.as_bytes());
            quote(&mut out, start, at == 0, delimiter);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_quoted() {
        assert_eq!(write(&["-10"], ','), "\"-10\"");
        assert_eq!(
            write(&["a", "-10", "#b", "c ", "", "d,e"], ','),
            "a,-10,\"#b\",\"c \",,\"d,e\""
        );
        assert_eq!(write(&["", "x\"y"], ','), "\"\",\"x\"\"y\"");
        assert_eq!(write(&["a|b", "c,d"], '|'), "\"a|b\"|c,d");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            fields in vec("[a-z\"|, \n\r#é-]{1,6}", 1..5),
            delimiter in prop_oneof![Just(','), Just('|'), Just('\t'), Just('é')],
        ) {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            prop_assert_eq!(split(&write(&fields, delimiter), delimiter), some(&fields));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,30}") {
            let _ = split(&text, ',');
        }
    }
}
