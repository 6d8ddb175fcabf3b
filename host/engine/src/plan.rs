//! From what a pipeline asks and what its connectors offer to tasks that can run, or to everything that is wrong with it,
//! at once and before anything is moved.

use std::sync::Arc;

use rapidbyte_core::contract::ArrowSchemaIpc;
use rapidbyte_core::limits::{
    CATALOG_STREAMS_MAX, CHECKPOINT_INTERVAL_BYTES_DEFAULT, CHECKPOINT_INTERVAL_ROWS_DEFAULT,
    CHECKPOINT_INTERVAL_SECONDS_DEFAULT, INFLIGHT_BATCHES,
};
use rapidbyte_core::ports::{InstanceIo, TaskKey};
use rapidbyte_core::*;
use serde::{Deserialize, Serialize};

use crate::cancel::CancelLevel;
use crate::error::{Fault, Origin, Place, PlanError, Problem};
use crate::instance::{Opened, open};
use crate::memory::{MemoryPlan, divide};
use crate::schema::{column_names, names_shown, project, repeated, suggestion};
use crate::services::{QuietServices, Voice};
use crate::spec::{Connectors, PipelineSpec, Plugged, Ports, ResourceSpec, Selection, StreamSpec};

/// The unit of work: (pipeline, stream, partition) with everything it needs but the connectors and their secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub key: TaskKey,
    pub partition: Partition,
    pub sync_mode: SyncMode,
    pub cursor: Option<CursorSpec>,
    /// The selected columns, in order. Empty: all.
    pub columns: Vec<String>,
    pub filter: Option<String>,
    pub write: WritePlan,
    pub policies: Policies,
    pub limits: Limits,
    /// Every column of the stream, selected or not.
    pub stream_columns: Vec<String>,
    /// What flows out of the source.
    pub source_schema: ArrowSchemaIpc,
    /// The transforms that the stream passes, in order.
    pub transforms: Vec<TransformStep>,
}

/// One transform on a stream's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformStep {
    /// Index into the pipeline's transforms.
    pub index: usize,
    /// What flows out of it.
    pub schema: ArrowSchemaIpc,
}

impl Task {
    /// What flows into the destination.
    pub fn final_schema(&self) -> &ArrowSchemaIpc {
        self.transforms.last().map_or(&self.source_schema, |step| &step.schema)
    }

    /// The stream as a transform is told of it.
    pub(crate) fn context(&self, schema: ArrowSchemaIpc) -> StreamContext {
        StreamContext {
            pipeline: self.key.pipeline.clone(),
            name: self.key.stream.clone(),
            schema,
            sync_mode: self.sync_mode,
            cursor: self.cursor.clone(),
            position: None,
            columns: Vec::new(),
            filter: None,
            write: None,
            partition: self.partition,
            limits: self.limits,
            policies: self.policies,
        }
    }

    pub(crate) fn source_context(&self) -> StreamContext {
        StreamContext {
            columns: self.columns.clone(),
            filter: self.filter.clone(),
            ..self.context(self.source_schema.clone())
        }
    }

    pub(crate) fn destination_context(&self) -> StreamContext {
        StreamContext { write: Some(self.write.clone()), ..self.context(self.final_schema().clone()) }
    }
}

/// What a run will do. Serialisable: it says everything but the connectors and their secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    pub pipeline: String,
    pub tasks: Vec<Task>,
    pub memory: MemoryPlan,
    /// Allowed, and good to know before it runs.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// Only these of the pipeline's streams. Empty: all.
    pub only: Vec<String>,
}

/// What the connectors said about themselves.
pub(crate) struct Survey {
    pub catalog: Catalog,
    pub source: OpenInfo,
    pub destination: OpenInfo,
}

/// Asks the connectors what they offer and plans what the pipeline asks.
pub async fn plan(
    spec: &PipelineSpec,
    connectors: &Connectors,
    ports: &Ports,
    options: &PlanOptions,
) -> Result<RunPlan, PlanError> {
    let planning = async {
        let survey = async {
            let source = ask_source(&spec.name, &connectors.source, &spec.resources, ports);
            let destination = ask_destination(&spec.name, &connectors.destination, &spec.resources, ports);
            let ((source, catalog), destination) = tokio::try_join!(source, destination)?;
            Ok::<_, Fault>(Survey { catalog, source, destination })
        };
        resolve(spec, connectors, ports, options, &survey.await?).await
    };
    tokio::select! {
        biased;
        () = ports.cancellation.wait(CancelLevel::Stop) => Err(PlanError::Cancelled),
        plan = planning => plan,
    }
}

