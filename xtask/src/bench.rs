//! Benchmarks: builds in release what is measured, then hands over to `benches/`, which explains itself.

use anyhow::Result;
use xtask::postgres::binaries;

use crate::process::Workspace;
use crate::{connectors, tools};

pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    tools::ensure_wasm_target(workspace)?;
    let postgres = tools::ensure_postgres()?;
    tools::ensure_test_tools()?;
    // As it is published.
    let build = workspace.cargo(["build", "--release", "--package", "rapidbyte-cli"]);
    build.env("CARGO_PROFILE_RELEASE_LTO", "thin").env("CARGO_PROFILE_RELEASE_STRIP", "symbols").run()?;
    let binary = workspace.rapidbyte("release");

    let components = connectors::build(workspace, &binary)?;
    workspace
        .cargo(["run", "--release", "--quiet", "--package", "rapidbyte-benches", "--", "--binary"])
        .directory(workspace.connectors())
        .arguments([&binary])
        .arguments(["--components"])
        .arguments([&components])
        .arguments(arguments)
        .env(binaries::VARIABLE, postgres)
        .run()
}
