//! The ports: what the engine needs from the world, as traits. Adapters implement them (`wasm`, `state`), the façade wires
//! them, tests may fault them. Read this after `host/src/lib.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::channel::{Receiver, Sender};
use crate::contract::*;
use crate::dead_letter::{DeadLetterFilter, DeadLetterGroup, DeadLetters, StoredDeadLetters};
use crate::error::ConnectorError;
use crate::frame::Frame;
use crate::waiting::Waiting;

// ---- Connectors -----------------------------------------------------------------------------------

/// A loaded connector with its grants: from it instances are started, each in its own sandbox.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Name and version from the manifest: `source-postgres@1.0.0`.
    fn id(&self) -> &str;

    fn role(&self) -> ConnectorRole;

    /// How much memory an instance may use by its manifest, in bytes.
    fn memory_bytes_max(&self) -> u64;

    /// Starts an instance. `io` is everything it can ever reach besides its grants.
    async fn start(&self, io: InstanceIo) -> Result<Box<dyn Instance>, ConnectorError>;
}

/// One running connector. After an error of `run` it is poisoned: drop it. Dropping it at any time stops it; dropping a
/// pending future of it cancels the call at the guest's next waiting or computing tick.
#[async_trait]
pub trait Instance: Send {
    async fn open(&mut self, config_json: &str) -> Result<OpenInfo, ConnectorError>;
    async fn validate(&mut self) -> Result<ValidationReport, ConnectorError>;
    async fn run(&mut self, request: RunRequest) -> Result<RunSummary, ConnectorError>;
    async fn close(&mut self) -> Result<(), ConnectorError>;

    /// The most memory the instance has used so far, in bytes.
    fn memory_bytes_peak(&self) -> u64;

    /// How long it has waited for what it talks to outside of the pipeline, where somebody counts that. Goes on being
    /// counted while the instance runs.
    fn remote_waits(&self) -> Option<Arc<Waiting>> {
        None
    }
}

/// What one instance is given.
pub struct InstanceIo {
    /// Where `batch-next` takes from. None: the role does not consume.
    pub inlet: Option<Receiver>,
    /// Where `batch-emit` puts. None: the role does not emit.
    pub outlet: Option<Arc<Sender>>,
    pub services: Arc<dyn Services>,
    /// Bounds for frames this instance makes.
    pub limits: Limits,
    /// Hard cap on the instance's memory, at most the manifest's, in bytes.
    pub memory_bytes_max: u64,
}

/// The host services that the engine provides to an instance.
#[async_trait]
pub trait Services: Send + Sync {
    /// A source's or transform's checkpoint is put behind the frames it covers; a destination's is committed to state
    /// before this returns; a receipt is answered with how the stream goes on.
    async fn checkpoint(&self, event: CheckpointEvent) -> Result<CheckpointReply, ConnectorError>;
    /// The newest checkpoint of the task whose cursor is saved.
    fn committed(&self) -> Option<CheckpointEvent>;
    /// Whether the run was asked to end.
    fn cancelled(&self) -> bool;
    /// Returns once the run was asked to end.
    async fn wait_cancelled(&self);
    fn metric(&self, event: MetricEvent);
    fn log(&self, event: LogEvent);
    fn progress(&self, records: u64, bytes: u64);
    async fn dead_letters(&self, records: Frame, errors: Vec<RecordError>) -> Result<(), ConnectorError>;
    async fn state_get(&self, scope: StateScope, key: &str) -> Result<Option<Vec<u8>>, ConnectorError>;
    async fn state_put(&self, scope: StateScope, key: &str, value: Vec<u8>) -> Result<(), ConnectorError>;
    async fn state_compare_and_swap(
        &self,
        scope: StateScope,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, ConnectorError>;
    /// Called at every import a guest enters (`destination.tcp-try-write`) and at the engine's own turning points
    /// (`engine.state-write.before`): where a test kills the process.
    fn reached(&self, point: &str);
}

// ---- State ----------------------------------------------------------------------------------------

/// What a cursor belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskKey {
    pub pipeline: String,
    pub stream: String,
    /// Index of the partition; 0 for a whole stream.
    pub partition: u32,
}

/// A checkpoint that the destination has committed, as state keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedCheckpoint {
    pub id: u64,
    pub cursor: Option<Cursor>,
    /// The stream was read to its end at this checkpoint.
    pub complete: bool,
    /// The user reset the stream here: an older or equal receipt of the destination does not count.
    pub reset: bool,
    /// Seconds since the epoch.
    pub saved_at: i64,
}

