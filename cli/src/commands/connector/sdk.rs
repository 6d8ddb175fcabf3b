//! `rapidbyte connector sdk`: where the SDK lies that scaffolded projects are built with.

use anyhow::Result;
use rapidbyte_host::Host;

use crate::exit::Exit;
use crate::printer::Printer;

pub fn sdk(host: &Host, printer: &Printer) -> Result<Exit> {
    let folder = host.unpack_sdk()?;
    printer.data(folder.display());
    printer.json(&serde_json::json!({ "sdk": folder.display().to_string() }));
    Ok(Exit::Success)
}
