//! `rapidbyte connectors verify`: one installed package against everything that it should agree with.

use anyhow::Result;
use rapidbyte_host::packages::reference::PackageRef;
use rapidbyte_host::{Host, HostError};

use super::project;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::runtime;

pub fn verify(host: &Host, package: &PackageRef, offline: bool, printer: &Printer) -> Result<Exit> {
    let project = project(host)?;
    let verifying = host.installer()?.verify(&project, package, offline);
    let verified = runtime::block_on(verifying)?.map_err(HostError::from)?;
    for fact in &verified.facts {
        printer.data(format_args!("  [OK] {}: {fact}", verified.installed.id()));
    }
    if let Some(warning) = &verified.warning {
        printer.warning(warning);
    }
    printer.json(&serde_json::json!({
        "connector": verified.installed.id(),
        "manifest": verified.installed.manifest.to_string(),
        "facts": verified.facts,
        "warning": verified.warning,
    }));
    Ok(Exit::Success)
}
