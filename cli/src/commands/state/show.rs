//! `rapidbyte state show`: how far every stream is, and how the last runs went.

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::core::ports::SavedPosition;
use rapidbyte_host::operations::state::StateReport;
use serde::Serialize;

use super::runs::RunJson;
use crate::commands::open;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::quantity::{Count, instant};
use crate::runtime;
use crate::table::{Align, Table};

pub fn show(host: &Host, pipeline: &Path, runs: u32, printer: &Printer) -> Result<Exit> {
    let document = open(host, pipeline, printer)?;
    let report = runtime::block_on(host.show_state(&document, runs))??;
    if report.exists {
        printer.data(positions(&report));
        if !report.runs.is_empty() {
            printer.data(format_args!("\n{}", history(&report)));
        }
    } else {
        printer.data(format_args!("{} has not run yet: there is no `{}`", report.pipeline, report.location));
    }
    printer.json(&StateJson {
        pipeline: &report.pipeline,
        location: report.location.clone(),
        positions: report.positions.iter().map(PositionJson::new).collect(),
        runs: report.runs.iter().map(RunJson::new).collect(),
    });
    Ok(Exit::Success)
}

fn positions(report: &StateReport) -> String {
    let mut table = Table::new([
        ("stream", Align::Left),
        ("checkpoint", Align::Right),
        ("cursor", Align::Left),
        ("position", Align::Left),
        ("saved", Align::Left),
    ]);
    for SavedPosition { key, checkpoint } in &report.positions {
        let field = checkpoint.cursor.as_ref().map_or("-", |cursor| &cursor.field).to_owned();
        let value = checkpoint.cursor.as_ref().map(|cursor| cursor.value.to_string());
        let position = match (checkpoint.reset, checkpoint.complete, value) {
            (true, _, _) => "from the beginning (reset)".to_owned(),
            (false, true, value) => value.unwrap_or_else(|| "complete".to_owned()),
            (false, false, Some(value)) => format!("{value} (unfinished)"),
            (false, false, None) => "unfinished".to_owned(),
        };
        let id = if checkpoint.reset { "-".to_owned() } else { checkpoint.id.to_string() };
        let stream = match key.partition {
            0 => key.stream.clone(),
            partition => format!("{} #{partition}", key.stream),
        };
        table.row([stream, id, field, position, instant(checkpoint.saved_at)]);
    }
    match table.is_empty() {
        true => format!("{} has no saved positions", report.pipeline),
        false => table.to_string(),
    }
}

fn history(report: &StateReport) -> Table {
    let mut table = Table::new([
        ("run", Align::Right),
        ("stream", Align::Left),
        ("status", Align::Left),
        ("started", Align::Left),
        ("rows", Align::Right),
        ("error", Align::Left),
    ]);
    for run in &report.runs {
        table.row([
            run.run_id.to_string(),
            run.stream.clone(),
            run.status.as_str().to_owned(),
            instant(run.started_at),
            Count(run.counters.records_written).to_string(),
            run.error.clone().unwrap_or_default(),
        ]);
    }
    table
}

#[derive(Serialize)]
struct StateJson<'a> {
    pipeline: &'a str,
    location: String,
    positions: Vec<PositionJson<'a>>,
    runs: Vec<RunJson<'a>>,
}

#[derive(Serialize)]
struct PositionJson<'a> {
    stream: &'a str,
    partition: u32,
    checkpoint: u64,
    cursor_field: Option<&'a str>,
    cursor_type: Option<&'static str>,
    cursor_value: Option<String>,
    complete: bool,
    reset: bool,
    saved_at: String,
}

impl<'a> PositionJson<'a> {
    fn new(position: &'a SavedPosition) -> Self {
        let cursor = position.checkpoint.cursor.as_ref();
        PositionJson {
            stream: &position.key.stream,
            partition: position.key.partition,
            checkpoint: position.checkpoint.id,
            cursor_field: cursor.map(|cursor| cursor.field.as_str()),
            cursor_type: cursor.map(|cursor| cursor.value.type_name()),
            cursor_value: cursor.map(|cursor| cursor.value.value_text()),
            complete: position.checkpoint.complete,
            reset: position.checkpoint.reset,
            saved_at: instant(position.checkpoint.saved_at),
        }
    }
}
