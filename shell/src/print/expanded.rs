//! A line per column: for rows too wide to stand side by side.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use super::{Cell, Heading, Look, Printer};
use crate::style::Style;

/// See the module's text.
pub struct Expanded {
    look: Look,
    names: Vec<String>,
    rows: u64,
}

impl Expanded {
    /// A printer for one result.
    pub fn new(look: Look, heading: Heading) -> Self {
        let width = heading
            .names
            .iter()
            .map(|name| name.width())
            .max()
            .unwrap_or_default();
        let names = heading
            .names
            .iter()
            .map(|name| format!("{name}{}", " ".repeat(width - name.width())))
            .collect();
        Self {
            look,
            names,
            rows: 0,
        }
    }
}

impl Printer for Expanded {
    fn row(&mut self, row: Vec<Cell>, out: &mut dyn Write) -> io::Result<()> {
        self.rows += 1;
        writeln!(
            out,
            "{}",
            self.look
                .paint
                .apply(Style::Faint, &format!("-[ row {} ]-", self.rows))
        )?;
        for (name, cell) in self.names.iter().zip(row) {
            let name = self.look.paint.apply(Style::Strong, name);
            match cell {
                Some(text) => {
                    let indent = format!("\n{} | ", " ".repeat(self.names[0].width()));
                    writeln!(out, "{name} | {}", text.replace('\n', &indent))?;
                }
                None => writeln!(
                    out,
                    "{name} | {}",
                    self.look.paint.apply(Style::Faint, "NULL")
                )?,
            }
        }
        Ok(())
    }

    fn pause(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.flush()
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        row_count(self.rows, self.look, out)
    }
}

/// The line under a result.
pub fn row_count(rows: u64, look: Look, out: &mut dyn Write) -> io::Result<()> {
    if look.quiet {
        return Ok(());
    }
    let text = format!("({rows} row{})", if rows == 1 { "" } else { "s" });
    writeln!(out, "{}", look.paint.apply(Style::Faint, &text))
}
