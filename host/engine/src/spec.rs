//! What is to be moved, by what, and with which ports: the engine's input.
//! Refuses to know: how a document writes it, how a connector is loaded.

use std::sync::Arc;

use rapidbyte_core::ports::{Connector, Observer, StateStore};
use rapidbyte_core::{CursorSpec, Policies, SyncMode, WritePlan};

use crate::cancel::Cancellation;

/// A pipeline, checked and with every default applied.
#[derive(Debug, Clone)]
pub struct PipelineSpec {
    pub name: String,
    pub streams: Selection,
    /// In order; the index of each is that of its connector in [`Connectors::transforms`].
    pub transforms: Vec<TransformSpec>,
    pub policies: Policies,
    pub resources: ResourceSpec,
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
    pub filter: Option<String>,
    /// An empty key stands for the stream's own, as its catalog has it.
    pub write: WritePlan,
}

impl StreamSpec {
    pub(crate) fn whole(name: &str, write: &WritePlan) -> Self {
        StreamSpec {
            name: name.to_owned(),
            sync_mode: SyncMode::FullRefresh,
            cursor: None,
            columns: Vec::new(),
            filter: None,
            write: write.clone(),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct TransformSpec {
    /// The only stream that passes it. None: all.
    pub stream: Option<String>,
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
    /// In the order of [`PipelineSpec::transforms`].
    pub transforms: Vec<Plugged>,
    pub destination: Plugged,
}

/// What a run sees of the world besides its connectors.
#[derive(Clone)]
pub struct Ports {
    pub state: Arc<dyn StateStore>,
    pub observer: Arc<dyn Observer>,
    pub cancellation: Cancellation,
}
