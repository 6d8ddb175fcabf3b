//! `rapidbyte connectors`: the package manager.

mod add;
mod audit;
mod bundle;
mod compile;
mod gc;
mod inspect;
mod list;
mod remove;
mod review;
mod search;
mod test;
mod update;
mod verify;

use std::path::PathBuf;

use anyhow::{Context, Result};
use rapidbyte_host::install::Project;
use rapidbyte_host::packages::reference::{PackageRef, RegistryRef};
use rapidbyte_host::packages::store::Installed;
use rapidbyte_host::{Host, HostError};
use serde::Serialize;

use crate::args::ConnectorsCommand;
use crate::commands::registry::from_here;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings::Settings;

pub fn dispatch(
    host: &Host,
    command: ConnectorsCommand,
    settings: &Settings,
    printer: &Printer,
) -> Result<Exit> {
    match command {
        ConnectorsCommand::Search { terms, registry } => {
            search::search(host, &terms.join(" "), registry.map(from_here).as_ref(), printer)
        }
        ConnectorsCommand::Add(args) => add::add(host, args, settings, printer),
        ConnectorsCommand::List => list::list(host, printer),
        ConnectorsCommand::Inspect { package, offline } => inspect::inspect(host, &package, offline, printer),
        ConnectorsCommand::Update(args) => update::update(host, args, settings, printer),
        ConnectorsCommand::Remove { packages } => remove::remove(host, &packages, printer),
        ConnectorsCommand::Verify { package, offline } => verify::verify(host, &package, offline, printer),
        ConnectorsCommand::Audit { offline } => audit::audit(host, offline, printer),
        ConnectorsCommand::Compile { packages } => compile::compile(host, &packages, printer),
        ConnectorsCommand::Test(args) => test::test(host, args, settings, printer),
        ConnectorsCommand::Bundle { packages, output, yes } => {
            bundle::bundle(host, packages, &output, yes, settings, printer)
        }
        ConnectorsCommand::Gc => gc::gc(host, printer),
    }
}

/// The project of the folder where the command was typed.
fn project(host: &Host) -> Result<Project> {
    Ok(host.project(&std::env::current_dir().context("there is no current folder")?))
}

/// Packages that name no registry, in the one that was named for them.
fn in_registry(packages: Vec<PackageRef>, registry: Option<RegistryRef>) -> Vec<PackageRef> {
    let given = |package: PackageRef| PackageRef {
        registry: package.registry.or_else(|| registry.clone()),
        ..package
    };
    packages.into_iter().map(given).collect()
}

/// What is meant of what is installed, with where its component lies.
fn find(host: &Host, package: &PackageRef) -> Result<(Installed, PathBuf)> {
    let installer = host.installer()?;
    let installed = installer.find_installed(&project(host)?, package).map_err(HostError::from)?;
    let component = installer.store.blob_path(&installed.layer);
    Ok((installed, component))
}

/// An installed package for machines.
#[derive(Serialize)]
struct InstalledJson<'a> {
    name: &'a str,
    version: String,
    role: &'a str,
    description: &'a str,
    registry: &'a str,
    manifest: String,
    component: String,
    component_bytes: u64,
    capabilities: Vec<String>,
    signer: Option<&'a str>,
    installed_at: &'a str,
}

impl<'a> InstalledJson<'a> {
    fn new(installed: &'a Installed) -> Self {
        InstalledJson {
            name: &installed.name,
            version: installed.version.to_string(),
            role: &installed.role,
            description: &installed.description,
            registry: &installed.registry,
            manifest: installed.manifest.to_string(),
            component: installed.layer.to_string(),
            component_bytes: installed.component_bytes,
            capabilities: installed.capabilities.iter().map(ToString::to_string).collect(),
            signer: installed.signer.as_deref(),
            installed_at: &installed.installed_at,
        }
    }
}
