//! Finds the column of an object's member.
//!
//! Objects of one topic mostly have the same members in the same order, so what stood at a place in
//! the last object is tried first: one comparison a member, with the quotes and the colon. Behind that are hash tables, first by the
//! exact name and then without regard to case.

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

/// The names of columns.
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<String, Option<usize>, foldhash::fast::RandomState>,
    folded: HashMap<String, Option<usize>, foldhash::fast::RandomState>,
    /// By place in the object: the member's name as it is written, with its quotes and the colon, and
    /// its target.
    places: Vec<(Vec<u8>, Option<Target>)>,
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
    pub fn at(&self, place: usize) -> Option<(&[u8], Option<Target>)> {
        let (quoted, target) = self.places.get(place)?;
        (!quoted.is_empty()).then_some((quoted, *target))
    }

    /// The target of a name without escapes, at its place in the object.
    pub fn find(&mut self, place: usize, name: &[u8]) -> Option<Target> {
        if let Some((quoted, target)) = self.at(place)
            && quoted[1..quoted.len() - 2] == *name
        {
            // Written with white space before its colon.
            return target;
        }
        let target = self.look_up(name);
        let known = ([b"\"", name, b"\":"].concat(), target);
        if place < self.places.len() {
            self.places[place] = known;
        } else if place < PLACES_MAX {
            // Names with escapes leave their places empty.
            self.places.resize(place, (Vec::new(), None));
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
