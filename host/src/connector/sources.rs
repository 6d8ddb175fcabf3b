//! Which folders a connector is built from: its own, and those of the crates beside it that it depends on. For whoever waits
//! for them to change; refuses to know how that is noticed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, PackageId};

use super::build;

/// The folders of the connector in `folder` and of everything it is built from that lies on this disk as source. Its own comes first,
/// and alone where nothing is known of its dependencies, as with a manifest that is wrong.
pub fn folders(folder: &Path) -> Vec<PathBuf> {
    let own = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut folders = vec![own.clone()];
    if let Ok(metadata) = build::metadata(&own.join("Cargo.toml")) {
        for found in local_closure(&metadata, &own) {
            // What lies inside of another is watched with it.
            if !folders.iter().any(|known| found.starts_with(known)) {
                folders.push(found);
            }
        }
    }
    folders
}

/// The folders of the local packages that the one in `own` is built from.
fn local_closure(metadata: &Metadata, own: &Path) -> Vec<PathBuf> {
    let folder_of = |manifest: &Path| manifest.parent().and_then(|folder| folder.canonicalize().ok());
    let local: HashMap<&PackageId, PathBuf> = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_none())
        .filter_map(|package| Some((&package.id, folder_of(package.manifest_path.as_std_path())?)))
        .collect();
    let Some(root) = local.iter().find(|(_, folder)| folder.as_path() == own).map(|(id, _)| *id) else {
        return Vec::new();
    };
    let nodes: HashMap<&PackageId, &[PackageId]> = metadata
        .resolve
        .iter()
        .flat_map(|resolve| &resolve.nodes)
        .map(|node| (&node.id, node.dependencies.as_slice()))
        .collect();
    let (mut seen, mut waiting, mut found) = (HashSet::from([root]), vec![root], Vec::new());
    while let Some(id) = waiting.pop() {
        let Some(folder) = local.get(id) else { continue };
        found.push(folder.clone());
        waiting.extend(nodes.get(id).copied().unwrap_or_default().iter().filter(|id| seen.insert(id)));
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connectors() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors").canonicalize().expect("the repository")
    }

    #[test]
    fn a_connector_is_built_from_its_folder_and_the_crates_beside_it() {
        let found = folders(&connectors().join("source-postgres"));
        assert_eq!(found[0], connectors().join("source-postgres"));
        assert!(found.contains(&connectors().join("postgres")), "{found:?}");
        assert!(found.iter().any(|folder| folder.ends_with("sdk")), "{found:?}");
        assert!(!found.contains(&connectors().join("dest-file")), "{found:?}");
    }

    #[test]
    fn without_a_crate_it_is_the_folder_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().canonicalize().expect("the folder");
        assert_eq!(folders(folder.path()), [own]);
    }
}