/// The source's catalog.
pub async fn discover(
    pipeline: &str,
    source: &Plugged,
    resources: &ResourceSpec,
    ports: &Ports,
) -> Result<Catalog, Fault> {
    ask_source(pipeline, source, resources, ports).await.map(|(_, catalog)| catalog)
}

/// Plans what the pipeline asks from what its connectors offer.
pub(crate) async fn resolve(
    spec: &PipelineSpec,
    connectors: &Connectors,
    ports: &Ports,
    options: &PlanOptions,
    survey: &Survey,
) -> Result<RunPlan, PlanError> {
    let (streams, mut problems) = select(spec, options, &survey.catalog);
    if connectors.transforms.len() != spec.transforms.len() {
        let error = ConnectorError::internal("plan_mismatch", "the connectors are not those of the pipeline");
        return Err(Fault::new(Origin::Engine, "engine", error).into());
    }
    for transform in &spec.transforms {
        if let Some(stream) = &transform.stream
            && options.only.is_empty()
            && !streams.iter().any(|candidate| candidate.name == *stream)
        {
            problems.push(
                Problem::new(
                    stream,
                    Place::Stream,
                    "unknown_stream",
                    format!("a transform names stream `{stream}`, which the pipeline does not move"),
                )
                .maybe_hint(suggestion(
                    "streams",
                    stream,
                    streams.iter().map(|stream| stream.name.as_str()),
                )),
            );
        }
    }
    let passes = |stream: &str| -> Vec<usize> {
        let passes = |(index, transform): (usize, &crate::spec::TransformSpec)| {
            transform.stream.as_ref().is_none_or(|only| only == stream).then_some(index)
        };
        spec.transforms.iter().enumerate().filter_map(passes).collect()
    };
    let guests = 2 + streams.iter().map(|stream| passes(&stream.name).len()).max().unwrap_or(0);
    let (memory, mut warnings) = divide(&spec.resources, streams.len(), guests);
    let limits = limits(&spec.resources, &memory, survey.source.default_limits.as_ref());

    let mut tasks = Vec::new();
    for stream in &streams {
        let Some(offered) = find(&survey.catalog, &stream.name, &mut problems) else { continue };
        let Some(mut task) = draft(spec, stream, offered, survey, limits, &mut problems) else { continue };
        match pass_transforms(&mut task, &passes(&stream.name), connectors, ports, &memory).await {
            Ok(()) => {}
            Err(PassError::Fault(fault)) => return Err(fault.into()),
            Err(PassError::Problem(problem)) => {
                problems.push(problem);
                continue;
            }
        }
        check_write(&mut task, offered, &survey.destination, &mut problems);
        tasks.push(task);
    }
    if !problems.is_empty() {
        return Err(PlanError::Refused(problems));
    }
    if !survey.destination.capabilities.transactional {
        let twice: Vec<&str> = tasks
            .iter()
            .filter(|task| task.write.mode == WriteMode::Append)
            .map(|task| task.key.stream.as_str())
            .collect();
        if !twice.is_empty() {
            warnings.push(format!(
                "`{}` has no transactions: after a crash records of {} may be written twice (at least once)",
                survey.destination.connector_id,
                names_shown(twice.iter().copied())
            ));
        }
    }
    Ok(RunPlan { pipeline: spec.name.clone(), tasks, memory, warnings })
}

