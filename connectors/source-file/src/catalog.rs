//! What the streams look like: the columns of each, as Parquet says or as CSV and JSON Lines let it be inferred.

use std::fs;
use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema};
use rapidbyte_sdk::prelude::*;

use crate::config::Config;
use crate::cursor;
use crate::limits;
use crate::parquet_file::ParquetFile;
use crate::streams::{self, FileFormat, FileStream, io_error};
use crate::text_file::{CsvFile, Inference, JsonlFile};

/// Every stream with its columns.
pub fn catalog(config: &Config) -> Result<Catalog, ConnectorError> {
    let mut streams = Vec::new();
    for stream in streams::list(config)? {
        let described = describe(config, &stream)
            .map_err(|error| error.context(format_args!("stream `{}`", stream.name)))?;
        streams.push(described);
    }
    check_types_are_used(config, &streams)?;
    Ok(Catalog { streams })
}

fn describe(config: &Config, stream: &FileStream) -> Result<CatalogStream, ConnectorError> {
    let (fields, rows) = match stream.format {
        FileFormat::Parquet => parquet_fields(stream)?,
        FileFormat::Csv | FileFormat::Jsonl => inferred_fields(config, stream)?,
    };
    if fields.is_empty() {
        return Err(ConnectorError::schema("no_columns", "the files have no columns"));
    }
    let cursor_fields: Vec<String> =
        fields.iter().filter(|field| cursor::can_order(field)).map(|field| field.name().clone()).collect();
    let mut bytes = 0;
    for file in &stream.files {
        bytes += fs::metadata(file).map_err(|error| io_error(file, &error))?.len();
    }
    let mut described = CatalogStream::new(&stream.name, Arc::new(Schema::new(fields)));
    if !cursor_fields.is_empty() {
        described.sync_modes.push(SyncMode::Incremental);
    }
    described.cursor_fields = cursor_fields;
    described.estimated_rows = rows;
    described.estimated_bytes = Some(bytes);
    Ok(described)
}

/// The columns of all files, which must agree but for whether they may be NULL.
fn parquet_fields(stream: &FileStream) -> Result<(Vec<FieldRef>, Option<u64>), ConnectorError> {
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut rows = 0;
    for (index, path) in stream.files.iter().enumerate() {
        let file = ParquetFile::open(path)?;
        rows += file.rows();
        let found = file.fields();
        if index == 0 {
            for (index, field) in found.iter().enumerate() {
                if found[..index].iter().any(|other| other.name() == field.name()) {
                    let message = format!("`{}`: two columns are named `{}`", path.display(), field.name());
                    return Err(ConnectorError::schema("bad_columns", message));
                }
            }
            fields = found;
            continue;
        }
        let differs = |message: String| {
            Err(ConnectorError::schema("bad_columns", format!("`{}`: {message}", path.display())))
        };
        for other in &found {
            let Some(field) = fields.iter_mut().find(|field| field.name() == other.name()) else {
                return differs(format!("column `{}` is not in the stream's first file", other.name()));
            };
            if field.data_type() != other.data_type() {
                return differs(format!(
                    "column `{}` is `{}`, in the first file it is `{}`",
                    other.name(),
                    other.data_type(),
                    field.data_type()
                ));
            }
            if other.is_nullable() && !field.is_nullable() {
                *field = Arc::new(Field::clone(field).with_nullable(true));
            }
        }
        if let Some(missing) =
            fields.iter().find(|field| !found.iter().any(|other| other.name() == field.name()))
        {
            return differs(format!("column `{}` is missing", missing.name()));
        }
    }
    Ok((fields, Some(rows)))
}

fn inferred_fields(
    config: &Config,
    stream: &FileStream,
) -> Result<(Vec<FieldRef>, Option<u64>), ConnectorError> {
    let mut inference = Inference::default();
    for path in &stream.files {
        // Headers of all files are checked, also those behind the bound.
        match stream.format {
            FileFormat::Csv => {
                let file = CsvFile::open(path, &config.csv, limits::INFER_RECORD_BYTES_MAX)?;
                file.infer(&mut inference, config.infer_rows)?;
            }
            _ if inference.cut_short => break,
            _ => {
                let file = JsonlFile::open(path, limits::INFER_RECORD_BYTES_MAX)?;
                file.infer(&mut inference, config.infer_rows)?;
            }
        }
    }
    let fields = inference.columns.iter().map(|(name, candidates)| {
        let column_type = config.type_of(&stream.name, name).unwrap_or_else(|| candidates.column_type());
        Arc::new(column_type.field(name))
    });
    Ok((fields.collect(), (!inference.cut_short).then_some(inference.rows)))
}

/// A type for a column that no stream has is a typing mistake.
fn check_types_are_used(config: &Config, streams: &[CatalogStream]) -> Result<(), ConnectorError> {
    for key in config.types.keys() {
        let used = streams.iter().any(|stream| {
            stream.schema.fields().iter().any(|field| {
                field.name() == key
                    || key.strip_prefix(&stream.name).and_then(|key| key.strip_prefix('.'))
                        == Some(field.name())
            })
        });
        if !used {
            return Err(ConnectorError::config(format!("types.{key}"), "no stream has this column"));
        }
    }
    Ok(())
}

/// What a run needs beside the streams: that something is there.
pub fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
    let streams = streams::list(config)?;
    if streams.is_empty() {
        return Ok(ValidationReport::failed(format!(
            "`{}` holds no CSV, JSON Lines or Parquet file",
            config.path
        )));
    }
    let files: usize = streams.iter().map(|stream| stream.files.len()).sum();
    for path in streams.iter().flat_map(|stream| &stream.files) {
        fs::File::open(path).map_err(|error| io_error(path, &error))?;
    }
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let message =
        format!("`{}`: {} in {}", config.path, count(streams.len(), "stream"), count(files, "file"));
    Ok(ValidationReport::success(message))
}
