//! One connection: frames in, answers out, in the same order.
//!
//! ```text
//! frame  = length: i32 · header · body
//! header = api_key: i16 · version: i16 · correlation: i32 · client_id · tags
//! answer = length: i32 · correlation: i32 · tags · body
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Encodable, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{PERMIT_BYTES, Shared};
use crate::coordinator::{Client, Node};
use crate::decoding::{Malformed, decode};
use crate::encryption::{Reader, Writer};
use crate::requests::{self, Asked};
use crate::sasl::{LOGIN_FRAME_BYTES_MAX, Sasl};

/// Requests of one connection that may be on their way.
const PIPELINED_MAX: usize = 64;

/// What is read ahead of a connection; what a request has beyond that is read where it is to be.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// How long a client may take to log in.
const LOGIN_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("a frame of {0} bytes")]
    FrameLength(i32),
    #[error("request {key} of version {version} is not known")]
    UnknownRequest { key: i16, version: i16 },
    #[error("the client has not logged in")]
    NotLoggedIn,
}

/// Who is on the other side.
pub struct Peer {
    pub host: String,
    pub node: Node,
}

/// An answer that is there, or will be. `None`: the client wants none.
type Answer = BoxFuture<'static, Result<Option<Bytes>, Malformed>>;

/// Serves a client until it goes.
pub async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
) -> Result<(), Closed> {
    socket.set_nodelay(true)?;
    let local = socket.local_addr()?;
    let (host, port) = match &shared.config.advertised {
        Some((host, port)) => (host.clone(), port.unwrap_or(local.port())),
        None => (local.ip().to_string(), local.port()),
    };
    let peer = Arc::new(Peer {
        host: format!("/{}", peer.ip()),
        node: Node {
            id: requests::NODE_ID.into(),
            host: StrBytes::from_string(host),
            port: i32::from(port),
        },
    });
    let accepting = shared.config.encryption.accept(socket);
    let accepted = tokio::time::timeout(LOGIN_TIME_MAX, accepting)
        .await
        .unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
    let mut read = BufReader::with_capacity(READ_BUFFER_BYTES, accepted.read);
    let mut write = accepted.write;
    log_in(&mut read, &mut write, accepted.plain_allowed, &peer, shared).await?;
    let (answers, waiting) = mpsc::channel(PIPELINED_MAX);
    let mut writing = std::pin::pin!(write_answers(&mut write, waiting));
    tokio::select! {
        result = read_requests(&mut read, &peer, shared, answers) => result?,
        result = &mut writing => return result,
    }
    // The client has gone, or has said all that it had to say: what it asked for is still answered.
    writing.await
}

/// Answers one request after the other until the client has logged in, if it must.
async fn log_in(
    read: &mut BufReader<Reader>,
    write: &mut Writer,
    plain_allowed: bool,
    peer: &Arc<Peer>,
    shared: &Arc<Shared>,
) -> Result<(), Closed> {
    let mut sasl = Sasl::new(shared.engine.clone(), plain_allowed);
    if sasl.is_open() {
        return Ok(());
    }
    let logging_in = async {
        while !sasl.is_open() {
            let length = frame_length(read, LOGIN_FRAME_BYTES_MAX).await?;
            let Some(length) = length else {
                return Err(Closed::NotLoggedIn);
            };
            let mut frame = read_frame(read, length).await?;
            if sasl.expects_token() {
                let Some(token) = sasl.token(&frame).await else {
                    return Err(Closed::NotLoggedIn);
                };
                let mut out = BytesMut::new();
                out.put_i32(token.len() as i32);
                out.put_slice(&token);
                write.write_all(&out).await?;
                write.flush().await?;
                continue;
            }
            let (key, header) = header(&mut frame)?;
            if !sasl.allows(key) {
                return Err(Closed::NotLoggedIn);
            }
            let version = header.request_api_version;
            let out = match key {
                ApiKey::SaslHandshake => {
                    let request = decode(&mut frame, version)?;
                    Some(answer(&header, key, &sasl.handshake(&request, version))?)
                }
                ApiKey::SaslAuthenticate => {
                    let request = decode(&mut frame, version)?;
                    Some(answer(&header, key, &sasl.authenticate(&request).await)?)
                }
                _ => begin(header, key, frame, peer, shared)?.await?,
            };
            if let Some(out) = out {
                write.write_all(&out).await?;
                write.flush().await?;
            }
            if sasl.has_failed() {
                return Err(Closed::NotLoggedIn);
            }
        }
        Ok(())
    };
    tokio::time::timeout(LOGIN_TIME_MAX, logging_in)
        .await
        .unwrap_or(Err(Closed::NotLoggedIn))
}

