//! What a run answers: per stream what was moved, what went wrong, what to know.

use rapidbyte_core::ports::{RunCounters, RunStatus};
use rapidbyte_core::{ConnectorError, SyncMode, WriteMode};
use serde::Serialize;

use crate::error::{Fault, Origin};
use crate::memory::MemoryPlan;

/// The outcome of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    pub pipeline: String,
    /// In the order of the plan, one for each task.
    pub streams: Vec<StreamReport>,
    /// About the run as a whole; those of a stream are with it.
    pub warnings: Vec<String>,
    pub duration_ms: u64,
    /// How the memory was divided.
    pub memory: MemoryPlan,
}

impl RunReport {
    /// Failed if any stream failed, else stopped if any was stopped, else succeeded.
    pub fn status(&self) -> RunStatus {
        let any = |status| self.streams.iter().any(|stream| stream.status == status);
        if any(RunStatus::Failed) {
            RunStatus::Failed
        } else if any(RunStatus::Stopped) {
            RunStatus::Stopped
        } else {
            RunStatus::Succeeded
        }
    }

    /// The sum over all streams.
    pub fn counters(&self) -> RunCounters {
        let mut sum = RunCounters::default();
        for stream in &self.streams {
            sum.add(&stream.counters);
        }
        sum
    }
}

/// The outcome of one task.
#[derive(Debug, Clone, Serialize)]
pub struct StreamReport {
    pub stream: String,
    pub partition: u32,
    /// `succeeded`, `failed` or `stopped`.
    pub status: RunStatus,
    pub sync_mode: SyncMode,
    pub write_mode: WriteMode,
    /// False: the run was asked to end before this stream began.
    pub started: bool,
    /// It continued behind an earlier run's checkpoint.
    pub resumed: bool,
    /// Read: what left the source. Written: what the destination confirmed as committed.
    pub counters: RunCounters,
    /// Refused records that the policy let pass over.
    pub records_skipped: u64,
    /// Checkpoints that the destination committed and the state saved.
    pub checkpoints: u64,
    pub duration_ms: u64,
    /// The most memory that the stream's guests used, summed over them.
    pub guest_bytes_peak: u64,
    pub error: Option<Fault>,
    pub warnings: Vec<String>,
}

impl StreamReport {
    /// The engine itself failed.
    pub(crate) fn fail_engine(&mut self, message: String) {
        let error = ConnectorError::internal("task_ended", message);
        self.started = true;
        self.status = RunStatus::Failed;
        self.error = Some(Fault::new(Origin::Engine, "engine", error));
    }
}
