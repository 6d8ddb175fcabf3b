//! `rapidbyte dlq replay`: dead letters whose cause is mended are written once more.

use std::sync::Arc;

use anyhow::{Context, Result};
use rapidbyte_host::Host;
use rapidbyte_host::core::ports::Observer;
use rapidbyte_host::engine::Cancellation;
use rapidbyte_host::operations::letters::Replayed;
use rapidbyte_host::operations::run::RunOptions;

use crate::args::ReplayArgs;
use crate::building::Building;
use crate::commands::open;
use crate::downloading::Downloads;
use crate::exit::Exit;
use crate::interrupt;
use crate::printer::{Printer, Tone};
use crate::progress::Progress;
use crate::quantity::plural;
use crate::report::Report;
use crate::runtime;
use crate::settings::Settings;

pub fn replay(host: &Host, args: ReplayArgs, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let document = open(host, &args.pipeline, printer)?;
    let mut building = Building::new(printer);
    let replayed = runtime::block_on(async {
        let cancellation = Cancellation::new();
        let stop = cancellation.clone();
        let _listening = interrupt::listen(printer, move || {
            stop.request();
        })
        .context("cannot listen for signals")?;
        let progress: Arc<dyn Observer> = Arc::new(Progress::new(printer, settings.watched));
        let options = RunOptions {
            streams: Vec::new(),
            observer: settings.faults.before(progress),
            cancellation,
            packages: Downloads::options(args.packages, printer, settings.watched),
        };
        let replaying = host.replay_letters(&document, args.stream.as_deref(), options, &mut building);
        anyhow::Ok(replaying.await)
    })??;
    let replayed = replayed.inspect_err(|error| building.explain(error))?;
    let exit = say(&replayed, printer);
    printer.json(&replayed);
    Ok(exit)
}

fn say(replayed: &Replayed, printer: &Printer) -> Exit {
    let mut exit = Exit::Success;
    for stream in &replayed.streams {
        if let Some(fault) = &stream.error {
            let report = Report::of_fault(Some(&stream.stream), fault);
            exit = exit.combine(report.exit);
            printer.error(&report);
        }
    }
    if replayed.records_refused > 0 {
        let records = plural(replayed.records_refused, "record");
        printer.warning(format_args!("{records} refused again; `rapidbyte dlq list` says why"));
    }
    if replayed.records_left > 0 {
        let records = plural(replayed.records_left, "record");
        let why = "their source refused them, or the pipeline does not move their stream any more";
        printer.warning(format_args!("{records} left: {why}"));
    }
    let tone = if exit == Exit::Success { Tone::Good } else { Tone::Bad };
    printer.status(tone, "Replayed", plural(replayed.records_written, "record"));
    exit
}
