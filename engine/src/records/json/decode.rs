//! JSON text straight into columns.
//!
//! The rules are those of ksqlDB's deserializer: names match whatever their case, the exact one first;
//! what is missing is NULL; numbers and strings turn into each other where they can, anything turns
//! into a string; and what does not fit makes the record bad. Of several members of one name the last
//! counts. Numbers that are out of range are errors here and wrap there.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::super::column::{Blobs, Column, Decimals, Members, TextKind};
use super::super::text::{self, does_not_fit, scaled};
use super::marks::Marks;
use super::scanner::{Number, Scanner};
use super::{Fail, Fallible};

/// Base64 with or without padding.
pub(in crate::records) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// More entries of a map than this are compared by hash.
const MAP_LINEAR_MAX: usize = 16;

/// Reads a whole text as one object. `false`: it is `null`, and nothing was appended.
pub(in crate::records) fn object(
    members: &mut Members,
    marks: &mut Marks,
    bytes: &[u8],
    careful: bool,
) -> Fallible<bool> {
    let mut scanner = Scanner::new(bytes, marks);
    if scanner.peek()? == b'n' {
        scanner.literal("null")?;
        scanner.end()?;
        return Ok(false);
    }
    read_members(members, &mut scanner, careful, "a record")?;
    scanner.end()?;
    Ok(true)
}

/// Reads a whole text as the value of one column.
pub(in crate::records) fn bare(
    column: &mut Column,
    marks: &mut Marks,
    bytes: &[u8],
    careful: bool,
) -> Fallible<bool> {
    let mut scanner = Scanner::new(bytes, marks);
    let null = scanner.peek()? == b'n';
    if null {
        scanner.literal("null")?;
    } else {
        value(column, &mut scanner, careful)?;
    }
    scanner.end()?;
    Ok(!null)
}

/// Reads an object; columns without a member are NULL.
fn read_members(
    members: &mut Members,
    scanner: &mut Scanner,
    careful: bool,
    what: &str,
) -> Fallible {
    if scanner.peek()? != b'{' {
        let kind = kind(scanner)?;
        return Err(Fail::reason(format!("cannot convert {kind} to {what}")));
    }
    scanner.enter()?;
    members.names.begin();
    let mut left = members.columns.len();
    if careful {
        left -= read_chosen(members, scanner)?;
    } else if !scanner.take_if(b'}')? {
        for place in 0.. {
            let passed = match members.names.at(place) {
                Some((name, None)) => scanner.take_plain_member(name),
                _ => false,
            };
            if !passed && member(members, scanner, place)? {
                left -= 1;
            }
            if !scanner.goes_on(b'}')? {
                break;
            }
        }
    }
    if left > 0 {
        for (at, column) in members.columns.iter_mut().enumerate() {
            if !members.names.is_seen(at) {
                column.append_null();
            }
        }
    }
    scanner.leave();
    Ok(())
}

/// Reads the member at a place of an object. Returns whether there is a column for it.
#[inline]
fn member(members: &mut Members, scanner: &mut Scanner, place: usize) -> Fallible<bool> {
    scanner.peek()?;
    let start = scanner.position();
    let target = match members.names.at(place) {
        Some((quoted, target)) if scanner.take_name_if(quoted) => target,
        _ => {
            let name = scanner.name()?;
            if name.escaped {
                members.names.look_up(name.get(&mut Vec::new())?)
            } else {
                members.names.find(place, name.raw)
            }
        }
    };
    let Some(target) = target else {
        scanner.skip()?;
        return Ok(false);
    };
    if !members.names.see(target.column) {
        return Err(Box::new(Fail::Duplicate));
    }
    let column = &mut members.columns[target.column];
    // The most frequent kind of number needs not be taken apart.
    if let Column::Int64(numbers) = column
        && let Some(number) = scanner.take_small()
    {
        numbers.append(i64::from(number));
        return Ok(true);
    }
    value(column, scanner, false).map_err(|fail| within_member(fail, scanner, start))?;
    Ok(true)
}

