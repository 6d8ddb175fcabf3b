//! `rapidbyte connector dev`: each time a file is saved the connector is built and tested again, or a pipeline is run with it.
//! The screen shows the last time only; what is wrong stays there until it is mended.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rapidbyte_conformance::{Options, Suite, Verdict};
use rapidbyte_host::connector::sources;
use rapidbyte_host::engine::Cancellation;
use rapidbyte_host::operations::conformance::Candidate;
use rapidbyte_host::pipeline::fixture::FIXTURE_FILE_NAME;
use rapidbyte_host::pipeline::manifest::MANIFEST_FILE_NAME;
use rapidbyte_host::{Host, HostError};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::block_in_place;

use super::test::{self, Screen};
use crate::args::DevArgs;
use crate::building::Building;
use crate::commands::run;
use crate::exit::Exit;
use crate::interrupt::Signals;
use crate::printer::{Printer, Tone};
use crate::quantity::plural;
use crate::report::{ErrorJson, Failure, Report};
use crate::runtime;
use crate::settings::Settings;
use crate::watch::{Stamps, Watch};

/// Data that tests read lies here; when it changes they are worth another run.
const DATA_FOLDER: &str = "fixtures";
/// So many files are named when they changed.
const CHANGED_SHOWN: usize = 3;
/// To the top of an empty screen.
const CLEAR: &str = "\x1b[2J\x1b[H";

pub fn dev(args: &DevArgs, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let mut dev = Dev::new(args, settings, printer)?;
    runtime::block_on(async {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let mut enter = enter_key();
        let mut watch = Watch::new(vec![dev.folder.clone()], dev.documents.clone());
        let mut cause = Cause::Start;
        loop {
            dev.begin(&cause);
            let stop = Cancellation::new();
            let data = watch.stamps(|path| dev.is_data(path));
            let early = {
                let mut cycle = pin!(dev.cycle(&cause, data, &stop));
                let early = tokio::select! {
                    biased;
                    exit = signals.next() => Some(Next::End(exit)),
                    changed = watch.changed() => Some(Next::Cycle(Cause::Changed(changed))),
                    () = &mut cycle => None,
                };
                // A pipeline's run has to let go of what it holds; tests hold nothing.
                if early.is_some() && args.run.is_some() {
                    stop.request();
                    cycle.await;
                }
                early
            };
            let next = match early {
                Some(next) => next,
                None => {
                    watch.also(block_in_place(|| sources::folders(&dev.folder)));
                    dev.invite(watch.folder_count());
                    tokio::select! {
                        biased;
                        exit = signals.next() => Next::End(exit),
                        changed = watch.changed() => Next::Cycle(Cause::Changed(changed)),
                        Some(()) = enter.recv() => Next::Cycle(Cause::Asked),
                    }
                }
            };
            match next {
                Next::Cycle(next) => cause = next,
                // That is how it ends, and no failure.
                Next::End(Exit::Interrupted) => return Ok(Exit::Success),
                Next::End(exit) => return Ok(exit),
            }
        }
    })?
}

/// Why it is built once more.
enum Cause {
    Start,
    Changed(Vec<PathBuf>),
    Asked,
}

enum Next {
    Cycle(Cause),
    End(Exit),
}

struct Dev<'a> {
    args: &'a DevArgs,
    settings: &'a Settings,
    printer: &'a Printer,
    folder: PathBuf,
    /// Documents that decide what comes out, besides the connector's sources.
    documents: Vec<PathBuf>,
    cycles: u64,
    /// What the last outcome was reached with. None: it did not come so far.
    inputs: Option<Inputs>,
    last: &'static str,
}

/// What decides how a test or a run comes out: the component's digest, and the data.
type Inputs = (String, Stamps);

