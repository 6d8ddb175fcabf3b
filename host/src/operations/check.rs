//! `rapidbyte check`: everything that can be known before anything moves.

use std::sync::{Arc, Mutex};

use rapidbyte_core::contract::{FieldValue, LogEvent, SyncMode};
use rapidbyte_core::ports::{Observer, RunEvent, RunRecord, RunStatus, StateStore};
use rapidbyte_engine::{self as engine, Cancellation, CheckReport, PipelineSpec, PlanOptions, RunPlan};
use rapidbyte_pipeline::DocumentErrors;
use serde::Serialize;

use super::document::{self, Document};
use crate::connector::build::BuildProgress;
use crate::error::HostError;
use crate::provision::PackageOptions;
use crate::settings::Host;

/// What a check found.
#[derive(Debug, Serialize)]
pub struct Checked {
    #[serde(flatten)]
    pub report: CheckReport,
    pub connectors: Vec<ConnectorGrants>,
    /// What a run would change at the destination before it writes.
    pub schema_changes: Vec<SchemaChange>,
    /// What a run would move, as far as anybody can tell.
    pub estimates: Vec<Estimate>,
    /// What is wrong with the pipeline, at its place in the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentErrors>,
}

/// One change of a table, as the destination says it would make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaChange {
    pub stream: String,
    /// `new_column`, `removed_column`, `type_change` or `nullability_change`.
    pub axis: String,
    pub column: String,
    /// `add`, `drop`, `widen`, `null`, `ignore`.
    pub action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

/// How much a stream is, and how long it will take: by what the source knows and by what earlier runs took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    pub stream: String,
    /// Of a full read; an incremental one moves at most as many. None: the source does not know.
    pub rows: Option<u64>,
    /// By the rate of the newest run that moved something. None: there was none.
    pub seconds: Option<f64>,
    /// The stream goes on behind a saved position, so less will be moved.
    pub continues: bool,
    /// At most so many partitions side by side.
    pub partitions_max: u32,
}

/// Listens for what destinations say they would change.
struct Changes {
    inner: Arc<dyn Observer>,
    seen: Mutex<Vec<SchemaChange>>,
}

impl Observer for Changes {
    fn observe(&self, event: RunEvent<'_>) {
        if let RunEvent::Log { key: Some(key), event: log, .. } = &event
            && let Some(change) = schema_change(&key.stream, log)
        {
            self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(change);
        }
        self.inner.observe(event);
    }
}

/// The change that a log line tells of, if it is such a line (`docs/contract.md`).
fn schema_change(stream: &str, log: &LogEvent) -> Option<SchemaChange> {
    let field = |name: &str| {
        log.fields.iter().find(|(key, _)| key == name).and_then(|(_, value)| match value {
            FieldValue::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        })
    };
    (field("event").as_deref() == Some("schema_change")).then_some(())?;
    Some(SchemaChange {
        stream: stream.to_owned(),
        axis: field("axis")?,
        column: field("column")?,
        action: field("action")?,
        from: field("from"),
        to: field("to"),
        sql: field("sql"),
    })
}

/// What one connector of the pipeline may reach.
#[derive(Debug, Serialize)]
pub struct ConnectorGrants {
    pub connector: String,
    /// `host:port`.
    pub endpoints: Vec<String>,
    pub folders: Vec<String>,
    /// Names only.
    pub environment: Vec<String>,
}

impl Host {
    /// Checks a document with everything it names. An error means that there was nothing to check.
    pub async fn check(
        &self,
        document: &Document,
        observer: Arc<dyn Observer>,
        cancellation: Cancellation,
        packages: &PackageOptions,
        progress: &mut dyn BuildProgress,
    ) -> Result<Checked, HostError> {
        let loaded = self.load_all(document, packages, progress).await?;
        let changes = Arc::new(Changes { inner: observer, seen: Mutex::default() });
        let ports = self.ports(document, changes.clone(), cancellation).await?;
        let spec = PipelineSpec::from_document(&document.pipeline);
        let report = engine::check(&spec, &loaded.connectors(), &ports, &PlanOptions::default()).await;
        self.as_recorded()?;
        let problems: Vec<_> = report.items.iter().filter_map(|item| item.problem.clone()).collect();
        let document = (!problems.is_empty()).then(|| document::point(&document.pipeline, &problems));
        let connectors = loaded.in_order().map(|loaded| ConnectorGrants {
            connector: loaded.manifest.id(),
            endpoints: loaded
                .grants
                .endpoints
                .iter()
                .map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port))
                .collect(),
            folders: loaded
                .grants
                .folders
                .iter()
                .map(|folder| {
                    format!("{}{}", folder.path.display(), if folder.writable { " (writable)" } else { "" })
                })
                .collect(),
            environment: loaded.grants.env.iter().map(|(name, _)| name.clone()).collect(),
        });
        let connectors = connectors.collect();
        let estimates = match &report.plan {
            Some(plan) => estimates(plan, &*ports.state).await?,
            None => Vec::new(),
        };
        let schema_changes = std::mem::take(&mut *changes.seen.lock().unwrap_or_else(|it| it.into_inner()));
        Ok(Checked { connectors, schema_changes, estimates, report, document })
    }
}

/// Runs that are looked back on for a stream's rate.
const RUNS_LOOKED_AT: u32 = 200;

async fn estimates(plan: &RunPlan, state: &dyn StateStore) -> Result<Vec<Estimate>, HostError> {
    let runs = state.runs(Some(&plan.pipeline), RUNS_LOOKED_AT).await?;
    let mut estimates = Vec::with_capacity(plan.tasks.len());
    for task in &plan.tasks {
        // The largest says most: a short one is all beginning.
        let of_stream = runs.iter().filter(|run| run.stream == task.key.stream && moved_something(run));
        let rate = of_stream.max_by_key(|run| run.counters.records_written).and_then(rate);
        let saved = state.last_checkpoint(&task.key).await?;
        let full = task.sync_mode == SyncMode::FullRefresh;
        estimates.push(Estimate {
            stream: task.key.stream.clone(),
            rows: task.estimated_rows,
            seconds: task.estimated_rows.zip(rate).map(|(rows, rate)| rows as f64 / rate),
            continues: saved
                .is_some_and(|saved| !saved.reset && saved.cursor.is_some() && !(full && saved.complete)),
            partitions_max: task.split.as_ref().map_or(1, |split| split.partitions_max),
        });
    }
    Ok(estimates)
}

fn moved_something(run: &RunRecord) -> bool {
    run.status == RunStatus::Succeeded && run.counters.records_written > 0
}

/// Records a second. Runs are timed by the second, so that a short one says little.
fn rate(run: &RunRecord) -> Option<f64> {
    let seconds = run.finished_at?.saturating_sub(run.started_at).max(1);
    Some(run.counters.records_written as f64 / seconds as f64)
}
