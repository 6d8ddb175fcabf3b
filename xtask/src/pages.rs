//! The pages of `docs/` that are made from code. Each has a test that fails when its page is out of date, and then writes it
//! anew: so it runs these tests, and knows nothing of the pages.

use anyhow::{Context, Result};

use crate::process::Workspace;

/// Crates with such tests, whose names all begin alike.
const CRATES: [&str; 3] = ["rapidbyte-cli", "rapidbyte-conformance", "xtask"];
const TESTS: &str = "the_page_of_";

pub fn write(workspace: &Workspace) -> Result<()> {
    let mut arguments = vec!["test", "--quiet", "--no-fail-fast"];
    arguments.extend(CRATES.iter().flat_map(|name| ["--package", *name]));
    arguments.push(TESTS);
    // The first time says what was written, the second that all is as it should be.
    if workspace.cargo(arguments.clone()).run().is_err() {
        workspace.cargo(arguments).run().context("a page is not what its own test wrote")?;
    }
    Ok(())
}
