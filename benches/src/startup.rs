//! Start-up and size: what a user pays before the first row, and what lies on disk.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::Args;
use crate::measure::median;

/// Runs of the start-up figure; cheap, so many.
const RUNS: usize = 31;

pub fn report(args: &Args, work: &Path) -> Result<()> {
    let folder = work.join("startup");
    std::fs::create_dir_all(folder.join("in"))?;
    std::fs::write(folder.join("in/t.csv"), "id\n1\n")?;
    let pipeline = folder.join("pipeline.yaml");
    std::fs::write(
        &pipeline,
        format!(
            "version: \"1.0\"\npipeline: startup\nsource:\n  use: {components}/source-file.wasm\n  config: {{ path: in }}\n  streams: [{{ name: t, sync_mode: full_refresh }}]\ndestination:\n  use: {components}/dest-file.wasm\n  config: {{ path: out, format: csv }}\n  write_mode: replace\n",
            components = args.components.display()
        ),
    )?;

    let mut version = Vec::new();
    let mut cold = Vec::new();
    for run in 0..=RUNS {
        let started = Instant::now();
        ensure!(Command::new(&args.binary).arg("--version").output()?.status.success());
        let version_ms = started.elapsed().as_secs_f64() * 1e3;
        let started = Instant::now();
        let output = Command::new(&args.binary)
            .args(["check", "--format", "json"])
            .arg(&pipeline)
            .env("RAPIDBYTE_HOME", work.join("home"))
            .output()?;
        ensure!(output.status.success(), "check failed: {}", String::from_utf8_lossy(&output.stderr));
        let check_ms = started.elapsed().as_secs_f64() * 1e3;
        if run > 0 {
            version.push(version_ms);
            cold.push(check_ms);
        }
    }
    let output = Command::new(&args.binary)
        .args(["run", "--format", "json"])
        .arg(&pipeline)
        .env("RAPIDBYTE_HOME", work.join("home"))
        .output()?;
    ensure!(output.status.success(), "run failed: {}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let idle_bytes = summary["memory_peak_bytes"].as_u64().context("`memory_peak_bytes` in the summary")?;

    println!("### Start-up and size\n");
    println!("| what | figure |\n| --- | ---: |");
    println!("| `rapidbyte --version`, whole process | {:.1} ms |", median(version.into_iter()));
    println!(
        "| `rapidbyte check`, whole process: two guests loaded from the cache, opened, validated, asked for their schema | {:.1} ms |",
        median(cold.into_iter())
    );
    println!(
        "| `rapidbyte run` of one row, peak memory: what two guests take that hold nothing | {:.0} MB |",
        idle_bytes as f64 / 1e6
    );
    println!("| `rapidbyte` binary | {:.1} MB |", megabytes(&args.binary)?);
    for name in
        ["source-postgres", "dest-postgres", "source-file", "dest-file", "transform-mask", "transform-sql"]
    {
        println!(
            "| {name} component | {:.2} MB |",
            megabytes(&args.components.join(format!("{name}.wasm")))?
        );
    }
    Ok(())
}

fn megabytes(path: &Path) -> Result<f64> {
    let length = std::fs::metadata(path).with_context(|| format!("reading `{}`", path.display()))?.len();
    Ok(length as f64 / 1e6)
}
