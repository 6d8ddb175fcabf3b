//! Rows of binary `COPY` → Arrow arrays. The hot path: one pass over a row, each value appended to its column's
//! buffer, nothing allocated per row. Knows nothing of streams, sockets or cursors.

mod numeric;
pub mod text;

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringArray};
use arrow_buffer::{
    BooleanBufferBuilder, Buffer, IntervalMonthDayNano, NullBuffer, NullBufferBuilder, OffsetBuffer,
    ScalarBuffer,
};

use self::numeric::NotDecimal;
use crate::limits::BATCH_BYTES_TARGET;
use crate::types::{Codec, EPOCH_DAYS, EPOCH_MICROS};

/// Rows there is room for before the first batch has shown how many there will be.
const ROWS_EXPECTED: usize = 1024;
/// Buffers of text are not made larger in advance than this, whatever the batch before needed.
const TEXT_BYTES_EXPECTED_MAX: usize = 2 * BATCH_BYTES_TARGET as usize;

/// Why a row could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// None: the row itself is malformed.
    pub column: Option<usize>,
    pub reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not what the column's type looks like on the wire.
    Malformed,
    /// The value lies outside of what the Arrow type holds.
    OutOfRange,
    /// `NaN` or an infinity in a decimal column.
    NotFinite,
    /// Text that is not UTF-8, from a database without an encoding of its own.
    NotUtf8,
}

impl Reason {
    /// A stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "value_malformed",
            Self::OutOfRange => "value_out_of_range",
            Self::NotFinite => "value_not_finite",
            Self::NotUtf8 => "value_not_utf8",
        }
    }

    /// What is wrong, to follow "the value".
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Malformed => "is not what the column's type looks like in binary `COPY`",
            Self::OutOfRange => "lies outside of what the column's Arrow type holds",
            Self::NotFinite => "is NaN or infinite, which a decimal can't be: set `numeric: text`",
            Self::NotUtf8 => "is not valid UTF-8; the database is probably `SQL_ASCII`",
        }
    }
}

/// Collects rows into one batch after the other.
pub struct Decoder {
    columns: Vec<Column>,
    rows: usize,
    bytes: u64,
    row_bytes_fixed: u64,
}

struct Column {
    codec: Codec,
    values: Values,
    nulls: NullBufferBuilder,
    text_bytes_expected: usize,
}

enum Values {
    Bool(BooleanBufferBuilder),
    Int16(Vec<i16>),
    /// `int4` and `date`.
    Int32(Vec<i32>),
    /// `int8`, `money`, `time` and timestamps.
    Int64(Vec<i64>),
    UInt32(Vec<u32>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Interval(Vec<IntervalMonthDayNano>),
    Decimal(Vec<i128>),
    Uuid(Vec<u8>),
    Bytes {
        offsets: Vec<i32>,
        bytes: Vec<u8>,
    },
}

impl Decoder {
    #[must_use]
    pub fn new(codecs: impl IntoIterator<Item = Codec>) -> Self {
        let columns: Vec<Column> = codecs
            .into_iter()
            .map(|codec| Column {
                codec,
                values: Values::new(codec, ROWS_EXPECTED, 0),
                nulls: NullBufferBuilder::new(ROWS_EXPECTED),
                text_bytes_expected: 0,
            })
            .collect();
        let row_bytes_fixed = columns.iter().map(|column| column.codec.fixed_bytes() as u64).sum();
        Self { columns, rows: 0, bytes: 0, row_bytes_fixed }
    }

    /// Rows collected since the last batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Their size in Arrow's buffers, validity aside.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes one row and answers its size. After an error the decoder is as before.
    ///
    /// # Errors
    /// Which column's value can't be taken, and why.
    pub fn push(&mut self, row: &[u8]) -> Result<u64, DecodeError> {
        match self.append(row) {
            Ok(text_bytes) => {
                let bytes = self.row_bytes_fixed + text_bytes as u64;
                self.rows += 1;
                self.bytes += bytes;
                Ok(bytes)
            }
            Err(error) => {
                let rows = self.rows;
                self.columns.iter_mut().for_each(|column| column.truncate(rows));
                Err(error)
            }
        }
    }

