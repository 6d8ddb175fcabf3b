//! One column of one batch, ready to be written: the pairs of Arrow type and binary form that exist, and their loops.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, FixedSizeBinaryArray, OffsetSizeTrait};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

use super::{BinaryForm, ColumnSpec, Refusal, numeric, temporal};

/// A refused value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub row: usize,
    pub refusal: Refusal,
}

const TYPE_FAULT: Fault = Fault { row: 0, refusal: Refusal::Type };
/// Text is swept for bytes 0 in pieces of this size, so that an early one ends the sweep.
const NUL_SWEEP_BYTES: usize = 16 * 1024;
/// The length field of NULL.
const NULL: [u8; 4] = (-1i32).to_be_bytes();

/// The values of one column.
pub(super) trait Cells {
    /// Bytes of every field, its length included, where they are all the same.
    fn constant_size(&self) -> Option<u32> {
        None
    }
    /// Adds the bytes of the fields from `first_row` on to `sizes`.
    fn add_sizes(&self, first_row: usize, sizes: &mut [u32]);
    /// Writes the fields from `first_row` on to their places in `out`, and moves the places behind them.
    fn write(&self, first_row: usize, places: &mut [u32], out: &mut [u8]) -> Result<(), Fault>;
}

/// Prepares a column.
pub(super) fn cells<'a>(array: &'a ArrayRef, spec: &ColumnSpec) -> Result<Box<dyn Cells + 'a>, Fault> {
    use DataType::*;
    if spec.required
        && let Some(row) = first_null(array)
    {
        return Err(Fault { row, refusal: Refusal::Null });
    }
    let infinities = spec.infinities;
    Ok(match (array.data_type(), spec.form) {
        (Boolean, BinaryForm::Bool) => {
            let array = array.as_boolean();
            Box::new(Bools { values: array.values(), nulls: some_nulls(array.nulls()) })
        }
        (Int8, BinaryForm::Int2) => fixed::<Int8Type, 2>(array, |v| Ok(i16::from(v).to_be_bytes())),
        (Int8, BinaryForm::Int4) => fixed::<Int8Type, 4>(array, |v| Ok(i32::from(v).to_be_bytes())),
        (Int8, BinaryForm::Int8) => fixed::<Int8Type, 8>(array, |v| Ok(i64::from(v).to_be_bytes())),
        (Int16, BinaryForm::Int2) => fixed::<Int16Type, 2>(array, |v| Ok(v.to_be_bytes())),
        (Int16, BinaryForm::Int4) => fixed::<Int16Type, 4>(array, |v| Ok(i32::from(v).to_be_bytes())),
        (Int16, BinaryForm::Int8) => fixed::<Int16Type, 8>(array, |v| Ok(i64::from(v).to_be_bytes())),
        (Int32, BinaryForm::Int4) => fixed::<Int32Type, 4>(array, |v| Ok(v.to_be_bytes())),
        (Int32, BinaryForm::Int8) => fixed::<Int32Type, 8>(array, |v| Ok(i64::from(v).to_be_bytes())),
        (Int64, BinaryForm::Int8) => fixed::<Int64Type, 8>(array, |v| Ok(v.to_be_bytes())),
        (UInt8, BinaryForm::Int2) => fixed::<UInt8Type, 2>(array, |v| Ok(i16::from(v).to_be_bytes())),
        (UInt8, BinaryForm::Int4) => fixed::<UInt8Type, 4>(array, |v| Ok(i32::from(v).to_be_bytes())),
        (UInt8, BinaryForm::Int8) => fixed::<UInt8Type, 8>(array, |v| Ok(i64::from(v).to_be_bytes())),
        (UInt16, BinaryForm::Int4) => fixed::<UInt16Type, 4>(array, |v| Ok(i32::from(v).to_be_bytes())),
        (UInt16, BinaryForm::Int8) => fixed::<UInt16Type, 8>(array, |v| Ok(i64::from(v).to_be_bytes())),
        (UInt32, BinaryForm::Int8) => fixed::<UInt32Type, 8>(array, |v| Ok(i64::from(v).to_be_bytes())),
        (UInt32, BinaryForm::Oid) => fixed::<UInt32Type, 4>(array, |v| Ok(v.to_be_bytes())),
        (Float16, BinaryForm::Float4) => fixed::<Float16Type, 4>(array, |v| Ok(v.to_f32().to_be_bytes())),
        (Float16, BinaryForm::Float8) => fixed::<Float16Type, 8>(array, |v| Ok(v.to_f64().to_be_bytes())),
        (Float32, BinaryForm::Float4) => fixed::<Float32Type, 4>(array, |v| Ok(v.to_be_bytes())),
        (Float32, BinaryForm::Float8) => fixed::<Float32Type, 8>(array, |v| Ok(f64::from(v).to_be_bytes())),
        (Float64, BinaryForm::Float8) => fixed::<Float64Type, 8>(array, |v| Ok(v.to_be_bytes())),

        (Date32, BinaryForm::Date) => fixed::<Date32Type, 4>(array, move |v| temporal::date(v, infinities)),
        (Date64, BinaryForm::Date) => fixed::<Date64Type, 4>(array, temporal::date_of_millis),
        (Time32(TimeUnit::Second), BinaryForm::Time) => {
            fixed::<Time32SecondType, 8>(array, |v| temporal::time(i64::from(v) * 1_000_000))
        }
        (Time32(TimeUnit::Millisecond), BinaryForm::Time) => {
            fixed::<Time32MillisecondType, 8>(array, |v| temporal::time(i64::from(v) * 1_000))
        }
        (Time64(TimeUnit::Microsecond), BinaryForm::Time) => {
            fixed::<Time64MicrosecondType, 8>(array, temporal::time)
        }
        (Time64(TimeUnit::Nanosecond), BinaryForm::Time) => {
            fixed::<Time64NanosecondType, 8>(array, |v| temporal::time(temporal::whole_micros(v)?))
        }
        (Timestamp(unit, _), BinaryForm::Timestamp) => match unit {
            TimeUnit::Second => {
                fixed::<TimestampSecondType, 8>(array, |v| temporal::timestamp_of(v, 1_000_000))
            }
            TimeUnit::Millisecond => {
                fixed::<TimestampMillisecondType, 8>(array, |v| temporal::timestamp_of(v, 1_000))
            }
            TimeUnit::Microsecond => {
                fixed::<TimestampMicrosecondType, 8>(array, move |v| temporal::timestamp(v, infinities))
            }
            TimeUnit::Nanosecond => fixed::<TimestampNanosecondType, 8>(array, |v| {
                temporal::timestamp(temporal::whole_micros(v)?, false)
            }),
        },
        (Duration(unit), BinaryForm::Interval) => match unit {
            TimeUnit::Second => {
                fixed::<DurationSecondType, 16>(array, |v| temporal::duration_of(v, 1_000_000))
            }
            TimeUnit::Millisecond => {
                fixed::<DurationMillisecondType, 16>(array, |v| temporal::duration_of(v, 1_000))
            }
            TimeUnit::Microsecond => {
                fixed::<DurationMicrosecondType, 16>(array, |v| temporal::duration_of(v, 1))
            }
            TimeUnit::Nanosecond => fixed::<DurationNanosecondType, 16>(array, |v| {
                Ok(temporal::interval(0, 0, temporal::whole_micros(v)?))
            }),
        },
        (Interval(IntervalUnit::YearMonth), BinaryForm::Interval) => {
            fixed::<IntervalYearMonthType, 16>(array, |v| Ok(temporal::interval(v, 0, 0)))
        }
        (Interval(IntervalUnit::DayTime), BinaryForm::Interval) => {
            fixed::<IntervalDayTimeType, 16>(array, |v| {
                Ok(temporal::interval(0, v.days, i64::from(v.milliseconds) * 1_000))
            })
        }
        (Interval(IntervalUnit::MonthDayNano), BinaryForm::Interval) => {
            fixed::<IntervalMonthDayNanoType, 16>(array, |v| {
                Ok(temporal::interval(v.months, v.days, temporal::whole_micros(v.nanoseconds)?))
            })
        }

        (Utf8, BinaryForm::Text) => text::<i32>(array, None)?,
        (LargeUtf8, BinaryForm::Text) => text::<i64>(array, None)?,
        (Utf8, BinaryForm::Jsonb) => text::<i32>(array, Some(1))?,
        (LargeUtf8, BinaryForm::Jsonb) => text::<i64>(array, Some(1))?,
        (Utf8View, BinaryForm::Text | BinaryForm::Jsonb) => {
            let strings = array.as_string_view();
            let nulls = some_nulls(strings.nulls());
            let found = (0..strings.len())
                .find(|row| strings.is_valid(*row) && strings.value(*row).as_bytes().contains(&0));
            if let Some(row) = found {
                return Err(Fault { row, refusal: Refusal::NulByte });
            }
            let prefix = (spec.form == BinaryForm::Jsonb).then_some(1);
            Box::new(Slices { nulls, prefix, get: |row| strings.value(row).as_bytes() })
        }
        (Null, BinaryForm::Text) => Box::new(Nulls),

        (Binary, BinaryForm::Bytea) => {
            let bytes = array.as_binary::<i32>();
            Box::new(Offsets::new(bytes.value_offsets(), bytes.value_data(), bytes.nulls(), None))
        }
        (LargeBinary, BinaryForm::Bytea) => {
            let bytes = array.as_binary::<i64>();
            Box::new(Offsets::new(bytes.value_offsets(), bytes.value_data(), bytes.nulls(), None))
        }
        (BinaryView, BinaryForm::Bytea) => {
            let bytes = array.as_binary_view();
            Box::new(Slices { nulls: some_nulls(bytes.nulls()), prefix: None, get: |row| bytes.value(row) })
        }
        (FixedSizeBinary(16), BinaryForm::Bytea | BinaryForm::Uuid)
        | (FixedSizeBinary(_), BinaryForm::Bytea) => {
            let bytes: &FixedSizeBinaryArray = array.as_fixed_size_binary();
            Box::new(Slices { nulls: some_nulls(bytes.nulls()), prefix: None, get: |row| bytes.value(row) })
        }

        (Utf8, BinaryForm::Numeric) => {
            let strings = array.as_string::<i32>();
            numerics(array, |row, out| numeric::push_text(out, strings.value(row).as_bytes()))?
        }
        (LargeUtf8, BinaryForm::Numeric) => {
            let strings = array.as_string::<i64>();
            numerics(array, |row, out| numeric::push_text(out, strings.value(row).as_bytes()))?
        }
        (Utf8View, BinaryForm::Numeric) => {
            let strings = array.as_string_view();
            numerics(array, |row, out| numeric::push_text(out, strings.value(row).as_bytes()))?
        }
        (UInt64, BinaryForm::Numeric) => {
            let values = array.as_primitive::<UInt64Type>().values();
            numerics(array, |row, out| numeric::push_integer(out, false, u128::from(values[row]), 0))?
        }
        (Decimal32(_, scale), BinaryForm::Numeric) => {
            let values = array.as_primitive::<Decimal32Type>().values();
            numerics(array, |row, out| push_signed(out, i128::from(values[row]), *scale))?
        }
        (Decimal64(_, scale), BinaryForm::Numeric) => {
            let values = array.as_primitive::<Decimal64Type>().values();
            numerics(array, |row, out| push_signed(out, i128::from(values[row]), *scale))?
        }
        (Decimal128(_, scale), BinaryForm::Numeric) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            numerics(array, |row, out| push_signed(out, values[row], *scale))?
        }
        (Decimal256(_, scale), BinaryForm::Numeric) => {
            let values = array.as_primitive::<Decimal256Type>().values();
            numerics(array, |row, out| numeric::push_scaled_text(out, &values[row].to_string(), *scale))?
        }
        _ => return Err(TYPE_FAULT),
    })
}

