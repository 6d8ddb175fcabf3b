//! `rapidbyte registry index`: the signed document that searching and listing go by, made anew.

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::operations::index::IndexOptions;
use serde::Serialize;

use crate::commands::key;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::plural;
use crate::runtime;
use crate::settings::Settings;

#[derive(Serialize)]
struct IndexJson<'a> {
    registry: &'a str,
    digest: String,
    signed: bool,
    packages: usize,
    versions: usize,
    expires_at: String,
    left_out: Vec<LeftOutJson<'a>>,
}

#[derive(Serialize)]
struct LeftOutJson<'a> {
    what: &'a str,
    why: &'a str,
}

pub fn index(
    host: &Host,
    options: IndexOptions,
    key: Option<&Path>,
    settings: &Settings,
    printer: &Printer,
) -> Result<Exit> {
    let key = key.map(|path| key::read(path, settings)).transpose()?;
    if key.is_none() {
        printer.warning("the index is not going to be signed; name a private key with `--key`");
    }
    let report = runtime::block_on(host.index_registry(options, key.as_ref(), &mut |_| {}))??;
    for left_out in &report.left_out {
        printer.warning(format_args!("`{}` is left out: {}", left_out.what, left_out.why));
    }
    let versions = report.index.packages.iter().map(|entry| entry.versions.len()).sum::<usize>();
    printer.status(
        Tone::Good,
        "Indexed",
        format_args!(
            "{} of {} in {}, good until {}",
            plural(versions as u64, "version"),
            plural(report.index.packages.len() as u64, "package"),
            report.registry,
            report.index.expires_at
        ),
    );
    printer.data(report.digest);
    printer.json(&IndexJson {
        registry: &report.registry,
        digest: report.digest.to_string(),
        signed: key.is_some(),
        packages: report.index.packages.len(),
        versions,
        expires_at: report.index.expires_at.to_string(),
        left_out: report
            .left_out
            .iter()
            .map(|left_out| LeftOutJson { what: &left_out.what, why: &left_out.why })
            .collect(),
    });
    Ok(Exit::Success)
}