async fn read_requests(
    read: &mut BufReader<Reader>,
    peer: &Arc<Peer>,
    shared: &Arc<Shared>,
    answers: mpsc::Sender<(Answer, OwnedSemaphorePermit)>,
) -> Result<(), Closed> {
    while let Some(length) = frame_length(read, shared.config.request_bytes_max).await? {
        let all = shared.config.requests_bytes_max / PERMIT_BYTES;
        let permits = length.div_ceil(PERMIT_BYTES).clamp(1, all.max(1)) as u32;
        let memory = shared.memory.clone().acquire_many_owned(permits).await;
        let memory = memory.expect("nobody closes it");
        let mut frame = read_frame(read, length).await?;
        let (key, header) = header(&mut frame)?;
        let answer = begin(header, key, frame, peer, shared)?;
        if answers.send((answer, memory)).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn write_answers(
    write: &mut Writer,
    mut waiting: mpsc::Receiver<(Answer, OwnedSemaphorePermit)>,
) -> Result<(), Closed> {
    while let Some((answer, memory)) = waiting.recv().await {
        let answer = answer.await?;
        drop(memory);
        if let Some(answer) = answer {
            write.write_all(&answer).await?;
            // Encrypted bytes wait in a buffer.
            write.flush().await?;
        }
    }
    Ok(())
}

/// The length of the next frame; `None` if the client has gone.
async fn frame_length(read: &mut BufReader<Reader>, max: usize) -> Result<Option<usize>, Closed> {
    let length = match read.read_i32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match usize::try_from(length) {
        Ok(bytes) if bytes <= max => Ok(Some(bytes)),
        _ => Err(Closed::FrameLength(length)),
    }
}

/// Memory is taken as the bytes come, not as they are announced.
async fn read_frame(read: &mut BufReader<Reader>, length: usize) -> Result<Bytes, Closed> {
    let mut frame = BytesMut::with_capacity(length.min(64 << 10));
    let mut rest = read.take(length as u64);
    while frame.len() < length {
        if rest.read_buf(&mut frame).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(frame.freeze())
}

fn header(frame: &mut Bytes) -> Result<(ApiKey, RequestHeader), Closed> {
    if frame.len() < 8 {
        return Err(Malformed("a frame without a header".into()).into());
    }
    let mut start = &frame[..4];
    let (key, version) = (start.get_i16(), start.get_i16());
    let known = ApiKey::try_from(key).map_err(|_| Closed::UnknownRequest { key, version })?;
    if !requests::speaks(known, version) && known != ApiKey::ApiVersions {
        return Err(Closed::UnknownRequest { key, version });
    }
    // Of a version that is not known, the header is read as far as all versions have it.
    let header_version = match requests::speaks(known, version) {
        true => known.request_header_version(version),
        false => 1,
    };
    let header = decode(frame, header_version)?;
    Ok((known, header))
}

/// Begins to work on a request.
fn begin(
    header: RequestHeader,
    key: ApiKey,
    mut body: Bytes,
    peer: &Arc<Peer>,
    shared: &Arc<Shared>,
) -> Result<Answer, Closed> {
    let version = header.request_api_version;
    let (peer, shared) = (peer.clone(), shared.clone());
    if key == ApiKey::Produce {
        let request = decode(&mut body, version)?;
        let producing = requests::produce::begin(&shared, version, request);
        return Ok(Box::pin(async move {
            match producing.await {
                Some(response) => answer(&header, key, &response).map(Some),
                None => Ok(None),
            }
        }));
    }
    Ok(Box::pin(async move {
        let asked = Asked {
            key,
            version,
            client: Client {
                id: header.client_id.as_deref().unwrap_or_default(),
                host: &peer.host,
            },
            node: &peer.node,
        };
        let mut out = start_of_answer(&header, key)?;
        requests::answer(&shared, asked, body, &mut out).await?;
        Ok(Some(finish_answer(out)))
    }))
}

fn answer<M: Encodable>(
    header: &RequestHeader,
    key: ApiKey,
    message: &M,
) -> Result<Bytes, Malformed> {
    let mut out = start_of_answer(header, key)?;
    message
        .encode(&mut out, header.request_api_version)
        .map_err(|error| Malformed(error.to_string()))?;
    Ok(finish_answer(out))
}

fn start_of_answer(header: &RequestHeader, key: ApiKey) -> Result<BytesMut, Malformed> {
    let mut out = BytesMut::with_capacity(256);
    out.put_i32(0);
    let version = match requests::speaks(key, header.request_api_version) {
        true => key.response_header_version(header.request_api_version),
        false => 0,
    };
    ResponseHeader::default()
        .with_correlation_id(header.correlation_id)
        .encode(&mut out, version)
        .map_err(|error| Malformed(error.to_string()))?;
    Ok(out)
}

fn finish_answer(mut out: BytesMut) -> Bytes {
    let length = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    out.freeze()
}
