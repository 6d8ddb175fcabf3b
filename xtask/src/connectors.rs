//! The first-party connectors: built once, for the sandbox's target, before anything that runs them.

use anyhow::Result;

use crate::process::Workspace;

/// Builds every connector exactly as the product does, so that it later finds them unchanged.
pub fn build(workspace: &Workspace) -> Result<()> {
    workspace
        .cargo(["build", "--workspace", "--lib", "--release", "--target", "wasm32-wasip2"])
        .directory(workspace.connectors())
        .run()
}
