//! `rapidbyte connectors add`: resolve, show, ask, download, lock.

use anyhow::Result;
use rapidbyte_host::install::{AddOptions, Bundle, InstallError, Plan, Project, Resolution};
use rapidbyte_host::packages::lock::Locked;
use rapidbyte_host::packages::reference::{PackageRef, VersionSpec};
use rapidbyte_host::packages::store::Installed;
use rapidbyte_host::{Host, HostError};
use serde::Serialize;

use super::{InstalledJson, in_registry, project, review};
use crate::args::{AddArgs, Addition};
use crate::commands::registry::from_here;
use crate::downloading::Downloads;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::quantity::Bytes;
use crate::runtime;
use crate::settings::Settings;

pub fn add(host: &Host, args: AddArgs, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let project = project(host)?;
    let (mut packages, mut bundles) = (Vec::new(), Vec::new());
    for addition in args.packages {
        match addition {
            Addition::Package(package) => packages.push(package),
            Addition::Bundle(path) => bundles.push(path),
        }
    }
    let mut packages = in_registry(packages, args.registry.map(from_here));
    if packages.is_empty() && bundles.is_empty() {
        packages = everything(&project)?;
    }
    let installer = match args.require_conformance {
        true => host.installer()?.clone().requiring_conformance(),
        false => host.installer()?.clone(),
    };
    let how =
        Resolution { locked: args.packages_from.locked, offline: args.packages_from.offline, update: false };
    let mut installed = Vec::new();
    for path in bundles {
        let bundle = Bundle::open(&path).map_err(HostError::from)?;
        let planning = installer.plan_bundle(&project, &bundle, how, args.allow_widening);
        let plan = runtime::block_on(planning)?.map_err(HostError::from)?;
        installed.extend(complete(host, plan, args.yes, settings, printer)?);
    }
    if !packages.is_empty() {
        let options = AddOptions { packages, how, allow_widening: args.allow_widening };
        let plan = runtime::block_on(installer.plan(&project, &options))?.map_err(HostError::from)?;
        installed.extend(complete(host, plan, args.yes, settings, printer)?);
    }
    report(&project, &installed, printer);
    Ok(Exit::Success)
}

/// All that the lock has.
pub fn everything(project: &Project) -> Result<Vec<PackageRef>> {
    let lock = project.read().map_err(|error| HostError::from(InstallError::Lock(error)))?;
    let exactly = |it: &Locked| -> Result<PackageRef, HostError> {
        let reference = |error| HostError::from(InstallError::Reference(error));
        Ok(PackageRef {
            registry: Some(it.source.parse().map_err(reference)?),
            name: it.name.parse().map_err(reference)?,
            version: VersionSpec::Exact(it.version.clone()),
        })
    };
    Ok(lock.packages().iter().map(exactly).collect::<Result<_, _>>()?)
}

/// Lets a plan be looked at, and installs it.
pub fn complete(
    host: &Host,
    plan: Plan,
    yes: bool,
    settings: &Settings,
    printer: &Printer,
) -> Result<Vec<Installed>> {
    let approved = review::review(host, plan, yes, printer)?;
    let downloads = Downloads::new(printer, settings.watched);
    let completing = host.installer()?.complete(approved, downloads.as_ref());
    Ok(runtime::block_on(completing)?.map_err(HostError::from)?)
}

/// Says what is installed now.
pub fn report(project: &Project, installed: &[Installed], printer: &Printer) {
    for one in installed {
        printer.status(
            Tone::Good,
            "Installed",
            format_args!("{} ({})", one.id(), Bytes(one.component_bytes)),
        );
        printer.data(one.id());
    }
    printer.json(&AddJson {
        lock: project.path().display().to_string(),
        installed: installed.iter().map(InstalledJson::new).collect(),
    });
}

#[derive(Serialize)]
struct AddJson<'a> {
    lock: String,
    installed: Vec<InstalledJson<'a>>,
}
