//! What the server sends.
//!
//! Messages are appended to a buffer and sent in one piece when there is a reason to.

use engine::response::TransactionStatus;

/// Appends a message of this type, whose body the closure writes.
pub fn message(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    set_length(out, at);
}

/// Writes at `at` the number of bytes from there to the end.
pub fn set_length(out: &mut [u8], at: usize) {
    let length = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// A string of the protocol. A zero byte within would end it, so it is left out.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

fn i16(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn authentication_ok(out: &mut Vec<u8>) {
    message(out, b'R', |out| i32(out, 0));
}

/// Asks for authentication by one of these mechanisms.
pub fn authentication_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    message(out, b'R', |out| {
        i32(out, 10);
        for mechanism in mechanisms {
            string(out, mechanism);
        }
        out.push(0);
    });
}

pub fn authentication_sasl_continue(out: &mut Vec<u8>, data: &str) {
    message(out, b'R', |out| {
        i32(out, 11);
        out.extend_from_slice(data.as_bytes());
    });
}

pub fn authentication_sasl_final(out: &mut Vec<u8>, data: &str) {
    message(out, b'R', |out| {
        i32(out, 12);
        out.extend_from_slice(data.as_bytes());
    });
}

pub fn negotiate_protocol_version(out: &mut Vec<u8>, unknown_options: &[String]) {
    message(out, b'v', |out| {
        // Minor version 0 of protocol 3.
        i32(out, 3 << 16);
        i32(out, unknown_options.len() as i32);
        for option in unknown_options {
            string(out, option);
        }
    });
}

pub fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    message(out, b'S', |out| {
        string(out, name);
        string(out, value);
    });
}

pub fn backend_key_data(out: &mut Vec<u8>, process: i32, secret: [u8; 4]) {
    message(out, b'K', |out| {
        i32(out, process);
        out.extend_from_slice(&secret);
    });
}

pub fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    message(out, b'Z', |out| {
        out.push(match status {
            TransactionStatus::Idle => b'I',
            TransactionStatus::InTransaction => b'T',
            TransactionStatus::Failed => b'E',
        });
    });
}

pub fn command_complete(out: &mut Vec<u8>, tag: &str) {
    message(out, b'C', |out| string(out, tag));
}

/// Messages without a body.
#[derive(Debug, Clone, Copy)]
pub enum Bare {
    ParseComplete,
    BindComplete,
    CloseComplete,
    PortalSuspended,
    NoData,
    EmptyQueryResponse,
    CopyDone,
}

pub fn bare(out: &mut Vec<u8>, which: Bare) {
    let kind = match which {
        Bare::ParseComplete => b'1',
        Bare::BindComplete => b'2',
        Bare::CloseComplete => b'3',
        Bare::PortalSuspended => b's',
        Bare::NoData => b'n',
        Bare::EmptyQueryResponse => b'I',
        Bare::CopyDone => b'c',
    };
    message(out, kind, |_| {});
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDescription<'a> {
    pub name: &'a str,
    pub type_oid: u32,
    pub type_size: i16,
    pub type_modifier: i32,
    pub binary: bool,
}

pub fn row_description<'a>(
    out: &mut Vec<u8>,
    columns: impl ExactSizeIterator<Item = ColumnDescription<'a>>,
) {
    message(out, b'T', |out| {
        i16(out, columns.len() as i16);
        for column in columns {
            string(out, column.name);
            // No table, no column of it.
            i32(out, 0);
            i16(out, 0);
            out.extend_from_slice(&column.type_oid.to_be_bytes());
            i16(out, column.type_size);
            i32(out, column.type_modifier);
            i16(out, column.binary.into());
        }
    });
}

pub fn parameter_description(out: &mut Vec<u8>, types: &[u32]) {
    message(out, b't', |out| {
        i16(out, types.len() as i16);
        for oid in types {
            out.extend_from_slice(&oid.to_be_bytes());
        }
    });
}

/// Announces COPY in either direction: `G` in, `H` out; text throughout.
pub fn copy_response(out: &mut Vec<u8>, kind: u8, columns: usize) {
    message(out, kind, |out| {
        out.push(0);
        i16(out, columns as i16);
        for _ in 0..columns {
            i16(out, 0);
        }
    });
}

pub fn copy_data(out: &mut Vec<u8>, data: &[u8]) {
    message(out, b'd', |out| out.extend_from_slice(data));
}

/// An error (`E`) or a notice (`N`): its fields by their letters.
pub fn report(out: &mut Vec<u8>, kind: u8, fields: &[(u8, &str)]) {
    message(out, kind, |out| {
        for (letter, text) in fields {
            out.push(*letter);
            string(out, text);
        }
        out.push(0);
    });
}
