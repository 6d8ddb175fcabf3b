//! One column as text or JSON, row by row. The type is looked at once per column, not once per value.

use std::fmt::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};

use crate::temporal::{split_seconds, write_date, write_fraction, write_time, write_timestamp};
use crate::{EXTENSION_JSON, EXTENSION_UUID, extension_name, json};

const MILLIS_PER_DAY: i64 = 86_400_000;

/// A column's type has no text.
#[derive(Debug)]
pub struct UnsupportedType {
    pub column: String,
    pub data_type: DataType,
}

impl std::fmt::Display for UnsupportedType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "column `{}`: type `{}` has no text form", self.column, self.data_type)
    }
}

impl std::error::Error for UnsupportedType {}

type WriteValue<'a> = Box<dyn Fn(usize, &mut String) + 'a>;
/// Where a row's items begin and end.
type Range<'a> = Box<dyn Fn(usize) -> (usize, usize) + 'a>;

enum Kind<'a> {
    /// Its text is JSON too: booleans, integers.
    Literal(WriteValue<'a>),
    /// Floats: the values that JSON has no number for are JSON strings.
    Float(WriteValue<'a>),
    /// Its text is a JSON string and needs no escapes.
    Quoted(WriteValue<'a>),
    Text(Box<dyn Fn(usize) -> &'a str + 'a>),
    /// Text that is JSON.
    Json(Box<dyn Fn(usize) -> &'a str + 'a>),
    Bytes(Box<dyn Fn(usize) -> &'a [u8] + 'a>),
    List(Range<'a>, Box<TextColumn<'a>>),
    Struct(Vec<(&'a str, TextColumn<'a>)>),
    Map(Range<'a>, Box<TextColumn<'a>>, Box<TextColumn<'a>>),
}

/// A column whose values can be written as text.
pub struct TextColumn<'a> {
    array: &'a dyn Array,
    kind: Kind<'a>,
}

impl<'a> TextColumn<'a> {
    /// Prepares a column of a field. `Err` where the type has no text form: dictionaries, unions, run-end encodings.
    pub fn new(field: &Field, array: &'a ArrayRef) -> Result<Self, UnsupportedType> {
        let kind = kind(field, array.as_ref())?;
        Ok(TextColumn { array: array.as_ref(), kind })
    }

    /// Whether a type has a text form.
    pub fn supports(data_type: &DataType) -> bool {
        match data_type {
            DataType::Dictionary(..) | DataType::Union(..) | DataType::RunEndEncoded(..) => false,
            DataType::ListView(_) | DataType::LargeListView(_) => false,
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                Self::supports(item.data_type())
            }
            DataType::Struct(fields) => fields.iter().all(|field| Self::supports(field.data_type())),
            DataType::Map(entries, _) => Self::supports(entries.data_type()),
            _ => true,
        }
    }

    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row) || *self.array.data_type() == DataType::Null
    }

    /// Appends the text of a value that is not null.
    pub fn write(&self, row: usize, out: &mut String) {
        match &self.kind {
            Kind::Literal(write) | Kind::Float(write) | Kind::Quoted(write) => write(row, out),
            Kind::Text(text) | Kind::Json(text) => out.push_str(text(row)),
            Kind::Bytes(bytes) => {
                out.push_str("\\x");
                write_hex(bytes(row), out);
            }
            // The texts of nested values are embedded as strings where they are not JSON, so there is no error.
            Kind::List(..) | Kind::Struct(_) | Kind::Map(..) => self.write_json(row, out),
        }
    }

    /// Appends a value as JSON, `null` included. Text of a JSON column that is not JSON becomes a string.
    pub fn write_json(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            out.push_str("null");
            return;
        }
        match &self.kind {
            Kind::Literal(write) => write(row, out),
            Kind::Float(write) => {
                let start = out.len();
                write(row, out);
                if out.ends_with(['N', 'y']) {
                    out.insert(start, '"');
                    out.push('"');
                }
            }
            Kind::Quoted(write) => {
                out.push('"');
                write(row, out);
                out.push('"');
            }
            Kind::Text(text) => json::write_string(text(row), out),
            Kind::Bytes(bytes) => {
                out.push_str("\"\\\\x");
                write_hex(bytes(row), out);
                out.push('"');
            }
            Kind::Json(text) => {
                let start = out.len();
                if json::minify(text(row), out).is_err() {
                    out.truncate(start);
                    json::write_string(text(row), out);
                }
            }
            Kind::List(range, items) => {
                out.push('[');
                let (start, end) = range(row);
                for index in start..end {
                    if index > start {
                        out.push(',');
                    }
                    items.write_json(index, out);
                }
                out.push(']');
            }
            Kind::Struct(children) => {
                out.push('{');
                for (index, (name, child)) in children.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    json::write_string(name, out);
                    out.push(':');
                    child.write_json(row, out);
                }
                out.push('}');
            }
            Kind::Map(range, keys, values) => {
                out.push('{');
                let (start, end) = range(row);
                let mut key = String::new();
                for index in start..end {
                    if index > start {
                        out.push(',');
                    }
                    key.clear();
                    keys.write(index, &mut key);
                    json::write_string(&key, out);
                    out.push(':');
                    values.write_json(index, out);
                }
                out.push('}');
            }
        }
    }
}

