//! What a run answers: per stream what was moved, what went wrong, what to know.

use std::time::Instant;

use rapidbyte_core::ports::{RunCounters, RunStatus};
use rapidbyte_core::profile::{RunProfile, TaskProfile};
use rapidbyte_core::{ConnectorError, SyncMode, WriteMode};
use serde::Serialize;

use crate::error::{Fault, Origin};
use crate::limits::SAMPLES_MAX;
use crate::memory::MemoryPlan;
use crate::plan::Task;
use crate::shared::TaskShared;
use crate::steps::Violation;

/// The outcome of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    pub pipeline: String,
    /// In the order of the plan.
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

/// The outcome of one stream, its partitions and attempts together.
#[derive(Debug, Clone, Serialize)]
pub struct StreamReport {
    pub stream: String,
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
    /// Refused records that became dead letters.
    pub records_dead_lettered: u64,
    /// How often it was tried again.
    pub retries: u32,
    /// In how many partitions it was read; 1: as one.
    pub partitions: u32,
    /// How often its records broke its contract.
    pub violations: Vec<Violation>,
    /// Checkpoints that the destination committed and the state saved.
    pub checkpoints: u64,
    pub duration_ms: u64,
    /// The most memory that the stream's guests used, summed over them.
    pub guest_bytes_peak: u64,
    pub error: Option<Fault>,
    pub warnings: Vec<String>,
    /// What the stages of its attempts did with their time, and when each began. The run takes them over.
    #[serde(skip)]
    pub profiles: Vec<(Instant, TaskProfile)>,
}

impl StreamReport {
    /// A stream that was never begun.
    pub(crate) fn unstarted(task: &Task) -> Self {
        StreamReport {
            stream: task.key.stream.clone(),
            status: RunStatus::Stopped,
            sync_mode: task.sync_mode,
            write_mode: task.write.mode,
            started: false,
            resumed: false,
            counters: RunCounters::default(),
            records_skipped: 0,
            records_dead_lettered: 0,
            retries: 0,
            partitions: 1,
            violations: Vec::new(),
            checkpoints: 0,
            duration_ms: 0,
            guest_bytes_peak: 0,
            error: None,
            warnings: Vec::new(),
            profiles: Vec::new(),
        }
    }

    /// Takes over what an attempt came to.
    pub(crate) fn take(&mut self, shared: &TaskShared, interrupted: bool) {
        let cancelled = shared.ports.cancellation.is_requested();
        let failure = shared.failure();
        self.resumed |= shared.start.get().is_some_and(|start| start.position.is_some());
        self.counters = shared.ledger.close();
        self.records_skipped += shared.ledger.records_skipped();
        self.records_dead_lettered += shared.ledger.records_dead();
        self.checkpoints += shared.ledger.saves();
        self.guest_bytes_peak = self.guest_bytes_peak.max(shared.guest_bytes_peak());
        self.warnings.extend(shared.take_warnings());
        self.profiles.push(shared.clock.profile(&shared.task.key));
        for violation in shared.take_violations() {
            self.add_violation(violation);
        }
        self.error = None;
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

    /// Puts a partition's outcome to the stream's. The worst of all is the stream's.
    pub(crate) fn merge(&mut self, part: StreamReport) {
        self.started |= part.started;
        self.resumed |= part.resumed;
        self.counters.add(&part.counters);
        self.records_skipped += part.records_skipped;
        self.records_dead_lettered += part.records_dead_lettered;
        self.retries += part.retries;
        self.checkpoints += part.checkpoints;
        self.guest_bytes_peak = self.guest_bytes_peak.max(part.guest_bytes_peak);
        self.warnings.extend(part.warnings);
        self.profiles.extend(part.profiles);
        part.violations.into_iter().for_each(|violation| self.add_violation(violation));
        let badness = |status| match status {
            RunStatus::Succeeded => 0,
            RunStatus::Running | RunStatus::Stopped => 1,
            RunStatus::Crashed | RunStatus::Failed => 2,
        };
        if badness(part.status) > badness(self.status) {
            self.status = part.status;
        }
        if self.error.is_none() {
            self.error = part.error;
        }
    }

    fn add_violation(&mut self, violation: Violation) {
        let same = |known: &&mut Violation| known.column == violation.column && known.rule == violation.rule;
        match self.violations.iter_mut().find(same) {
            Some(known) => {
                known.records += violation.records;
                let room = SAMPLES_MAX.saturating_sub(known.samples.len());
                known.samples.extend(violation.samples.into_iter().take(room));
            }
            None if violation.records > 0 => self.violations.push(violation),
            None => {}
        }
    }

    pub(crate) fn fail(&mut self, fault: Fault) {
        self.status = RunStatus::Failed;
        self.error = Some(fault);
    }

    /// The engine itself failed.
    pub(crate) fn fail_engine(&mut self, message: String) {
        let error = ConnectorError::internal("task_ended", message);
        self.started = true;
        self.status = RunStatus::Failed;
        self.error = Some(Fault::new(Origin::Engine, "engine", error));
    }
}
