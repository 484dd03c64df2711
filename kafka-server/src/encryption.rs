//! The beginning of a connection: encrypted or not.
//!
//! Kafka clients do not ask whether they may encrypt, they begin. A TLS handshake begins with byte 0x16; a Kafka request
//! with its length, whose first byte would make it more than 350 MiB if it were that.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// First byte of a TLS record that begins a handshake.
const HANDSHAKE: u8 = 0x16;

/// Where bytes come from.
pub type Reader = Box<dyn AsyncRead + Send + Sync + Unpin>;
/// Where bytes go.
pub type Writer = Box<dyn AsyncWrite + Send + Sync + Unpin>;

/// Which connections are accepted.
#[derive(Clone, Default)]
pub struct Encryption {
    /// With the certificate, if there is one.
    pub acceptor: Option<TlsAcceptor>,
    /// Whether connections must be encrypted.
    pub required: bool,
    /// Whether passwords may be sent as they are by other machines over connections that are not.
    pub plain_from_anywhere: bool,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption")
            .field("certificate", &self.acceptor.is_some())
            .field("required", &self.required)
            .field("plain_from_anywhere", &self.plain_from_anywhere)
            .finish()
    }
}

/// A connection that requests may come over.
pub struct Accepted {
    pub read: Reader,
    pub write: Writer,
    pub peer: SocketAddr,
    /// Whether a password may be sent as it is.
    pub plain_allowed: bool,
}

impl Encryption {
    /// Waits for the client's first byte, and for its handshake if it is one. The caller bounds the time.
    ///
    /// # Errors
    /// When the client goes away, its handshake fails, or it does not encrypt but has to.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Accepted> {
        let peer = stream.peer_addr()?;
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let refused = |message| io::Error::new(io::ErrorKind::InvalidData, message);
        if first[0] == HANDSHAKE {
            let Some(acceptor) = &self.acceptor else {
                return Err(refused(
                    "the client encrypts, and the server has no certificate",
                ));
            };
            let (read, write) = tokio::io::split(acceptor.accept(stream).await?);
            return Ok(Accepted {
                read: Box::new(read),
                write: Box::new(write),
                peer,
                plain_allowed: true,
            });
        }
        if self.required {
            return Err(refused("the client does not encrypt, and has to"));
        }
        let (read, write) = stream.into_split();
        Ok(Accepted {
            read: Box::new(read),
            write: Box::new(write),
            peer,
            plain_allowed: self.plain_from_anywhere || peer.ip().is_loopback(),
        })
    }
}
