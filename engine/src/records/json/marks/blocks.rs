//! Blocks of marks, made with the widest vector registers that the machine is sure to have.
//!
//! Invariant of what is unsafe here: a function that needs a feature of the processor is called only where
//! it has been found, or where the target always has it. The functions themselves take references and
//! are safe.
#![allow(unsafe_code, reason = "vector registers that not every processor has")]

use super::{BLOCK, Block};

/// Appends the marks of these bytes.
#[inline]
pub(super) fn append(blocks: &mut Vec<Block>, bytes: &[[u8; BLOCK]]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { append_avx2(blocks, bytes) }
    } else {
        // SAFETY: every x86-64 has SSE2.
        unsafe { append_sse2(blocks, bytes) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    append_words(blocks, bytes);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn append_avx2(blocks: &mut Vec<Block>, bytes: &[[u8; BLOCK]]) {
    use std::arch::x86_64::{
        _mm256_cmpeq_epi8, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set_epi64x, _mm256_set1_epi8, _mm256_sub_epi8,
    };
    let all = |byte: u8| _mm256_set1_epi8(byte as i8);
    let at_most = |lane, byte| _mm256_cmpeq_epi8(_mm256_min_epu8(lane, all(byte)), lane);
    let bits = |lane| u64::from(_mm256_movemask_epi8(lane) as u32);
    blocks.extend(bytes.iter().map(|bytes| {
        let mut block = Block::default();
        for (at, lane) in bytes.as_chunks::<32>().0.iter().enumerate() {
            let word = |at: usize| i64::from_le_bytes(lane.as_chunks().0[at]);
            let lane = _mm256_set_epi64x(word(3), word(2), word(1), word(0));
            let quotes = _mm256_cmpeq_epi8(lane, all(b'"'));
            let escapes = _mm256_cmpeq_epi8(lane, all(b'\\'));
            let controls = at_most(lane, 0x1f);
            let digits = at_most(_mm256_sub_epi8(lane, all(b'0')), 9);
            let stops = _mm256_or_si256(_mm256_or_si256(quotes, escapes), controls);
            block.stops |= bits(stops) << (32 * at);
            block.wide |= bits(lane) << (32 * at);
            block.others |= bits(digits) << (32 * at);
        }
        block.others = !block.others;
        block
    }));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn append_sse2(blocks: &mut Vec<Block>, bytes: &[[u8; BLOCK]]) {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8, _mm_sub_epi8,
    };
    let all = |byte: u8| _mm_set1_epi8(byte as i8);
    let at_most = |lane, byte| _mm_cmpeq_epi8(_mm_min_epu8(lane, all(byte)), lane);
    let bits = |lane| u64::from(_mm_movemask_epi8(lane) as u16);
    blocks.extend(bytes.iter().map(|bytes| {
        let mut block = Block::default();
        for (at, lane) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let word = |at: usize| i64::from_le_bytes(lane.as_chunks().0[at]);
            let lane = _mm_set_epi64x(word(1), word(0));
            let quotes = _mm_cmpeq_epi8(lane, all(b'"'));
            let escapes = _mm_cmpeq_epi8(lane, all(b'\\'));
            let controls = at_most(lane, 0x1f);
            let digits = at_most(_mm_sub_epi8(lane, all(b'0')), 9);
            let stops = _mm_or_si128(_mm_or_si128(quotes, escapes), controls);
            block.stops |= bits(stops) << (16 * at);
            block.wide |= bits(lane) << (16 * at);
            block.others |= bits(digits) << (16 * at);
        }
        block.others = !block.others;
        block
    }));
}

/// For machines without such registers.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn append_words(blocks: &mut Vec<Block>, bytes: &[[u8; BLOCK]]) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH * 0x80;
    // The high bit of each byte tells whether the byte is more than a number below 128.
    let above = |word: u64, least: u64| ((word & !HIGH) + EACH * (0x7f - least)) | word;
    // Multiplication gathers the high bits in the highest byte.
    let bits = |word: u64| ((word & HIGH) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    blocks.extend(bytes.iter().map(|bytes| {
        let mut block = Block::default();
        for (at, bytes) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*bytes);
            let differs = |byte: u8| above(word ^ (EACH * u64::from(byte)), 0);
            let stops = !(differs(b'"') & differs(b'\\') & above(word, 0x1f));
            let others = above(word ^ (EACH * u64::from(b'0')), 9);
            block.stops |= bits(stops) << (8 * at);
            block.wide |= bits(word) << (8 * at);
            block.others |= bits(others) << (8 * at);
        }
        block
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_marks_in_every_way() {
        for byte in 0..=u8::MAX {
            for at in 0..BLOCK {
                for around in [b'5', b'a', 0, 0xff] {
                    let mut bytes = [around; BLOCK];
                    bytes[at] = byte;
                    let mut blocks = Vec::new();
                    append(&mut blocks, &[bytes]);
                    append_words(&mut blocks, &[bytes]);
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: every x86-64 has SSE2.
                    unsafe {
                        append_sse2(&mut blocks, &[bytes]);
                    }
                    let mark = |is: fn(u8) -> bool| {
                        let marks = bytes.iter().enumerate();
                        marks.fold(0, |marks, (at, byte)| marks | u64::from(is(*byte)) << at)
                    };
                    let expected = Block {
                        stops: mark(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)),
                        wide: mark(|byte| byte >= 0x80),
                        others: mark(|byte| !byte.is_ascii_digit()),
                    };
                    for block in blocks {
                        assert_eq!(block, expected, "{byte} at {at}");
                    }
                }
            }
        }
    }
}
