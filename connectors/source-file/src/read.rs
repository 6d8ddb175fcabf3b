//! One stream, read: which columns, behind which position, file after file into the sink.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use rapidbyte_sdk::prelude::*;

use crate::columns::ColumnType;
use crate::config::Config;
use crate::cursor;
use crate::parquet_file::{ParquetFile, bad_file};
use crate::sink::{CursorFilter, Sink, place};
use crate::streams::{FileFormat, FileStream};
use crate::text_file::{Column, CsvFile, JsonlFile};

/// What is read of a stream.
struct Plan {
    /// The columns that are emitted, then the cursor's if it is not among them.
    fields: Vec<FieldRef>,
    emitted: usize,
    /// Where in `fields` the cursor is.
    cursor_at: Option<usize>,
    /// All of the stream's columns are read, so what is not among them is a surprise.
    strict: bool,
}

impl Plan {
    fn new(stream: &StreamContext) -> Result<Self, ConnectorError> {
        let find = |name: &str, what: &str| -> Result<FieldRef, ConnectorError> {
            let field = stream.schema.fields().iter().find(|field| field.name() == name).cloned();
            field.ok_or_else(|| {
                ConnectorError::config(what, format!("stream `{}` has no column `{name}`", stream.name))
            })
        };
        let mut fields: Vec<FieldRef> = if stream.columns.is_empty() {
            stream.schema.fields().iter().cloned().collect()
        } else {
            stream.columns.iter().map(|name| find(name, "columns")).collect::<Result<_, _>>()?
        };
        let emitted = fields.len();
        let mut cursor_at = None;
        if stream.sync_mode == SyncMode::Incremental {
            let spec = stream.cursor.as_ref().ok_or_else(|| {
                ConnectorError::config(
                    "cursor_field",
                    format!("stream `{}` is incremental and has no cursor", stream.name),
                )
            })?;
            let field = find(&spec.field, "cursor_field")?;
            if !cursor::can_order(&field) {
                let message =
                    format!("column `{}` of type `{}` cannot order a stream", spec.field, field.data_type());
                return Err(ConnectorError::config("cursor_field", message));
            }
            cursor_at = fields.iter().position(|other| other.name() == field.name());
            if cursor_at.is_none() {
                cursor_at = Some(fields.len());
                fields.push(field);
            }
        }
        Ok(Plan { fields, emitted, cursor_at, strict: stream.columns.is_empty() })
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields[..self.emitted].to_vec()))
    }

    fn filter(&self, stream: &StreamContext) -> Result<Option<CursorFilter>, ConnectorError> {
        let Some(field) = self.cursor_at.map(|index| Field::clone(&self.fields[index])) else {
            return Ok(None);
        };
        let position = stream.position.as_ref().map(|value| cursor::from_value(value, &field)).transpose()?;
        Ok(Some(CursorFilter { field, position, newest: None }))
    }

    fn columns(&self, config: &Config, stream: &str) -> Result<Vec<Column>, ConnectorError> {
        let column = |field: &FieldRef| {
            let given = config.type_of(stream, field.name()).is_some();
            let column_type = ColumnType::of_field(field, given).ok_or_else(|| {
                let message =
                    format!("column `{}`: text files have no type `{}`", field.name(), field.data_type());
                ConnectorError::schema("unknown_type", message)
            })?;
            Ok(Column { name: field.name().clone(), column_type })
        };
        self.fields.iter().map(column).collect()
    }
}

/// Reads a stream to its end, or checks that it could be.
pub async fn read(
    ctx: &Context,
    config: &Config,
    files: &FileStream,
    stream: &StreamContext,
    request: &RunRequest,
) -> Result<RunSummary, ConnectorError> {
    if stream.sync_mode == SyncMode::Cdc {
        return Err(ConnectorError::config(
            "sync_mode",
            "files have no change log: use full_refresh or incremental",
        ));
    }
    if !stream.partition.is_whole() {
        return Err(ConnectorError::internal("no_partitions", "source-file does not read partitions"));
    }
    let plan = Plan::new(stream)?;
    let filter = plan.filter(stream)?;
    let max_records = if request.dry_run { Some(0) } else { request.max_records };
    let mut sink = Sink::new(ctx, stream, plan.schema(), max_records, filter);
    for file in &files.files {
        if sink.is_done() && !request.dry_run {
            break;
        }
        match files.format {
            FileFormat::Csv => read_csv(&mut sink, config, &plan, stream, file).await?,
            FileFormat::Jsonl => read_jsonl(&mut sink, config, &plan, stream, file).await?,
            FileFormat::Parquet => read_parquet(&mut sink, &plan, stream, file).await?,
        }
    }
    sink.finish().await
}

/// Raw text may be longer than the record it stands for: quotes, escapes, keys. Memory is bounded by twice the limit; the
/// limit itself holds for the record's values.
fn text_bytes_max(stream: &StreamContext) -> u64 {
    stream.limits.max_record_bytes.saturating_mul(2).saturating_add(64 * 1024)
}

