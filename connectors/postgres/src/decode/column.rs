//! One column of a batch in the making: a value's bytes → the end of an Arrow buffer. Hot.

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

use super::Reason;
use super::numeric::{self, NotDecimal};
use crate::limits::BATCH_BYTES_TARGET;
use crate::types::{Codec, EPOCH_DAYS, EPOCH_MICROS};

/// Rows there is room for before the first batch has shown how many there will be.
const ROWS_EXPECTED: usize = 1024;
/// Buffers of text are not made larger in advance than this, whatever the batch before needed.
const TEXT_BYTES_EXPECTED_MAX: usize = 2 * BATCH_BYTES_TARGET as usize;

/// One column's values since the last batch.
pub(super) struct Column {
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
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            values: Values::new(codec, ROWS_EXPECTED, 0),
            nulls: NullBufferBuilder::new(ROWS_EXPECTED),
            text_bytes_expected: 0,
        }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Answers the bytes beyond the codec's fixed part.
    #[inline]
    pub(super) fn append(&mut self, value: &[u8]) -> Result<usize, Reason> {
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
    pub(super) fn append_null(&mut self) {
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
    pub(super) fn truncate(&mut self, rows: usize) {
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

    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef, Reason> {
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
    use super::*;

    #[test]
    fn intervals_that_nanoseconds_do_not_hold_are_refused() {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&(i64::MAX / 1000 + 1).to_be_bytes());
        assert_eq!(interval(&value), Err(Reason::OutOfRange));
        value[..8].copy_from_slice(&(i64::MIN / 1000).to_be_bytes());
        assert_eq!(interval(&value).unwrap().nanoseconds, i64::MIN / 1000 * 1000);
    }
}