impl<'a> Dev<'a> {
    fn new(args: &'a DevArgs, settings: &'a Settings, printer: &'a Printer) -> Result<Self> {
        let folder = args.path.canonicalize().ok().filter(|folder| folder.join(MANIFEST_FILE_NAME).is_file());
        let folder = folder.ok_or_else(|| {
            let message = format!("`{}` is no folder with a `{MANIFEST_FILE_NAME}`", args.path.display());
            Failure::usage("connector_no_manifest", message)
                .hint("name the folder of a connector, or make one with `rapidbyte connector scaffold`")
        })?;
        let mut documents = vec![folder.join(FIXTURE_FILE_NAME)];
        for path in args.run.iter().chain(&args.trial.config_file) {
            let document = path.canonicalize();
            documents.push(document.map_err(|source| HostError::Read { path: path.clone(), source })?);
        }
        Ok(Dev { args, settings, printer, folder, documents, cycles: 0, inputs: None, last: "" })
    }

    /// Whether a file decides what comes out without being built into the component.
    fn is_data(&self, path: &Path) -> bool {
        self.documents.iter().any(|document| document == path)
            || path.starts_with(self.folder.join(DATA_FOLDER))
    }

    /// Begins a screen.
    fn begin(&self, cause: &Cause) {
        if self.settings.watched && !self.printer.quiet() {
            self.printer.write_error(CLEAR);
        }
        if let Cause::Changed(changed) = cause {
            let name = |path: &PathBuf| path.strip_prefix(&self.folder).unwrap_or(path).display().to_string();
            let mut names: Vec<String> = changed.iter().take(CHANGED_SHOWN).map(name).collect();
            if changed.len() > CHANGED_SHOWN {
                names.push(format!("{} more", changed.len() - CHANGED_SHOWN));
            }
            self.printer.status(Tone::Busy, "Changed", names.join(", "));
        }
    }

    /// Says what it waits for.
    fn invite(&self, folders: usize) {
        let verb = if self.args.run.is_some() { "runs" } else { "tests" };
        let folders = plural(folders as u64, "folder");
        self.printer.status(
            Tone::Busy,
            "Watching",
            format_args!("{folders}; Enter {verb} again, Ctrl-C ends"),
        );
    }

    /// Builds, and tests or runs what was built if that can come out another way than the last time.
    async fn cycle(&mut self, cause: &Cause, data: Stamps, stop: &Cancellation) {
        self.cycles += 1;
        let before = self.inputs.take();
        let began = Instant::now();
        let mut tool_time = Duration::ZERO;
        // Compiled code is cached on disk; all else begins anew.
        let host = Host::new(self.settings.host.clone());
        let mut building = Building::new(self.printer);
        let built = block_in_place(|| host.candidate(&self.folder, &mut building));
        let outcome = match built {
            Err(error) => {
                building.explain(&error);
                self.broken(&error.into())
            }
            Ok(candidate) => {
                tool_time = candidate.tool_time;
                let inputs = (candidate.digest.clone(), data);
                let outcome = if before.as_ref() == Some(&inputs) && !matches!(cause, Cause::Asked) {
                    self.unchanged()
                } else {
                    self.judge(&host, candidate, stop)
                        .await
                        .unwrap_or_else(|error| self.broken(&error.into()))
                };
                self.inputs = Some(inputs);
                outcome
            }
        };
        self.last = outcome.word;
        self.printer.json(&CycleJson::new(self.cycles, cause, &outcome, tool_time, began.elapsed()));
    }

    /// Tests or runs what was built.
    async fn judge(
        &self,
        host: &Host,
        candidate: Candidate,
        stop: &Cancellation,
    ) -> Result<Outcome, HostError> {
        if let Some(recording) = &self.args.replay {
            host.replay_network(recording)?;
        }
        let outcome = match &self.args.run {
            Some(pipeline) => self.run(host, pipeline, stop).await,
            None => self.test(host, candidate).await,
        };
        // A connector may have made anything of a network that was another one than when it was recorded.
        host.as_recorded()?;
        Ok(outcome)
    }

