//! What becomes of dead letters: moved behind a run to where the document sends them, and replayed when their cause is
//! mended.

use std::sync::Arc;

use rapidbyte_core::contract::{
    ArrowSchemaIpc, CursorSpec, DataErrorPolicy, Policies, SyncMode, WriteMode, WritePlan,
};
use rapidbyte_core::dead_letter::{DeadLetterFilter, StoredDeadLetters};
use rapidbyte_core::frame::encode_schema;
use rapidbyte_core::ports::{RunStatus, TaskKey};
use rapidbyte_core::{ConnectorError, Frame};
use rapidbyte_engine::{
    self as engine, Connectors, PipelineSpec, PlanOptions, Plugged, Ports, RunReport, Selection,
    StreamReport, StreamSpec,
};
use rapidbyte_pipeline::spec::DEFAULT_POLICIES;
use serde::Serialize;

use super::document::Document;
use super::run::plan_error;
use crate::connector::build::BuildProgress;
use crate::error::HostError;
use crate::letters::{CURSOR, Letters};
use crate::operations::run::RunOptions;
use crate::settings::Host;

/// Where a run's dead letters go besides the state.
pub(crate) struct Delivery {
    /// None: of every stream.
    pub stream: Option<String>,
    /// The stream that they are at the destination.
    pub name: String,
    pub destination: Plugged,
    pub with_error: bool,
}

/// Moves what has not been moved yet. What it says of each is put to the run's warnings where it fails: the letters stay in
/// the state, and the next run goes on.
pub(crate) async fn deliver(
    spec: &PipelineSpec,
    deliveries: Vec<Delivery>,
    ports: &Ports,
    report: &mut RunReport,
) -> Result<(), HostError> {
    for delivery in deliveries {
        let filter = DeadLetterFilter { pipeline: spec.name.clone(), stream: delivery.stream.clone() };
        if !has_undelivered(spec, &filter, &delivery.name, ports).await? {
            continue;
        }
        let letters = Letters::reports(ports.state.clone(), filter, &delivery.name, delivery.with_error);
        let connectors = Connectors {
            source: Plugged::new(Arc::new(letters), "{}"),
            transforms: Vec::new(),
            destination: delivery.destination,
        };
        let outcome = move_letters(spec, &delivery.name, &connectors, ports, false).await;
        let failed = match &outcome {
            Ok(moved) if moved.status == RunStatus::Succeeded => None,
            Ok(moved) => moved.error.as_ref().map(ToString::to_string),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = failed {
            let warning = format!(
                "dead letters could not be moved to `{}`: {why}; they are safe in the state, and the next run tries again",
                delivery.name
            );
            report.warnings.push(ports.redactor.redact(&warning).into_owned());
        }
    }
    Ok(())
}

async fn has_undelivered(
    spec: &PipelineSpec,
    filter: &DeadLetterFilter,
    name: &str,
    ports: &Ports,
) -> Result<bool, HostError> {
    let key = TaskKey { pipeline: spec.name.clone(), stream: name.to_owned(), partition: 0 };
    let saved = ports.state.last_checkpoint(&key).await?.filter(|saved| !saved.reset);
    let behind = match saved.and_then(|saved| saved.cursor).map(|cursor| cursor.value) {
        Some(rapidbyte_core::CursorValue::Int64(id)) => id,
        _ => 0,
    };
    Ok(!ports.state.dead_letters(filter, behind, 1).await?.is_empty())
}

/// Moves dead letters as one stream.
async fn move_letters(
    spec: &PipelineSpec,
    name: &str,
    connectors: &Connectors,
    ports: &Ports,
    replay: bool,
) -> Result<StreamReport, engine::PlanError> {
    let mut spec = PipelineSpec { breaker: None, ..spec.clone() };
    if !replay {
        spec.transforms = Vec::new();
        spec.contracts = Vec::new();
        // A dead letter that is refused would become one again, for ever.
        let policies = Policies { on_data_error: DataErrorPolicy::Fail, ..DEFAULT_POLICIES };
        spec.streams = Selection::Listed(vec![StreamSpec {
            name: name.to_owned(),
            sync_mode: SyncMode::Incremental,
            cursor: Some(CursorSpec { field: CURSOR.to_owned(), tie_breaker: Vec::new() }),
            columns: Vec::new(),
            filter: None,
            write: WritePlan { mode: WriteMode::Append, primary_key: Vec::new(), update_columns: Vec::new() },
            policies,
            on_error: DataErrorPolicy::Fail,
            partitions: None,
            partition_key: None,
        }]);
    }
    let options = PlanOptions { only: Vec::new(), replay };
    let plan = engine::plan(&spec, connectors, ports, &options).await?;
    let mut report = engine::run(plan, connectors, ports).await;
    report.streams.pop().ok_or_else(|| {
        let error = ConnectorError::internal("no_stream", "the dead letters were not moved");
        engine::PlanError::Connector(engine::Fault::of_engine(error))
    })
}

// ---- Replay ---------------------------------------------------------------------------------------

/// What a replay came to.
#[derive(Debug, Default, Serialize)]
pub struct Replayed {
    pub pipeline: String,
    /// Records that are at the destination now.
    pub records_written: u64,
    /// Records that were refused once more; they are dead letters again.
    pub records_refused: u64,
    /// Records that cannot be replayed: their source refused them.
    pub records_left: u64,
    /// By stream, what was done.
    pub streams: Vec<StreamReport>,
}

/// Dead letters that can be moved together: of one stream, refused at one place, of one schema.
struct Group {
    stream: String,
    origin: String,
    schema: ArrowSchemaIpc,
    ids: Vec<i64>,
}

impl Host {
    /// Writes the records of dead letters once more, from the place that refused them on, and forgets those that are at the
    /// destination then.
    pub async fn replay_letters(
        &self,
        document: &Document,
        stream: Option<&str>,
        options: RunOptions,
        progress: &mut dyn BuildProgress,
    ) -> Result<Replayed, HostError> {
        if let Some(stream) = stream {
            document.require_stream(stream)?;
        }
        let pipeline = &document.pipeline;
        let spec = PipelineSpec::from_document(pipeline);
        let loaded = self.load_all(document, &options.packages, progress).await?;
        let ports = self.ports(document, options.observer, options.cancellation).await?;
        let connectors = loaded.connectors();
        let mut replayed = Replayed { pipeline: spec.name.clone(), ..Replayed::default() };
        let filter = DeadLetterFilter { pipeline: spec.name.clone(), stream: stream.map(str::to_owned) };
        let groups = groups(&filter, &ports, &mut replayed).await?;
        for group in groups {
            if ports.cancellation.is_requested() {
                break;
            }
            let Some(wanted) = of_group(&spec, document, &group) else {
                replayed.records_left += 1;
                continue;
            };
            let filter = DeadLetterFilter { pipeline: spec.name.clone(), stream: Some(group.stream.clone()) };
            let ids = group.ids.clone();
            let letters = Letters::records(ports.state.clone(), filter, &group.stream, group.schema, ids);
            let connectors =
                Connectors { source: Plugged::new(Arc::new(letters), "{}"), ..connectors.clone() };
            let report = move_letters(&wanted, &group.stream, &connectors, &ports, true)
                .await
                .map_err(|error| plan_error(pipeline, error))?;
            replayed.records_written += report.counters.records_written;
            replayed.records_refused += report.records_dead_lettered + report.records_skipped;
            let done = report.status == RunStatus::Succeeded;
            replayed.streams.push(report);
            if !done {
                break;
            }
            ports.state.forget_dead_letters(&group.ids).await?;
        }
        Ok(replayed)
    }
}

/// The dead letters there are now, in order, put together where they can be moved together.
async fn groups(
    filter: &DeadLetterFilter,
    ports: &Ports,
    replayed: &mut Replayed,
) -> Result<Vec<Group>, HostError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut behind = 0;
    loop {
        let page = ports.state.dead_letters(filter, behind, 64).await?;
        let Some(last) = page.last() else { return Ok(groups) };
        behind = last.id;
        for stored in page {
            if stored.letters.origin == "source" {
                replayed.records_left += stored.letters.errors.len() as u64;
                continue;
            }
            let schema = schema_of(&stored)
                .map_err(|error| HostError::Fault(Box::new(engine::Fault::of_engine(error))))?;
            // In the order of their ids, because a receipt says "up to this id".
            let newest = groups.iter_mut().rev().find(|group| group.stream == stored.key.stream);
            match newest {
                Some(group) if group.origin == stored.letters.origin && group.schema == schema => {
                    group.ids.push(stored.id);
                }
                _ => groups.push(Group {
                    stream: stored.key.stream,
                    origin: stored.letters.origin,
                    schema,
                    ids: vec![stored.id],
                }),
            }
        }
    }
}