fn kind<'a>(field: &Field, array: &'a dyn Array) -> Result<Kind<'a>, UnsupportedType> {
    let unsupported =
        || UnsupportedType { column: field.name().clone(), data_type: array.data_type().clone() };
    let is_json = extension_name(field) == Some(EXTENSION_JSON);
    let text = |value: Box<dyn Fn(usize) -> &'a str + 'a>| {
        if is_json { Kind::Json(value) } else { Kind::Text(value) }
    };
    Ok(match array.data_type() {
        DataType::Null => Kind::Literal(Box::new(|_, _| {})),
        DataType::Boolean => {
            let array: &BooleanArray = array.as_boolean();
            Kind::Literal(Box::new(|row, out| out.push_str(if array.value(row) { "true" } else { "false" })))
        }
        DataType::Int8 => literal::<Int8Type>(array),
        DataType::Int16 => literal::<Int16Type>(array),
        DataType::Int32 => literal::<Int32Type>(array),
        DataType::Int64 => literal::<Int64Type>(array),
        DataType::UInt8 => literal::<UInt8Type>(array),
        DataType::UInt16 => literal::<UInt16Type>(array),
        DataType::UInt32 => literal::<UInt32Type>(array),
        DataType::UInt64 => literal::<UInt64Type>(array),
        DataType::Float16 => {
            let array = array.as_primitive::<Float16Type>();
            Kind::Float(Box::new(|row, out| write_float(array.value(row).to_f32(), out)))
        }
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            Kind::Float(Box::new(|row, out| write_float(array.value(row), out)))
        }
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            Kind::Float(Box::new(|row, out| write_float(array.value(row), out)))
        }
        DataType::Decimal32(_, scale) => decimal::<Decimal32Type>(array, *scale),
        DataType::Decimal64(_, scale) => decimal::<Decimal64Type>(array, *scale),
        DataType::Decimal128(_, scale) => decimal::<Decimal128Type>(array, *scale),
        DataType::Decimal256(_, scale) => decimal::<Decimal256Type>(array, *scale),
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            text(Box::new(|row| array.value(row)))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            text(Box::new(|row| array.value(row)))
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            text(Box::new(|row| array.value(row)))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Kind::Bytes(Box::new(|row| array.value(row)))
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            Kind::Bytes(Box::new(|row| array.value(row)))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            Kind::Bytes(Box::new(|row| array.value(row)))
        }
        DataType::FixedSizeBinary(16) if extension_name(field) == Some(EXTENSION_UUID) => {
            let array = array.as_fixed_size_binary();
            Kind::Quoted(Box::new(|row, out| write_uuid(array.value(row), out)))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            Kind::Bytes(Box::new(|row| array.value(row)))
        }
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => {
            date_or_time(array)
        }
        DataType::Timestamp(unit, zone) => {
            let instant = zone.is_some();
            match unit {
                TimeUnit::Second => timestamp::<TimestampSecondType>(array, 1, instant),
                TimeUnit::Millisecond => timestamp::<TimestampMillisecondType>(array, 1_000, instant),
                TimeUnit::Microsecond => timestamp::<TimestampMicrosecondType>(array, 1_000_000, instant),
                TimeUnit::Nanosecond => timestamp::<TimestampNanosecondType>(array, 1_000_000_000, instant),
            }
        }
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => duration::<DurationSecondType>(array, 1),
            TimeUnit::Millisecond => duration::<DurationMillisecondType>(array, 1_000),
            TimeUnit::Microsecond => duration::<DurationMicrosecondType>(array, 1_000_000),
            TimeUnit::Nanosecond => duration::<DurationNanosecondType>(array, 1_000_000_000),
        },
        DataType::Interval(unit) => interval(array, *unit),
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let items = TextColumn::new(item, list.values())?;
            Kind::List(Box::new(|row| (offsets[row] as usize, offsets[row + 1] as usize)), Box::new(items))
        }
        DataType::LargeList(item) => {
            let list = array.as_list::<i64>();
            let offsets = list.value_offsets();
            let items = TextColumn::new(item, list.values())?;
            Kind::List(Box::new(|row| (offsets[row] as usize, offsets[row + 1] as usize)), Box::new(items))
        }
        DataType::FixedSizeList(item, size) => {
            let list = array.as_fixed_size_list();
            let size = usize::try_from(*size).map_err(|_| unsupported())?;
            let items = TextColumn::new(item, list.values())?;
            Kind::List(Box::new(move |row| (row * size, (row + 1) * size)), Box::new(items))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let mut children = Vec::with_capacity(fields.len());
            for (index, column) in columns.iter().enumerate() {
                let DataType::Struct(fields) = array.data_type() else { return Err(unsupported()) };
                children.push((fields[index].name().as_str(), TextColumn::new(&fields[index], column)?));
            }
            Kind::Struct(children)
        }
        DataType::Map(entries, _) => {
            let map = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else { return Err(unsupported()) };
            let [key, value] = fields.as_ref() else { return Err(unsupported()) };
            let offsets = map.value_offsets();
            let keys = TextColumn::new(key, map.keys())?;
            let values = TextColumn::new(value, map.values())?;
            let range = Box::new(|row: usize| (offsets[row] as usize, offsets[row + 1] as usize));
            Kind::Map(range, Box::new(keys), Box::new(values))
        }
        DataType::Dictionary(..)
        | DataType::Union(..)
        | DataType::RunEndEncoded(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => return Err(unsupported()),
    })
}

