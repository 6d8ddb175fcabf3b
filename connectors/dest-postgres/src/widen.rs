//! Types that differ: the narrowest type that holds the values of both, and the SQL that brings a value from one to the
//! other without changing it. What neither knows has no safe way. Builds text, runs nothing.

use rapidbyte_postgres::identifier::quote_literal;

use crate::type_name::TypeName;

/// Integers that a `double precision` and a `real` hold exactly, up to this size.
const DOUBLE_INTEGER_MAX: i64 = 1 << 53;
const REAL_INTEGER_MAX: i64 = 1 << 24;

/// What types have in common, as far as values go from one to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Integer,
    Float,
    Numeric,
    Text,
    Date,
    Timestamp,
    TimestampTz,
    /// Times of day and intervals: with themselves only.
    Time,
    Json,
    /// Read from text and nothing else.
    Parsed,
    /// Neither read from text nor from anything else: reading it is too lenient, or cuts off.
    Closed,
}

fn family(name: &TypeName) -> Family {
    if name.array || name.schema.is_some() {
        return if name.modifiers.is_empty() { Family::Parsed } else { Family::Closed };
    }
    match name.name.as_str() {
        "smallint" | "integer" | "bigint" => Family::Integer,
        "real" | "double precision" => Family::Float,
        "numeric" => Family::Numeric,
        "text" | "character varying" | "character" => Family::Text,
        "date" => Family::Date,
        "timestamp without time zone" => Family::Timestamp,
        "timestamp with time zone" => Family::TimestampTz,
        "time without time zone" | "time with time zone" | "interval" => Family::Time,
        "json" | "jsonb" => Family::Json,
        "bytea" | "money" | "char" | "name" => Family::Closed,
        _ if name.modifiers.is_empty() => Family::Parsed,
        _ => Family::Closed,
    }
}

/// Decimal digits of every value of an integer type.
fn digits(name: &TypeName) -> i64 {
    match name.name.as_str() {
        "smallint" => 5,
        "integer" => 10,
        _ => 19,
    }
}

/// The type a table's column must get to hold the stream's values besides its own, where there is one of their kind.
/// Asked only where the table's type does not hold the stream's.
pub fn widened(table: &TypeName, stream: &TypeName) -> Option<TypeName> {
    if table.array || stream.array || table.schema.is_some() || stream.schema.is_some() {
        return None;
    }
    match (family(table), family(stream)) {
        (Family::Integer, Family::Integer) => {
            Some(if digits(table) > digits(stream) { table.clone() } else { stream.clone() })
        }
        (Family::Float, Family::Float) => Some(TypeName::of("double precision")),
        (Family::Integer, Family::Float) => {
            (table.name != "bigint").then(|| TypeName::of("double precision"))
        }
        (Family::Float, Family::Integer) => {
            (stream.name != "bigint").then(|| TypeName::of("double precision"))
        }
        (Family::Integer, Family::Numeric) => Some(numeric(Some((digits(table), 0)), parts(stream))),
        (Family::Numeric, Family::Integer) => Some(numeric(parts(table), Some((digits(stream), 0)))),
        (Family::Numeric, Family::Numeric) => Some(numeric(parts(table), parts(stream))),
        (Family::Text, Family::Text) => text(table, stream),
        (Family::Date, Family::Timestamp) => Some(stream.clone()),
        (Family::Timestamp, Family::Timestamp) | (Family::TimestampTz, Family::TimestampTz) => {
            Some(stream.clone())
        }
        (Family::Time, Family::Time) if table.name == stream.name => Some(if table.name == "interval" {
            // Its fields may be others, not just fewer.
            TypeName::of("interval")
        } else {
            stream.clone()
        }),
        _ if table.name == "bit varying" && stream.name == "bit varying" => Some(stream.clone()),
        _ => None,
    }
}

/// Digits before and behind the point; none: unlimited.
fn parts(name: &TypeName) -> Option<(i64, i64)> {
    let precision = name.number(0)?;
    let scale = name.number(1).unwrap_or(0);
    Some((precision - scale, scale))
}

