//! What clients send.
//!
//! message = type: u8 · length: i32 (of itself and the body) · body. The first message has no type. All numbers are
//! big-endian, strings end in a zero byte. The bytes are a stranger's: every length is checked before it is used, and a
//! body is decoded without looking beyond its end.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes that are not the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The connection cannot go on, because where the next message begins is not known.
    #[error("invalid frontend message type {0}")]
    UnknownType(u8),
    #[error("invalid message length")]
    InvalidLength,
    #[error("message of {length} bytes is longer than the {limit} allowed")]
    TooLong { length: usize, limit: usize },
    /// The body of one message is wrong; the next one may be right.
    #[error("invalid message format")]
    InvalidBody,
    #[error("invalid byte sequence for encoding \"UTF8\"")]
    InvalidText,
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0")]
    UnsupportedVersion { major: u16, minor: u16 },
}

/// The first message of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Startup {
    /// May we speak TLS?
    Ssl,
    /// May we speak GSSAPI?
    Gss,
    /// Cancel what that other connection does.
    Cancel { process: i32, secret: Bytes },
    /// Begin a session.
    Session {
        minor: u16,
        parameters: Vec<(String, String)>,
    },
}

/// A message of a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    Query(String),
    Parse {
        name: String,
        text: String,
        parameter_types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target, String),
    Execute {
        portal: String,
        rows_max: i32,
    },
    Close(Target, String),
    Flush,
    Sync,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
    Terminate,
}

/// Values for a prepared statement.
#[derive(Debug, PartialEq, Eq)]
pub struct Bind {
    pub portal: String,
    pub statement: String,
    pub parameter_formats: Vec<i16>,
    pub parameters: Vec<Option<Bytes>>,
    pub result_formats: Vec<i16>,
}

/// What is described or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Statement,
    Portal,
}

/// Takes the next whole message from the front of the buffer: its type and its body.
pub fn take_frame(
    buffer: &mut BytesMut,
    limit: usize,
) -> Result<Option<(u8, Bytes)>, ProtocolError> {
    let Some(header) = buffer.get(..5) else {
        return Ok(None);
    };
    let kind = header[0];
    // Function calls are obsolete, and passwords are asked for earlier.
    if !b"QPBDECHSdcfX".contains(&kind) {
        return Err(ProtocolError::UnknownType(kind));
    }
    take_body(buffer, limit).map(|body| body.map(|body| (kind, body)))
}

/// Takes the next whole message while the client logs in: an answer to our question, or nothing but its farewell.
pub fn take_login_message(
    buffer: &mut BytesMut,
    limit: usize,
) -> Result<Option<Bytes>, ProtocolError> {
    match buffer.first() {
        None => Ok(None),
        Some(b'p') => take_body(buffer, limit),
        Some(kind) => Err(ProtocolError::UnknownType(*kind)),
    }
}

