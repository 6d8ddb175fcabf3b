//! From what a pipeline asks and what its connectors offer to tasks that can run, or to everything that is wrong with it,
//! at once and before anything is moved.

mod stream;
mod transforms;

use rapidbyte_core::contract::ArrowSchemaIpc;
use rapidbyte_core::limits::{
    CHECKPOINT_INTERVAL_BYTES_DEFAULT, CHECKPOINT_INTERVAL_ROWS_DEFAULT, CHECKPOINT_INTERVAL_SECONDS_DEFAULT,
    INFLIGHT_BATCHES,
};
use rapidbyte_core::ports::TaskKey;
use rapidbyte_core::sql::{Operation, Rule};
use rapidbyte_core::*;
use serde::{Deserialize, Serialize};

use crate::breaker::BreakerPolicy;
use crate::cancel::CancelLevel;
use crate::error::{Fault, Origin, Place, PlanError, Problem};
use crate::limits::SPLIT_RECORD_BYTES_MIN;
use crate::memory::{MemoryPlan, divide};
use crate::retry::RetryPolicy;
use crate::schema::{names_shown, repeated, suggestion};
use crate::spec::{Connectors, PipelineSpec, Ports, ResourceSpec, Selection, StreamSpec};
use crate::survey::{Survey, ask_destination, ask_source};
use stream::{check_write, draft, find, split};
use transforms::PassError;

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
    /// Of the destination.
    pub policies: Policies,
    /// What becomes of records that are refused before they are handed to the destination.
    pub on_error: DataErrorPolicy,
    pub limits: Limits,
    /// Every column of the stream, selected or not.
    pub stream_columns: Vec<String>,
    /// What flows out of the source.
    pub source_schema: ArrowSchemaIpc,
    /// The transforms that the stream passes, in order.
    pub transforms: Vec<TransformStep>,
    /// What the records that arrive at the destination have to keep.
    pub contract: Option<ContractPlan>,
    /// How it may be read in partitions. None: as one.
    pub split: Option<Split>,
    /// The state knew nothing of the stream when its reading in partitions began.
    pub unknown_before: bool,
    /// The moment to read at, which another session of the source holds open.
    pub snapshot: Option<String>,
    /// About how many records a full read gives, where the source knows.
    pub estimated_rows: Option<u64>,
}

/// One transform on a stream's way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransformStep {
    /// Index into the pipeline's transforms. None: the stream's own `filter`, which its source cannot apply.
    pub index: Option<usize>,
    pub kind: StepKind,
    /// What flows out of it.
    pub schema: ArrowSchemaIpc,
}

/// Who does it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StepKind {
    /// A connector.
    Connector,
    /// The host, between two connectors.
    Operations {
        list: Vec<Operation>,
        /// Each batch gives its records on its own; else all come at the end.
        stateless: bool,
    },
}

/// A stream's contract, as far as it has to be looked at record by record.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ContractPlan {
    /// Index into the pipeline's contracts.
    pub index: usize,
    /// Columns that must not be NULL.
    pub not_null: Vec<(String, RuleAction)>,
    pub rules: Vec<(Rule, RuleAction)>,
}

/// What happens to a record that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// The stream ends.
    Fail,
    /// It is counted.
    Warn,
    /// It is left out; a dead letter where the stream's data errors go there.
    DropRow,
}

/// How a stream may be read in partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// At most so many.
    pub partitions_max: u32,
    /// By this column. None: the source's choice.
    pub key: Option<String>,
}

