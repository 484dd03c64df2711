//! Postgres' binary form of values.

use engine::formats::{Column, Values};

use crate::types;

/// Days from 1970-01-01 to 2000-01-01, Postgres' epoch.
pub const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// A value that has no binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ragged;

/// Writes the binary form of a cell that is not NULL. `oid` is the type that the client was told.
pub fn write_binary(
    column: &Column,
    row: usize,
    oid: u32,
    out: &mut Vec<u8>,
) -> Result<(), Ragged> {
    match column.values() {
        Values::Null => {}
        Values::Boolean(array) => out.push(array.value(row).into()),
        Values::Int16(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
        Values::Int32(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
        // Object identifiers are unsigned numbers of four bytes.
        Values::Int64(array) if oid == types::OID => {
            out.extend_from_slice(&(array.value(row) as u32).to_be_bytes());
        }
        Values::Int64(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
        Values::Float32(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
        Values::Float64(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
        Values::Decimal128(..) | Values::Decimal256(..) => {
            let mut text = Vec::new();
            column.write_text(row, &mut text);
            write_numeric(out, &text);
        }
        Values::Uuid(array) => out.extend_from_slice(array.value(row)),
        Values::Bytes(blobs) => out.extend_from_slice(blobs.value(row)),
        Values::Date(array) => {
            out.extend_from_slice(&array.value(row).saturating_sub(EPOCH_DAYS).to_be_bytes());
        }
        Values::Time(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
        Values::Timestamp(array) | Values::TimestampTz(array, _) => {
            out.extend_from_slice(&array.value(row).saturating_sub(EPOCH_MICROS).to_be_bytes());
        }
        Values::Interval(array) => {
            let value = array.value(row);
            out.extend_from_slice(&(value.nanoseconds / 1000).to_be_bytes());
            out.extend_from_slice(&value.days.to_be_bytes());
            out.extend_from_slice(&value.months.to_be_bytes());
        }
        Values::List(..) => write_array(column, row, oid, out)?,
        Values::Text(texts) if oid == types::UUID => {
            let uuid = uuid::Uuid::try_parse(texts.value(row)).unwrap_or_default();
            out.extend_from_slice(uuid.as_bytes());
        }
        Values::Json(texts) if oid == types::JSONB => {
            // A version number stands before the text.
            out.push(1);
            out.extend_from_slice(texts.value(row).as_bytes());
        }
        // The binary form of texts is the text.
        Values::Text(_) | Values::Json(_) | Values::Struct(_) | Values::Map(..) => {
            column.write_text(row, out)
        }
    }
    Ok(())
}

/// number of groups, weight of the first, sign, digits after the point: i16 each; then groups of four decimal digits.
fn write_numeric(out: &mut Vec<u8>, text: &[u8]) {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (0x4000u16, rest),
        rest => (0, rest),
    };
    let point = digits
        .iter()
        .position(|byte| *byte == b'.')
        .unwrap_or(digits.len());
    let whole = &digits[..point];
    let fraction = digits.get(point + 1..).unwrap_or_default();
    let mut groups: Vec<u16> = Vec::with_capacity(whole.len() / 4 + fraction.len() / 4 + 2);
    let group = |digits: &[u8]| {
        digits
            .iter()
            .fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'))
    };
    // Groups are counted from the point in both directions.
    let (head, tail) = whole.split_at(whole.len() % 4);
    if !head.is_empty() {
        groups.push(group(head));
    }
    groups.extend(tail.chunks(4).map(group));
    let mut weight = groups.len() as i16 - 1;
    for chunk in fraction.chunks(4) {
        groups.push(group(chunk) * 10u16.pow(4 - chunk.len() as u32));
    }
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= zeros as i16;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let (sign, weight) = if groups.is_empty() {
        (0, 0)
    } else {
        (sign, weight)
    };
    for value in [
        groups.len() as u16,
        weight as u16,
        sign,
        fraction.len() as u16,
    ] {
        out.extend_from_slice(&value.to_be_bytes());
    }
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// dimensions: i32, whether there are NULLs: i32, type of elements: u32; per dimension its length and lower bound; then
/// the elements, each with its length.
fn write_array(column: &Column, row: usize, oid: u32, out: &mut Vec<u8>) -> Result<(), Ragged> {
    let Values::List(offsets, items) = column.values() else {
        return Err(Ragged);
    };
    let range = offsets[row] as usize..offsets[row + 1] as usize;
    let element_oid = types::element_of(oid).unwrap_or(types::TEXT);
    let mut dimensions = Vec::new();
    measure(items, range.clone(), 0, &mut dimensions)?;
    if dimensions.contains(&0) {
        // An empty array has no dimensions.
        dimensions.clear();
    }
    out.extend_from_slice(&(dimensions.len() as i32).to_be_bytes());
    let flag = out.len();
    out.extend_from_slice(&0i32.to_be_bytes());
    out.extend_from_slice(&element_oid.to_be_bytes());
    for length in &dimensions {
        out.extend_from_slice(&(*length as i32).to_be_bytes());
        out.extend_from_slice(&1i32.to_be_bytes());
    }
    if !dimensions.is_empty() && write_elements(items, range, element_oid, out)? {
        out[flag..flag + 4].copy_from_slice(&1i32.to_be_bytes());
    }
    Ok(())
}

/// The lengths of all dimensions; arrays beside each other must be of the same length.
fn measure(
    items: &Column,
    range: std::ops::Range<usize>,
    depth: usize,
    dimensions: &mut Vec<usize>,
) -> Result<(), Ragged> {
    match dimensions.get(depth) {
        None => dimensions.push(range.len()),
        Some(length) if *length == range.len() => {}
        Some(_) => return Err(Ragged),
    }
    if let Values::List(offsets, inner) = items.values() {
        for item in range {
            if items.is_null(item) {
                return Err(Ragged);
            }
            measure(
                inner,
                offsets[item] as usize..offsets[item + 1] as usize,
                depth + 1,
                dimensions,
            )?;
        }
    }
    Ok(())
}

/// Writes the elements; gives whether one is NULL.
fn write_elements(
    items: &Column,
    range: std::ops::Range<usize>,
    element_oid: u32,
    out: &mut Vec<u8>,
) -> Result<bool, Ragged> {
    let mut any_null = false;
    for item in range {
        if let Values::List(offsets, inner) = items.values() {
            let range = offsets[item] as usize..offsets[item + 1] as usize;
            any_null |= write_elements(inner, range, element_oid, out)?;
        } else if items.is_null(item) {
            any_null = true;
            out.extend_from_slice(&(-1i32).to_be_bytes());
        } else {
            write_sized(out, |out| write_binary(items, item, element_oid, out))?;
        }
    }
    Ok(any_null)
}

/// Writes a value with its length before it.
pub fn write_sized<E>(
    out: &mut Vec<u8>,
    value: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    value(out)?;
    // The length of a value does not count itself.
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// The text of a numeric in binary form.
pub fn numeric_text(mut bytes: &[u8]) -> Option<String> {
    let mut next = || -> Option<u16> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        bytes = rest;
        Some(u16::from_be_bytes(*head))
    };
    let count = usize::from(next()?);
    let weight = next()? as i16;
    let sign = next()?;
    let scale = usize::from(next()?);
    if !matches!(sign, 0 | 0x4000) || scale > 16_383 {
        // NaN and the infinities have no decimal digits.
        return match sign {
            0xC000 => Some("NaN".to_owned()),
            0xD000 => Some("Infinity".to_owned()),
            0xF000 => Some("-Infinity".to_owned()),
            _ => None,
        };
    }
    let mut groups = Vec::with_capacity(count.min(1000));
    for _ in 0..count {
        groups.push(next().filter(|group| *group < 10_000)?);
    }
    let group = |index: i32| {
        usize::try_from(index)
            .ok()
            .and_then(|index| groups.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::new();
    if sign != 0 {
        text.push('-');
    }
    let weight = i32::from(weight);
    if weight < 0 {
        text.push('0');
    }
    for index in 0..=weight {
        if index == 0 {
            text.push_str(&group(index).to_string());
        } else {
            text.push_str(&format!("{:04}", group(index)));
        }
    }
    if scale > 0 {
        text.push('.');
        let mut digits = String::new();
        let mut index = weight + 1;
        // With a weight below -1 there are groups of zeros between the point and the first group.
        for _ in weight + 1..0 {
            if digits.len() >= scale {
                break;
            }
            digits.push_str("0000");
        }
        index = index.max(0);
        while digits.len() < scale {
            digits.push_str(&format!("{:04}", group(index)));
            index += 1;
        }
        text.push_str(&digits[..scale]);
    }
    Some(text)
}
