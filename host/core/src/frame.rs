//! A frame: the Arrow IPC stream of one record batch, shared without copying. The envelope is checked once, when a guest
//! hands it over; columns are decoded only where somebody needs them.
//!
//! Refuses to know: who made the frame and who takes it.

mod check;

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Fields, Schema};
use bytes::Bytes;

use crate::error::ConnectorError;

/// One record batch as an Arrow IPC stream.
#[derive(Debug, Clone)]
pub struct Frame {
    bytes: Bytes,
    records: u64,
}

impl Frame {
    /// Checks the envelope of an IPC stream that nobody vouches for and makes a frame of it: exactly one schema, one
    /// batch and the end marker; no compression, no dictionaries; every buffer inside the body and long enough for its
    /// records; at most `bytes_max` bytes. What the values say (offsets, UTF-8) is checked by whoever decodes them.
    pub fn check(bytes: Bytes, bytes_max: u64) -> Result<Self, ConnectorError> {
        if bytes.len() as u64 > bytes_max {
            return Err(ConnectorError::frame(
                "frame_too_large",
                format!("a frame of {} bytes exceeds `max-batch-bytes` of {bytes_max}", bytes.len()),
            ));
        }
        let records = check::stream(&bytes)?;
        Ok(Frame { bytes, records })
    }

    /// A frame whose envelope the caller has checked: `bytes` is one IPC stream with exactly one batch of `records` rows.
    pub fn from_checked(bytes: Bytes, records: u64) -> Self {
        Frame { bytes, records }
    }

    /// Encodes a batch of the host's own.
    pub fn encode(batch: &RecordBatch) -> Result<Self, ConnectorError> {
        let encoded = || {
            let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
            writer.write(batch)?;
            writer.finish()?;
            writer.into_inner()
        };
        let bytes = encoded().map_err(|error| ConnectorError::frame("frame_encoding", error.to_string()))?;
        Ok(Frame { bytes: bytes.into(), records: batch.num_rows() as u64 })
    }

    /// The IPC stream.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    /// The footprint in bytes that channels and budgets count: the length of the slice, not the capacity behind it.
    pub fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The schema message at the front: equal bytes are equal schemas, different bytes need not be different ones.
    pub fn schema_message(&self) -> &[u8] {
        check::first_message(&self.bytes).unwrap_or(&[])
    }

    /// The columns' names and types.
    pub fn schema(&self) -> Result<Schema, ConnectorError> {
        check::schema_message(self.schema_message())
    }

    /// Decodes the columns without copying them, and validates what the envelope check left open. A defect of the
    /// decoder met by a hostile frame is an error like any other.
    pub fn decode(&self) -> Result<RecordBatch, ConnectorError> {
        let malformed = |cause: String| ConnectorError::frame("frame_malformed", cause);
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            let mut buffer = Buffer::from(self.bytes.clone());
            StreamDecoder::new().decode(&mut buffer)
        }));
        match decoded {
            Ok(Ok(Some(batch))) => Ok(batch),
            Ok(Ok(None)) => Err(malformed("the frame holds no record batch".into())),
            Ok(Err(error)) => Err(malformed(format!("the frame does not decode: {error}"))),
            Err(_) => Err(malformed("the frame does not decode".into())),
        }
    }
}

/// Reads a schema as it crosses the contract: an IPC stream without batches. Safe on any bytes.
pub fn decode_schema(ipc: &[u8]) -> Result<Schema, ConnectorError> {
    check::schema_stream(ipc)
}

/// Writes a schema as it crosses the contract.
pub fn encode_schema(schema: &Schema) -> Result<Bytes, ConnectorError> {
    let encoded = || {
        StreamWriter::try_new(Vec::new(), schema).and_then(|mut writer| {
            writer.finish()?;
            writer.into_inner()
        })
    };
    encoded().map(Bytes::from).map_err(|error| ConnectorError::frame("schema_encoding", error.to_string()))
}

/// The first difference that matters to who moves data (number, names, types and nullability of columns; not metadata),
/// as a sentence; none if the two agree.
pub fn schema_difference(expected: &Schema, found: &Schema) -> Option<String> {
    fields_difference("", expected.fields(), found.fields())
}

fn fields_difference(path: &str, expected: &Fields, found: &Fields) -> Option<String> {
    let place = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
    for (index, want) in expected.iter().enumerate() {
        let Some(have) = found.get(index) else {
            return Some(format!("column `{}`{place} is missing", want.name()));
        };
        if want.name() != have.name() {
            return Some(format!("column {index}{place} is `{}`, not `{}`", have.name(), want.name()));
        }
        if let Some(difference) = field_difference(path, want, have) {
            return Some(difference);
        }
    }
    found.get(expected.len()).map(|extra| format!("column `{}`{place} was not announced", extra.name()))
}

fn field_difference(path: &str, want: &Field, have: &Field) -> Option<String> {
    let path = if path.is_empty() { want.name().clone() } else { format!("{path}.{}", want.name()) };
    if want.is_nullable() != have.is_nullable() {
        let word = |field: &Field| if field.is_nullable() { "nullable" } else { "`not null`" };
        return Some(format!("column `{path}` is {}, not {}", word(have), word(want)));
    }
    match (want.data_type(), have.data_type()) {
        (DataType::Struct(want), DataType::Struct(have)) => fields_difference(&path, want, have),
        (DataType::List(want), DataType::List(have))
        | (DataType::LargeList(want), DataType::LargeList(have))
        | (DataType::Map(want, _), DataType::Map(have, _)) => field_difference(&path, want, have),
        (DataType::FixedSizeList(want, a), DataType::FixedSizeList(have, b)) if a == b => {
            field_difference(&path, want, have)
        }
        (want, have) if want == have => None,
        (want, have) => Some(format!("column `{path}` is {have}, not {want}")),
    }
}

#[cfg(test)]
mod tests;
