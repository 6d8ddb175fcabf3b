//! Frames as newline-delimited JSON, for languages without Arrow. Short texts can name large values (a row `{}` of a wide
//! schema, a null of a long fixed-size list), so rows are decoded a few at a time and counted.

mod offsets;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_json::writer::LineDelimited;
use arrow_json::{ReaderBuilder, WriterBuilder};
use arrow_schema::{ArrowError, DataType, Fields, Schema};
use arrow_select::concat::concat_batches;
use rapidbyte_core::frame::decode_schema;
use rapidbyte_core::{ConnectorError, Frame};

use super::zones;

/// JSON of a frame may be so many times as long as its Arrow: names are repeated in every record.
const GROWTH_MAX: u64 = 8;
/// Text decoded at once, if records are not longer.
const PIECE_BYTES: usize = 64 * 1024;
/// Arrays decoded at once, if a record is not larger.
const STEP_BYTES: u64 = 1024 * 1024;
/// What the elements of lists in one piece could take at worst: one for every two characters.
const LISTS_BYTES_MAX: u64 = 256 * 1024 * 1024;

fn malformed(cause: impl std::fmt::Display) -> ConnectorError {
    ConnectorError::frame("json_malformed", format!("the rows do not fit: {cause}"))
}

fn too_large(batch_bytes_max: u64) -> ConnectorError {
    ConnectorError::frame(
        "frame_too_large",
        format!("the rows exceed `max-batch-bytes` of {batch_bytes_max}"),
    )
}

/// Makes a frame of rows under a schema.
pub fn to_frame(schema: &[u8], rows: &str, batch_bytes_max: u64) -> Result<Frame, ConnectorError> {
    let declared = Arc::new(decode_schema(schema)?);
    let schema = Arc::new(offsets::of_schema(&declared));
    if rows.len() as u64 > batch_bytes_max.saturating_mul(GROWTH_MAX) {
        return Err(too_large(batch_bytes_max));
    }
    // A panic of the decoder would be a defect of its, not the host's end.
    let batch = catch_unwind(AssertUnwindSafe(|| decode(&schema, rows.as_bytes(), batch_bytes_max)))
        .map_err(|_| malformed("the schema has a type that JSON cannot fill"))??;
    let frame = Frame::encode(&offsets::cast(&batch, &declared).map_err(malformed)?)?;
    if frame.len_bytes() > batch_bytes_max { Err(too_large(batch_bytes_max)) } else { Ok(frame) }
}

fn decode(schema: &Arc<Schema>, rows: &[u8], batch_bytes_max: u64) -> Result<RecordBatch, ConnectorError> {
    let row_bytes = fields_bytes(schema.fields());
    if row_bytes > batch_bytes_max {
        return Err(too_large(batch_bytes_max));
    }
    let element_bytes =
        schema.fields().iter().map(|field| element_bytes_max(field.data_type())).max().unwrap_or(0);
    let step_rows = (STEP_BYTES / row_bytes.max(1)).clamp(1, 4096) as usize;
    let plain = zones::in_utc(schema);
    let builder = ReaderBuilder::new(plain.clone()).with_batch_size(step_rows).with_strict_mode(true);
    let mut decoder = builder.build_decoder().map_err(malformed)?;

    let mut batches = Vec::new();
    let mut arrays_bytes = 0;
    let mut rest = rows;
    while !rest.is_empty() {
        let mut text_bytes = 0;
        while !rest.is_empty() && (text_bytes < PIECE_BYTES || decoder.has_partial_record()) {
            let piece = &rest[..rest.len().min(PIECE_BYTES)];
            let taken = decoder.decode(piece).map_err(malformed)?;
            text_bytes += taken;
            rest = &rest[taken..];
            if taken < piece.len() {
                break;
            }
            if (text_bytes as u64 / 2).saturating_mul(element_bytes) > LISTS_BYTES_MAX {
                return Err(malformed("a record has lists that are too long for JSON"));
            }
        }
        match decoder.flush().map_err(malformed)? {
            Some(batch) => {
                arrays_bytes += batch.get_array_memory_size() as u64;
                batches.push(batch);
            }
            None if text_bytes == 0 => return Err(malformed("the text goes nowhere")),
            None => {}
        }
        // Builders allocate up to twice what they fill.
        if arrays_bytes > batch_bytes_max.saturating_mul(2).saturating_add(2 * STEP_BYTES) {
            return Err(too_large(batch_bytes_max));
        }
    }
    let batch = concat_batches(&plain, &batches).map_err(malformed)?;
    zones::relabelled(&batch, schema).map_err(malformed)
}

/// What one row takes at least, whatever is in it.
fn fields_bytes(fields: &Fields) -> u64 {
    fields.iter().fold(0, |sum, field| type_bytes(field.data_type()).saturating_add(sum))
}

fn type_bytes(kind: &DataType) -> u64 {
    const VALUE_BYTES: u64 = 32;
    match kind {
        DataType::FixedSizeBinary(width) => u64::try_from(*width).unwrap_or(0).saturating_add(VALUE_BYTES),
        DataType::FixedSizeList(child, size) => u64::try_from(*size)
            .unwrap_or(0)
            .saturating_mul(type_bytes(child.data_type()))
            .saturating_add(VALUE_BYTES),
        DataType::Struct(fields) => fields_bytes(fields).saturating_add(VALUE_BYTES),
        _ => VALUE_BYTES,
    }
}

