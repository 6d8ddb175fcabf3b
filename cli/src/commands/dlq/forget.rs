//! `rapidbyte dlq forget`: dead letters that were dealt with go.

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::Host;
use serde::Serialize;

use crate::commands::open;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::runtime;

pub fn forget(host: &Host, pipeline: &Path, stream: Option<&str>, printer: &Printer) -> Result<Exit> {
    let document = open(host, pipeline, printer)?;
    let batches = runtime::block_on(host.forget_dead_letters(&document, stream))??;
    match batches {
        0 => printer.status(Tone::Good, "Forgot", "nothing: there are no such dead letters"),
        1 => printer.status(Tone::Good, "Forgot", "1 batch of dead letters"),
        batches => printer.status(Tone::Good, "Forgot", format_args!("{batches} batches of dead letters")),
    }
    printer.json(&ForgottenJson { pipeline: &document.pipeline.name.value, batches });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct ForgottenJson<'a> {
    pipeline: &'a str,
    batches: u64,
}
