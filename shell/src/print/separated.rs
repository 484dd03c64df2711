//! Formats with a separator between values: CSV, PostgreSQL's COPY text, and Markdown.

use std::io::{self, Write};

use super::{Cell, Heading, Printer};

/// How a value and a line are written.
#[derive(Clone, Copy)]
struct Syntax {
    start: &'static str,
    separator: &'static str,
    end: &'static str,
    value: fn(Option<&str>) -> String,
    /// Written under the header once per column.
    rule: Option<&'static str>,
}

/// Writes every row at once.
pub struct Separated {
    syntax: Syntax,
    names: Option<Vec<String>>,
}

impl Separated {
    /// Comma-separated values, RFC 4180.
    pub fn csv(heading: Heading) -> Self {
        Self::new(
            Syntax {
                start: "",
                separator: ",",
                end: "",
                value: csv_value,
                rule: None,
            },
            heading,
        )
    }

    /// PostgreSQL's COPY text.
    pub fn tsv(heading: Heading) -> Self {
        Self::new(
            Syntax {
                start: "",
                separator: "\t",
                end: "",
                value: copy_text_value,
                rule: None,
            },
            heading,
        )
    }

    /// A Markdown table.
    pub fn markdown(heading: Heading) -> Self {
        let syntax = Syntax {
            start: "| ",
            separator: " | ",
            end: " |",
            value: markdown_value,
            rule: Some("---"),
        };
        Self::new(syntax, heading)
    }

    fn new(syntax: Syntax, heading: Heading) -> Self {
        Self {
            syntax,
            names: Some(heading.names),
        }
    }

    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some(names) = self.names.take().filter(|names| !names.is_empty()) else {
            return Ok(());
        };
        self.line(
            names.iter().map(|name| (self.syntax.value)(Some(name))),
            out,
        )?;
        match self.syntax.rule {
            Some(rule) => self.line(names.iter().map(|_| rule.to_owned()), out),
            None => Ok(()),
        }
    }

    fn line(&self, values: impl Iterator<Item = String>, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.syntax.start.as_bytes())?;
        for (column, value) in values.enumerate() {
            if column > 0 {
                out.write_all(self.syntax.separator.as_bytes())?;
            }
            out.write_all(value.as_bytes())?;
        }
        writeln!(out, "{}", self.syntax.end)
    }
}

impl Printer for Separated {
    fn row(&mut self, row: Vec<Cell>, out: &mut dyn Write) -> io::Result<()> {
        self.header(out)?;
        self.line(
            row.iter().map(|cell| (self.syntax.value)(cell.as_deref())),
            out,
        )
    }

    fn pause(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.flush()
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.header(out)
    }
}

/// An empty string is quoted, so that it is not NULL.
fn csv_value(value: Option<&str>) -> String {
    match value {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.to_owned(),
    }
}

fn copy_text_value(value: Option<&str>) -> String {
    value.map_or_else(
        || "\\N".to_owned(),
        |text| {
            text.replace('\\', "\\\\")
                .replace('\t', "\\t")
                .replace('\n', "\\n")
                .replace('\r', "\\r")
        },
    )
}

fn markdown_value(value: Option<&str>) -> String {
    value
        .unwrap_or("NULL")
        .replace('|', "\\|")
        .replace('\n', "<br>")
}