    /// Takes back the last row, of which [`Decoder::push`] said that it has `bytes` bytes.
    pub fn pop(&mut self, bytes: u64) {
        let rows = self.rows.saturating_sub(1);
        self.rows = rows;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    fn append(&mut self, row: &[u8]) -> Result<usize, DecodeError> {
        const CUT_SHORT: DecodeError = DecodeError { column: None, reason: Reason::Malformed };
        let (count, mut rest) = row.split_first_chunk::<2>().ok_or(CUT_SHORT)?;
        if usize::from(u16::from_be_bytes(*count)) != self.columns.len() {
            return Err(CUT_SHORT);
        }
        let mut text_bytes = 0;
        for (index, column) in self.columns.iter_mut().enumerate() {
            let (length, after) = rest.split_first_chunk::<4>().ok_or(CUT_SHORT)?;
            let length = i32::from_be_bytes(*length);
            if length < 0 {
                column.append_null();
                rest = after;
                continue;
            }
            let (value, after) = after.split_at_checked(length as usize).ok_or(CUT_SHORT)?;
            match column.append(value) {
                Ok(bytes) => text_bytes += bytes,
                Err(reason) => return Err(DecodeError { column: Some(index), reason }),
            }
            rest = after;
        }
        if rest.is_empty() { Ok(text_bytes) } else { Err(CUT_SHORT) }
    }

    /// The rows so far as one array per column; the decoder starts anew.
    ///
    /// # Errors
    /// Text that is not UTF-8. The batch is lost then.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, DecodeError> {
        let rows = self.rows;
        self.rows = 0;
        self.bytes = 0;
        let mut arrays = Vec::with_capacity(self.columns.len());
        let mut failed = None;
        for (index, column) in self.columns.iter_mut().enumerate() {
            match column.finish(rows) {
                Ok(array) => arrays.push(array),
                Err(reason) => failed = Some(DecodeError { column: Some(index), reason }),
            }
        }
        failed.map_or(Ok(arrays), Err)
    }
}

/// Index and size of the largest value of a row.
#[must_use]
pub fn largest_value(row: &[u8]) -> (usize, usize) {
    let mut largest = (0, 0);
    let mut rest = row.get(2..).unwrap_or_default();
    let mut index = 0;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        if length > largest.1 {
            largest = (index, length);
        }
        rest = after.get(length..).unwrap_or_default();
        index += 1;
    }
    largest
}

impl Values {
    fn new(codec: Codec, rows: usize, text_bytes: usize) -> Self {
        match codec {
            Codec::Bool => Self::Bool(BooleanBufferBuilder::new(rows)),
            Codec::Int16 => Self::Int16(Vec::with_capacity(rows)),
            Codec::Int32 | Codec::Date => Self::Int32(Vec::with_capacity(rows)),
            Codec::Int64 | Codec::Money | Codec::Time | Codec::Timestamp | Codec::TimestampTz => {
                Self::Int64(Vec::with_capacity(rows))
            }
            Codec::UInt32 => Self::UInt32(Vec::with_capacity(rows)),
            Codec::Float32 => Self::Float32(Vec::with_capacity(rows)),
            Codec::Float64 => Self::Float64(Vec::with_capacity(rows)),
            Codec::Interval => Self::Interval(Vec::with_capacity(rows)),
            Codec::NumericDecimal { .. } => Self::Decimal(Vec::with_capacity(rows)),
            Codec::Uuid => Self::Uuid(Vec::with_capacity(16 * rows)),
            Codec::Utf8 | Codec::Json | Codec::Jsonb | Codec::Binary | Codec::NumericText => {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Self::Bytes { offsets, bytes: Vec::with_capacity(text_bytes) }
            }
        }
    }
}

#[inline]
fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], Reason> {
    value.try_into().map_err(|_| Reason::Malformed)
}

