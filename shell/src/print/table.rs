//! Aligned columns. A finite result is gathered and laid out as a whole; an endless or very long one is written with the
//! widths of its first rows, and a column grows when a wider value comes.

use std::io::{self, Write};

use comfy_table::{
    Attribute, Cell as TableCell, CellAlignment, ContentArrangement, TableComponent, presets,
};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{Cell, Heading, Look, Printer};
use crate::style::Style;

/// Rows gathered before a finite result is written like an endless one: beyond this nobody reads all of it, and memory
/// must not grow with the result.
const GATHERED_ROWS_MAX: usize = 2_000;
/// Widest a column of an endless result gets on a terminal; longer values end in `…`.
const LIVE_WIDTH_MAX: usize = 48;

/// See the module's text.
pub struct Table {
    look: Look,
    heading: Heading,
    gathered: Vec<Vec<Cell>>,
    /// Column widths, once rows are written as they come.
    widths: Option<Vec<usize>>,
    /// Which columns stand to the right.
    numeric: Vec<bool>,
    rows: u64,
}

impl Table {
    /// A printer for one result.
    pub fn new(look: Look, heading: Heading) -> Self {
        Self {
            look,
            heading,
            gathered: Vec::new(),
            widths: None,
            numeric: Vec::new(),
            rows: 0,
        }
    }

    /// A column of numbers stands to the right. The types decide, or where they are not known the values.
    fn find_numeric(&mut self) {
        let is_number = |text: &str| {
            text.parse::<f64>().is_ok() && !text.starts_with(|c: char| c.is_alphabetic())
        };
        self.numeric = (0..self.heading.names.len())
            .map(|column| match self.heading.types.get(column) {
                Some(kind) => super::json::is_number(kind),
                None => {
                    let mut values = self
                        .gathered
                        .iter()
                        .filter_map(|row| row.get(column)?.as_deref())
                        .peekable();
                    values.peek().is_some() && values.all(is_number)
                }
            })
            .collect();
    }

    /// Writes what has been gathered, and from now on every row at once.
    fn go_live(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.find_numeric();
        let mut widths: Vec<usize> = self
            .heading
            .names
            .iter()
            .map(|name| name.width().max(4))
            .collect();
        for row in &self.gathered {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(self.one_line(cell.as_deref()).width());
            }
        }
        let names: Vec<Cell> = self.heading.names.iter().cloned().map(Some).collect();
        let line = self.line(&names, &mut widths);
        writeln!(out, "{}", self.look.paint.apply(Style::Strong, &line))?;
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        writeln!(
            out,
            "{}",
            self.look
                .paint
                .apply(Style::Faint, &format!("-{}", rule.join("-+-")))
        )?;
        for row in std::mem::take(&mut self.gathered) {
            let line = self.line(&row, &mut widths);
            writeln!(out, "{line}")?;
        }
        self.widths = Some(widths);
        out.flush()
    }

    fn line(&self, row: &[Cell], widths: &mut [usize]) -> String {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let text = self.one_line(cell.as_deref());
            let Some(width) = widths.get_mut(column) else {
                continue;
            };
            *width = (*width).max(text.width());
            let blanks = " ".repeat(*width - text.width());
            line.push_str(if column == 0 { " " } else { " | " });
            let numeric = self.numeric.get(column).copied().unwrap_or_default();
            let last = column + 1 == row.len();
            let text = if cell.is_none() {
                self.look.paint.apply(Style::Faint, &text)
            } else {
                text
            };
            match (numeric, last) {
                (true, _) => line.extend([blanks.as_str(), &text]),
                (false, true) => line.push_str(&text),
                (false, false) => line.extend([&text, blanks.as_str()]),
            }
        }
        line
    }

    fn one_line(&self, cell: Option<&str>) -> String {
        let text = cell
            .unwrap_or("NULL")
            .replace("\r\n", "↵")
            .replace('\n', "↵")
            .replace('\t', " ");
        if self.look.terminal_width.is_none() || text.width() <= LIVE_WIDTH_MAX {
            return text;
        }
        let mut cut = String::new();
        let mut width = 0;
        for c in text.chars() {
            width += c.width().unwrap_or_default();
            if width >= LIVE_WIDTH_MAX {
                break;
            }
            cut.push(c);
        }
        cut.push('…');
        cut
    }

    fn draw(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.find_numeric();
        let mut table = comfy_table::Table::new();
        match self.look.terminal_width {
            Some(width) => {
                table
                    .load_preset(presets::UTF8_FULL_CONDENSED)
                    .apply_modifier(comfy_table::modifiers::UTF8_ROUND_CORNERS);
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
            }
            None => {
                table.load_preset(presets::NOTHING);
                table
                    .set_style(TableComponent::VerticalLines, '|')
                    .set_style(TableComponent::HeaderLines, '-');
                table
                    .set_style(TableComponent::MiddleHeaderIntersections, '+')
                    .force_no_tty();
            }
        }
        if self.look.paint.0 {
            table.enforce_styling();
        }
        let bold = |cell: TableCell| {
            if self.look.paint.0 {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        };
        table.set_header(
            self.heading
                .names
                .iter()
                .map(|name| bold(TableCell::new(name))),
        );
        for row in self.gathered.drain(..) {
            table.add_row(row.into_iter().enumerate().map(|(column, cell)| {
                let mut drawn = TableCell::new(cell.as_deref().unwrap_or("NULL"));
                if self.numeric.get(column) == Some(&true) {
                    drawn = drawn.set_alignment(CellAlignment::Right);
                }
                if cell.is_none() && self.look.paint.0 {
                    drawn = drawn.add_attribute(Attribute::Dim);
                }
                drawn
            }));
        }
        writeln!(out, "{table}")
    }
}

impl Printer for Table {
    fn row(&mut self, row: Vec<Cell>, out: &mut dyn Write) -> io::Result<()> {
        self.rows += 1;
        match self.widths.take() {
            Some(mut widths) => {
                let line = self.line(&row, &mut widths);
                self.widths = Some(widths);
                writeln!(out, "{line}")
            }
            None => {
                self.gathered.push(row);
                if self.gathered.len() >= GATHERED_ROWS_MAX {
                    self.go_live(out)
                } else {
                    Ok(())
                }
            }
        }
    }

    fn pause(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.widths.is_some() {
            out.flush()
        } else if self.heading.endless && !self.gathered.is_empty() {
            self.go_live(out)
        } else {
            Ok(())
        }
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.widths.is_none() && !self.heading.names.is_empty() {
            self.draw(out)?;
        }
        super::expanded::row_count(self.rows, self.look, out)
    }
}
