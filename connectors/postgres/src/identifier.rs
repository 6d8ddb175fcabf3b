//! Names: quoting for SQL, and how a relation is written as a stream name. Never decides which schema is the default.

use std::fmt;

/// `name` as a quoted SQL identifier. Always quoted: reserved words and capitals need no special case.
#[must_use]
pub fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for character in name.chars() {
        if character == '"' {
            quoted.push('"');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// `text` as a SQL string literal, whatever `standard_conforming_strings` says.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let escapes = text.contains('\\');
    let mut quoted = String::with_capacity(text.len() + 4);
    quoted.push_str(if escapes { " E'" } else { "'" });
    for character in text.chars() {
        if character == '\'' || character == '\\' {
            quoted.push(character);
        }
        quoted.push(character);
    }
    quoted.push('\'');
    quoted
}

/// `names` quoted and joined by commas.
#[must_use]
pub fn quote_list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|name| quote(name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// A relation with its schema. Displayed quoted, ready for SQL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QualifiedName {
    pub schema: String,
    pub name: String,
}

impl QualifiedName {
    #[must_use]
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// The stream name of this relation: bare in the default schema, else `schema.table`.
    #[must_use]
    pub fn stream_name(&self, default_schema: &str) -> String {
        if self.schema == default_schema {
            write_part(&self.name)
        } else {
            format!("{}.{}", write_part(&self.schema), write_part(&self.name))
        }
    }

    /// The relation a stream name means, by [`parse_stream_name`].
    #[must_use]
    pub fn from_stream_name(stream: &str, default_schema: &str) -> Option<Self> {
        let (schema, name) = parse_stream_name(stream)?;
        Some(Self { schema: schema.unwrap_or_else(|| default_schema.to_owned()), name })
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", quote(&self.schema), quote(&self.name))
    }
}

/// One part of a stream name: as it is, unless a dot or a quote in it would be read as syntax.
fn write_part(part: &str) -> String {
    if part.is_empty() || part.contains(['.', '"']) { quote(part) } else { part.to_owned() }
}

/// `table`, `schema.table`, or the same with parts in double quotes where they contain dots or quotes. Case is kept:
/// a stream name is the relation's exact name, not SQL. None: not of this form.
#[must_use]
pub fn parse_stream_name(stream: &str) -> Option<(Option<String>, String)> {
    let mut parts = Vec::with_capacity(2);
    let mut rest = stream;
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            read_quoted(quoted)?
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let part = &rest[..end];
            if part.is_empty() || part.contains('"') {
                return None;
            }
            (part.to_owned(), &rest[end..])
        };
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => break,
            None => return None,
        }
    }
    match parts.len() {
        1 => Some((None, parts.pop()?)),
        2 => {
            let name = parts.pop()?;
            Some((parts.pop(), name))
        }
        _ => None,
    }
}

/// The text up to the closing quote and what follows it.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        if character != '"' {
            part.push(character);
        } else if characters.peek().is_some_and(|(_, next)| *next == '"') {
            part.push('"');
            characters.next();
        } else {
            return (!part.is_empty()).then(|| (part, &text[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_literals_are_quoted() {
        assert_eq!(quote("select"), "\"select\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b'c"), " E'a\\\\b''c'");
        assert_eq!(quote_list(["a", "B"]), "\"a\", \"B\"");
    }

    #[test]
    fn stream_names_survive_a_round_trip() {
        for (schema, name, stream) in [
            ("public", "orders", "orders"),
            ("public", "Order Items", "Order Items"),
            ("public", "a.b", "\"a.b\""),
            ("public", "say \"hi\"", "\"say \"\"hi\"\"\""),
            ("sales", "orders", "sales.orders"),
            ("a.b", "c", "\"a.b\".c"),
        ] {
            let relation = QualifiedName::new(schema, name);
            assert_eq!(relation.stream_name("public"), stream);
            assert_eq!(QualifiedName::from_stream_name(stream, "public"), Some(relation), "{stream}");
        }
    }

    #[test]
    fn malformed_stream_names_are_refused() {
        for stream in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "a\"b", "\"\""] {
            assert_eq!(parse_stream_name(stream), None, "{stream}");
        }
    }
}
