//! Pipelines of a folder: how many at once, and one after the other until somebody asks to stop.

use std::future::Future;
use std::path::{Path, PathBuf};

use anyhow::Result;
use futures::{StreamExt, stream};
use rapidbyte_host::Host;
use rapidbyte_host::engine::Cancellation;

use crate::args::SideBySide;

/// How many pipelines of a path run at once.
pub fn at_once(host: &Host, path: &Path, asked: SideBySide) -> Result<usize> {
    let Some(number) = asked.parallel else { return Ok(1) };
    if let Some(number) = number {
        return Ok(usize::from(number));
    }
    // Of the workspace that the folder lies in, or is.
    let settings = host.project_settings(&path.join("."))?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(settings.parallel.map_or(processors, |number| usize::try_from(number).unwrap_or(processors)))
}

/// Runs every file, so many at once; answers in the order of the files. None begins once a stop is asked for, and one that fails
/// keeps no other from running.
pub async fn each<T, F: Future<Output = T>>(
    files: &[PathBuf],
    at_once: usize,
    cancellation: &Cancellation,
    run: impl FnMut(PathBuf) -> F,
) -> Vec<T> {
    let wanted = files.iter().cloned().take_while(|_| !cancellation.is_requested());
    stream::iter(wanted).map(run).buffered(at_once.max(1)).collect().await
}
