//! `rapidbyte connectors inspect`: what a package is and may reach, by what describes it.

use anyhow::Result;
use rapidbyte_host::packages::reference::PackageRef;
use rapidbyte_host::{Host, HostError};
use serde::Serialize;

use super::project;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::quantity::Bytes;
use crate::runtime;

pub fn inspect(host: &Host, package: &PackageRef, offline: bool, printer: &Printer) -> Result<Exit> {
    let project = project(host)?;
    let inspecting = host.installer()?.inspect(&project, package, offline);
    let inspected = runtime::block_on(inspecting)?.map_err(HostError::from)?;
    let candidate = &inspected.candidate;
    let described = &candidate.described;
    let manifest = &described.manifest;
    let mut lines = vec![
        format!("{} ({}, {})", manifest.id(), manifest.role, manifest.license),
        manifest.description.clone(),
        String::new(),
        format!("registry   {}", candidate.source),
        format!("manifest   {}", described.digest),
        format!("component  {} ({})", described.layer.digest, Bytes(described.layer.size)),
        format!("signature  {}", candidate.signature()),
        format!("installed  {}", if inspected.installed { "yes" } else { "no" }),
    ];
    if !inspected.versions.is_empty() {
        let versions: Vec<String> = inspected.versions.iter().rev().map(ToString::to_string).collect();
        lines.push(format!("versions   {}", versions.join(", ")));
    }
    lines.push(String::new());
    match described.capabilities.is_empty() {
        true => lines.push("reaches nothing outside of its sandbox".to_owned()),
        false => lines.push("may reach:".to_owned()),
    }
    lines.extend(described.capabilities.iter().map(|capability| format!("  {capability}")));
    lines.extend(candidate.oddities().into_iter().map(|oddity| format!("unusual: {oddity}")));
    printer.data(lines.join("\n"));
    printer.json(&InspectJson {
        name: &manifest.name,
        version: manifest.version.to_string(),
        role: manifest.role.as_str(),
        description: &manifest.description,
        license: &manifest.license,
        registry: &candidate.source,
        manifest: described.digest.to_string(),
        component: described.layer.digest.to_string(),
        component_bytes: described.layer.size,
        signer: candidate.signer.as_deref(),
        warning: candidate.trusted.warning().map(ToString::to_string),
        installed: inspected.installed,
        versions: inspected.versions.iter().map(ToString::to_string).collect(),
        capabilities: described.capabilities.iter().map(ToString::to_string).collect(),
        oddities: candidate.oddities(),
    });
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct InspectJson<'a> {
    name: &'a str,
    version: String,
    role: &'static str,
    description: &'a str,
    license: &'a str,
    registry: &'a str,
    manifest: String,
    component: String,
    component_bytes: u64,
    signer: Option<&'a str>,
    warning: Option<String>,
    installed: bool,
    versions: Vec<String>,
    capabilities: Vec<String>,
    oddities: Vec<String>,
}
