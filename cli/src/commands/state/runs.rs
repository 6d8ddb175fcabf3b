//! `rapidbyte state runs`: the history.

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::core::ports::{RunFilter, RunRecord};
use rapidbyte_host::operations::state::HistoryOptions;
use serde::Serialize;

use crate::args::RunsArgs;
use crate::commands::open;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::quantity::{Count, instant};
use crate::runtime;
use crate::table::{Align, Table};

pub fn runs(host: &Host, args: RunsArgs, printer: &Printer) -> Result<Exit> {
    let document = open(host, &args.document, printer)?;
    let filter = RunFilter { pipeline: None, stream: args.stream, status: args.status.map(Into::into) };
    let options = HistoryOptions { pipeline: args.pipeline, all: args.all, filter, limit: args.limit };
    let runs = runtime::block_on(host.run_history(&document, &options))??;
    if runs.is_empty() {
        printer.data("no such run is remembered");
    } else {
        printer.data(table(&runs));
    }
    printer.json(&RunsJson { runs: runs.iter().map(RunJson::new).collect() });
    Ok(Exit::Success)
}

fn table(runs: &[RunRecord]) -> Table {
    let mut table = Table::new([
        ("run", Align::Right),
        ("pipeline", Align::Left),
        ("stream", Align::Left),
        ("status", Align::Left),
        ("started", Align::Left),
        ("finished", Align::Left),
        ("read", Align::Right),
        ("written", Align::Right),
        ("error", Align::Left),
    ]);
    for run in runs {
        table.row([
            run.run_id.to_string(),
            run.pipeline.clone(),
            run.stream.clone(),
            run.status.as_str().to_owned(),
            instant(run.started_at),
            run.finished_at.map_or_else(|| "-".to_owned(), instant),
            Count(run.counters.records_read).to_string(),
            Count(run.counters.records_written).to_string(),
            run.error.clone().unwrap_or_default(),
        ]);
    }
    table
}

#[derive(Serialize)]
struct RunsJson<'a> {
    runs: Vec<RunJson<'a>>,
}

/// One run of the history.
#[derive(Serialize)]
pub(super) struct RunJson<'a> {
    run_id: i64,
    pipeline: &'a str,
    stream: &'a str,
    status: &'static str,
    started_at: String,
    finished_at: Option<String>,
    records_read: u64,
    records_written: u64,
    bytes_read: u64,
    bytes_written: u64,
    error: Option<&'a str>,
}

impl<'a> RunJson<'a> {
    pub(super) fn new(run: &'a RunRecord) -> Self {
        RunJson {
            run_id: run.run_id,
            pipeline: &run.pipeline,
            stream: &run.stream,
            status: run.status.as_str(),
            started_at: instant(run.started_at),
            finished_at: run.finished_at.map(instant),
            records_read: run.counters.records_read,
            records_written: run.counters.records_written,
            bytes_read: run.counters.bytes_read,
            bytes_written: run.counters.bytes_written,
            error: run.error.as_deref(),
        }
    }
}
