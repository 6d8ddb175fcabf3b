//! `rapidbyte connector test`: the conformance suite over one connector, as a table, a report, a certificate.

use std::fs;
use std::path::Path;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use rapidbyte_conformance::suite::Progress;
use rapidbyte_conformance::{
    Options, Outcome, Report, Severity, Suite, SuiteError, Verdict, certificate, junit, registry,
};
use rapidbyte_host::{Host, HostError};
use serde::Serialize;

use crate::args::{ReportFormat, TestArgs};
use crate::building::Building;
use crate::commands::use_cassettes;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::{Elapsed, plural};
use crate::report::Failure;
use crate::runtime;
use crate::settings::Settings;
use crate::table::{Align, Table};

pub fn test(host: &Host, args: &TestArgs, settings: &Settings, printer: &Printer) -> Result<Exit> {
    if args.list {
        return Ok(list(printer));
    }
    let report_to = match args.report.as_deref() {
        Some([format, file]) => Some((ReportFormat::parse(format)?, Path::new(file))),
        _ => None,
    };
    let options = Options {
        path: args.path.clone(),
        fixture: args.trial.config_file.clone(),
        config: args.trial.config.clone(),
        clauses: args.trial.clauses.clone(),
        seed: args.seed,
    };
    use_cassettes(host, &args.cassettes)?;
    let mut building = Building::new(printer);
    let suite =
        Suite::prepare(host, &options, &mut building).map_err(|error| refuse(error, &mut building))?;
    printer.status(
        Tone::Busy,
        "Testing",
        format_args!("{} against {}", suite.connector(), plural(suite.clause_count() as u64, "clause")),
    );
    let screen = Screen::new(settings, printer, suite.clause_count());
    let report = runtime::block_on(suite.run(&mut |progress| screen.show(&progress)))?;
    screen.clear();

    printer.data(table(&report));
    printer.json(&report);
    if let Some((format, file)) = report_to {
        let text = match format {
            ReportFormat::Junit => junit::junit(&report),
            ReportFormat::Json => pretty(&report),
        };
        write(file, &text)?;
    }
    if let Some(file) = &args.certificate {
        write(file, &pretty(&certificate::certificate(&report)))?;
    }
    let exit = conclude(&report, printer);
    // A clause may have made anything of a network that was another one than when it was recorded.
    host.as_recorded()?;
    Ok(exit)
}

/// Says how it ended as a whole.
pub(super) fn conclude(report: &Report, printer: &Printer) -> Exit {
    let [passed, failed, not_applicable, exempt] = report.counts();
    let tone = if report.passed { Tone::Good } else { Tone::Bad };
    printer.status(
        tone,
        if report.passed { "Conformant" } else { "Failed" },
        format_args!(
            "{passed} passed, {failed} failed, {not_applicable} not applicable, {exempt} exempt in {} (seed {}, network {})",
            Elapsed(std::time::Duration::from_secs_f64(report.seconds)),
            report.seed,
            report.network
        ),
    );
    if report.passed { Exit::Success } else { Exit::Connector }
}

/// What stands in the way of testing at all.
pub(super) fn refuse(error: SuiteError, building: &mut Building) -> anyhow::Error {
    match error {
        SuiteError::Host(error) => {
            building.explain(&error);
            HostError::into(error)
        }
        SuiteError::UnknownClause { .. } => Failure::usage("unknown_clause", error.to_string())
            .hint("`rapidbyte connector test --list` shows them")
            .into(),
        SuiteError::UnknownExemption { .. } => Failure::document("unknown_exemption", error.to_string())
            .hint("`rapidbyte connector test --list` shows the clauses")
            .into(),
        SuiteError::Scratch(ref cause) => {
            Failure::environment("scratch_folder", format!("{error}: {cause}")).into()
        }
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|source| HostError::Write { path: file.to_owned(), source })?;
    Ok(())
}

fn pretty(value: &impl Serialize) -> String {
    // Only a map with keys that are no strings could fail, and there is none.
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("\"{error}\""));
    format!("{text}\n")
}

