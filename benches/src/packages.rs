//! What installing takes: ten packages of 3 MB from a registry on this machine (Debian's `docker-registry`), with their signatures,
//! cold and warm, beside `skopeo copy` of the same, which looks at digests and at nothing else.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use registry_fixtures::DockerRegistry;

use crate::Args;
use crate::measure::median;

const PACKAGES: usize = 10;
const ROUNDS: usize = 5;
const NAMESPACE: &str = "bench";
/// What is published, and what it is called then: as many bytes, so that the name can be written over.
const TEMPLATE: &str = "transform-mask";
const VERSION: &str = "0.1.0";

fn name(index: usize) -> String {
    format!("transform-be{index:02}")
}

pub fn report(args: &Args, repository: &Path, work: &Path) -> Result<()> {
    let folder = work.join("packages");
    std::fs::create_dir_all(&folder)?;
    let registry = DockerRegistry::start(false)?;
    let host = registry.host();
    publish(args, repository, &folder, &host)?;

    let [mut add_cold, mut add_warm, mut copy_cold, mut copy_warm] = [const { Vec::new() }; 4];
    for round in 0..ROUNDS {
        let home = folder.join(format!("home-{round}"));
        settle(args, &folder, &home, &host)?;
        add_cold.push(add(args, &folder.join(format!("cold-{round}")), &home)?);
        // Another project of the same user: everything is in the store, and nothing in its lock.
        add_warm.push(add(args, &folder.join(format!("warm-{round}")), &home)?);
        let copies = folder.join(format!("copies-{round}"));
        copy_cold.push(copy(&copies, &host)?);
        copy_warm.push(copy(&copies, &host)?);
    }
    let row = |what: &str, cold: Vec<f64>, warm: Vec<f64>| {
        println!("| {what} | {:.2} | {:.2} |", median(cold.into_iter()), median(warm.into_iter()));
    };
    println!("### Installing {PACKAGES} packages of 3 MB\n");
    println!("| what | cold s | warm s |\n| --- | ---: | ---: |");
    row("`connectors add`: signatures judged, digests checked, locked", add_cold, add_warm);
    row("`skopeo copy`, one after the other", copy_cold, copy_warm);
    println!();
    Ok(())
}

/// Publishes one connector under ten names, signed.
fn publish(args: &Args, repository: &Path, folder: &Path, host: &str) -> Result<()> {
    let home = folder.join("publisher");
    run(command(args, folder, &home).args(["key", "generate", "--output", "bench"]))?;
    let template = std::fs::read(args.components.join(format!("{TEMPLATE}.wasm")))?;
    let fixture = repository.join("connectors").join(TEMPLATE).join("conformance.yaml");
    for index in 0..PACKAGES {
        let path = folder.join(format!("{}.wasm", name(index)));
        std::fs::write(&path, renamed(&template, &name(index)))?;
        run(command(args, folder, &home)
            .args(["connector", "publish", "--quiet", "--key", "bench.key", "--registry"])
            .arg(format!("{host}/{NAMESPACE}"))
            .arg("--config-file")
            .arg(&fixture)
            .arg(&path))?;
    }
    Ok(())
}

/// The component under another name.
fn renamed(component: &[u8], name: &str) -> Vec<u8> {
    let mut renamed = component.to_vec();
    let mut at = 0;
    while let Some(window) = renamed.get(at..at + TEMPLATE.len()) {
        if window == TEMPLATE.as_bytes() {
            renamed[at..at + TEMPLATE.len()].copy_from_slice(name.as_bytes());
        }
        at += 1;
    }
    renamed
}

/// A home that trusts the key and nothing else.
fn settle(args: &Args, folder: &Path, home: &Path, host: &str) -> Result<()> {
    let place = format!("{host}/{NAMESPACE}");
    run(command(args, folder, home).args(["registry", "add", NAMESPACE, &place, "--default"]))?;
    let path = home.join("config.toml");
    let settings = std::fs::read_to_string(&path)?;
    let key = folder.join("bench.pub");
    let rule =
        format!("\n[[trust.rule]]\nregistry = \"{NAMESPACE}\"\nlevel = \"require\"\nkeys = [{key:?}]\n");
    Ok(std::fs::write(&path, settings + &rule)?)
}

fn add(args: &Args, project: &Path, home: &Path) -> Result<f64> {
    std::fs::create_dir_all(project)?;
    timed(command(args, project, home).args(["connectors", "add", "--yes"]).args((0..PACKAGES).map(name)))
}

fn copy(folder: &Path, host: &str) -> Result<f64> {
    std::fs::create_dir_all(folder)?;
    let copies = (0..PACKAGES).map(|index| {
        let name = name(index);
        format!(
            "skopeo copy --quiet --src-tls-verify=false docker://{host}/{NAMESPACE}/{name}:{VERSION} oci:{name}:{VERSION}"
        )
    });
    let script = copies.collect::<Vec<_>>().join(" && ");
    timed(Command::new("sh").current_dir(folder).args(["-c", &script]))
}

fn timed(command: &mut Command) -> Result<f64> {
    let started = Instant::now();
    run(command)?;
    Ok(started.elapsed().as_secs_f64())
}

fn command(args: &Args, folder: &Path, home: &Path) -> Command {
    let mut command = Command::new(&args.binary);
    command.current_dir(folder).env("RAPIDBYTE_HOME", home).env("COSIGN_PASSWORD", "of the bench");
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
