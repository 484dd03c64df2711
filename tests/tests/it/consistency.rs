//! Transfers between accounts: every transfer debits one and credits another, so the total over all is zero in every state
//! a reader may see, whichever views it is read from, while writers write and views follow.
//!
//! ```text
//!  transfers ──► credits ──┐
//!            └─► debits  ──┴─► balances ──► total
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tests::{Row, Server, show};
use tokio::task::JoinSet;

const ACCOUNTS: i64 = 20;

const VIEWS: &[&str] = &[
    "CREATE STREAM transfers (source INT, target INT, amount BIGINT)",
    "CREATE MATERIALIZED VIEW credits AS SELECT target AS account, SUM(amount) AS amount FROM transfers GROUP BY target",
    "CREATE MATERIALIZED VIEW debits AS SELECT source AS account, SUM(amount) AS amount FROM transfers GROUP BY source",
    "CREATE MATERIALIZED VIEW balances AS \
     SELECT coalesce(c.account, d.account) AS account, coalesce(c.amount, 0) - coalesce(d.amount, 0) AS balance \
     FROM credits c FULL JOIN debits d ON c.account = d.account",
    "CREATE MATERIALIZED VIEW total AS SELECT SUM(balance) AS total FROM balances",
];

/// Questions whose answer is zero or nothing (before the first transfer) at any moment.
const QUESTIONS: &[&str] = &[
    "SELECT total FROM total",
    "SELECT SUM(balance) FROM balances",
    "SELECT (SELECT SUM(amount) FROM credits) - (SELECT SUM(amount) FROM debits)",
    "SELECT (SELECT SUM(balance) FROM balances) + (SELECT total FROM total)",
    "SELECT (SELECT SUM(amount) FROM transfers) - (SELECT SUM(amount) FROM credits)",
    "SELECT COUNT(*) FROM balances b JOIN credits c ON b.account = c.account \
     LEFT JOIN debits d ON b.account = d.account WHERE b.balance <> c.amount - coalesce(d.amount, 0)",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_ever_sees_a_total_other_than_zero() {
    let mut rng = StdRng::seed_from_u64(tests::seed());
    let server = Server::start().await;
    let db = server.connect().await;
    for sql in VIEWS {
        db.run(sql).await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        tasks.spawn(write(
            server.connect().await,
            StdRng::seed_from_u64(rng.random()),
            Arc::clone(&done),
        ));
    }
    for number in 0..2 {
        tasks.spawn(read(server.connect().await, number == 1, Arc::clone(&done)));
    }
    let until = Instant::now() + tests::test_duration();
    let mut push = server
        .connect()
        .await
        .subscribe("SELECT total FROM total EMIT CHANGES")
        .await;
    // A push query shows the total once, and whatever follows replaces zero by zero.
    while Instant::now() < until {
        tokio::select! {
            row = push.next() => match row {
                Ok(Some(row)) => assert_zero(&row, "push query"),
                other => panic!("the push query ended: {other:?}\n{}", server.log()),
            },
            () = tokio::time::sleep(until.saturating_duration_since(Instant::now())) => {}
        }
    }
    done.store(true, Ordering::Relaxed);
    let mut counts = Vec::new();
    while let Some(task) = tasks.join_next().await {
        counts.push(task.expect("no reader saw a wrong total"));
    }
    println!("statements: {counts:?}");
    assert_eq!(db.value("SELECT total FROM total").await, "0");
    let stored = db
        .table("SELECT account, balance FROM balances WHERE balance <> 0")
        .await;
    let computed = db
        .table(
            "SELECT account, SUM(amount) FROM (SELECT target AS account, amount FROM transfers \
             UNION ALL SELECT source, -amount FROM transfers) AS t GROUP BY account HAVING SUM(amount) <> 0",
        )
        .await;
    assert_eq!(stored, computed);
}

async fn write(db: tests::Db, mut rng: StdRng, done: Arc<AtomicBool>) -> u64 {
    let mut statements = 0;
    while !done.load(Ordering::Relaxed) {
        let rows = (0..rng.random_range(1..4)).map(|_| {
            let (source, target) = (rng.random_range(0..ACCOUNTS), rng.random_range(0..ACCOUNTS));
            format!("({source}, {target}, {})", rng.random_range(1..1000))
        });
        let rows: Vec<String> = rows.collect();
        db.run(&format!("INSERT INTO transfers VALUES {}", rows.join(", ")))
            .await;
        statements += 1;
    }
    statements
}

async fn read(db: tests::Db, eventual: bool, done: Arc<AtomicBool>) -> u64 {
    if eventual {
        db.run("SET consistency = 'eventual'").await;
    }
    let mut statements = 0;
    while !done.load(Ordering::Relaxed) {
        for question in QUESTIONS {
            for row in db.rows(question).await {
                assert_zero(&row, question);
            }
            statements += 1;
        }
    }
    statements
}

/// The last column is zero, or NULL before the first transfer. (A push query shows + or - before it.)
fn assert_zero(row: &Row, question: &str) {
    let value = row.last().cloned().flatten();
    assert!(
        value.as_deref().is_none_or(|value| value == "0"),
        "{question}: {}",
        show(row)
    );
}
