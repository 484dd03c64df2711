//! Runs a script against an engine and compares.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use engine::error::{Error, StatementErrorKind};
use engine::response::Response;
use engine::{Engine, EngineConfig, Session, SessionParameters};
use futures::TryStreamExt;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::compare::Answer;
use crate::script::{Script, Step};

/// No statement takes this long unless it hangs.
const STATEMENT_MAX: Duration = Duration::from_secs(100);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new().expect("threads can be started"));

/// How and where a script failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Position of the step.
    pub step: usize,
    /// The kind of failure: what stays the same when the script gets smaller.
    pub signature: String,
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.signature, self.message)
    }
}

/// What scripts have exercised, to see that a quiet test is not an empty one.
#[derive(Debug, Default)]
pub struct Statistics {
    pub cases: usize,
    pub statements: usize,
    pub views: usize,
    pub comparisons: usize,
    pub rows: usize,
    /// Statements that were refused, by the refusal.
    pub refused: BTreeMap<String, usize>,
}

impl Statistics {
    pub fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.statements += other.statements;
        self.views += other.views;
        self.comparisons += other.comparisons;
        self.rows += other.rows;
        for (reason, count) in &other.refused {
            *self.refused.entry(reason.clone()).or_default() += count;
        }
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} cases, {} statements, {} views, {} comparisons of {} rows",
            self.cases, self.statements, self.views, self.comparisons, self.rows
        )?;
        for (reason, count) in &self.refused {
            writeln!(f, "  refused {count} times: {reason}")?;
        }
        Ok(())
    }
}

/// Runs a script to its end or its first failure.
pub fn run(script: &Script) -> Result<Statistics, Failure> {
    let mut step = 0;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut runner = Runner::open(script)?;
        for (index, next) in script.steps.iter().enumerate() {
            step = index;
            if std::env::var_os("MILLPOND_ORACLE_TRACE").is_some() {
                println!("{next}");
            }
            runner.step(next)?;
        }
        runner.stop()?;
        Ok(runner.statistics)
    }));
    match result {
        Ok(result) => result.map_err(|wrong: Wrong| Failure {
            step,
            signature: wrong.signature,
            message: wrong.message,
        }),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default();
            Err(Failure {
                step,
                signature: signature("panic", &message),
                message,
            })
        }
    }
}

struct Wrong {
    signature: String,
    message: String,
}

impl Wrong {
    fn new(signature: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            signature: signature.into(),
            message: message.into(),
        }
    }

    fn error(statement: &str, error: &Error) -> Self {
        let text = explain(error);
        Self::new(
            signature("error", &text),
            format!("{text}\n  in {statement}"),
        )
    }
}

fn explain(error: &Error) -> String {
    match error {
        Error::Statement(inner) => format!(
            "{}{}",
            inner.message,
            inner
                .detail
                .as_ref()
                .map_or_else(String::new, |detail| format!(" ({detail})"))
        ),
        other => other.to_string(),
    }
}

/// Letters of a message, so that numbers and names do not tell failures apart.
fn signature(kind: &str, message: &str) -> String {
    let letters: String = message
        .chars()
        .map(|c| if c.is_alphabetic() { c } else { ' ' })
        .collect();
    let words: Vec<&str> = letters
        .split_whitespace()
        .filter(|word| word.len() > 2)
        .take(8)
        .collect();
    format!("{kind}: {}", words.join(" "))
}

/// What a view is to hold.
struct View {
    query: String,
    paused: bool,
    /// Filled by `INSERT INTO … SELECT`, so that its rows come in epochs of their own.
    fed: bool,
}

struct Runner {
    dir: TempDir,
    workers: usize,
    checkpoint: Duration,
    state_memory: Option<usize>,
    engine: Arc<Engine>,
    session: Session,
    views: BTreeMap<String, View>,
    bases: Vec<String>,
    statistics: Statistics,
}

