//! `rapidbyte check`: everything that can be known before anything moves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::engine::{Cancellation, CheckItem, CheckStatus, CheckSubject};
use rapidbyte_host::operations::check::{Checked, ConnectorGrants, Estimate, SchemaChange};
use rapidbyte_host::pipeline::DocumentErrors;
use serde::Serialize;

use crate::args::{CheckArgs, PackageArgs};
use crate::building::Building;
use crate::commands::{open, use_cassettes};
use crate::downloading::Downloads;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::progress::Progress;
use crate::quantity::{Elapsed, instant, plural};
use crate::runtime;
use crate::settings::Settings;

pub fn check(host: &Host, args: &CheckArgs, settings: &Settings, printer: &Printer) -> Result<Exit> {
    use_cassettes(host, &args.cassettes)?;
    check_document(host, &args.pipeline, args.packages, settings, printer)
}

/// Checks one document and says what a run of it would do.
pub fn check_document(
    host: &Host,
    file: &Path,
    packages: PackageArgs,
    settings: &Settings,
    printer: &Printer,
) -> Result<Exit> {
    let mut building = Building::new(printer);
    let document = open(host, file, printer)?;
    let observer = Arc::new(Progress::new(printer, false));
    let packages = Downloads::options(packages, printer, settings.watched);
    let checking = host.check(&document, observer, Cancellation::new(), &packages, &mut building);
    let checked = runtime::block_on(checking)?.inspect_err(|error| building.explain(error))?;
    let report = &checked.report;
    for item in &report.items {
        printer.data(line(item));
    }
    for change in &checked.schema_changes {
        printer.data(planned(change));
    }
    for estimate in &checked.estimates {
        printer.status(Tone::Good, "Estimate", estimated(estimate));
    }
    if let Some(run) = &report.last_run {
        let when = instant(run.finished_at.unwrap_or(run.started_at));
        printer.status(
            Tone::Good,
            "Last run",
            format_args!("{} of `{}` at {when}", run.status.as_str(), run.stream),
        );
    }
    for granted in &checked.connectors {
        printer.status(Tone::Good, "Granted", grants(granted));
    }
    if let Some(document) = &checked.document {
        printer.document_errors(document);
    }
    let exit = report.items.iter().fold(Exit::Success, |exit, item| exit.combine(exit_of(item)));
    printer.json(&CheckJson::new(&checked, exit));
    Ok(exit)
}

/// `  [OK] source-file@0.1.0: 2 files`, with the next step below where there is one.
fn line(item: &CheckItem) -> String {
    let mark = match item.status {
        CheckStatus::Ok => "[OK]",
        CheckStatus::Warn => "[WARN]",
        CheckStatus::Fail => "[FAIL]",
    };
    let subject = match &item.subject {
        CheckSubject::Source(name) | CheckSubject::Transform(name) | CheckSubject::Destination(name) => {
            name.clone()
        }
        CheckSubject::Stream(name) => format!("stream `{name}`"),
        CheckSubject::Pipeline(name) => format!("pipeline `{name}`"),
        CheckSubject::State(location) => format!("state ({location})"),
    };
    let mut line = format!("{mark:>6} {subject}: {}", item.message);
    if let Some(hint) = &item.hint {
        line.push_str(&format!("\n       hint: {hint}"));
    }
    line
}

/// `[PLAN] stream `orders`: add column `note` text`
fn planned(change: &SchemaChange) -> String {
    let SchemaChange { stream, column, action, from, to, .. } = change;
    let types = match (from, to) {
        (Some(from), Some(to)) => format!(" ({from} → {to})"),
        (Some(only), None) | (None, Some(only)) => format!(" ({only})"),
        (None, None) => String::new(),
    };
    format!("[PLAN] stream `{stream}`: {action} column `{column}`{types}")
}

/// `orders: about 1,200,000 rows in 4.1 s, in up to 4 partitions`
fn estimated(estimate: &Estimate) -> String {
    let bound = if estimate.continues { "at most" } else { "about" };
    let rows = match estimate.rows {
        Some(rows) => format!("{bound} {}", plural(rows, "row")),
        None => "rows unknown".to_owned(),
    };
    let time = match estimate.seconds {
        Some(seconds) => {
            format!(" in {}, as fast as before", Elapsed(Duration::from_secs_f64(seconds.min(1e9))))
        }
        None => String::new(),
    };
    let partitions = match estimate.partitions_max {
        // How far it is split depends on how large it is.
        count if count < 2 || estimate.rows.is_none() => String::new(),
        count => format!(", in up to {count} partitions"),
    };
    format!("{}: {rows}{time}{partitions}", estimate.stream)
}

/// `source-postgres@0.1.0: 127.0.0.1:5432`
fn grants(granted: &ConnectorGrants) -> String {
    let environment = granted.environment.iter().map(|name| format!("${name}"));
    let all: Vec<String> =
        granted.endpoints.iter().chain(&granted.folders).cloned().chain(environment).collect();
    match all.is_empty() {
        true => format!("{}: nothing", granted.connector),
        false => format!("{}: {}", granted.connector, all.join(", ")),
    }
}

/// How a run would end that fails over this.
fn exit_of(item: &CheckItem) -> Exit {
    match (item.status, &item.subject, &item.error) {
        (CheckStatus::Ok | CheckStatus::Warn, _, _) => Exit::Success,
        (CheckStatus::Fail, CheckSubject::State(_), _) => Exit::Environment,
        (CheckStatus::Fail, _, Some(error)) => Exit::of_connector(error),
        (CheckStatus::Fail, _, None) => Exit::Document,
    }
}

#[derive(Serialize)]
struct CheckJson<'a> {
    pipeline: &'a str,
    /// `ok`, `warn` or `fail`.
    status: CheckStatus,
    /// The class of the exit code.
    class: &'static str,
    items: &'a [CheckItem],
    connectors: &'a [ConnectorGrants],
    schema_changes: &'a [SchemaChange],
    estimates: &'a [Estimate],
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostics: Option<&'a DocumentErrors>,
    last_run: Option<LastRunJson>,
}

#[derive(Serialize)]
struct LastRunJson {
    status: &'static str,
    started_at: String,
    finished_at: Option<String>,
}

impl<'a> CheckJson<'a> {
    fn new(checked: &'a Checked, exit: Exit) -> Self {
        let report = &checked.report;
        CheckJson {
            pipeline: &report.pipeline,
            status: report.status(),
            class: exit.word(),
            items: &report.items,
            connectors: &checked.connectors,
            schema_changes: &checked.schema_changes,
            estimates: &checked.estimates,
            diagnostics: checked.document.as_ref(),
            last_run: report.last_run.as_ref().map(|run| LastRunJson {
                status: run.status.as_str(),
                started_at: instant(run.started_at),
                finished_at: run.finished_at.map(instant),
            }),
        }
    }
}
