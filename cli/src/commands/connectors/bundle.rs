//! `rapidbyte connectors bundle`: packages in one file.

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::install::{AddOptions, Resolution};
use rapidbyte_host::packages::reference::PackageRef;
use rapidbyte_host::{Host, HostError};

use super::{add, project, review};
use crate::downloading::Downloads;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::{Bytes, plural};
use crate::runtime;
use crate::settings::Settings;

pub fn bundle(
    host: &Host,
    packages: Vec<PackageRef>,
    output: &Path,
    yes: bool,
    settings: &Settings,
    printer: &Printer,
) -> Result<Exit> {
    let project = project(host)?;
    let packages = if packages.is_empty() { add::everything(&project)? } else { packages };
    let installer = host.installer()?;
    let options = AddOptions { packages, how: Resolution::default(), allow_widening: false };
    let plan = runtime::block_on(installer.plan(&project, &options))?.map_err(HostError::from)?;
    let approved = review::review(host, plan, yes, printer)?;
    let downloads = Downloads::new(printer, settings.watched);
    let bundling = installer.bundle(&approved.plan().candidates, output, downloads.as_ref());
    let bundled = runtime::block_on(bundling)?.map_err(HostError::from)?;
    let size = std::fs::metadata(output).map(|file| file.len()).unwrap_or_default();
    let count = plural(bundled.len() as u64, "package");
    printer.status(Tone::Good, "Bundled", format_args!("{count} ({})", Bytes(size)));
    printer.data(output.display());
    let ids: Vec<String> = bundled.iter().map(|one| format!("{}@{}", one.name, one.version)).collect();
    printer
        .json(&serde_json::json!({ "file": output.display().to_string(), "bytes": size, "packages": ids }));
    Ok(Exit::Success)
}