/// The largest element of any list in a type, beyond what its text accounts for.
fn element_bytes_max(kind: &DataType) -> u64 {
    match kind {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::ListView(child)
        | DataType::LargeListView(child)
        | DataType::Map(child, _) => type_bytes(child.data_type()).max(element_bytes_max(child.data_type())),
        DataType::FixedSizeList(child, _) => element_bytes_max(child.data_type()),
        DataType::Struct(fields) => {
            fields.iter().map(|field| element_bytes_max(field.data_type())).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Writes a frame's rows.
pub fn from_frame(frame: &Frame, batch_bytes_max: u64) -> Result<String, ConnectorError> {
    let failed = |cause: &dyn std::fmt::Display| {
        ConnectorError::frame("json_encoding", format!("the frame does not fit JSON: {cause}"))
    };
    let batch = frame.decode()?;
    let batch = offsets::cast(&batch, &Arc::new(offsets::of_schema(&batch.schema())))
        .map_err(|cause| failed(&cause))?;
    let bytes_max = frame.len_bytes().max(batch_bytes_max).saturating_mul(GROWTH_MAX);
    let written = catch_unwind(AssertUnwindSafe(|| {
        let sink = Capped { bytes: Vec::new(), bytes_max };
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(sink);
        writer.write(&zones::relabelled(&batch, &zones::in_utc(batch.schema_ref()))?)?;
        writer.finish()?;
        Ok::<_, ArrowError>(writer.into_inner().bytes)
    }));
    let bytes = match written {
        Ok(bytes) => bytes.map_err(|error| failed(&error))?,
        Err(_) => return Err(failed(&"a value is outside its type")),
    };
    String::from_utf8(bytes).map_err(|_| failed(&"it is not UTF-8"))
}

/// Takes bytes up to a cap.
struct Capped {
    bytes: Vec<u8>,
    bytes_max: u64,
}

impl Write for Capped {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + buf.len()) as u64 > self.bytes_max {
            return Err(io::Error::other(format!("it is longer than {} bytes", self.bytes_max)));
        }
        self.bytes.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{Field, TimeUnit};
    use rapidbyte_core::frame::encode_schema;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn schema(fields: Vec<Field>) -> Vec<u8> {
        encode_schema(&Schema::new(fields)).unwrap().to_vec()
    }

    fn field(kind: DataType) -> Field {
        Field::new("a", kind, true)
    }

    fn list_of(kind: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("item", kind, true)))
    }

    #[test]
    fn rows_come_back_whatever_their_number_and_size() {
        let schema = schema(vec![field(list_of(DataType::Utf8)), Field::new("b", DataType::Int64, true)]);
        for (rows, len) in [(0, 0), (1, 1), (20_000, 3), (3, 200_000)] {
            let row = |index: usize| format!("{{\"a\":[\"{}\"],\"b\":{index}}}\n", "x".repeat(len));
            let text: String = (0..rows).map(row).collect();
            let frame = to_frame(&schema, &text, 16 * MIB).unwrap();
            assert_eq!(frame.records(), rows as u64);
            assert_eq!(from_frame(&frame, 16 * MIB).unwrap(), text);
        }
    }

    #[test]
    fn instants_of_named_zones_are_shown_in_utc_and_keep_their_zone() {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into()));
        let within = DataType::Struct(vec![Field::new("at", instant.clone(), true)].into());
        let fields = vec![field(instant), Field::new("b", list_of(within), true)];
        let text = "{\"a\":\"2024-07-01T12:00:00.123456Z\",\"b\":[{\"at\":\"1969-12-31T23:59:59Z\"},{\"at\":null}]}\n{\"a\":null,\"b\":null}\n";
        let frame = to_frame(&schema(fields.clone()), text, MIB).unwrap();
        assert_eq!(*frame.decode().unwrap().schema(), Schema::new(fields.clone()));
        assert_eq!(from_frame(&frame, MIB).unwrap(), text);
        // Whatever way an instant is written, it is the same.
        let other = "{\"a\":\"2024-07-01T14:00:00.123456+02:00\"}";
        let frame = to_frame(&schema(fields), other, MIB).unwrap();
        assert!(from_frame(&frame, MIB).unwrap().contains("2024-07-01T12:00:00.123456Z"));
    }

    #[test]
    fn a_short_text_cannot_make_large_arrays() {
        let code = |schema: Vec<u8>, text: &str| to_frame(&schema, text, 4 * MIB).unwrap_err().code;
        let long_list = |kind| DataType::FixedSizeList(Arc::new(Field::new("item", kind, true)), 1 << 30);
        assert_eq!(code(schema(vec![field(DataType::FixedSizeBinary(1 << 30))]), "{}"), "frame_too_large");
        assert_eq!(code(schema(vec![field(long_list(DataType::Int64))]), "{}"), "frame_too_large");
        assert_eq!(code(schema(vec![field(long_list(long_list(DataType::Int64)))]), "{}"), "frame_too_large");
        let wide: Vec<_> =
            (0..9_000).map(|index| Field::new(format!("c{index}"), DataType::Int64, true)).collect();
        assert_eq!(code(schema(wide.clone()), &"{}".repeat(1_000_000)), "frame_too_large");
        let wide_elements = schema(vec![field(list_of(DataType::Struct(wide.into())))]);
        let text = format!("{{\"a\":[{}{{}}]}}", "{},".repeat(1_000_000));
        assert_eq!(code(wide_elements, &text), "json_malformed");
        let fixed_elements = schema(vec![field(list_of(DataType::FixedSizeBinary(1 << 20)))]);
        let text = format!("{{\"a\":[{}null]}}", "null,".repeat(100_000));
        assert_eq!(code(fixed_elements, &text), "json_malformed");
    }
}
