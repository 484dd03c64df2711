//! `WITH (name = value, …)` and other lists of named values.

/// Named values in the order in which they were written. Names are lower case and occur once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options(pub Vec<WithOption>);

/// One `name = value`. Where it stood does not count when two are compared.
#[derive(Debug, Clone, Eq)]
pub struct WithOption {
    /// In lower case, whatever the dialect and however it was quoted.
    pub name: String,
    /// What it is set to.
    pub value: OptionValue,
    /// Character position of the name in the text, from 1; 0 if it was not read from a text.
    pub position: usize,
}

impl PartialEq for WithOption {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value
    }
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// A quoted string.
    Text(String),
    /// A number, with its sign.
    Number(String),
    /// A bare word in lower case: `json`, `true`, `on`.
    Word(String),
}

impl Options {
    /// The value of an option, by its lower-case name.
    pub fn get(&self, name: &str) -> Option<&OptionValue> {
        self.0
            .iter()
            .find(|option| option.name == name)
            .map(|option| &option.value)
    }

    /// Whether no option was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The options in order.
    pub fn iter(&self) -> std::slice::Iter<'_, WithOption> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Options {
    type Item = &'a WithOption;
    type IntoIter = std::slice::Iter<'a, WithOption>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl OptionValue {
    /// The value without its quotes.
    pub fn as_str(&self) -> &str {
        match self {
            OptionValue::Text(text) | OptionValue::Number(text) | OptionValue::Word(text) => text,
        }
    }

    /// The value as PostgreSQL reads a Boolean setting.
    pub fn as_bool(&self) -> Option<bool> {
        match self.as_str().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        }
    }

    /// The value as a whole number.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_str().parse().ok()
    }
}