/// PostgreSQL's days since 2000 → Arrow's since 1970; its infinities are Arrow's extremes.
#[inline]
fn date(days: i32) -> Result<i32, Reason> {
    match days {
        i32::MAX | i32::MIN => Ok(days),
        _ => days.checked_add(EPOCH_DAYS).filter(|days| *days != i32::MAX).ok_or(Reason::OutOfRange),
    }
}

/// The same in microseconds.
#[inline]
fn timestamp(micros: i64) -> Result<i64, Reason> {
    match micros {
        i64::MAX | i64::MIN => Ok(micros),
        _ => micros.checked_add(EPOCH_MICROS).filter(|micros| *micros != i64::MAX).ok_or(Reason::OutOfRange),
    }
}

fn interval(value: &[u8]) -> Result<IntervalMonthDayNano, Reason> {
    let bytes = exactly::<16>(value)?;
    let [m0, m1, m2, m3, m4, m5, m6, m7, d0, d1, d2, d3, o0, o1, o2, o3] = bytes;
    let micros = i64::from_be_bytes([m0, m1, m2, m3, m4, m5, m6, m7]);
    let nanoseconds = micros.checked_mul(1000).ok_or(Reason::OutOfRange)?;
    Ok(IntervalMonthDayNano {
        months: i32::from_be_bytes([o0, o1, o2, o3]),
        days: i32::from_be_bytes([d0, d1, d2, d3]),
        nanoseconds,
    })
}

impl Column {
    /// Answers the bytes beyond the codec's fixed part.
    #[inline]
    fn append(&mut self, value: &[u8]) -> Result<usize, Reason> {
        let mut text_bytes = 0;
        match &mut self.values {
            Values::Int64(values) => {
                let number = i64::from_be_bytes(exactly(value)?);
                let is_timestamp = matches!(self.codec, Codec::Timestamp | Codec::TimestampTz);
                values.push(if is_timestamp { timestamp(number)? } else { number });
            }
            Values::Int32(values) => {
                let number = i32::from_be_bytes(exactly(value)?);
                values.push(if self.codec == Codec::Date { date(number)? } else { number });
            }
            Values::Bytes { offsets, bytes } => {
                let before = bytes.len();
                match self.codec {
                    Codec::NumericText => numeric::append_text(value, bytes).ok_or(Reason::Malformed)?,
                    Codec::Jsonb => match value.split_first() {
                        Some((1, json)) => bytes.extend_from_slice(json),
                        _ => return Err(Reason::Malformed),
                    },
                    _ => bytes.extend_from_slice(value),
                }
                offsets.push(i32::try_from(bytes.len()).map_err(|_| Reason::OutOfRange)?);
                text_bytes = bytes.len() - before;
            }
            Values::Bool(values) => {
                let [byte] = exactly(value)?;
                values.append(byte != 0);
            }
            Values::Int16(values) => values.push(i16::from_be_bytes(exactly(value)?)),
            Values::UInt32(values) => values.push(u32::from_be_bytes(exactly(value)?)),
            Values::Float32(values) => values.push(f32::from_be_bytes(exactly(value)?)),
            Values::Float64(values) => values.push(f64::from_be_bytes(exactly(value)?)),
            Values::Uuid(values) => values.extend_from_slice(&exactly::<16>(value)?),
            Values::Interval(values) => values.push(interval(value)?),
            Values::Decimal(values) => {
                let Codec::NumericDecimal { precision, scale } = self.codec else {
                    return Err(Reason::Malformed);
                };
                values.push(numeric::to_decimal128(value, precision, scale).map_err(
                    |error| match error {
                        NotDecimal::Malformed => Reason::Malformed,
                        NotDecimal::NotFinite => Reason::NotFinite,
                        NotDecimal::Overflow => Reason::OutOfRange,
                    },
                )?);
            }
        }
        self.nulls.append_non_null();
        Ok(text_bytes)
    }

