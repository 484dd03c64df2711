//! Clients of the Kafka port that do not keep to the protocol.

use std::time::Duration;

use tests::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer, or the end of the connection, comes long before this.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;

/// A request with the older header and without a client's name.
fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(7i32.to_be_bytes());
    frame.extend((-1i16).to_be_bytes());
    frame.extend(body);
    let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
    bytes.extend(frame);
    bytes
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.kafka_address())
        .await
        .expect("the server accepts connections")
}

/// The server ends the connection without an answer.
async fn assert_closed(server: &Server, sent: &[u8]) {
    let mut stream = connect(server).await;
    stream.write_all(sent).await.expect("the server reads");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(ANSWER_TIME_MAX, stream.read_to_end(&mut answer));
    // A connection with unread bytes ends with a reset.
    let _ = read.await.expect("the server ends the connection");
    assert_eq!(answer, Vec::<u8>::new(), "to {sent:?}");
}

/// The frame that the server answers.
async fn answer(stream: &mut TcpStream, sent: &[u8]) -> Vec<u8> {
    stream.write_all(sent).await.expect("the server reads");
    let read = async {
        let length = stream.read_i32().await.expect("a length");
        let mut frame = vec![0; usize::try_from(length).expect("a length")];
        stream.read_exact(&mut frame).await.expect("a frame");
        frame
    };
    tokio::time::timeout(ANSWER_TIME_MAX, read)
        .await
        .expect("the server answers")
}

#[tokio::test]
async fn what_is_no_request_ends_the_connection_only() {
    let server = Server::start_with(&["--kafka-port", "0"]).await;
    // Not Kafka's protocol; lengths that are too large, or less than nothing; no request that there is;
    // a version that is not spoken; an array of two thousand million topics.
    assert_closed(&server, b"GET / HTTP/1.1\r\n\r\n").await;
    assert_closed(&server, &[0x7f, 0xff, 0xff, 0xff, 0]).await;
    assert_closed(&server, &(-5i32).to_be_bytes()).await;
    assert_closed(&server, &request(999, 0, &[])).await;
    assert_closed(&server, &request(METADATA, 99, &[])).await;
    assert_closed(
        &server,
        &request(METADATA, 1, &0x7fff_fff0i32.to_be_bytes()),
    )
    .await;
    let mut stream = connect(&server).await;
    let frame = answer(&mut stream, &request(API_VERSIONS, 0, &[])).await;
    assert_eq!(frame[..6], [0, 0, 0, 7, 0, 0], "correlation and no error");
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_the_first() {
    let server = Server::start_with(&["--kafka-port", "0"]).await;
    let mut stream = connect(&server).await;
    let frame = answer(&mut stream, &request(API_VERSIONS, 99, &[])).await;
    assert_eq!(frame[..6], [0, 0, 0, 7, 0, 35], "UNSUPPORTED_VERSION");
    // The connection goes on, and what comes in one go is answered in order.
    let two = [request(API_VERSIONS, 0, &[]), request(API_VERSIONS, 0, &[])];
    let first = answer(&mut stream, &two.concat()).await;
    assert_eq!(first, answer(&mut stream, &[]).await);
}

#[tokio::test]
async fn idle_and_vanished_clients_hold_nobody_up() {
    let server = Server::start_with(&["--kafka-port", "0"]).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(&server).await;
        // Half a frame.
        stream
            .write_all(&[0, 0, 0, 100, 0])
            .await
            .expect("the server reads");
        idle.push(stream);
    }
    let mut stream = connect(&server).await;
    answer(&mut stream, &request(API_VERSIONS, 0, &[])).await;
    drop(idle);
    answer(&mut stream, &request(API_VERSIONS, 0, &[])).await;
}
