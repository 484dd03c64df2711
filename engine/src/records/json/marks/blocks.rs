//! Blocks of marks, made with the widest vector registers that the machine is sure to have.
//!
//! Invariants of what is unsafe here: a function that needs a feature of the processor is called only where
//! it has been found, or where the target always has it; and what is loaded at once is behind a reference to
//! as many bytes. The functions themselves are safe.
#![allow(unsafe_code, reason = "vector registers that not every processor has")]

use super::{BLOCK, Block};

/// Writes the marks of a text, of which the last block is not full and has all marks behind the text.
/// Returns whether the text has bytes beyond ASCII.
#[inline]
pub(super) fn write(blocks: &mut [Block], text: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { write_avx2(blocks, text) }
    } else {
        // SAFETY: every x86-64 has SSE2.
        unsafe { write_sse2(blocks, text) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    write_words(blocks, text)
}

/// Always inlined, as what makes a block can only be inlined where the same registers may be used.
#[inline(always)]
fn write_with(blocks: &mut [Block], text: &[u8], block_of: impl Fn(&[u8; BLOCK]) -> Block) -> bool {
    let mut short = [0; BLOCK];
    let source = if text.len() < BLOCK {
        short[..text.len()].copy_from_slice(text);
        &short
    } else {
        text
    };
    let mut wide = 0;
    for (at, block) in blocks.iter_mut().enumerate() {
        // The last 64 bytes, most of which have been marked already, so that nothing is copied.
        let start = (at * BLOCK).min(source.len() - BLOCK);
        *block = block_of(source[start..].first_chunk().expect("64 bytes follow"));
        wide |= block.wide;
    }
    let last = blocks.last_mut().expect("a text has a last block");
    let length = text.len() % BLOCK;
    let behind = u64::MAX << length;
    let marked = if text.len() < BLOCK {
        0
    } else {
        BLOCK - length
    };
    for marks in [&mut last.stops, &mut last.wide, &mut last.others] {
        *marks = marks.unbounded_shr(marked as u32) | behind;
    }
    wide != 0
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn write_avx2(blocks: &mut [Block], text: &[u8]) -> bool {
    use std::arch::x86_64::{
        _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_set1_epi8, _mm256_sub_epi8,
    };
    let all = |byte: u8| _mm256_set1_epi8(byte as i8);
    let at_most = |lane, byte| _mm256_cmpeq_epi8(_mm256_min_epu8(lane, all(byte)), lane);
    let bits = |lane| u64::from(_mm256_movemask_epi8(lane) as u32);
    let marks = |bytes: &[u8; 32]| {
        // SAFETY: these are 32 bytes, and the load needs no alignment.
        let lane = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
        let quotes = _mm256_cmpeq_epi8(lane, all(b'"'));
        let escapes = _mm256_cmpeq_epi8(lane, all(b'\\'));
        let controls = at_most(lane, 0x1f);
        let digits = at_most(_mm256_sub_epi8(lane, all(b'0')), 9);
        let stops = _mm256_or_si256(_mm256_or_si256(quotes, escapes), controls);
        [bits(stops), bits(lane), bits(digits)]
    };
    write_with(blocks, text, |bytes| {
        let [first, second] = bytes.as_chunks().0 else {
            unreachable!("64 bytes are twice 32");
        };
        let (first, second) = (marks(first), marks(second));
        let join = |at: usize| first[at] | second[at] << 32;
        Block {
            stops: join(0),
            wide: join(1),
            others: !join(2),
        }
    })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn write_sse2(blocks: &mut [Block], text: &[u8]) -> bool {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8, _mm_sub_epi8,
    };
    let all = |byte: u8| _mm_set1_epi8(byte as i8);
    let at_most = |lane, byte| _mm_cmpeq_epi8(_mm_min_epu8(lane, all(byte)), lane);
    let bits = |lane| u64::from(_mm_movemask_epi8(lane) as u16);
    write_with(blocks, text, |bytes| {
        let mut block = Block::default();
        for (at, bytes) in bytes.as_chunks::<16>().0.iter().enumerate() {
            // SAFETY: these are 16 bytes, and the load needs no alignment.
            let lane = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
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
    })
}

/// For machines without such registers.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn write_words(blocks: &mut [Block], text: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH * 0x80;
    // The high bit of each byte tells whether the byte is more than a number below 128.
    let above = |word: u64, least: u64| ((word & !HIGH) + EACH * (0x7f - least)) | word;
    // Multiplication gathers the high bits in the highest byte.
    let bits = |word: u64| ((word & HIGH) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    write_with(blocks, text, |bytes| {
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
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_marks_in_every_way() {
        for byte in 0..=u8::MAX {
            // With a last block that stands alone, that ends with the text, and that overlaps.
            for length in [1, 63, 64, 65, 100, 128] {
                for at in 0..length {
                    for around in [b'5', b'a', 0, 0xff] {
                        let mut text = vec![around; length];
                        text[at] = byte;
                        check(&text);
                    }
                }
            }
        }
        check(&[]);
    }

    fn check(text: &[u8]) {
        let marks = |is: fn(u8) -> bool| {
            let is = move |at: usize| text.get(at).is_none_or(|byte| is(*byte));
            move |block: usize| {
                (0..BLOCK).fold(0, |marks, bit| {
                    marks | u64::from(is(block * BLOCK + bit)) << bit
                })
            }
        };
        let stops = marks(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let wide = marks(|byte| byte >= 0x80);
        let others = marks(|byte| !byte.is_ascii_digit());
        let expected: Vec<_> = (0..=text.len() / BLOCK)
            .map(|block| Block {
                stops: stops(block),
                wide: wide(block),
                others: others(block),
            })
            .collect();
        let mut ways: Vec<fn(&mut [Block], &[u8]) -> bool> = vec![write, write_words];
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 has SSE2.
        ways.push(|blocks, text| unsafe { write_sse2(blocks, text) });
        for way in ways {
            let mut blocks = vec![Block::default(); expected.len()];
            assert_eq!(way(&mut blocks, text), !text.is_ascii(), "{text:?}");
            assert_eq!(blocks, expected, "{text:?}");
        }
    }
}