fn push_signed(out: &mut Vec<u8>, value: i128, scale: i8) -> Result<(), Refusal> {
    numeric::push_integer(out, value < 0, value.unsigned_abs(), scale)
}

fn first_null(array: &ArrayRef) -> Option<usize> {
    if array.data_type() == &DataType::Null {
        return (!array.is_empty()).then_some(0);
    }
    let nulls = some_nulls(array.nulls())?;
    (0..nulls.len()).find(|row| nulls.is_null(*row))
}

/// The null buffer, if it says that anything is NULL.
fn some_nulls(nulls: Option<&NullBuffer>) -> Option<&NullBuffer> {
    nulls.filter(|nulls| nulls.null_count() > 0)
}

/// Writes a field of `N` bytes at `place`.
#[inline(always)]
fn put_fixed<const N: usize>(out: &mut [u8], place: &mut u32, bytes: [u8; N]) {
    let at = *place as usize;
    let slot = &mut out[at..at + 4 + N];
    slot[..4].copy_from_slice(&(N as i32).to_be_bytes());
    slot[4..].copy_from_slice(&bytes);
    *place += 4 + N as u32;
}

#[inline(always)]
fn put_null(out: &mut [u8], place: &mut u32) {
    let at = *place as usize;
    out[at..at + 4].copy_from_slice(&NULL);
    *place += 4;
}

