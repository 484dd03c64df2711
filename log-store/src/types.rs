//! The numbers of the log, each with a type of its own so that none is taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The unit of commit and of consistency. Grows for as long as the log lives, over restarts too;
    /// numbers may be skipped (a group commit that failed never reuses its own). Zero is before the first.
    Epoch(u64)
}
number! {
    /// A row's number in its partition, dense from zero as rows are appended.
    Offset(u64)
}
number! {
    /// A topic's number, never given twice.
    TopicId(u32)
}
number! {
    /// A partition's number in its topic, dense from zero.
    PartitionId(u32)
}

impl Epoch {
    /// Before every epoch: the frontier of what holds nothing.
    pub const ZERO: Epoch = Epoch(0);
    /// After every epoch: "all there is".
    pub const MAX: Epoch = Epoch(u64::MAX);

    /// The epoch number that follows.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Offset = Offset(0);

    /// The offset `rows` further on.
    pub fn plus(self, rows: u64) -> Offset {
        Offset(self.0 + rows)
    }
}
