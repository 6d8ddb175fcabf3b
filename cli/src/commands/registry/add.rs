//! `rapidbyte registry add`: an alias for a registry, in `config.toml`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rapidbyte_host::HostError;
use rapidbyte_host::install::{RegistrySettings, settings as config};
use rapidbyte_host::packages::reference::RegistryRef;

use super::from_here;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::report::Failure;
use crate::settings::Settings;

pub struct AddOptions {
    pub alias: String,
    pub registry: RegistryRef,
    pub default: bool,
    pub ca: Option<PathBuf>,
    pub plain_http: bool,
}

pub fn add(options: AddOptions, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let AddOptions { alias, registry, default, ca, plain_http } = options;
    config::check_alias(&alias).map_err(|bad| {
        Failure::usage("invalid_alias", bad)
            .hint("an alias is lower-case letters, digits and dashes, such as `acme`")
    })?;
    if let RegistryRef::Alias(other) = &registry {
        return Err(Failure::usage("invalid_registry", format!("`{other}` is an alias, not a registry"))
            .hint("write `registry.example/acme` or `dir:./registry`")
            .into());
    }
    let ca = ca.map(std::path::absolute).transpose().context("there is no current folder")?;
    let registry =
        RegistrySettings { place: from_here(registry), ca, plain_http: plain_http.then_some(true) };
    let path = settings.config_path();
    config::add_registry(&path, &alias, &registry, default).map_err(HostError::from)?;
    let mark = if default { ", the default" } else { "" };
    printer.status(Tone::Good, "Added", format_args!("{alias}: {}{mark}", registry.place));
    printer.json(&serde_json::json!({
        "alias": alias, "url": registry.place.to_string(), "default": default, "config": path.display().to_string(),
    }));
    Ok(Exit::Success)
}