/// Writes a field of any length at `place`.
#[inline(always)]
fn put_slice(out: &mut [u8], place: &mut u32, prefix: Option<u8>, bytes: &[u8]) {
    let mut at = *place as usize;
    let len = bytes.len() + usize::from(prefix.is_some());
    out[at..at + 4].copy_from_slice(&(len as i32).to_be_bytes());
    at += 4;
    if let Some(prefix) = prefix {
        out[at] = prefix;
        at += 1;
    }
    copy(&mut out[at..at + bytes.len()], bytes);
    *place += 4 + len as u32;
}

/// Copies between slices of equal length. Short values, which most are, go word by word: a call to `memcpy` costs more
/// than that, above all in a sandbox.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    let len = from.len();
    if len > 64 {
        to.copy_from_slice(from);
    } else if let (Some(to_last), Some(from_last)) = (to.last_chunk_mut::<8>(), from.last_chunk::<8>()) {
        // The last word overlaps the others unless the length is a multiple of it.
        *to_last = *from_last;
        for (to, from) in to.as_chunks_mut::<8>().0.iter_mut().zip(from.as_chunks::<8>().0) {
            *to = *from;
        }
    } else if let (Some(to_last), Some(from_last)) = (to.last_chunk_mut::<4>(), from.last_chunk::<4>()) {
        *to_last = *from_last;
        if let (Some(to_first), Some(from_first)) = (to.first_chunk_mut::<4>(), from.first_chunk::<4>()) {
            *to_first = *from_first;
        }
    } else {
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
    }
}

