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
    /// The schema of the last run that wrote.
    schema: PathBuf,
    broken: String,
}

impl Store {
    fn load(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.rows).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn save(&self, rows: &[Value], receipt: &CheckpointEvent, schema: &[u8]) -> Result<(), ConnectorError> {
        let failed = |cause: std::io::Error| error(ErrorCategory::Internal, "disk", &cause.to_string());
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(&self.rows, text).map_err(failed)?;
        if self.broken != "resume-from-receipt" {
            let text = format!("{} {}", receipt.id, receipt.complete);
            fs::write(&self.receipt, text).map_err(failed)?;
        }
        fs::write(&self.schema, schema).map_err(failed)
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
        "write-nulls" => {
            fields.values_mut().filter(|value| value.is_null()).for_each(|value| *value = "".into())
        }
        "write-odd-identifiers" => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(name, value)| (name.to_lowercase(), value))
                .collect();
        }
        "write-types" => {
            if let Some(value) =
                fields.get_mut("int64").and_then(|value| value.as_f64().map(|number| (value, number)))
            {
                *value.0 = Value::from(value.1);
            }
        }
        _ => {}
    }
}

fn apply(rows: &mut Vec<Value>, new: Vec<Value>, plan: &WritePlan, broken: &str) {
    for row in new {
        let same =
            |old: &&mut Value| plan.primary_key.iter().all(|key| old[key.as_str()] == row[key.as_str()]);
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

/// Hands a row over that no file of ours shall have.
fn refuse(stream: &StreamContext, row: Value, broken: &str) -> Result<(), ConnectorError> {
    if stream.policies.on_data_error != DataErrorPolicy::Dlq {
        return Err(error(ErrorCategory::Data, "nul", "`name` has the character U+0000"));
    }
    let message = if broken == "dead-letters" { "" } else { "`name` has the character U+0000" };
    let reason = RecordError { row: 0, code: "nul".into(), message: message.into() };
    telemetry_dlq(Frame::from_json(&stream.schema, &format!("{row}\n"))?, &[reason])
}

/// Holds the new rows' columns against those of before, by the policies.
fn evolve(
    store: &Store,
    stream: &StreamContext,
    rows: &mut [Value],
    new: &mut [Value],
) -> Result<(), ConnectorError> {
    let (Some(before), Some(after)) = (rows.first().cloned(), new.first().cloned()) else { return Ok(()) };
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else { return Ok(()) };
    let Policies { new_column, removed_column, type_change, nullability_change, .. } = stream.policies;
    let refused =
        |what: &str, name: &str| Err(error(ErrorCategory::Schema, what, &format!("column `{name}`: {what}")));
    let lax = |clause: &str| store.broken == clause;
    let mut same = true;
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        same = false;
        match new_column {
            NewColumnPolicy::Fail if !lax("evolve-new-column") => return refused("new_column", name),
            NewColumnPolicy::Ignore => new.iter_mut().for_each(|row| remove(row, name)),
            _ => rows.iter_mut().for_each(|row| row[name.as_str()] = Value::Null),
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        same = false;
        match removed_column {
            RemovedColumnPolicy::Fail if !lax("evolve-removed-column") => {
                return refused("removed_column", name);
            }
            RemovedColumnPolicy::Drop => rows.iter_mut().for_each(|row| remove(row, name)),
            _ => new.iter_mut().for_each(|row| row[name.as_str()] = Value::Null),
        }
    }
    for (name, value) in after
        .iter()
        .filter(|(name, value)| before.get(*name).is_some_and(|old| old.is_i64() && value.is_string()))
    {
        same = false;
        match type_change {
            TypeChangePolicy::Coerce => {}
            TypeChangePolicy::Null => new.iter_mut().for_each(|row| row[name.as_str()] = Value::Null),
            _ if lax("evolve-type-change") => {}
            _ => return refused("type_change", &format!("{name} = {value}")),
        }
    }
    // What else can differ in the schemas of this suite's rows is what may be NULL.
    let changed = same && fs::read(&store.schema).is_ok_and(|schema| schema != stream.schema);
    if changed && nullability_change == NullabilityChangePolicy::Fail && !lax("evolve-nullability") {
        return refused(
            "nullability_change",
            after.keys().find(|name| !["id", "name"].contains(&name.as_str())).map_or("", String::as_str),
        );
    }
    Ok(())
}

fn remove(row: &mut Value, name: &str) {
    row.as_object_mut().map(|fields| fields.remove(name));
}

fn write(config: &Value, request: &RunRequest) -> Outcome {
    let broken = broken(config).to_owned();
    let Some((stream, plan)) =
        request.stream.as_ref().and_then(|stream| Some((stream, stream.write.clone()?)))
    else {
        return Err(config_error("no stream to write"));
    };
    let folder = PathBuf::from(config["path"].as_str().unwrap_or_default());
    let store = Store {
        rows: folder.join(format!("{}.jsonl", stream.name)),
        receipt: folder.join(format!("{}-{}.receipt", stream.pipeline, stream.name)),
        schema: folder.join(format!("{}.schema", stream.name)),
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
    let mut first = !store.schema.exists();
    loop {
        let Some(event) = handed(config, batch_next())? else { break };
        match event {
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
                    if row["name"].as_str().is_some_and(|name| name.contains('\0')) {
                        refuse(stream, row, &broken)?;
                        counts.failed += 1;
                        continue;
                    }
                    pending.push(row);
                }
                if replace || first {
                    continue;
                }
                evolve(&store, stream, &mut rows, &mut pending)?;
            }
            BatchEvent::Checkpoint(checkpoint) => {
                let early = replace && !checkpoint.complete && broken != "replace-interrupted";
                if early {
                    continue;
                }
                let mut new = match broken.as_str() {
                    "checkpoints-repeated" => pending.clone(),
                    _ => std::mem::take(&mut pending),
                };
                if broken == "write-append" && plan.mode == WriteMode::Append {
                    new.extend(new.clone());
                }
                apply(&mut rows, new, &plan, &broken);
                store.save(&rows, &checkpoint, &stream.schema)?;
                first = false;
                let forgets = broken == "checkpoints-confirmed" && counts.checkpoints == 1;
                counts.checkpoints += 1;
                if !forgets {
                    // The rows are there, whatever becomes of the report.
                    let committed =
                        |cause| ConnectorError { commit: Some(CommitState::AfterCommitConfirmed), ..cause };
                    mark(CheckpointKind::Destination, checkpoint.id, checkpoint.cursor).map_err(committed)?;
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
