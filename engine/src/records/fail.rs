//! Why a record cannot be read.

/// What comes of reading a part of a record.
pub(super) type Fallible<T = ()> = Result<T, Box<Fail>>;

/// Boxed: it is rare, and what succeeds should be small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fail {
    /// An object has several members for a column; it must be read again, with care.
    Duplicate,
    /// The reason, and where: `.member[3]`, built from the inside out.
    Reason { text: String, path: String },
}

impl Fail {
    #[cold]
    pub fn reason(text: String) -> Box<Self> {
        Box::new(Fail::Reason {
            text,
            path: String::new(),
        })
    }

    /// Puts a step in front of the path.
    #[cold]
    pub fn within(mut self: Box<Self>, step: impl FnOnce() -> String) -> Box<Self> {
        if let Fail::Reason { path, .. } = self.as_mut() {
            path.insert_str(0, &step());
        }
        self
    }

    /// For people.
    pub fn message(self) -> String {
        match self {
            Fail::Duplicate => "an object has several members of one name".into(),
            Fail::Reason { text, path } if path.is_empty() => text,
            Fail::Reason { text, path } => format!("{text} at ${path}"),
        }
    }
}