/// The body of the message at the front of the buffer, once it is whole.
fn take_body(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, ProtocolError> {
    let Some(header) = buffer.get(..5) else {
        return Ok(None);
    };
    let length = i32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    let length = usize::try_from(length).map_err(|_| ProtocolError::InvalidLength)?;
    if length < 4 {
        return Err(ProtocolError::InvalidLength);
    }
    if length > limit {
        return Err(ProtocolError::TooLong { length, limit });
    }
    if buffer.len() < length + 1 {
        return Ok(None);
    }
    let mut frame = buffer.split_to(length + 1);
    frame.advance(5);
    Ok(Some(frame.freeze()))
}

/// Takes the first message of a connection.
pub fn take_startup(buffer: &mut BytesMut, limit: usize) -> Result<Option<Startup>, ProtocolError> {
    let Some(header) = buffer.get(..8) else {
        return Ok(None);
    };
    let length = i32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    let length = usize::try_from(length).map_err(|_| ProtocolError::InvalidLength)?;
    if length < 8 {
        return Err(ProtocolError::InvalidLength);
    }
    if length > limit {
        return Err(ProtocolError::TooLong { length, limit });
    }
    if buffer.len() < length {
        return Ok(None);
    }
    let mut frame = buffer.split_to(length);
    frame.advance(4);
    let mut body = Body(frame.freeze());
    let (major, minor) = (body.u16()?, body.u16()?);
    match (major, minor) {
        (1234, 5679) => Ok(Some(Startup::Ssl)),
        (1234, 5680) => Ok(Some(Startup::Gss)),
        (1234, 5678) => {
            let process = body.i32()?;
            Ok(Some(Startup::Cancel {
                process,
                secret: body.0,
            }))
        }
        (3, minor) => {
            let mut parameters = Vec::new();
            loop {
                let name = body.string()?;
                if name.is_empty() {
                    break;
                }
                parameters.push((name, body.string()?));
            }
            Ok(Some(Startup::Session { minor, parameters }))
        }
        (major, minor) => Err(ProtocolError::UnsupportedVersion { major, minor }),
    }
}

/// Reads the first answer to a question for authentication: the mechanism, and the client's first message if it is there.
pub fn sasl_initial_response(body: Bytes) -> Result<(String, Option<Bytes>), ProtocolError> {
    let mut body = Body(body);
    let mechanism = body.string()?;
    let first = body.value()?;
    if body.0.has_remaining() {
        return Err(ProtocolError::InvalidBody);
    }
    Ok((mechanism, first))
}

/// Decodes a message.
pub fn decode(kind: u8, body: Bytes) -> Result<Message, ProtocolError> {
    let mut body = Body(body);
    let message = match kind {
        b'Q' => Message::Query(body.string()?),
        b'P' => {
            let name = body.string()?;
            let text = body.string()?;
            let count = body.count(4)?;
            let parameter_types = (0..count).map(|_| body.u32()).collect::<Result<_, _>>()?;
            Message::Parse {
                name,
                text,
                parameter_types,
            }
        }
        b'B' => {
            let portal = body.string()?;
            let statement = body.string()?;
            let parameter_formats = body.i16s()?;
            let count = body.count(4)?;
            let parameters = (0..count).map(|_| body.value()).collect::<Result<_, _>>()?;
            let result_formats = body.i16s()?;
            Message::Bind(Bind {
                portal,
                statement,
                parameter_formats,
                parameters,
                result_formats,
            })
        }
        b'D' => Message::Describe(body.target()?, body.string()?),
        b'E' => Message::Execute {
            portal: body.string()?,
            rows_max: body.i32()?,
        },
        b'C' => Message::Close(body.target()?, body.string()?),
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'd' => return Ok(Message::CopyData(body.0)),
        b'c' => Message::CopyDone,
        b'f' => Message::CopyFail(body.string()?),
        b'X' => Message::Terminate,
        other => return Err(ProtocolError::UnknownType(other)),
    };
    if body.0.has_remaining() {
        return Err(ProtocolError::InvalidBody);
    }
    Ok(message)
}

/// What is left of a body.
struct Body(Bytes);

impl Body {
    fn check(&self, bytes: usize) -> Result<(), ProtocolError> {
        if self.0.remaining() < bytes {
            Err(ProtocolError::InvalidBody)
        } else {
            Ok(())
        }
    }

    fn u8(&mut self) -> Result<u8, ProtocolError> {
        self.check(1)?;
        Ok(self.0.get_u8())
    }

    fn u16(&mut self) -> Result<u16, ProtocolError> {
        self.check(2)?;
        Ok(self.0.get_u16())
    }

    fn i32(&mut self) -> Result<i32, ProtocolError> {
        self.check(4)?;
        Ok(self.0.get_i32())
    }

    fn u32(&mut self) -> Result<u32, ProtocolError> {
        self.check(4)?;
        Ok(self.0.get_u32())
    }

    /// A count of things of at least so many bytes each.
    fn count(&mut self, bytes_each: usize) -> Result<usize, ProtocolError> {
        let count = usize::from(self.u16()?);
        self.check(count * bytes_each)?;
        Ok(count)
    }

    fn i16s(&mut self) -> Result<Vec<i16>, ProtocolError> {
        let count = self.count(2)?;
        (0..count)
            .map(|_| self.u16().map(|value| value as i16))
            .collect()
    }

    fn string(&mut self) -> Result<String, ProtocolError> {
        let end = self
            .0
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(ProtocolError::InvalidBody)?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(text.into()).map_err(|_| ProtocolError::InvalidText)
    }

    fn value(&mut self) -> Result<Option<Bytes>, ProtocolError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| ProtocolError::InvalidBody)?;
                self.check(length)?;
                Ok(Some(self.0.split_to(length)))
            }
        }
    }

    fn target(&mut self) -> Result<Target, ProtocolError> {
        match self.u8()? {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            _ => Err(ProtocolError::InvalidBody),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, body: &[u8]) -> BytesMut {
        let mut buffer = BytesMut::from([kind].as_slice());
        buffer.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
        buffer.extend_from_slice(body);
        buffer
    }

    fn message(kind: u8, body: &[u8]) -> Result<Message, ProtocolError> {
        let mut buffer = frame(kind, body);
        let (kind, body) = take_frame(&mut buffer, 1 << 20)?.expect("a whole frame");
        assert!(buffer.is_empty());
        decode(kind, body)
    }

    #[test]
    fn messages_are_read() {
        assert_eq!(
            message(b'Q', b"select 1\0"),
            Ok(Message::Query("select 1".into()))
        );
        assert_eq!(
            message(b'P', b"s\0select $1\0\0\x01\0\0\0\x17"),
            Ok(Message::Parse {
                name: "s".into(),
                text: "select $1".into(),
                parameter_types: vec![23]
            })
        );
        assert_eq!(
            message(
                b'B',
                b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0"
            ),
            Ok(Message::Bind(Bind {
                portal: "p".into(),
                statement: "s".into(),
                parameter_formats: vec![1],
                parameters: vec![Some(Bytes::from_static(b"x")), None],
                result_formats: vec![],
            }))
        );
        assert_eq!(
            message(b'E', b"\0\x7f\xff\xff\xff"),
            Ok(Message::Execute {
                portal: String::new(),
                rows_max: i32::MAX
            })
        );
        assert_eq!(
            message(b'D', b"Px\0"),
            Ok(Message::Describe(Target::Portal, "x".into()))
        );
    }

    #[test]
    fn wrong_bodies_are_refused() {
        assert_eq!(message(b'Q', b"select 1"), Err(ProtocolError::InvalidBody));
        assert_eq!(message(b'Q', b"a\0b\0"), Err(ProtocolError::InvalidBody));
        assert_eq!(message(b'Q', b"\xff\0"), Err(ProtocolError::InvalidText));
        assert_eq!(
            message(b'P', b"\0\0\xff\xff"),
            Err(ProtocolError::InvalidBody)
        );
        // A length that reaches beyond the message, and a negative one.
        assert_eq!(
            message(b'B', b"\0\0\0\0\0\x01\0\0\0\x10x"),
            Err(ProtocolError::InvalidBody)
        );
        assert_eq!(
            message(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe"),
            Err(ProtocolError::InvalidBody)
        );
        assert_eq!(message(b'D', b"X\0"), Err(ProtocolError::InvalidBody));
    }

    #[test]
    fn wrong_frames_end_the_connection() {
        let mut huge = BytesMut::from(b"Q\x7f\xff\xff\xff".as_slice());
        assert!(matches!(
            take_frame(&mut huge, 1 << 20),
            Err(ProtocolError::TooLong { .. })
        ));
        let mut negative = BytesMut::from(b"Q\xff\xff\xff\xff".as_slice());
        assert_eq!(
            take_frame(&mut negative, 1 << 20),
            Err(ProtocolError::InvalidLength)
        );
        let mut unknown = BytesMut::from(b"?\0\0\0\x04".as_slice());
        assert_eq!(
            take_frame(&mut unknown, 1 << 20),
            Err(ProtocolError::UnknownType(b'?'))
        );
        let mut partial = frame(b'Q', b"select 1\0");
        partial.truncate(7);
        assert_eq!(take_frame(&mut partial, 1 << 20), Ok(None));
    }

    #[test]
    fn first_messages_are_read() {
        let mut ssl = BytesMut::from(b"\0\0\0\x08\x04\xd2\x16\x2f".as_slice());
        assert_eq!(take_startup(&mut ssl, 100), Ok(Some(Startup::Ssl)));
        let mut cancel = BytesMut::from(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07abcd".as_slice());
        assert_eq!(
            take_startup(&mut cancel, 100),
            Ok(Some(Startup::Cancel {
                process: 7,
                secret: Bytes::from_static(b"abcd")
            }))
        );
        let mut session = BytesMut::from(b"\0\0\0\x11\0\x03\0\0user\0me\0\0".as_slice());
        assert_eq!(
            take_startup(&mut session, 100),
            Ok(Some(Startup::Session {
                minor: 0,
                parameters: vec![("user".into(), "me".into())]
            }))
        );
        let mut old = BytesMut::from(b"\0\0\0\x08\0\x02\0\0".as_slice());
        assert_eq!(
            take_startup(&mut old, 100),
            Err(ProtocolError::UnsupportedVersion { major: 2, minor: 0 })
        );
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..64), kind in prop::sample::select(b"QPBDECHSdcfX".to_vec())) {
            let mut buffer = BytesMut::from(bytes.as_slice());
            let _ = take_startup(&mut buffer, 1000);
            let mut buffer = BytesMut::from(bytes.as_slice());
            let _ = take_frame(&mut buffer, 1000);
            let mut buffer = BytesMut::from(bytes.as_slice());
            let _ = take_login_message(&mut buffer, 1000);
            let _ = sasl_initial_response(Bytes::from(bytes.clone()));
            let _ = decode(kind, Bytes::from(bytes));
        }
    }
}
