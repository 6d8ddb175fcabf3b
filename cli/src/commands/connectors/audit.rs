//! `rapidbyte connectors audit`: everything that the lock has, verified.

use anyhow::Result;
use rapidbyte_host::{Host, HostError};
use serde::Serialize;

use super::project;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::plural;
use crate::report::{ErrorJson, Report};
use crate::runtime;

pub fn audit(host: &Host, offline: bool, printer: &Printer) -> Result<Exit> {
    let project = project(host)?;
    let audited = runtime::block_on(host.installer()?.audit(&project, offline))?.map_err(HostError::from)?;
    let mut exit = Exit::Success;
    let mut reports = Vec::new();
    for one in audited {
        let id = format!("{}@{}", one.locked.name, one.locked.version);
        let newer = one.newer.map(|newer| newer.to_string());
        let (error, warning) = match one.result {
            Ok(verified) => {
                let signer =
                    verified.signer.map(|signer| format!(", signed by {signer}")).unwrap_or_default();
                printer.data(format_args!("  [OK] {id}: as it was locked{signer}"));
                (None, verified.warning)
            }
            Err(error) => {
                let report = Report::new(&HostError::from(error).into());
                exit = exit.combine(report.exit);
                printer.data(format_args!("[FAIL] {id}: {}", report.message));
                if let Some(hint) = &report.hint {
                    printer.data(format_args!("       hint: {hint}"));
                }
                (Some(report), None)
            }
        };
        if let Some(warning) = &warning {
            printer.warning(warning);
        }
        if let Some(newer) = &newer {
            printer.data(format_args!("       {newer} is newer"));
        }
        reports.push((id, error, warning, newer));
    }
    let failed = reports.iter().filter(|(_, error, ..)| error.is_some()).count();
    let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
    let count = plural(reports.len() as u64, "package");
    printer.status(
        tone,
        "Audited",
        format_args!("{count} of `{}`, {failed} wrong", project.path().display()),
    );
    let packages = reports.iter().map(|(id, error, warning, newer)| AuditedJson {
        connector: id,
        error: error.as_ref().map(Report::json),
        warning: warning.as_deref(),
        newer: newer.as_deref(),
    });
    printer.json(&AuditJson { lock: project.path().display().to_string(), packages: packages.collect() });
    Ok(exit)
}

#[derive(Serialize)]
struct AuditJson<'a> {
    lock: String,
    packages: Vec<AuditedJson<'a>>,
}

#[derive(Serialize)]
struct AuditedJson<'a> {
    connector: &'a str,
    error: Option<ErrorJson<'a>>,
    warning: Option<&'a str>,
    newer: Option<&'a str>,
}
