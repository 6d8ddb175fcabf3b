//! The rogue transform: puts a suffix behind each name, or breaks a promise.

wit_bindgen::generate!({ world: "rapidbyte-transform", path: "../../../../wit" });

#[path = "../../common.rs"]
mod common;

use common::*;
use exports::rapidbyte::connector::transform::Guest;
use serde_json::Value;

struct Transform;

/// `name: utf8` alone, which is not what flows.
const SCHEMA_NAME: &[u8] = include_bytes!("../../source/name.schema");

fn rows_of(frame: &Frame) -> Result<Vec<Value>, ConnectorError> {
    let text = frame.to_json()?;
    let parse = |line| {
        serde_json::from_str(line).map_err(|cause: serde_json::Error| config_error(&cause.to_string()))
    };
    text.lines().map(parse).collect()
}

fn transform(config: &Value, request: &RunRequest) -> Outcome {
    let broken = broken(config);
    let Some(stream) = &request.stream else { return Err(config_error("no stream")) };
    let suffix = config["suffix"].as_str().unwrap_or_default();
    let mut counts =
        TransformSummary { records_in: 0, records_out: 0, bytes_in: 0, bytes_out: 0, batches: 0 };
    let mut batch = 0;
    let mut held: Option<Frame> = None;
    loop {
        let Some(event) = handed(config, batch_next())? else { break };
        match event {
            BatchEvent::Frame(frame) => {
                counts.records_in += frame.records();
                counts.batches += 1;
                if frame.records() == 0 {
                    continue;
                }
                batch += 1;
                let mut rows = rows_of(&frame)?;
                for row in &mut rows {
                    let name = row["name"].as_str().unwrap_or_default();
                    row["name"] = match broken {
                        "transform-deterministic" => format!("{name}{suffix}{batch}{}", chance()).into(),
                        _ => format!("{name}{suffix}").into(),
                    };
                }
                if broken == "transform-order" {
                    rows.reverse();
                }
                let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
                let out = Frame::from_json(&stream.schema, &text)?;
                counts.records_out += out.records();
                // One batch behind: its checkpoint overtakes it.
                match (broken, held.take()) {
                    ("transform-checkpoints", late) => {
                        late.map(batch_emit).transpose()?;
                        held = Some(out);
                    }
                    _ => batch_emit(out)?,
                }
            }
            BatchEvent::Checkpoint(checkpoint) => {
                mark(CheckpointKind::Transform, checkpoint.id, checkpoint.cursor)?
            }
            BatchEvent::End => break,
        }
    }
    held.take().map(batch_emit).transpose()?;
    if broken == "transform-accounts" {
        counts.records_in -= 1;
    }
    Ok(RunSummary { transform: Some(counts), ..empty_summary(ConnectorRole::Transform) })
}

impl Guest for Transform {
    fn open(config_json: String) -> Result<Opened, ConnectorError> {
        open(
            &config_json,
            ConnectorRole::Transform,
            "rogue-transform",
            Capabilities::empty(),
            ("suffix", true),
        )
    }

    fn validate(session: u64) -> Result<ValidationReport, ConnectorError> {
        validate(session)
    }

    fn run(session: u64, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let config = config(session)?;
        begin(&config, &request, &[RunPhase::Discover, RunPhase::Transform])?;
        if request.phase == RunPhase::Discover {
            let Some(stream) = request.stream else { return Err(config_error("no stream")) };
            let schema = match broken(&config) {
                "transform-schema" => SCHEMA_NAME.to_vec(),
                _ => stream.schema,
            };
            let out = CatalogStream {
                name: stream.name,
                schema,
                primary_key: vec![],
                cursor_fields: vec![],
                sync_modes: vec![],
                estimated_rows: None,
                estimated_bytes: None,
            };
            let catalog = Some(Catalog { streams: vec![out] });
            return Ok(RunSummary { catalog, ..empty_summary(ConnectorRole::Transform) });
        }
        transform(&config, &request)
    }

    fn close(session: u64) -> Result<(), ConnectorError> {
        close(session)
    }
}

export!(Transform);