/// The name under which [`StateStore`] keeps the values of a scope: a JSON array, unambiguous whatever the names contain.
/// Its second element is the pipeline, the third of a stream's scope the stream, so that a reset finds them.
pub fn state_scope_name(scope: StateScope, key: &TaskKey, connector: &str) -> String {
    match scope {
        StateScope::Pipeline => serde_json::json!(["pipeline", key.pipeline]),
        StateScope::Stream => serde_json::json!(["stream", key.pipeline, key.stream]),
        StateScope::ConnectorInstance => serde_json::json!(["connector_instance", key.pipeline, connector]),
    }
    .to_string()
}

/// Where the engine itself keeps what it must remember of a task; forgotten with the stream.
pub fn task_scope_name(key: &TaskKey) -> String {
    serde_json::json!(["stream", key.pipeline, key.stream, key.partition]).to_string()
}

/// Totals of a run of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunCounters {
    pub records_read: u64,
    pub records_written: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
}

impl RunCounters {
    pub fn add(&mut self, other: &RunCounters) {
        self.records_read += other.records_read;
        self.records_written += other.records_written;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    Succeeded,
    Failed,
    /// Ended at a checkpoint because it was asked to.
    Stopped,
    /// Its process died; found by the next run.
    Crashed,
}

impl RunStatus {
    pub const ALL: [RunStatus; 5] =
        [RunStatus::Running, RunStatus::Succeeded, RunStatus::Failed, RunStatus::Stopped, RunStatus::Crashed];

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Stopped => "stopped",
            RunStatus::Crashed => "crashed",
        }
    }
}

/// One row of the run history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    pub run_id: i64,
    pub pipeline: String,
    pub stream: String,
    pub status: RunStatus,
    /// Seconds since the epoch.
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub counters: RunCounters,
    pub error: Option<String>,
}

/// Which runs of the history are meant; what is none does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    pub pipeline: Option<String>,
    pub stream: Option<String>,
    pub status: Option<RunStatus>,
}

/// One saved position with what it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPosition {
    pub key: TaskKey,
    pub checkpoint: SavedCheckpoint,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another live process runs this stream.
    #[error("stream `{stream}` of pipeline `{pipeline}` is being run by {holder}")]
    Busy { pipeline: String, stream: String, holder: String },
    /// The run's claim belongs to somebody else by now: this process was taken for dead, and may write no more for it.
    #[error("stream `{stream}` of pipeline `{pipeline}` was taken over by {holder}")]
    TakenOver { pipeline: String, stream: String, holder: String },
    /// The state was written by a newer version.
    #[error("state at `{location}` has schema version {found}, this version knows up to {known}")]
    TooNew { location: String, found: i64, known: i64 },
    /// The state cannot be opened, read or written.
    #[error("state at `{location}`: {message}")]
    Unavailable { location: String, message: String },
}

