//! Many clients insert while a loop kills the server: nothing acknowledged is lost, nothing is counted twice.
//!
//! Every insert has a number of its own. A client notes the number before it sends it (attempted) and after the answer
//! (acknowledged). At the end the stream must hold each acknowledged number exactly once, nothing that was never
//! attempted, and no number twice; and the views over it must say the same as the stream.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tests::{Db, Server};
use tokio::sync::watch;
use tokio::task::JoinSet;

const CLIENTS: usize = 8;

#[derive(Default)]
struct Noted {
    attempted: BTreeSet<i64>,
    acknowledged: BTreeSet<i64>,
}

impl Noted {
    fn absorb(&mut self, other: Self) {
        self.attempted.extend(other.attempted);
        self.acknowledged.extend(other.acknowledged);
    }
}

/// Inserts until told to stop, connecting again whenever the server has gone away.
async fn client(
    client: usize,
    mut rng: StdRng,
    mut address: watch::Receiver<SocketAddr>,
    next: Arc<AtomicI64>,
    done: Arc<AtomicBool>,
) -> Noted {
    let mut noted = Noted::default();
    while !done.load(Ordering::Relaxed) {
        let here = *address.borrow_and_update();
        let Ok(db) = Db::connect(here).await else {
            // The server is down; the next address comes when it is up.
            let _ = tokio::time::timeout(Duration::from_millis(200), address.changed()).await;
            continue;
        };
        while !done.load(Ordering::Relaxed) {
            let rows = rng.random_range(1..=5);
            let first = next.fetch_add(rows, Ordering::Relaxed);
            let numbers = first..first + rows;
            noted.attempted.extend(numbers.clone());
            let row = |number: i64| format!("({number}, {client}, 'k{}')", number % 10);
            let values: Vec<String> = numbers.clone().map(row).collect();
            let sql = match rng.random_range(0..3) {
                0 if rows > 1 => {
                    let inserts = values
                        .iter()
                        .map(|value| format!("INSERT INTO events VALUES {value};"));
                    format!("BEGIN; {} COMMIT", inserts.collect::<String>())
                }
                _ => format!("INSERT INTO events VALUES {}", values.join(", ")),
            };
            match db.try_run(&sql).await {
                Ok(_) => noted.acknowledged.extend(numbers),
                Err(_) => break,
            }
        }
    }
    noted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_counted_twice() {
    let mut rng = StdRng::seed_from_u64(tests::seed());
    // Frequent checkpoints, so that kills also hit them.
    let mut server = Server::start_with(&["--checkpoint-interval", "300ms"]).await;
    let db = server.connect().await;
    db.run("CREATE STREAM events (id BIGINT, client INT, k TEXT)")
        .await;
    db.run("CREATE MATERIALIZED VIEW per_client AS SELECT client, COUNT(*) AS n, SUM(id) AS total FROM events GROUP BY client").await;
    db.run("CREATE STREAM copied AS SELECT id, k FROM events WHERE id >= 0")
        .await;
    db.run("CREATE MATERIALIZED VIEW per_key AS SELECT k, COUNT(*) AS n, MAX(id) AS latest FROM copied GROUP BY k").await;
    drop(db);

    let (sender, address) = watch::channel(server.address());
    let (next, done) = (
        Arc::new(AtomicI64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let rng = StdRng::seed_from_u64(rng.random());
        clients.spawn(client(
            number,
            rng,
            address.clone(),
            Arc::clone(&next),
            Arc::clone(&done),
        ));
    }
    let until = Instant::now() + tests::test_duration();
    let mut kills = 0;
    while Instant::now() < until {
        // Not a wait for something: the moment of the kill is what the test varies.
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..800))).await;
        server.kill().await;
        server.start_again().await;
        sender.send(server.address()).expect("the clients listen");
        kills += 1;
    }
    done.store(true, Ordering::Relaxed);
    let mut noted = Noted::default();
    while let Some(client) = clients.join_next().await {
        noted.absorb(client.expect("a client does not panic"));
    }
    check(&server, &noted, kills).await;
    server.restart().await;
    check(&server, &noted, kills).await;
}

async fn check(server: &Server, noted: &Noted, kills: usize) {
    let db = server.connect().await;
    let rows = db.rows("SELECT id FROM events").await;
    let count = rows.len();
    let number = |row: &tests::Row| {
        row[0]
            .as_deref()
            .and_then(|text| text.parse::<i64>().ok())
            .expect("a number")
    };
    let stored: BTreeSet<i64> = rows.iter().map(number).collect();
    println!(
        "{kills} kills, {} attempted, {} acknowledged, {count} stored",
        noted.attempted.len(),
        noted.acknowledged.len()
    );
    assert_eq!(stored.len(), count, "a row is stored twice");
    let lost: Vec<_> = noted.acknowledged.difference(&stored).collect();
    assert!(
        lost.is_empty(),
        "acknowledged and lost: {lost:?}\n{}",
        server.log()
    );
    let invented: Vec<_> = stored.difference(&noted.attempted).collect();
    assert!(invented.is_empty(), "never sent: {invented:?}");
    let per_client = db.table("SELECT client, n, total FROM per_client").await;
    let expected = db
        .table("SELECT client, COUNT(*), SUM(id) FROM events GROUP BY client")
        .await;
    assert_eq!(per_client, expected, "the view differs from its stream");
    let per_key = db.table("SELECT k, n, latest FROM per_key").await;
    let expected = db
        .table("SELECT k, COUNT(*), MAX(id) FROM events GROUP BY k")
        .await;
    assert_eq!(per_key, expected, "the view over the copied stream differs");
}
