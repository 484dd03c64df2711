//! Columns indexed by slot.

/// Appends `empty` until the column has `slots` entries. Grows by a quarter rather than by doubling,
/// because a column that was just doubled wastes half of its memory.
pub(crate) fn grow<T: Clone>(column: &mut Vec<T>, slots: usize, empty: T) {
    if slots <= column.len() {
        return;
    }
    if slots > column.capacity() {
        let target = slots.max(column.capacity() + column.capacity() / 4).max(16);
        column.reserve_exact(target - column.len());
    }
    column.resize(slots, empty);
}

/// One bit for each slot.
#[derive(Debug, Default, Clone)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    pub(crate) fn resize(&mut self, slots: usize) {
        grow(&mut self.words, slots.div_ceil(64), 0);
    }

    #[inline]
    pub(crate) fn get(&self, slot: usize) -> bool {
        self.words[slot / 64] & (1 << (slot % 64)) != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, slot: usize) {
        self.words[slot / 64] |= 1 << (slot % 64);
    }

    #[inline]
    pub(crate) fn unset(&mut self, slot: usize) {
        self.words[slot / 64] &= !(1 << (slot % 64));
    }

    /// Sets a bit and gives what it was.
    #[inline]
    pub(crate) fn replace(&mut self, slot: usize) -> bool {
        let word = &mut self.words[slot / 64];
        let bit = 1 << (slot % 64);
        let before = *word & bit != 0;
        *word |= bit;
        before
    }

    /// Slots whose bit is set, in ascending order; unsets them all.
    pub(crate) fn drain(&mut self) -> Vec<u32> {
        let mut set = Vec::new();
        for (index, word) in self.words.iter_mut().enumerate() {
            let mut rest = std::mem::take(word);
            while rest != 0 {
                set.push((index * 64) as u32 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        set
    }

    pub(crate) fn bytes(&self) -> usize {
        self.words.capacity() * 8
    }
}

/// Bytes that a column holds.
pub(crate) fn column_bytes<T>(column: &Vec<T>) -> usize {
    column.capacity() * size_of::<T>()
}