/// Says of a failure that it is in the member whose name begins at `start`.
#[cold]
fn within_member(fail: Box<Fail>, scanner: &Scanner, start: usize) -> Box<Fail> {
    let mut scanner = scanner.clone();
    scanner.go_to(start);
    match scanner.name() {
        Ok(name) => fail.within(|| format!(".{}", String::from_utf8_lossy(name.raw))),
        Err(_) => fail,
    }
}

/// Reads an object that may have several members for a column: first finds those that count.
/// Returns how many columns have one.
fn read_chosen(members: &mut Members, scanner: &mut Scanner) -> Fallible<usize> {
    let mut chosen: Vec<Option<(bool, usize, usize)>> = vec![None; members.columns.len()];
    if !scanner.take_if(b'}')? {
        loop {
            scanner.peek()?;
            let start = scanner.position();
            let name = scanner.name()?;
            let mut aside = Vec::new();
            let target = members.names.look_up(name.get(&mut aside)?);
            let position = scanner.position();
            scanner.skip()?;
            if let Some(target) = target {
                let slot = &mut chosen[target.column];
                // The last one that is spelled exactly, else the first of any spelling.
                if target.exact || slot.is_none() {
                    *slot = Some((target.exact, start, position));
                }
            }
            if !scanner.goes_on(b'}')? {
                break;
            }
        }
    }
    let end = scanner.position();
    let mut count = 0;
    for (column, slot) in chosen.into_iter().enumerate() {
        if let Some((_, start, position)) = slot {
            members.names.see(column);
            count += 1;
            scanner.go_to(position);
            value(&mut members.columns[column], scanner, true)
                .map_err(|fail| within_member(fail, scanner, start))?;
        }
    }
    scanner.go_to(end);
    Ok(count)
}

/// Reads a value into a column.
fn value(column: &mut Column, scanner: &mut Scanner, careful: bool) -> Fallible {
    let first = scanner.peek()?;
    if first == b'n' {
        scanner.literal("null")?;
        column.append_null();
        return Ok(());
    }
    let start = scanner.position();
    match column {
        Column::Text(blobs, kind) => return text_value(blobs, kind, first, scanner),
        Column::List(lists) => {
            if first == b'[' {
                scanner.enter()?;
                if !scanner.take_if(b']')? {
                    let mut index = 0;
                    loop {
                        value(&mut lists.items, scanner, careful)
                            .map_err(|fail| fail.within(|| format!("[{index}]")))?;
                        index += 1;
                        if !scanner.goes_on(b']')? {
                            break;
                        }
                    }
                }
                scanner.leave();
                lists.close();
                return Ok(());
            }
        }
        Column::Struct(structs) => {
            if first == b'{' {
                read_members(&mut structs.members, scanner, careful, "struct")?;
                structs.close();
                return Ok(());
            }
        }
        Column::Map(maps) => {
            if first == b'{' {
                return map(maps, scanner, careful);
            }
        }
        Column::Boolean(booleans) => match first {
            b't' => {
                scanner.literal("true")?;
                booleans.append(true);
                return Ok(());
            }
            b'f' => {
                scanner.literal("false")?;
                booleans.append(false);
                return Ok(());
            }
            _ => {}
        },
        _ => match first {
            b'-' | b'0'..=b'9' => {
                let number = scanner.number()?;
                if append_number(column, number)? {
                    return Ok(());
                }
                scanner.go_to(start);
            }
            b'"' => {
                let mut aside = Vec::new();
                let text = scanner.text()?;
                let text = std::str::from_utf8(text.get(&mut aside)?)
                    .map_err(|_| Fail::reason("a string is not UTF-8".into()))?;
                return text::append(column, text);
            }
            _ => {}
        },
    }
    let kind = kind(scanner)?;
    Err(Fail::reason(format!(
        "cannot convert {kind} to {}",
        column.type_name()
    )))
}

/// What kind of value comes next, for messages.
fn kind(scanner: &mut Scanner) -> Fallible<&'static str> {
    Ok(match scanner.peek()? {
        b'"' => "a string",
        b'{' => "an object",
        b'[' => "an array",
        b't' | b'f' => "a boolean",
        b'-' | b'0'..=b'9' => "a number",
        _ => return Err(scanner.syntax("expected a value")),
    })
}

