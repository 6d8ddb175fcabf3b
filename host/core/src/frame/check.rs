//! The envelope check of Arrow IPC bytes that nobody vouches for. Allocates nothing that the bytes could inflate, and
//! hands on only what the Arrow decoder takes without panicking.

use std::ops::Range;

use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::{
    DateUnit, Endianness, IntervalUnit, Message, MetadataVersion, Precision, RecordBatch, TimeUnit, Type,
    root_as_message,
};
use arrow_schema::Schema;

use crate::error::ConnectorError;
use crate::limits::{FRAME_RECORDS_FREE, SCHEMA_BYTES_MAX, SCHEMA_FIELDS_MAX};

const CONTINUATION: [u8; 4] = [0xff; 4];
const PREFIX_BYTES: usize = 8;

fn malformed(message: impl Into<String>) -> ConnectorError {
    ConnectorError::frame("frame_malformed", message)
}

fn unsupported(message: impl Into<String>) -> ConnectorError {
    ConnectorError::frame("frame_unsupported", message)
}

/// Checks a whole stream with exactly one batch; answers its number of records.
pub(super) fn stream(bytes: &[u8]) -> Result<u64, ConnectorError> {
    let mut cursor = Cursor { bytes, at: 0 };
    let layout = {
        let message = cursor.message()?.ok_or_else(|| malformed("the stream ends before its schema"))?;
        Layout::of(&message.metadata(bytes)?)?
    };
    let message = cursor.message()?.ok_or_else(|| malformed("the stream holds no record batch"))?;
    let metadata = message.metadata(bytes)?;
    let Some(batch) = metadata.header_as_record_batch() else {
        return Err(match metadata.header_as_dictionary_batch() {
            Some(_) => unsupported("dictionaries do not travel in frames"),
            None => malformed("the second message is not a record batch"),
        });
    };
    let body_bytes = u64::try_from(metadata.bodyLength()).map_err(|_| malformed("negative body length"))?;
    cursor.skip(body_bytes)?;
    let records = batch_in_body(&batch, &layout, body_bytes)?;
    match cursor.message()? {
        None => {}
        Some(_) => {
            return Err(malformed("a frame holds exactly one record batch, this one has more messages"));
        }
    }
    if cursor.at != bytes.len() {
        return Err(malformed(format!("{} bytes follow the end of the stream", bytes.len() - cursor.at)));
    }
    Ok(records)
}

/// Reads a stream without batches.
pub(super) fn schema_stream(bytes: &[u8]) -> Result<Schema, ConnectorError> {
    let mut cursor = Cursor { bytes, at: 0 };
    let message = cursor.message()?.ok_or_else(|| malformed("the schema is empty"))?;
    let schema = schema_of(&message.metadata(bytes)?)?;
    // Writers that leave the end marker out after a lone schema are common.
    if cursor.at != bytes.len() && cursor.message()?.is_some() {
        return Err(malformed("a schema carries no batches"));
    }
    Ok(schema)
}

/// The bytes of the first message, prefix included.
pub(super) fn first_message(bytes: &[u8]) -> Option<&[u8]> {
    let message = Cursor { bytes, at: 0 }.message().ok()??;
    bytes.get(..message.metadata.end)
}

/// Reads the schema out of one message.
pub(super) fn schema_message(bytes: &[u8]) -> Result<Schema, ConnectorError> {
    let message = Cursor { bytes, at: 0 }.message()?.ok_or_else(|| malformed("the schema is empty"))?;
    schema_of(&message.metadata(bytes)?)
}

fn schema_of(message: &Message<'_>) -> Result<Schema, ConnectorError> {
    Layout::of(message)?;
    // `Layout::of` has refused everything this conversion panics on.
    message.header_as_schema().map(fb_to_schema).ok_or_else(|| malformed("the first message is not a schema"))
}

/// Walks the encapsulated messages of a stream.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

struct Encapsulated {
    metadata: Range<usize>,
}

