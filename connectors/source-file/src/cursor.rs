//! Positions in a stream of files: which columns can order one, how values compare, and how they are kept between runs. It
//! knows nothing of how records are read.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, TimeUnit};
use rapidbyte_sdk::prelude::*;
use rapidbyte_text::{EXTENSION_JSON, TextColumn, extension_name, parse, temporal};

use crate::columns::Cell;

/// A value of a cursor column, comparable with others of the column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Number(i128),
    Text(String),
}

/// Why a value cannot be a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKey {
    Null,
    /// Nothing would ever come behind it.
    Infinite,
}

impl NoKey {
    pub fn code(self) -> &'static str {
        match self {
            NoKey::Null => "null_cursor",
            NoKey::Infinite => "infinite_cursor",
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            NoKey::Null => "is NULL, so the record has no place in the stream's order",
            NoKey::Infinite => "is `infinity`, behind which nothing could ever come",
        }
    }
}

/// Whether a field can order a stream.
pub fn can_order(field: &Field) -> bool {
    match field.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => true,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => true,
        DataType::Date32 | DataType::Timestamp(..) | DataType::Decimal128(..) => true,
        DataType::Utf8 => extension_name(field) != Some(EXTENSION_JSON),
        _ => false,
    }
}

/// The key of a cell of a text file.
pub fn key_of_cell(cell: &Cell<'_>) -> Result<Key, NoKey> {
    match cell {
        Cell::Int(i64::MAX) | Cell::Date(i32::MAX) => Err(NoKey::Infinite),
        Cell::Int(value) => Ok(Key::Number(i128::from(*value))),
        Cell::Date(days) => Ok(Key::Number(i128::from(*days))),
        Cell::Decimal(value) => Ok(Key::Number(*value)),
        Cell::Text(text) => Ok(Key::Text(text.clone().into_owned())),
        Cell::Null | Cell::Boolean(_) | Cell::Float(_) => Err(NoKey::Null),
    }
}

/// The key of a row of a column that [`can_order`].
pub fn key_of_row(array: &ArrayRef, row: usize) -> Result<Key, NoKey> {
    if array.is_null(row) {
        return Err(NoKey::Null);
    }
    let finite =
        |value: i64| if value == i64::MAX { Err(NoKey::Infinite) } else { Ok(Key::Number(value.into())) };
    match array.data_type() {
        DataType::Int8 => Ok(Key::Number(array.as_primitive::<Int8Type>().value(row).into())),
        DataType::Int16 => Ok(Key::Number(array.as_primitive::<Int16Type>().value(row).into())),
        DataType::Int32 => Ok(Key::Number(array.as_primitive::<Int32Type>().value(row).into())),
        DataType::Int64 => Ok(Key::Number(array.as_primitive::<Int64Type>().value(row).into())),
        DataType::UInt8 => Ok(Key::Number(array.as_primitive::<UInt8Type>().value(row).into())),
        DataType::UInt16 => Ok(Key::Number(array.as_primitive::<UInt16Type>().value(row).into())),
        DataType::UInt32 => Ok(Key::Number(array.as_primitive::<UInt32Type>().value(row).into())),
        DataType::UInt64 => Ok(Key::Number(array.as_primitive::<UInt64Type>().value(row).into())),
        DataType::Decimal128(..) => Ok(Key::Number(array.as_primitive::<Decimal128Type>().value(row))),
        DataType::Date32 => match array.as_primitive::<Date32Type>().value(row) {
            i32::MAX => Err(NoKey::Infinite),
            days => Ok(Key::Number(days.into())),
        },
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => finite(array.as_primitive::<TimestampSecondType>().value(row)),
            TimeUnit::Millisecond => finite(array.as_primitive::<TimestampMillisecondType>().value(row)),
            TimeUnit::Microsecond => finite(array.as_primitive::<TimestampMicrosecondType>().value(row)),
            TimeUnit::Nanosecond => finite(array.as_primitive::<TimestampNanosecondType>().value(row)),
        },
        DataType::Utf8 => Ok(Key::Text(array.as_string::<i32>().value(row).to_owned())),
        _ => Err(NoKey::Null),
    }
}

/// A key as the host keeps it. Dates are ISO text; timestamps in seconds or nanoseconds are plain numbers.
pub fn to_value(key: &Key, data_type: &DataType) -> CursorValue {
    let number = match key {
        Key::Text(text) => return CursorValue::Utf8(text.clone()),
        Key::Number(number) => *number,
    };
    let small = i64::try_from(number);
    match (data_type, small) {
        (DataType::Timestamp(TimeUnit::Microsecond, _), Ok(micros)) => CursorValue::TimestampMicros(micros),
        (DataType::Timestamp(TimeUnit::Millisecond, _), Ok(millis)) => CursorValue::TimestampMillis(millis),
        (DataType::Date32, Ok(days)) => {
            let mut text = String::new();
            temporal::write_date(days, &mut text);
            CursorValue::Utf8(text)
        }
        (DataType::Decimal128(..), _) => CursorValue::Decimal(decimal_text(number, data_type)),
        (_, Ok(value)) => CursorValue::Int64(value),
        (_, Err(_)) => CursorValue::Decimal(number.to_string()),
    }
}

