//! Postgres' text format.
//!
//! row = cell (delimiter cell)* newline. A backslash takes away the special meaning of what follows or gives it one
//! (`\n`, `\t`, `\x41`, `\101`); a cell that equals the NULL string before that is NULL. A line `\.` ends the data.

use super::csv::end_mark;
use super::rows::{RowError, Rows, Splitter};

/// Takes the text format apart.
pub struct TextSplitter {
    delimiter: u8,
    null: Vec<u8>,
    /// Delimiter, newline, backslash.
    special: [bool; 256],
    line: u64,
    ended: bool,
}

impl TextSplitter {
    pub fn new(delimiter: u8, null: Vec<u8>) -> Self {
        let mut special = [false; 256];
        for byte in [delimiter, b'\n', b'\\'] {
            special[usize::from(byte)] = true;
        }
        TextSplitter {
            delimiter,
            null,
            special,
            line: 0,
            ended: false,
        }
    }

    /// The end of the cell that begins at `start`, how many line ends it holds, and whether there is a backslash in it;
    /// `None` if it is not complete.
    #[inline]
    fn cell_end(&self, block: &[u8], start: usize, last: bool) -> Option<(usize, u64, bool)> {
        let mut at = start;
        let mut newlines = 0;
        let mut escaped = false;
        loop {
            while at < block.len() && !self.special[usize::from(block[at])] {
                at += 1;
            }
            match block.get(at) {
                Some(b'\\') => {
                    escaped = true;
                    match block.get(at + 1) {
                        Some(next) => newlines += u64::from(*next == b'\n'),
                        None if last => {}
                        None => return None,
                    }
                    at = (at + 2).min(block.len());
                }
                Some(_) => return Some((at, newlines, escaped)),
                None => return last.then_some((at, newlines, escaped)),
            }
        }
    }
}

impl Splitter for TextSplitter {
    fn split(
        &mut self,
        block: &[u8],
        from: usize,
        last: bool,
        rows: &mut Rows,
        rows_max: usize,
    ) -> Result<usize, RowError> {
        let mut row_start = from;
        while !self.ended && row_start < block.len() && rows.len() < rows_max {
            if block[row_start] == b'\\'
                && let Some(marked) = end_mark(&block[row_start..], last)
            {
                if marked {
                    self.ended = true;
                    return Ok(block.len());
                }
                return Ok(row_start);
            }
            let line_before = self.line;
            let first_cell = rows.cell_count();
            self.line += 1;
            let mut at = row_start;
            loop {
                let Some((end, newlines, escaped)) = self.cell_end(block, at, last) else {
                    rows.truncate(first_cell);
                    self.line = line_before;
                    return Ok(row_start);
                };
                self.line += newlines;
                let in_row = block
                    .get(end)
                    .is_some_and(|byte| *byte == self.delimiter && *byte != b'\n');
                let mut stop = end;
                // `\r\n` ends a line too; an escaped carriage return stays.
                if !in_row
                    && stop > at
                    && block[stop - 1] == b'\r'
                    && !(stop - 1 > at && block[stop - 2] == b'\\')
                {
                    stop -= 1;
                }
                let raw = &block[at..stop];
                if raw == self.null {
                    rows.push_null();
                } else if escaped {
                    let aside = rows.aside().len();
                    unescape(raw, rows.aside());
                    rows.push_aside(aside);
                } else {
                    rows.push(at, stop);
                }
                at = (end + 1).min(block.len());
                if !in_row {
                    break;
                }
                // A delimiter at the very end is followed by an empty cell.
                if at == block.len() && !last {
                    rows.truncate(first_cell);
                    self.line = line_before;
                    return Ok(row_start);
                }
            }
            rows.end_row(self.line, row_start..at);
            row_start = at;
        }
        Ok(row_start)
    }

    fn ended(&self) -> bool {
        self.ended
    }
}

fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' || at + 1 == raw.len() {
            out.push(raw[at]);
            at += 1;
            continue;
        }
        at += 2;
        match raw[at - 1] {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(0x0b),
            first @ b'0'..=b'7' => {
                let mut value = u32::from(first - b'0');
                for _ in 0..2 {
                    match raw.get(at) {
                        Some(digit @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(digit - b'0');
                            at += 1;
                        }
                        _ => break,
                    }
                }
                out.push(value as u8);
            }
            b'x' if raw.get(at).is_some_and(u8::is_ascii_hexdigit) => {
                let mut value = 0;
                for _ in 0..2 {
                    match raw.get(at).and_then(|byte| (*byte as char).to_digit(16)) {
                        Some(digit) => {
                            value = value * 16 + digit;
                            at += 1;
                        }
                        None => break,
                    }
                }
                out.push(value as u8);
            }
            other => out.push(other),
        }
    }
}
