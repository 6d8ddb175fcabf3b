//! `rapidbyte connectors remove`: off this machine and out of the lock.

use anyhow::Result;
use rapidbyte_host::packages::reference::PackageRef;
use rapidbyte_host::{Host, HostError};

use super::project;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};

pub fn remove(host: &Host, packages: &[PackageRef], printer: &Printer) -> Result<Exit> {
    let project = project(host)?;
    let mut removed = Vec::new();
    for package in packages {
        let gone = host.installer()?.remove(&project, package).map_err(HostError::from)?;
        if gone.is_empty() {
            printer.status(Tone::Good, "Removed", format_args!("{} from the lock", package.name));
        }
        for installed in gone {
            printer.status(Tone::Good, "Removed", installed.id());
            removed.push(installed.id());
        }
    }
    printer.json(&serde_json::json!({ "removed": removed }));
    Ok(Exit::Success)
}
