//! A place in a stream's order, as it stands in checkpoints and comes back at the next start. Values are PostgreSQL's
//! exact text, so that the server compares them as it ordered them. Knows no SQL.

use rapidbyte_postgres::decode::text::timestamp_text;
use rapidbyte_postgres::types::Codec;
use rapidbyte_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// Column names and values, in the order's order.
pub(crate) type Values = Vec<(String, String)>;

/// Version of the JSON form.
const VERSION: u32 = 1;

/// Behind which record to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Of a full refresh in key order.
    Key(Values),
    /// Of an incremental read.
    Cursor(CursorPosition),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CursorPosition {
    /// None: nothing but records without a cursor was read yet.
    pub(crate) cursor: Option<(String, String)>,
    /// Values of the tie-breaker beside `cursor`.
    pub(crate) tie: Values,
    /// Values of the tie-breaker of the last record that had no cursor.
    pub(crate) nulls: Values,
}

/// How a compound position is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    v: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    key: Values,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tie: Values,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nulls: Values,
}

impl Position {
    /// The cursor of a checkpoint. `codec` is the cursor column's; a cursor that stands alone is typed by it.
    pub(crate) fn to_cursor(&self, codec: Option<Codec>, raw: Option<i64>) -> Cursor {
        let json = match self {
            Self::Key(key) => {
                Json { v: VERSION, key: key.clone(), cursor: None, tie: Vec::new(), nulls: Vec::new() }
            }
            Self::Cursor(CursorPosition { cursor: Some((field, text)), tie, nulls })
                if tie.is_empty() && nulls.is_empty() =>
            {
                return Cursor::new(field, plain_cursor(text, codec, raw));
            }
            Self::Cursor(position) => Json {
                v: VERSION,
                key: Vec::new(),
                cursor: position.cursor.clone(),
                tie: position.tie.clone(),
                nulls: position.nulls.clone(),
            },
        };
        let names = json.key.iter().chain(&json.cursor).chain(&json.tie).chain(&json.nulls);
        let mut fields: Vec<&str> = Vec::new();
        for (name, _) in names {
            if !fields.contains(&name.as_str()) {
                fields.push(name);
            }
        }
        let field = fields.join(", ");
        // Strings and numbers in a struct of our own always serialise.
        let text = serde_json::to_string(&json).unwrap_or_default();
        Cursor::new(field, CursorValue::Json(text))
    }

    /// A compound position as [`Position::to_cursor`] wrote it.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if json.v != VERSION {
            return Err(format!("version {} is not {VERSION}", json.v));
        }
        let Json { key, cursor, tie, nulls, .. } = json;
        match (key.is_empty(), cursor.is_none() && nulls.is_empty()) {
            (false, true) => Ok(Self::Key(key)),
            (true, false) => Ok(Self::Cursor(CursorPosition { cursor, tie, nulls })),
            _ => Err("it is neither over a key nor over a cursor".to_owned()),
        }
    }
}

/// A cursor that stands alone, typed by its column.
fn plain_cursor(text: &str, codec: Option<Codec>, raw: Option<i64>) -> CursorValue {
    match (codec, raw) {
        (Some(Codec::Timestamp | Codec::TimestampTz), Some(micros)) => CursorValue::TimestampMicros(micros),
        (Some(Codec::Int16 | Codec::Int32 | Codec::Int64 | Codec::UInt32), _) => {
            text.parse().map_or_else(|_| CursorValue::Utf8(text.to_owned()), CursorValue::Int64)
        }
        (Some(Codec::NumericText | Codec::NumericDecimal { .. }), _) => CursorValue::Decimal(text.to_owned()),
        _ => CursorValue::Utf8(text.to_owned()),
    }
}

/// The text of a cursor that stood alone, for a column of this codec. None: they do not fit.
pub(crate) fn plain_text(value: &CursorValue, codec: Codec) -> Option<String> {
    let micros = match value {
        CursorValue::TimestampMicros(micros) => Some(*micros),
        CursorValue::TimestampMillis(millis) => Some(millis.checked_mul(1000)?),
        _ => None,
    };
    match (codec, micros) {
        (Codec::Timestamp, Some(micros)) => Some(timestamp_text(micros, false)),
        (Codec::TimestampTz, Some(micros)) => Some(timestamp_text(micros, true)),
        (_, Some(_)) => None,
        (_, None) => match value {
            CursorValue::Int64(number) => Some(number.to_string()),
            CursorValue::Utf8(text) | CursorValue::Decimal(text) => Some(text.clone()),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn compound_positions_survive_a_round_trip() {
        let positions = [
            Position::Key(values(&[("id", "5"), ("region", "it's \"x\"")])),
            Position::Cursor(CursorPosition {
                cursor: Some(("at".into(), "infinity".into())),
                tie: values(&[("id", "5")]),
                nulls: values(&[("id", "7")]),
            }),
            Position::Cursor(CursorPosition { nulls: values(&[("id", "7")]), ..CursorPosition::default() }),
        ];
        for position in positions {
            let cursor = position.to_cursor(None, None);
            let CursorValue::Json(text) = &cursor.value else { panic!("{cursor:?}") };
            assert_eq!(Position::from_json(text).as_ref(), Ok(&position));
        }
    }

    #[test]
    fn positions_of_others_are_refused() {
        for text in [
            "",
            "{}",
            "[1]",
            r#"{"v":1}"#,
            r#"{"v":2,"key":[["id","5"]]}"#,
            r#"{"v":1,"key":[["id","5"]],"cursor":["a","b"]}"#,
            r#"{"v":1,"key":[["id","5"]],"more":1}"#,
        ] {
            assert!(Position::from_json(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lone_cursors_are_typed_by_their_column() {
        let position = |text: &str| {
            Position::Cursor(CursorPosition {
                cursor: Some(("c".to_owned(), text.to_owned())),
                ..CursorPosition::default()
            })
        };
        for (text, codec, raw, value) in [
            ("-5", Codec::Int32, None, CursorValue::Int64(-5)),
            ("1.50", Codec::NumericText, None, CursorValue::Decimal("1.50".into())),
            ("2024-02-29", Codec::Date, None, CursorValue::Utf8("2024-02-29".into())),
            ("infinity", Codec::TimestampTz, Some(i64::MAX), CursorValue::TimestampMicros(i64::MAX)),
        ] {
            let cursor = position(text).to_cursor(Some(codec), raw);
            assert_eq!(cursor, Cursor::new("c", value.clone()));
            assert_eq!(plain_text(&value, codec).as_deref(), Some(text));
        }
        assert_eq!(plain_text(&CursorValue::TimestampMicros(0), Codec::Int32), None);
        assert_eq!(plain_text(&CursorValue::Lsn(0), Codec::Int64), None);
        let millis = plain_text(&CursorValue::TimestampMillis(1), Codec::Timestamp);
        assert_eq!(millis.as_deref(), Some("1970-01-01 00:00:00.001000"));
    }
}
