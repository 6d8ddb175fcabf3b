//! `rapidbyte state`: what is remembered between runs.

mod export;
mod import;
mod migrate;
mod reset;
mod runs;
mod show;

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::state::transfer::{Existing, Totals};
use serde::Serialize;

use crate::args::StateCommand;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::quantity::plural;
use crate::settings::Settings;

pub fn dispatch(host: &Host, command: StateCommand, settings: &Settings, printer: &Printer) -> Result<Exit> {
    match command {
        StateCommand::Show { pipeline, runs } => show::show(host, &pipeline, runs, printer),
        StateCommand::Reset { pipeline, stream, all: _ } => {
            reset::reset(host, &pipeline, stream.as_deref(), printer)
        }
        StateCommand::Runs(args) => runs::runs(host, args, printer),
        StateCommand::Export { pipeline, output } => {
            export::export(host, &pipeline, output.as_deref(), printer)
        }
        StateCommand::Import { pipeline, exported, overwrite } => {
            import::import(host, &pipeline, &exported, existing(overwrite), printer)
        }
        StateCommand::Migrate { pipeline, to, overwrite } => {
            migrate::migrate(host, &pipeline, &to, existing(overwrite), settings, printer)
        }
    }
}

fn existing(overwrite: bool) -> Existing {
    if overwrite { Existing::Overwritten } else { Existing::Kept }
}

/// `3 runs, 2 checkpoints, 1 value, 0 batches of dead letters`
fn amounts(totals: &Totals) -> String {
    let Totals { runs, checkpoints, values, dead_letters } = *totals;
    let batches = if dead_letters == 1 { "batch" } else { "batches" };
    format!(
        "{}, {}, {}, {dead_letters} {batches} of dead letters",
        plural(runs, "run"),
        plural(checkpoints, "checkpoint"),
        plural(values, "value")
    )
}

#[derive(Serialize)]
struct MovedJson<'a> {
    from: &'a str,
    to: &'a str,
    moved: Totals,
}
