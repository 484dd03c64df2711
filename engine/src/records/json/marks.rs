//! Marks the bytes of a JSON text at which a walk stops, so that the walk jumps instead of looking.
//!
//! One bit a byte, as simdjson's first stage makes them (Langdale and Lemire, "Parsing Gigabytes of
//! JSON per Second", 2019): the end of a string or of a number is found by counting zeros, whatever its
//! length, which spares the processor a branch that it cannot foresee. Unlike there, what is a string
//! and what is not is left to the walk.

mod blocks;

/// Bytes of a text whose marks stand together.
const BLOCK: usize = 64;

/// Marks of a text; one value is used for many texts, one after the other.
#[derive(Debug, Default)]
pub(in crate::records) struct Marks {
    /// Those of the text, of which the last is not full and has all marks behind the text: every search
    /// ends there at the latest. Then at least one more, so that every block has a next one; what it
    /// says does not matter.
    blocks: Vec<Block>,
    /// Whether the text has bytes beyond ASCII.
    wide: bool,
}

/// Marks of 64 bytes, the first one's in the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Block {
    /// Quotes, backslashes and control characters: where a string ends, or is no simple one.
    stops: u64,
    /// Bytes beyond ASCII.
    wide: u64,
    /// Everything but digits.
    others: u64,
}

impl Marks {
    /// Marks this text instead of the one before.
    #[inline]
    pub fn fill(&mut self, text: &[u8]) {
        let count = text.len() / BLOCK + 1;
        if self.blocks.len() <= count {
            self.blocks.resize(count + 1, Block::default());
        }
        self.wide = blocks::write(&mut self.blocks[..count], text);
    }

    /// The first quote, backslash or control character from here on; the text's end if there is none.
    #[inline]
    pub fn stop(&self, from: usize) -> usize {
        self.first(from, |block| block.stops)
    }

    /// The first byte from here on that is no digit, which may be the text's end.
    #[inline]
    pub fn digits_end(&self, from: usize) -> usize {
        self.first(from, |block| block.others)
    }

    /// Whether there are bytes beyond ASCII in a part of the text.
    #[inline]
    pub fn is_wide(&self, start: usize, end: usize) -> bool {
        self.wide && self.first(start, |block| block.wide) < end
    }

    /// The first mark from here on, which is not behind the text's end.
    #[inline]
    fn first(&self, mut from: usize, marks: impl Fn(&Block) -> u64) -> usize {
        loop {
            let at = from / BLOCK;
            let skipped = from % BLOCK;
            // Two blocks together, so that nearly every search ends in its first round.
            let window = marks(&self.blocks[at]) >> skipped
                | marks(&self.blocks[at + 1]) << 1 << (BLOCK - 1 - skipped);
            if window != 0 {
                return from + window.trailing_zeros() as usize;
            }
            from += BLOCK;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_stop(byte: u8) -> bool {
        matches!(byte, b'"' | b'\\' | 0..0x20)
    }

    proptest! {
        #[test]
        fn searches_find_what_a_walk_finds(
            text in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                prop::collection::vec(prop_oneof![40 => Just(b'7'), 1 => any::<u8>()], 0..300),
                prop::collection::vec(prop_oneof![80 => Just(b'x'), 1 => any::<u8>()], 0..300),
            ],
            before in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut marks = Marks::default();
            marks.fill(&before);
            marks.fill(&text);
            for from in 0..=text.len() {
                let first = |is: &dyn Fn(u8) -> bool| {
                    let found = text[from..].iter().position(|byte| is(*byte));
                    found.map_or(text.len(), |at| from + at)
                };
                prop_assert_eq!(marks.stop(from), first(&is_stop));
                prop_assert_eq!(marks.digits_end(from), first(&|byte| !byte.is_ascii_digit()));
                for end in [from, (from + 64).min(text.len()), text.len()] {
                    prop_assert_eq!(marks.is_wide(from, end), !text[from..end].is_ascii());
                }
            }
        }
    }
}
