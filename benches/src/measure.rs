//! One measured run of a child process: wall time, its CPU, the server's CPU, its peak memory.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use xtask::postgres::Server;

pub struct Sample {
    pub wall_seconds: f64,
    pub client_cpu_seconds: f64,
    pub server_cpu_seconds: f64,
    /// Peak resident memory, where the child reports it.
    pub peak_bytes: Option<u64>,
}

/// Runs the command to its end and measures it; `peak` reads the child's own word on its peak memory from its stdout.
pub fn measure(
    server: &Server,
    command: &mut Command,
    peak: impl FnOnce(&str) -> Option<u64>,
) -> Result<Sample> {
    let server_before = server.cpu_seconds()?;
    let client_before = children_cpu_seconds()?;
    let started = Instant::now();
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    let wall_seconds = started.elapsed().as_secs_f64();
    let client_cpu_seconds = children_cpu_seconds()? - client_before;
    if !output.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    server.wait_idle()?;
    let server_cpu_seconds = server.cpu_seconds()? - server_before;
    let peak_bytes = peak(&String::from_utf8_lossy(&output.stdout));
    Ok(Sample { wall_seconds, client_cpu_seconds, server_cpu_seconds, peak_bytes })
}

/// CPU of the children waited for so far. The server is a child, too, but is not waited for before the end.
fn children_cpu_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// The middle value; the lower of the two in an even number of them.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
