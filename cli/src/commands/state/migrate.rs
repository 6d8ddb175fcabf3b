//! `rapidbyte state migrate`: the whole state is copied to another file or server.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::operations::state::StateTarget;
use rapidbyte_host::state::transfer::Existing;

use super::{MovedJson, amounts};
use crate::commands::open;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::report::Failure;
use crate::runtime;
use crate::settings::Settings;

pub fn migrate(
    host: &Host,
    pipeline: &Path,
    to: &str,
    existing: Existing,
    settings: &Settings,
    printer: &Printer,
) -> Result<Exit> {
    let target = target(to, settings)?;
    let document = open(host, pipeline, printer)?;
    let migration = runtime::block_on(host.migrate_state(&document, &target, existing))??;
    let (from, to) = (&migration.from, &migration.to);
    printer.status(Tone::Good, "Migrated", format_args!("{} to `{to}`", amounts(&migration.moved)));
    printer.status(
        Tone::Good,
        "Kept",
        format_args!("`{from}`: nothing was removed; now change `state:` in the documents"),
    );
    printer.json(&MovedJson { from, to, moved: migration.moved });
    Ok(Exit::Success)
}

fn target(to: &str, settings: &Settings) -> Result<StateTarget> {
    if let Some(name) = to.strip_prefix("env:") {
        let value = (settings.host.environment)(name);
        return value.map(StateTarget::Server).ok_or_else(|| {
            Failure::usage("variable_missing", format!("the environment has no variable `{name}`")).into()
        });
    }
    Ok(match to.starts_with("postgresql://") || to.starts_with("postgres://") {
        true => StateTarget::Server(to.to_owned()),
        false => StateTarget::File(PathBuf::from(to)),
    })
}