fn add_fixed_sizes(nulls: Option<&NullBuffer>, value_bytes: u32, first_row: usize, sizes: &mut [u32]) {
    for (offset, size) in sizes.iter_mut().enumerate() {
        let present = nulls.is_none_or(|nulls| nulls.is_valid(first_row + offset));
        *size += 4 + if present { value_bytes } else { 0 };
    }
}

/// Values of `N` bytes made from primitive Arrow values.
struct Fixed<'a, S, const N: usize, F> {
    values: &'a [S],
    nulls: Option<&'a NullBuffer>,
    convert: F,
}

fn fixed<'a, T: ArrowPrimitiveType, const N: usize>(
    array: &'a ArrayRef,
    convert: impl Fn(T::Native) -> Result<[u8; N], Refusal> + 'a,
) -> Box<dyn Cells + 'a> {
    let array = array.as_primitive::<T>();
    Box::new(Fixed { values: array.values(), nulls: some_nulls(array.nulls()), convert })
}

impl<S: Copy, const N: usize, F: Fn(S) -> Result<[u8; N], Refusal>> Cells for Fixed<'_, S, N, F> {
    fn constant_size(&self) -> Option<u32> {
        self.nulls.is_none().then_some(4 + N as u32)
    }

    fn add_sizes(&self, first_row: usize, sizes: &mut [u32]) {
        add_fixed_sizes(self.nulls, N as u32, first_row, sizes);
    }

    fn write(&self, first_row: usize, places: &mut [u32], out: &mut [u8]) -> Result<(), Fault> {
        let values = &self.values[first_row..first_row + places.len()];
        let Some(nulls) = self.nulls else {
            for (offset, (place, value)) in places.iter_mut().zip(values).enumerate() {
                let bytes =
                    (self.convert)(*value).map_err(|refusal| Fault { row: first_row + offset, refusal })?;
                put_fixed(out, place, bytes);
            }
            return Ok(());
        };
        for (offset, (place, value)) in places.iter_mut().zip(values).enumerate() {
            let row = first_row + offset;
            if nulls.is_null(row) {
                put_null(out, place);
            } else {
                let bytes = (self.convert)(*value).map_err(|refusal| Fault { row, refusal })?;
                put_fixed(out, place, bytes);
            }
        }
        Ok(())
    }
}

