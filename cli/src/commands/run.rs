//! `rapidbyte run`: a pipeline, or every pipeline of a folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rapidbyte_host::Host;
use rapidbyte_host::core::ports::{Observer, RunStatus};
use rapidbyte_host::core::profile::RunProfile;
use rapidbyte_host::engine::{Cancellation, Fault, RuleAction, RunReport, StreamReport, Violation};
use rapidbyte_host::operations::run::RunOptions;
use serde::Serialize;

use crate::args::{PackageArgs, RunArgs};
use crate::building::Building;
use crate::commands::check::check_document;
use crate::commands::{folder, open, use_cassettes};
use crate::downloading::Downloads;
use crate::exit::Exit;
use crate::interrupt::{self, Interrupted};
use crate::memory;
use crate::printer::{Printer, Tone};
use crate::progress::Progress;
use crate::quantity::{Bytes, Count, Elapsed, per_second, plural};
use crate::report::{ErrorJson, Report};
use crate::runtime;
use crate::settings::Settings;
use crate::telemetry::{Told, show_profile};

pub fn run(host: &Host, args: &RunArgs, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let files = host.documents(&args.pipeline)?;
    use_cassettes(host, &args.cassettes)?;
    if args.dry_run {
        let checks = files.iter().map(|file| check_document(host, file, args.packages, settings, printer));
        return checks.into_iter().try_fold(Exit::Success, |exit, checked| Ok(exit.combine(checked?)));
    }
    let at_once = folder::at_once(host, &args.pipeline, args.side_by_side)?;
    let outcomes = runtime::block_on(async {
        let cancellation = Cancellation::new();
        let stop = cancellation.clone();
        let interrupted = interrupt::listen(printer, move || {
            stop.request();
        })
        .context("cannot listen for signals")?;
        let (cancellation, interrupted, many) = (&cancellation, &interrupted, files.len() > 1);
        let outcomes = folder::each(&files, at_once, cancellation, |file| async move {
            if many {
                printer.status(Tone::Busy, "Running", file.display());
            }
            let mut outcome =
                execute(host, &file, &args.streams, args.packages, settings, printer, cancellation).await;
            outcome.profiled = args.profile.is_some();
            if let (Some(page), Ok(report)) = (&args.profile, &outcome.result) {
                let page = page.as_deref().map(|page| of_several(page, &report.pipeline, many));
                show_profile(&report.pipeline, &report.profile, page.as_deref(), printer);
            }
            outcome.judged(interrupted)
        });
        anyhow::Ok(outcomes.await)
    })??;
    if outcomes.len() > 1 {
        total(&outcomes, printer);
    }

    let exit = outcomes.iter().fold(Exit::Success, |exit, outcome| exit.combine(outcome.exit));
    if args.pipeline.is_dir() {
        let pipelines: Vec<OutcomeJson<'_>> = outcomes.iter().map(Outcome::json).collect();
        let status = match exit {
            Exit::Success => RunStatus::Succeeded,
            Exit::Interrupted | Exit::Terminated => RunStatus::Stopped,
            _ => RunStatus::Failed,
        };
        printer.json(&FolderJson {
            status: status.as_str(),
            memory_peak_bytes: memory::peak_bytes(),
            pipelines,
        });
    } else if let Some(outcome) = outcomes.first() {
        printer.json(&outcome.json());
    }
    Ok(exit)
}

/// Where a pipeline's page goes: where several are run, each has its own, `profile-orders.html` for `profile.html`.
fn of_several(page: &Path, pipeline: &str, many: bool) -> PathBuf {
    if !many {
        return page.to_owned();
    }
    let stem = page.file_stem().unwrap_or_default().to_string_lossy();
    let extension = page.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    let safe = |character: char| {
        if character.is_alphanumeric() || "-_.".contains(character) { character } else { '_' }
    };
    let pipeline: String = pipeline.chars().map(safe).collect();
    page.with_file_name(format!("{stem}-{pipeline}{}", extension.unwrap_or_default()))
}

/// Says how many pipelines went well.
fn total(outcomes: &[Outcome], printer: &Printer) {
    let failed = outcomes.iter().filter(|outcome| outcome.exit != Exit::Success).count();
    let good = plural((outcomes.len() - failed) as u64, "pipeline");
    match failed {
        0 => printer.status(Tone::Good, "Finished", good),
        failed => printer.status(Tone::Bad, "Failed", format_args!("{failed} of {}", outcomes.len())),
    }
}

