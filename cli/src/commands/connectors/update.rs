//! `rapidbyte connectors update`: newer packages in the lock, as far as they are compatible.

use anyhow::Result;
use rapidbyte_host::{Host, HostError};

use super::{add, project};
use crate::args::UpdateArgs;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::runtime;
use crate::settings::Settings;

pub fn update(host: &Host, args: UpdateArgs, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let project = project(host)?;
    let planning = host.installer()?.plan_update(&project, &args.packages, args.allow_widening);
    let plan = runtime::block_on(planning)?.map_err(HostError::from)?;
    for candidate in &plan.candidates {
        let before = candidate.before.as_ref().map(|before| &before.version);
        let now = &candidate.described.manifest.version;
        match before {
            Some(before) if before == now => printer.status(Tone::Good, "Unchanged", candidate.id()),
            Some(before) => {
                printer.status(Tone::Busy, "Updating", format_args!("{} from {before}", candidate.id()))
            }
            None => printer.status(Tone::Busy, "Adding", candidate.id()),
        }
    }
    let installed = add::complete(host, plan, args.yes, settings, printer)?;
    add::report(&project, &installed, printer);
    Ok(Exit::Success)
}
