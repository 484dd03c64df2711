//! Walks over JSON text, one token at a time, without making a tree.
//!
//! Strings and numbers come out as slices of the text together with what the walk has learnt about
//! them, so that most of them are not looked at twice. Where they end tell the text's marks.

use super::super::names::Quoted;
use super::Fallible;
use super::marks::Marks;

/// Nesting beyond this is refused, wherever it stands.
const DEPTH_MAX: u32 = 512;

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub(in crate::records) struct Scanner<'a> {
    bytes: &'a [u8],
    marks: &'a Marks,
    at: usize,
    depth: u32,
}

/// A string between its quotes.
#[derive(Debug, Clone, Copy)]
pub(in crate::records) struct Text<'a> {
    pub raw: &'a [u8],
    /// Whether there are escapes in it.
    pub escaped: bool,
    /// Whether it has bytes beyond ASCII.
    wide: bool,
}

/// A number, taken apart.
#[derive(Debug, Clone, Copy)]
pub(in crate::records) struct Number<'a> {
    raw: &'a [u8],
    pub negative: bool,
    /// The digits without the point, if they fit; see `exact`.
    pub mantissa: u64,
    /// The value is `mantissa × 10^exponent`.
    pub exponent: i32,
    /// Whether `mantissa` and `exponent` hold all digits.
    pub exact: bool,
    /// Whether it is written without point and exponent.
    pub integral: bool,
}

