//! Makes a failing script small: takes out steps, then rows of inserts, while it fails in the same way.

use std::time::{Duration, Instant};

use crate::run::{Failure, run};
use crate::script::{Script, Step};

/// The smallest script found in the time, and how it fails.
pub fn shrink(script: &Script, failure: &Failure, time: Duration) -> (Script, Failure) {
    let deadline = Instant::now() + time;
    let mut best = (script.clone(), failure.clone());
    best.0.steps.truncate(failure.step + 1);
    if best
        .0
        .steps
        .last()
        .is_some_and(|step| matches!(step, Step::Restart { .. } | Step::Crash { .. }))
    {
        // What fails after it must still be asked for.
        best.0.steps.push(Step::Check);
    }
    let mut size = best.0.steps.len() / 2;
    while size > 0 && Instant::now() < deadline {
        let mut start = 0;
        let mut taken = false;
        while start < best.0.steps.len() && Instant::now() < deadline {
            let mut candidate = best.0.clone();
            let end = (start + size).min(candidate.steps.len());
            candidate.steps.drain(start..end);
            match fails_alike(candidate, &best.1) {
                Some(smaller) => {
                    best = smaller;
                    taken = true;
                }
                None => start += size,
            }
        }
        if !taken || size > 1 {
            size /= 2;
        }
    }
    let mut index = 0;
    while index < best.0.steps.len() {
        let mut row = 0;
        while let Some(steps) = without_row(&best.0.steps, index, row) {
            if Instant::now() > deadline {
                return best;
            }
            let candidate = Script {
                steps,
                ..best.0.clone()
            };
            match fails_alike(candidate, &best.1) {
                Some(smaller) => best = smaller,
                None => row += 1,
            }
        }
        index += 1;
    }
    best
}

fn fails_alike(mut candidate: Script, failure: &Failure) -> Option<(Script, Failure)> {
    let found = run(&candidate).err()?;
    if found.signature != failure.signature {
        return None;
    }
    candidate.steps.truncate(found.step + 1);
    Some((candidate, found))
}

/// The steps with a row less in an `INSERT … VALUES` of several; `None` if there is no such row.
fn without_row(steps: &[Step], index: usize, row: usize) -> Option<Vec<Step>> {
    let Step::Sql(text) = &steps[index] else {
        return None;
    };
    let (head, rows) = text.strip_suffix(')')?.split_once(" VALUES (")?;
    let mut rows: Vec<&str> = rows.split("), (").collect();
    if rows.len() < 2 || row >= rows.len() {
        return None;
    }
    rows.remove(row);
    let mut steps = steps.to_vec();
    steps[index] = Step::Sql(format!("{head} VALUES ({})", rows.join("), (")));
    Some(steps)
}