/// `false` if numbers do not become values of this type.
#[inline]
fn append_number(column: &mut Column, number: Number) -> Fallible<bool> {
    let out_of_range =
        |name: &str| Fail::reason(format!("{} is out of range for type {name}", number.text()));
    let whole = |name: &str| number.to_i64().ok_or_else(|| out_of_range(name));
    match column {
        Column::Int64(numbers) => numbers.append(whole("bigint")?),
        Column::Float64(numbers) => numbers.append(number.to_f64()),
        Column::Int32(numbers) => {
            let value = i32::try_from(whole("integer")?).map_err(|_| out_of_range("integer"))?;
            numbers.append(value);
        }
        Column::Int16(numbers) => {
            let value = i16::try_from(whole("smallint")?).map_err(|_| out_of_range("smallint"))?;
            numbers.append(value);
        }
        Column::Float32(numbers) => {
            numbers.append(number.text().parse().expect("Rust reads what JSON writes"));
        }
        Column::Decimal(numbers, decimals) => numbers.append(decimal(number, *decimals)?),
        Column::Date(numbers) => {
            numbers.append(text::date_of_days(whole("date")?).ok_or_else(|| out_of_range("date"))?);
        }
        Column::Time(numbers) => {
            numbers.append(text::time_of_ms(whole("time")?).ok_or_else(|| out_of_range("time"))?);
        }
        Column::Timestamp(numbers, _) => {
            let ms = whole("timestamp")?;
            numbers.append(
                ms.checked_mul(1000)
                    .ok_or_else(|| out_of_range("timestamp"))?,
            );
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The number with the scale of the type, which must hold all its digits.
fn decimal(number: Number, decimals: Decimals) -> Fallible<i128> {
    if number.exact {
        let shift = i64::from(number.exponent) + i64::from(decimals.scale);
        let value = scaled(i128::from(number.mantissa), shift, decimals)
            .ok_or_else(|| does_not_fit(number.text(), decimals))?;
        return Ok(if number.negative { -value } else { value });
    }
    text::decimal(number.text(), decimals)
}

fn map(maps: &mut super::super::column::Maps, scanner: &mut Scanner, careful: bool) -> Fallible {
    let mut chosen = careful.then(Vec::new);
    let mut aside = Vec::new();
    scanner.enter()?;
    if !scanner.take_if(b'}')? {
        loop {
            let name = scanner.name()?;
            let key = name.get(&mut aside)?;
            match &mut chosen {
                Some(chosen) => {
                    chosen.push((key.to_vec(), scanner.position()));
                    scanner.skip()?;
                }
                None => map_entry(maps, key, scanner, false)?,
            }
            if !scanner.goes_on(b'}')? {
                break;
            }
        }
    }
    scanner.leave();
    match chosen {
        None if has_duplicates(maps) => return Err(Box::new(Fail::Duplicate)),
        None => {}
        Some(chosen) => {
            // The last of each name, where the first one stands.
            let end = scanner.position();
            let mut last: Vec<(Vec<u8>, usize)> = Vec::new();
            let mut places = hashbrown::HashMap::<Vec<u8>, usize>::new();
            for (key, position) in chosen {
                match places.get(&key) {
                    Some(place) => last[*place].1 = position,
                    None => {
                        places.insert(key.clone(), last.len());
                        last.push((key, position));
                    }
                }
            }
            for (key, position) in last {
                scanner.go_to(position);
                map_entry(maps, &key, scanner, true)?;
            }
            scanner.go_to(end);
        }
    }
    maps.close();
    Ok(())
}

fn map_entry(
    maps: &mut super::super::column::Maps,
    key: &[u8],
    scanner: &mut Scanner,
    careful: bool,
) -> Fallible {
    let name = || format!("['{}']", String::from_utf8_lossy(key));
    match maps.keys.as_mut() {
        Column::Text(blobs, TextKind::Plain) => fits(blobs.append(key)),
        other => {
            let key = std::str::from_utf8(key).expect("a member's name has been checked");
            text::append(other, key)
        }
    }
    .and_then(|()| value(&mut maps.values, scanner, careful))
    .map_err(|fail| fail.within(name))
}

/// Whether the map that is being written has a key twice.
fn has_duplicates(maps: &super::super::column::Maps) -> bool {
    let open = maps.open();
    let Column::Text(keys, _) = maps.keys.as_ref() else {
        // Keys that are not text are few, and written differently they could still be the same.
        return false;
    };
    if open.len() <= MAP_LINEAR_MAX {
        return open.clone().any(|entry| {
            (open.start..entry).any(|before| keys.value(before) == keys.value(entry))
        });
    }
    let mut seen = hashbrown::HashSet::new();
    open.into_iter()
        .any(|entry| !seen.insert(keys.value(entry)))
}

#[inline]
fn text_value(blobs: &mut Blobs, kind: &TextKind, first: u8, scanner: &mut Scanner) -> Fallible {
    match kind {
        TextKind::Plain if first == b'"' => {
            scanner.text()?.append_to(&mut blobs.data)?;
            fits(blobs.close())
        }
        TextKind::Plain => {
            as_text(first, scanner, &mut blobs.data)?;
            fits(blobs.close())
        }
        TextKind::Json | TextKind::Jsonb(_) => {
            let start = scanner.position();
            scanner.skip()?;
            let raw = std::str::from_utf8(scanner.since(start))
                .map_err(|_| Fail::reason("a string is not UTF-8".into()))?;
            text::append_text(blobs, kind, raw)
        }
        TextKind::Limited(..) | TextKind::Uuid => {
            let mut text = Vec::new();
            as_text(first, scanner, &mut text)?;
            let text = String::from_utf8(text).expect("JSON's texts have been checked");
            text::append_text(blobs, kind, &text)
        }
    }
}

#[inline]
fn fits(fits: bool) -> Fallible {
    if fits {
        return Ok(());
    }
    Err(Fail::reason("too much text for one batch".into()))
}

/// Any value as the text that ksqlDB makes of it.
fn as_text(first: u8, scanner: &mut Scanner, out: &mut Vec<u8>) -> Fallible {
    match first {
        b'"' => scanner.text()?.append_to(out),
        b'-' | b'0'..=b'9' => {
            let number = scanner.number()?;
            text::write_big_decimal(out, number.text(), number.integral);
            Ok(())
        }
        b'{' => sorted(scanner, out),
        b'[' => {
            scanner.enter()?;
            out.push(b'[');
            if !scanner.take_if(b']')? {
                loop {
                    let first = scanner.peek()?;
                    as_text(first, scanner, out)?;
                    if !scanner.goes_on(b']')? {
                        break;
                    }
                    out.extend_from_slice(b", ");
                }
            }
            out.push(b']');
            scanner.leave();
            Ok(())
        }
        _ => {
            let start = scanner.position();
            scanner.skip()?;
            out.extend_from_slice(scanner.since(start));
            Ok(())
        }
    }
}

/// A value as JSON without white space, the members of objects in the order of their names.
fn sorted(scanner: &mut Scanner, out: &mut Vec<u8>) -> Fallible {
    match scanner.peek()? {
        b'{' => {
            scanner.enter()?;
            let mut members = std::collections::BTreeMap::new();
            if !scanner.take_if(b'}')? {
                loop {
                    let mut name = Vec::new();
                    scanner.name()?.append_to(&mut name)?;
                    let mut value = Vec::new();
                    sorted(scanner, &mut value)?;
                    members.insert(name, value);
                    if !scanner.goes_on(b'}')? {
                        break;
                    }
                }
            }
            scanner.leave();
            out.push(b'{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                crate::formats::write_json_string(out, &name);
                out.push(b':');
                out.extend(value);
            }
            out.push(b'}');
            Ok(())
        }
        b'[' => {
            scanner.enter()?;
            out.push(b'[');
            if !scanner.take_if(b']')? {
                loop {
                    sorted(scanner, out)?;
                    if !scanner.goes_on(b']')? {
                        break;
                    }
                    out.push(b',');
                }
            }
            out.push(b']');
            scanner.leave();
            Ok(())
        }
        b'"' => {
            let mut text = Vec::new();
            scanner.text()?.append_to(&mut text)?;
            crate::formats::write_json_string(out, &text);
            Ok(())
        }
        first => as_text(first, scanner, out),
    }
}
