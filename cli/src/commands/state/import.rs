//! `rapidbyte state import`: an exported state is read.

use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Result;
use rapidbyte_host::state::transfer::Existing;
use rapidbyte_host::{Host, HostError};

use super::{MovedJson, amounts};
use crate::commands::open;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::runtime;

pub fn import(
    host: &Host,
    pipeline: &Path,
    exported: &Path,
    existing: Existing,
    printer: &Printer,
) -> Result<Exit> {
    let document = open(host, pipeline, printer)?;
    let from = exported.display().to_string();
    let reader: Box<dyn BufRead + Send> = match from.as_str() {
        "-" => Box::new(BufReader::new(std::io::stdin())),
        _ => {
            let file = std::fs::File::open(exported);
            Box::new(BufReader::new(
                file.map_err(|source| HostError::Read { path: exported.to_owned(), source })?,
            ))
        }
    };
    let moved = runtime::block_on(host.import_state(&document, existing, reader))??;
    let (to, moved) = (&moved.location, moved.totals);
    printer.status(Tone::Good, "Imported", format_args!("{} into `{to}`", amounts(&moved)));
    printer.json(&MovedJson { from: &from, to, moved });
    Ok(Exit::Success)
}
