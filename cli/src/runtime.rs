//! The async runtime: made only by commands that wait for something, with a bounded number of threads.

use std::future::Future;

use anyhow::{Context, Result};

/// More than this many cores are not needed to move bytes between two systems: guests of one task take turns.
const WORKER_THREADS_MAX: usize = 8;

/// Runs a command's work to its end. Whatever is still going on in the background then is let go.
pub fn block_on<F: Future>(work: F) -> Result<F::Output> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(1, WORKER_THREADS_MAX))
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let output = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(output)
}
