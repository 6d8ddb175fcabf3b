//! Names of PostgreSQL types as `format_type` writes them: taken apart, compared, and written back as SQL.
//!
//! The text comes from a source, so it is never put into SQL as it is: what this grammar does not know is refused.

use std::fmt;

use rapidbyte_postgres::identifier::quote;

/// Types of several words. `interval` with its fields is another form.
const PHRASES: &[&str] = &[
    "double precision",
    "character varying",
    "bit varying",
    "time with time zone",
    "time without time zone",
    "timestamp with time zone",
    "timestamp without time zone",
];
const INTERVAL_FIELDS: &[&str] = &[
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "year to month",
    "day to hour",
    "day to minute",
    "day to second",
    "hour to minute",
    "hour to second",
    "minute to second",
];

/// A type with its modifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeName {
    /// Of a type that is not the server's own.
    pub schema: Option<String>,
    /// Without modifiers: `timestamp with time zone`, `numeric`, `mood`.
    pub name: String,
    /// Written in quotes.
    quoted: bool,
    /// `day to second` of an interval.
    fields: Option<String>,
    /// `12` and `3` of `numeric(12,3)`.
    pub modifiers: Vec<String>,
    pub array: bool,
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Quoted(String),
    Mark(char),
}

impl TypeName {
    /// One of the server's own types, by its plain name.
    pub fn of(name: &str) -> Self {
        TypeName {
            schema: None,
            name: name.to_owned(),
            quoted: false,
            fields: None,
            modifiers: Vec::new(),
            array: false,
        }
    }

    /// The same with modifiers.
    pub fn with(name: &str, modifiers: &[u32]) -> Self {
        TypeName { modifiers: modifiers.iter().map(u32::to_string).collect(), ..Self::of(name) }
    }

    /// The same type, unlimited.
    pub fn without_modifiers(&self) -> Self {
        TypeName { modifiers: Vec::new(), ..self.clone() }
    }

    /// A type of one's own, by its exact name.
    pub fn user(schema: &str, name: &str) -> Self {
        TypeName { schema: Some(schema.to_owned()), quoted: true, ..Self::of(name) }
    }

    /// Reads what `format_type` wrote. None: it can't have written that.
    pub fn parse(text: &str) -> Option<Self> {
        let tokens = tokens(text)?;
        let mut parsed = Self::of("");
        let mut rest = tokens.as_slice();
        // A name, maybe qualified.
        rest = parsed.read_name(rest)?;
        if let [Token::Mark('.'), after @ ..] = rest {
            parsed.schema = Some(std::mem::take(&mut parsed.name));
            rest = parsed.read_name(after)?;
        }
        rest = parsed.read_modifiers(rest)?;
        // More words.
        let words: Vec<&str> = rest
            .iter()
            .map_while(|token| match token {
                Token::Word(word) => Some(*word),
                _ => None,
            })
            .collect();
        rest = &rest[words.len()..];
        if !words.is_empty() {
            if parsed.schema.is_some() || parsed.quoted {
                return None;
            }
            let words = words.join(" ");
            if parsed.name == "interval" {
                if !INTERVAL_FIELDS.contains(&words.as_str()) {
                    return None;
                }
                parsed.fields = Some(words);
            } else {
                parsed.name = format!("{} {words}", parsed.name);
                if !PHRASES.contains(&parsed.name.as_str()) {
                    return None;
                }
            }
            rest = parsed.read_modifiers(rest)?;
        }
        if let [Token::Mark('['), Token::Mark(']'), after @ ..] = rest {
            parsed.array = true;
            rest = after;
        }
        rest.is_empty().then_some(parsed)
    }

