//! What a connector is made of: of a crate, everything that Cargo resolves for it; of a project in another language, what its lock
//! or requirements name, which is less than all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use rapidbyte_publish::sbom::{Bill, Material};
use serde::Deserialize;

use crate::connector::build::TARGET;
use crate::error::HostError as Error;

/// What is known of a project.
#[derive(Debug, Clone, Default)]
pub struct Materials {
    pub bill: Bill,
    /// Folders of crates of the author's own that it is built from.
    pub folders: Vec<PathBuf>,
}

/// Of a crate: what is compiled into its component. What only builds it is none of it.
pub fn of_crate(folder: &Path) -> Result<Materials, Error> {
    let cargo_toml = folder.join("Cargo.toml");
    let mut command = MetadataCommand::new();
    command.manifest_path(&cargo_toml);
    let filter = format!("--filter-platform={TARGET}");
    let fetched = command.clone().other_options(["--offline".to_owned(), filter.clone()]).exec();
    let metadata = fetched
        .or_else(|_| command.other_options([filter]).exec())
        .map_err(|error| Error::Cargo { folder: folder.to_owned(), message: error.to_string() })?;
    let here = cargo_toml.canonicalize().map_err(|source| Error::Read { path: cargo_toml, source })?;
    let root = metadata
        .packages
        .iter()
        .find(|package| package.manifest_path.canonicalize().is_ok_and(|path| path == here))
        .ok_or_else(|| Error::NoCrate { folder: folder.to_owned() })?;
    Ok(reachable(&metadata, &root.id))
}

fn reachable(metadata: &Metadata, root: &PackageId) -> Materials {
    let mut needs: BTreeMap<&PackageId, Vec<&PackageId>> = BTreeMap::new();
    for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
        let normal = node
            .deps
            .iter()
            .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        needs.insert(&node.id, normal.map(|dependency| &dependency.pkg).collect());
    }
    let packages: BTreeMap<&PackageId, _> = metadata.packages.iter().map(|it| (&it.id, it)).collect();
    let purl = |id: &PackageId| {
        packages.get(id).map(|package| format!("pkg:cargo/{}@{}", package.name, package.version))
    };
    let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
    let mut open: Vec<&PackageId> = vec![root];
    let mut materials = Materials { bill: Bill { complete: true, ..Bill::default() }, folders: Vec::new() };
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let direct = needs.get(id).map(Vec::as_slice).unwrap_or_default();
        open.extend(direct);
        let names: Vec<String> = direct.iter().filter_map(|id| purl(id)).collect();
        let Some(package) = packages.get(id) else { continue };
        if package.source.is_none()
            && let Some(folder) = package.manifest_path.parent()
        {
            materials.folders.push(folder.as_std_path().to_owned());
        }
        if id == root {
            materials.bill.direct = names;
            continue;
        }
        materials.bill.materials.push(Material {
            name: package.name.to_string(),
            version: package.version.to_string(),
            purl: format!("pkg:cargo/{}@{}", package.name, package.version),
            license: package.license.clone(),
            needs: names,
        });
    }
    materials
}

/// Of a project in Python or JavaScript. The interpreter inside its component is named by neither.
pub fn of_scripts(folder: &Path) -> Materials {
    let mut found = python(folder);
    found.extend(javascript(folder));
    let direct = found.iter().map(|material| material.purl.clone()).collect();
    Materials { bill: Bill { materials: found, direct, complete: false }, folders: Vec::new() }
}

/// What `requirements.txt` pins.
fn python(folder: &Path) -> Vec<Material> {
    let text = fs::read_to_string(folder.join("requirements.txt")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let line = line.split(['#', ';', ' ']).next()?.trim();
            let (name, version) = line.split_once("==")?;
            // Extras are features of the same package.
            let name = name.split('[').next()?.trim().to_ascii_lowercase().replace('_', "-");
            Some(material("pypi", &name, version.trim()))
        })
        .collect()
}

/// What `package-lock.json` pins and is not for development alone.
fn javascript(folder: &Path) -> Vec<Material> {
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        packages: BTreeMap<String, Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        version: Option<String>,
        #[serde(default)]
        dev: bool,
    }
    let text = fs::read_to_string(folder.join("package-lock.json")).unwrap_or_default();
    // What cannot be read names nothing; the bill says that it is not complete.
    let lock = serde_json::from_str(&text).unwrap_or(Lock { packages: BTreeMap::new() });
    lock.packages
        .iter()
        .filter(|(_, locked)| !locked.dev)
        .filter_map(|(path, locked)| {
            let (_, name) = path.rsplit_once("node_modules/")?;
            Some(material("npm", name, locked.version.as_deref()?))
        })
        .collect()
}

fn material(ecosystem: &str, name: &str, version: &str) -> Material {
    // A scope's `@` would be read as the version's.
    let purl = format!("pkg:{ecosystem}/{}@{version}", name.replace('@', "%40"));
    Material { name: name.to_owned(), version: version.to_owned(), purl, license: None, needs: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_pin_is_named_and_nothing_claimed_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("requirements.txt", "# tools\nRequests[socks]==2.31.0 ; python_version > '3'\nunpinned\n");
        write(
            "package-lock.json",
            r#"{"packages":{"":{"version":"0.1.0"},"node_modules/@scope/a":{"version":"1.0.0"},
                "node_modules/b":{"version":"2.0.0","dev":true}}}"#,
        );
        let materials = of_scripts(folder.path());
        let purls: Vec<&str> = materials.bill.materials.iter().map(|it| it.purl.as_str()).collect();
        assert_eq!(purls, ["pkg:pypi/requests@2.31.0", "pkg:npm/%40scope/a@1.0.0"]);
        assert!(!materials.bill.complete);
    }

    #[test]
    fn what_a_crate_is_compiled_of_is_found() {
        let materials = of_crate(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let named = |name: &str| materials.bill.materials.iter().find(|it| it.name == name);
        let core = named("rapidbyte-core").expect("what it names itself");
        assert!(materials.bill.direct.contains(&core.purl));
        assert!(named("arrow-schema").is_some(), "what others name for it");
        assert!(named("insta").is_none(), "what its tests alone need");
        assert!(materials.bill.complete && materials.folders.len() > 5);
    }
}
