//! `rapidbyte doctor`: whether this machine has what is needed.

use std::path::Path;

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::operations::doctor::{Finding, Health};
use serde::Serialize;

use crate::exit::Exit;
use crate::printer::Printer;
use crate::runtime;

pub fn doctor(host: &Host, printer: &Printer) -> Result<Exit> {
    let findings = runtime::block_on(host.diagnose(Path::new(".")))?;
    for finding in &findings {
        printer.data(line(finding));
    }
    let worst = findings.iter().map(|finding| finding.status).max().unwrap_or(Health::Ok);
    printer.json(&DoctorJson { status: worst, findings: &findings });
    Ok(match worst {
        Health::Ok | Health::Warn => Exit::Success,
        Health::Fail => Exit::Environment,
    })
}

/// `  [OK] home folder: /home/ada/.rapidbyte`, with the next step below where there is one.
fn line(finding: &Finding) -> String {
    let mark = match finding.status {
        Health::Ok => "[OK]",
        Health::Warn => "[WARN]",
        Health::Fail => "[FAIL]",
    };
    let mut line = format!("{mark:>6} {}: {}", finding.subject, finding.message);
    if let Some(hint) = &finding.hint {
        line.push_str(&format!("\n       hint: {hint}"));
    }
    line
}

#[derive(Serialize)]
struct DoctorJson<'a> {
    /// The worst of all: `ok`, `warn` or `fail`.
    status: Health,
    findings: &'a [Finding],
}
