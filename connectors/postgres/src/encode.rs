//! Arrow columns to the rows of PostgreSQL's binary `COPY` format.
//!
//! The work is done column by column over small blocks of rows: first the size of every row is summed up, then each
//! column writes its values into the slots of the block. So the type of a column is looked at once per block, not once
//! per value, and nothing is allocated per row. It knows the binary forms of values; it does not know tables, SQL or
//! connections.

mod cells;
mod numeric;
mod temporal;

use std::fmt;

use arrow_array::{RecordBatch, new_empty_array};
use arrow_schema::DataType;

use self::cells::{Cells, Ordinals};

/// What precedes the first row: signature, flags, length of the header extension.
pub const COPY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What follows the last row.
pub const COPY_TRAILER: &[u8; 2] = &(-1i16).to_be_bytes();

/// Rows that are laid out together: few enough for their slots to stay in the first-level cache.
const BLOCK_ROWS: usize = 64;

/// The binary form of a value, as the type of the column that receives it wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryForm {
    Bool,
    Int2,
    Int4,
    /// `bigint`, and `money`, which is its count of minor units.
    Int8,
    Oid,
    Float4,
    Float8,
    /// Characters as they are: `text`, `varchar`, `char`, `name`, `xml`, `json` and enums.
    Text,
    Jsonb,
    Bytea,
    Uuid,
    Date,
    Time,
    /// With and without time zone.
    Timestamp,
    Interval,
    Numeric,
}

impl BinaryForm {
    /// Whether values of an Arrow type have this form.
    pub fn takes(self, data_type: &DataType) -> bool {
        let spec = ColumnSpec { form: self, required: false, infinities: false };
        cells::cells(&new_empty_array(data_type), &spec).is_ok()
    }
}

/// How one column is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnSpec {
    pub form: BinaryForm,
    /// NULL is refused.
    pub required: bool,
    /// The smallest and the largest date or timestamp stand for `-infinity` and `infinity`.
    pub infinities: bool,
}

/// Why a value has no binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Null,
    NulByte,
    DateRange,
    TimeRange,
    TimestampRange,
    IntervalRange,
    PartOfMicrosecond,
    PartOfDay,
    NotNumeric,
    NumericRange,
    /// The array is not of the type the column was planned for.
    Type,
}

impl Refusal {
    /// Stable, for machines.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::Null => "null_not_allowed",
            Refusal::NulByte => "nul_byte_in_text",
            Refusal::DateRange | Refusal::TimeRange | Refusal::TimestampRange | Refusal::IntervalRange => {
                "temporal_out_of_range"
            }
            Refusal::PartOfMicrosecond | Refusal::PartOfDay => "temporal_precision",
            Refusal::NotNumeric => "invalid_numeric",
            Refusal::NumericRange => "numeric_out_of_range",
            Refusal::Type => "unexpected_array_type",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Null => "is NULL where the table has a key or NOT NULL",
            Refusal::NulByte => "contains the character U+0000, which PostgreSQL cannot store in text",
            Refusal::DateRange => "is outside the dates PostgreSQL knows (4713 BC to 5874897 AD)",
            Refusal::TimeRange => "is not a time of day",
            Refusal::TimestampRange => "is outside the timestamps PostgreSQL knows (4713 BC to 294276 AD)",
            Refusal::IntervalRange => "is outside the intervals PostgreSQL knows",
            Refusal::PartOfMicrosecond => {
                "is not a whole number of microseconds, PostgreSQL's smallest unit of time"
            }
            Refusal::PartOfDay => "is not a whole number of days",
            Refusal::NotNumeric => "is not a decimal number",
            Refusal::NumericRange => "has more digits than PostgreSQL's numeric can hold",
            Refusal::Type => "came in an array of another type than the stream's schema says",
        })
    }
}

/// A value that cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeError {
    /// Index in the batch.
    pub column: usize,
    /// Index in the batch.
    pub row: usize,
    pub refusal: Refusal,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value of column {} in row {} {}", self.column, self.row, self.refusal)
    }
}

impl std::error::Error for EncodeError {}

/// Encodes the batches of one stream.
#[derive(Debug)]
pub struct Encoder {
    columns: Vec<ColumnSpec>,
    /// Number of the next record, where every row ends with a `bigint` that counts them.
    ordinal: Option<i64>,
}

impl Encoder {
    /// For batches with these columns. `ordinals` adds a last column that numbers the rows from 0.
    pub fn new(columns: Vec<ColumnSpec>, ordinals: bool) -> Self {
        Encoder { columns, ordinal: ordinals.then_some(0) }
    }

