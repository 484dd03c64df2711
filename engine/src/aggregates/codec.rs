//! How the values of accumulators are written in a checkpoint.
//!
//! ```text
//! integer  zigzag, then 7 bits a byte, least significant first, high bit set but on the last
//! float    8 bytes, little-endian
//! bytes    length as integer, then the bytes
//! ```

/// A stored state that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

pub(crate) fn write_i64(value: i64, out: &mut Vec<u8>) {
    write_i128(i128::from(value), out);
}

pub(crate) fn read_i64(bytes: &mut &[u8]) -> Result<i64, Damaged> {
    i64::try_from(read_i128(bytes)?).map_err(|_| Damaged)
}

pub(crate) fn write_i128(value: i128, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 127)) as u128;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

pub(crate) fn read_i128(bytes: &mut &[u8]) -> Result<i128, Damaged> {
    let mut value = 0u128;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        let low = u128::from(byte & 0x7f);
        if shift > 126 || (shift == 126 && low > 3) {
            return Err(Damaged);
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok((value >> 1) as i128 ^ -((value & 1) as i128))
}

pub(crate) fn write_f64(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn read_f64(bytes: &mut &[u8]) -> Result<f64, Damaged> {
    let (value, rest) = bytes.split_first_chunk::<8>().ok_or(Damaged)?;
    *bytes = rest;
    Ok(f64::from_le_bytes(*value))
}

pub(crate) fn write_u64(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn read_u64(bytes: &mut &[u8]) -> Result<u64, Damaged> {
    let (value, rest) = bytes.split_first_chunk::<8>().ok_or(Damaged)?;
    *bytes = rest;
    Ok(u64::from_be_bytes(*value))
}

pub(crate) fn write_bytes(value: &[u8], out: &mut Vec<u8>) {
    write_i128(value.len() as i128, out);
    out.extend_from_slice(value);
}

pub(crate) fn read_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    let length = usize::try_from(read_i128(bytes)?).map_err(|_| Damaged)?;
    let (value, rest) = bytes.split_at_checked(length).ok_or(Damaged)?;
    *bytes = rest;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        let values = [
            0,
            1,
            -1,
            63,
            64,
            -65,
            i128::from(i64::MIN),
            i128::MAX,
            i128::MIN,
        ];
        let mut out = Vec::new();
        for value in values {
            write_i128(value, &mut out);
        }
        let mut bytes = out.as_slice();
        for value in values {
            assert_eq!(read_i128(&mut bytes), Ok(value));
        }
        assert_eq!(read_i128(&mut bytes), Err(Damaged));
    }

    #[test]
    fn an_endless_integer_is_damage() {
        assert_eq!(read_i128(&mut [0xff; 40].as_slice()), Err(Damaged));
    }
}
