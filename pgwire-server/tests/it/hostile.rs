//! Clients that do not keep to the protocol.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Server;

const LOGIN: &[u8] = b"\0\0\0\x11\0\x03\0\0user\0me\0\0";

/// Sends bytes, and gives the types of the messages that come back until the server closes the connection or is ready
/// `ready` times.
async fn talk(server: &Server, bytes: &[u8], ready: usize) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .expect("a connection");
    stream.write_all(bytes).await.expect("sent");
    let mut kinds = String::new();
    let mut seen = 0;
    let mut header = [0u8; 5];
    while seen < ready && stream.read_exact(&mut header).await.is_ok() {
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        let mut body = vec![0; length - 4];
        if stream.read_exact(&mut body).await.is_err() {
            break;
        }
        match header[0] {
            b'S' | b'K' | b'R' => {}
            b'E' => {
                let fields: Vec<&[u8]> = body.split(|byte| *byte == 0).collect();
                let field = |letter| {
                    let found = fields.iter().find(|field| field.first() == Some(&letter));
                    found
                        .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
                        .unwrap_or_default()
                };
                kinds.push_str(&format!("[{} {}]", field(b'S'), field(b'C')));
            }
            b'Z' => {
                seen += 1;
                kinds.push('Z');
            }
            kind => kinds.push(kind as char),
        }
    }
    kinds
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn session(messages: &[Vec<u8>]) -> Vec<u8> {
    [LOGIN.to_vec(), messages.concat()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_hurt_nobody_else() {
    let server = Server::start().await;
    let ok = message(b'Q', b"SELECT 1\0");
    let sync = message(b'S', b"");
    let cases: Vec<(&str, Vec<u8>, usize, &str)> = vec![
        ("a query", session(std::slice::from_ref(&ok)), 2, "ZTDCZ"),
        (
            "text that is not UTF-8",
            session(&[message(b'Q', b"SELECT '\xff'\0"), ok.clone()]),
            3,
            "Z[ERROR 22021]ZTDCZ",
        ),
        (
            "a query without end",
            session(&[message(b'Q', b"SELECT 1"), ok.clone()]),
            3,
            "Z[ERROR 08P01]ZTDCZ",
        ),
        (
            "a huge length",
            session(&[b"Q\x7f\xff\xff\xff".to_vec()]),
            2,
            "Z[FATAL 54000]",
        ),
        (
            "a negative length",
            session(&[b"Q\xff\xff\xff\xff".to_vec()]),
            2,
            "Z[FATAL 08P01]",
        ),
        (
            "an unknown type",
            session(&[message(b'?', b"")]),
            2,
            "Z[FATAL 08P01]",
        ),
        (
            "a Bind that promises more than it has",
            session(&[
                message(b'B', b"\0\0\0\0\0\x01\0\0\0\x10x"),
                sync.clone(),
                ok.clone(),
            ]),
            3,
            "Z[ERROR 08P01]ZTDCZ",
        ),
        (
            "an Execute of nothing, and what follows up to Sync is skipped",
            session(&[
                message(b'E', b"\0\x7f\xff\xff\xff"),
                message(b'D', b"Sx\0"),
                sync.clone(),
                ok.clone(),
            ]),
            3,
            "Z[ERROR 34000]ZTDCZ",
        ),
        (
            "row limits at the ends of their range",
            session(&[
                message(b'P', b"\0SELECT 1\0\0\0"),
                message(b'B', b"\0\0\0\0\0\0\0\0"),
                message(b'E', b"\0\x7f\xff\xff\xff"),
                message(b'B', b"\0\0\0\0\0\0\0\0"),
                message(b'E', b"\0\xff\xff\xff\xff"),
                sync.clone(),
            ]),
            2,
            "Z12DC2DCZ",
        ),
        (
            "COPY messages out of place",
            session(&[message(b'd', b"x"), message(b'c', b""), ok.clone()]),
            2,
            "ZTDCZ",
        ),
        (
            "no user",
            b"\0\0\0\x09\0\x03\0\0\0".to_vec(),
            1,
            "[FATAL 28000]",
        ),
        (
            "an old protocol",
            b"\0\0\0\x08\0\x02\0\0".to_vec(),
            1,
            "[FATAL 0A000]",
        ),
        (
            "a login that is too long",
            b"\0\x10\0\0\0\x03\0\0".to_vec(),
            1,
            "[FATAL 54000]",
        ),
        (
            "another protocol altogether",
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            1,
            "[FATAL 54000]",
        ),
    ];
    for (what, bytes, ready, expected) in cases {
        assert_eq!(talk(&server, &bytes, ready).await, expected, "{what}");
    }
    let client = server.connect().await;
    assert_eq!(client.query("SELECT 1", &[]).await.expect("rows").len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_declined() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .expect("a connection");
    for request in [b"\0\0\0\x08\x04\xd2\x16\x30", b"\0\0\0\x08\x04\xd2\x16\x2f"] {
        stream.write_all(request).await.expect("sent");
        assert_eq!(stream.read_u8().await.expect("an answer"), b'N');
    }
    stream.write_all(LOGIN).await.expect("sent");
    assert_eq!(stream.read_u8().await.expect("an answer"), b'R');
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_endless_query() {
    let server = Server::start().await;
    let client = server.connect().await;
    client
        .batch_execute("CREATE STREAM s (x int)")
        .await
        .expect("a stream");
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .expect("a connection");
    stream
        .write_all(&session(&[message(
            b'Q',
            b"SELECT x FROM s EMIT CHANGES\0",
        )]))
        .await
        .expect("sent");
    // The description of the columns says that it runs.
    let mut bytes = vec![0; 65_536];
    let mut seen = Vec::new();
    while !seen.windows(2).any(|pair| pair == b"x\0") || !seen.contains(&b'T') {
        let read = stream.read(&mut bytes).await.expect("an answer");
        assert_ne!(read, 0);
        seen.extend_from_slice(&bytes[..read]);
    }
    drop(stream);
    // Stopping waits for sessions: it would not end while that one went on.
    server.stop().await;
}