impl Encapsulated {
    fn metadata<'a>(&self, bytes: &'a [u8]) -> Result<Message<'a>, ConnectorError> {
        let message = root_as_message(&bytes[self.metadata.clone()]).map_err(|error| {
            malformed(format!("not an Arrow message: {}", first_line(&error.to_string())))
        })?;
        match message.version() {
            MetadataVersion::V4 | MetadataVersion::V5 => Ok(message),
            version => Err(unsupported(format!("Arrow metadata version {version:?}"))),
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

impl Cursor<'_> {
    /// The next message's metadata; none at the end marker.
    fn message(&mut self) -> Result<Option<Encapsulated>, ConnectorError> {
        let prefix = self
            .bytes
            .get(self.at..self.at + PREFIX_BYTES)
            .ok_or_else(|| malformed("the stream is cut off before its end marker"))?;
        if prefix[..4] != CONTINUATION {
            return Err(malformed("a message does not begin with the continuation marker"));
        }
        let len = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]) as usize;
        let start = self.at + PREFIX_BYTES;
        if len == 0 {
            self.at = start;
            return Ok(None);
        }
        if len > SCHEMA_BYTES_MAX {
            return Err(malformed(format!("message metadata of {len} bytes exceeds {SCHEMA_BYTES_MAX}")));
        }
        if !len.is_multiple_of(8) {
            return Err(malformed("message metadata is not padded to 8 bytes"));
        }
        let end = start + len;
        if end > self.bytes.len() {
            return Err(malformed("the stream is cut off inside a message"));
        }
        self.at = end;
        Ok(Some(Encapsulated { metadata: start..end }))
    }

    fn skip(&mut self, body_bytes: u64) -> Result<(), ConnectorError> {
        let rest = (self.bytes.len() - self.at) as u64;
        if body_bytes > rest {
            return Err(malformed(format!("the body should have {body_bytes} bytes, {rest} are left")));
        }
        if !body_bytes.is_multiple_of(8) {
            return Err(malformed("the body is not padded to 8 bytes"));
        }
        self.at += body_bytes as usize;
        Ok(())
    }
}

/// What a field's arrays look like in a record batch.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Null,
    /// Validity and values of so many bits each.
    Fixed {
        bits: u64,
    },
    /// Validity, offsets of so many bytes each, data.
    Variable {
        offset_bytes: u64,
    },
    /// Validity, views, and as many data buffers as the batch says.
    View,
    /// Validity and offsets; one child.
    List {
        offset_bytes: u64,
    },
    /// Validity; one child of so many values for each.
    FixedList {
        size: u64,
    },
    /// Validity; children of the same length.
    Struct,
}

struct Column {
    shape: Shape,
    children: Vec<Column>,
}

/// The columns of a schema, depth first, with the fields' total capped.
struct Layout {
    columns: Vec<Column>,
}

impl Layout {
    fn of(message: &Message<'_>) -> Result<Self, ConnectorError> {
        let schema =
            message.header_as_schema().ok_or_else(|| malformed("the first message is not a schema"))?;
        if message.bodyLength() != 0 {
            return Err(malformed("a schema message has no body"));
        }
        if schema.endianness() != Endianness::Little {
            return Err(unsupported("big-endian frames"));
        }
        let fields = schema.fields().ok_or_else(|| malformed("the schema has no list of fields"))?;
        let mut left = SCHEMA_FIELDS_MAX;
        let columns = fields.iter().map(|field| column(&field, &mut left)).collect::<Result<_, _>>()?;
        Ok(Layout { columns })
    }
}

fn column(field: &arrow_ipc::Field<'_>, left: &mut usize) -> Result<Column, ConnectorError> {
    *left = left
        .checked_sub(1)
        .ok_or_else(|| malformed(format!("the schema has more than {SCHEMA_FIELDS_MAX} fields")))?;
    let name = || field.name().unwrap_or_default();
    if field.dictionary().is_some() {
        return Err(unsupported(format!("column `{}` is dictionary-encoded", name())));
    }
    let shape = shape(field).ok_or_else(|| {
        unsupported(format!(
            "column `{}` has a type that frames do not carry ({:?})",
            name(),
            field.type_type()
        ))
    })?;
    let children = match (shape, field.children()) {
        (Shape::List { .. } | Shape::FixedList { .. } | Shape::Struct, Some(children)) => {
            children.iter().map(|child| column(&child, left)).collect::<Result<Vec<_>, _>>()?
        }
        _ => Vec::new(),
    };
    let fits = match shape {
        Shape::List { .. } | Shape::FixedList { .. } => children.len() == 1,
        _ => true,
    };
    let map_fits = field.type_type() != Type::Map
        || matches!(children.as_slice(), [Column { shape: Shape::Struct, children }] if children.len() == 2);
    if !fits || !map_fits {
        return Err(malformed(format!("column `{}` has the wrong number of children", name())));
    }
    Ok(Column { shape, children })
}

