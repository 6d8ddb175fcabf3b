//! The checks that need no running product: formatting, lints, documentation.

use anyhow::Result;

use crate::process::Workspace;

/// `cargo fmt` follows path dependencies out of a workspace, which here just means that the SDK is looked at twice.
pub fn format(workspace: &Workspace) -> Result<()> {
    workspace.cargo(["fmt", "--all", "--check"]).run()?;
    workspace.cargo(["fmt", "--all", "--check"]).directory(workspace.connectors()).run()
}

pub fn lint(workspace: &Workspace) -> Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    workspace.cargo(arguments).run()?;
    workspace.cargo(arguments).directory(workspace.connectors()).run()
}

pub fn documentation(workspace: &Workspace) -> Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps"];
    workspace.cargo(arguments).env("RUSTDOCFLAGS", "-D warnings").run()?;
    workspace.cargo(arguments).directory(workspace.connectors()).env("RUSTDOCFLAGS", "-D warnings").run()
}
