//! `rapidbyte state export`: the whole state as a file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rapidbyte_host::{Host, HostError};

use super::{MovedJson, amounts};
use crate::commands::open;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::runtime;

/// Written beside the file until it is whole.
const UNFINISHED: &str = ".unfinished";

pub fn export(host: &Host, pipeline: &Path, output: Option<&Path>, printer: &Printer) -> Result<Exit> {
    let document = open(host, pipeline, printer)?;
    let Some(output) = output else {
        let moved = runtime::block_on(host.export_state(&document, std::io::stdout()))??;
        printer.status(Tone::Good, "Exported", amounts(&moved.totals));
        return Ok(Exit::Success);
    };
    let mut unfinished = output.to_owned().into_os_string();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    let fail = |source| HostError::Write { path: output.to_owned(), source };
    let file = create_private(&unfinished).map_err(fail)?;
    let durable = file.try_clone().map_err(fail)?;
    let exported = runtime::block_on(host.export_state(&document, file))?;
    let finish = || durable.sync_all().and_then(|()| std::fs::rename(&unfinished, output));
    let finished = match exported {
        Ok(moved) => finish().map(|()| moved).map_err(fail),
        Err(error) => Err(error),
    };
    let moved = finished.inspect_err(|_| {
        let _ = std::fs::remove_file(&unfinished);
    })?;
    printer.status(
        Tone::Good,
        "Exported",
        format_args!("{} to `{}`", amounts(&moved.totals), output.display()),
    );
    printer.json(&MovedJson {
        from: &moved.location,
        to: &output.display().to_string(),
        moved: moved.totals,
    });
    Ok(Exit::Success)
}

/// Readable for its owner only: it holds data of the user's systems.
fn create_private(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}
