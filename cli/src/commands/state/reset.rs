//! `rapidbyte state reset`: lets the next run of a stream start from the beginning.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use rapidbyte_host::Host;
use serde::Serialize;

use crate::commands::open;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::runtime;

pub fn reset(host: &Host, pipeline: &Path, stream: Option<&str>, printer: &Printer) -> Result<Exit> {
    let document = open(host, pipeline, printer)?;
    let forgotten = runtime::block_on(host.reset_state(&document, stream))??;
    // A stream that is read in partitions has a position for each.
    let forgotten: BTreeSet<&str> = forgotten.iter().map(|key| key.stream.as_str()).collect();
    for stream in &forgotten {
        printer.status(Tone::Good, "Reset", stream);
    }
    if forgotten.is_empty() {
        printer.status(Tone::Good, "Reset", "nothing: no position was saved");
    }
    let name = &document.pipeline.name.value;
    printer.json(&ResetJson { pipeline: name, reset: forgotten.into_iter().collect() });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct ResetJson<'a> {
    pipeline: &'a str,
    /// The streams whose positions were forgotten.
    reset: Vec<&'a str>,
}