impl<'a> Scanner<'a> {
    /// `marks` are made for the text here, and only lent so that they can be used again.
    #[inline]
    pub fn new(bytes: &'a [u8], marks: &'a mut Marks) -> Self {
        marks.fill(bytes);
        Self {
            bytes,
            marks,
            at: 0,
            depth: 0,
        }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a place where a value begins.
    pub fn go_to(&mut self, position: usize) {
        self.at = position;
    }

    /// The text from a position up to here.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The next byte that is not white space, which stays.
    #[inline]
    pub fn peek(&mut self) -> Fallible<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(self.ends_early()),
            }
        }
    }

    /// Takes one byte, which must be this.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Fallible {
        if self.peek()? == byte {
            self.at += 1;
            return Ok(());
        }
        Err(self.expected(byte))
    }

    /// Takes the byte if it is next.
    #[inline]
    pub fn take_if(&mut self, byte: u8) -> Fallible<bool> {
        let there = self.peek()? == byte;
        self.at += usize::from(there);
        Ok(there)
    }

    /// Behind a value: `,` goes on, and the closing byte ends.
    #[inline]
    pub fn goes_on(&mut self, close: u8) -> Fallible<bool> {
        match self.peek()? {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.expected_comma_or(close)),
        }
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Fallible {
        let rest = self.bytes[self.at..].trim_ascii_start();
        if rest.is_empty() {
            return Ok(());
        }
        self.at = self.bytes.len() - rest.len();
        Err(self.syntax("something stands behind the value"))
    }

    /// `true`, `false` or `null`.
    #[inline]
    pub fn literal(&mut self, literal: &str) -> Fallible {
        let end = self.at + literal.len();
        if self.bytes.get(self.at..end) == Some(literal.as_bytes()) {
            self.at = end;
            return Ok(());
        }
        Err(self.syntax(&format!("expected {literal}")))
    }

    /// A member's name and the colon behind it.
    #[inline]
    pub fn name(&mut self) -> Fallible<Text<'a>> {
        if self.peek()? != b'"' {
            return Err(self.syntax("expected a member's name"));
        }
        let name = self.text()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// Takes a name with its quotes and the colon if it is next.
    #[inline]
    pub fn take_name_if(&mut self, name: &Quoted) -> bool {
        let there = name.begins(&self.bytes[self.at..]);
        if there {
            self.at += name.len();
        }
        there
    }

    /// Takes the member that is next if it has this name and its value is a string without escapes or a
    /// whole number, as most members are that nobody needs. Where it ends tell the marks; a member of
    /// another kind, or with white space, stays for [`Scanner::skip`], which tells what is wrong with it.
    #[inline]
    pub fn take_plain_member(&mut self, name: &Quoted) -> bool {
        if !name.begins(&self.bytes[self.at..]) {
            return false;
        }
        let start = self.at + name.len();
        let end = match self.bytes.get(start) {
            Some(b'"') => {
                let end = self.marks.stop(start + 1);
                if self.bytes.get(end) != Some(&b'"') {
                    return false;
                }
                end + 1
            }
            Some(b'1'..=b'9') => {
                let end = self.marks.digits_end(start);
                if let Some(b'.' | b'e' | b'E') = self.bytes.get(end) {
                    return false;
                }
                end
            }
            _ => return false,
        };
        self.at = end;
        true
    }

    /// A string whose opening quote is next.
    #[inline]
    pub fn text(&mut self) -> Fallible<Text<'a>> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = self.marks.stop(at);
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                    if at > self.bytes.len() {
                        return Err(self.syntax("a string does not end"));
                    }
                }
                Some(_) => {
                    self.at = at;
                    return Err(self.syntax("a control character stands in a string"));
                }
                None => return Err(self.syntax("a string does not end")),
            }
        }
        self.at = at + 1;
        Ok(Text {
            raw: &self.bytes[start..at],
            escaped,
            wide: self.marks.is_wide(start, at),
        })
    }

    /// A number whose first byte is next.
    #[inline]
    pub fn number(&mut self) -> Fallible<Number<'a>> {
        let start = self.at;
        let mut at = start;
        let negative = self.bytes.get(at) == Some(&b'-');
        at += usize::from(negative);
        let mut mantissa = 0u64;
        let whole = at;
        at = self.digits(at, &mut mantissa);
        let mut count = at - whole;
        if count == 0 || count > 1 && self.bytes[whole] == b'0' {
            return Err(self.syntax("a number is not written as JSON has it"));
        }
        let mut exponent = 0i32;
        let mut integral = true;
        if self.bytes.get(at) == Some(&b'.') {
            let fraction = at + 1;
            at = self.digits(fraction, &mut mantissa);
            if at == fraction {
                return Err(self.syntax("a number ends with its point"));
            }
            count += at - fraction;
            exponent = -i32::try_from(at - fraction).unwrap_or(i32::MAX);
            integral = false;
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            at += 1;
            let minus = self.bytes.get(at) == Some(&b'-');
            at += usize::from(matches!(self.bytes.get(at), Some(b'-' | b'+')));
            let first = at;
            let mut power = 0u64;
            at = self.digits(at, &mut power);
            if at == first {
                return Err(self.syntax("a number ends in its exponent"));
            }
            // Whatever is this large is out of any range.
            let power = if at - first > 9 {
                999_999_999
            } else {
                power as i32
            };
            exponent = exponent.saturating_add(if minus { -power } else { power });
            integral = false;
        }
        self.at = at;
        Ok(Number {
            raw: &self.bytes[start..at],
            negative,
            mantissa,
            exponent,
            // 19 digits always fit 64 bits.
            exact: count <= 19,
            integral,
        })
    }

    /// Takes a number whose first byte is next.
    #[inline]
    fn skip_number(&mut self) -> Fallible {
        let whole = self.at + usize::from(self.bytes[self.at] == b'-');
        let end = self.marks.digits_end(whole);
        let well_formed = end == whole + 1 || end > whole && self.bytes[whole] != b'0';
        if well_formed && !matches!(self.bytes.get(end), Some(b'.' | b'e' | b'E')) {
            self.at = end;
            return Ok(());
        }
        self.number().map(|_| ())
    }

    /// Takes what is next if it is a whole number without a sign and of eight digits at most, which are
    /// read at once.
    #[inline]
    pub fn take_small(&mut self) -> Option<u32> {
        let end = self.marks.digits_end(self.at);
        let count = end - self.at;
        let eight = self.bytes.get(self.at..)?.first_chunk()?;
        if !(1..=8).contains(&count)
            || count > 1 && eight[0] == b'0'
            || matches!(self.bytes.get(end), Some(b'.' | b'e' | b'E'))
        {
            return None;
        }
        self.at = end;
        // What stands behind the digits falls out, and zeros come in front.
        Some(value_of_eight(u64::from_le_bytes(*eight) << (64 - 8 * count)) as u32)
    }

    /// Goes over digits and adds them to the mantissa, which wraps if they are too many.
    #[inline]
    fn digits(&self, start: usize, mantissa: &mut u64) -> usize {
        let end = self.marks.digits_end(start);
        let mut at = start;
        while end - at > 8 {
            let eight = self.bytes[at..].first_chunk().expect("they are more");
            let value = value_of_eight(u64::from_le_bytes(*eight));
            *mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(value);
            at += 8;
        }
        let count = end - at;
        if count > 0 {
            let word = match self.bytes[at..].first_chunk() {
                Some(eight) => u64::from_le_bytes(*eight),
                None => {
                    let mut eight = [0; 8];
                    eight[..count].copy_from_slice(&self.bytes[at..end]);
                    u64::from_le_bytes(eight)
                }
            };
            // What stands behind the digits falls out, and zeros come in front.
            let value = value_of_eight(word << (64 - 8 * count));
            *mantissa = mantissa.wrapping_mul(TENS[count]).wrapping_add(value);
        }
        end
    }

    /// Takes a value of any kind, and checks its syntax.
    pub fn skip(&mut self) -> Fallible {
        match self.peek()? {
            b'"' => self.text().map(|_| ()),
            b'{' => {
                self.enter()?;
                if !self.take_if(b'}')? {
                    loop {
                        self.name()?;
                        self.skip()?;
                        if !self.goes_on(b'}')? {
                            break;
                        }
                    }
                }
                self.leave();
                Ok(())
            }
            b'[' => {
                self.enter()?;
                if !self.take_if(b']')? {
                    loop {
                        self.skip()?;
                        if !self.goes_on(b']')? {
                            break;
                        }
                    }
                }
                self.leave();
                Ok(())
            }
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.skip_number(),
            _ => Err(self.syntax("expected a value")),
        }
    }

    /// Takes the opening byte of an object or array.
    #[inline]
    pub fn enter(&mut self) -> Fallible {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.syntax("it is nested too deeply"));
        }
        self.at += 1;
        Ok(())
    }

    /// Behind the closing byte.
    #[inline]
    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    #[cold]
    fn ends_early(&self) -> Box<super::Fail> {
        self.syntax("the text ends early")
    }

    #[cold]
    fn expected(&self, byte: u8) -> Box<super::Fail> {
        self.syntax(&format!("expected '{}'", byte as char))
    }

    #[cold]
    fn expected_comma_or(&self, close: u8) -> Box<super::Fail> {
        self.syntax(&format!("expected ',' or '{}'", close as char))
    }

    #[cold]
    pub fn syntax(&self, what: &str) -> Box<super::Fail> {
        super::Fail::reason(format!("invalid JSON at byte {}: {what}", self.at))
    }
}

