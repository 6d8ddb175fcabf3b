//! One value of an array as PostgreSQL's text, exact: what `value::type` reads back to the same value. For cursors
//! and keys, a few per batch.

use std::fmt::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{Array, ArrowPrimitiveType};

use crate::types::Codec;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The value at `row`, which must not be NULL. None: the array is not of this codec, or the value is NULL.
#[must_use]
pub fn value_text(array: &dyn Array, codec: Codec, row: usize) -> Option<String> {
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    Some(match codec {
        Codec::Bool => array.as_boolean_opt()?.value(row).to_string(),
        Codec::Int16 => at::<Int16Type>(array, row)?.to_string(),
        Codec::Int32 => at::<Int32Type>(array, row)?.to_string(),
        Codec::Int64 => at::<Int64Type>(array, row)?.to_string(),
        Codec::UInt32 => at::<UInt32Type>(array, row)?.to_string(),
        Codec::Float32 => float_text(f64::from(at::<Float32Type>(array, row)?), |_| {
            at::<Float32Type>(array, row).map(|value| value.to_string()).unwrap_or_default()
        }),
        Codec::Float64 => float_text(at::<Float64Type>(array, row)?, |value| value.to_string()),
        Codec::Utf8 | Codec::Json | Codec::Jsonb | Codec::NumericText => {
            array.as_string_opt::<i32>()?.value(row).to_owned()
        }
        Codec::Binary => {
            let bytes = array.as_binary_opt::<i32>()?.value(row);
            bytes.iter().fold(String::from("\\x"), |mut text, byte| {
                write_to(&mut text, format_args!("{byte:02x}"));
                text
            })
        }
        Codec::Uuid => uuid_text(array.as_fixed_size_binary_opt()?.value(row)),
        Codec::Date => date_text(at::<Date32Type>(array, row)?),
        Codec::Time => time_text(at::<Time64MicrosecondType>(array, row)?),
        Codec::Timestamp => timestamp_text(at::<TimestampMicrosecondType>(array, row)?, false),
        Codec::TimestampTz => timestamp_text(at::<TimestampMicrosecondType>(array, row)?, true),
        Codec::Interval => {
            let value = at::<IntervalMonthDayNanoType>(array, row)?;
            let micros = value.nanoseconds / 1000;
            format!("{} mons {} days {micros} microseconds", value.months, value.days)
        }
        Codec::Money => {
            let cents = at::<Int64Type>(array, row)?;
            let sign = if cents < 0 { "-" } else { "" };
            format!("{sign}{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100)
        }
        Codec::NumericDecimal { .. } => array.as_primitive_opt::<Decimal128Type>()?.value_as_string(row),
    })
}

fn at<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Option<T::Native> {
    Some(array.as_primitive_opt::<T>()?.value(row))
}

/// Writing to a `String` can't fail.
fn write_to(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _infallible = text.write_fmt(arguments);
}

fn float_text(value: f64, finite: impl FnOnce(f64) -> String) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        finite(value)
    }
}

fn uuid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write_to(&mut text, format_args!("{byte:02x}"));
    }
    text
}

/// Days since 1970 as `2024-02-29`, `0044-03-15 BC`, `infinity`.
#[must_use]
pub fn date_text(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        _ => {
            let (date, era) = calendar(i64::from(days));
            format!("{date}{era}")
        }
    }
}

/// Microseconds since 1970 as `2024-02-29 12:00:00.000001+00`.
#[must_use]
pub fn timestamp_text(micros: i64, with_zone: bool) -> String {
    match micros {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        _ => {
            let (date, era) = calendar(micros.div_euclid(MICROS_PER_DAY));
            let time = time_text(micros.rem_euclid(MICROS_PER_DAY));
            format!("{date} {time}{}{era}", if with_zone { "+00" } else { "" })
        }
    }
}

fn time_text(micros: i64) -> String {
    let seconds = micros / MICROS_PER_SECOND;
    let fraction = micros % MICROS_PER_SECOND;
    format!("{:02}:{:02}:{:02}.{fraction:06}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The proleptic Gregorian date, and ` BC` for years before 1.
fn calendar(days: i64) -> (String, &'static str) {
    // Eras of 400 years that begin on the first of March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if year > 0 {
        (format!("{year:04}-{month:02}-{day:02}"), "")
    } else {
        (format!("{:04}-{month:02}-{day:02}", 1 - year), " BC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_postgresql_reads_them() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (10_957, "2000-01-01"),
            (11_016, "2000-02-29"),
            (-719_528, "0001-01-01 BC"),
            (-719_162, "0001-01-01"),
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
        ] {
            assert_eq!(date_text(days), text);
        }
    }

    #[test]
    fn timestamps_are_written_to_the_microsecond() {
        for (micros, text) in [
            (0, "1970-01-01 00:00:00.000000+00"),
            (-1, "1969-12-31 23:59:59.999999+00"),
            (1_700_000_000_123_456, "2023-11-14 22:13:20.123456+00"),
            (-719_162 * MICROS_PER_DAY - 1, "0001-12-31 23:59:59.999999+00 BC"),
            (i64::MAX, "infinity"),
        ] {
            assert_eq!(timestamp_text(micros, true), text);
        }
        assert_eq!(timestamp_text(0, false), "1970-01-01 00:00:00.000000");
        assert_eq!(time_text(MICROS_PER_DAY), "24:00:00.000000");
    }
}