struct Bools<'a> {
    values: &'a BooleanBuffer,
    nulls: Option<&'a NullBuffer>,
}

impl Cells for Bools<'_> {
    fn constant_size(&self) -> Option<u32> {
        self.nulls.is_none().then_some(5)
    }

    fn add_sizes(&self, first_row: usize, sizes: &mut [u32]) {
        add_fixed_sizes(self.nulls, 1, first_row, sizes);
    }

    fn write(&self, first_row: usize, places: &mut [u32], out: &mut [u8]) -> Result<(), Fault> {
        for (offset, place) in places.iter_mut().enumerate() {
            let row = first_row + offset;
            if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
                put_null(out, place);
            } else {
                put_fixed(out, place, [u8::from(self.values.value(row))]);
            }
        }
        Ok(())
    }
}

/// A column that is NULL throughout.
struct Nulls;

impl Cells for Nulls {
    fn constant_size(&self) -> Option<u32> {
        Some(4)
    }

    fn add_sizes(&self, _first_row: usize, sizes: &mut [u32]) {
        sizes.iter_mut().for_each(|size| *size += 4);
    }

    fn write(&self, _first_row: usize, places: &mut [u32], out: &mut [u8]) -> Result<(), Fault> {
        places.iter_mut().for_each(|place| put_null(out, place));
        Ok(())
    }
}

/// The numbers of the rows.
pub(super) struct Ordinals {
    pub first: i64,
}

impl Cells for Ordinals {
    fn constant_size(&self) -> Option<u32> {
        Some(12)
    }

    fn add_sizes(&self, _first_row: usize, sizes: &mut [u32]) {
        sizes.iter_mut().for_each(|size| *size += 12);
    }

    fn write(&self, first_row: usize, places: &mut [u32], out: &mut [u8]) -> Result<(), Fault> {
        for (offset, place) in places.iter_mut().enumerate() {
            put_fixed(out, place, (self.first + (first_row + offset) as i64).to_be_bytes());
        }
        Ok(())
    }
}

/// Values that lie one behind the other, with the offsets where they begin.
struct Offsets<'a, O> {
    offsets: &'a [O],
    data: &'a [u8],
    nulls: Option<&'a NullBuffer>,
    /// A byte before every value.
    prefix: Option<u8>,
}

impl<'a, O: OffsetSizeTrait> Offsets<'a, O> {
    fn new(offsets: &'a [O], data: &'a [u8], nulls: Option<&'a NullBuffer>, prefix: Option<u8>) -> Self {
        Offsets { offsets, data, nulls: some_nulls(nulls), prefix }
    }

    /// The first row with a byte 0 in it. One sweep over all values at once; the row is looked for only if there is one.
    fn first_with_nul(&self) -> Option<usize> {
        let (first, last) = (self.offsets.first()?.as_usize(), self.offsets.last()?.as_usize());
        // Without a branch for every byte, so that it becomes vector instructions.
        let has_nul = |bytes: &[u8]| bytes.iter().fold(false, |found, byte| found | (*byte == 0));
        if !self.data[first..last].chunks(NUL_SWEEP_BYTES).any(has_nul) {
            return None;
        }
        (0..self.offsets.len() - 1).find(|row| {
            let value = &self.data[self.offsets[*row].as_usize()..self.offsets[*row + 1].as_usize()];
            self.nulls.is_none_or(|nulls| nulls.is_valid(*row)) && value.contains(&0)
        })
    }
}

fn text<'a, O: OffsetSizeTrait>(
    array: &'a ArrayRef,
    prefix: Option<u8>,
) -> Result<Box<dyn Cells + 'a>, Fault> {
    let strings = array.as_string::<O>();
    let cells = Offsets::new(strings.value_offsets(), strings.value_data(), strings.nulls(), prefix);
    match cells.first_with_nul() {
        Some(row) => Err(Fault { row, refusal: Refusal::NulByte }),
        None => Ok(Box::new(cells)),
    }
}