    async fn test(&self, host: &Host, candidate: Candidate) -> Outcome {
        let options = Options {
            path: self.folder.clone(),
            fixture: self.args.trial.config_file.clone(),
            config: self.args.trial.config.clone(),
            clauses: self.args.trial.clauses.clone(),
            ..Options::default()
        };
        let mut building = Building::new(self.printer);
        let suite = block_in_place(|| Suite::of_candidate(host, candidate, &options, &mut building));
        let suite = match suite {
            Ok(suite) => suite,
            Err(error) => return self.broken(&test::refuse(error, &mut building)),
        };
        let screen = Screen::new(self.settings, self.printer, suite.clause_count());
        let report = suite.run(&mut |progress| screen.show(&progress)).await;
        screen.clear();
        for outcome in report.outcomes.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Failed(_)))
        {
            if let Some(explanation) = test::explain(outcome) {
                self.printer.foreign_line(&format!("\n{explanation}"));
            }
        }
        if !report.passed {
            self.printer.foreign_line("");
        }
        test::conclude(&report, self.printer);
        let word = if report.passed { "passed" } else { "failed" };
        Outcome { word, report: serde_json::to_value(&report).ok(), ..Outcome::default() }
    }

    async fn run(&self, host: &Host, pipeline: &Path, stop: &Cancellation) -> Outcome {
        let outcome =
            run::execute(host, pipeline, &[], Default::default(), self.settings, self.printer, stop).await;
        let word = if outcome.exit == Exit::Success { "passed" } else { "failed" };
        Outcome { word, run: serde_json::to_value(outcome.json()).ok(), ..Outcome::default() }
    }

    /// The same component with the same data: it would come out the same.
    fn unchanged(&self) -> Outcome {
        self.printer.status(
            Tone::Good,
            "Unchanged",
            format_args!("the component and its data are what {} before", self.last),
        );
        Outcome { word: self.last, unchanged: true, ..Outcome::default() }
    }

    fn broken(&self, error: &anyhow::Error) -> Outcome {
        let report = Report::new(error);
        self.printer.error(&report);
        Outcome { word: "failed", error: Some(report), ..Outcome::default() }
    }
}

/// Each press of Enter, where somebody could press it.
fn enter_key() -> mpsc::UnboundedReceiver<()> {
    use std::io::IsTerminal;

    let (sender, receiver) = mpsc::unbounded_channel();
    if std::io::stdin().is_terminal() {
        // Reading cannot be ended; the thread goes with the process.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines() {
                if line.is_err() || sender.send(()).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// What one time came to.
#[derive(Default)]
struct Outcome {
    /// `passed` or `failed`.
    word: &'static str,
    unchanged: bool,
    report: Option<Value>,
    run: Option<Value>,
    error: Option<Report>,
}

/// A line for each time.
#[derive(Serialize)]
struct CycleJson<'a> {
    cycle: u64,
    /// The files because of which it was built again.
    changed: Vec<String>,
    outcome: &'static str,
    /// Component and data are those of the last time, whose outcome this is.
    unchanged: bool,
    /// In all.
    seconds: f64,
    /// Of these the compiler's: Cargo's, or another language's own tool's.
    compiler_seconds: f64,
    /// What the tests found, as `connector test` reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a Value>,
    /// What the pipeline did, as `run` reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a Value>,
    /// Why neither began.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson<'a>>,
}

impl<'a> CycleJson<'a> {
    fn new(cycle: u64, cause: &Cause, outcome: &'a Outcome, compiler: Duration, whole: Duration) -> Self {
        let changed = match cause {
            Cause::Changed(changed) => changed.as_slice(),
            Cause::Start | Cause::Asked => &[],
        };
        CycleJson {
            cycle,
            changed: changed.iter().map(|path| path.display().to_string()).collect(),
            outcome: outcome.word,
            unchanged: outcome.unchanged,
            seconds: whole.as_secs_f64(),
            compiler_seconds: compiler.as_secs_f64(),
            report: outcome.report.as_ref(),
            run: outcome.run.as_ref(),
            error: outcome.error.as_ref().map(Report::json),
        }
    }
}
