//! Places in a document's text, and values that remember theirs. Knows nothing of YAML.

use std::ops::Deref;

use serde::{Serialize, Serializer};

/// A byte range of the document's text. Bytes fit in 32 bits because documents are limited.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// Of what is not in the text: a default, or a document that was not read from text.
    pub const NONE: Span = Span { start: u32::MAX, end: u32::MAX };

    /// Of what another file states, such as the settings of the project.
    pub const ELSEWHERE: Span = Span { start: u32::MAX - 1, end: u32::MAX - 1 };

    pub fn new(start: usize, end: usize) -> Self {
        let clamp = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
        Span { start: clamp(start), end: clamp(end.max(start)) }
    }

    /// Whether this is no place in the text.
    pub fn is_none(self) -> bool {
        self == Span::NONE || self == Span::ELSEWHERE
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_none() {
            true => f.write_str("-"),
            false => write!(f, "{}..{}", self.start, self.end),
        }
    }
}

/// A value with its place in the document. Serialises as the value alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Self {
        Spanned { value, span }
    }

    /// A value the document does not state.
    pub fn default_of(value: T) -> Self {
        Spanned { value, span: Span::NONE }
    }

    /// Whether the document states the value, or the settings do.
    pub fn is_stated(&self) -> bool {
        self.span != Span::NONE
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Serialize> Serialize for Spanned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}