fn decimal_text(number: i128, data_type: &DataType) -> String {
    let array = arrow_array::Decimal128Array::from(vec![number]).with_data_type(data_type.clone());
    let array: ArrayRef = std::sync::Arc::new(array);
    let mut text = String::new();
    if let Ok(column) = TextColumn::new(&Field::new("", data_type.clone(), false), &array) {
        column.write(0, &mut text);
    }
    text
}

/// A kept position as a key of the column; an error where the column has another type now.
pub fn from_value(value: &CursorValue, field: &Field) -> Result<Key, ConnectorError> {
    let key = match (field.data_type(), value) {
        (DataType::Utf8, CursorValue::Utf8(text)) => Some(Key::Text(text.clone())),
        (DataType::Date32, CursorValue::Utf8(text)) => {
            temporal::parse_date(text).map(|days| Key::Number(days.into()))
        }
        (DataType::Timestamp(TimeUnit::Microsecond, _), CursorValue::TimestampMicros(micros)) => {
            Some(Key::Number((*micros).into()))
        }
        (DataType::Timestamp(TimeUnit::Microsecond, _), CursorValue::TimestampMillis(millis)) => {
            Some(Key::Number(i128::from(*millis) * 1_000))
        }
        (DataType::Timestamp(TimeUnit::Millisecond, _), CursorValue::TimestampMillis(millis)) => {
            Some(Key::Number((*millis).into()))
        }
        (DataType::Timestamp(TimeUnit::Second | TimeUnit::Nanosecond, _), CursorValue::Int64(value)) => {
            Some(Key::Number((*value).into()))
        }
        (DataType::Timestamp(..), _) => None,
        (DataType::Decimal128(precision, scale), CursorValue::Decimal(text)) => {
            parse::decimal(text, *precision, *scale).map(Key::Number)
        }
        (DataType::Decimal128(..) | DataType::Utf8 | DataType::Date32, _) => None,
        (_, CursorValue::Int64(value)) => Some(Key::Number((*value).into())),
        (DataType::UInt64, CursorValue::Decimal(text)) => text.parse().ok().map(Key::Number),
        _ => None,
    };
    key.ok_or_else(|| {
        ConnectorError::schema(
            "cursor_type_changed",
            format!(
                "column `{}` is `{}`, the saved position is `{}`: set the column's type under `types`, or reset the stream",
                field.name(),
                field.data_type(),
                value.type_name()
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_being_kept() {
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        for (data_type, key, value) in [
            (DataType::Int64, Key::Number(-5), CursorValue::Int64(-5)),
            (DataType::Int32, Key::Number(5), CursorValue::Int64(5)),
            (DataType::UInt64, Key::Number(u64::MAX.into()), CursorValue::Decimal(u64::MAX.to_string())),
            (DataType::Utf8, Key::Text("é".into()), CursorValue::Utf8("é".into())),
            (DataType::Date32, Key::Number(59), CursorValue::Utf8("1970-03-01".into())),
            (micros(None), Key::Number(7), CursorValue::TimestampMicros(7)),
            (micros(Some("UTC")), Key::Number(-7), CursorValue::TimestampMicros(-7)),
            (
                DataType::Timestamp(TimeUnit::Millisecond, None),
                Key::Number(7),
                CursorValue::TimestampMillis(7),
            ),
            (DataType::Timestamp(TimeUnit::Nanosecond, None), Key::Number(7), CursorValue::Int64(7)),
            (DataType::Decimal128(20, 2), Key::Number(-12_345), CursorValue::Decimal("-123.45".into())),
        ] {
            let field = Field::new("c", data_type.clone(), true);
            assert!(can_order(&field));
            assert_eq!(to_value(&key, &data_type), value);
            assert_eq!(from_value(&value, &field).unwrap(), key);
        }
    }

    #[test]
    fn another_type_is_refused_by_name() {
        let field = Field::new("seen", DataType::Int64, true);
        let error = from_value(&CursorValue::Utf8("x".into()), &field).unwrap_err();
        assert_eq!(error.code, "cursor_type_changed");
        assert!(error.message.contains("`seen`"), "{}", error.message);
    }

    #[test]
    fn null_and_infinity_are_no_positions() {
        assert_eq!(key_of_cell(&Cell::Null), Err(NoKey::Null));
        assert_eq!(key_of_cell(&Cell::Int(i64::MAX)), Err(NoKey::Infinite));
        assert!(!can_order(&Field::new("f", DataType::Float64, true)));
    }
}
