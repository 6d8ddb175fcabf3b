//! `rapidbyte init`: a new workspace.

use anyhow::Result;
use rapidbyte_host::Host;
use serde::Serialize;

use crate::args::InitArgs;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};

pub fn init(host: &Host, args: &InitArgs, printer: &Printer) -> Result<Exit> {
    let workspace = host.init_workspace(&args.folder)?;
    let folder = workspace.folder.display();
    printer.status(Tone::Good, "Created", format_args!("{folder} ({} files)", workspace.files.len()));
    printer.status(Tone::Good, "Next", format_args!("cd {folder}; README.md goes on"));
    printer.data(&folder);
    printer.json(&InitJson { folder: folder.to_string(), files: &workspace.files });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct InitJson<'a> {
    folder: String,
    /// Relative to `folder`.
    files: &'a [String],
}