    fn read_name<'a, 'b>(&mut self, tokens: &'a [Token<'b>]) -> Option<&'a [Token<'b>]> {
        match tokens {
            [Token::Word(word), rest @ ..] if !word.starts_with(|c: char| c.is_ascii_digit()) => {
                self.name = (*word).to_owned();
                self.quoted = false;
                Some(rest)
            }
            [Token::Quoted(name), rest @ ..] => {
                self.name.clone_from(name);
                self.quoted = true;
                Some(rest)
            }
            _ => None,
        }
    }

    fn read_modifiers<'a, 'b>(&mut self, tokens: &'a [Token<'b>]) -> Option<&'a [Token<'b>]> {
        let [Token::Mark('('), rest @ ..] = tokens else {
            return Some(tokens);
        };
        if !self.modifiers.is_empty() {
            return None;
        }
        let mut rest = rest;
        loop {
            let sign = if let [Token::Mark('-'), after @ ..] = rest {
                rest = after;
                "-"
            } else {
                ""
            };
            let [Token::Word(word), Token::Mark(mark @ (',' | ')')), after @ ..] = rest else {
                return None;
            };
            self.modifiers.push(format!("{sign}{word}"));
            rest = after;
            if *mark == ')' {
                return Some(rest);
            }
        }
    }

    /// The name alone, as SQL that `to_regtype` understands.
    pub fn base_sql(&self) -> String {
        let name = if self.quoted || self.schema.is_some() { quote(&self.name) } else { self.name.clone() };
        let array = if self.array { "[]" } else { "" };
        match &self.schema {
            Some(schema) => format!("{}.{name}{array}", quote(schema)),
            None => format!("{name}{array}"),
        }
    }

    /// Whether a column of this type holds every value of the type `other` unchanged.
    pub fn holds(&self, other: &TypeName) -> bool {
        if self.array != other.array || self.fields != other.fields {
            return self.array == other.array && self.name == other.name && self.unlimited();
        }
        if self.array {
            return self.name == other.name && self.modifiers == other.modifiers;
        }
        match (other.name.as_str(), self.name.as_str()) {
            ("smallint", "integer" | "bigint") | ("integer", "bigint") | ("real", "double precision") => true,
            ("character varying" | "text", "text") => true,
            ("text", "character varying") => self.unlimited(),
            ("numeric", "numeric") => self.unlimited() || self.numeric_holds(other),
            ("character varying" | "bit varying", name) if name == other.name => self.at_least(other),
            (
                "time with time zone"
                | "time without time zone"
                | "timestamp with time zone"
                | "timestamp without time zone"
                | "interval",
                name,
            ) if name == other.name => self.at_least(other),
            (other_name, name) => name == other_name && self.modifiers == other.modifiers,
        }
    }

    fn unlimited(&self) -> bool {
        self.modifiers.is_empty() && self.fields.is_none()
    }

    fn at_least(&self, other: &TypeName) -> bool {
        match (self.number(0), other.number(0)) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        }
    }

    fn numeric_holds(&self, other: &TypeName) -> bool {
        let (Some(own_precision), Some(precision)) = (self.number(0), other.number(0)) else {
            return false;
        };
        let (own_scale, scale) = (self.number(1).unwrap_or(0), other.number(1).unwrap_or(0));
        own_scale >= scale && own_precision - own_scale >= precision - scale
    }

    /// A modifier that is a number.
    pub fn number(&self, index: usize) -> Option<i64> {
        self.modifiers.get(index)?.parse().ok()
    }
}