fn literal<T: ArrowPrimitiveType>(array: &dyn Array) -> Kind<'_>
where
    T::Native: std::fmt::Display,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    Kind::Literal(Box::new(|row, out| {
        let _ = write!(out, "{}", array.value(row));
    }))
}

fn decimal<T: DecimalType>(array: &dyn Array, scale: i8) -> Kind<'_>
where
    T::Native: std::fmt::Display,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    Kind::Quoted(Box::new(move |row, out| write_decimal(&array.value(row).to_string(), scale, out)))
}

/// Digits with the decimal point put where the scale has it.
fn write_decimal(unscaled: &str, scale: i8, out: &mut String) {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    out.push_str(sign);
    let places = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        out.push_str(digits);
        if digits != "0" {
            out.extend(std::iter::repeat_n('0', places));
        }
    } else if digits.len() > places {
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let _ = write!(out, "{whole}.{fraction}");
    } else {
        let _ = write!(out, "0.{digits:0>places$}");
    }
}

fn write_float(value: impl Into<f64> + Copy + std::fmt::Debug, out: &mut String) {
    let wide: f64 = value.into();
    if wide.is_nan() {
        out.push_str("NaN");
    } else if wide.is_infinite() {
        out.push_str(if wide > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        let _ = write!(out, "{value:?}");
    }
}

fn write_hex(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

fn write_uuid(bytes: &[u8], out: &mut String) {
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        write_hex(&[*byte], out);
    }
}

fn date_or_time(array: &dyn Array) -> Kind<'_> {
    match array.data_type() {
        DataType::Date32 => {
            let array = array.as_primitive::<Date32Type>();
            Kind::Quoted(Box::new(|row, out| match array.value(row) {
                i32::MAX => out.push_str("infinity"),
                i32::MIN => out.push_str("-infinity"),
                days => write_date(i64::from(days), out),
            }))
        }
        DataType::Time32(TimeUnit::Second) => time::<Time32SecondType>(array, 1),
        DataType::Time32(_) => time::<Time32MillisecondType>(array, 1_000),
        DataType::Time64(TimeUnit::Nanosecond) => time::<Time64NanosecondType>(array, 1_000_000_000),
        DataType::Time64(_) => time::<Time64MicrosecondType>(array, 1_000_000),
        _ => {
            // Milliseconds that should be whole days; where they are not, the time is shown.
            let array = array.as_primitive::<Date64Type>();
            Kind::Quoted(Box::new(|row, out| {
                let millis = array.value(row);
                if millis.rem_euclid(MILLIS_PER_DAY) == 0 {
                    write_date(millis.div_euclid(MILLIS_PER_DAY), out);
                } else {
                    let (seconds, nanos) = split_seconds(millis, 1_000);
                    write_timestamp(seconds, nanos, false, out);
                }
            }))
        }
    }
}

