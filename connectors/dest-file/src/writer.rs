//! One file of a format, from its first batch to its last byte. It knows formats and nothing of commits.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression as ParquetCompression;
use parquet::file::properties::WriterProperties;
use rapidbyte_sdk::prelude::*;
use rapidbyte_text::{TextColumn, write_string};

use crate::config::{Compression, Config, Format};
use crate::disk::failed;
use crate::limits;

/// A file that records are written to.
pub struct FileWriter {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Parquet(Box<ArrowWriter<File>>),
    Csv {
        text: TextFile,
        delimiter: char,
    },
    /// The keys as JSON strings with their colon.
    Jsonl {
        text: TextFile,
        keys: Vec<String>,
    },
}

struct TextFile {
    file: File,
    buffer: String,
}

impl FileWriter {
    /// Begins a file; one without records is complete too.
    pub fn new(
        config: &Config,
        path: PathBuf,
        file: File,
        schema: &SchemaRef,
    ) -> Result<Self, ConnectorError> {
        let text = |file| TextFile { file, buffer: String::with_capacity(limits::TEXT_BUFFER_BYTES) };
        let kind = match config.format {
            Format::Parquet => {
                let writer = ArrowWriter::try_new(file, schema.clone(), Some(parquet_properties(config)))
                    .map_err(|error| {
                        ConnectorError::schema("unsupported_type", format!("Parquet: {error}"))
                    })?;
                Kind::Parquet(Box::new(writer))
            }
            Format::Csv => {
                let delimiter = config.delimiter.unwrap_or(',');
                let mut text = text(file);
                for (index, field) in schema.fields().iter().enumerate() {
                    if index > 0 {
                        text.buffer.push(delimiter);
                    }
                    let start = text.buffer.len();
                    text.buffer.push_str(field.name());
                    quote_from(&mut text.buffer, start, delimiter);
                }
                text.buffer.push('\n');
                Kind::Csv { text, delimiter }
            }
            Format::Jsonl => {
                let keys = schema.fields().iter().map(|field| {
                    let mut key = String::new();
                    write_string(field.name(), &mut key);
                    key.push(':');
                    key
                });
                Kind::Jsonl { text: text(file), keys: keys.collect() }
            }
        };
        Ok(FileWriter { path, kind })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectorError> {
        match &mut self.kind {
            Kind::Parquet(writer) => {
                let written = writer.write(batch).and_then(|()| {
                    if writer.memory_size() >= limits::ROW_GROUP_MEMORY_BYTES {
                        writer.flush()
                    } else {
                        Ok(())
                    }
                });
                written.map_err(|error| bad_parquet(&self.path, error))
            }
            Kind::Csv { text, delimiter } => {
                let columns = columns(batch)?;
                for row in 0..batch.num_rows() {
                    for (index, column) in columns.iter().enumerate() {
                        if index > 0 {
                            text.buffer.push(*delimiter);
                        }
                        if !column.is_null(row) {
                            let start = text.buffer.len();
                            column.write(row, &mut text.buffer);
                            quote_from(&mut text.buffer, start, *delimiter);
                        }
                    }
                    text.end_line().map_err(|error| failed("write", &self.path, &error))?;
                }
                Ok(())
            }
            Kind::Jsonl { text, keys } => {
                let columns = columns(batch)?;
                for row in 0..batch.num_rows() {
                    text.buffer.push('{');
                    for (index, (key, column)) in keys.iter().zip(&columns).enumerate() {
                        if index > 0 {
                            text.buffer.push(',');
                        }
                        text.buffer.push_str(key);
                        column.write_json(row, &mut text.buffer);
                    }
                    text.buffer.push('}');
                    text.end_line().map_err(|error| failed("write", &self.path, &error))?;
                }
                Ok(())
            }
        }
    }

    /// Writes what is left and gives the file back, not yet durable.
    pub fn finish(self) -> Result<File, ConnectorError> {
        match self.kind {
            Kind::Parquet(writer) => writer.into_inner().map_err(|error| bad_parquet(&self.path, error)),
            Kind::Csv { mut text, .. } | Kind::Jsonl { mut text, .. } => {
                text.flush().map_err(|error| failed("write", &self.path, &error))?;
                Ok(text.file)
            }
        }
    }
}

impl TextFile {
    fn end_line(&mut self) -> std::io::Result<()> {
        self.buffer.push('\n');
        if self.buffer.len() >= limits::TEXT_BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.write_all(self.buffer.as_bytes())?;
        self.buffer.clear();
        Ok(())
    }
}

fn parquet_properties(config: &Config) -> WriterProperties {
    let compression = match config.compression.unwrap_or(Compression::Snappy) {
        Compression::Snappy => ParquetCompression::SNAPPY,
        Compression::None => ParquetCompression::UNCOMPRESSED,
    };
    WriterProperties::builder()
        .set_compression(compression)
        .set_created_by(concat!("rapidbyte dest-file ", env!("CARGO_PKG_VERSION")).to_owned())
        .build()
}

fn bad_parquet(path: &std::path::Path, error: parquet::errors::ParquetError) -> ConnectorError {
    match error {
        parquet::errors::ParquetError::External(error) => match error.downcast::<std::io::Error>() {
            Ok(error) => failed("write", path, &error),
            Err(error) => ConnectorError::internal("bad_parquet", format!("`{}`: {error}", path.display())),
        },
        error => ConnectorError::internal("bad_parquet", format!("`{}`: {error}", path.display())),
    }
}

fn columns(batch: &RecordBatch) -> Result<Vec<TextColumn<'_>>, ConnectorError> {
    let columns = batch.schema_ref().fields().iter().zip(batch.columns());
    columns
        .map(|(field, array)| TextColumn::new(field, array))
        .collect::<Result<_, _>>()
        .map_err(|error| ConnectorError::schema("unsupported_type", error.to_string()))
}

/// Puts quotes around the field that begins at `start`, where it needs them. An empty one needs them: without it is NULL.
fn quote_from(buffer: &mut String, start: usize, delimiter: char) {
    let field = &buffer[start..];
    let special =
        |character: char| character == delimiter || matches!(character, '"' | '\n' | '\r' | '\u{feff}');
    if !field.is_empty() && !field.contains(special) {
        return;
    }
    let quoted = field.replace('"', "\"\"");
    buffer.truncate(start);
    buffer.push('"');
    buffer.push_str(&quoted);
    buffer.push('"');
}
