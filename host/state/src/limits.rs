//! The limits of the state, with where the numbers come from.

use std::time::Duration;

/// How long a writer waits for another process that is writing. Every transaction here is a few rows and one fsync; even
/// a slow disk under load does that within a second.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// The write-ahead log is cut back to this after a checkpoint, in bytes.
pub const JOURNAL_BYTES_MAX: i64 = 4 * 1024 * 1024;
/// Checkpoints kept of one task. Only the newest counts; the others are history for people.
pub const CHECKPOINTS_KEPT: u32 = 32;
/// Closed runs kept of one stream.
pub const RUNS_KEPT: u32 = 1000;
/// An error as the history keeps it, in bytes; the whole of it was in the run's output.
pub const ERROR_BYTES_MAX: usize = 4 * 1024;
/// How often a name for a holder file is tried. One collision needs another process to clean up in the same instant.
pub const HOLDER_ATTEMPTS_MAX: u32 = 16;
