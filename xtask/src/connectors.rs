//! The first-party connectors: built once, by the product's own command, before anything that runs them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::process::Workspace;

/// The file that makes a crate a connector.
const MANIFEST_FILE: &str = "rapidbyte-plugin.yaml";

/// Builds every connector as `rapidbyte run` would, with this very binary, so that later it finds them unchanged. Answers
/// the folder that the components are in.
pub fn build(workspace: &Workspace, rapidbyte: &Path) -> Result<PathBuf> {
    let mut components: Option<PathBuf> = None;
    for folder in folders(workspace)? {
        let path =
            workspace.program(rapidbyte).arguments(["connector", "build"]).arguments([folder]).stdout()?;
        let folder = PathBuf::from(path.trim()).parent().context("a component lies in a folder")?.to_owned();
        let first = components.get_or_insert(folder.clone());
        ensure!(*first == folder, "components in `{}` and in `{}`", first.display(), folder.display());
    }
    components.context("there are no connectors")
}

/// The crates of the connectors, in a stable order.
fn folders(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let all = workspace.connectors();
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(&all).with_context(|| format!("reading `{}`", all.display()))? {
        let path = entry?.path();
        if path.join(MANIFEST_FILE).is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}