/// What became of one document.
pub struct Outcome {
    file: String,
    result: Result<RunReport, Report>,
    /// The profile is part of the result for machines.
    profiled: bool,
    pub exit: Exit,
}

/// Runs one document and says how it went.
pub async fn execute(
    host: &Host,
    file: &Path,
    streams: &[String],
    packages: PackageArgs,
    settings: &Settings,
    printer: &Printer,
    cancellation: &Cancellation,
) -> Outcome {
    let progress: Arc<dyn Observer> = Arc::new(Progress::new(printer, settings.watched));
    let (told, observer) = Told::begin(settings, progress);
    let options = RunOptions {
        streams: streams.to_vec(),
        observer: settings.faults.before(observer),
        cancellation: cancellation.clone(),
        packages: Downloads::options(packages, printer, settings.watched),
    };
    let mut building = Building::new(printer);
    let result = match open(host, file, printer) {
        Ok(document) => host.run(&document, options, &mut building).await,
        Err(error) => Err(error),
    };
    told.end(result.as_ref().map_err(ToString::to_string));
    let file = file.display().to_string();
    match result {
        Ok(report) => {
            let exit = summarise(&report, printer);
            Outcome { file, result: Ok(report), profiled: false, exit }
        }
        Err(error) => {
            building.explain(&error);
            let report = Report::new(&error.into());
            printer.error(&report);
            Outcome { file, exit: report.exit, profiled: false, result: Err(report) }
        }
    }
}

/// Says what went wrong and what was moved in all; answers the exit of it.
fn summarise(report: &RunReport, printer: &Printer) -> Exit {
    for warning in &report.warnings {
        printer.warning(warning);
    }
    let mut exit = Exit::Success;
    for stream in &report.streams {
        for warning in &stream.warnings {
            printer.warning(format_args!("stream `{}`: {warning}", stream.stream));
        }
        for violation in &stream.violations {
            printer.warning(format_args!("stream `{}`: {}", stream.stream, Broken(violation)));
        }
        if stream.records_skipped > 0 {
            let records = plural(stream.records_skipped, "record");
            printer.warning(format_args!("stream `{}`: {records} skipped", stream.stream));
        }
        if stream.records_dead_lettered > 0 {
            let records = plural(stream.records_dead_lettered, "dead letter");
            let next = "`rapidbyte dlq list` says why";
            printer.warning(format_args!("stream `{}`: {records}; {next}", stream.stream));
        }
        if let Some(fault) = &stream.error {
            let report = Report::of_fault(Some(&stream.stream), fault);
            exit = exit.combine(report.exit);
            printer.error(&report);
        }
    }
    let (tone, verb) = match report.status() {
        RunStatus::Succeeded => (Tone::Good, "Finished"),
        RunStatus::Stopped => (Tone::Warning, "Stopped"),
        RunStatus::Failed | RunStatus::Crashed | RunStatus::Running => (Tone::Bad, "Failed"),
    };
    let counters = report.counters();
    let elapsed = std::time::Duration::from_millis(report.duration_ms);
    let peak = memory::peak_bytes().map(|peak| format!("; memory peak {}", Bytes(peak))).unwrap_or_default();
    printer.status(
        tone,
        verb,
        format_args!(
            "{}: {}, {}, {} in {} ({} rows/s){peak}",
            report.pipeline,
            plural(report.streams.len() as u64, "stream"),
            plural(counters.records_written, "row"),
            Bytes(counters.bytes_written),
            Elapsed(elapsed),
            Count(per_second(counters.records_written, elapsed)),
        ),
    );
    exit
}

/// A broken rule in a sentence.
struct Broken<'a>(&'a Violation);

impl std::fmt::Display for Broken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Violation { column, rule, action, records, samples } = self.0;
        let done = match action {
            RuleAction::Fail | RuleAction::Warn => "",
            RuleAction::DropRow => ", dropped",
        };
        write!(f, "{} broke the contract `{rule}` of column `{column}`{done}", plural(*records, "record"))?;
        if samples.is_empty() { Ok(()) } else { write!(f, ": {}", samples.join(", ")) }
    }
}

impl Outcome {
    /// What did not end well because it was asked to end has the signal's exit: a compiler that the same Ctrl-C ended is
    /// not a connector that does not compile.
    fn judged(mut self, interrupted: &Interrupted) -> Self {
        let ended_well = self.result.as_ref().is_ok_and(|report| report.status() == RunStatus::Succeeded);
        if let (false, Some(exit)) = (ended_well, interrupted.exit()) {
            self.exit = exit;
        }
        self
    }