impl<O: OffsetSizeTrait> Cells for Offsets<'_, O> {
    fn add_sizes(&self, first_row: usize, sizes: &mut [u32]) {
        let constant = 4 + u32::from(self.prefix.is_some());
        let ends = &self.offsets[first_row..=first_row + sizes.len()];
        for (offset, (size, ends)) in sizes.iter_mut().zip(ends.windows(2)).enumerate() {
            *size += if self.nulls.is_some_and(|nulls| nulls.is_null(first_row + offset)) {
                4
            } else {
                constant + (ends[1].as_usize() - ends[0].as_usize()) as u32
            };
        }
    }

    fn write(&self, first_row: usize, places: &mut [u32], out: &mut [u8]) -> Result<(), Fault> {
        let ends = &self.offsets[first_row..=first_row + places.len()];
        for (offset, (place, ends)) in places.iter_mut().zip(ends.windows(2)).enumerate() {
            if self.nulls.is_some_and(|nulls| nulls.is_null(first_row + offset)) {
                put_null(out, place);
            } else {
                put_slice(out, place, self.prefix, &self.data[ends[0].as_usize()..ends[1].as_usize()]);
            }
        }
        Ok(())
    }
}

/// Values that an array hands out one by one.
struct Slices<'a, G> {
    nulls: Option<&'a NullBuffer>,
    prefix: Option<u8>,
    get: G,
}

impl<'a, G: Fn(usize) -> &'a [u8]> Cells for Slices<'a, G> {
    fn add_sizes(&self, first_row: usize, sizes: &mut [u32]) {
        let constant = 4 + u32::from(self.prefix.is_some());
        for (offset, size) in sizes.iter_mut().enumerate() {
            let row = first_row + offset;
            *size += if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
                4
            } else {
                constant + (self.get)(row).len() as u32
            };
        }
    }

    fn write(&self, first_row: usize, places: &mut [u32], out: &mut [u8]) -> Result<(), Fault> {
        for (offset, place) in places.iter_mut().enumerate() {
            let row = first_row + offset;
            if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
                put_null(out, place);
            } else {
                put_slice(out, place, self.prefix, (self.get)(row));
            }
        }
        Ok(())
    }
}

/// Numerics, whose size is known only when they are made: made all at once, then written like any other bytes.
struct Numerics<'a> {
    ends: Vec<u32>,
    data: Vec<u8>,
    nulls: Option<&'a NullBuffer>,
}

fn numerics<'a>(
    array: &'a ArrayRef,
    push: impl Fn(usize, &mut Vec<u8>) -> Result<(), Refusal>,
) -> Result<Box<dyn Cells + 'a>, Fault> {
    let nulls = some_nulls(array.nulls());
    let mut ends = Vec::with_capacity(array.len() + 1);
    let mut data = Vec::with_capacity(array.len() * 16);
    ends.push(0);
    for row in 0..array.len() {
        if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
            push(row, &mut data).map_err(|refusal| Fault { row, refusal })?;
        }
        ends.push(data.len() as u32);
    }
    Ok(Box::new(Numerics { ends, data, nulls }))
}

impl Cells for Numerics<'_> {
    fn add_sizes(&self, first_row: usize, sizes: &mut [u32]) {
        let ends = &self.ends[first_row..=first_row + sizes.len()];
        for (size, ends) in sizes.iter_mut().zip(ends.windows(2)) {
            *size += 4 + (ends[1] - ends[0]);
        }
    }

    fn write(&self, first_row: usize, places: &mut [u32], out: &mut [u8]) -> Result<(), Fault> {
        let ends = &self.ends[first_row..=first_row + places.len()];
        for (offset, (place, ends)) in places.iter_mut().zip(ends.windows(2)).enumerate() {
            if self.nulls.is_some_and(|nulls| nulls.is_null(first_row + offset)) {
                put_null(out, place);
            } else {
                put_slice(out, place, None, &self.data[ends[0] as usize..ends[1] as usize]);
            }
        }
        Ok(())
    }
}
