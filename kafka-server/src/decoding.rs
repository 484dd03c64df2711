//! Reads messages without believing the lengths that they announce.
//!
//! The decoders of `kafka-protocol` make room for an array before they read its elements, so that a frame of
//! a few bytes could ask for more memory than there is, which ends the process. So a message is first read in
//! a way that finds out lengths that cannot be true, and then as usual.
//!
//! Every element takes at least one byte. In the first reading, through [`Suspicious`],
//! - a number of 32 bits that is larger than what follows is said to be one more than what follows. If it
//!   was the length of an array, or of bytes, reading fails for want of bytes, with little memory in vain;
//!   if it was something else, nothing depends on it, since what is read is thrown away.
//! - a number of variable length that is larger than what follows is refused: only lengths, and the numbers
//!   of fields, which are small, are written so.
//!
//! What passes holds no array with more elements than bytes behind its length.

use bytes::buf::Buf;
use bytes::{Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Reads a message, and takes its bytes.
///
/// # Errors
/// When the bytes are not such a message.
pub fn decode<T: Decodable>(bytes: &mut Bytes, version: i16) -> Result<T, Malformed> {
    let malformed = |error: &dyn std::fmt::Display| Malformed(error.to_string());
    let mut suspicious = Suspicious(bytes.clone());
    T::decode(&mut suspicious, version).map_err(|error| malformed(&error))?;
    T::decode(bytes, version).map_err(|error| malformed(&error))
}

/// Bytes that tell lengths as they may be at the most.
struct Suspicious(Bytes);

impl Suspicious {
    /// The number of variable length that may begin here.
    fn peek_varint(&self) -> u64 {
        let mut value = 0;
        for (index, byte) in self.0.iter().take(5).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
}

impl Buf for Suspicious {
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.0.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        // Lengths in this form are one more than what they count. The bytes of the number itself are in what
        // is left, too, so nothing that is true is refused.
        let announced = self.peek_varint();
        if announced > self.0.len() as u64 + 1 {
            return Err(TryGetError {
                requested: usize::try_from(announced).unwrap_or(usize::MAX),
                available: self.0.len(),
            });
        }
        self.0.try_get_u8()
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let value = self.0.try_get_i32()?;
        let one_too_many = i32::try_from(self.0.len() + 1).unwrap_or(i32::MAX);
        Ok(value.min(one_too_many))
    }
}

impl ByteBuf for Suspicious {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.0.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.0.split_to(size)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
    use kafka_protocol::messages::{
        AddPartitionsToTxnRequest, JoinGroupRequest, MetadataRequest, OffsetFetchRequest,
        ProduceRequest,
    };
    use kafka_protocol::protocol::{Encodable, StrBytes};
    use proptest::prelude::*;

    use super::*;

    fn join() -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str("range"))
            .with_metadata(Bytes::from(vec![0xff; 300]));
        JoinGroupRequest::default()
            .with_group_id(StrBytes::from_static_str("g").into())
            .with_session_timeout_ms(i32::MAX)
            .with_rebalance_timeout_ms(1_800_000)
            .with_member_id(StrBytes::from_static_str("m"))
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![protocol])
    }

    #[test]
    fn numbers_that_are_no_lengths_may_be_large() {
        for version in 1..=9 {
            let mut bytes = BytesMut::new();
            join().encode(&mut bytes, version).unwrap();
            let mut bytes = bytes.freeze();
            let read: JoinGroupRequest = decode(&mut bytes, version).unwrap();
            assert_eq!(read, join());
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        for version in [5, 9] {
            let mut whole = BytesMut::new();
            join().encode(&mut whole, version).unwrap();
            let whole = whole.freeze();
            for length in 0..whole.len() {
                let mut bytes = whole.slice(..length);
                assert!(decode::<JoinGroupRequest>(&mut bytes, version).is_err());
            }
        }
    }

    #[test]
    fn an_announced_length_makes_no_room() {
        for version in 1..=13 {
            let announced: &[u8] = match version < 9 {
                true => &[0x7f, 0xff, 0xff, 0xff],
                false => &[0xff, 0xff, 0xff, 0xff, 0x0f],
            };
            let mut bytes = Bytes::copy_from_slice(&[announced, &[0; 40]].concat());
            assert!(decode::<MetadataRequest>(&mut bytes, version).is_err());
        }
    }

    proptest! {
        /// Whatever comes, the process lives: no allocation beyond the size of what was sent.
        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..80), large in any::<bool>()) {
            let fill = if large { [0x7f, 0xff, 0xff, 0xff] } else { [0; 4] };
            let bytes: Vec<u8> = fill.into_iter().chain(bytes).collect();
            for version in 0..=13 {
                let bytes = || Bytes::copy_from_slice(&bytes);
                let _ = decode::<MetadataRequest>(&mut bytes(), version);
                let _ = decode::<JoinGroupRequest>(&mut bytes(), version.min(9));
                let _ = decode::<OffsetFetchRequest>(&mut bytes(), version.clamp(1, 9));
                let _ = decode::<AddPartitionsToTxnRequest>(&mut bytes(), version.min(5));
                let _ = decode::<ProduceRequest>(&mut bytes(), version.clamp(3, 12));
            }
        }
    }
}
