//! `rapidbyte connectors compile`: what is installed, compiled for this machine before it is needed.

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::packages::reference::PackageRef;

use super::find;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::{Bytes, Elapsed};
use crate::runtime;

pub fn compile(host: &Host, packages: &[PackageRef], printer: &Printer) -> Result<Exit> {
    let mut all = Vec::new();
    for package in packages {
        let (installed, _) = find(host, package)?;
        let adopted = runtime::block_on(host.adopt_native(&installed))??;
        if let Some(signer) = &adopted {
            printer.status(
                Tone::Good,
                "Adopted",
                format_args!("the registry's code of {} ({signer})", installed.id()),
            );
        }
        let compiled = host.compile_package(&installed)?;
        let age = match compiled.compiled_in {
            Some(time) => format!("compiled in {}", Elapsed(time)),
            None => "unchanged".to_owned(),
        };
        let size = Bytes(compiled.code_bytes.unwrap_or_default());
        printer.status(Tone::Good, "Native code", format_args!("{} ({size}, {age})", installed.id()));
        all.push(serde_json::json!({
            "connector": installed.id(), "code_bytes": compiled.code_bytes, "fresh": compiled.compiled_in.is_none(),
            "adopted_from": adopted,
        }));
    }
    printer.json(&serde_json::json!({ "connectors": all }));
    Ok(Exit::Success)
}
