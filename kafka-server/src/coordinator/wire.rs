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

    /// A number of seven bits to the byte, the lowest first.
    pub fn unsigned_varint(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in (0..u32::BITS).step_by(7) {
            let [byte] = self.array()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A string of the flexible versions: its length is one less than what is written; 0 is NULL.
    pub fn compact_string(&mut self) -> Option<String> {
        let length = self.unsigned_varint()?.checked_sub(1)?;
        let bytes = self.take(length as usize)?;
        String::from_utf8(bytes.to_vec()).ok()
    }

    /// The fields that a flexible version may have at its end, by their numbers.
    pub fn tagged_fields(&mut self) -> Option<Vec<(u32, Bytes)>> {
        let mut fields = Vec::new();
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let length = self.unsigned_varint()?;
            fields.push((tag, self.take(length as usize)?));
        }
        Some(fields)
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

pub fn put_unsigned_varint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// Writes a string as the flexible versions have it.
pub fn put_compact_string(out: &mut Vec<u8>, string: &str) {
    debug_assert!(string.len() <= STRING_BYTES_MAX, "checked at the door");
    put_unsigned_varint(out, string.len() as u32 + 1);
    out.put_slice(string.as_bytes());
}

/// Writes the field of one number that a flexible version has at its end.
pub fn put_tagged_field(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    put_unsigned_varint(out, 1);
    put_unsigned_varint(out, tag);
    put_unsigned_varint(out, value.len() as u32);
    out.put_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_are_read_as_they_were_written() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, u32::MAX] {
            let mut out = Vec::new();
            put_unsigned_varint(&mut out, number);
            assert_eq!(Reader::new(out.into()).unsigned_varint(), Some(number));
        }
        let endless = Bytes::from_static(&[0xff; 6]);
        assert_eq!(Reader::new(endless).unsigned_varint(), None);
    }
}