impl Runner {
    fn open(script: &Script) -> Result<Self, Wrong> {
        let dir = TempDir::new().expect("a directory for the data");
        let checkpoint = Duration::from_millis(script.checkpoint_ms);
        let engine = open(dir.path(), script.workers, checkpoint, script.state_memory)?;
        let session = engine.session(SessionParameters::default());
        Ok(Self {
            dir,
            workers: script.workers,
            checkpoint,
            state_memory: script.state_memory,
            engine,
            session,
            views: BTreeMap::new(),
            bases: Vec::new(),
            statistics: Statistics {
                cases: 1,
                ..Statistics::default()
            },
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), Wrong> {
        match step {
            Step::Sql(text) => self.sql(text),
            Step::Check => self.check(),
            Step::Restart { workers } => {
                self.workers = *workers;
                let before = self.bases()?;
                self.restart()?;
                self.compare_bases(&before, "restart")
            }
            Step::Crash { workers } => {
                self.workers = *workers;
                let before = self.bases()?;
                self.crash()?;
                self.compare_bases(&before, "crash")
            }
            Step::Pause(view) => self.pause(view, true),
            Step::Resume(view) => self.pause(view, false),
        }
    }

    /// Runs a statement. Refusals are counted; other errors are failures.
    fn sql(&mut self, text: &str) -> Result<(), Wrong> {
        self.statistics.statements += 1;
        match execute(&mut self.session, text) {
            Ok(_) => {
                self.note(text);
                Ok(())
            }
            Err(Refusal::Wrong(wrong)) => Err(wrong),
            Err(Refusal::Error(error)) if is_refusal(&error) => {
                let reason = signature("", &explain(&error));
                *self.statistics.refused.entry(reason).or_default() += 1;
                Ok(())
            }
            Err(Refusal::Error(error)) => Err(Wrong::error(text, &error)),
        }
    }

    /// Keeps in mind what a statement has defined.
    fn note(&mut self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let view = |query: &str, fed| View {
            query: query.to_owned(),
            paused: false,
            fed,
        };
        match words.as_slice() {
            ["CREATE", rest @ ..] if text.contains(" AS ") => {
                let name = rest
                    .iter()
                    .position(|word| *word == "AS")
                    .map(|position| rest[position - 1])
                    .expect("AS was found");
                let (_, query) = text.split_once(" AS ").expect("AS was found");
                self.views.insert(name.to_owned(), view(query, false));
                self.statistics.views += 1;
            }
            ["CREATE", _, name, ..] => self.bases.push((*name).to_owned()),
            ["DROP", .., name] => drop(self.views.remove(*name)),
            ["INSERT", "INTO", name, "SELECT", ..] if name.starts_with("fed") => {
                let (_, query) = text.split_at(text.find("SELECT").expect("it is there"));
                self.views.insert((*name).to_owned(), view(query, true));
            }
            _ => {}
        }
    }

    fn check(&mut self) -> Result<(), Wrong> {
        if self.views.values().any(|view| view.fed) {
            rows(&mut self.session, "FLUSH").map_err(|refusal| refusal.into_wrong("FLUSH"))?;
        }
        let names: Vec<String> = self.views.keys().cloned().collect();
        for name in names {
            let view = &self.views[&name];
            if view.paused {
                continue;
            }
            let (query, fed) = (view.query.clone(), view.fed);
            let select = format!("SELECT * FROM {name}");
            let is = match rows(&mut self.session, &select) {
                Ok(answer) => answer,
                Err(refusal) => {
                    let mut wrong = refusal.into_wrong(&select);
                    wrong.message.push_str(&format!("\n  which is {query}"));
                    return Err(wrong);
                }
            };
            let ought = match rows(&mut self.session, &query) {
                Ok(answer) => answer,
                // The batch query's own limits say nothing of the view.
                Err(Refusal::Error(error)) => {
                    let reason = signature("batch", &explain(&error));
                    *self.statistics.refused.entry(reason).or_default() += 1;
                    continue;
                }
                Err(Refusal::Wrong(wrong)) => return Err(wrong),
            };
            self.statistics.comparisons += 1;
            self.statistics.rows += ought.len();
            let difference = match fed {
                true => is.difference_of_rows(&ought),
                false => is.difference(&ought),
            };
            if let Some(difference) = difference {
                let kind = if difference.starts_with("types") {
                    "types"
                } else {
                    "mismatch"
                };
                return Err(Wrong::new(
                    kind,
                    format!("{name} has {difference}  it is {query}"),
                ));
            }
        }
        Ok(())
    }

    fn pause(&mut self, name: &str, pause: bool) -> Result<(), Wrong> {
        let catalog = self.engine.catalog();
        let query = catalog
            .relation_by_name(name)
            .and_then(|relation| relation.written_by.clone());
        let (Some(query), Some(view)) = (query, self.views.get_mut(name)) else {
            return Ok(());
        };
        view.paused = pause;
        // Only a query that has caught up can be paused.
        self.sql("FLUSH")?;
        self.sql(&format!(
            "{} {query}",
            if pause { "PAUSE" } else { "RESUME" }
        ))
    }

    fn stop(&mut self) -> Result<(), Wrong> {
        shutdown(&self.engine)
    }

    fn restart(&mut self) -> Result<(), Wrong> {
        self.stop()?;
        let copy = self.copy();
        self.reopen(copy)
    }

    /// Goes on with what is on disk at this moment, as after a power failure of a disk that loses
    /// nothing.
    fn crash(&mut self) -> Result<(), Wrong> {
        let copy = self.copy();
        self.stop()?;
        self.reopen(copy)
    }

    /// A copy of all data. An engine gives its files up with its last thread, and to wait for that
    /// would be to test the test: what comes after opens a copy.
    fn copy(&self) -> TempDir {
        let copy = TempDir::new().expect("a directory for the data");
        // The state first: a checkpoint may not be newer than the log.
        for part in ["state", "log"] {
            copy_dir(&self.dir.path().join(part), &copy.path().join(part));
        }
        copy
    }

    fn reopen(&mut self, dir: TempDir) -> Result<(), Wrong> {
        self.engine = open(dir.path(), self.workers, self.checkpoint, self.state_memory)?;
        self.session = self.engine.session(SessionParameters::default());
        self.dir = dir;
        Ok(())
    }

    fn bases(&mut self) -> Result<BTreeMap<String, Answer>, Wrong> {
        // A transaction that is open is lost with its session.
        if self.session.transaction_status() != engine::response::TransactionStatus::Idle {
            rows(&mut self.session, "ROLLBACK")
                .map_err(|refusal| refusal.into_wrong("ROLLBACK"))?;
        }
        if self.views.values().any(|view| view.fed) {
            rows(&mut self.session, "FLUSH").map_err(|refusal| refusal.into_wrong("FLUSH"))?;
        }
        let mut answers = BTreeMap::new();
        for name in &self.bases {
            let select = format!("SELECT * FROM {name}");
            let answer =
                rows(&mut self.session, &select).map_err(|refusal| refusal.into_wrong(&select))?;
            answers.insert(name.clone(), answer);
        }
        Ok(answers)
    }

    fn compare_bases(
        &mut self,
        before: &BTreeMap<String, Answer>,
        event: &str,
    ) -> Result<(), Wrong> {
        let after = self.bases()?;
        for (name, after) in &after {
            if let Some(difference) = after.difference(&before[name]) {
                return Err(Wrong::new(
                    "lost",
                    format!("after a {event}, {name} has {difference}"),
                ));
            }
        }
        Ok(())
    }
}

fn open(
    dir: &Path,
    workers: usize,
    checkpoint_interval: Duration,
    state_memory: Option<usize>,
) -> Result<Arc<Engine>, Wrong> {
    let config = EngineConfig {
        data_dir: dir.to_owned(),
        sync: false,
        workers,
        checkpoint_interval,
        state_memory,
        ..EngineConfig::default()
    };
    Engine::open(config).map_err(|error| Wrong::error("opening", &error))
}

fn shutdown(engine: &Arc<Engine>) -> Result<(), Wrong> {
    let engine = engine.clone();
    match RUNTIME.block_on(async { tokio::time::timeout(STATEMENT_MAX, engine.shutdown()).await }) {
        Ok(result) => result.map_err(|error| Wrong::error("shutting down", &error)),
        Err(_) => Err(Wrong::new("hang: shutdown", "shutdown hangs")),
    }
}

enum Refusal {
    Error(Error),
    Wrong(Wrong),
}

impl Refusal {
    fn into_wrong(self, statement: &str) -> Wrong {
        match self {
            Self::Error(error) => Wrong::error(statement, &error),
            Self::Wrong(wrong) => wrong,
        }
    }
}

fn rows(session: &mut Session, text: &str) -> Result<Answer, Refusal> {
    let answer = execute(session, text)?;
    Ok(answer.unwrap_or_else(|| Answer::new(&Arc::new(arrow_schema::Schema::empty()), &[])))
}

/// Runs a statement and takes all of its rows.
fn execute(session: &mut Session, text: &str) -> Result<Option<Answer>, Refusal> {
    let work = async {
        let mut answer = None;
        for statement in session.parse(text)? {
            if let Response::Rows(rows) = session.execute(&statement, &[]).await? {
                let batches: Vec<_> = rows.batches.try_collect().await?;
                answer = Some(Answer::new(&rows.columns, &batches));
            }
        }
        Ok(answer)
    };
    match RUNTIME.block_on(async { tokio::time::timeout(STATEMENT_MAX, work).await }) {
        Ok(result) => result.map_err(Refusal::Error),
        Err(_) => Err(Refusal::Wrong(Wrong::new(
            "hang",
            format!("no answer in {} s to {text}", STATEMENT_MAX.as_secs()),
        ))),
    }
}

/// Whether a statement was turned down as it may be: what cannot be maintained, and what follows from
/// statements that were turned down before or taken out by shrinking.
fn is_refusal(error: &Error) -> bool {
    use StatementErrorKind as Kind;
    match error {
        Error::Statement(error) => matches!(
            error.kind,
            Kind::Unsupported
                | Kind::UndefinedRelation
                | Kind::DependentObjects
                | Kind::DuplicateRelation
                | Kind::InvalidDefinition
                // `SUM(a), SUM(CAST(a AS BIGINT))` have one name once types are coerced.
                | Kind::DuplicateColumn
                | Kind::ObjectNotInPrerequisiteState
                | Kind::InFailedTransaction
        ),
        _ => false,
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory can be made");
    let Ok(entries) = std::fs::read_dir(from) else {
        return;
    };
    for entry in entries.flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            // A file may be gone that was there a moment ago.
            let _ = std::fs::copy(entry.path(), target);
        }
    }
}
