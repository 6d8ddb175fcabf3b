//! `rapidbyte connector yank`: a version that nobody is to choose any more.

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::operations::index::YankOptions;
use serde::Serialize;

use crate::commands::key;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::runtime;
use crate::settings::Settings;

#[derive(Serialize)]
struct YankJson {
    connector: String,
    yanked: bool,
    /// False: it was so before.
    changed: bool,
}

pub fn yank(
    host: &Host,
    options: YankOptions,
    key: Option<&Path>,
    settings: &Settings,
    printer: &Printer,
) -> Result<Exit> {
    let key = key.map(|path| key::read(path, settings)).transpose()?;
    let (id, undo) = (format!("{}@{}", options.name, options.version), options.undo);
    let changed = runtime::block_on(host.yank(options, key.as_ref(), &mut |_| {}))??.is_some();
    let verb = match (changed, undo) {
        (true, false) => "Yanked",
        (true, true) => "Restored",
        (false, _) => "Unchanged",
    };
    printer.status(Tone::Good, verb, &id);
    printer.json(&YankJson { connector: id, yanked: !undo, changed });
    Ok(Exit::Success)
}
