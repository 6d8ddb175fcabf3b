//! Batches as frames: one Arrow IPC stream per record batch, made and read with reused buffers. It knows the format and
//! nothing of who carries the bytes.
//!
//! A frame is schema message, one record batch, end-of-stream marker; no compression, no dictionaries. A stream's schema
//! hardly ever changes, so its message is encoded once and recognised by its bytes when it comes in.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Schema, SchemaRef};

use crate::error::ConnectorError;

/// Continuation marker and a metadata length of zero.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// Continuation marker and metadata length.
const MESSAGE_PREFIX_BYTES: usize = 8;

/// An Arrow schema as an IPC stream without batches.
pub fn schema_to_ipc(schema: &Schema) -> Result<Vec<u8>, ConnectorError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema).map_err(bad_schema)?;
    writer.finish().map_err(bad_schema)?;
    writer.into_inner().map_err(bad_schema)
}

/// The schema of an IPC stream.
pub fn schema_from_ipc(bytes: Vec<u8>) -> Result<SchemaRef, ConnectorError> {
    let mut buffer = Buffer::from_vec(bytes);
    let mut decoder = StreamDecoder::new();
    while !buffer.is_empty() && decoder.schema().is_none() {
        decoder.decode(&mut buffer).map_err(bad_schema)?;
    }
    decoder
        .schema()
        .ok_or_else(|| ConnectorError::schema("bad_schema", "an IPC stream without a schema message"))
}

fn bad_schema(error: arrow_schema::ArrowError) -> ConnectorError {
    ConnectorError::schema("bad_schema", error.to_string())
}

fn bad_frame(error: impl std::fmt::Display) -> ConnectorError {
    ConnectorError::frame("bad_frame", format!("not one valid Arrow IPC record batch: {error}"))
}

/// Makes frames in one buffer that is reused as long as the schema stays the same.
#[derive(Default)]
pub struct FrameEncoder {
    writer: Option<Encoding>,
}

struct Encoding {
    schema: SchemaRef,
    /// Its buffer holds the schema message between frames.
    writer: StreamWriter<Vec<u8>>,
    schema_bytes: usize,
}

impl FrameEncoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// The frame of a batch; the bytes stand until the next call.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<&[u8], ConnectorError> {
        let encoding = match self.writer.take() {
            Some(encoding) if same_schema(&encoding.schema, batch.schema_ref()) => encoding,
            _ => Encoding::new(batch.schema())?,
        };
        // Back in place before writing: what a failed write leaves is cut off by the next one.
        let Encoding { writer, schema_bytes, .. } = self.writer.insert(encoding);
        let buffer = writer.get_mut();
        buffer.truncate(*schema_bytes);
        buffer.reserve(batch_bytes_hint(batch));
        writer.write(batch).map_err(bad_frame)?;
        let buffer = writer.get_mut();
        buffer.extend_from_slice(&END_OF_STREAM);
        Ok(buffer)
    }
}

impl Encoding {
    fn new(schema: SchemaRef) -> Result<Self, ConnectorError> {
        if let Some(field) = schema.flattened_fields().iter().find(|field| is_dictionary(field.data_type())) {
            return Err(ConnectorError::schema(
                "dictionary_column",
                format!(
                    "column `{}` is dictionary-encoded, which frames do not carry: cast it to its value type",
                    field.name()
                ),
            ));
        }
        let writer = StreamWriter::try_new(Vec::new(), &schema).map_err(bad_schema)?;
        let schema_bytes = writer.get_ref().len();
        Ok(Encoding { schema, writer, schema_bytes })
    }
}

fn is_dictionary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Dictionary(..))
}

fn same_schema(one: &SchemaRef, other: &SchemaRef) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

/// A bound that makes the buffer grow once instead of by doubling; slices of larger arrays are overestimated only as far
/// as the buffer already is.
fn batch_bytes_hint(batch: &RecordBatch) -> usize {
    let columns: usize = batch.columns().iter().filter_map(|column| slice_bytes(column.as_ref())).sum();
    columns + batch.num_columns() * 3 * 64 + 1024
}

