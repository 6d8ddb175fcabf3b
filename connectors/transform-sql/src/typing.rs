//! Which types go together in an operation, what they become, and how types are written.

use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};

/// The most digits that 128 bits hold.
pub const DIGITS_MAX: u8 = 38;

pub fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// As a decimal: digits before and behind the point.
fn digits(data_type: &DataType) -> Option<(u8, u8)> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Decimal128(precision, scale) => {
            let scale = u8::try_from(*scale).ok()?;
            (precision.checked_sub(scale)?, scale)
        }
        _ => return None,
    })
}

/// The decimal that holds a number of this type exactly.
pub fn decimal(data_type: &DataType) -> Option<DataType> {
    let (before, behind) = digits(data_type)?;
    Some(DataType::Decimal128((before + behind).min(DIGITS_MAX), behind as i8))
}

/// The type that values of both types have without loss; none if they do not go together.
pub fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::*;
    if left == right {
        return Some(left.clone());
    }
    if left.is_integer() && right.is_integer() {
        let wide = |it: &DataType| matches!(it, UInt64);
        return if wide(left) || wide(right) { Some(Decimal128(20, 0)) } else { Some(Int64) };
    }
    match (left, right) {
        (Null, other) | (other, Null) => Some(other.clone()),
        _ if is_text(left) && is_text(right) => Some(Utf8),
        _ if left.is_numeric() && right.is_numeric() => {
            if left.is_floating() || right.is_floating() {
                return Some(Float64);
            }
            let ((before, behind), (before_right, behind_right)) = (digits(left)?, digits(right)?);
            let behind = behind.max(behind_right);
            let total = before.max(before_right) + behind;
            (total <= DIGITS_MAX).then_some(Decimal128(total, behind as i8))
        }
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => {
            Some(Timestamp(*unit, zone.clone()))
        }
        (Timestamp(a, zone), Timestamp(b, other)) if zone.is_some() == other.is_some() => {
            Some(Timestamp(*a.max(b), zone.clone()))
        }
        _ => None,
    }
}

/// A type by its name in a `CAST`.
pub fn named(name: &str) -> Option<DataType> {
    use DataType::*;
    let name = name.trim().to_ascii_lowercase();
    let (word, arguments) = match name.split_once('(') {
        Some((word, rest)) => (word.trim(), Some(rest.strip_suffix(')')?)),
        None => (name.as_str(), None),
    };
    let micros = |zone| Timestamp(TimeUnit::Microsecond, zone);
    Some(match (word, arguments) {
        ("boolean" | "bool", None) => Boolean,
        ("smallint" | "int16" | "int2", None) => Int16,
        ("int" | "integer" | "int32" | "int4", None) => Int32,
        ("bigint" | "int64", None) => Int64,
        ("real" | "float32" | "float4", None) => Float32,
        ("double" | "double precision" | "float64" | "float8" | "float", None) => Float64,
        ("text" | "varchar" | "string" | "utf8", None) => Utf8,
        ("bytea" | "binary" | "blob", None) => Binary,
        ("date" | "date32", None) => Date32,
        ("timestamp" | "timestamp without time zone", None) => micros(None),
        ("timestamptz" | "timestamp with time zone", None) => micros(Some(Arc::from("UTC"))),
        ("decimal" | "numeric", Some(arguments)) => {
            let mut parts = arguments.split(',').map(|it| it.trim().parse::<u8>().ok());
            let precision = parts.next()??;
            let scale = match parts.next() {
                Some(scale) => scale?,
                None => 0,
            };
            if parts.next().is_some() || precision == 0 || precision > DIGITS_MAX || scale > precision {
                return None;
            }
            Decimal128(precision, scale as i8)
        }
        _ => return None,
    })
}
