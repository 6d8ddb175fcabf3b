//! `@name@`: reads the JSON Lines files of a folder, each a stream, in order of an integer column. It feeds the example
//! pipelines of scaffolded destinations and transforms; for real files there is `source-file`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_json::ReaderBuilder;
use arrow_json::reader::infer_json_schema_from_iterator;
use rapidbyte_sdk::arrow::schema::SchemaRef;
use rapidbyte_sdk::prelude::*;
use serde::Deserialize;
use serde_json::Value;

/// Rows in one batch.
const BATCH_ROWS: usize = 1_000;

#[derive(Debug, Clone, Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder with `*.jsonl` files.
    pub path: String,
}

/// Reads files.
#[connector(source)]
pub struct JsonLinesSource {
    config: Config,
}

impl Source for JsonLinesSource {
    type Config = Config;

    async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
        let capabilities = Capabilities {
            full_refresh: true,
            incremental: true,
            ..Capabilities::default()
        };
        Ok((
            JsonLinesSource { config },
            OpenInfo::new(connector_id!(), capabilities),
        ))
    }

    async fn run(
        &mut self,
        ctx: &Context,
        request: RunRequest,
    ) -> Result<RunSummary, ConnectorError> {
        request.expect_phase(&[RunPhase::Discover, RunPhase::Read])?;
        if request.phase == RunPhase::Discover {
            let streams = streams(Path::new(&self.config.path))?;
            return Ok(RunSummary::catalog(Catalog { streams }));
        }
        let stream = request.stream()?;
        if !request.dry_run {
            let rows = rows(&Path::new(&self.config.path).join(format!("{}.jsonl", stream.name)))?;
            read(ctx, stream, rows, request.max_records).await?;
        }
        Ok(RunSummary::read(ctx.read_summary()))
    }
}

async fn read(
    ctx: &Context,
    stream: &StreamContext,
    mut rows: Vec<Value>,
    max_records: Option<u64>,
) -> Result<(), ConnectorError> {
    let cursor = stream
        .cursor
        .as_ref()
        .filter(|_| stream.sync_mode == SyncMode::Incremental);
    if let Some(cursor) = cursor {
        let key = |row: &Value| row.get(&cursor.field).and_then(Value::as_i64);
        if rows.iter().any(|row| key(row).is_none()) {
            let message = format!("column `{}` is not an integer in every row", cursor.field);
            return Err(ConnectorError::config("cursor_field", message));
        }
        if let Some(CursorValue::Int64(position)) = stream.position {
            rows.retain(|row| key(row) > Some(position));
        }
        rows.sort_by_key(key);
    }
    rows.truncate(
        max_records
            .and_then(|max| usize::try_from(max).ok())
            .unwrap_or(usize::MAX),
    );
    let mut decoder = ReaderBuilder::new(stream.schema.clone())
        .with_batch_size(BATCH_ROWS)
        .build_decoder()?;
    for piece in rows.chunks(BATCH_ROWS) {
        decoder.serialize(piece)?;
        if let Some(batch) = decoder.flush()? {
            ctx.emit(&batch).await?;
        }
    }
    if let Some(cursor) = cursor
        && let Some(last) = rows.last().and_then(|row| row.get(&cursor.field)?.as_i64())
    {
        ctx.checkpoint(Cursor::new(&cursor.field, CursorValue::Int64(last)))
            .await?;
    }
    Ok(())
}

fn streams(folder: &Path) -> Result<Vec<CatalogStream>, ConnectorError> {
    let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "jsonl")
    });
    files.sort();
    let stream = |file: &PathBuf| {
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let schema: SchemaRef = Arc::new(infer_json_schema_from_iterator(
            rows(file)?.into_iter().map(Ok),
        )?);
        Ok(CatalogStream {
            cursor_fields: schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect(),
            sync_modes: vec![SyncMode::FullRefresh, SyncMode::Incremental],
            ..CatalogStream::new(name, schema)
        })
    };
    files.iter().map(stream).collect()
}

fn rows(file: &Path) -> Result<Vec<Value>, ConnectorError> {
    let text = std::fs::read_to_string(file).map_err(|error| failed(file, &error))?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let row = |(index, line): (usize, &str)| match serde_json::from_str(line) {
        Ok(row @ Value::Object(_)) => Ok(row),
        _ => {
            let message = format!(
                "`{}`, line {}: not a JSON object",
                file.display(),
                index + 1
            );
            Err(ConnectorError::data("bad_line", message))
        }
    };
    lines.map(row).collect()
}

fn failed(path: &Path, error: &std::io::Error) -> ConnectorError {
    ConnectorError::config("path", format!("`{}`: {error}", path.display()))
}
