//! The rogue source: numbered rows with a cursor, or a broken promise.

wit_bindgen::generate!({ world: "rapidbyte-source", path: "../../../../wit" });

#[path = "../../common.rs"]
mod common;

use common::*;
use exports::rapidbyte::connector::source::Guest;
use serde_json::Value;

struct Source;

/// `id: int64 not null, name: utf8` as Arrow IPC; the suite's tests keep it fresh.
const SCHEMA: &[u8] = include_bytes!("../orders.schema");
/// `name: utf8` alone.
const SCHEMA_NAME: &[u8] = include_bytes!("../name.schema");

fn catalog(broken: &str) -> Catalog {
    let mut stream = CatalogStream {
        name: "orders".into(),
        schema: SCHEMA.to_vec(),
        primary_key: vec!["id".into()],
        cursor_fields: vec!["id".into()],
        sync_modes: vec![SyncMode::FullRefresh, SyncMode::Incremental],
        estimated_rows: None,
        estimated_bytes: None,
    };
    match broken {
        "discovery-stable" => stream.name = format!("orders_{}", chance()),
        "discovery-unique" => return Catalog { streams: vec![stream.clone(), stream] },
        "discovery-valid" => stream.primary_key = vec!["no_such_column".into()],
        _ => {}
    }
    Catalog { streams: vec![stream] }
}

fn emit(config: &Value, ids: &[u64], columns: &[String]) -> Result<(), ConnectorError> {
    let broken = broken(config);
    let only_name = columns.len() == 1 && columns[0] == "name" && broken != "read-projection";
    let mut rows = String::new();
    for id in ids {
        let filler = if broken == "read-batch-bytes" { "x".repeat(20_000) } else { String::new() };
        let row = match only_name {
            true => serde_json::json!({ "name": format!("order {id}{filler}") }),
            false => serde_json::json!({ "id": id, "name": format!("order {id}{filler}") }),
        };
        rows.push_str(&format!("{row}\n"));
    }
    let schema = match (broken, only_name) {
        ("read-schema", _) | (_, true) => SCHEMA_NAME,
        _ => SCHEMA,
    };
    handed(config, batch_emit(Frame::from_json(schema, &rows)?)).map(drop)
}

/// As much of SQL as `"id" <= 20` and `"id" = 20`.
fn filter(predicate: &str, broken: &str) -> impl Fn(u64) -> bool {
    let (operator, bound) =
        predicate.strip_prefix("\"id\" ").and_then(|rest| rest.split_once(' ')).unwrap_or_default();
    let (exactly, bound) = (operator == "=", bound.parse().ok().filter(|_| broken != "read-filter"));
    move |id| bound.is_none_or(|bound: u64| if exactly { id == bound } else { id <= bound })
}

fn within(range: &PartitionRange, id: u64) -> bool {
    let bound = |value: &Option<CursorValue>| match value {
        Some(CursorValue::Int64(bound)) => u64::try_from(*bound).ok(),
        _ => None,
    };
    bound(&range.lower).is_none_or(|lower| id >= lower) && bound(&range.upper).is_none_or(|upper| id < upper)
}

fn partition(config: &Value, request: &RunRequest) -> Outcome {
    let Some(stream) = &request.stream else { return Err(config_error("no stream")) };
    let (rows, count) = (config["rows"].as_u64().unwrap_or(0), u64::from(stream.partition.count.max(1)));
    let at = |index: u64| CursorValue::Int64((rows * index / count + 1) as i64);
    let ranges = (0..count).map(|index| PartitionRange {
        field: "id".into(),
        lower: (index > 0).then(|| at(index)),
        upper: (index + 1 < count).then(|| at(index + 1)),
        nulls: index == 0,
    });
    // A moment that nobody holds.
    let snapshot = (broken(config) == "read-snapshot").then(|| "now".into());
    let plan = PartitionPlan { snapshot, ranges: ranges.collect() };
    Ok(RunSummary { partition_plan: Some(plan), ..empty_summary(ConnectorRole::Source) })
}

