//! Kafka's plain encoding of numbers, strings and bytes (big-endian, lengths in front), as its internal
//! records and the consumers' embedded messages use it.

use bytes::{BufMut, Bytes};

/// Longest string that a length of 16 bits can announce.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Reads fields one after the other; `None` at the first that is not there whole.
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, count: usize) -> Option<Bytes> {
        (count <= self.rest.len()).then(|| self.rest.split_to(count))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.as_ref().try_into().ok()
    }

    pub fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// The length of an array; each element takes at least one byte.
    pub fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.i32()?).ok()?;
        (count <= self.rest.len()).then_some(count)
    }

    pub fn nullable_string(&mut self) -> Option<Option<String>> {
        let Ok(length) = usize::try_from(self.i16()?) else {
            return Some(None);
        };
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).ok().map(Some)
    }

    pub fn string(&mut self) -> Option<String> {
        self.nullable_string()?
    }

    /// NULL is read as no bytes.
    pub fn bytes(&mut self) -> Option<Bytes> {
        match usize::try_from(self.i32()?) {
            Ok(length) => self.take(length),
            Err(_) => Some(Bytes::new()),
        }
    }
}

/// Writes a string; what is longer than [`STRING_BYTES_MAX`] is refused at the door.
pub fn put_string(out: &mut Vec<u8>, string: &str) {
    debug_assert!(string.len() <= STRING_BYTES_MAX, "checked at the door");
    out.put_i16(string.len() as i16);
    out.put_slice(string.as_bytes());
}

pub fn put_nullable_string(out: &mut Vec<u8>, string: Option<&str>) {
    match string {
        Some(string) => put_string(out, string),
        None => out.put_i16(-1),
    }
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}
