//! Finds the column of an object's member.
//!
//! Objects of one topic mostly have the same members in the same order, so what stood at a place in
//! the last object is tried first: one comparison a member, with the quotes and the colon. Behind that
//! are hash tables, first by the exact name and then without regard to case.

use hashbrown::HashMap;

/// Places that are remembered.
const PLACES_MAX: usize = 1024;

/// Where a member goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// Index among the columns that are read.
    pub column: usize,
    /// Whether it is spelled as the column is.
    pub exact: bool,
}

/// A member's name as it is written, with its quotes and the colon.
#[derive(Debug)]
pub(super) struct Quoted {
    text: Vec<u8>,
    /// The first bytes of the text, and which bits of them count if it is shorter.
    head: u128,
    mask: u128,
}

impl Quoted {
    fn new(name: &[u8]) -> Self {
        let text = [b"\"", name, b"\":"].concat();
        let length = text.len().min(Self::HEAD);
        let mut head = [0; Self::HEAD];
        let mut mask = [0; Self::HEAD];
        head[..length].copy_from_slice(&text[..length]);
        mask[..length].fill(u8::MAX);
        Self {
            text,
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
        }
    }

    const HEAD: usize = 16;

    /// Between the quotes.
    fn name(&self) -> &[u8] {
        &self.text[1..self.text.len() - 2]
    }

    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether a text begins with it. Most names are short, and are compared at once.
    #[inline]
    pub fn begins(&self, text: &[u8]) -> bool {
        match text.first_chunk() {
            Some(head) => {
                (u128::from_le_bytes(*head) ^ self.head) & self.mask == 0
                    && (self.text.len() <= Self::HEAD || text.starts_with(&self.text))
            }
            None => text.starts_with(&self.text),
        }
    }
}

/// The names of columns.
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<String, Option<usize>, foldhash::fast::RandomState>,
    folded: HashMap<String, Option<usize>, foldhash::fast::RandomState>,
    /// By place in the object the member's name and its target; `None` where the name has escapes.
    places: Vec<Option<(Quoted, Option<Target>)>>,
    /// For each column the object that it was last seen in.
    seen: Vec<u32>,
    /// Number of the current object.
    object: u32,
}

impl Names {
    /// Names with their columns; `None` for a name whose member is passed over.
    pub fn new<'a>(names: impl Iterator<Item = (&'a str, Option<usize>)>) -> Self {
        let mut exact = HashMap::default();
        let mut folded = HashMap::default();
        let mut columns = 0;
        for (name, column) in names {
            exact.insert(name.to_owned(), column);
            folded.entry(name.to_lowercase()).or_insert(column);
            columns += usize::from(column.is_some());
        }
        Self {
            exact,
            folded,
            places: Vec::new(),
            seen: vec![0; columns],
            object: 0,
        }
    }

    /// Begins with an object, of which no column has been seen.
    pub fn begin(&mut self) {
        self.object = match self.object.checked_add(1) {
            Some(object) => object,
            None => {
                self.seen.fill(0);
                1
            }
        };
    }

    /// Marks a column as seen; `false` if it was already.
    #[inline]
    pub fn see(&mut self, column: usize) -> bool {
        std::mem::replace(&mut self.seen[column], self.object) != self.object
    }

    pub fn is_seen(&self, column: usize) -> bool {
        self.seen[column] == self.object
    }

    /// What stood at this place last: `"name":`, and the name's target.
    #[inline]
    pub fn at(&self, place: usize) -> Option<(&Quoted, Option<Target>)> {
        let (quoted, target) = self.places.get(place)?.as_ref()?;
        Some((quoted, *target))
    }

    /// The target of a name without escapes, at its place in the object.
    pub fn find(&mut self, place: usize, name: &[u8]) -> Option<Target> {
        if let Some((quoted, target)) = self.at(place)
            && quoted.name() == name
        {
            // Written with white space before its colon.
            return target;
        }
        let target = self.look_up(name);
        let known = Some((Quoted::new(name), target));
        if place < self.places.len() {
            self.places[place] = known;
        } else if place < PLACES_MAX {
            self.places.resize_with(place, || None);
            self.places.push(known);
        }
        target
    }

    /// The target of a name.
    pub fn look_up(&self, name: &[u8]) -> Option<Target> {
        let name = std::str::from_utf8(name).ok()?;
        let (column, exact) = match self.exact.get(name) {
            Some(column) => (*column, true),
            None => (*self.folded.get(&name.to_lowercase())?, false),
        };
        Some(Target {
            column: column?,
            exact,
        })
    }
}