impl<'a> Text<'a> {
    /// The text of the string; `aside` holds it if there are escapes.
    pub fn get<'b>(&self, aside: &'b mut Vec<u8>) -> Fallible<&'b [u8]>
    where
        'a: 'b,
    {
        if !self.escaped && !self.wide {
            return Ok(self.raw);
        }
        if !self.escaped {
            std::str::from_utf8(self.raw).map_err(|_| not_utf8())?;
            return Ok(self.raw);
        }
        aside.clear();
        self.append_to(aside)?;
        Ok(aside)
    }

    /// Appends the text of the string.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) -> Fallible {
        if self.escaped {
            return self.unescape(out);
        }
        if self.wide {
            std::str::from_utf8(self.raw).map_err(|_| not_utf8())?;
        }
        out.extend_from_slice(self.raw);
        Ok(())
    }

    fn unescape(&self, out: &mut Vec<u8>) -> Fallible {
        std::str::from_utf8(self.raw).map_err(|_| not_utf8())?;
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..at]);
            let (&escape, after) = rest[at + 1..].split_first().ok_or_else(bad_escape)?;
            rest = after;
            match escape {
                b'"' | b'\\' | b'/' => out.push(escape),
                b'b' => out.push(0x08),
                b'f' => out.push(0x0c),
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'u' => {
                    let mut code = take_hex(&mut rest)?;
                    if (0xd800..0xdc00).contains(&code) && rest.starts_with(b"\\u") {
                        let mut after = &rest[2..];
                        let low = take_hex(&mut after)?;
                        if (0xdc00..0xe000).contains(&low) {
                            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                            rest = after;
                        }
                    }
                    // Half a pair of surrogates is no character; Java writes it as a question mark.
                    let character = char::from_u32(code).unwrap_or('?');
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(bad_escape()),
            }
        }
        out.extend_from_slice(rest);
        Ok(())
    }
}

