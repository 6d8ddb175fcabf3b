//! Telemetry of this process: made from the environment and the user's settings where a pipeline is run, ended before the
//! process does.

use std::path::Path;
use std::sync::Arc;

use rapidbyte_host::core::ports::{Observer, RunStatus};
use rapidbyte_host::core::profile::RunProfile;
use rapidbyte_host::engine::RunReport;
use rapidbyte_host::telemetry::{
    Config, MemoryProbe, ProcessMemory, RunObserver, RunOutcome, Telemetry, profile,
};

use crate::args::Command;
use crate::memory;
use crate::printer::{Printer, Tone};
use crate::settings::Settings;

/// What exports, if somebody asked for it and the command moves data. What is wrong with it is said and stops nothing.
pub fn start(settings: &Settings, command: &Command, printer: &Printer) -> Option<Telemetry> {
    if !matches!(command, Command::Run(args) if !args.dry_run) {
        return None;
    }
    let host = &settings.host;
    let config = match Config::resolve(&host.packages.global.telemetry, &*host.environment) {
        Ok(config) => config?,
        Err(error) => {
            printer.warning(format_args!("telemetry is off: {error}"));
            return None;
        }
    };
    let memory: MemoryProbe = Arc::new(|| {
        let memory = memory::now()?;
        Some(ProcessMemory { current_bytes: memory.current_bytes, peak_bytes: memory.peak_bytes })
    });
    match Telemetry::start(&config, host.redactor.clone(), Some(memory)) {
        Ok(telemetry) => Some(telemetry),
        Err(error) => {
            printer.warning(format_args!("telemetry is off: {error}"));
            None
        }
    }
}

/// Exports what is left and says what did not arrive.
pub fn finish(telemetry: Option<Telemetry>, printer: &Printer) {
    if let Some(undelivered) = telemetry.and_then(Telemetry::finish) {
        printer.warning(undelivered);
    }
}

/// One run that is told, or not.
pub struct Told(Option<Arc<RunObserver>>);

impl Told {
    /// From here on a run is told, where telemetry is on. Answers what the run is to report to.
    pub fn begin(settings: &Settings, next: Arc<dyn Observer>) -> (Self, Arc<dyn Observer>) {
        match &settings.telemetry {
            None => (Told(None), next),
            Some(telemetry) => {
                let run = telemetry.run(next);
                (Told(Some(run.clone())), run)
            }
        }
    }

    /// The run has ended, with a report or without.
    pub fn end(&self, result: Result<&RunReport, String>) {
        let Some(run) = &self.0 else { return };
        run.finish(match &result {
            Ok(report) => {
                RunOutcome { pipeline: Some(&report.pipeline), status: report.status(), error: None }
            }
            Err(error) => RunOutcome { pipeline: None, status: RunStatus::Failed, error: Some(error) },
        });
    }
}

/// Shows a run's profile, or writes it as a page.
pub fn show_profile(pipeline: &str, run: &RunProfile, page: Option<&Path>, printer: &Printer) {
    let Some(path) = page else {
        printer.data(profile::text(run).trim_end());
        return;
    };
    match std::fs::write(path, profile::html(pipeline, run)) {
        Ok(()) => {
            printer.status(Tone::Good, "Profile", format_args!("{} ({})", path.display(), run.held_back_by));
        }
        // The data is moved; a page that cannot be written takes nothing of that back.
        Err(error) => {
            printer.warning(format_args!("the profile cannot be written to `{}`: {error}", path.display()))
        }
    }
}