    /// Starts the numbering of rows again at 0.
    pub fn restart_ordinals(&mut self) {
        if let Some(ordinal) = &mut self.ordinal {
            *ordinal = 0;
        }
    }

    /// Prepares one batch. What can be judged of a whole column at once is judged here.
    pub fn batch<'a>(&mut self, batch: &'a RecordBatch) -> Result<BatchEncoder<'a>, EncodeError> {
        if batch.num_columns() != self.columns.len() {
            let column = batch.num_columns().min(self.columns.len());
            return Err(EncodeError { column, row: 0, refusal: Refusal::Type });
        }
        let mut columns = Vec::with_capacity(self.columns.len() + 1);
        for (column, (spec, array)) in self.columns.iter().zip(batch.columns()).enumerate() {
            let cells = cells::cells(array, spec).map_err(|fault| EncodeError {
                column,
                row: fault.row,
                refusal: fault.refusal,
            })?;
            columns.push(cells);
        }
        if let Some(ordinal) = &mut self.ordinal {
            columns.push(Box::new(Ordinals { first: *ordinal }));
            *ordinal += batch.num_rows() as i64;
        }
        Ok(BatchEncoder::new(columns, batch.num_rows()))
    }
}

/// Encodes one batch, a message at a time.
pub struct BatchEncoder<'a> {
    columns: Vec<Box<dyn Cells + 'a>>,
    rows: usize,
    next_row: usize,
    /// What every row takes whatever its values are.
    row_bytes_min: u32,
    field_count: [u8; 2],
    sizes: [u32; BLOCK_ROWS],
}

impl<'a> BatchEncoder<'a> {
    fn new(columns: Vec<Box<dyn Cells + 'a>>, rows: usize) -> Self {
        let row_bytes_min = 2 + columns.iter().filter_map(|column| column.constant_size()).sum::<u32>();
        // PostgreSQL's tables end at 1,600 columns; the destination refuses wider streams before it gets here.
        let field_count = (columns.len() as u16).to_be_bytes();
        BatchEncoder { columns, rows, next_row: 0, row_bytes_min, field_count, sizes: [0; BLOCK_ROWS] }
    }

    /// Rows not encoded yet.
    pub fn rows_left(&self) -> usize {
        self.rows - self.next_row
    }

    /// Writes rows to the start of `out`, as many as fit in `bytes_max` but at least one, and answers how many bytes
    /// they take: 0 when no rows are left. `out` grows where it must and is never cut, so that it can be used again
    /// without being cleared.
    pub fn fill(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<usize, EncodeError> {
        let mut filled = 0;
        while self.next_row < self.rows {
            let (rows, bytes) = self.measure(bytes_max.saturating_sub(filled), filled == 0);
            if rows == 0 {
                break;
            }
            if out.len() < filled + bytes {
                out.resize(filled + bytes, 0);
            }
            self.write(rows, &mut out[filled..filled + bytes])?;
            filled += bytes;
            self.next_row += rows;
        }
        Ok(filled)
    }

    /// The rows of the next block that fit, and their bytes. Leaves the rows' sizes in `sizes`.
    fn measure(&mut self, bytes_max: usize, at_least_one: bool) -> (usize, usize) {
        let rows = (self.rows - self.next_row).min(BLOCK_ROWS);
        let sizes = &mut self.sizes[..rows];
        sizes.fill(self.row_bytes_min);
        for column in &self.columns {
            if column.constant_size().is_none() {
                column.add_sizes(self.next_row, sizes);
            }
        }
        let mut bytes = 0;
        for (row, size) in sizes.iter().enumerate() {
            let with_row = bytes + *size as usize;
            if with_row > bytes_max && !(at_least_one && row == 0) {
                return (row, bytes);
            }
            bytes = with_row;
        }
        (rows, bytes)
    }

    /// Writes the measured rows. Turns `sizes` into the place where each row is written next.
    fn write(&mut self, rows: usize, out: &mut [u8]) -> Result<(), EncodeError> {
        let places = &mut self.sizes[..rows];
        let mut start = 0;
        for place in places.iter_mut() {
            let size = *place;
            out[start as usize..start as usize + 2].copy_from_slice(&self.field_count);
            *place = start + 2;
            start += size;
        }
        for (column, cells) in self.columns.iter().enumerate() {
            cells.write(self.next_row, places, out).map_err(|fault| EncodeError {
                column,
                row: fault.row,
                refusal: fault.refusal,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
