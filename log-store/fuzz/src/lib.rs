//! What the targets share: putting checksums right, so that the fuzzer gets past them.

use log_store::StoredBatch;

const HEADER: usize = 112;

/// Makes batches of bytes (those of a segment, behind its header): lengths that fit, and checksums that hold. Everything
/// else stays as it is.
pub fn seal(bytes: &mut [u8]) {
    let mut at = 0;
    while bytes.len() - at >= HEADER {
        at += seal_one(&mut bytes[at..]);
    }
}

fn seal_one(bytes: &mut [u8]) -> usize {
    let word = |bytes: &[u8], at: usize| {
        let word: [u8; 4] = bytes[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(word) as usize
    };
    let room = (bytes.len() - HEADER) / 8 * 8;
    let lead = usize::from(bytes[108]) % 64 % (room + 1);
    let extension_len = word(bytes, 20) % (room - lead + 1);
    let body_len = word(bytes, 24) % (room - lead - extension_len + 1);
    let used = HEADER + lead + body_len + extension_len;
    let length = used.next_multiple_of(8);
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, b"Mpnd\x01");
    put(8, &(length as u32).to_le_bytes());
    put(20, &(extension_len as u32).to_le_bytes());
    put(24, &(body_len as u32).to_le_bytes());
    put(108, &[lead as u8, 0, 0, 0]);
    bytes[HEADER..HEADER + lead].fill(0);
    bytes[used..length].fill(0);
    let body = crc32c::crc32c(&bytes[HEADER + lead..used]);
    bytes[16..20].copy_from_slice(&body.to_le_bytes());
    let header = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..HEADER]);
    bytes[12..16].copy_from_slice(&header.to_le_bytes());
    length
}

/// Uses a batch as its readers do.
pub fn look_at(batch: &StoredBatch) {
    assert!(batch.visible.end <= batch.rows);
    assert!(batch.base_offset <= batch.last_offset);
    let mut rows = 0;
    for run in batch.epochs() {
        assert_eq!(run.rows.start, rows);
        rows = run.rows.end;
    }
    assert_eq!(rows, batch.rows);
    let offsets = [0, batch.rows / 2, batch.rows - 1].map(|row| batch.offset_of(row));
    assert!(offsets.is_sorted());
    assert!(offsets[2] <= batch.last_offset);
}
