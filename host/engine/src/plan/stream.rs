//! One stream's wishes held against what its source offers and its destination can do.
//! Refuses to know: how connectors are asked.

use rapidbyte_core::ports::TaskKey;
use rapidbyte_core::*;

use crate::error::{Place, Problem};
use crate::plan::{REPLAY_PARTITION, Split, Task};
use crate::schema::{column_names, names_shown, project, repeated, suggestion};
use crate::spec::{PipelineSpec, StreamSpec};
use crate::survey::Survey;

pub(super) fn find<'a>(
    catalog: &'a Catalog,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<&'a CatalogStream> {
    let found = catalog.streams.iter().find(|stream| stream.name == name);
    if found.is_none() {
        problems.push(
            Problem::new(name, Place::Stream, "unknown_stream", format!("the source has no stream `{name}`"))
                .maybe_hint(suggestion(
                    "streams",
                    name,
                    catalog.streams.iter().map(|stream| stream.name.as_str()),
                )),
        );
    }
    found
}

/// A stream's task up to the source's end: what is read, and how.
pub(super) fn draft(
    spec: &PipelineSpec,
    stream: &StreamSpec,
    offered: &CatalogStream,
    survey: &Survey,
    limits: Limits,
    replay: bool,
    problems: &mut Vec<Problem>,
) -> Option<Task> {
    let before = problems.len();
    let name = stream.name.as_str();
    let source = &survey.source;
    let columns = match column_names(&offered.schema) {
        Ok(columns) => columns,
        Err(error) => {
            problems.push(Problem::new(
                name,
                Place::Stream,
                "schema_unreadable",
                format!("the schema of stream `{name}` cannot be read: {error}"),
            ));
            return None;
        }
    };
    if let Some(column) = repeated(&columns) {
        problems.push(Problem::new(
            name,
            Place::Stream,
            "repeated_column",
            format!("stream `{name}` has column `{column}` twice"),
        ));
    }
    let mut exists = |column: &str, place: Place, what: &str| {
        if columns.iter().any(|known| known == column) {
            return;
        }
        problems.push(
            Problem::new(name, place, "unknown_column", format!("stream `{name}` has no {what} `{column}`"))
                .maybe_hint(suggestion("columns", column, columns.iter().map(String::as_str))),
        );
    };
    for column in &stream.columns {
        exists(column, Place::Column(column.clone()), "column");
    }
    if let Some(cursor) = stream.cursor.as_ref().filter(|_| !replay) {
        exists(&cursor.field, Place::CursorField, "cursor field");
        for column in &cursor.tie_breaker {
            exists(column, Place::TieBreaker(column.clone()), "tie-breaker");
        }
        if !offered.cursor_fields.is_empty()
            && columns.contains(&cursor.field)
            && !offered.cursor_fields.contains(&cursor.field)
        {
            let usable = names_shown(offered.cursor_fields.iter().map(String::as_str));
            problems.push(
                Problem::new(
                    name,
                    Place::CursorField,
                    "cursor_field_unusable",
                    format!("stream `{name}` cannot be ordered by `{}`", cursor.field),
                )
                .hint(format!("it can be by {usable}")),
            );
        }
    }
    if let Some(column) = repeated(&stream.columns) {
        problems.push(Problem::new(
            name,
            Place::Column(column.to_owned()),
            "repeated_column",
            format!("column `{column}` is selected twice"),
        ));
    }
    if !stream.columns.is_empty() && !source.capabilities.projection {
        problems.push(
            Problem::new(
                name,
                Place::Column(stream.columns[0].clone()),
                "projection_unsupported",
                format!("`{}` cannot select columns", source.connector_id),
            )
            .hint("leave `columns` out"),
        );
    }
    check_sync_mode(stream, offered, source, problems);
    check_split(stream, source, &columns, problems);
    if problems.len() > before {
        return None;
    }
    let source_schema = match project(&offered.schema, &stream.columns) {
        Ok(schema) => schema,
        Err(error) => {
            problems.push(Problem::new(name, Place::Stream, "schema_unreadable", error.to_string()));
            return None;
        }
    };
    let partition =
        if replay { Partition { index: REPLAY_PARTITION, ..Partition::WHOLE } } else { Partition::WHOLE };
    Some(Task {
        key: TaskKey { pipeline: spec.name.clone(), stream: stream.name.clone(), partition: partition.index },
        partition,
        sync_mode: stream.sync_mode,
        cursor: stream.cursor.clone(),
        columns: stream.columns.clone(),
        filter: stream.filter.clone().filter(|_| source.capabilities.filter),
        write: stream.write.clone(),
        policies: stream.policies,
        on_error: stream.on_error,
        limits,
        stream_columns: columns,
        source_schema,
        transforms: Vec::new(),
        contract: None,
        split: None,
        unknown_before: false,
        snapshot: None,
        estimated_rows: offered.estimated_rows,
    })
}

/// How a stream may be read in partitions: only a full read has no order of its own to keep.
pub(super) fn split(spec: &PipelineSpec, stream: &StreamSpec, survey: &Survey) -> Option<Split> {
    let partitions_max = stream.partitions.unwrap_or(spec.resources.parallelism);
    let able = survey.source.capabilities.partitions && stream.sync_mode == SyncMode::FullRefresh;
    // Receipts are what puts the partitions' commits together.
    let able = able && survey.destination.capabilities.transactional;
    // To be swapped in whole, the partitions have to be staged in one place.
    let able =
        able && (stream.write.mode != WriteMode::Replace || survey.destination.capabilities.partitions);
    (able && partitions_max > 1).then(|| Split { partitions_max, key: stream.partition_key.clone() })
}

