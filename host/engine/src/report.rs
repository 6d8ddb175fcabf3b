//! What a run answers: per stream what was moved, what went wrong, what to know.

use std::time::Instant;

use rapidbyte_core::ports::{RunCounters, RunStatus};
use rapidbyte_core::profile::{RunProfile, TaskProfile};
use rapidbyte_core::{ConnectorError, SyncMode, WriteMode};
use serde::Serialize;

use crate::error::{Fault, Origin};
use crate::memory::MemoryPlan;
use crate::plan::Task;
use crate::shared::TaskShared;

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
    pub profile: RunProfile,
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
    /// What its stages did with their time. None: it did not come so far, or the run has taken it.
    #[serde(skip)]
    pub profile: Option<TaskProfile>,
}

impl StreamReport {
    /// A stream that was never begun.
    pub(crate) fn unstarted(task: &Task) -> Self {
        StreamReport {
            stream: task.key.stream.clone(),
            partition: task.key.partition,
            status: RunStatus::Stopped,
            sync_mode: task.sync_mode,
            write_mode: task.write.mode,
            started: false,
            resumed: false,
            counters: RunCounters::default(),
            records_skipped: 0,
            checkpoints: 0,
            duration_ms: 0,
            guest_bytes_peak: 0,
            error: None,
            warnings: Vec::new(),
            profile: None,
        }
    }

    /// Takes over what a task came to.
    pub(crate) fn take(&mut self, shared: &TaskShared, interrupted: bool, run_began: Instant) {
        let cancelled = shared.ports.cancellation.is_requested();
        let failure = shared.failure();
        self.resumed = shared.start.get().is_some_and(|start| start.position.is_some());
        self.counters = shared.ledger.counters();
        self.records_skipped = shared.ledger.records_skipped();
        self.checkpoints = shared.ledger.saves();
        self.guest_bytes_peak = shared.guest_bytes_peak();
        self.warnings = shared.take_warnings();
        self.profile = Some(shared.clock.profile(&shared.task.key, run_began));
        self.status = match failure {
            // Asked to end, a source or transform may end with an error instead of at a checkpoint.
            Some(fault) if cancelled && matches!(fault.origin, Origin::Source | Origin::Transform(_)) => {
                self.warnings.push(format!("after the request to stop: {fault}"));
                RunStatus::Stopped
            }
            Some(fault) => {
                self.error = Some(fault);
                RunStatus::Failed
            }
            None if !interrupted && shared.ledger.is_complete() => RunStatus::Succeeded,
            None if cancelled => RunStatus::Stopped,
            None => {
                let error =
                    ConnectorError::internal("incomplete", "the stream ended without its last checkpoint");
                self.error = Some(Fault::new(Origin::Engine, "engine", error));
                RunStatus::Failed
            }
        };
    }

    /// The engine itself failed.
    pub(crate) fn fail_engine(&mut self, message: String) {
        let error = ConnectorError::internal("task_ended", message);
        self.started = true;
        self.status = RunStatus::Failed;
        self.error = Some(Fault::new(Origin::Engine, "engine", error));
    }
}
