//! The first-party connectors: built once, by the product's own command, before anything that runs them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::process::Workspace;

/// The file that makes a crate a connector.
const MANIFEST_FILE: &str = "rapidbyte-plugin.yaml";

/// Builds every connector exactly as `rapidbyte run` would, so that tests find them unchanged.
pub fn build(workspace: &Workspace) -> Result<()> {
    for folder in folders(workspace)? {
        workspace
            .cargo(["run", "--quiet", "--package", "rapidbyte-cli", "--", "connector", "build"])
            .arguments([folder])
            .run()?;
    }
    Ok(())
}

/// The crates of the connectors, in a stable order.
pub fn folders(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let all = workspace.connectors();
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(&all).with_context(|| format!("reading `{}`", all.display()))? {
        let path = entry?.path();
        if path.join(MANIFEST_FILE).is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    ensure!(!folders.is_empty(), "no connectors in `{}`", all.display());
    Ok(folders)
}
