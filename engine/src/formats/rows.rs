//! Rows taken apart, before anyone looks at their types.
//!
//! A cell is a range of the block it was read from; only what had to be unescaped is copied aside. So splitting
//! costs one pass over the bytes and eight bytes a cell.

use std::ops::Range;

use super::build::{BadUtf8, Cells};
use crate::error::{DataError, DataErrorKind};

/// Where a cell's text is.
#[derive(Debug, Clone, Copy)]
struct Cell {
    start: u32,
    /// The length, and the two flags below.
    length: u32,
}

/// The cell is NULL.
const NULL: u32 = 1 << 31;
/// The text is not in the block but among the unescaped ones.
const ASIDE: u32 = 1 << 30;
const LENGTH: u32 = ASIDE - 1;

/// The cells of some rows.
#[derive(Debug, Default)]
pub struct Rows {
    cells: Vec<Cell>,
    aside: Vec<u8>,
    /// For each row, the line it ended in and where it begins and ends in the block.
    places: Vec<Place>,
}

/// Where a row stood.
#[derive(Debug, Clone, Copy)]
struct Place {
    line: u64,
    start: u32,
    end: u32,
    /// One past its last cell.
    cells_end: u32,
}

/// A row that cannot be taken apart.
#[derive(Debug)]
pub struct RowError {
    pub line: u64,
    pub error: DataError,
    /// The row, in the block.
    pub row: Range<usize>,
}

impl RowError {
    #[cold]
    pub fn new(line: u64, row: Range<usize>, message: impl Into<String>) -> Self {
        RowError {
            line,
            row,
            error: DataError::new(DataErrorKind::BadCopyFormat, message),
        }
    }
}

/// Takes rows apart.
pub trait Splitter: Send {
    /// Appends the complete rows of `block[from..]` to `rows`, at most until there are `rows_max`, and gives the position
    /// behind them. When `last` is true nothing follows the block, so its end ends a row.
    fn split(
        &mut self,
        block: &[u8],
        from: usize,
        last: bool,
        rows: &mut Rows,
        rows_max: usize,
    ) -> Result<usize, RowError>;

    /// Whether an end-of-data mark has been read; whatever follows is to be ignored.
    fn ended(&self) -> bool;
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Forgets all rows but keeps the memory.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.aside.clear();
        self.places.clear();
    }

    /// A cell that stands in the block.
    #[inline]
    pub fn push(&mut self, start: usize, end: usize) {
        self.cells.push(Cell {
            start: start as u32,
            length: (end - start) as u32,
        });
    }

    /// A cell that is NULL.
    #[inline]
    pub fn push_null(&mut self) {
        self.cells.push(Cell {
            start: 0,
            length: NULL,
        });
    }

    /// Begins a cell with a text of its own: append it to the result, then call [`Rows::push_aside`].
    pub fn aside(&mut self) -> &mut Vec<u8> {
        &mut self.aside
    }

    /// A cell whose text was appended to [`Rows::aside`] from `start` on.
    pub fn push_aside(&mut self, start: usize) {
        let length = (self.aside.len() - start) as u32;
        self.cells.push(Cell {
            start: start as u32,
            length: length | ASIDE,
        });
    }

    /// How many cells there are, of all rows.
    pub fn cell_count(&self) -> usize {
        self.cells.len()
    }

    /// Takes back the cells of a row that is not complete.
    pub fn truncate(&mut self, cells: usize) {
        self.cells.truncate(cells);
    }

    /// Moves the last cell to this place of the row that began at cell `base`.
    pub fn move_last_to(&mut self, base: usize, column: usize) {
        if let Some(cell) = self.cells.pop() {
            self.cells[base + column] = cell;
        }
    }

    /// Ends a row that occupied this range of the block.
    #[inline]
    pub fn end_row(&mut self, line: u64, row: Range<usize>) {
        let cells_end = self.cells.len() as u32;
        self.places.push(Place {
            line,
            start: row.start as u32,
            end: row.end as u32,
            cells_end,
        });
    }

    /// How many cells a row has.
    pub fn width(&self, row: usize) -> usize {
        let start = if row == 0 {
            0
        } else {
            self.places[row - 1].cells_end
        };
        (self.places[row].cells_end - start) as usize
    }

    /// A row's line and its range in the block.
    pub fn place(&self, row: usize) -> (u64, Range<usize>) {
        let place = self.places[row];
        (place.line, place.start as usize..place.end as usize)
    }

    /// The bytes of a cell, `None` for NULL.
    pub fn bytes<'a>(&'a self, block: &'a [u8], cell: usize) -> Option<&'a [u8]> {
        let cell = self.cells[cell];
        if cell.length & NULL != 0 {
            return None;
        }
        let range = cell.start as usize..cell.start as usize + (cell.length & LENGTH) as usize;
        Some(if cell.length & ASIDE != 0 {
            &self.aside[range]
        } else {
            &block[range]
        })
    }
}

/// The block and the texts aside as text, if all of it is: then no cell must be checked on its own.
pub struct Checked<'a> {
    rows: &'a Rows,
    block: &'a [u8],
    text: Option<&'a str>,
    aside: Option<&'a str>,
    columns: usize,
}

impl<'a> Checked<'a> {
    /// `columns` cells make a row.
    pub fn new(rows: &'a Rows, block: &'a [u8], columns: usize) -> Self {
        Checked {
            rows,
            block,
            text: std::str::from_utf8(block).ok(),
            aside: std::str::from_utf8(&rows.aside).ok(),
            columns,
        }
    }

    /// The cells of one column.
    pub fn column(&self, column: usize) -> ColumnCells<'_> {
        ColumnCells {
            checked: self,
            column,
        }
    }
}

/// One column of some rows.
pub struct ColumnCells<'a> {
    checked: &'a Checked<'a>,
    column: usize,
}

impl Cells for ColumnCells<'_> {
    fn len(&self) -> usize {
        self.checked.rows.len()
    }

    #[inline]
    fn get(&self, row: usize) -> Result<Option<&str>, BadUtf8> {
        let checked = self.checked;
        let index = row * checked.columns + self.column;
        let cell = checked.rows.cells[index];
        if cell.length & NULL != 0 {
            return Ok(None);
        }
        let range = cell.start as usize..cell.start as usize + (cell.length & LENGTH) as usize;
        let text = if cell.length & ASIDE == 0 {
            checked.text
        } else {
            checked.aside
        };
        match text.and_then(|text| text.get(range)) {
            Some(text) => Ok(Some(text)),
            None => self.check(index),
        }
    }
}

impl ColumnCells<'_> {
    #[cold]
    fn check(&self, index: usize) -> Result<Option<&str>, BadUtf8> {
        let bytes = self
            .checked
            .rows
            .bytes(self.checked.block, index)
            .unwrap_or_default();
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|error| BadUtf8(bytes.get(error.valid_up_to()).copied().unwrap_or(0)))
    }
}
