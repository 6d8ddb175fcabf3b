//! `rapidbyte registry list`: what the settings name.

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::install::RegistrySettings;
use serde::Serialize;

use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::table::{Align, Table};

pub fn list(host: &Host, printer: &Printer) -> Result<Exit> {
    let registries = &host.installer()?.registries;
    let settings = registries.settings();
    let is_default = |alias: &str| settings.default_registry.as_deref() == Some(alias);
    let mut table = Table::new([("alias", Align::Left), ("registry", Align::Left), ("default", Align::Left)]);
    for (alias, registry) in &settings.registries {
        let mark = if is_default(alias) { "yes" } else { "" };
        table.row([alias.clone(), registry.place.to_string(), mark.to_owned()]);
    }
    match table.is_empty() {
        true => printer.status(
            Tone::Busy,
            "Empty",
            "`rapidbyte registry add acme registry.example/acme` names one",
        ),
        false => printer.data(table),
    }
    let all = settings.registries.iter();
    printer.json(&RegistriesJson {
        registries: all
            .map(|(alias, registry)| RegistryJson::new(alias, registry, is_default(alias)))
            .collect(),
    });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct RegistriesJson<'a> {
    registries: Vec<RegistryJson<'a>>,
}

#[derive(Serialize)]
struct RegistryJson<'a> {
    alias: &'a str,
    url: String,
    default: bool,
    ca: Option<String>,
    plain_http: Option<bool>,
}

impl<'a> RegistryJson<'a> {
    fn new(alias: &'a str, registry: &RegistrySettings, default: bool) -> Self {
        RegistryJson {
            alias,
            url: registry.place.to_string(),
            default,
            ca: registry.ca.as_ref().map(|path| path.display().to_string()),
            plain_http: registry.plain_http,
        }
    }
}
