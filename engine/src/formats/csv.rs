//! CSV as `COPY` reads it.
//!
//! row = cell (delimiter cell)* newline. A cell may be quoted in whole or in part; inside quotes the escape character
//! before a quote or an escape stands for that character, and line ends belong to the cell. A cell without quotes
//! that equals the NULL string is NULL: so `,,` is NULL and `,"",` is the empty string. A line `\.` ends the data.

use super::rows::{RowError, Rows, Splitter};

/// Takes CSV apart.
pub struct CsvSplitter {
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
    /// What may end a run of plain bytes outside quotes: delimiter, quote, newline.
    special: [bool; 256],
    line: u64,
    ended: bool,
}

/// A cell is not complete in this block.
enum Incomplete {
    NeedMore,
    Unterminated,
}

/// What stands behind a cell.
enum After {
    /// Another cell, from here on.
    Delimiter(usize),
    /// The end of the row; the next one begins here.
    RowEnd(usize),
}

impl CsvSplitter {
    pub fn new(delimiter: u8, quote: u8, escape: u8, null: Vec<u8>) -> Self {
        let mut special = [false; 256];
        for byte in [delimiter, quote, b'\n'] {
            special[usize::from(byte)] = true;
        }
        CsvSplitter {
            delimiter,
            quote,
            escape,
            null,
            special,
            line: 0,
            ended: false,
        }
    }

    /// Reads the cell that begins at `start`.
    #[inline]
    fn cell(
        &mut self,
        block: &[u8],
        start: usize,
        last: bool,
        rows: &mut Rows,
    ) -> Result<After, Incomplete> {
        let mut at = start;
        while at < block.len() && !self.special[usize::from(block[at])] {
            at += 1;
        }
        match block.get(at) {
            Some(byte) if *byte == self.delimiter => {
                self.push_plain(block, start, at, rows);
                Ok(After::Delimiter(at + 1))
            }
            Some(b'\n') => {
                let end = if at > start && block[at - 1] == b'\r' {
                    at - 1
                } else {
                    at
                };
                self.push_plain(block, start, end, rows);
                Ok(After::RowEnd(at + 1))
            }
            Some(_) => self.quoted_cell(block, start, at, last, rows),
            None if last => {
                let end = if at > start && block[at - 1] == b'\r' {
                    at - 1
                } else {
                    at
                };
                self.push_plain(block, start, end, rows);
                Ok(After::RowEnd(at))
            }
            None => Err(Incomplete::NeedMore),
        }
    }

    #[inline]
    fn push_plain(&self, block: &[u8], start: usize, end: usize, rows: &mut Rows) {
        if end - start == self.null.len() && block[start..end] == *self.null {
            rows.push_null();
        } else {
            rows.push(start, end);
        }
    }

    /// A cell with a quote in it, the first one at `quote_at`.
    fn quoted_cell(
        &mut self,
        block: &[u8],
        start: usize,
        quote_at: usize,
        last: bool,
        rows: &mut Rows,
    ) -> Result<After, Incomplete> {
        // Nearly always the quotes are around the whole cell and nothing is escaped: then nothing is copied.
        if quote_at == start {
            let mut at = start + 1;
            let mut newlines = 0;
            while at < block.len() && block[at] != self.quote && block[at] != self.escape {
                newlines += u64::from(block[at] == b'\n');
                at += 1;
            }
            if block.get(at) == Some(&self.quote) {
                let next = match &block[at + 1..] {
                    [byte, ..] if *byte == self.delimiter => Some(After::Delimiter(at + 2)),
                    [b'\n', ..] => Some(After::RowEnd(at + 2)),
                    [b'\r', b'\n', ..] => Some(After::RowEnd(at + 3)),
                    [] if last => Some(After::RowEnd(at + 1)),
                    [b'\r'] if last => Some(After::RowEnd(at + 2)),
                    _ => None,
                };
                if let Some(next) = next {
                    self.line += newlines;
                    rows.push(start + 1, at);
                    return Ok(next);
                }
            }
        }
        self.escaped_cell(block, start, last, rows)
    }

    /// The general case.
    fn escaped_cell(
        &mut self,
        block: &[u8],
        start: usize,
        last: bool,
        rows: &mut Rows,
    ) -> Result<After, Incomplete> {
        let aside = rows.aside().len();
        let mut in_quotes = false;
        let mut newlines = 0;
        let mut at = start;
        // A carriage return is only dropped if it is outside the quotes, directly before the newline.
        let mut plain_cr = false;
        let after = loop {
            let Some(byte) = block.get(at).copied() else {
                if in_quotes && last {
                    break Err(Incomplete::Unterminated);
                }
                if !last {
                    break Err(Incomplete::NeedMore);
                }
                break Ok(After::RowEnd(at));
            };
            if in_quotes {
                if byte == self.escape {
                    match block.get(at + 1).copied() {
                        Some(next) if next == self.escape || next == self.quote => {
                            rows.aside().push(next);
                            at += 2;
                            continue;
                        }
                        None if !last => break Err(Incomplete::NeedMore),
                        _ => {}
                    }
                }
                if byte == self.quote {
                    in_quotes = false;
                } else {
                    newlines += u64::from(byte == b'\n');
                    rows.aside().push(byte);
                }
                plain_cr = false;
            } else if byte == self.quote {
                in_quotes = true;
                plain_cr = false;
            } else if byte == self.delimiter {
                plain_cr = false;
                break Ok(After::Delimiter(at + 1));
            } else if byte == b'\n' {
                break Ok(After::RowEnd(at + 1));
            } else {
                rows.aside().push(byte);
                plain_cr = byte == b'\r';
            }
            at += 1;
        };
        match after {
            Ok(after) => {
                if plain_cr {
                    rows.aside().pop();
                }
                self.line += newlines;
                rows.push_aside(aside);
                Ok(after)
            }
            Err(incomplete) => {
                rows.aside().truncate(aside);
                Err(incomplete)
            }
        }
    }
}

impl Splitter for CsvSplitter {
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
                match self.cell(block, at, last, rows) {
                    Ok(After::Delimiter(next)) => at = next,
                    Ok(After::RowEnd(next)) => {
                        rows.end_row(self.line, row_start..next);
                        row_start = next;
                        break;
                    }
                    Err(Incomplete::NeedMore) => {
                        rows.truncate(first_cell);
                        self.line = line_before;
                        return Ok(row_start);
                    }
                    Err(Incomplete::Unterminated) => {
                        return Err(RowError::new(
                            self.line,
                            row_start..block.len(),
                            "unterminated CSV quoted field",
                        ));
                    }
                }
            }
        }
        Ok(row_start)
    }

    fn ended(&self) -> bool {
        self.ended
    }
}

/// Whether a row that begins with a backslash is the line `\.`; `None` if it is not, `Some(false)` if that cannot be
/// told yet.
pub(super) fn end_mark(row: &[u8], last: bool) -> Option<bool> {
    match row {
        [b'\\', b'.', b'\n', ..] | [b'\\', b'.', b'\r', b'\n', ..] => Some(true),
        [b'\\', b'.'] | [b'\\', b'.', b'\r'] if last => Some(true),
        [b'\\'] | [b'\\', b'.'] | [b'\\', b'.', b'\r'] if !last => Some(false),
        _ => None,
    }
}