impl<'a> Number<'a> {
    /// The number as it is written.
    pub fn text(self) -> &'a str {
        std::str::from_utf8(self.raw).expect("it has been found ASCII")
    }

    /// The whole part, `None` if it does not fit.
    #[inline]
    pub fn to_i64(self) -> Option<i64> {
        if self.integral && self.exact {
            return if self.negative {
                0i64.checked_sub_unsigned(self.mantissa)
            } else {
                i64::try_from(self.mantissa).ok()
            };
        }
        if self.integral {
            return self.text().parse().ok();
        }
        // As Java does, the fraction is cut off.
        let value = crate::formats::parse_decimal(self.text(), 38, 18)
            .ok()
            .map(|value| value / 1_000_000_000_000_000_000);
        match value {
            Some(value) => i64::try_from(value).ok(),
            None => None,
        }
    }

    /// The nearest double.
    #[inline]
    pub fn to_f64(self) -> f64 {
        // Clinger (1990): both are exact, so the result is rounded once.
        if self.exact && self.mantissa < 1 << 53 && (-22..=22).contains(&self.exponent) {
            let value = self.mantissa as f64;
            let power = POWERS[self.exponent.unsigned_abs() as usize];
            let value = if self.exponent < 0 {
                value / power
            } else {
                value * power
            };
            return if self.negative { -value } else { value };
        }
        self.text().parse().expect("Rust reads what JSON writes")
    }
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

const TENS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// The value of eight digits, the first of them in the lowest byte. Bytes of zero count as digits.
/// Neighbours are put together, then pairs, then fours.
#[inline]
fn value_of_eight(word: u64) -> u64 {
    let join = |word: u64, ten: u64, bits: u32| word.wrapping_mul(ten).wrapping_add(word >> bits);
    let ones = word & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = join(ones, 10, 8) & 0x00ff_00ff_00ff_00ff;
    let fours = join(pairs, 100, 16) & 0x0000_ffff_0000_ffff;
    join(fours, 10_000, 32) & 0xffff_ffff
}

fn take_hex(bytes: &mut &[u8]) -> Fallible<u32> {
    let (digits, rest) = bytes.split_first_chunk::<4>().ok_or_else(bad_escape)?;
    *bytes = rest;
    let mut code = 0;
    for digit in digits {
        code = code << 4 | (*digit as char).to_digit(16).ok_or_else(bad_escape)?;
    }
    Ok(code)
}

#[cold]
fn bad_escape() -> Box<super::Fail> {
    super::Fail::reason("invalid JSON: a string has an escape that does not exist".into())
}

#[cold]
fn not_utf8() -> Box<super::Fail> {
    super::Fail::reason("a string is not UTF-8".into())
}
