//! `rapidbyte connectors list`: what is installed.

use anyhow::Result;
use rapidbyte_host::{Host, HostError};
use serde::Serialize;

use super::{InstalledJson, project};
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::Bytes;
use crate::table::{Align, Table};

pub fn list(host: &Host, printer: &Printer) -> Result<Exit> {
    let listed = host.installer()?.list(&project(host)?).map_err(HostError::from)?;
    let mut table = Table::new([
        ("connector", Align::Left),
        ("version", Align::Left),
        ("role", Align::Left),
        ("size", Align::Right),
        ("registry", Align::Left),
        ("signed by", Align::Left),
    ]);
    for one in &listed {
        let installed = &one.installed;
        let mark = if one.locked { "*" } else { "" };
        table.row([
            installed.name.clone(),
            format!("{}{mark}", installed.version),
            installed.role.clone(),
            Bytes(installed.component_bytes).to_string(),
            one.registry.clone(),
            installed.signer.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    match table.is_empty() {
        true => printer.status(Tone::Busy, "Empty", "`rapidbyte connectors add NAME` installs one"),
        false => printer.data(table),
    }
    let connectors = listed.iter();
    printer.json(&ListJson {
        connectors: connectors
            .map(|one| ListedJson { installed: InstalledJson::new(&one.installed), locked: one.locked })
            .collect(),
    });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct ListJson<'a> {
    connectors: Vec<ListedJson<'a>>,
}

#[derive(Serialize)]
struct ListedJson<'a> {
    #[serde(flatten)]
    installed: InstalledJson<'a>,
    locked: bool,
}