impl fmt::Display for TypeName {
    /// As SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modifiers =
            if self.modifiers.is_empty() { String::new() } else { format!("({})", self.modifiers.join(",")) };
        let array = if self.array { "[]" } else { "" };
        if let Some(fields) = &self.fields {
            return write!(f, "{} {fields}{modifiers}{array}", self.name);
        }
        if self.schema.is_none()
            && !self.quoted
            && let Some((first @ ("time" | "timestamp"), rest)) = self.name.split_once(' ')
        {
            return write!(f, "{first}{modifiers} {rest}{array}");
        }
        let base = TypeName { array: false, ..self.clone() }.base_sql();
        write!(f, "{base}{modifiers}{array}")
    }
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == ' ' {
            rest = &rest[1..];
        } else if "().,[]-".contains(first) {
            tokens.push(Token::Mark(first));
            rest = &rest[1..];
        } else if first == '"' {
            let mut name = String::new();
            let mut characters = rest.char_indices().skip(1).peekable();
            let end = loop {
                match characters.next()? {
                    (_, '"') if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                        characters.next();
                        name.push('"');
                    }
                    (index, '"') => break index,
                    (_, '\0') => return None,
                    (_, character) => name.push(character),
                }
            };
            if name.is_empty() {
                return None;
            }
            tokens.push(Token::Quoted(name));
            rest = &rest[end + 1..];
        } else {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            tokens.push(Token::Word(&rest[..end]));
            rest = &rest[end..];
        }
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_format_type_writes_comes_back() {
        for text in [
            "integer",
            "double precision",
            "character varying",
            "character varying(20)",
            "numeric(12,3)",
            "numeric(3,-2)",
            "timestamp(3) with time zone",
            "timestamp without time zone",
            "time(0) without time zone",
            "interval",
            "interval(3)",
            "interval day to second(3)",
            "interval year to month",
            "bit(5)",
            "bit varying(5)",
            "\"char\"",
            "integer[]",
            "timestamp(3) with time zone[]",
            "numeric(5,2)[]",
            "citext",
            "geometry(Point,4326)",
        ] {
            assert_eq!(TypeName::parse(text).map(|name| name.to_string()).as_deref(), Some(text));
        }
        let user = TypeName::parse("app.\"My Mood\"").unwrap();
        assert_eq!((user.schema.as_deref(), user.name.as_str()), (Some("app"), "My Mood"));
        assert_eq!(user.to_string(), "\"app\".\"My Mood\"");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "integer; drop table x",
            "integer) , evil (text",
            "integer primary key",
            "text default 'x'",
            "text collate \"C\"",
            "integer /* x */",
            "integer -- x",
            "numeric(1",
            "numeric()",
            "numeric(1)(2)",
            "\"a",
            "\"\"",
            "a.b.c",
            "interval day to fortnight",
            "double precision precision",
            "text[][]",
            "1",
            "e'x'",
        ] {
            assert_eq!(TypeName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn wider_types_hold_narrower_ones() {
        let holds = |table: &str, stream: &str| {
            TypeName::parse(table).unwrap().holds(&TypeName::parse(stream).unwrap())
        };
        for (table, stream) in [
            ("integer", "integer"),
            ("bigint", "smallint"),
            ("text", "character varying(5)"),
            ("character varying(9)", "character varying(5)"),
            ("character varying", "text"),
            ("numeric", "numeric(12,3)"),
            ("numeric(14,4)", "numeric(12,3)"),
            ("timestamp without time zone", "timestamp(3) without time zone"),
            ("interval", "interval day to second"),
            ("interval year to month", "interval year to month"),
            ("interval day to second", "interval day to second(3)"),
            ("citext", "citext"),
            ("app.mood", "other.mood"),
        ] {
            assert!(holds(table, stream), "{table} holds {stream}");
        }
        for (table, stream) in [
            ("integer", "bigint"),
            ("character varying(5)", "text"),
            ("character varying(5)", "character varying"),
            ("numeric(12,3)", "numeric"),
            ("numeric(12,4)", "numeric(12,3)"),
            ("timestamp with time zone", "timestamp without time zone"),
            ("timestamp(3) without time zone", "timestamp without time zone"),
            ("character(6)", "character(5)"),
            ("integer[]", "integer"),
            ("bigint[]", "integer[]"),
            ("interval day to second", "interval"),
            ("text", "integer"),
        ] {
            assert!(!holds(table, stream), "{table} holds {stream}");
        }
    }
}