fn numeric(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> TypeName {
    let (Some(one), Some(other)) = (one, other) else {
        return TypeName::of("numeric");
    };
    let (before, behind) = (one.0.max(other.0), one.1.max(other.1));
    let mut name = TypeName::of("numeric");
    name.modifiers = vec![(before + behind).max(1).to_string(), behind.to_string()];
    name
}

fn text(table: &TypeName, stream: &TypeName) -> Option<TypeName> {
    match (table.name.as_str(), stream.name.as_str()) {
        // Values of `character` are padded; only its own kind takes them as they are.
        ("character", "character") | ("character" | "character varying", "character varying" | "text") => {
            Some(stream.clone())
        }
        _ => None,
    }
}

/// SQL over `value`, of type `from`, whose value has type `to` and means the same; it fails for a value that `to` cannot
/// hold. None: there is no such way between the two. `read_as_text`: `value` is text in the form PostgreSQL writes `from`.
pub fn conversion(from: &TypeName, read_as_text: bool, to: &TypeName, value: &str) -> Option<String> {
    let cast = format!("{value}::{to}");
    let to_family = family(to);
    if to_family == Family::Text {
        let rendered = format!("{value}::text");
        return Some(match to.number(0) {
            None => rendered,
            Some(length) => {
                // Casting to a limited text cuts it off; casting to a number that it is not never succeeds.
                let refused = format!("{}::text", refuse(value, to, &TypeName::of("integer")));
                when(&format!("length({rendered}) <= {length}"), &rendered, &refused)
            }
        });
    }
    let from_family = family(from);
    if read_as_text && from_family != Family::Text {
        return None;
    }
    let base = to.without_modifiers();
    let limited = !to.modifiers.is_empty();
    let or_refuse = |condition: String| when(&condition, &cast, &refuse(value, to, &base));
    let unchanged = |value: &str| format!("{value} = {value}::{to}");
    Some(match (from_family, to_family) {
        (_, Family::Closed) => return None,
        (Family::Text, Family::Date) => or_refuse(format!("{value}::timestamp = {value}::date")),
        // A time zone in the text would be passed over in silence.
        (Family::Text, Family::Timestamp) => or_refuse(format!(
            "{value}::timestamptz AT TIME ZONE 'UTC' = {value}::timestamp AND {value}::timestamp = {cast}"
        )),
        (Family::Text, Family::Numeric | Family::TimestampTz | Family::Time) if limited => {
            or_refuse(format!("{value}::{base} = {cast}"))
        }
        (Family::Text, _) => cast,
        (Family::Integer, Family::Integer) => cast,
        (Family::Numeric | Family::Float, Family::Integer) => {
            or_refuse(format!("abs({value}) < 1e19 AND {value} = trunc({value})"))
        }
        (Family::Integer | Family::Numeric, Family::Numeric) => or_refuse(unchanged(value)),
        // The shortest text that reads back as the same number; casting would keep fifteen digits.
        (Family::Float, Family::Numeric) => {
            let exact = format!("{value}::text::numeric");
            if limited { when(&unchanged(&exact), &exact, &refuse(value, to, &base)) } else { exact }
        }
        (Family::Integer, Family::Float) => {
            let bound = if to.name == "real" { REAL_INTEGER_MAX } else { DOUBLE_INTEGER_MAX };
            or_refuse(format!("{value} BETWEEN -{bound} AND {bound}"))
        }
        (Family::Numeric, Family::Float) => or_refuse(format!("{cast}::text::numeric = {value}")),
        (Family::Float, Family::Float) => or_refuse(format!("{cast}::double precision = {value}")),
        (Family::Date, Family::Timestamp) => cast,
        (Family::Timestamp, Family::Date)
        | (Family::Timestamp, Family::Timestamp)
        | (Family::TimestampTz, Family::TimestampTz) => or_refuse(unchanged(value)),
        (Family::Time, Family::Time) if from.name == to.name => or_refuse(unchanged(value)),
        (Family::Json, Family::Json) => cast,
        _ => return None,
    })
}

fn when(condition: &str, then: &str, otherwise: &str) -> String {
    format!("CASE WHEN {condition} THEN {then} ELSE {otherwise} END")
}

/// SQL that fails with a message that shows the value: `base` reads no such text.
fn refuse(value: &str, to: &TypeName, base: &TypeName) -> String {
    format!("({value}::text || {})::{base}", quote_literal(&format!(" does not fit {to}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> TypeName {
        TypeName::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn columns_widen_to_what_holds_both() {
        for (table, stream, wide) in [
            ("integer", "bigint", "bigint"),
            ("smallint", "integer", "integer"),
            ("real", "double precision", "double precision"),
            ("integer", "double precision", "double precision"),
            ("double precision", "integer", "double precision"),
            ("integer", "numeric(12,2)", "numeric(12,2)"),
            ("integer", "numeric(4,2)", "numeric(12,2)"),
            ("bigint", "numeric", "numeric"),
            ("numeric(4,2)", "bigint", "numeric(21,2)"),
            ("numeric(10,2)", "numeric(8,4)", "numeric(12,4)"),
            ("numeric(10,2)", "numeric", "numeric"),
            ("character varying(5)", "character varying(9)", "character varying(9)"),
            ("character varying(5)", "text", "text"),
            ("character(3)", "character(5)", "character(5)"),
            ("date", "timestamp without time zone", "timestamp without time zone"),
            ("timestamp(3) with time zone", "timestamp with time zone", "timestamp with time zone"),
            ("interval day to second", "interval year to month", "interval"),
            ("bit varying(3)", "bit varying(5)", "bit varying(5)"),
        ] {
            let found = widened(&parse(table), &parse(stream));
            assert_eq!(found.map(|name| name.to_string()).as_deref(), Some(wide), "{table}, {stream}");
        }
    }

    #[test]
    fn what_has_nothing_in_common_does_not_widen() {
        for (table, stream) in [
            ("bigint", "double precision"),
            ("double precision", "numeric"),
            ("integer", "text"),
            ("text", "integer"),
            ("timestamp with time zone", "timestamp without time zone"),
            ("timestamp without time zone", "timestamp with time zone"),
            ("integer[]", "bigint[]"),
            ("uuid", "integer"),
            ("text", "character(5)"),
            ("app.mood", "text"),
        ] {
            assert_eq!(widened(&parse(table), &parse(stream)), None, "{table}, {stream}");
        }
    }

    #[test]
    fn values_go_where_they_mean_the_same_and_nowhere_else() {
        let way = |from: &str, to: &str| conversion(&parse(from), false, &parse(to), "v");
        for (from, to) in [
            ("text", "integer"),
            ("integer", "text"),
            ("bytea", "text"),
            ("text", "app.mood"),
            ("text", "integer[]"),
            ("text", "inet"),
            ("text", "jsonb"),
            ("double precision", "integer"),
            ("bigint", "smallint"),
            ("date", "timestamp without time zone"),
            ("timestamp without time zone", "date"),
            ("json", "jsonb"),
        ] {
            assert!(way(from, to).is_some(), "{from} to {to}");
        }
        for (from, to) in [
            ("boolean", "integer"),
            ("integer", "boolean"),
            ("timestamp without time zone", "timestamp with time zone"),
            ("timestamp with time zone", "date"),
            ("text", "bytea"),
            ("text", "bit(5)"),
            ("uuid", "integer"),
            ("integer[]", "bigint[]"),
        ] {
            assert_eq!(way(from, to), None, "{from} to {to}");
        }
        assert_eq!(conversion(&parse("inet"), true, &parse("uuid"), "v"), None);
        assert_eq!(conversion(&parse("inet"), true, &parse("text"), "v").as_deref(), Some("v::text"));
    }
}