/// Where cursors, runs and connector state live. All methods are atomic; an answered write is durable.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// For messages: the path or server, without secrets.
    fn location(&self) -> String;

    /// Claims the one running sync of (pipeline, stream) and opens its row of history. A claim of a dead process is taken
    /// over, its row marked crashed.
    async fn begin_run(&self, pipeline: &str, stream: &str) -> Result<i64, StateError>;
    /// Closes the row and frees the claim. Refused with [`StateError::TakenOver`] where the claim is another's by now.
    async fn finish_run(
        &self,
        run_id: i64,
        status: RunStatus,
        counters: RunCounters,
        error: Option<&str>,
    ) -> Result<(), StateError>;

    /// The newest saved checkpoint of a task.
    async fn last_checkpoint(&self, key: &TaskKey) -> Result<Option<SavedCheckpoint>, StateError>;
    /// Saves a checkpoint together with the run's counters so far, and settles the pending dead letters before it. Refuses
    /// one that is not newer than the last, and with [`StateError::TakenOver`] a run whose claim is another's by now.
    async fn save_checkpoint(
        &self,
        run_id: i64,
        key: &TaskKey,
        checkpoint: &SavedCheckpoint,
        counters: RunCounters,
    ) -> Result<(), StateError>;

    /// Keeps dead letters as pending. Refused with [`StateError::TakenOver`] where the run's claim is another's by now.
    async fn add_dead_letters(
        &self,
        run_id: i64,
        key: &TaskKey,
        letters: &DeadLetters,
    ) -> Result<(), StateError>;
    /// At the start of a task, whose stream this process has claimed: what is pending with `after` below `committed` is
    /// settled (the destination had committed it and the process died before that was saved), the rest is dropped, since
    /// those records are read again.
    async fn resolve_dead_letters(&self, key: &TaskKey, committed: Option<u64>) -> Result<(), StateError>;
    /// Settled dead letters with an id above `behind`, by id, at most `limit` batches of them.
    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        behind: i64,
        limit: u32,
    ) -> Result<Vec<StoredDeadLetters>, StateError>;
    /// Settled dead letters of a pipeline (none: of all), counted, ordered by pipeline, stream, origin and code.
    async fn dead_letter_groups(&self, pipeline: Option<&str>) -> Result<Vec<DeadLetterGroup>, StateError>;
    /// Forgets settled dead letters, as after a replay. Unknown ids are none.
    async fn forget_dead_letters(&self, ids: &[i64]) -> Result<(), StateError>;

    /// Every saved position of a pipeline (none: of all), ordered by key.
    async fn positions(&self, pipeline: Option<&str>) -> Result<Vec<SavedPosition>, StateError>;
    /// The newest runs first.
    async fn history(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRecord>, StateError>;
    /// The newest runs of a pipeline (none: of all) first.
    async fn runs(&self, pipeline: Option<&str>, limit: u32) -> Result<Vec<RunRecord>, StateError> {
        self.history(&RunFilter { pipeline: pipeline.map(str::to_owned), ..RunFilter::default() }, limit)
            .await
    }
    /// Forgets the positions of a pipeline's stream (none: of all its streams that state knows) so that the next run starts
    /// over, also against the destination's receipt; a stream named here is reset even if state knows nothing of it. The
    /// connectors' own state of the stream (none: of the whole pipeline) goes too, and so do pending dead letters; settled
    /// ones stay. Answers what was reset. Refused while a live process runs it.
    async fn reset(&self, pipeline: &str, stream: Option<&str>) -> Result<Vec<TaskKey>, StateError>;

    async fn get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>, StateError>;
    async fn put(&self, scope: &str, key: &str, value: &[u8]) -> Result<(), StateError>;
    async fn compare_and_swap(
        &self,
        scope: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, StateError>;
}

// ---- What a run tells its caller ------------------------------------------------------------------

/// Progress and outcome of a run, for whoever shows it. Called from the hot path: must not block.
pub trait Observer: Send + Sync {
    fn observe(&self, event: RunEvent<'_>);
}

#[derive(Debug, Clone)]
pub enum RunEvent<'a> {
    StreamStarted {
        key: &'a TaskKey,
        sync_mode: SyncMode,
        resuming: bool,
    },
    /// Totals of the task so far.
    Progress {
        key: &'a TaskKey,
        counters: RunCounters,
    },
    CheckpointSaved {
        key: &'a TaskKey,
        checkpoint: &'a SavedCheckpoint,
    },
    /// A connector is ready to be started.
    PluginLoaded {
        /// Name and version: `source-postgres@1.0.0`.
        connector: &'a str,
        duration_ms: u64,
        /// Its compiled code was there already.
        cached: bool,
    },
    /// The host has handed a batch from one connector to the next.
    BatchMoved {
        key: &'a TaskKey,
        /// The connector that made it, as `source-postgres@1.0.0`.
        from: &'a str,
        /// The connector that takes it.
        to: &'a str,
        records: u64,
        bytes: u64,
        /// From when the host took it until the next connector's channel had room for it.
        duration_us: u64,
    },
    /// Records were refused and passed over, or set aside as dead letters.
    RecordsFailed {
        key: &'a TaskKey,
        /// Who refused them.
        connector: &'a str,
        records: u64,
    },
    Log {
        key: Option<&'a TaskKey>,
        connector: &'a str,
        event: &'a LogEvent,
    },
    Metric {
        key: Option<&'a TaskKey>,
        connector: &'a str,
        event: &'a MetricEvent,
    },
    StreamFinished {
        key: &'a TaskKey,
        status: RunStatus,
        counters: RunCounters,
        error: Option<&'a ConnectorError>,
    },
    /// See [`Services::reached`].
    Reached {
        point: &'a str,
    },
}