    pub fn json(&self) -> OutcomeJson<'_> {
        let run = self.result.as_ref().ok();
        OutcomeJson {
            file: &self.file,
            pipeline: run.map(|run| run.pipeline.as_str()),
            status: run.map_or("failed", |run| run.status().as_str()),
            error: self.result.as_ref().err().map(Report::json),
            records_read: run.map_or(0, |run| run.counters().records_read),
            records_written: run.map_or(0, |run| run.counters().records_written),
            bytes_read: run.map_or(0, |run| run.counters().bytes_read),
            bytes_written: run.map_or(0, |run| run.counters().bytes_written),
            seconds: run.map_or(0.0, |run| run.duration_ms as f64 / 1000.0),
            memory_peak_bytes: memory::peak_bytes(),
            profile: run.filter(|_| self.profiled).map(|run| &run.profile),
            streams: run.map(|run| run.streams.iter().map(StreamJson::new).collect()).unwrap_or_default(),
            warnings: run.map(|run| run.warnings.as_slice()).unwrap_or_default(),
        }
    }
}

/// The result for a folder.
#[derive(Serialize)]
struct FolderJson<'a> {
    /// `succeeded`, `failed` or `stopped`.
    status: &'static str,
    memory_peak_bytes: Option<u64>,
    pipelines: Vec<OutcomeJson<'a>>,
}

/// The result for a document.
#[derive(Serialize)]
pub struct OutcomeJson<'a> {
    file: &'a str,
    /// None: the document could not be read.
    pipeline: Option<&'a str>,
    /// `succeeded`, `failed` or `stopped`.
    status: &'static str,
    /// Why no stream began.
    error: Option<ErrorJson<'a>>,
    records_read: u64,
    records_written: u64,
    bytes_read: u64,
    bytes_written: u64,
    seconds: f64,
    /// Of the whole process.
    memory_peak_bytes: Option<u64>,
    /// What the stages did with their time, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a RunProfile>,
    streams: Vec<StreamJson<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct StreamJson<'a> {
    stream: &'a str,
    /// In how many it was read side by side.
    partitions: u32,
    status: &'static str,
    sync_mode: &'static str,
    write_mode: &'static str,
    /// False: the run was asked to end before this stream began.
    started: bool,
    /// It continued behind an earlier run's checkpoint.
    resumed: bool,
    records_read: u64,
    records_written: u64,
    records_skipped: u64,
    records_dead_lettered: u64,
    retries: u32,
    violations: &'a [Violation],
    bytes_read: u64,
    bytes_written: u64,
    checkpoints: u64,
    seconds: f64,
    rows_per_second: u64,
    guest_memory_peak_bytes: u64,
    error: Option<FaultJson<'a>>,
    warnings: &'a [String],
}

/// A stream's error: the contract's record with who said it.
#[derive(Serialize)]
struct FaultJson<'a> {
    class: &'static str,
    by: &'a str,
    category: &'static str,
    code: &'a str,
    message: &'a str,
    retryable: bool,
    details: Option<serde_json::Value>,
}

impl<'a> StreamJson<'a> {
    fn new(stream: &'a StreamReport) -> Self {
        let elapsed = std::time::Duration::from_millis(stream.duration_ms);
        StreamJson {
            stream: &stream.stream,
            partitions: stream.partitions,
            status: stream.status.as_str(),
            sync_mode: stream.sync_mode.as_str(),
            write_mode: stream.write_mode.as_str(),
            started: stream.started,
            resumed: stream.resumed,
            records_read: stream.counters.records_read,
            records_written: stream.counters.records_written,
            records_skipped: stream.records_skipped,
            records_dead_lettered: stream.records_dead_lettered,
            retries: stream.retries,
            violations: &stream.violations,
            bytes_read: stream.counters.bytes_read,
            bytes_written: stream.counters.bytes_written,
            checkpoints: stream.checkpoints,
            seconds: elapsed.as_secs_f64(),
            rows_per_second: per_second(stream.counters.records_written, elapsed),
            guest_memory_peak_bytes: stream.guest_bytes_peak,
            error: stream.error.as_ref().map(FaultJson::new),
            warnings: &stream.warnings,
        }
    }
}

impl<'a> FaultJson<'a> {
    fn new(fault: &'a Fault) -> Self {
        FaultJson {
            class: Exit::of_fault(fault).word(),
            by: &fault.by,
            category: fault.error.category.as_str(),
            code: &fault.error.code,
            message: &fault.error.message,
            retryable: fault.error.retryable,
            details: fault.error.details.as_deref().and_then(|details| serde_json::from_str(details).ok()),
        }
    }
}
