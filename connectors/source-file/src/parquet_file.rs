//! Parquet files: their schema as frames can carry it, and their batches. It knows nothing of streams made of several files.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::{DataType, Field, FieldRef, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use rapidbyte_sdk::prelude::*;
use rapidbyte_text::{EXTENSION_JSON, EXTENSION_METADATA, extension_name};

use crate::limits;
use crate::streams::io_error;

/// Page headers are read through this much; pages themselves at once.
const HEADER_BUFFER_BYTES: usize = 4 * 1024;

/// A file that can be read at several places. WASI cannot duplicate handles, so they share one.
#[derive(Clone)]
struct Chunks {
    file: Arc<Mutex<File>>,
    bytes: u64,
}

impl Chunks {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read(out)
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.bytes
    }
}

struct ChunkRead {
    chunks: Chunks,
    offset: u64,
}

impl Read for ChunkRead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.chunks.read_at(self.offset, out)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<ChunkRead>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let read = ChunkRead { chunks: self.clone(), offset: start };
        Ok(BufReader::with_capacity(HEADER_BUFFER_BYTES, read))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.bytes);
        if end.is_none() {
            let message = format!("{length} bytes at {start} are beyond the end of the file");
            return Err(ParquetError::EOF(message));
        }
        let mut out = Vec::with_capacity(length);
        let mut read = ChunkRead { chunks: self.clone(), offset: start }.take(length as u64);
        read.read_to_end(&mut out)?;
        if out.len() < length {
            return Err(ParquetError::EOF(format!("the file was cut short at {}", start + out.len() as u64)));
        }
        Ok(out.into())
    }
}

/// An open Parquet file.
pub struct ParquetFile {
    path: PathBuf,
    chunks: Chunks,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    pub fn open(path: &Path) -> Result<Self, ConnectorError> {
        let file = File::open(path).map_err(|error| io_error(path, &error))?;
        let bytes = file.metadata().map_err(|error| io_error(path, &error))?.len();
        let chunks = Chunks { file: Arc::new(Mutex::new(file)), bytes };
        let options = ArrowReaderOptions::new();
        let mut metadata =
            ArrowReaderMetadata::load(&chunks, options.clone()).map_err(|error| bad_file(path, &error))?;
        check_compression(path, &metadata)?;
        let plain = plain_schema(metadata.schema());
        if plain != **metadata.schema() {
            metadata =
                ArrowReaderMetadata::try_new(metadata.metadata().clone(), options.with_schema(plain.into()))
                    .map_err(|error| bad_file(path, &error))?;
        }
        Ok(ParquetFile { path: path.to_owned(), chunks, metadata })
    }

    /// Its columns without the field metadata that only Parquet needs.
    pub fn fields(&self) -> Vec<FieldRef> {
        let fields = self.metadata.schema().fields().iter();
        fields
            .map(|field| {
                let mut metadata = field.metadata().clone();
                metadata.retain(|key, _| !key.starts_with("PARQUET:"));
                if extension_name(field) == Some(EXTENSION_JSON) {
                    // It is always empty.
                    metadata.remove(EXTENSION_METADATA);
                }
                Arc::new(field.as_ref().clone().with_metadata(metadata))
            })
            .collect()
    }

    pub fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Batches of the columns with these indices, in the file's order of columns, of about `batch_bytes`.
    pub fn read(
        self,
        columns: &[usize],
        batch_bytes: u64,
    ) -> Result<ParquetRecordBatchReader, ConnectorError> {
        let metadata = self.metadata.metadata();
        let file_bytes: i64 = metadata.row_groups().iter().map(|group| group.total_byte_size()).sum();
        let row_bytes = u64::try_from(file_bytes).unwrap_or(0) / self.rows().max(1);
        let rows = usize::try_from(batch_bytes / row_bytes.max(1)).unwrap_or(usize::MAX);
        let mask = ProjectionMask::roots(metadata.file_metadata().schema_descr(), columns.iter().copied());
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks, self.metadata.clone())
            .with_projection(mask)
            .with_batch_size(rows.clamp(1, limits::PARQUET_ROWS_MAX))
            .build()
            .map_err(|error| bad_file(&self.path, &error))
    }
}

/// A file that is no Parquet, or damaged.
pub fn bad_file(path: &Path, error: &dyn std::fmt::Display) -> ConnectorError {
    ConnectorError::data("bad_parquet", format!("`{}`: {error}", path.display()))
        .with_scope(ErrorScope::PerStream)
}

fn check_compression(path: &Path, metadata: &ArrowReaderMetadata) -> Result<(), ConnectorError> {
    for column in metadata.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        let name = match column.compression() {
            Compression::ZSTD(_) => "zstd",
            Compression::BROTLI(_) => "brotli",
            Compression::LZO => "lzo",
            _ => continue,
        };
        return Err(ConnectorError::data(
            "unsupported_compression",
            format!(
                "`{}`: column `{}` is compressed with {name}; supported are snappy, gzip, lz4 and none",
                path.display(),
                column.column_path()
            ),
        )
        .with_scope(ErrorScope::PerStream));
    }
    Ok(())
}

/// The schema with the types that frames and destinations know: no dictionaries, no views, no large offsets.
fn plain_schema(schema: &Schema) -> Schema {
    let fields: Vec<FieldRef> = schema.fields().iter().map(plain_field).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let plain = match field.data_type() {
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        other => plain_type(other),
    };
    if plain == *field.data_type() {
        field.clone()
    } else {
        Arc::new(Field::clone(field).with_data_type(plain))
    }
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::List(item) | DataType::LargeList(item) => DataType::List(plain_field(item)),
        DataType::ListView(item) | DataType::LargeListView(item) => DataType::List(plain_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}
