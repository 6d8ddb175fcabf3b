//! The rogue destination: JSON Lines files, whole at each commit, or a broken promise.

wit_bindgen::generate!({ world: "rapidbyte-destination", path: "../../../../wit" });

#[path = "../../common.rs"]
mod common;

use std::fs;
use std::path::PathBuf;

use common::*;
use exports::rapidbyte::connector::destination::Guest;
use serde_json::Value;

struct Destination;

struct Store {
    rows: PathBuf,
    receipt: PathBuf,
    broken: String,
}

impl Store {
    fn load(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.rows).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn save(&self, rows: &[Value], receipt: &CheckpointEvent) -> Result<(), ConnectorError> {
        let failed = |cause: std::io::Error| error(ErrorCategory::Internal, "disk", &cause.to_string());
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(&self.rows, text).map_err(failed)?;
        if self.broken != "resume-from-receipt" {
            let text = format!("{} {}", receipt.id, receipt.complete);
            fs::write(&self.receipt, text).map_err(failed)?;
        }
        Ok(())
    }

    fn last(&self) -> Option<(u64, bool)> {
        let text = fs::read_to_string(&self.receipt).ok()?;
        let (id, complete) = text.split_once(' ')?;
        Some((id.parse().ok()?, complete == "true"))
    }
}

/// What a row is to this rogue.
fn damage(broken: &str, row: &mut Value) {
    let Some(fields) = row.as_object_mut() else { return };
    match broken {
        "write-nulls" => fields.values_mut().filter(|value| value.is_null()).for_each(|value| *value = "".into()),
        "write-odd-identifiers" => {
            *fields = std::mem::take(fields).into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        }
        "write-types" => {
            if let Some(value) = fields.get_mut("int64").and_then(|value| value.as_f64().map(|number| (value, number))) {
                *value.0 = Value::from(value.1);
            }
        }
        _ => {}
    }
}

fn apply(rows: &mut Vec<Value>, new: Vec<Value>, plan: &WritePlan, broken: &str) {
    for row in new {
        let same = |old: &&mut Value| plan.primary_key.iter().all(|key| old[key.as_str()] == row[key.as_str()]);
        let keyed = matches!(plan.mode, WriteMode::Upsert | WriteMode::Merge);
        match rows.iter_mut().find(|old| keyed && same(old)) {
            None => rows.push(row),
            Some(_) if broken == "write-upsert" => {}
            Some(old) if plan.mode == WriteMode::Merge && broken != "write-merge" => {
                for column in &plan.update_columns {
                    old[column.as_str()] = row[column.as_str()].clone();
                }
            }
            Some(old) => *old = row,
        }
    }
}

fn write(config: &Value, request: &RunRequest) -> Outcome {
    let broken = broken(config).to_owned();
    let Some((stream, plan)) = request.stream.as_ref().and_then(|stream| Some((stream, stream.write.clone()?))) else {
        return Err(config_error("no stream to write"));
    };
    let folder = PathBuf::from(config["path"].as_str().unwrap_or_default());
    let store = Store {
        rows: folder.join(format!("{}.jsonl", stream.name)),
        receipt: folder.join(format!("{}-{}.receipt", stream.pipeline, stream.name)),
        broken: broken.clone(),
    };
    let mut counts = WriteSummary { records: 0, bytes: 0, batches: 0, checkpoints: 0, failed: 0 };
    let mut summary = empty_summary(ConnectorRole::Destination);
    if request.dry_run && broken != "write-dry-run" {
        summary.write = Some(counts);
        return Ok(summary);
    }
    if let Some((id, complete)) = store.last() {
        let receipt = CheckpointEvent {
            kind: CheckpointKind::Receipt,
            stream: stream.name.clone(),
            id,
            cursor: None,
            records: 0,
            bytes: 0,
            complete,
        };
        telemetry_checkpoint(&receipt)?;
    }
    let replace = plan.mode == WriteMode::Replace;
    let mut rows = if replace && broken != "write-replace" { Vec::new() } else { store.load() };
    let mut pending = Vec::new();
    loop {
        match batch_next()? {
            BatchEvent::Frame(frame) => {
                if frame.records() == 0 && broken == "write-empty-batches" {
                    return Err(error(ErrorCategory::Data, "empty", "a batch without rows"));
                }
                counts.records += frame.records();
                counts.batches += 1;
                for line in frame.to_json()?.lines() {
                    let mut row: Value = serde_json::from_str(line)
                        .map_err(|cause| error(ErrorCategory::Data, "row", &cause.to_string()))?;
                    damage(&broken, &mut row);
                    pending.push(row);
                }
            }
            BatchEvent::Checkpoint(checkpoint) => {
                let early = replace && !checkpoint.complete && broken != "replace-interrupted";
                if early {
                    continue;
                }
                let mut new = std::mem::take(&mut pending);
                if broken == "write-append" && plan.mode == WriteMode::Append {
                    new.extend(new.clone());
                }
                apply(&mut rows, new, &plan, &broken);
                store.save(&rows, &checkpoint)?;
                let forgets = broken == "checkpoints-confirmed" && counts.checkpoints == 1;
                counts.checkpoints += 1;
                if !forgets {
                    mark(CheckpointKind::Destination, checkpoint.id, checkpoint.cursor)?;
                }
            }
            BatchEvent::End => break,
        }
    }
    if broken == "write-summary" {
        counts.records += 1;
    }
    summary.write = Some(counts);
    Ok(summary)
}

impl Guest for Destination {
    fn open(config_json: String) -> Result<Opened, ConnectorError> {
        let can = Capabilities::APPEND
            | Capabilities::REPLACE
            | Capabilities::UPSERT
            | Capabilities::MERGE
            | Capabilities::TRANSACTIONAL;
        open(&config_json, ConnectorRole::Destination, "rogue-destination", can, ("path", true))
    }

    fn validate(session: u64) -> Result<ValidationReport, ConnectorError> {
        validate(session)
    }

    fn run(session: u64, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let config = config(session)?;
        begin(&config, &request, &[RunPhase::Write])?;
        write(&config, &request)
    }

    fn close(session: u64) -> Result<(), ConnectorError> {
        close(session)
    }
}

export!(Destination);