    #[inline]
    fn append_null(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) => values.push(0),
            Values::Int64(values) => values.push(0),
            Values::UInt32(values) => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Interval(values) => values.push(IntervalMonthDayNano::default()),
            Values::Decimal(values) => values.push(0),
            Values::Uuid(values) => values.extend_from_slice(&[0; 16]),
            Values::Bytes { offsets, .. } => offsets.push(offsets.last().copied().unwrap_or(0)),
        }
        self.nulls.append_null();
    }

    /// Forgets everything behind the first `rows` rows, half-appended values included.
    fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Bool(values) => values.truncate(rows),
            Values::Int16(values) => values.truncate(rows),
            Values::Int32(values) => values.truncate(rows),
            Values::Int64(values) => values.truncate(rows),
            Values::UInt32(values) => values.truncate(rows),
            Values::Float32(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Interval(values) => values.truncate(rows),
            Values::Decimal(values) => values.truncate(rows),
            Values::Uuid(values) => values.truncate(16 * rows),
            Values::Bytes { offsets, bytes } => {
                offsets.truncate(rows + 1);
                let end = offsets.last().copied().and_then(|end| usize::try_from(end).ok()).unwrap_or(0);
                bytes.truncate(end);
            }
        }
        self.nulls.truncate(rows);
    }

    fn finish(&mut self, rows: usize) -> Result<ArrayRef, Reason> {
        let next = Values::new(self.codec, rows + rows / 8 + 1, self.text_bytes_expected);
        let values = std::mem::replace(&mut self.values, next);
        let nulls = self.nulls.finish();
        let codec = self.codec;
        Ok(match values {
            Values::Bool(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int16(values) => primitive::<Int16Type>(values, nulls, codec),
            Values::Int32(values) if codec == Codec::Date => primitive::<Date32Type>(values, nulls, codec),
            Values::Int32(values) => primitive::<Int32Type>(values, nulls, codec),
            Values::Int64(values) => match codec {
                Codec::Time => primitive::<Time64MicrosecondType>(values, nulls, codec),
                Codec::Timestamp | Codec::TimestampTz => {
                    primitive::<TimestampMicrosecondType>(values, nulls, codec)
                }
                _ => primitive::<Int64Type>(values, nulls, codec),
            },
            Values::UInt32(values) => primitive::<UInt32Type>(values, nulls, codec),
            Values::Float32(values) => primitive::<Float32Type>(values, nulls, codec),
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, codec),
            Values::Interval(values) => primitive::<IntervalMonthDayNanoType>(values, nulls, codec),
            Values::Decimal(values) => primitive::<Decimal128Type>(values, nulls, codec),
            Values::Uuid(values) => Arc::new(
                FixedSizeBinaryArray::try_new(16, Buffer::from_vec(values), nulls)
                    .map_err(|_| Reason::Malformed)?,
            ),
            Values::Bytes { offsets, bytes } => {
                self.text_bytes_expected = (bytes.len() + bytes.len() / 8).min(TEXT_BYTES_EXPECTED_MAX);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let bytes = Buffer::from_vec(bytes);
                if codec == Codec::Binary {
                    Arc::new(BinaryArray::try_new(offsets, bytes, nulls).map_err(|_| Reason::Malformed)?)
                } else {
                    Arc::new(StringArray::try_new(offsets, bytes, nulls).map_err(|_| Reason::NotUtf8)?)
                }
            }
        })
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    codec: Codec,
) -> ArrayRef {
    let array = PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls);
    // Time zone, precision and scale stand in the data type alone.
    Arc::new(array.with_data_type(codec.data_type()))
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;

    use super::*;

    fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut row = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            match value {
                Some(value) => {
                    row.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
                    row.extend_from_slice(value);
                }
                None => row.extend_from_slice(&(-1_i32).to_be_bytes()),
            }
        }
        row
    }

    #[test]
    fn rows_become_columns() {
        let mut decoder = Decoder::new([Codec::Int32, Codec::Utf8, Codec::TimestampTz]);
        let infinity = i64::MAX.to_be_bytes();
        decoder.push(&row(&[Some(&7_i32.to_be_bytes()), Some(b"seven"), Some(&[0; 8])])).unwrap();
        decoder.push(&row(&[None, None, Some(&infinity)])).unwrap();
        assert_eq!((decoder.rows(), decoder.bytes()), (2, 2 * (4 + 4 + 8) + 5));
        let arrays = decoder.finish().unwrap();
        assert_eq!(arrays[0].as_primitive::<Int32Type>().value(0), 7);
        assert!(arrays[0].is_null(1) && arrays[1].is_null(1));
        assert_eq!(arrays[1].as_string::<i32>().value(0), "seven");
        assert_eq!(arrays[2].data_type(), &Codec::TimestampTz.data_type());
        let timestamps = arrays[2].as_primitive::<TimestampMicrosecondType>();
        assert_eq!(timestamps.values().as_ref(), &[EPOCH_MICROS, i64::MAX]);
        assert_eq!((decoder.rows(), decoder.bytes()), (0, 0));
    }

    #[test]
    fn a_refused_row_leaves_no_trace() {
        let mut decoder = Decoder::new([Codec::Utf8, Codec::Date, Codec::Bool, Codec::Jsonb]);
        let good = row(&[Some(b"a"), Some(&[0; 4]), Some(&[1]), Some(b"\x01{}")]);
        let bytes = decoder.push(&good).unwrap();
        let late = (i32::MAX - 1).to_be_bytes();
        let error = decoder.push(&row(&[Some(b"bbb"), Some(&late), Some(&[0]), None])).unwrap_err();
        assert_eq!(error, DecodeError { column: Some(1), reason: Reason::OutOfRange });
        let error = decoder.push(&row(&[Some(b"b"), None, Some(&[0]), Some(b"\x02{}")])).unwrap_err();
        assert_eq!(error, DecodeError { column: Some(3), reason: Reason::Malformed });
        decoder.push(&good).unwrap();
        decoder.pop(bytes);
        decoder.push(&row(&[None, None, None, None])).unwrap();
        let arrays = decoder.finish().unwrap();
        assert!(arrays.iter().all(|array| array.len() == 2 && array.null_count() == 1));
        assert_eq!(arrays[3].as_string::<i32>().value(0), "{}");
    }

    #[test]
    fn malformed_rows_are_refused() {
        let whole = row(&[Some(&[0; 4]), Some(b"x")]);
        for end in 0..whole.len() {
            let mut decoder = Decoder::new([Codec::Int32, Codec::Utf8]);
            assert!(decoder.push(&whole[..end]).is_err(), "{end}");
            assert_eq!(decoder.rows(), 0);
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(Decoder::new([Codec::Int32, Codec::Utf8]).push(&longer).is_err());
        assert!(Decoder::new([Codec::Int32]).push(&whole).is_err());
        let short = row(&[Some(&[0; 3])]);
        let error = Decoder::new([Codec::Int32]).push(&short).unwrap_err();
        assert_eq!(error, DecodeError { column: Some(0), reason: Reason::Malformed });
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        let mut decoder = Decoder::new([Codec::Utf8]);
        decoder.push(&row(&[Some(b"caf\xe9")])).unwrap();
        assert_eq!(decoder.finish().unwrap_err().reason, Reason::NotUtf8);
        // Valid as a whole, cut inside of a character.
        decoder.push(&row(&[Some(b"\xc3")])).unwrap();
        decoder.push(&row(&[Some(b"\xa9")])).unwrap();
        assert_eq!(decoder.finish().unwrap_err().reason, Reason::NotUtf8);
    }

    #[test]
    fn intervals_that_nanoseconds_do_not_hold_are_refused() {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&(i64::MAX / 1000 + 1).to_be_bytes());
        assert_eq!(interval(&value), Err(Reason::OutOfRange));
        value[..8].copy_from_slice(&(i64::MIN / 1000).to_be_bytes());
        assert_eq!(interval(&value).unwrap().nanoseconds, i64::MIN / 1000 * 1000);
    }

    #[test]
    fn the_largest_value_is_found() {
        assert_eq!(largest_value(&row(&[Some(b"a"), None, Some(b"long"), Some(b"xy")])), (2, 4));
        assert_eq!(largest_value(&[]), (0, 0));
    }
}
