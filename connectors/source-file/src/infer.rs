//! Types from values: every value narrows what its column can be, and the narrowest that is left wins. It knows values one
//! by one and nothing of files.

use arrow_schema::{DataType, TimeUnit};
use rapidbyte_text::{parse, temporal};

use crate::columns::ColumnType;

const BOOLEAN: u8 = 1;
const INTEGER: u8 = 1 << 1;
const FLOAT: u8 = 1 << 2;
const DATE: u8 = 1 << 3;
const TIMESTAMP: u8 = 1 << 4;
const TIMESTAMP_UTC: u8 = 1 << 5;
const TEXT: u8 = 1 << 6;
const JSON: u8 = 1 << 7;

/// What a column can still be.
#[derive(Debug, Clone, Copy)]
pub struct Candidates(Option<u8>);

impl Candidates {
    /// Nothing but NULLs so far.
    pub const NEW: Candidates = Candidates(None);

    /// A field of CSV that is not NULL.
    pub fn text(&mut self, text: &str) {
        let boolean = if parse::boolean(text).is_some() { BOOLEAN } else { 0 };
        self.narrow(boolean | of_time(text) | of_number(text) | TEXT);
    }

    /// A raw JSON value. Kinds that do not go together make a column of JSON.
    pub fn json(&mut self, raw: &str) {
        match raw.as_bytes().first() {
            None | Some(b'n') => {}
            Some(b't' | b'f') => self.narrow(BOOLEAN | JSON),
            Some(b'{' | b'[') => self.narrow(JSON),
            Some(b'"') => match serde_json::from_str::<std::borrow::Cow<'_, str>>(raw) {
                Ok(text) if matches!(&*text, "NaN" | "Infinity" | "-Infinity") => {
                    self.narrow(FLOAT | TEXT | JSON)
                }
                Ok(text) => self.narrow(of_time(&text) | TEXT | JSON),
                Err(_) => self.narrow(JSON),
            },
            Some(_) => self.narrow(of_number(raw) | JSON),
        }
    }

    fn narrow(&mut self, to: u8) {
        self.0 = Some(self.0.unwrap_or(u8::MAX) & to);
    }

    /// The narrowest type left; text for a column without values.
    pub fn column_type(self) -> ColumnType {
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let left = self.0.unwrap_or(TEXT);
        ColumnType::inferred(match left & left.wrapping_neg() {
            BOOLEAN => DataType::Boolean,
            INTEGER => DataType::Int64,
            FLOAT => DataType::Float64,
            DATE => DataType::Date32,
            TIMESTAMP => micros(None),
            TIMESTAMP_UTC => micros(Some("UTC")),
            JSON => return ColumnType { given: false, ..ColumnType::json() },
            _ => DataType::Utf8,
        })
    }
}

fn of_time(text: &str) -> u8 {
    // The first byte rules most texts out before anything is parsed.
    if !matches!(text.as_bytes().first(), Some(b'0'..=b'9' | b'-' | b'+' | b'i')) {
        return 0;
    }
    let date = if temporal::parse_date(text).is_some() { DATE } else { 0 };
    let timestamp = match temporal::parse_timestamp(text) {
        Some((i64::MAX | i64::MIN, _)) => TIMESTAMP | TIMESTAMP_UTC,
        Some((_, true)) => TIMESTAMP_UTC,
        Some((_, false)) => TIMESTAMP,
        None => 0,
    };
    date | timestamp
}

fn of_number(text: &str) -> u8 {
    let integer = if parse::integer(text).is_some() { INTEGER } else { 0 };
    let float = if parse::float(text).is_some() { FLOAT } else { 0 };
    integer | float
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_texts(texts: &[&str]) -> String {
        let mut candidates = Candidates::NEW;
        texts.iter().for_each(|text| candidates.text(text));
        candidates.column_type().word()
    }

    fn of_json(values: &[&str]) -> String {
        let mut candidates = Candidates::NEW;
        values.iter().for_each(|raw| candidates.json(raw));
        candidates.column_type().word()
    }

    #[test]
    fn texts_narrow() {
        for (texts, word) in [
            (&[] as &[&str], "utf8"),
            (&["1", "-2"], "int64"),
            (&["1", "2.5"], "float64"),
            (&["1", "NaN"], "float64"),
            (&["1", "x"], "utf8"),
            (&["true", "FALSE"], "boolean"),
            (&["true", "1"], "utf8"),
            (&["2024-01-01", "infinity"], "date"),
            (&["2024-01-01 10:00:00", "2024-01-01T10:00:00.5"], "timestamp"),
            (&["2024-01-01T10:00:00Z", "2024-01-01T10:00:00+02:00"], "timestamptz"),
            (&["2024-01-01T10:00:00Z", "2024-01-01T10:00:00"], "utf8"),
            (&["2024-01-01", "2024-01-01T10:00:00"], "utf8"),
            (&["2024-01-01T10:00:00.123456789"], "utf8"),
            (&["01234"], "utf8"),
            (&["9223372036854775808"], "utf8"),
            (&["9007199254740993", "0.5"], "utf8"),
            (&["12:30:00"], "utf8"),
            (&["tomorrow"], "utf8"),
        ] {
            assert_eq!(of_texts(texts), word, "{texts:?}");
        }
    }

    #[test]
    fn json_values_narrow() {
        for (values, word) in [
            (&["null"] as &[&str], "utf8"),
            (&["1", "null"], "int64"),
            (&["1", "1.5"], "float64"),
            (&["1.5", "\"NaN\""], "float64"),
            (&["\"NaN\"", "\"x\""], "utf8"),
            (&["\"1\""], "utf8"),
            (&["1", "\"1\""], "json"),
            (&["true", "1"], "json"),
            (&["{}"], "json"),
            (&["\"2024-01-01\""], "date"),
            (&["\"2024-01-01T00:00:00Z\""], "timestamptz"),
            (&["\"true\""], "utf8"),
            (&["123456789012345678901"], "json"),
        ] {
            assert_eq!(of_json(values), word, "{values:?}");
        }
    }
}