fn schema_of(stored: &StoredDeadLetters) -> Result<ArrowSchemaIpc, ConnectorError> {
    let frame = Frame::from_checked(stored.letters.frame.clone(), stored.letters.errors.len() as u64);
    encode_schema(&frame.schema()?)
}

/// The pipeline from the place on that refused a group. None: the document does not move its stream any more.
fn of_group(spec: &PipelineSpec, document: &Document, group: &Group) -> Option<PipelineSpec> {
    let listed = document.pipeline.stream(&group.stream)?;
    let mut stream = match &spec.streams {
        Selection::Listed(streams) => streams.iter().find(|stream| stream.name == group.stream)?.clone(),
        Selection::All(write) => StreamSpec {
            name: group.stream.clone(),
            sync_mode: SyncMode::Incremental,
            cursor: None,
            columns: Vec::new(),
            filter: None,
            write: write.clone(),
            policies: listed.policies,
            on_error: listed.on_error,
            partitions: None,
            partition_key: None,
        },
    };
    stream.sync_mode = SyncMode::Incremental;
    stream.cursor = Some(CursorSpec { field: CURSOR.to_owned(), tie_breaker: Vec::new() });
    stream.columns = Vec::new();
    stream.partitions = None;
    stream.partition_key = None;
    // A table that is replaced at every run takes its missing records until then.
    if stream.write.mode == WriteMode::Replace {
        stream.write.mode = WriteMode::Append;
    }
    let mut spec = spec.clone();
    match group.origin.strip_prefix("transform:").and_then(|index| index.parse::<usize>().ok()) {
        // Those before it are done; they stay in the list, because indices are counted in it.
        Some(first) => spec.skip_transforms(first),
        None if group.origin == "filter" => {}
        None => spec.skip_transforms(usize::MAX),
    }
    if group.origin != "filter" {
        stream.filter = None;
    }
    spec.streams = Selection::Listed(vec![stream]);
    Some(spec)
}
