//! `rapidbyte connectors gc`: what nothing installed needs is removed.

use anyhow::Result;
use rapidbyte_host::{Host, HostError};

use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::{Bytes, plural};

pub fn gc(host: &Host, printer: &Printer) -> Result<Exit> {
    let cleaned = host.installer()?.clean().map_err(HostError::from)?;
    printer.status(
        Tone::Good,
        "Removed",
        format_args!("{} ({})", plural(cleaned.blobs, "file"), Bytes(cleaned.bytes)),
    );
    printer.json(&serde_json::json!({ "files": cleaned.blobs, "bytes": cleaned.bytes }));
    Ok(Exit::Success)
}