/// The streams to move, from the pipeline and from what the caller picked.
fn select(spec: &PipelineSpec, options: &PlanOptions, catalog: &Catalog) -> (Vec<StreamSpec>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut streams = match &spec.streams {
        Selection::Listed(streams) => streams.clone(),
        Selection::All(write) => {
            catalog.streams.iter().map(|stream| StreamSpec::whole(&stream.name, write)).collect()
        }
    };
    if streams.is_empty() {
        problems.push(Problem {
            stream: None,
            place: Place::Streams,
            code: "no_streams",
            message: "the source offers no streams".to_owned(),
            hint: Some("check what its user may see".to_owned()),
        });
    }
    for name in &options.only {
        if !streams.iter().any(|stream| stream.name == *name) {
            problems.push(
                Problem::new(
                    name,
                    Place::Stream,
                    "unknown_stream",
                    format!("the pipeline has no stream `{name}`"),
                )
                .maybe_hint(suggestion(
                    "streams",
                    name,
                    streams.iter().map(|stream| stream.name.as_str()),
                )),
            );
        }
    }
    if !options.only.is_empty() {
        streams.retain(|stream| options.only.contains(&stream.name));
    }
    let names: Vec<String> = streams.iter().map(|stream| stream.name.clone()).collect();
    if let Some(name) = repeated(&names) {
        problems.push(Problem::new(
            name,
            Place::Stream,
            "repeated_stream",
            format!("stream `{name}` is there twice"),
        ));
    }
    (streams, problems)
}

fn find<'a>(catalog: &'a Catalog, name: &str, problems: &mut Vec<Problem>) -> Option<&'a CatalogStream> {
    let found = catalog.streams.iter().find(|stream| stream.name == name);
    if found.is_none() {
        problems.push(
            Problem::new(name, Place::Stream, "unknown_stream", format!("the source has no stream `{name}`"))
                .maybe_hint(suggestion(
                    "streams",
                    name,
                    catalog.streams.iter().map(|stream| stream.name.as_str()),
                )),
        );
    }
    found
}

/// A stream's task up to the source's end: what is read, and how.
fn draft(
    spec: &PipelineSpec,
    stream: &StreamSpec,
    offered: &CatalogStream,
    survey: &Survey,
    limits: Limits,
    problems: &mut Vec<Problem>,
) -> Option<Task> {
    let before = problems.len();
    let name = stream.name.as_str();
    let source = &survey.source;
    let columns = match column_names(&offered.schema) {
        Ok(columns) => columns,
        Err(error) => {
            problems.push(Problem::new(
                name,
                Place::Stream,
                "schema_unreadable",
                format!("the schema of stream `{name}` cannot be read: {error}"),
            ));
            return None;
        }
    };
    if let Some(column) = repeated(&columns) {
        problems.push(Problem::new(
            name,
            Place::Stream,
            "repeated_column",
            format!("stream `{name}` has column `{column}` twice"),
        ));
    }
    let mut exists = |column: &str, place: Place, what: &str| {
        if columns.iter().any(|known| known == column) {
            return;
        }
        problems.push(
            Problem::new(name, place, "unknown_column", format!("stream `{name}` has no {what} `{column}`"))
                .maybe_hint(suggestion("columns", column, columns.iter().map(String::as_str))),
        );
    };
    for column in &stream.columns {
        exists(column, Place::Column(column.clone()), "column");
    }
    if let Some(cursor) = &stream.cursor {
        exists(&cursor.field, Place::CursorField, "cursor field");
        for column in &cursor.tie_breaker {
            exists(column, Place::TieBreaker(column.clone()), "tie-breaker");
        }
        if !offered.cursor_fields.is_empty()
            && columns.contains(&cursor.field)
            && !offered.cursor_fields.contains(&cursor.field)
        {
            let usable = names_shown(offered.cursor_fields.iter().map(String::as_str));
            problems.push(
                Problem::new(
                    name,
                    Place::CursorField,
                    "cursor_field_unusable",
                    format!("stream `{name}` cannot be ordered by `{}`", cursor.field),
                )
                .hint(format!("it can be by {usable}")),
            );
        }
    }
    if let Some(column) = repeated(&stream.columns) {
        problems.push(Problem::new(
            name,
            Place::Column(column.to_owned()),
            "repeated_column",
            format!("column `{column}` is selected twice"),
        ));
    }
    if !stream.columns.is_empty() && !source.capabilities.projection {
        problems.push(
            Problem::new(
                name,
                Place::Column(stream.columns[0].clone()),
                "projection_unsupported",
                format!("`{}` cannot select columns", source.connector_id),
            )
            .hint("leave `columns` out"),
        );
    }
    if stream.filter.is_some() && !source.capabilities.filter {
        problems.push(Problem::new(
            name,
            Place::Filter,
            "filter_unsupported",
            format!("`{}` cannot filter", source.connector_id),
        ));
    }
    check_sync_mode(stream, offered, source, problems);
    if spec.policies.on_data_error == DataErrorPolicy::Dlq {
        problems.push(Problem::new(
            name,
            Place::DataErrors,
            "dlq_unsupported",
            "dead letters have no place to go to yet".to_owned(),
        ));
    }
    if problems.len() > before {
        return None;
    }
    let source_schema = match project(&offered.schema, &stream.columns) {
        Ok(schema) => schema,
        Err(error) => {
            problems.push(Problem::new(name, Place::Stream, "schema_unreadable", error.to_string()));
            return None;
        }
    };
    Some(Task {
        key: TaskKey {
            pipeline: spec.name.clone(),
            stream: stream.name.clone(),
            partition: Partition::WHOLE.index,
        },
        partition: Partition::WHOLE,
        sync_mode: stream.sync_mode,
        cursor: stream.cursor.clone(),
        columns: stream.columns.clone(),
        filter: stream.filter.clone(),
        write: stream.write.clone(),
        policies: spec.policies,
        limits,
        stream_columns: columns,
        source_schema,
        transforms: Vec::new(),
    })
}

