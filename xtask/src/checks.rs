//! The checks that need no running product: formatting, lints, documentation.

use anyhow::Result;

use crate::process::Workspace;

/// Guests that tests build for the sandbox: crates of their own, in no workspace.
const TEST_GUESTS: [&str; 2] = ["sdk/tests/guests", "host/wasm/tests/guests"];

/// `cargo fmt` follows path dependencies out of a workspace, which here just means that the SDK is looked at twice.
pub fn format(workspace: &Workspace) -> Result<()> {
    let guests = TEST_GUESTS.map(|folder| workspace.root().join(folder));
    let folders = [workspace.root().to_owned(), workspace.connectors()].into_iter().chain(guests);
    for folder in folders {
        workspace.cargo(["fmt", "--all", "--check"]).directory(folder).run()?;
    }
    Ok(())
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
