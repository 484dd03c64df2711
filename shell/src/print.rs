//! Rows to text. A printer sees the columns, then row by row, then the end; it decides itself when to write, and writes
//! all it has when told that the next row is not there yet.

use std::io::{self, IsTerminal as _, Write};

use tokio_postgres::SimpleQueryRow;
use tokio_postgres::types::Type;

use crate::cli::Format;
use crate::style::Paint;

mod expanded;
mod json;
mod separated;
mod table;

/// A value as the server's text, `None` for NULL.
pub type Cell = Option<String>;

/// How and where results appear.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The format.
    pub format: Format,
    /// Columns of the terminal; `None` where the output is not one, and nothing is shortened or coloured.
    pub terminal_width: Option<usize>,
    /// Colours.
    pub paint: Paint,
    /// Results only.
    pub quiet: bool,
}

/// What the server says about a result before its rows.
#[derive(Clone, Debug, Default)]
pub struct Heading {
    /// The columns' names.
    pub names: Vec<String>,
    /// Their types, where they are known.
    pub types: Vec<Type>,
    /// The result never ends by itself, so rows are shown as they come.
    pub endless: bool,
}

/// Writes one result.
pub trait Printer {
    /// A row.
    fn row(&mut self, row: Vec<Cell>, out: &mut dyn Write) -> io::Result<()>;
    /// No further row is there at the moment. A finite result may go on gathering.
    fn pause(&mut self, out: &mut dyn Write) -> io::Result<()>;
    /// The result is complete, or was stopped.
    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// The printer for a result.
pub fn printer(look: Look, heading: Heading) -> Box<dyn Printer + Send> {
    match look.format {
        Format::Table => Box::new(table::Table::new(look, heading)),
        Format::Expanded => Box::new(expanded::Expanded::new(look, heading)),
        Format::Csv => Box::new(separated::Separated::csv(heading)),
        Format::Tsv => Box::new(separated::Separated::tsv(heading)),
        Format::Markdown => Box::new(separated::Separated::markdown(heading)),
        Format::Json => Box::new(json::Json::new(heading)),
    }
}

/// The cells of a row as they came from the server.
pub fn cells(row: &SimpleQueryRow) -> Vec<Cell> {
    (0..row.len())
        .map(|column| row.get(column).map(str::to_owned))
        .collect()
}

/// Columns of the terminal behind standard output, if it is one.
pub fn terminal_width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    // comfy-table asks the terminal; a table that has never been told a width knows it.
    let width = comfy_table::Table::new()
        .set_content_arrangement(comfy_table::ContentArrangement::Dynamic)
        .width();
    Some(width.map_or(80, usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, endless: bool, expected: &str) {
        let look = Look {
            format,
            terminal_width: None,
            paint: Paint(false),
            quiet: false,
        };
        let heading = Heading {
            names: vec!["origin".to_owned(), "delay, min".to_owned()],
            types: vec![Type::TEXT, Type::INT4],
            endless,
        };
        let mut printer = printer(look, heading);
        let mut out = Vec::new();
        let rows = [[Some("EWR"), Some("-2")], [Some("J|F,K\n\"x\""), None]];
        for row in rows {
            printer
                .row(
                    row.iter().map(|cell| cell.map(str::to_owned)).collect(),
                    &mut out,
                )
                .expect("memory");
            printer.pause(&mut out).expect("memory");
        }
        printer.finish(&mut out).expect("memory");
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        check(
            Format::Csv,
            false,
            "origin,\"delay, min\"\nEWR,-2\n\"J|F,K\n\"\"x\"\"\",\n",
        );
    }

    #[test]
    fn tsv_is_copy_text() {
        check(
            Format::Tsv,
            false,
            "origin\tdelay, min\nEWR\t-2\nJ|F,K\\n\"x\"\t\\N\n",
        );
    }

    #[test]
    fn json_keeps_numbers() {
        let expected = "{\"origin\":\"EWR\",\"delay, min\":-2}\n{\"origin\":\"J|F,K\\n\\\"x\\\"\",\"delay, min\":null}\n";
        check(Format::Json, false, expected);
    }

    #[test]
    fn markdown_escapes_bars() {
        let expected =
            "| origin | delay, min |\n| --- | --- |\n| EWR | -2 |\n| J\\|F,K<br>\"x\" | NULL |\n";
        check(Format::Markdown, false, expected);
    }

    #[test]
    fn a_finite_table_is_aligned() {
        let expected = " origin | delay, min \n--------+------------\n EWR    |         -2 \n J|F,K  |       NULL \n \"x\"    |            \n(2 rows)\n";
        check(Format::Table, false, expected);
    }

    #[test]
    fn an_endless_table_widens_as_it_goes() {
        let expected = " origin | delay, min\n--------+-----------\n EWR    |         -2\n J|F,K↵\"x\" |       NULL\n(2 rows)\n";
        check(Format::Table, true, expected);
    }

    #[test]
    fn expanded_shows_a_line_per_column() {
        let expected = "-[ row 1 ]-\norigin     | EWR\ndelay, min | -2\n-[ row 2 ]-\norigin     | J|F,K\n           | \"x\"\ndelay, min | NULL\n(2 rows)\n";
        check(Format::Expanded, false, expected);
    }
}
