//! `rapidbyte registry remove`: an alias is forgotten.

use anyhow::Result;
use rapidbyte_host::HostError;
use rapidbyte_host::install::settings as config;

use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::report::Failure;
use crate::settings::Settings;

pub fn remove(alias: &str, settings: &Settings, printer: &Printer) -> Result<Exit> {
    if !config::remove_registry(&settings.config_path(), alias).map_err(HostError::from)? {
        return Err(Failure::usage("registry_unknown", format!("there is no registry `{alias}`"))
            .hint("`rapidbyte registry list` shows them")
            .into());
    }
    printer.status(Tone::Good, "Removed", alias);
    printer.json(&serde_json::json!({ "alias": alias }));
    Ok(Exit::Success)
}
