//! Rows of binary `COPY` → Arrow arrays. The hot path: one pass over a row, each value appended to its column's
//! buffer, nothing allocated per row. Knows nothing of streams, sockets or cursors.

mod column;
mod numeric;
pub mod text;

use arrow_array::ArrayRef;

use self::column::Column;
use crate::types::Codec;

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

impl Decoder {
    #[must_use]
    pub fn new(codecs: impl IntoIterator<Item = Codec>) -> Self {
        let columns: Vec<Column> = codecs.into_iter().map(Column::new).collect();
        let row_bytes_fixed = columns.iter().map(|column| column.codec().fixed_bytes() as u64).sum();
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

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, TimestampMicrosecondType};

    use super::*;
    use crate::types::EPOCH_MICROS;

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
    fn the_largest_value_is_found() {
        assert_eq!(largest_value(&row(&[Some(b"a"), None, Some(b"long"), Some(b"xy")])), (2, 4));
        assert_eq!(largest_value(&[]), (0, 0));
    }
}
