//! Every test of both workspaces, in one profile and one set of features.

use anyhow::{Result, bail};
use xtask::guests;
use xtask::postgres::binaries;

use crate::process::{Step, Workspace};
use crate::{connectors, tools};

/// Tells tests where the connectors are as components.
const COMPONENTS: &str = "RAPIDBYTE_TEST_COMPONENTS";

/// Runs all of them to the end, whatever fails on the way, and then says what failed.
pub fn run(workspace: &Workspace, filter: &[String]) -> Result<()> {
    tools::ensure_wasm_target(workspace)?;
    let postgres = tools::ensure_postgres()?;
    tools::ensure_test_tools()?;
    let guest_tools = workspace.target().join("guest-tools");
    for language in guests::ALL {
        language.ensure(&guest_tools)?;
    }
    let nextest = tools::has_nextest(workspace);
    let product = |arguments: &[&str]| workspace.cargo(arguments.iter().copied());
    let guests = |arguments: &[&str]| product(arguments).directory(workspace.connectors());
    let tests: &[&str] = match (nextest, filter.is_empty()) {
        (true, true) => &["nextest", "run", "--workspace", "--no-fail-fast"],
        (true, false) => &["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests=pass"],
        (false, _) => &["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"],
    };
    // Builds the tests, and with the command line's own tests the binary: with the very features that they run with, so
    // that nothing is compiled twice. The connectors are built by that binary.
    let compile: &[&str] = match nextest {
        true => &["nextest", "run", "--workspace", "--no-run"],
        false => &["test", "--workspace", "--lib", "--bins", "--tests", "--no-run"],
    };
    product(compile).run()?;
    let components = connectors::build(workspace, &workspace.rapidbyte("debug"))?;

    // cargo-nextest does not run the examples in the documentation.
    let examples: &[&str] = &["test", "--workspace", "--doc", "--no-fail-fast"];

    let mut steps: Vec<(&str, Step)> = vec![
        ("tests of the connectors", guests(tests).arguments(filter)),
        ("tests of the product", product(tests).arguments(filter)),
    ];
    if filter.is_empty() {
        steps.insert(0, ("examples of the connectors' documentation", guests(examples)));
        steps.insert(0, ("examples of the product's documentation", product(examples)));
    }
    let mut failed = Vec::new();
    for (name, step) in steps {
        // A changed snapshot is a failure, never a file that waits for review.
        let step = step.env("INSTA_UPDATE", "no");
        let step = step.env(binaries::VARIABLE, &postgres).env(COMPONENTS, &components);
        let step = step.env(guests::VARIABLE, &guest_tools);
        if let Err(error) = step.run() {
            eprintln!("error: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
