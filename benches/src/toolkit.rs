//! What making a connector takes: from nothing to the first green test, from a saved line to the next outcome, and the whole
//! conformance suite over a connector that talks to a real server.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use xtask::postgres::{PASSWORD, Server, USER};

use crate::Args;
use crate::measure::median;

/// Saves that are timed.
const SAVES: usize = 5;
/// Begins the line that a save changes: the first that documents a key of the config, which becomes part of the component.
const DOCUMENTED: &str = "    /// ";

pub fn report(args: &Args, server: &Server, repository: &Path, work: &Path) -> Result<()> {
    let folder = work.join("toolkit");
    std::fs::create_dir_all(&folder)?;
    let project = folder.join("transform-bench");

    let started = Instant::now();
    run(command(args, &folder).args(["connector", "scaffold", "--quiet", "--name", "transform-bench"]))?;
    let scaffold = started.elapsed().as_secs_f64();
    let started = Instant::now();
    run(Command::new("cargo")
        .args(["test", "--quiet"])
        .current_dir(&project)
        .env("CARGO_TARGET_DIR", folder.join("target")))?;
    let unit_tests = started.elapsed().as_secs_f64();
    let started = Instant::now();
    run(command(args, &project).args(["connector", "test", "--quiet"]))?;
    let conformance = started.elapsed().as_secs_f64();

    let saves = saves(args, &project)?;
    let of = |key: &str| median(saves.iter().map(|cycle| cycle[key].as_f64().unwrap_or_default()));
    let suite = suite(args, server, repository, work)?;

    println!("### Making connectors\n");
    println!("| what | s |\n| --- | ---: |");
    println!("| `connector scaffold` | {scaffold:.2} |");
    println!(
        "| then `cargo test`: the SDK and its dependencies compiled natively, unit tests green | {unit_tests:.1} |"
    );
    println!(
        "| then `connector test`: all of them compiled to WebAssembly, the conformance suite green | {conformance:.1} |"
    );
    println!("| one line changed, `connector dev` builds it and runs the suite | {:.2} |", of("seconds"));
    println!("| of this the compiler | {:.2} |", of("compiler_seconds"));
    println!(
        "| of this the tool's own: native code, the suite, everything else | {:.2} |",
        of("seconds") - of("compiler_seconds")
    );
    println!(
        "| `connector test` of source-postgres, {} clauses, against a real server | {:.1} |",
        suite.1, suite.0
    );
    println!();
    Ok(())
}

/// `rapidbyte` in a folder, with a home and a target folder of its own.
fn command(args: &Args, folder: &Path) -> Command {
    let work = folder.ancestors().find(|above| above.ends_with("toolkit")).unwrap_or(folder);
    let mut command = Command::new(&args.binary);
    command
        .current_dir(folder)
        .env("RAPIDBYTE_HOME", work.join("home"))
        .env("CARGO_TARGET_DIR", work.join("target"));
    command
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Changes a line again and again under `connector dev`; answers what it says of each time.
fn saves(args: &Args, project: &Path) -> Result<Vec<Value>> {
    let source = project.join("src/lib.rs");
    let text = std::fs::read_to_string(&source)?;
    let (before, after) = text.split_once(DOCUMENTED).context("a documented key in the config")?;
    let mut child = command(args, project)
        .args(["connector", "dev", "--quiet", "--format", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let watched = watch(&mut child, |save| {
        Ok(std::fs::write(&source, format!("{before}{DOCUMENTED}Save {save}: {after}"))?)
    });
    // It waits for the next save; it is ours to end.
    child.kill()?;
    child.wait()?;
    watched
}

fn watch(child: &mut Child, save: impl Fn(usize) -> Result<()>) -> Result<Vec<Value>> {
    let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
    let mut next = || -> Result<Value> {
        let line = lines.next().context("`connector dev` ended")??;
        let cycle: Value = serde_json::from_str(&line)?;
        ensure!(cycle["outcome"] == "passed", "{line}");
        Ok(cycle)
    };
    next()?;
    let mut cycles = Vec::with_capacity(SAVES);
    while cycles.len() < SAVES {
        save(cycles.len())?;
        // An editor's save may come in two halves: only what tested anew counts.
        let cycle = next()?;
        if cycle["unchanged"] == false {
            cycles.push(cycle);
        }
    }
    Ok(cycles)
}

/// The suite over source-postgres: seconds and clauses.
fn suite(args: &Args, server: &Server, repository: &Path, work: &Path) -> Result<(f64, usize)> {
    let connector = repository.join("connectors/source-postgres");
    let seed = std::fs::read_to_string(connector.join("conformance.sql"))?;
    server.sql("postgres", &seed)?;
    let mut command = Command::new(&args.binary);
    command
        .args(["connector", "test", "--format", "json", "--config-file"])
        .arg(connector.join("conformance.yaml"))
        .arg(args.components.join("source-postgres.wasm"))
        .env("RAPIDBYTE_HOME", work.join("home"))
        .env("PG_HOST", server.host())
        .env("PG_PORT", server.port().to_string())
        .env("PG_USER", USER)
        .env("PG_PASSWORD", PASSWORD);
    let started = Instant::now();
    let report: Value = serde_json::from_slice(&run(&mut command)?)?;
    let seconds = started.elapsed().as_secs_f64();
    match report["outcomes"].as_array() {
        Some(outcomes) if !outcomes.is_empty() => Ok((seconds, outcomes.len())),
        _ => bail!("a report without clauses: {report}"),
    }
}
