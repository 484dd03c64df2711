//! Kafka's variable-length integers: zigzag, seven bits a byte, least first.

/// Takes a 64-bit integer off the front. `None` if the bytes end early or say more than 64 bits.
#[inline]
pub fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    // Lengths and deltas nearly always fit in one byte or two.
    match **bytes {
        [first @ 0..0x80, ref rest @ ..] => {
            *bytes = rest;
            Some(unzigzag(u64::from(first)))
        }
        [first, second @ 0..0x80, ref rest @ ..] => {
            *bytes = rest;
            Some(unzigzag(u64::from(first & 0x7f) | u64::from(second) << 7))
        }
        _ => take_long(bytes),
    }
}

fn take_long(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if at == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(unzigzag(value));
        }
    }
    None
}

/// Takes a 32-bit integer off the front.
#[inline]
pub fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    i32::try_from(take_varlong(bytes)?).ok()
}

/// Appends an integer; the encoding of 32 and 64 bits is the same.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Bytes that [`put_varint`] appends.
#[inline]
pub fn varint_length(value: i64) -> usize {
    let bits = 64 - (((value << 1) ^ (value >> 63)) as u64 | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_come_back(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varint_length(value));
            let mut rest = bytes.as_slice();
            prop_assert_eq!(take_varlong(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
            for length in 0..bytes.len() {
                prop_assert_eq!(take_varlong(&mut &bytes[..length]), None);
            }
        }
    }

    #[test]
    fn more_than_the_bits_there_are() {
        assert_eq!(take_varlong(&mut [0xff; 11].as_slice()), None);
        let mut large = Vec::new();
        put_varint(&mut large, i64::from(i32::MAX) + 1);
        assert_eq!(take_varint(&mut large.as_slice()), None);
    }
}