impl Task {
    /// Whether nothing comes out before all has gone in.
    pub fn aggregates(&self) -> bool {
        self.transforms.iter().any(|step| matches!(step.kind, StepKind::Operations { stateless: false, .. }))
    }

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
            partition: self.partition.clone(),
            snapshot: None,
            partition_key: None,
            limits: self.limits,
            policies: self.policies,
        }
    }

    pub(crate) fn source_context(&self) -> StreamContext {
        StreamContext {
            columns: self.columns.clone(),
            filter: self.filter.clone(),
            snapshot: self.snapshot.clone(),
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
    pub retry: RetryPolicy,
    pub breaker: Option<BreakerPolicy>,
    /// Allowed, and good to know before it runs.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// Only these of the pipeline's streams. Empty: all.
    pub only: Vec<String>,
    /// Dead letters are written once more: they have receipts of their own, apart from the stream's.
    pub replay: bool,
}

/// The partition under which dead letters of a stream are replayed. Destinations keep it as a signed number.
pub const REPLAY_PARTITION: u32 = i32::MAX as u32;

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
    let moved: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
    let named = spec.transforms.iter().enumerate().filter_map(|(index, transform)| {
        transform.stream.as_ref().map(|stream| (stream, Place::Transform(index), "a transform"))
    });
    let contracts = spec
        .contracts
        .iter()
        .map(|contract| (&contract.stream, Place::Contract(contract.index), "a contract"));
    for (stream, place, what) in named.chain(contracts) {
        if options.only.is_empty() && !moved.contains(&stream.as_str()) {
            let message = format!("{what} names stream `{stream}`, which the pipeline does not move");
            let problem = Problem::new(stream, place, "unknown_stream", message);
            problems.push(problem.maybe_hint(suggestion("streams", stream, moved.iter().copied())));
        }
    }
    let passes = |stream: &str| -> Vec<usize> {
        let passes = |(index, transform): (usize, &crate::spec::TransformSpec)| {
            transform.stream.as_ref().is_none_or(|only| only == stream).then_some(index)
        };
        spec.transforms.iter().enumerate().skip(spec.transforms_from).filter_map(passes).collect()
    };
    let split = |stream: &StreamSpec| split(spec, stream, survey);
    let passed = streams.iter().map(|stream| passes(&stream.name).len()).max().unwrap_or(0);
    let side_by_side = partitions_at_once(spec, &streams, &split, passed);
    // Whoever splits a stream holds its moment open meanwhile: one guest more.
    let apart = usize::from(side_by_side > 1);
    let tasks = streams.len().max(side_by_side as usize);
    let (memory, mut warnings) = divide(&spec.resources, tasks, 2 + passed, apart);
    let limits = limits(&spec.resources, &memory, survey.source.default_limits.as_ref());

    let mut tasks = Vec::new();
    for stream in &streams {
        let Some(offered) = find(&survey.catalog, &stream.name, &mut problems) else { continue };
        let drafted = draft(spec, stream, offered, survey, limits, options.replay, &mut problems);
        let Some(mut task) = drafted else { continue };
        let host_filter = stream.filter.as_deref().filter(|_| !survey.source.capabilities.filter);
        let indices = passes(&stream.name);
        match transforms::pass(&mut task, spec, &indices, host_filter, connectors, ports, &memory).await {
            Ok(()) => {}
            Err(PassError::Fault(fault)) => return Err(fault.into()),
            Err(PassError::Problem(problem)) => {
                problems.push(*problem);
                continue;
            }
        }
        for contract in spec.contracts.iter().filter(|contract| contract.stream == stream.name) {
            transforms::contract(&mut task, contract, ports, &mut problems, &mut warnings);
        }
        // What comes out only at the end cannot be put together from partitions.
        task.split = split(stream).filter(|_| side_by_side > 1 && !task.aggregates());
        if let Some(split) = task.split.as_mut().filter(|_| stream.partitions.is_none()) {
            split.partitions_max = side_by_side;
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
    let (retry, breaker) = (spec.retry.clone(), spec.breaker);
    Ok(RunPlan { pipeline: spec.name.clone(), tasks, memory, retry, breaker, warnings })
}

/// How many partitions of a stream are read at once; below 2: none is split. Where a document asks for partitions, as many as
/// `parallelism` says. Else as many as leave each of them room for large records: nobody's records shall become too large
/// because the engine thought of reading faster.
fn partitions_at_once(
    spec: &PipelineSpec,
    streams: &[StreamSpec],
    split: &dyn Fn(&StreamSpec) -> Option<Split>,
    passed: usize,
) -> u32 {
    let mut able = streams.iter().filter(|stream| split(stream).is_some()).peekable();
    if able.peek().is_none() {
        return 1;
    }
    let parallelism = spec.resources.parallelism;
    if able.any(|stream| stream.partitions.is_some() || stream.partition_key.is_some()) {
        return parallelism;
    }
    let wanted = spec.resources.max_record_bytes.unwrap_or(SPLIT_RECORD_BYTES_MIN);
    let fits = |tasks: &u32| {
        let (memory, _) = divide(&spec.resources, *tasks as usize, 2 + passed, 1);
        memory.tasks_max >= *tasks && memory.record_bytes_max >= wanted
    };
    (2..=parallelism).take_while(fits).last().unwrap_or(1)
}

/// The streams to move, from the pipeline and from what the caller picked.
fn select(spec: &PipelineSpec, options: &PlanOptions, catalog: &Catalog) -> (Vec<StreamSpec>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut streams = match &spec.streams {
        Selection::Listed(streams) => streams.clone(),
        Selection::All(write) => {
            let whole = |stream: &CatalogStream| StreamSpec::whole(&stream.name, write, spec);
            catalog.streams.iter().map(whole).collect()
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

/// The bounds of a task: the pipeline's word, else the source's, else the engine's; never more than the memory allows.
pub(crate) fn limits(resources: &ResourceSpec, memory: &MemoryPlan, preferred: Option<&Limits>) -> Limits {
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
