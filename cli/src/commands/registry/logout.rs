//! `rapidbyte registry logout`: credentials are forgotten.

use anyhow::Result;
use rapidbyte_host::packages::reference::RegistryRef;
use rapidbyte_host::{Host, HostError};

use crate::exit::Exit;
use crate::printer::{Printer, Tone};

pub fn logout(host: &Host, registry: &RegistryRef, printer: &Printer) -> Result<Exit> {
    let registries = &host.installer()?.registries;
    let server = registries.host_of(registry).map_err(HostError::from)?;
    let erased = registries.log_out(registry).map_err(HostError::from)?;
    match erased {
        true => printer.status(Tone::Good, "Logged out", &server),
        false => {
            printer.status(Tone::Warning, "Nothing", format_args!("there were no credentials for {server}"))
        }
    }
    printer.json(&serde_json::json!({ "registry": server, "erased": erased }));
    Ok(Exit::Success)
}