/// The clauses themselves, without a connector.
fn list(printer: &Printer) -> Exit {
    #[derive(Serialize)]
    struct ClauseJson {
        name: &'static str,
        role: &'static str,
        severity: Severity,
        explanation: &'static str,
        hint: &'static str,
    }
    let clauses: Vec<ClauseJson> = registry::CLAUSES
        .iter()
        .map(|clause| ClauseJson {
            name: clause.name,
            role: registry::role_word(clause),
            severity: clause.severity,
            explanation: clause.explanation,
            hint: clause.hint,
        })
        .collect();
    let mut table = Table::new([
        ("clause", Align::Left),
        ("role", Align::Left),
        ("severity", Align::Left),
        ("promise", Align::Left),
    ]);
    for clause in &clauses {
        table.row([clause.name, clause.role, clause.severity.word(), clause.explanation].map(str::to_owned));
    }
    printer.data(table);
    printer.json(&clauses);
    Exit::Success
}

fn table(report: &Report) -> String {
    let mut table = Table::new([("clause", Align::Left), ("result", Align::Left), ("time", Align::Right)]);
    for outcome in &report.outcomes {
        let time = Elapsed(std::time::Duration::from_secs_f64(outcome.seconds)).to_string();
        table.row([outcome.clause.to_owned(), word(outcome).to_owned(), time]);
    }
    let mut text = table.to_string();
    for outcome in &report.outcomes {
        if let Some(explanation) = explain(outcome) {
            text.push_str(&format!("\n\n{explanation}"));
        }
    }
    text
}

/// What there is to say of a clause that did not pass.
pub(super) fn explain(outcome: &Outcome) -> Option<String> {
    let mut text = format!("{}: {}\n  {}", outcome.clause, word(outcome), outcome.verdict.message()?);
    let lines = [
        ("expected", outcome.expected.as_deref()),
        ("found", outcome.found.as_deref()),
        ("hint", outcome.hint),
    ];
    for (word, line) in lines {
        if let Some(line) = line {
            text.push_str(&format!("\n  {word:>8}: {line}"));
        }
    }
    Some(text)
}

/// A broken promise that only misleads people does not fail the connector.
fn word(outcome: &Outcome) -> &'static str {
    match (&outcome.verdict, outcome.severity) {
        (Verdict::Failed(_), Severity::Warning) => "warning",
        (verdict, _) => verdict.word(),
    }
}

/// A bar where somebody watches, a line for each clause that is not passed elsewhere.
pub(super) struct Screen<'p> {
    printer: &'p Printer,
    bar: Option<ProgressBar>,
}

impl<'p> Screen<'p> {
    pub(super) fn new(settings: &Settings, printer: &'p Printer, count: usize) -> Self {
        let bar = (settings.watched && !settings.quiet).then(|| {
            let bar = printer.bars().add(ProgressBar::new(count as u64));
            if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} [{bar:30}] {pos}/{len} {msg}") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Screen { printer, bar }
    }

    pub(super) fn show(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Started { clause, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_message(clause.name);
                }
            }
            Progress::Finished { outcome } => {
                if let Some(bar) = &self.bar {
                    bar.inc(1);
                }
                let (tone, verb) = match (&outcome.verdict, outcome.severity) {
                    (Verdict::Passed, _) => (Tone::Good, "Passed"),
                    (Verdict::Failed(_), Severity::Warning) => (Tone::Warning, "Warning"),
                    (Verdict::Failed(_), _) => (Tone::Bad, "Failed"),
                    (Verdict::NotApplicable(_), _) => (Tone::Busy, "Not asked"),
                    (Verdict::Exempt(_), _) => (Tone::Warning, "Exempt"),
                };
                // On a terminal the bar says how far it is; what passed is in the table.
                if self.bar.is_none() || outcome.verdict != Verdict::Passed {
                    self.printer.status(tone, verb, outcome.clause);
                }
            }
        }
    }

    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