fn cursor(id: u64) -> Option<Cursor> {
    Some(Cursor { field: "id".into(), value: CursorValue::Int64(id as i64) })
}

fn read(config: &Value, request: &RunRequest) -> Outcome {
    let broken = broken(config);
    let Some(stream) = &request.stream else { return Err(config_error("no stream")) };
    if stream.name != "orders" && !stream.name.starts_with("orders_") && broken != "read-unknown-stream" {
        return Err(config_error(&format!("there is no stream `{}`", stream.name)));
    }
    let mut summary = empty_summary(ConnectorRole::Source);
    let mut counts = ReadSummary { records: 0, bytes: 0, batches: 0, checkpoints: 0, skipped: 0 };
    if request.dry_run && broken != "read-dry-run" {
        summary.read = Some(counts);
        return Ok(summary);
    }
    let behind = match stream.position {
        Some(CursorValue::Int64(id)) => u64::try_from(id).unwrap_or(0),
        _ => 0,
    };
    let behind = if broken == "resume-future-cursor" { behind.min(39) } else { behind };
    let max = if broken == "read-max-records" { None } else { request.max_records };
    let rows = config["rows"].as_u64().unwrap_or(0);
    let holds = filter(stream.filter.as_deref().unwrap_or_default(), broken);
    let range = stream.partition.range.as_ref().filter(|_| broken != "read-partitions");
    let ids = (behind + 1..=rows).filter(|id| holds(*id) && range.is_none_or(|range| within(range, *id)));
    let ids: Vec<u64> = ids.take(max.unwrap_or(u64::MAX) as usize).collect();
    let chunk = if broken == "read-batch-bytes" {
        20
    } else {
        stream.limits.checkpoint_interval_rows.clamp(1, 10) as usize
    };
    let every = stream.limits.checkpoint_interval_rows < 1_000;
    for (index, chunk) in ids.chunks(chunk).enumerate() {
        emit(config, chunk, &stream.columns)?;
        counts.records += chunk.len() as u64;
        counts.batches += 1;
        let Some(last) = chunk.last().copied() else { continue };
        if stream.sync_mode == SyncMode::Incremental && (every || counts.records == ids.len() as u64) {
            let at = match broken {
                // One row too early: it comes twice.
                "resume-every-checkpoint" if last < rows => last - 1,
                "checkpoints-monotone" if index == 1 => 1,
                _ => last,
            };
            mark(CheckpointKind::Source, 0, cursor(at))?;
            counts.checkpoints += 1;
        }
    }
    if broken == "read-summary" {
        counts.records += 1;
    }
    summary.read = Some(counts);
    Ok(summary)
}

impl Guest for Source {
    fn open(config_json: String) -> Result<Opened, ConnectorError> {
        let can = Capabilities::FULL_REFRESH
            | Capabilities::INCREMENTAL
            | Capabilities::PROJECTION
            | Capabilities::FILTER
            | Capabilities::PARTITIONS;
        open(&config_json, ConnectorRole::Source, "rogue-source", can, ("rows", false))
    }

    fn validate(session: u64) -> Result<ValidationReport, ConnectorError> {
        validate(session)
    }

    fn run(session: u64, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let config = config(session)?;
        begin(&config, &request, &[RunPhase::Discover, RunPhase::Read, RunPhase::Partition])?;
        if request.phase == RunPhase::Discover {
            let catalog = Some(catalog(broken(&config)));
            return Ok(RunSummary { catalog, ..empty_summary(ConnectorRole::Source) });
        }
        if request.phase == RunPhase::Partition {
            return partition(&config, &request);
        }
        read(&config, &request)
    }

    fn close(session: u64) -> Result<(), ConnectorError> {
        close(session)
    }
}

export!(Source);
