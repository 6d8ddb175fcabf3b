//! `rapidbyte connector build`: a crate becomes a component that runs anywhere, compiled for here.

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::Host;
use serde::Serialize;

use crate::building::Building;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::{Bytes, Elapsed};

pub fn build(host: &Host, path: &Path, debug: bool, printer: &Printer) -> Result<Exit> {
    let mut building = Building::new(printer);
    let report =
        host.build_connector(path, debug, &mut building).inspect_err(|error| building.explain(error))?;
    let built = &report.built;
    let age = if built.fresh { ", unchanged" } else { "" };
    printer.status(
        Tone::Good,
        "Component",
        format_args!("{} ({}{age})", built.manifest.id(), Bytes(built.size_bytes)),
    );
    if let Some(bytes) = report.code_bytes {
        let age = match report.compiled_in {
            Some(time) => format!("compiled in {}", Elapsed(time)),
            None => "unchanged".to_owned(),
        };
        printer.status(Tone::Good, "Native code", format_args!("{} ({age})", Bytes(bytes)));
    }
    printer.data(built.component.display());
    printer.json(&BuildJson {
        connector: built.manifest.id(),
        role: built.manifest.role.as_str(),
        component: built.component.display().to_string(),
        component_bytes: built.size_bytes,
        fresh: built.fresh,
        code: report.code.as_ref().map(|path| path.display().to_string()),
        code_bytes: report.code_bytes,
    });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct BuildJson {
    /// Name and version.
    connector: String,
    role: &'static str,
    component: String,
    component_bytes: u64,
    /// Nothing had to be compiled.
    fresh: bool,
    /// The code for this machine, and its size.
    code: Option<String>,
    code_bytes: Option<u64>,
}