fn check_sync_mode(
    stream: &StreamSpec,
    offered: &CatalogStream,
    source: &OpenInfo,
    problems: &mut Vec<Problem>,
) {
    let (name, mode) = (stream.name.as_str(), stream.sync_mode);
    let mut problem =
        |code, message: String| problems.push(Problem::new(name, Place::SyncMode, code, message));
    if mode == SyncMode::Cdc {
        problem("cdc_unsupported", "`cdc` is not there yet".to_owned());
    } else if !source.capabilities.sync_mode(mode) {
        problem("sync_mode_unsupported", format!("`{}` cannot read `{mode}`", source.connector_id));
    } else if !offered.sync_modes.is_empty() && !offered.sync_modes.contains(&mode) {
        problem("sync_mode_unsupported", format!("stream `{name}` cannot be read `{mode}`"));
    }
    if mode == SyncMode::Incremental && stream.cursor.is_none() {
        problems.push(Problem::new(
            name,
            Place::CursorField,
            "cursor_missing",
            format!("stream `{name}` is incremental and has no cursor field"),
        ));
    }
    if mode == SyncMode::Incremental && stream.write.mode == WriteMode::Replace {
        problems.push(
            Problem::new(
                name,
                Place::WriteMode,
                "incremental_replace",
                format!("stream `{name}` is incremental: `replace` would leave only the newest records"),
            )
            .hint("write it by `append`, `upsert` or `merge`, or read it by `full_refresh`"),
        );
    }
}

/// Whether the destination can write what arrives as the pipeline asks.
fn check_write(
    task: &mut Task,
    offered: &CatalogStream,
    destination: &OpenInfo,
    problems: &mut Vec<Problem>,
) {
    let name = task.key.stream.clone();
    let mode = task.write.mode;
    if !destination.capabilities.write_mode(mode) {
        let able = WriteMode::ALL.iter().copied().filter(|mode| destination.capabilities.write_mode(*mode));
        let able: Vec<&str> = able.map(WriteMode::as_str).collect();
        problems.push(
            Problem::new(
                &name,
                Place::WriteMode,
                "write_mode_unsupported",
                format!("`{}` cannot write by `{mode}`", destination.connector_id),
            )
            .hint(format!("it can by {}", names_shown(able.iter().copied()))),
        );
    }
    let keyed = matches!(mode, WriteMode::Upsert | WriteMode::Merge);
    if keyed && task.write.primary_key.is_empty() {
        task.write.primary_key = offered.primary_key.clone();
    }
    if keyed && task.write.primary_key.is_empty() {
        problems.push(
            Problem::new(
                &name,
                Place::PrimaryKey(None),
                "key_missing",
                format!("stream `{name}` has no key to `{mode}` by"),
            )
            .hint("name its columns in `primary_key`"),
        );
    }
    let columns = match column_names(task.final_schema()) {
        Ok(columns) => columns,
        Err(error) => {
            problems.push(Problem::new(&name, Place::Stream, "schema_unreadable", error.to_string()));
            return;
        }
    };
    let mut exists = |column: &String, place: Place, what: &str| {
        if !columns.contains(column) {
            let arriving = suggestion("columns", column, columns.iter().map(String::as_str));
            let message = format!("no {what} `{column}` arrives at the destination for stream `{name}`");
            problems.push(Problem::new(&name, place, "unknown_column", message).maybe_hint(arriving));
        }
    };
    for column in &task.write.primary_key {
        exists(column, Place::PrimaryKey(Some(column.clone())), "key column");
    }
    for column in &task.write.update_columns {
        exists(column, Place::UpdateColumn(column.clone()), "update column");
    }
    for column in task.write.update_columns.iter().filter(|column| task.write.primary_key.contains(column)) {
        let message = format!("key column `{column}` of stream `{name}` cannot be updated");
        problems.push(Problem::new(&name, Place::UpdateColumn(column.clone()), "update_of_key", message));
    }
}