async fn read_csv(
    sink: &mut Sink<'_>,
    config: &Config,
    plan: &Plan,
    stream: &StreamContext,
    path: &Path,
) -> Result<(), ConnectorError> {
    let columns = plan.columns(config, &stream.name)?;
    let mut file = CsvFile::open(path, &config.csv, text_bytes_max(stream))?;
    let mut fields = Vec::with_capacity(columns.len());
    for column in &columns {
        let field = file.header.iter().position(|name| *name == column.name);
        fields.push(field.ok_or_else(|| missing_column(path, &column.name))?);
    }
    if plan.strict
        && let Some(name) =
            file.header.iter().find(|name| !columns.iter().any(|column| column.name == **name))
    {
        let message = format!("`{}`: column `{name}` is not in the stream's schema", path.display());
        return Err(ConnectorError::schema("bad_columns", message));
    }
    while !sink.is_done() {
        let Some(line) = file.advance()? else { break };
        match file.cells(&columns, &fields) {
            Ok(cells) => sink.push(&cells, plan.cursor_at, path, line).await?,
            Err(error) => sink.refuse(error, path, line, &file.raw()).await?,
        }
    }
    Ok(())
}

async fn read_jsonl(
    sink: &mut Sink<'_>,
    config: &Config,
    plan: &Plan,
    stream: &StreamContext,
    path: &Path,
) -> Result<(), ConnectorError> {
    let columns = plan.columns(config, &stream.name)?;
    let index: HashMap<&str, usize> =
        columns.iter().enumerate().map(|(index, column)| (column.name.as_str(), index)).collect();
    let mut file = JsonlFile::open(path, text_bytes_max(stream))?;
    while !sink.is_done() {
        let Some(line) = file.advance()? else { break };
        match file.cells(&columns, &index, plan.strict) {
            Ok(cells) => sink.push(&cells, plan.cursor_at, path, line).await?,
            Err(error) => sink.refuse(error, path, line, file.raw()).await?,
        }
    }
    Ok(())
}

async fn read_parquet(
    sink: &mut Sink<'_>,
    plan: &Plan,
    stream: &StreamContext,
    path: &Path,
) -> Result<(), ConnectorError> {
    let file = ParquetFile::open(path)?;
    let found = file.fields();
    let mut columns = Vec::with_capacity(plan.fields.len());
    for field in &plan.fields {
        let index = found.iter().position(|other| other.name() == field.name());
        let index = index.ok_or_else(|| missing_column(path, field.name()))?;
        if found[index].data_type() != field.data_type() {
            let message = format!(
                "`{}`: column `{}` is `{}`, in the stream's schema it is `{}`",
                path.display(),
                field.name(),
                found[index].data_type(),
                field.data_type()
            );
            return Err(ConnectorError::schema("type_differs", message));
        }
        columns.push(index);
    }
    if sink.is_done() {
        return Ok(());
    }
    // The reader answers columns in the file's order.
    let mut in_file: Vec<usize> = columns.clone();
    in_file.sort_unstable();
    let order: Vec<usize> =
        columns.iter().map(|column| in_file.partition_point(|other| other < column)).collect();
    let schema = plan.schema();
    let mut first_row = 0;
    for batch in file.read(&columns, stream.limits.batch_bytes_target())? {
        let batch = batch.map_err(|error| bad_file(path, &error))?;
        let arrays: Vec<_> = order.iter().map(|index| batch.column(*index).clone()).collect();
        let keep = keep_rows(sink, plan, &arrays, path, first_row).await?;
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let mut out =
            RecordBatch::try_new_with_options(schema.clone(), arrays[..plan.emitted].to_vec(), &options)
                .map_err(|error| bad_file(path, &error))?;
        if let Some(keep) = keep {
            out = filter_record_batch(&out, &keep).map_err(|error| bad_file(path, &error))?;
        }
        sink.push_batch(&out, path, first_row).await?;
        first_row += batch.num_rows() as u64;
        if sink.is_done() {
            break;
        }
    }
    Ok(())
}

/// The rows that are behind the position; none if all are.
async fn keep_rows(
    sink: &mut Sink<'_>,
    plan: &Plan,
    arrays: &[arrow_array::ArrayRef],
    path: &Path,
    first_row: u64,
) -> Result<Option<BooleanArray>, ConnectorError> {
    let Some(array) = plan.cursor_at.map(|index| &arrays[index]) else { return Ok(None) };
    let mut keep = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        let key = cursor::key_of_row(array, row);
        let new = match (key, &mut sink.cursor) {
            (Ok(key), Some(filter)) => filter.is_new(key),
            (Ok(_), None) => true,
            (Err(no_key), _) => {
                let number = first_row + row as u64 + 1;
                let name = plan.cursor_at.map_or("", |index| plan.fields[index].name());
                let message =
                    format!("`{}`, row {number}, column `{name}` {}", path.display(), no_key.message());
                sink.refuse(ConnectorError::data(no_key.code(), message), path, number, &[]).await?;
                false
            }
        };
        keep.push(new);
    }
    Ok(keep.contains(&false).then(|| BooleanArray::from(keep)))
}

fn missing_column(path: &Path, column: &str) -> ConnectorError {
    ConnectorError::schema("bad_columns", format!("{}: column `{column}` is missing", place(path, 1)))
}
