//! Benchmarks: builds in release what is measured, then hands over to `benches/`, which explains itself.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use xtask::postgres::binaries;

use crate::process::{Step, Workspace};
use crate::{connectors, tools};

pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    tools::ensure_wasm_target(workspace)?;
    let postgres = tools::ensure_postgres()?;
    workspace.cargo(["build", "--release", "--package", "rapidbyte-cli"]).run()?;
    let binary = workspace.target().join("release").join("rapidbyte");

    let mut components: Option<PathBuf> = None;
    for folder in connectors::folders(workspace)? {
        let path = Step::new(&binary).arguments(["connector", "build"]).arguments([folder]).stdout()?;
        let folder = PathBuf::from(path.trim()).parent().context("a component lies in a folder")?.to_owned();
        let first = components.get_or_insert(folder.clone());
        ensure!(*first == folder, "components in `{}` and in `{}`", first.display(), folder.display());
    }
    let components = components.context("there are no connectors")?;
    workspace
        .cargo(["run", "--release", "--quiet", "--package", "rapidbyte-benches", "--", "--binary"])
        .arguments([&binary])
        .arguments(["--components"])
        .arguments([&components])
        .arguments(arguments)
        .env(binaries::VARIABLE, postgres)
        .run()
}
