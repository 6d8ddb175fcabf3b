//! What is to be moved, by what, and with which ports: the engine's input.
//! Refuses to know: how a document writes it, how a connector is loaded.

use std::sync::Arc;

use rapidbyte_core::copy::CopyKeeper;
use rapidbyte_core::ports::{Connector, Observer, StateStore};
use rapidbyte_core::redact::Redactor;
use rapidbyte_core::sql::{Operation, Rule, SqlPlanner};
use rapidbyte_core::{CursorSpec, DataErrorPolicy, Policies, SyncMode, WritePlan};

use crate::breaker::BreakerPolicy;
use crate::cancel::Cancellation;
use crate::retry::RetryPolicy;

/// A pipeline, checked and with every default applied.
#[derive(Debug, Clone)]
pub struct PipelineSpec {
    pub name: String,
    pub streams: Selection,
    /// In order; the index of each is that of its connector in [`Connectors::transforms`].
    pub transforms: Vec<TransformSpec>,
    /// The first of them that records pass; those before it were passed already.
    pub transforms_from: usize,
    pub contracts: Vec<ContractSpec>,
    /// What streams get that are not listed.
    pub policies: Policies,
    pub on_error: DataErrorPolicy,
    pub retry: RetryPolicy,
    pub breaker: Option<BreakerPolicy>,
    pub resources: ResourceSpec,
}

impl PipelineSpec {
    /// Begins with this transform.
    pub fn skip_transforms(&mut self, first: usize) {
        self.transforms_from = first;
    }
}

/// Which streams move.
#[derive(Debug, Clone)]
pub enum Selection {
    Listed(Vec<StreamSpec>),
    /// Every stream of the catalog, whole, each by this write plan. An empty key stands for each stream's own.
    All(WritePlan),
}

#[derive(Debug, Clone)]
pub struct StreamSpec {
    pub name: String,
    pub sync_mode: SyncMode,
    pub cursor: Option<CursorSpec>,
    /// In order. Empty: all.
    pub columns: Vec<String>,
    /// A SQL predicate: applied by the source where it can, else by the host.
    pub filter: Option<String>,
    /// An empty key stands for the stream's own, as its catalog has it.
    pub write: WritePlan,
    /// Of the destination.
    pub policies: Policies,
    /// What becomes of records that the source, a transform or the contract refuses.
    pub on_error: DataErrorPolicy,
    /// In how many partitions it is read at most; 1: as one. None: as the source and `parallelism` see fit.
    pub partitions: Option<u32>,
    /// By which column. None: the source's choice.
    pub partition_key: Option<String>,
}

impl StreamSpec {
    pub(crate) fn whole(name: &str, write: &WritePlan, spec: &PipelineSpec) -> Self {
        StreamSpec {
            name: name.to_owned(),
            sync_mode: SyncMode::FullRefresh,
            cursor: None,
            columns: Vec::new(),
            filter: None,
            write: write.clone(),
            policies: spec.policies,
            on_error: spec.on_error,
            partitions: None,
            partition_key: None,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct TransformSpec {
    /// The only stream that passes it. None: all.
    pub stream: Option<String>,
    pub kind: TransformKind,
}

/// Who transforms.
#[derive(Debug, Clone, Default)]
pub enum TransformKind {
    #[default]
    Connector,
    /// The host.
    Operations(Vec<Operation>),
}

/// What a stream's records have to keep when they arrive at the destination.
#[derive(Debug, Clone)]
pub struct ContractSpec {
    /// Index into the document's contracts.
    pub index: usize,
    pub stream: String,
    pub required: Vec<RequiredColumn>,
    pub rules: Vec<ContractRule>,
    /// For required columns.
    pub on_violation: OnViolation,
}

#[derive(Debug, Clone)]
pub struct RequiredColumn {
    pub name: String,
    /// Name of an Arrow type: `Utf8`, `Timestamp`, `Decimal128(18, 2)`.
    pub data_type: Option<String>,
    pub nullable: Option<bool>,
}

#[derive(Debug, Clone)]
pub struct ContractRule {
    pub rule: Rule,
    pub on_violation: OnViolation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnViolation {
    Fail,
    Warn,
    DropRow,
}

/// What a run may use. None: the connector's word, else the engine's.
#[derive(Debug, Clone, Copy)]
pub struct ResourceSpec {
    pub max_memory_bytes: u64,
    pub parallelism: u32,
    pub max_batch_bytes: Option<u64>,
    pub max_record_bytes: Option<u64>,
    pub checkpoint_interval_bytes: Option<u64>,
    pub checkpoint_interval_rows: Option<u64>,
    pub checkpoint_interval_seconds: Option<u32>,
}

impl Default for ResourceSpec {
    fn default() -> Self {
        use rapidbyte_core::limits;
        ResourceSpec {
            max_memory_bytes: limits::MEMORY_BYTES_DEFAULT,
            parallelism: limits::PARALLELISM_DEFAULT,
            max_batch_bytes: None,
            max_record_bytes: None,
            checkpoint_interval_bytes: None,
            checkpoint_interval_rows: None,
            checkpoint_interval_seconds: None,
        }
    }
}

/// A loaded connector with its configuration: instances of it can be started.
#[derive(Clone)]
pub struct Plugged {
    pub connector: Arc<dyn Connector>,
    /// Secrets included. Never logged, never part of a plan.
    pub config_json: Arc<str>,
}

impl Plugged {
    pub fn new(connector: Arc<dyn Connector>, config_json: impl Into<Arc<str>>) -> Self {
        Plugged { connector, config_json: config_json.into() }
    }
}

/// The connectors of a pipeline.
#[derive(Clone)]
pub struct Connectors {
    pub source: Plugged,
    /// In the order of [`PipelineSpec::transforms`]; none where the host transforms.
    pub transforms: Vec<Option<Plugged>>,
    pub destination: Plugged,
}

impl Connectors {
    /// The connector of a transform.
    pub(crate) fn transform(&self, index: usize) -> Option<&Plugged> {
        self.transforms.get(index).and_then(Option::as_ref)
    }
}

/// What a run sees of the world besides its connectors.
#[derive(Clone)]
pub struct Ports {
    pub state: Arc<dyn StateStore>,
    pub observer: Arc<dyn Observer>,
    pub cancellation: Cancellation,
    pub sql: Arc<dyn SqlPlanner>,
    /// Keeps a local copy of what is moved. None: nobody asked for it.
    pub copies: Option<Arc<dyn CopyKeeper>>,
    /// What dead letters and errors pass before they are kept.
    pub redactor: Redactor,
}