fn shape(field: &arrow_ipc::Field<'_>) -> Option<Shape> {
    let fixed = |bits: u64| Some(Shape::Fixed { bits });
    match field.type_type() {
        Type::Null => Some(Shape::Null),
        Type::Bool => fixed(1),
        Type::Int => match field.type_as_int()?.bitWidth() {
            bits @ (8 | 16 | 32 | 64) => fixed(bits as u64),
            _ => None,
        },
        Type::FloatingPoint => match field.type_as_floating_point()?.precision() {
            Precision::HALF => fixed(16),
            Precision::SINGLE => fixed(32),
            Precision::DOUBLE => fixed(64),
            _ => None,
        },
        Type::Decimal => {
            let decimal = field.type_as_decimal()?;
            let digits = match decimal.bitWidth() {
                32 => 9,
                64 => 18,
                128 => 38,
                256 => 76,
                _ => return None,
            };
            let in_range = (1..=digits).contains(&decimal.precision()) && decimal.scale().abs() <= digits;
            if in_range { fixed(decimal.bitWidth() as u64) } else { None }
        }
        Type::Date => match field.type_as_date()?.unit() {
            DateUnit::DAY => fixed(32),
            DateUnit::MILLISECOND => fixed(64),
            _ => None,
        },
        Type::Time => {
            let time = field.type_as_time()?;
            match (time.bitWidth(), time.unit()) {
                (32, TimeUnit::SECOND | TimeUnit::MILLISECOND) => fixed(32),
                (64, TimeUnit::MICROSECOND | TimeUnit::NANOSECOND) => fixed(64),
                _ => None,
            }
        }
        Type::Timestamp => time_unit(field.type_as_timestamp()?.unit()).and(fixed(64)),
        Type::Duration => time_unit(field.type_as_duration()?.unit()).and(fixed(64)),
        Type::Interval => match field.type_as_interval()?.unit() {
            IntervalUnit::YEAR_MONTH => fixed(32),
            IntervalUnit::DAY_TIME => fixed(64),
            IntervalUnit::MONTH_DAY_NANO => fixed(128),
            _ => None,
        },
        Type::FixedSizeBinary => {
            let width = u64::try_from(field.type_as_fixed_size_binary()?.byteWidth()).ok()?;
            fixed(width * 8)
        }
        Type::Binary | Type::Utf8 => Some(Shape::Variable { offset_bytes: 4 }),
        Type::LargeBinary | Type::LargeUtf8 => Some(Shape::Variable { offset_bytes: 8 }),
        Type::BinaryView | Type::Utf8View => Some(Shape::View),
        Type::List => Some(Shape::List { offset_bytes: 4 }),
        Type::Map => field.type_as_map().map(|_| Shape::List { offset_bytes: 4 }),
        Type::LargeList => Some(Shape::List { offset_bytes: 8 }),
        Type::FixedSizeList => {
            let size = u64::try_from(field.type_as_fixed_size_list()?.listSize()).ok()?;
            Some(Shape::FixedList { size })
        }
        Type::Struct_ => Some(Shape::Struct),
        // Dictionary-like and union layouts are not worth their holes between hostile hands.
        _ => None,
    }
}

fn time_unit(unit: TimeUnit) -> Option<()> {
    matches!(unit, TimeUnit::SECOND | TimeUnit::MILLISECOND | TimeUnit::MICROSECOND | TimeUnit::NANOSECOND)
        .then_some(())
}

/// Holds a batch header against the schema's layout and the body it describes; answers the number of records.
fn batch_in_body(batch: &RecordBatch<'_>, layout: &Layout, body_bytes: u64) -> Result<u64, ConnectorError> {
    if batch.compression().is_some() {
        return Err(unsupported("frames are not compressed"));
    }
    let nodes = batch.nodes().ok_or_else(|| malformed("the record batch has no nodes"))?;
    let buffers = batch.buffers().ok_or_else(|| malformed("the record batch has no buffers"))?;
    let records = u64::try_from(batch.length()).map_err(|_| malformed("negative number of records"))?;
    let mut walk = Walk {
        nodes: nodes.iter(),
        buffers: buffers.iter(),
        variadic: batch.variadicBufferCounts().map(|counts| counts.iter()),
        body_bytes,
        bytes_left: body_bytes,
        records_max: body_bytes.saturating_mul(8).saturating_add(FRAME_RECORDS_FREE),
    };
    if records > walk.records_max {
        return Err(malformed(format!("{records} records in {body_bytes} bytes")));
    }
    for column in &layout.columns {
        walk.column(column, Some(records))?;
    }
    if walk.nodes.next().is_some() || walk.buffers.next().is_some() {
        return Err(malformed("the record batch has more arrays than the schema"));
    }
    if walk.variadic.is_some_and(|mut counts| counts.next().is_some()) {
        return Err(malformed("the record batch has more variadic counts than views"));
    }
    Ok(records)
}

