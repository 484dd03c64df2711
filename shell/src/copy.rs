//! COPY through the client: `COPY … FROM STDIN`, `COPY … TO STDOUT`, and `\copy`, which does the same with a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::lexer::{self, Kind, Token};
use crate::script::Script;
use crate::session::{Failure, Session};

/// Bytes sent in one message.
const CHUNK_BYTES: usize = 256 * 1024;

/// Which way a COPY moves rows over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `FROM STDIN`
    In,
    /// `TO STDOUT`
    Out,
}

/// Where the rows of a `COPY … FROM STDIN` come from.
pub trait DataLines {
    /// The next line with its end, or `None` after the last.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>>;
}

impl<R: BufRead> DataLines for Script<R> {
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.next_data_line()
    }
}

/// All of a reader, in pieces that need not be lines.
struct Pieces<R>(R);

impl<R: BufRead> DataLines for Pieces<R> {
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let piece = self.0.fill_buf()?.to_vec();
        self.0.consume(piece.len());
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// Standard input to its end, for `-c "COPY … FROM STDIN"`.
pub fn standard_input() -> impl DataLines + Send {
    Pieces(BufReader::with_capacity(CHUNK_BYTES, io::stdin()))
}

/// The word FROM or TO that follows the relation of a COPY: the first outside of parentheses.
fn way(sql: &str) -> Option<Token> {
    let mut depth = 0_usize;
    lexer::tokens(sql).find(|token| {
        let text = token.text(sql);
        match text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
            && token.kind == Kind::Word
            && (text.eq_ignore_ascii_case("from") || text.eq_ignore_ascii_case("to"))
    })
}

/// Whether a statement is a COPY over the connection, and which way it goes.
pub fn direction(sql: &str) -> Option<Direction> {
    if lexer::words(sql).next()? != "COPY" {
        return None;
    }
    match lexer::words(&sql[way(sql)?.end..]).next()?.as_str() {
        "STDIN" => Some(Direction::In),
        "STDOUT" => Some(Direction::Out),
        _ => None,
    }
}

/// Sends rows to the server. Ctrl-C stops it; the server then keeps none of the statement's rows.
pub async fn copy_in(
    session: &mut Session,
    sql: &str,
    data: &mut (dyn DataLines + Send),
    progress: Option<&ProgressBar>,
) -> Result<(), Failure> {
    let sink = match session.client.session().copy_in::<_, Bytes>(sql).await {
        Ok(sink) => sink,
        Err(error) => {
            // The rows stand in the script and must not be taken for statements.
            while let Ok(Some(_)) = data.next_line() {}
            return Err(session.report(&error, sql));
        }
    };
    let mut sink = std::pin::pin!(sink);
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let line = match data.next_line() {
            Ok(line) => line,
            Err(error) => return Err(session.fail(&format!("cannot read the rows: {error}"))),
        };
        if let Some(line) = &line {
            chunk.extend_from_slice(line);
        }
        if chunk.len() >= CHUNK_BYTES || (line.is_none() && !chunk.is_empty()) {
            let sent = chunk.len();
            tokio::select! {
                biased;
                _ = &mut interrupted => return Err(session.fail("stopped; nothing was copied")),
                result = sink.send(Bytes::from(std::mem::take(&mut chunk))) => {
                    if let Err(error) = result {
                        return Err(session.report(&error, sql));
                    }
                }
            }
            if let Some(bar) = progress {
                bar.inc(sent as u64);
            }
        }
        if line.is_none() {
            break;
        }
    }
    let finished = tokio::select! {
        biased;
        _ = &mut interrupted => None,
        result = sink.finish() => Some(result),
    };
    match finished {
        Some(Ok(count)) => session.show_tag(sql, count),
        Some(Err(error)) => Err(session.report(&error, sql)),
        None => {
            session.client.cancel();
            Err(session.fail("stopped"))
        }
    }
}