fn time<T: ArrowPrimitiveType>(array: &dyn Array, per_second: i64) -> Kind<'_>
where
    T::Native: Into<i64>,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    Kind::Quoted(Box::new(move |row, out| {
        let (seconds, nanos) = split_seconds(array.value(row).into(), per_second);
        write_time(seconds, nanos, out);
    }))
}

fn timestamp<T: ArrowPrimitiveType<Native = i64>>(
    array: &dyn Array,
    per_second: i64,
    instant: bool,
) -> Kind<'_> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    Kind::Quoted(Box::new(move |row, out| match array.value(row) {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        value => {
            let (seconds, nanos) = split_seconds(value, per_second);
            write_timestamp(seconds, nanos, instant, out);
        }
    }))
}

fn duration<T: ArrowPrimitiveType<Native = i64>>(array: &dyn Array, per_second: i64) -> Kind<'_> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    Kind::Quoted(Box::new(move |row, out| {
        let nanos = i128::from(array.value(row)) * i128::from(1_000_000_000 / per_second);
        write_interval(0, 0, nanos, out);
    }))
}

fn interval(array: &dyn Array, unit: IntervalUnit) -> Kind<'_> {
    match unit {
        IntervalUnit::YearMonth => {
            let array = array.as_primitive::<IntervalYearMonthType>();
            Kind::Quoted(Box::new(|row, out| write_interval(array.value(row), 0, 0, out)))
        }
        IntervalUnit::DayTime => {
            let array = array.as_primitive::<IntervalDayTimeType>();
            Kind::Quoted(Box::new(|row, out| {
                let value = array.value(row);
                write_interval(0, value.days, i128::from(value.milliseconds) * 1_000_000, out);
            }))
        }
        IntervalUnit::MonthDayNano => {
            let array = array.as_primitive::<IntervalMonthDayNanoType>();
            Kind::Quoted(Box::new(|row, out| {
                let value = array.value(row);
                write_interval(value.months, value.days, i128::from(value.nanoseconds), out);
            }))
        }
    }
}

/// ISO 8601 with a sign per part, as PostgreSQL's `iso_8601` interval style has it; months, days and time are kept apart.
fn write_interval(months: i32, days: i32, nanos: i128, out: &mut String) {
    if months == 0 && days == 0 && nanos == 0 {
        out.push_str("PT0S");
        return;
    }
    out.push('P');
    let mut part = |value: i128, unit: char| {
        if value != 0 {
            let _ = write!(out, "{value}{unit}");
        }
    };
    part(i128::from(months / 12), 'Y');
    part(i128::from(months % 12), 'M');
    part(i128::from(days), 'D');
    if nanos == 0 {
        return;
    }
    out.push('T');
    let mut part = |value: i128, unit: char| {
        if value != 0 {
            let _ = write!(out, "{value}{unit}");
        }
    };
    let seconds = nanos / 1_000_000_000;
    part(seconds / 3600, 'H');
    part(seconds / 60 % 60, 'M');
    let (rest, fraction) = (seconds % 60, (nanos % 1_000_000_000).unsigned_abs() as u32);
    if rest != 0 || fraction != 0 {
        let sign = if nanos < 0 { "-" } else { "" };
        let _ = write!(out, "{sign}{}", rest.unsigned_abs());
        write_fraction(fraction, out);
        out.push('S');
    }
}

#[cfg(test)]
#[path = "column_tests.rs"]
mod tests;