fn slice_bytes(array: &dyn Array) -> Option<usize> {
    array.to_data().get_slice_memory_size().ok()
}

/// The bytes that a batch's rows take, slices counted as slices.
pub fn batch_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().filter_map(|column| slice_bytes(column.as_ref())).sum::<usize>() as u64
}

/// Reads frames without copying columns; batches of one stream share one schema.
#[derive(Default)]
pub struct FrameDecoder {
    decoding: Option<Decoding>,
}

struct Decoding {
    /// The schema message as it came.
    schema_message: Buffer,
    /// Has read the schema message and expects a batch.
    decoder: StreamDecoder,
}

impl FrameDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// The batch of a frame. It keeps `frame` alive and shares its memory.
    pub fn decode(&mut self, frame: Vec<u8>) -> Result<RecordBatch, ConnectorError> {
        self.decode_buffer(Buffer::from_vec(frame))
    }

    /// Like [`FrameDecoder::decode`], for bytes that are shared already.
    pub fn decode_buffer(&mut self, mut frame: Buffer) -> Result<RecordBatch, ConnectorError> {
        let mut decoding = match self.decoding.take() {
            Some(decoding) if frame.starts_with(&decoding.schema_message) => decoding,
            _ => Decoding::new(&frame)?,
        };
        frame.advance(decoding.schema_message.len());
        // The decoder stops behind the batch, so the marker stays unread and it expects the next batch.
        let batch = decoding.decoder.decode(&mut frame).map_err(bad_frame)?;
        let batch = batch.ok_or_else(|| bad_frame("no record batch"))?;
        if frame.as_slice() != END_OF_STREAM {
            return Err(bad_frame("the record batch is not followed by the end of the stream alone"));
        }
        self.decoding = Some(decoding);
        Ok(batch)
    }
}

impl Decoding {
    fn new(frame: &Buffer) -> Result<Self, ConnectorError> {
        let bytes = frame.as_slice();
        let length = match bytes.first_chunk::<MESSAGE_PREFIX_BYTES>() {
            Some([0xff, 0xff, 0xff, 0xff, a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]) as usize,
            _ => return Err(bad_frame("no schema message")),
        };
        let end = length
            .checked_add(MESSAGE_PREFIX_BYTES)
            .filter(|end| *end <= bytes.len())
            .ok_or_else(|| bad_frame("the schema message is cut short"))?;
        // A copy, so that the cached message does not keep the first frame's columns alive.
        let schema_message = Buffer::from(&bytes[..end]);
        let mut decoder = StreamDecoder::new();
        let mut head = frame.slice_with_length(0, end);
        decoder.decode(&mut head).map_err(bad_frame)?;
        Ok(Decoding { schema_message, decoder })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow_array::builder::StringDictionaryBuilder;
    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, Decimal128Array, Int64Array, RecordBatchOptions, StringArray};
    use arrow_schema::Field;

    use super::*;

    fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
        let names: Vec<Option<String>> =
            ids.clone().map(|id| (id % 3 != 0).then(|| format!("name {id}"))).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("id", Arc::new(Int64Array::from_iter_values(ids.clone())) as ArrayRef, false),
            ("name", Arc::new(StringArray::from(names)) as ArrayRef, true),
            ("amount", Arc::new(Decimal128Array::from_iter_values(ids.map(i128::from))) as ArrayRef, false),
        ])
        .unwrap()
    }

    #[test]
    fn frames_round_trip_and_share_one_schema() {
        let (mut encoder, mut decoder) = (FrameEncoder::new(), FrameDecoder::new());
        let mut first: Option<RecordBatch> = None;
        for range in [0..10, 10..10, 10..5_000, 3..4] {
            let original = batch(range);
            let frame = encoder.encode(&original).unwrap().to_vec();
            let decoded = decoder.decode(frame).unwrap();
            assert_eq!(decoded, original);
            let first = first.get_or_insert_with(|| decoded.clone());
            assert!(Arc::ptr_eq(first.schema_ref(), decoded.schema_ref()));
        }
    }

    #[test]
    fn follows_a_change_of_schema_and_keeps_metadata() {
        let (mut encoder, mut decoder) = (FrameEncoder::new(), FrameDecoder::new());
        let field = Field::new("x", DataType::Int64, true)
            .with_metadata(HashMap::from([("postgres.type".to_owned(), "bigint".to_owned())]));
        let schema = Arc::new(Schema::new(vec![field]));
        let other =
            RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![Some(1), None]))]).unwrap();
        for original in [batch(0..3), other.clone(), batch(0..3), other] {
            let frame = encoder.encode(&original).unwrap().to_vec();
            assert_eq!(decoder.decode(frame).unwrap(), original);
        }
    }

    #[test]
    fn batches_without_columns_or_rows_round_trip() {
        let (mut encoder, mut decoder) = (FrameEncoder::new(), FrameDecoder::new());
        for rows in [0, 7] {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            let original =
                RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
            let frame = encoder.encode(&original).unwrap().to_vec();
            assert_eq!(decoder.decode(frame).unwrap().num_rows(), rows);
        }
    }

    #[test]
    fn slices_carry_only_their_rows() {
        let whole = batch(0..10_000);
        let part = whole.slice(9_000, 10);
        let mut encoder = FrameEncoder::new();
        let whole_bytes = encoder.encode(&whole).unwrap().len();
        let part_frame = encoder.encode(&part).unwrap().to_vec();
        assert!(part_frame.len() < whole_bytes / 50, "{} of {whole_bytes}", part_frame.len());
        assert_eq!(FrameDecoder::new().decode(part_frame).unwrap(), part);
        assert!(batch_bytes(&part) < 1_000);
    }

    #[test]
    fn the_stream_reader_of_arrow_reads_our_frames() {
        let original = batch(0..100);
        let frame = FrameEncoder::new().encode(&original).unwrap().to_vec();
        let mut reader = arrow_ipc::reader::StreamReader::try_new(frame.as_slice(), None).unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), original);
        assert!(reader.next().is_none());
    }

    #[test]
    fn refuses_what_is_not_one_batch() {
        let frame = FrameEncoder::new().encode(&batch(0..10)).unwrap().to_vec();
        let mut decoder = FrameDecoder::new();
        for end in [0, 7, 8, 100, frame.len() - 8, frame.len() - 1] {
            assert_eq!(decoder.decode(frame[..end].to_vec()).unwrap_err().code, "bad_frame", "cut at {end}");
        }
        let mut twice = frame.clone();
        twice.extend_from_slice(&frame);
        assert_eq!(decoder.decode(twice).unwrap_err().code, "bad_frame");
        assert_eq!(decoder.decode(frame).unwrap().num_rows(), 10, "an error leaves the decoder usable");
    }

    #[test]
    fn refuses_dictionaries_by_name() {
        let mut builder = StringDictionaryBuilder::<Int32Type>::new();
        builder.append_value("a");
        let column = builder.finish();
        let batch = RecordBatch::try_from_iter([("kind", Arc::new(column) as ArrayRef)]).unwrap();
        let error = FrameEncoder::new().encode(&batch).unwrap_err();
        assert_eq!(error.code, "dictionary_column");
        assert!(error.message.contains("`kind`"));
    }

    #[test]
    fn schemas_round_trip() {
        let schema = batch(0..1).schema();
        assert_eq!(schema_from_ipc(schema_to_ipc(&schema).unwrap()).unwrap(), schema);
        assert_eq!(schema_from_ipc(vec![]).unwrap_err().code, "bad_schema");
        assert_eq!(schema_from_ipc(b"not arrow at all".to_vec()).unwrap_err().code, "bad_schema");
    }
}
