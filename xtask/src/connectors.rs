//! The first-party connectors: built once, by the product's own command, before anything that runs them.

use anyhow::{Context, Result, ensure};

use crate::process::Workspace;

/// The file that makes a crate a connector.
const MANIFEST_FILE: &str = "rapidbyte-plugin.yaml";

/// Builds every connector exactly as `rapidbyte run` would, so that tests find them unchanged.
pub fn build(workspace: &Workspace) -> Result<()> {
    let folder = workspace.connectors();
    let mut crates = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading `{}`", folder.display()))? {
        let path = entry?.path();
        if path.join(MANIFEST_FILE).is_file() {
            crates.push(path);
        }
    }
    crates.sort();
    ensure!(!crates.is_empty(), "no connectors in `{}`", folder.display());
    for path in crates {
        workspace
            .cargo(["run", "--quiet", "--package", "rapidbyte-cli", "--", "connector", "build"])
            .arguments([path])
            .run()?;
    }
    Ok(())
}
