//! The tree that YAML and JSON are read into: scalars, lists and mappings with their places. Knows the core types of
//! YAML's plain scalars and nothing of what a document means.

use std::borrow::Cow;

use crate::span::{Span, Spanned};

#[derive(Debug, Clone)]
pub struct Node {
    pub kind: Kind,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One pair of a mapping. Keys are unique within their mapping.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: Spanned<String>,
    pub value: Node,
}

/// A scalar as written and, where the environment was put in, as it is meant.
#[derive(Clone)]
pub struct Scalar {
    raw: String,
    /// Unquoted, so that it may be a number, a boolean or null.
    plain: bool,
    filled: Option<Filled>,
}

/// A scalar's text after `${…}` was replaced.
#[derive(Clone)]
struct Filled {
    text: String,
    variables: Vec<(String, String)>,
}

/// What a scalar stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    /// A number that neither 64 bits nor JSON can hold.
    Unrepresentable,
    Text(&'a str),
}

impl Scalar {
    pub fn plain(raw: impl Into<String>) -> Self {
        Scalar { raw: raw.into(), plain: true, filled: None }
    }

    pub fn quoted(raw: impl Into<String>) -> Self {
        Scalar { raw: raw.into(), plain: false, filled: None }
    }

    /// With the text that stands for it, and the variables (name, value) it was made of.
    #[must_use]
    pub(crate) fn filled(self, text: String, variables: Vec<(String, String)>) -> Self {
        Scalar { filled: Some(Filled { text, variables }), ..self }
    }

    /// As written: no value of the environment is in it. The only form for messages.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// As meant.
    pub fn text(&self) -> &str {
        self.filled.as_ref().map_or(&self.raw, |filled| &filled.text)
    }

    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether any of it came from the environment.
    pub fn is_from_environment(&self) -> bool {
        self.filled.as_ref().is_some_and(|filled| !filled.variables.is_empty())
    }

    /// The values (name, value) it was made of.
    pub fn variables(&self) -> &[(String, String)] {
        self.filled.as_ref().map_or(&[], |filled| &filled.variables)
    }

    /// Typed by YAML's core schema. What came from the environment is never null or out of range, but then a text: it
    /// has no quotes to say so.
    pub fn value(&self) -> Value<'_> {
        let text = self.text();
        if !self.plain {
            return Value::Text(text);
        }
        match typed(text) {
            Value::Null | Value::Unrepresentable if self.is_from_environment() => Value::Text(text),
            value => value,
        }
    }
}

impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.raw, f)
    }
}

/// YAML 1.2's core schema for plain scalars.
fn typed(text: &str) -> Value<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Value::Unrepresentable;
    }
    let radix = |digits: &str, radix| match u64::from_str_radix(digits, radix) {
        Ok(value) => i64::try_from(value).map_or(Value::UInt(value), Value::Int),
        Err(_) => Value::Unrepresentable,
    };
    if let Some(digits) = text.strip_prefix("0x")
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o")
        && !digits.is_empty()
        && digits.bytes().all(|b| (b'0'..=b'7').contains(&b))
    {
        return radix(digits, 8);
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let text = text.strip_prefix('+').unwrap_or(text);
        return match (text.parse(), text.parse()) {
            (Ok(value), _) => Value::Int(value),
            (_, Ok(value)) => Value::UInt(value),
            _ => Value::Unrepresentable,
        };
    }
    let number =
        unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
            && unsigned.bytes().any(|b| b.is_ascii_digit())
            && unsigned.bytes().next().is_some_and(|b| b.is_ascii_digit() || b == b'.');
    match text.parse::<f64>() {
        Ok(value) if number && value.is_finite() => Value::Float(value),
        Ok(_) if number => Value::Unrepresentable,
        _ => Value::Text(text),
    }
}

impl Node {
    pub fn new(kind: Kind, span: Span) -> Self {
        Node { kind, span }
    }

    pub fn empty_map() -> Self {
        Node::new(Kind::Map(Vec::new()), Span::NONE)
    }

    /// Whether it is an unquoted null or nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.value() == Value::Null)
    }

    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key.value == key).map(|entry| &entry.value)
    }

    /// For messages: `the list`, `the text \`abc\``. Values of the environment show as their variable.
    pub fn describe(&self) -> Cow<'static, str> {
        let scalar = match &self.kind {
            Kind::List(_) => return "a list".into(),
            Kind::Map(_) => return "a mapping".into(),
            Kind::Scalar(scalar) => scalar,
        };
        let raw = shorten(scalar.raw());
        if scalar.is_from_environment() {
            return format!("the value of `{raw}`").into();
        }
        match scalar.value() {
            Value::Null => "nothing".into(),
            Value::Bool(_) => format!("the boolean `{raw}`").into(),
            Value::Int(_) | Value::UInt(_) => format!("the integer `{raw}`").into(),
            Value::Float(_) | Value::Unrepresentable => format!("the number `{raw}`").into(),
            Value::Text("") => "an empty text".into(),
            Value::Text(_) => format!("the text `{raw}`").into(),
        }
    }

    /// As JSON. Numbers JSON does not have become null: they are refused before.
    pub fn to_json(&self) -> serde_json::Value {
        self.to_json_by(&|scalar| match scalar.value() {
            Value::Null | Value::Unrepresentable => serde_json::Value::Null,
            Value::Bool(value) => value.into(),
            Value::Int(value) => value.into(),
            Value::UInt(value) => value.into(),
            Value::Float(value) => value.into(),
            Value::Text(value) => value.into(),
        })
    }

    pub(crate) fn to_json_by(&self, scalar: &dyn Fn(&Scalar) -> serde_json::Value) -> serde_json::Value {
        match &self.kind {
            Kind::Scalar(leaf) => scalar(leaf),
            Kind::List(items) => items.iter().map(|item| item.to_json_by(scalar)).collect(),
            Kind::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.value.clone(), entry.value.to_json_by(scalar)))
                    .collect(),
            ),
        }
    }

    /// Calls `visit` on every scalar.
    pub fn scalars<'a>(&'a self, visit: &mut dyn FnMut(&'a Scalar)) {
        match &self.kind {
            Kind::Scalar(scalar) => visit(scalar),
            Kind::List(items) => items.iter().for_each(|item| item.scalars(visit)),
            Kind::Map(entries) => entries.iter().for_each(|entry| entry.value.scalars(visit)),
        }
    }
}

/// A text short enough for a message.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]).into(),
        None => text.into(),
    }
}
