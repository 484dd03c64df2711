//! The oracle: whatever happens to its inputs, a view equals the batch answer of its query.
//!
//! ```text
//!  seed ─generate─► script ─run─► engine: SELECT * FROM view  =  the view's own SELECT, as a pull query
//!                     ▲                     │ differs
//!                     └──────── shrink ◄────┘
//! ```
//!
//! A script is a list of statements and of things that happen to an engine: restarts, crashes, pauses.
//! All chance lies in its making, so a script can be run again, and statements can be taken out of it
//! while it still fails.
//!
//! | variable                    | meaning                                                       |
//! |-----------------------------|---------------------------------------------------------------|
//! | `MILLPOND_ORACLE_SEED=n`    | run this one case, as a failure has printed it                |
//! | `MILLPOND_ORACLE_SECONDS=n` | look for failures this long, among cases never seen before    |
//! |                             | (default: 60, among the same cases each time)                 |
//! | `MILLPOND_ORACLE_SCRIPT=f`  | run the script in this file, in the form that failures print  |
//! | `MILLPOND_ORACLE_SHRINK=n`  | spend this many seconds on shrinking (default 60)             |
//! | `MILLPOND_ORACLE_ALL=1`     | go on after a failure and report all                          |

mod compare;
mod generate;
mod query;
mod run;
mod script;
mod shrink;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use run::{Failure, Statistics};
use script::Script;

#[test]
fn views_equal_batch_answers() {
    if let Ok(path) = std::env::var("MILLPOND_ORACLE_SCRIPT") {
        let text = std::fs::read_to_string(&path).expect("the script can be read");
        let script: Script = text.parse().expect("a script");
        report(&script, None, run::run(&script).map(drop));
        return;
    }
    if let Some(seed) = number("MILLPOND_ORACLE_SEED") {
        let script = generate::script(seed);
        report(&script, Some(seed), run::run(&script).map(drop));
        return;
    }
    let deadline = Instant::now() + seconds("MILLPOND_ORACLE_SECONDS", 60);
    let go_on = std::env::var_os("MILLPOND_ORACLE_ALL").is_some();
    let mut seed = match number("MILLPOND_ORACLE_SECONDS") {
        Some(_) => fresh_seed(),
        None => 1,
    };
    let mut totals = Statistics::default();
    let mut failures: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while Instant::now() < deadline {
        let script = generate::script(seed);
        match run::run(&script) {
            Ok(statistics) => totals.add(&statistics),
            Err(failure) if go_on => {
                let seeds = failures.entry(failure.signature.clone()).or_default();
                seeds.push(seed);
                if seeds.len() == 1 {
                    println!("{}", describe(&script, Some(seed), &failure));
                }
            }
            Err(failure) => report(&script, Some(seed), Err(failure)),
        }
        seed += 1;
    }
    println!("{totals}");
    assert!(failures.is_empty(), "{failures:#?}");
}

fn report(script: &Script, seed: Option<u64>, outcome: Result<(), Failure>) {
    if let Err(failure) = outcome {
        panic!("{}", describe(script, seed, &failure));
    }
}

/// The failure with the smallest script that still shows it.
fn describe(script: &Script, seed: Option<u64>, failure: &Failure) -> String {
    let (script, failure) = shrink::shrink(script, failure, seconds("MILLPOND_ORACLE_SHRINK", 60));
    let again = seed.map_or_else(String::new, |seed| {
        format!("the whole case again: MILLPOND_ORACLE_SEED={seed}\n")
    });
    format!("{failure}\n{again}--- script ---\n{script}--- end ---")
}

fn seconds(variable: &str, default: u64) -> Duration {
    Duration::from_secs(number(variable).unwrap_or(default))
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

fn fresh_seed() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    // Readable, and far enough apart for cases that count up from it.
    now.as_millis() as u64 % 1_000_000 * 1_000
}