/// Writes rows from the server to where results go, as they come.
pub async fn copy_out(session: &mut Session, sql: &str) -> Result<(), Failure> {
    let rows = match session.client.session().copy_out(sql).await {
        Ok(rows) => rows,
        Err(error) => return Err(session.report(&error, sql)),
    };
    let mut rows = std::pin::pin!(rows);
    let mut stopped = false;
    loop {
        tokio::select! {
            biased;
            notice = session.client.next_notice() => session.show_notice(&notice),
            piece = rows.next() => match piece {
                Some(Ok(bytes)) => {
                    session.write(&bytes)?;
                    // An endless COPY is watched row by row.
                    session.flush()?;
                }
                Some(Err(error)) if stopped && session.interactive => {
                    let lost = session.client.is_closed().then(|| session.report(&error, sql));
                    return lost.map_or(Ok(()), Err);
                }
                Some(Err(error)) => return Err(session.report(&error, sql)),
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => {
                session.client.cancel();
                stopped = true;
            }
        }
    }
}

/// What `\copy` was asked to do.
#[derive(Debug, PartialEq, Eq)]
struct FileCopy {
    direction: Direction,
    path: PathBuf,
    sql: String,
}

/// Reads the arguments of `\copy`: as COPY, with a file name where COPY has STDIN or STDOUT. Without options the file's
/// ending chooses the format.
fn parse(arguments: &str) -> Option<FileCopy> {
    let way = way(arguments)?;
    let direction = if way.text(arguments).eq_ignore_ascii_case("from") {
        Direction::In
    } else {
        Direction::Out
    };
    let rest = arguments[way.end..].trim_start();
    let (path, options) = match lexer::tokens(rest).next()? {
        token if token.kind == Kind::String && token.closed => {
            let text = token.text(rest);
            (
                text.get(1..text.len() - 1)?.replace("''", "'"),
                &rest[token.end..],
            )
        }
        _ => {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (rest[..end].trim_end_matches(';').to_owned(), &rest[end..])
        }
    };
    let relation = arguments[..way.start].trim();
    if path.is_empty() || relation.is_empty() {
        return None;
    }
    let options = options.trim().trim_end_matches(';').trim_end();
    let options = match (options, path.rsplit('.').next()) {
        ("", Some("csv")) => "WITH (FORMAT csv, HEADER)",
        ("", Some("json" | "jsonl" | "ndjson")) => "WITH (FORMAT json)",
        (given, _) => given,
    };
    let channel = if direction == Direction::In {
        "FROM STDIN"
    } else {
        "TO STDOUT"
    };
    let sql = format!("COPY {relation} {channel} {options}")
        .trim_end()
        .to_owned();
    Some(FileCopy {
        direction,
        path: PathBuf::from(path),
        sql,
    })
}

/// Runs `\copy`.
pub async fn copy_file(session: &mut Session, arguments: &str) -> Result<(), Failure> {
    let Some(copy) = parse(arguments) else {
        return Err(session.fail("usage: \\copy RELATION [(columns)] from 'file' [with (format csv, header)], or to 'file'"));
    };
    let named = |error: io::Error| format!("\"{}\": {error}", copy.path.display());
    match copy.direction {
        Direction::In => {
            let file = match File::open(&copy.path) {
                Ok(file) => file,
                Err(error) => return Err(session.fail(&named(error))),
            };
            let bar = progress_bar(file.metadata().map_or(0, |metadata| metadata.len()));
            let mut pieces = Pieces(BufReader::with_capacity(CHUNK_BYTES, file));
            let result = copy_in(session, &copy.sql, &mut pieces, Some(&bar)).await;
            bar.finish_and_clear();
            result
        }
        Direction::Out => {
            let file = match File::create(&copy.path) {
                Ok(file) => file,
                Err(error) => return Err(session.fail(&named(error))),
            };
            let rows = match session.client.session().copy_out(&copy.sql).await {
                Ok(rows) => rows,
                Err(error) => return Err(session.report(&error, &copy.sql)),
            };
            write_file(session, rows, BufWriter::new(file), &copy).await
        }
    }
}

async fn write_file(
    session: &mut Session,
    rows: tokio_postgres::CopyOutStream,
    mut file: BufWriter<File>,
    copy: &FileCopy,
) -> Result<(), Failure> {
    let mut rows = std::pin::pin!(rows);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut count = 0;
    loop {
        let piece = tokio::select! {
            piece = rows.next() => piece,
            _ = &mut interrupted => {
                session.client.cancel();
                rows.next().await
            }
        };
        match piece {
            Some(Ok(bytes)) => {
                count += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                if let Err(error) = file.write_all(&bytes) {
                    session.client.cancel();
                    return Err(session.fail(&format!("\"{}\": {error}", copy.path.display())));
                }
            }
            Some(Err(error)) => return Err(session.report(&error, &copy.sql)),
            None => break,
        }
    }
    if let Err(error) = file.flush() {
        return Err(session.fail(&format!("\"{}\": {error}", copy.path.display())));
    }
    session.write_line(&format!("{count} lines written"))
}

fn progress_bar(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() || bytes < CHUNK_BYTES as u64 {
        return ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new(bytes);
    let template = "{bar:32} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_a_copy() {
        assert_eq!(direction("copy t from stdin"), Some(Direction::In));
        assert_eq!(
            direction("COPY (SELECT * FROM t EMIT CHANGES) TO STDOUT WITH (FORMAT csv)"),
            Some(Direction::Out)
        );
        assert_eq!(direction("copy t from '/tmp/x'"), None);
        assert_eq!(direction("select 'copy t from stdin'"), None);
    }

    #[test]
    fn backslash_copy_becomes_copy() {
        let found = |text| {
            parse(text).map(|copy| (copy.direction, copy.path.display().to_string(), copy.sql))
        };
        assert_eq!(
            found("flights (a, \"from\") from 'my file.csv' with (format csv, header)"),
            Some((
                Direction::In,
                "my file.csv".to_owned(),
                "COPY flights (a, \"from\") FROM STDIN with (format csv, header)".to_owned()
            ))
        );
        assert_eq!(
            found("(select * from t) to /tmp/t.csv;"),
            Some((
                Direction::Out,
                "/tmp/t.csv".to_owned(),
                "COPY (select * from t) TO STDOUT WITH (FORMAT csv, HEADER)".to_owned()
            ))
        );
        assert_eq!(found("flights"), None);
    }
}
