//! Answers written for people and machines: a table, CSV, JSON, Parquet.

use std::io::Write;

use arrow_array::RecordBatch;
use arrow_cast::display::FormatOptions;
use arrow_cast::pretty::pretty_format_batches_with_options;
use arrow_schema::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::limits::{ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX, TABLE_ROWS_MAX};
use crate::session::{QueryError, Rows};

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// With lines, for a terminal; the first rows of a long answer.
    Table,
    /// With a header; NULL is an empty field.
    Csv,
    /// One array of objects; a NULL is `null`.
    Json,
    Parquet,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    pub rows: u64,
    /// Fewer than `rows` only in a table.
    pub rows_shown: u64,
}

/// Writes an answer as it comes; only a table is kept until its widths are known.
pub async fn write(
    mut rows: Rows,
    format: OutputFormat,
    out: &mut (dyn Write + Send),
) -> Result<Written, QueryError> {
    match format {
        OutputFormat::Table => table(rows, out).await,
        OutputFormat::Csv => {
            let mut writer = arrow_csv::WriterBuilder::new().with_header(true).build(&mut *out);
            // The header also of an answer without rows.
            writer.write(&RecordBatch::new_empty(rows.schema())).map_err(arrow)?;
            let written = each(&mut rows, |batch| writer.write(batch).map_err(arrow)).await?;
            drop(writer);
            out.flush()?;
            Ok(written)
        }
        OutputFormat::Json => {
            let mut writer = arrow_json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, arrow_json::writer::JsonArray>(&mut *out);
            let written = each(&mut rows, |batch| writer.write(batch).map_err(arrow)).await?;
            writer.finish().map_err(arrow)?;
            drop(writer);
            out.write_all(b"\n")?;
            out.flush()?;
            Ok(written)
        }
        OutputFormat::Parquet => {
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
                .build();
            let mut writer =
                ArrowWriter::try_new(&mut *out, rows.schema(), Some(properties)).map_err(parquet)?;
            let written = each(&mut rows, |batch| {
                writer.write(batch).map_err(parquet)?;
                if writer.in_progress_size() > ROW_GROUP_BYTES_MAX {
                    writer.flush().map_err(parquet)
                } else {
                    Ok(())
                }
            })
            .await?;
            writer.close().map_err(parquet)?;
            out.flush()?;
            Ok(written)
        }
    }
}

async fn each(
    rows: &mut Rows,
    mut write: impl FnMut(&RecordBatch) -> Result<(), QueryError>,
) -> Result<Written, QueryError> {
    let mut written = Written::default();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        write(&batch)?;
        written.rows += batch.num_rows() as u64;
    }
    written.rows_shown = written.rows;
    Ok(written)
}

async fn table(mut rows: Rows, out: &mut (dyn Write + Send)) -> Result<Written, QueryError> {
    let mut written = Written::default();
    let mut shown = vec![RecordBatch::new_empty(rows.schema())];
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        written.rows += batch.num_rows() as u64;
        let room = TABLE_ROWS_MAX - written.rows_shown as usize;
        if room > 0 {
            let part = batch.slice(0, room.min(batch.num_rows()));
            written.rows_shown += part.num_rows() as u64;
            shown.push(part);
        }
    }
    let options = FormatOptions::new().with_null("NULL");
    let text = pretty_format_batches_with_options(&shown, &options).map_err(arrow)?;
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(written)
}

fn arrow(error: ArrowError) -> QueryError {
    match error {
        ArrowError::IoError(_, error) => QueryError::Output(error),
        other => unsupported(&other.to_string()),
    }
}

fn parquet(error: parquet::errors::ParquetError) -> QueryError {
    match error {
        parquet::errors::ParquetError::External(error) => match error.downcast::<std::io::Error>() {
            Ok(error) => QueryError::Output(*error),
            Err(other) => unsupported(&other.to_string()),
        },
        other => unsupported(&other.to_string()),
    }
}

/// A type that the format has no form for.
fn unsupported(message: &str) -> QueryError {
    QueryError::Sql {
        code: "format_unsupported",
        message: format!("the result cannot be written in this format: {message}"),
        hint: Some("cast the column to text: `CAST(column AS TEXT)`".to_owned()),
    }
}
