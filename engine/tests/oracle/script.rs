//! A case, written down: one step a line, what is not SQL behind a backslash.
//!
//! ```text
//! \open 2 15          workers, milliseconds between checkpoints
//! \memory 1000        bytes of state from which on rows leave memory
//! CREATE TABLE t0 (a INT, b TEXT)
//! CREATE MATERIALIZED VIEW v0 AS SELECT …
//! \check              every view equals the batch answer
//! \restart 3          shut down, open again with so many workers
//! \crash 1            open what is on disk now, without a shutdown
//! \pause v0
//! \resume v0
//! ```

use std::fmt;
use std::str::FromStr;

/// What is done to an engine, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub workers: usize,
    pub checkpoint_ms: u64,
    pub state_memory: Option<usize>,
    pub steps: Vec<Step>,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Sql(String),
    Check,
    Restart { workers: usize },
    Crash { workers: usize },
    Pause(String),
    Resume(String),
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\\open {} {}", self.workers, self.checkpoint_ms)?;
        if let Some(bytes) = self.state_memory {
            writeln!(f, "\\memory {bytes}")?;
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Sql(text) => write!(f, "{text}"),
            Step::Check => write!(f, "\\check"),
            Step::Restart { workers } => write!(f, "\\restart {workers}"),
            Step::Crash { workers } => write!(f, "\\crash {workers}"),
            Step::Pause(view) => write!(f, "\\pause {view}"),
            Step::Resume(view) => write!(f, "\\resume {view}"),
        }
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut script = Self {
            workers: 1,
            checkpoint_ms: 3_600_000,
            state_memory: None,
            steps: Vec::new(),
        };
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with("--") {
                continue;
            }
            let Some(command) = line.strip_prefix('\\') else {
                script
                    .steps
                    .push(Step::Sql(line.trim_end_matches(';').to_owned()));
                continue;
            };
            let words: Vec<&str> = command.split_whitespace().collect();
            let number = |word: &str| {
                word.parse::<u64>()
                    .map_err(|_| format!("not a number: {line}"))
            };
            let step = match words.as_slice() {
                ["open", workers, ms] => {
                    script.workers = number(workers)? as usize;
                    script.checkpoint_ms = number(ms)?;
                    continue;
                }
                ["memory", bytes] => {
                    script.state_memory = Some(number(bytes)? as usize);
                    continue;
                }
                ["check"] => Step::Check,
                ["restart", workers] => Step::Restart {
                    workers: number(workers)? as usize,
                },
                ["crash", workers] => Step::Crash {
                    workers: number(workers)? as usize,
                },
                ["pause", view] => Step::Pause((*view).to_owned()),
                ["resume", view] => Step::Resume((*view).to_owned()),
                _ => return Err(format!("not a step: {line}")),
            };
            script.steps.push(step);
        }
        Ok(script)
    }
}

#[test]
fn a_script_is_read_as_it_was_written() {
    for seed in 0..20 {
        let script = crate::generate::script(seed);
        assert_eq!(script.to_string().parse::<Script>().unwrap(), script);
    }
}