enum PassError {
    Fault(Fault),
    Problem(Problem),
}

/// Asks the transforms what they make of a stream.
async fn pass_transforms(
    task: &mut Task,
    indices: &[usize],
    connectors: &Connectors,
    ports: &Ports,
    memory: &MemoryPlan,
) -> Result<(), PassError> {
    for &index in indices {
        let plugged = &connectors.transforms[index];
        let origin = Origin::Transform(index);
        let fault = |error| PassError::Fault(Fault::new(origin, plugged.connector.id(), error));
        let key = task.key.clone();
        let io = quiet_io(plugged, key, true, task.limits, memory.guest_bytes_max, ports);
        let Opened { mut instance, .. } = open(plugged, ConnectorRole::Transform, io).await.map_err(fault)?;
        let context = task.context(task.final_schema().clone());
        let request = RunRequest {
            stream: Some(context),
            phase: RunPhase::Discover,
            dry_run: false,
            max_records: None,
        };
        let summary = instance.run(request).await.map_err(|error| {
            let message =
                format!("`{}` cannot take stream `{}`: {error}", plugged.connector.id(), task.key.stream);
            PassError::Problem(Problem::new(
                &task.key.stream,
                Place::Transform(index),
                "transform_refused",
                message,
            ))
        })?;
        let streams = summary.catalog.map(|catalog| catalog.streams).unwrap_or_default();
        let [made] = <[CatalogStream; 1]>::try_from(streams).map_err(|streams| {
            let message = format!("answered {} streams to one", streams.len());
            fault(ConnectorError::internal("transform_catalog", message))
        })?;
        let columns = column_names(&made.schema).map_err(fault)?;
        if let Some(column) = repeated(&columns) {
            let message = format!("`{}` makes column `{column}` twice", plugged.connector.id());
            let problem = Problem::new(&task.key.stream, Place::Transform(index), "repeated_column", message);
            return Err(PassError::Problem(problem));
        }
        let _ = instance.close().await;
        task.transforms.push(TransformStep { index, schema: made.schema });
    }
    Ok(())
}

/// Opens the source and asks for its catalog.
async fn ask_source(
    pipeline: &str,
    source: &Plugged,
    resources: &ResourceSpec,
    ports: &Ports,
) -> Result<(OpenInfo, Catalog), Fault> {
    let fault = |error| Fault::new(Origin::Source, source.connector.id(), error);
    let Opened { mut instance, info } =
        ask(pipeline, source, ConnectorRole::Source, resources, ports).await?;
    let catalog = catalog_of(&mut *instance).await.map_err(fault)?;
    let _ = instance.close().await;
    Ok((info, catalog))
}

