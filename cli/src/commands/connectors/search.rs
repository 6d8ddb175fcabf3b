//! `rapidbyte connectors search`: what registries have, by their indexes.

use anyhow::Result;
use rapidbyte_host::packages::reference::RegistryRef;
use rapidbyte_host::{Host, HostError};
use serde::Serialize;

use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::plural;
use crate::runtime;
use crate::table::{Align, Table};

pub fn search(host: &Host, term: &str, registry: Option<&RegistryRef>, printer: &Printer) -> Result<Exit> {
    let searching = host.installer()?.search(term, registry);
    let searched = runtime::block_on(searching)?.map_err(HostError::from)?;
    let found = &searched.found;
    for (registry, error) in &searched.failed {
        printer.warning(format_args!("`{registry}` was not searched: {error}"));
    }
    let mut table = Table::new([
        ("connector", Align::Left),
        ("version", Align::Left),
        ("role", Align::Left),
        ("registry", Align::Left),
        ("installed", Align::Left),
        ("description", Align::Left),
    ]);
    let mut connectors = Vec::new();
    for one in found {
        let newest = one.entry.newest().map(|release| release.version.to_string());
        let installed: Vec<String> = one.installed.iter().map(ToString::to_string).collect();
        table.row([
            one.entry.name.clone(),
            newest.clone().unwrap_or_else(|| "withdrawn".to_owned()),
            one.entry.role.as_str().to_owned(),
            one.registry.clone(),
            if installed.is_empty() { "-".to_owned() } else { installed.join(", ") },
            one.entry.description.clone(),
        ]);
        let versions = one.entry.versions.iter().map(|release| VersionJson {
            version: release.version.to_string(),
            published_at: release.published_at.to_string(),
            yanked: release.yanked,
        });
        connectors.push(FoundJson {
            name: &one.entry.name,
            newest,
            role: one.entry.role.as_str(),
            registry: &one.registry,
            description: &one.entry.description,
            installed,
            versions: versions.collect(),
        });
    }
    match table.is_empty() {
        true => {
            printer.status(Tone::Warning, "Nothing", format_args!("has `{term}` in its name or description"))
        }
        false => {
            printer.data(table);
            printer.status(Tone::Good, "Found", plural(found.len() as u64, "connector"));
        }
    }
    let failed = searched.failed.iter();
    let not_searched =
        failed.map(|(registry, error)| NotSearchedJson { registry, code: error.code() }).collect();
    printer.json(&SearchJson { connectors, not_searched });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct SearchJson<'a> {
    connectors: Vec<FoundJson<'a>>,
    not_searched: Vec<NotSearchedJson<'a>>,
}

#[derive(Serialize)]
struct NotSearchedJson<'a> {
    registry: &'a str,
    code: &'a str,
}

#[derive(Serialize)]
struct FoundJson<'a> {
    name: &'a str,
    /// None: all were withdrawn.
    newest: Option<String>,
    role: &'static str,
    registry: &'a str,
    description: &'a str,
    installed: Vec<String>,
    versions: Vec<VersionJson>,
}

#[derive(Serialize)]
struct VersionJson {
    version: String,
    published_at: String,
    yanked: bool,
}
