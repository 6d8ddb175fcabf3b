//! The project's own chores: `cargo xtask <task>`. Each task is a plain sequence of commands that one could type; this
//! finds the tools, gives every command the same target folder and stops at the first that fails.
//!
//! Refuses to know: how the product works. Next to no dependencies, so that it compiles in a moment.

mod bench;
mod checks;
mod connectors;
mod pages;
mod process;
mod test;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::process::Workspace;

const HELP: &str = "\
The project's chores.

Usage: cargo xtask <TASK> [ARGUMENTS]

Tasks:
  test [FILTER…]   Find or install what the tests need, build the connectors, run every test (or those that match)
  connectors       Build the first-party connectors to WebAssembly components
  fmt              Check the formatting of both workspaces
  lint             Run clippy over both workspaces, warnings are errors
  doc              Build the documentation of both workspaces, warnings are errors
  pages            Write the generated pages of `docs/` anew: commands, exit codes, clauses, the contract
  ci               fmt, lint, doc, test
  bench [ARG…]     Run the benchmarks (`cargo xtask bench --help`)

Everything is built below CARGO_TARGET_DIR if that is set.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", &[] as &[String]),
    };
    if !matches!(task, "test" | "bench") && !rest.is_empty() {
        bail!("`{task}` takes no arguments, got `{}`", rest.join(" "));
    }
    let workspace = Workspace::locate()?;
    match task {
        "test" => test::run(&workspace, rest),
        "connectors" => {
            tools::ensure_wasm_target(&workspace)?;
            workspace.cargo(["build", "--package", "rapidbyte-cli"]).run()?;
            connectors::build(&workspace, &workspace.rapidbyte("debug")).map(drop)
        }
        "fmt" => checks::format(&workspace),
        "lint" => checks::lint(&workspace),
        "doc" => checks::documentation(&workspace),
        "pages" => pages::write(&workspace),
        "ci" => {
            checks::format(&workspace)?;
            checks::lint(&workspace)?;
            checks::documentation(&workspace)?;
            test::run(&workspace, &[])
        }
        "bench" => bench::run(&workspace, rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no task `{other}`; `cargo xtask help` lists them"),
    }
}