/// The catalog of an opened source, held against its bounds.
pub(crate) async fn catalog_of(
    source: &mut dyn rapidbyte_core::ports::Instance,
) -> Result<Catalog, ConnectorError> {
    let request = RunRequest { stream: None, phase: RunPhase::Discover, dry_run: false, max_records: None };
    let summary = source.run(request).await?;
    let catalog = summary.catalog.ok_or_else(|| {
        ConnectorError::internal("no_catalog", "the source answered discovery without a catalog")
    })?;
    if catalog.streams.len() > CATALOG_STREAMS_MAX {
        let message =
            format!("the catalog has {} streams, the limit is {CATALOG_STREAMS_MAX}", catalog.streams.len());
        return Err(ConnectorError::internal("catalog_too_large", message));
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = catalog.streams.iter().find(|stream| !seen.insert(stream.name.as_str())) {
        let message = format!("the catalog has stream `{}` twice", twice.name);
        return Err(ConnectorError::internal("catalog_ambiguous", message));
    }
    Ok(catalog)
}

/// Opens the destination for what it says of itself.
async fn ask_destination(
    pipeline: &str,
    destination: &Plugged,
    resources: &ResourceSpec,
    ports: &Ports,
) -> Result<OpenInfo, Fault> {
    let Opened { mut instance, info } =
        ask(pipeline, destination, ConnectorRole::Destination, resources, ports).await?;
    let _ = instance.close().await;
    Ok(info)
}

/// Opens a connector that is asked, not run.
pub(crate) async fn ask(
    pipeline: &str,
    plugged: &Plugged,
    role: ConnectorRole,
    resources: &ResourceSpec,
    ports: &Ports,
) -> Result<Opened, Fault> {
    let origin = match role {
        ConnectorRole::Source => Origin::Source,
        ConnectorRole::Destination => Origin::Destination,
        ConnectorRole::Transform => Origin::Transform(0),
    };
    let (memory, _) = divide(resources, 1, 2);
    let key = TaskKey { pipeline: pipeline.to_owned(), stream: String::new(), partition: 0 };
    let io = quiet_io(plugged, key, false, limits(resources, &memory, None), memory.guest_bytes_max, ports);
    open(plugged, role, io).await.map_err(|error| Fault::new(origin, plugged.connector.id(), error))
}

/// What a connector that is asked, not run, is given: nothing to take from, nowhere to put.
pub(crate) fn quiet_io(
    plugged: &Plugged,
    key: TaskKey,
    of_stream: bool,
    limits: Limits,
    guest_bytes_max: u64,
    ports: &Ports,
) -> InstanceIo {
    let connector = Voice { ports: ports.clone(), key, of_stream, id: plugged.connector.id().to_owned() };
    InstanceIo {
        inlet: None,
        outlet: None,
        services: Arc::new(QuietServices { ports: ports.clone(), connector }),
        limits,
        memory_bytes_max: plugged.connector.memory_bytes_max().min(guest_bytes_max),
    }
}

/// The bounds of a task: the pipeline's word, else the source's, else the engine's; never more than the memory allows.
fn limits(resources: &ResourceSpec, memory: &MemoryPlan, preferred: Option<&Limits>) -> Limits {
    let interval = |asked: Option<u64>, preferred: Option<u64>, default: u64| {
        asked.or(preferred.filter(|preferred| *preferred > 0)).unwrap_or(default)
    };
    let smaller = |asked: Option<u64>, preferred: Option<u64>, fits: u64| match (asked, preferred) {
        (None, Some(preferred)) if preferred > 0 => preferred.min(fits),
        _ => fits,
    };
    Limits {
        max_batch_bytes: smaller(
            resources.max_batch_bytes,
            preferred.map(|p| p.max_batch_bytes),
            memory.batch_bytes_max,
        )
        .max(limits::BATCH_BYTES_MIN),
        max_record_bytes: smaller(
            resources.max_record_bytes,
            preferred.map(|p| p.max_record_bytes),
            memory.record_bytes_max,
        ),
        max_inflight_batches: INFLIGHT_BATCHES,
        checkpoint_interval_bytes: interval(
            resources.checkpoint_interval_bytes,
            preferred.map(|p| p.checkpoint_interval_bytes),
            CHECKPOINT_INTERVAL_BYTES_DEFAULT,
        ),
        checkpoint_interval_rows: interval(
            resources.checkpoint_interval_rows,
            preferred.map(|p| p.checkpoint_interval_rows),
            CHECKPOINT_INTERVAL_ROWS_DEFAULT,
        ),
        checkpoint_interval_seconds: resources
            .checkpoint_interval_seconds
            .or(preferred.map(|p| p.checkpoint_interval_seconds).filter(|seconds| *seconds > 0))
            .unwrap_or(CHECKPOINT_INTERVAL_SECONDS_DEFAULT),
    }
}