struct Walk<N, B, V> {
    nodes: N,
    buffers: B,
    variadic: Option<V>,
    body_bytes: u64,
    /// Buffers do not share bytes, so together they are no longer than the body.
    bytes_left: u64,
    records_max: u64,
}

impl<'a, N, B, V> Walk<N, B, V>
where
    N: Iterator<Item = &'a arrow_ipc::FieldNode>,
    B: Iterator<Item = &'a arrow_ipc::Buffer>,
    V: Iterator<Item = i64>,
{
    /// `len`: what the parent demands; none where its offsets decide.
    fn column(&mut self, column: &Column, len: Option<u64>) -> Result<(), ConnectorError> {
        let node = self
            .nodes
            .next()
            .ok_or_else(|| malformed("the record batch has fewer arrays than the schema"))?;
        let have = u64::try_from(node.length()).map_err(|_| malformed("negative array length"))?;
        if len.is_some_and(|len| len != have) || have > self.records_max {
            return Err(malformed(format!("an array has {have} values where {} belong", len.unwrap_or(0))));
        }
        let nulls = u64::try_from(node.null_count()).map_err(|_| malformed("negative null count"))?;
        if nulls > have {
            return Err(malformed(format!("{nulls} nulls among {have} values")));
        }
        if matches!(column.shape, Shape::Null) {
            return if nulls == have { Ok(()) } else { Err(malformed("a null array with values")) };
        }
        self.buffer(if nulls > 0 { have.div_ceil(8) } else { 0 })?;
        let offsets = |width: u64| if have == 0 { 0 } else { (have + 1).saturating_mul(width) };
        match column.shape {
            Shape::Null | Shape::Struct => {}
            Shape::Fixed { bits } => self.buffer(have.saturating_mul(bits).div_ceil(8))?,
            Shape::Variable { offset_bytes } => {
                self.buffer(offsets(offset_bytes))?;
                self.buffer(0)?;
            }
            Shape::View => {
                self.buffer(have.saturating_mul(16))?;
                let count = self.variadic.as_mut().and_then(Iterator::next);
                let count = count.and_then(|count| u64::try_from(count).ok());
                let count = count.ok_or_else(|| malformed("a view without its count of buffers"))?;
                for _ in 0..count {
                    self.buffer(0)?;
                }
            }
            Shape::List { offset_bytes } => self.buffer(offsets(offset_bytes))?,
            Shape::FixedList { .. } => {}
        }
        for child in &column.children {
            let len = match column.shape {
                Shape::Struct => Some(have),
                Shape::FixedList { size } => Some(have.saturating_mul(size)),
                _ => None,
            };
            self.column(child, len)?;
        }
        Ok(())
    }

    /// Takes the next buffer, of at least `bytes_min`.
    fn buffer(&mut self, bytes_min: u64) -> Result<(), ConnectorError> {
        let buffer = self.buffers.next().ok_or_else(|| malformed("the record batch has too few buffers"))?;
        let (Ok(offset), Ok(len)) = (u64::try_from(buffer.offset()), u64::try_from(buffer.length())) else {
            return Err(malformed("a buffer at a negative place"));
        };
        if offset.checked_add(len).is_none_or(|end| end > self.body_bytes) {
            return Err(malformed(format!("a buffer of {len} bytes at {offset} lies outside the body")));
        }
        if len < bytes_min {
            return Err(malformed(format!("a buffer of {len} bytes where {bytes_min} are needed")));
        }
        self.bytes_left =
            self.bytes_left.checked_sub(len).ok_or_else(|| malformed("buffers share bytes of the body"))?;
        Ok(())
    }
}