/// What a stream says about partitions, held against what its source can do.
fn check_split(stream: &StreamSpec, source: &OpenInfo, columns: &[String], problems: &mut Vec<Problem>) {
    let name = stream.name.as_str();
    if let Some(key) = &stream.partition_key
        && !columns.contains(key)
    {
        let hint = suggestion("columns", key, columns.iter().map(String::as_str));
        let message = format!("stream `{name}` has no column `{key}` to partition by");
        problems.push(Problem::new(name, Place::PartitionKey, "unknown_column", message).maybe_hint(hint));
    }
    let asked = stream.partition_key.is_some() || stream.partitions.is_some_and(|count| count > 1);
    if asked && !source.capabilities.partitions {
        let message = format!("`{}` cannot read a stream in partitions", source.connector_id);
        problems.push(Problem::new(name, Place::PartitionKey, "partitions_unsupported", message));
    } else if asked && stream.sync_mode != SyncMode::FullRefresh {
        let message = format!(
            "stream `{name}` is {}: only a `full_refresh` can be read in partitions",
            stream.sync_mode
        );
        problems.push(Problem::new(name, Place::PartitionKey, "partitions_unsupported", message));
    }
}

fn check_sync_mode(
    stream: &StreamSpec,
    offered: &CatalogStream,
    source: &OpenInfo,
    problems: &mut Vec<Problem>,
) {
    let (name, mode) = (stream.name.as_str(), stream.sync_mode);
    let mut problem =
        |code, message: String| problems.push(Problem::new(name, Place::SyncMode, code, message));
    if mode == SyncMode::Cdc {
        problem("cdc_unsupported", "`cdc` is not there yet".to_owned());
    } else if !source.capabilities.sync_mode(mode) {
        problem("sync_mode_unsupported", format!("`{}` cannot read `{mode}`", source.connector_id));
    } else if !offered.sync_modes.is_empty() && !offered.sync_modes.contains(&mode) {
        problem("sync_mode_unsupported", format!("stream `{name}` cannot be read `{mode}`"));
    }
    if mode == SyncMode::Incremental && stream.cursor.is_none() {
        problems.push(Problem::new(
            name,
            Place::CursorField,
            "cursor_missing",
            format!("stream `{name}` is incremental and has no cursor field"),
        ));
    }
    if mode == SyncMode::Incremental && stream.write.mode == WriteMode::Replace {
        problems.push(
            Problem::new(
                name,
                Place::WriteMode,
                "incremental_replace",
                format!("stream `{name}` is incremental: `replace` would leave only the newest records"),
            )
            .hint("write it by `append`, `upsert` or `merge`, or read it by `full_refresh`"),
        );
    }
}

/// Whether the destination can write what arrives as the pipeline asks.
pub(super) fn check_write(
    task: &mut Task,
    offered: &CatalogStream,
    destination: &OpenInfo,
    problems: &mut Vec<Problem>,
) {
    let name = task.key.stream.clone();
    let mode = task.write.mode;
    if !destination.capabilities.write_mode(mode) {
        let able = WriteMode::ALL.iter().copied().filter(|mode| destination.capabilities.write_mode(*mode));
        let able: Vec<&str> = able.map(WriteMode::as_str).collect();
        problems.push(
            Problem::new(
                &name,
                Place::WriteMode,
                "write_mode_unsupported",
                format!("`{}` cannot write by `{mode}`", destination.connector_id),
            )
            .hint(format!("it can by {}", names_shown(able.iter().copied()))),
        );
    }
    let keyed = matches!(mode, WriteMode::Upsert | WriteMode::Merge);
    if keyed && task.write.primary_key.is_empty() {
        task.write.primary_key = offered.primary_key.clone();
    }
    if keyed && task.write.primary_key.is_empty() {
        problems.push(
            Problem::new(
                &name,
                Place::PrimaryKey(None),
                "key_missing",
                format!("stream `{name}` has no key to `{mode}` by"),
            )
            .hint("name its columns in `primary_key`"),
        );
    }
    let columns = match column_names(task.final_schema()) {
        Ok(columns) => columns,
        Err(error) => {
            problems.push(Problem::new(&name, Place::Stream, "schema_unreadable", error.to_string()));
            return;
        }
    };
    let mut exists = |column: &String, place: Place, what: &str| {
        if !columns.contains(column) {
            let arriving = suggestion("columns", column, columns.iter().map(String::as_str));
            let message = format!("no {what} `{column}` arrives at the destination for stream `{name}`");
            problems.push(Problem::new(&name, place, "unknown_column", message).maybe_hint(arriving));
        }
    };
    for column in &task.write.primary_key {
        exists(column, Place::PrimaryKey(Some(column.clone())), "key column");
    }
    for column in &task.write.update_columns {
        exists(column, Place::UpdateColumn(column.clone()), "update column");
    }
    for column in task.write.update_columns.iter().filter(|column| task.write.primary_key.contains(column)) {
        let message = format!("key column `{column}` of stream `{name}` cannot be updated");
        problems.push(Problem::new(&name, Place::UpdateColumn(column.clone()), "update_of_key", message));
    }
}
