//! Clients that mean harm, or drivers with odd habits: the answer is an error or a result, and the server lives on.

use std::fmt::Write as _;

use tests::{Db, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The server still answers, on a new connection.
async fn assert_alive(server: &Server) {
    assert_eq!(server.connect().await.value("SELECT 1").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_and_long_statements_are_errors() {
    let server = Server::start().await;
    let db = server.connect().await;
    let parentheses = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(db.error_code(&parentheses).await, "54001");
    let terms = format!("SELECT 1{}", " + 1".repeat(100_000));
    assert_eq!(db.error_code(&terms).await, "54001");
    let mut nested = "SELECT 1 AS x".to_owned();
    for _ in 0..2_000 {
        nested = format!("SELECT x FROM ({nested}) AS t");
    }
    assert_eq!(db.error_code(&nested).await, "54001");
    let nots = format!("SELECT {} true", "NOT ".repeat(50_000));
    assert_eq!(db.error_code(&nots).await, "54001");
    let brackets = format!("SELECT {}", "[".repeat(100_000));
    assert!(!db.error_code(&brackets).await.is_empty());
    assert_eq!(db.value("SELECT 1").await, "1");
    assert_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moderate_statements_are_no_errors() {
    let server = Server::start().await;
    let db = server.connect().await;
    assert_eq!(
        db.value(&format!("SELECT {}1{}", "(".repeat(30), ")".repeat(30)))
            .await,
        "1"
    );
    assert_eq!(
        db.value(&format!("SELECT 0{}", " + 1".repeat(100))).await,
        "100"
    );
    let list: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    assert_eq!(
        db.value(&format!("SELECT 1 WHERE 7 IN ({})", list.join(", ")))
            .await,
        "1"
    );
    db.run("CREATE STREAM wide (x INT, y TEXT)").await;
    let mut insert = "INSERT INTO wide VALUES (0, 'x')".to_owned();
    for number in 1..5_000 {
        write!(insert, ", ({number}, 'x')").expect("memory");
    }
    db.run(&insert).await;
    assert_eq!(db.number("SELECT COUNT(*) FROM wide").await, 5_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giant_limits_are_just_large() {
    let server = Server::start().await;
    let db = server.connect().await;
    db.run("CREATE STREAM s (x INT)").await;
    db.run("INSERT INTO s VALUES (1), (2)").await;
    let count = |sql: &'static str| async { db.try_rows(sql).await.map(|rows| rows.len()) };
    assert_eq!(
        count("SELECT x FROM s LIMIT 9223372036854775807")
            .await
            .expect("a large limit"),
        2
    );
    assert_eq!(
        count("SELECT x FROM s LIMIT 2147483647 OFFSET 1")
            .await
            .expect("a large limit"),
        1
    );
    assert_eq!(count("SELECT x FROM s LIMIT 0").await.expect("no rows"), 0);
    assert_eq!(db.error_code("SELECT x FROM s LIMIT -1").await, "2201W");
    assert_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn divisions_and_overflows_are_errors_of_the_statement() {
    let server = Server::start().await;
    let db = server.connect().await;
    assert_eq!(db.error_code("SELECT 1 / 0").await, "22012");
    assert_eq!(
        db.error_code("SELECT 9223372036854775807 + 1").await,
        "22003"
    );
    assert_eq!(
        db.error_code("SELECT (-2147483648)::INT / -1::INT").await,
        "22003"
    );
    assert_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_refused() {
    let server = Server::start_with(&["--max-connections", "5"]).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(server.connect().await);
    }
    let error = Db::connect(server.address())
        .await
        .err()
        .expect("the sixth is refused");
    assert_eq!(
        error.code().map(|code| code.code().to_owned()).as_deref(),
        Some("53300"),
        "{error:?}"
    );
    // The others work on, and a place becomes free when one leaves.
    assert_eq!(open[0].value("SELECT 1").await, "1");
    drop(open.pop());
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while let Err(error) = Db::connect(server.address()).await {
        assert!(
            std::time::Instant::now() < until,
            "no place becomes free: {error:?}"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_protocol_close_the_connection() {
    let server = Server::start().await;
    let messages: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0xff; 64],
        &[0, 0, 0, 4],
        &[0, 0, 0, 0, 0, 0, 0, 0],
        &[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        &[],
    ];
    for message in messages {
        let mut socket = TcpStream::connect(server.address())
            .await
            .expect("it listens");
        socket.write_all(message).await.expect("it takes bytes");
        socket.shutdown().await.expect("the end of the stream");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(
            std::time::Duration::from_secs(30),
            socket.read_to_end(&mut answer),
        )
        .await;
        // An answer, an end, or a reset: but no silence.
        assert!(read.is_ok(), "no answer to {message:?}");
    }
    assert_alive(&server).await;
}

/// A session over raw messages, for what drivers do not let through.
struct Raw(TcpStream);

impl Raw {
    async fn connect(server: &Server) -> Self {
        let mut socket = TcpStream::connect(server.address())
            .await
            .expect("it listens");
        let parameters = b"user\0tester\0database\0millpond\0\0";
        let mut message = (8 + u32::try_from(parameters.len()).expect("short"))
            .to_be_bytes()
            .to_vec();
        message.extend([0, 3, 0, 0]);
        message.extend(parameters);
        socket.write_all(&message).await.expect("it takes bytes");
        let mut raw = Self(socket);
        raw.until_ready().await;
        raw
    }

    async fn send(&mut self, kind: u8, body: &[u8]) {
        let mut message = vec![kind];
        message.extend((4 + u32::try_from(body.len()).expect("short")).to_be_bytes());
        message.extend(body);
        self.0.write_all(&message).await.expect("it takes bytes");
    }

    /// Runs `sql` with a row limit in Execute, as drivers with a fetch size do.
    async fn execute(&mut self, sql: &str, rows_max: i32) -> Vec<u8> {
        let mut parse = vec![0];
        parse.extend(sql.as_bytes());
        parse.extend([0, 0, 0]);
        self.send(b'P', &parse).await;
        self.send(b'B', &[0, 0, 0, 0, 0, 0, 0, 0]).await;
        let mut execute = vec![0];
        execute.extend(rows_max.to_be_bytes());
        self.send(b'E', &execute).await;
        self.send(b'S', &[]).await;
        self.until_ready().await
    }

    /// Reads to ReadyForQuery; answers the kinds of messages.
    async fn until_ready(&mut self) -> Vec<u8> {
        let mut kinds = Vec::new();
        loop {
            let kind = self.0.read_u8().await.expect("an answer");
            let length = self.0.read_i32().await.expect("a length");
            let mut body = vec![0; usize::try_from(length - 4).expect("a length")];
            self.0.read_exact(&mut body).await.expect("a body");
            kinds.push(kind);
            if kind == b'Z' {
                return kinds;
            }
        }
    }
}

fn count(kinds: &[u8], kind: u8) -> usize {
    kinds.iter().filter(|found| **found == kind).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_limits_from_the_wire_are_checked() {
    let server = Server::start().await;
    let db = server.connect().await;
    db.run("CREATE STREAM s (x INT)").await;
    db.run("INSERT INTO s VALUES (1), (2), (3)").await;
    let mut raw = Raw::connect(&server).await;
    // Limit, and how many rows come.
    for (rows_max, rows) in [
        (0, 3),
        (2, 2),
        (3, 3),
        (i32::MAX, 3),
        (-1, 3),
        (i32::MIN, 3),
    ] {
        let kinds = raw.execute("SELECT x FROM s", rows_max).await;
        let failed = count(&kinds, b'E') == 1;
        assert!(
            failed && rows_max < 0 || count(&kinds, b'D') == rows,
            "limit {rows_max}: {kinds:?}"
        );
        let suspended = count(&kinds, b's') == 1;
        assert!(
            !suspended || rows_max == 2 || rows_max == 3,
            "limit {rows_max}: {kinds:?}"
        );
    }
    assert_alive(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_never_ends_can_be_stopped() {
    let server = Server::start().await;
    let db = server.connect().await;
    db.run("CREATE STREAM s (x INT)").await;
    db.run("INSERT INTO s VALUES (1)").await;
    let watcher = server.connect().await;
    let mut rows = watcher.subscribe("SELECT x FROM s EMIT CHANGES").await;
    assert_eq!(rows.take(1).await, [vec![Some("1".to_owned())]]);
    db.run("INSERT INTO s VALUES (2)").await;
    assert_eq!(rows.take(1).await, [vec![Some("2".to_owned())]]);
    watcher.cancel().await;
    let error = rows.next().await.expect_err("it was cancelled");
    assert_eq!(
        error.code().map(|code| code.code()),
        Some("57014"),
        "{error:?}"
    );
    // The session lives on.
    assert_eq!(watcher.value("SELECT COUNT(*) FROM s").await, "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_end_what_takes_too_long() {
    let arguments = ["--statement-timeout", "300ms", "--idle-timeout", "300ms"];
    let server = Server::start_with(&arguments).await;
    let db = server.connect().await;
    db.run("CREATE STREAM s (x INT)").await;
    // Nothing comes, so only the timeout ends it.
    assert_eq!(db.error_code("SELECT x FROM s EMIT CHANGES").await, "57014");
    db.run("SET statement_timeout = 0").await;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !db.client.is_closed() {
        assert!(
            std::time::Instant::now() < until,
            "an idle session is not ended"
        );
        tokio::task::yield_now().await;
    }
    assert_alive(&server).await;
}
