//! One task from claim to close: opens its connectors, lets the destination prepare, decides where the stream goes on,
//! runs source, transforms and destination side by side, and ends them together. The first error ends all; it alone is
//! the task's error, because the others only saw their neighbour go.
//!
//! Refuses to know: other tasks, and how a frame travels (`pump.rs`).

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::try_join_all;
use rapidbyte_core::channel::{Bounds, Gauge, Receiver, Sender, channel};
use rapidbyte_core::limits::CANCEL_GRACE_SECONDS;
use rapidbyte_core::ports::{InstanceIo, RunCounters, RunEvent, RunStatus, task_scope_name};
use rapidbyte_core::*;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cancel::CancelLevel;
use crate::commit::{Ledger, Refusal};
use crate::error::{Fault, Origin};
use crate::instance::{Opened, open};
use crate::limits::WARNINGS_MAX;
use crate::memory::MemoryPlan;
use crate::plan::Task;
use crate::pump::{Link, pump};
use crate::report::StreamReport;
use crate::resume::{Known, Receipt, Shape, Start, decide};
use crate::services::{StageServices, Voice};
use crate::spec::{Connectors, Plugged, Ports};

/// Key under which the engine remembers how a stream was read.
const SHAPE_KEY: &str = "shape";

/// What everything in a task shares.
pub(crate) struct TaskShared {
    pub task: Task,
    pub ports: Ports,
    pub ledger: Ledger,
    saved: Option<ports::SavedCheckpoint>,
    shape: Option<Shape>,
    transactional: OnceLock<bool>,
    start: OnceLock<Start>,
    failure: watch::Sender<Option<Fault>>,
    names: Vec<(Origin, String)>,
    source_complete: AtomicBool,
    source_stopped: AtomicBool,
    guest_bytes_peak: AtomicU64,
    warnings: Mutex<Vec<String>>,
}

impl TaskShared {
    /// Notes an error with where it began. Only the first counts.
    pub fn fail(&self, origin: Origin, error: ConnectorError) {
        let by = self
            .names
            .iter()
            .find(|(of, _)| *of == origin)
            .map_or_else(|| origin.to_string(), |(_, by)| by.clone());
        self.fail_with(Fault::new(origin, by, error));
    }

    fn fail_with(&self, fault: Fault) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(fault);
            } else {
                tracing::debug!(%fault, "a consequence of the first error");
            }
            first
        });
    }

    fn failure(&self) -> Option<Fault> {
        self.failure.borrow().clone()
    }

    async fn failed(&self) {
        let mut failure = self.failure.subscribe();
        // The sender is part of `self`, so this cannot fail.
        let _ = failure.wait_for(Option::is_some).await;
    }

    pub fn warn(&self, warning: String) {
        tracing::warn!(stream = self.task.key.stream, "{warning}");
        let mut warnings = self.warnings();
        if warnings.len() < WARNINGS_MAX {
            warnings.push(warning);
        }
    }

    fn warnings(&self) -> MutexGuard<'_, Vec<String>> {
        self.warnings.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn source_complete(&self) -> bool {
        self.source_complete.load(Ordering::Acquire)
    }

    /// The stream ends at this checkpoint; what the source says from now on does not matter.
    pub fn stop_source(&self) {
        self.source_stopped.store(true, Ordering::Release);
    }

    fn is_source_stopped(&self) -> bool {
        self.source_stopped.load(Ordering::Acquire)
    }

    pub fn count_read(&self, records: u64, bytes: u64) {
        let counters = self.ledger.read(records, bytes);
        self.ports.observer.observe(RunEvent::Progress { key: &self.task.key, counters });
    }

    pub fn committed(&self) -> Option<CheckpointEvent> {
        self.ledger.committed()
    }

    /// Takes the destination's receipt and answers how the stream goes on.
    pub fn take_receipt(&self, event: CheckpointEvent) -> Result<CheckpointReply, ConnectorError> {
        let receipt = Receipt { id: event.id, cursor: event.cursor, complete: event.complete };
        let decided = self.ledger.note_receipt(receipt.clone()).and_then(|()| self.decide(Some(&receipt)));
        match decided {
            Ok(start) => {
                self.ports.reached("engine.receipt");
                Ok(start.reply)
            }
            Err(error) => {
                self.fail(decision_origin(&error), error.clone());
                Err(error)
            }
        }
    }

    fn decide(&self, receipt: Option<&Receipt>) -> Result<Start, ConnectorError> {
        decide(&Known {
            task: &self.task,
            transactional: self.transactional.get().copied().unwrap_or(false),
            receipt,
            saved: self.saved.as_ref(),
            shape: self.shape.as_ref(),
        })
    }

    /// Saves what the destination has confirmed.
    pub async fn confirm(&self, id: u64, taken: Option<u64>) -> Result<(), ConnectorError> {
        let before = || self.ports.reached("engine.state-write.before");
        match self.ledger.confirm(id, taken, before).await {
            Ok(saved) => {
                self.ports.reached("engine.state-write.after");
                let key = &self.task.key;
                self.ports.observer.observe(RunEvent::CheckpointSaved { key, checkpoint: &saved.checkpoint });
                self.ports.observer.observe(RunEvent::Progress { key, counters: saved.counters });
                Ok(())
            }
            Err(Refusal::Destination(error)) => {
                self.fail(Origin::Destination, error.clone());
                Err(error)
            }
            Err(Refusal::State(fault)) => {
                let mut error = fault.error.clone();
                error.commit = Some(CommitState::AfterCommitConfirmed);
                self.fail_with(fault);
                Err(error)
            }
        }
    }

    /// Applies the data-error policy to refused records.
    pub fn dead_letters(
        &self,
        by: Origin,
        records: &Frame,
        errors: &[RecordError],
    ) -> Result<(), ConnectorError> {
        match self.task.policies.on_data_error {
            DataErrorPolicy::Skip => {
                self.ledger.skip(records.records(), by == Origin::Destination);
                Ok(())
            }
            // The plan refuses `dlq` until there is a place for dead letters.
            DataErrorPolicy::Fail | DataErrorPolicy::Dlq => {
                let first = errors.first();
                let code = first.map_or("data_error", |error| error.code.as_str());
                let message = first.map_or("records were refused", |error| error.message.as_str());
                let mut error = ConnectorError::new(ErrorCategory::Data, code, message);
                error.scope = ErrorScope::PerRecord;
                Err(error)
            }
        }
    }

    fn saw_memory(&self, bytes: u64) {
        self.guest_bytes_peak.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Whose error a failed decision is: an impossible receipt is the destination's, the rest concerns the user.
fn decision_origin(error: &ConnectorError) -> Origin {
    if error.category == ErrorCategory::Internal { Origin::Destination } else { Origin::Engine }
}

/// Runs one task. Always answers a report; nothing of the task is left when it does.
pub(crate) async fn run_task(
    task: Task,
    memory: MemoryPlan,
    connectors: Connectors,
    ports: Ports,
) -> StreamReport {
    let began = Instant::now();
    let key = task.key.clone();
    let mut report = StreamReport::unstarted(&task);
    report.started = true;
    ports.reached("engine.claim.before");
    let run_id = match ports.state.begin_run(&key.pipeline, &key.stream).await {
        Ok(run_id) => run_id,
        Err(error) => {
            report.status = RunStatus::Failed;
            report.error = Some(Fault::state(&error));
            return finished(report, &ports, &key, began);
        }
    };
    let mut claim = Claim { ports: ports.clone(), run_id: Some(run_id) };
    ports.reached("engine.claim.after");

    match execute(task, memory, connectors, &ports, run_id).await {
        Ok((shared, interrupted)) => report.take(&shared, interrupted),
        Err(fault) => {
            report.status = RunStatus::Failed;
            report.error = Some(fault);
        }
    }

    ports.reached("engine.finish.before");
    let error = report.error.as_ref().map(ToString::to_string);
    claim.run_id = None;
    if let Err(error) = ports.state.finish_run(run_id, report.status, report.counters, error.as_deref()).await
    {
        // What was committed is committed and saved; only the row of history stays open until this process ends.
        report.warnings.push(format!("the run's row could not be closed: {error}"));
    }
    ports.reached("engine.finish.after");
    finished(report, &ports, &key, began)
}

fn finished(mut report: StreamReport, ports: &Ports, key: &ports::TaskKey, began: Instant) -> StreamReport {
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    ports.observer.observe(RunEvent::StreamFinished {
        key,
        status: report.status,
        counters: report.counters,
        error: report.error.as_ref().map(|fault| &fault.error),
    });
    report
}

/// Frees the claim if the task's future is dropped in the middle.
struct Claim {
    ports: Ports,
    run_id: Option<i64>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(run_id) = self.run_id.take() else { return };
        let state = self.ports.state.clone();
        // Without a runtime the process is ending, which frees the claim as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let dropped = Some("the caller dropped the run");
                let _ = state.finish_run(run_id, RunStatus::Stopped, RunCounters::default(), dropped).await;
            });
        }
    }
}

/// A stage's part of a task before it runs.
struct Stage {
    origin: Origin,
    opened: Opened,
    /// What flows into it (for the source: out of it).
    schema: ArrowSchemaIpc,
    /// To end the stream behind it.
    outlet: Option<Arc<Sender>>,
    inlet: Option<Gauge>,
}

/// The engine's side of a link: takes from the producer's channel, puts into the consumer's.
struct Joint {
    from: Receiver,
    to: Sender,
    producer: Origin,
    schema: ArrowSchemaIpc,
}

/// Everything between claim and finish. An error is one from before the stages ran.
async fn execute(
    task: Task,
    memory: MemoryPlan,
    connectors: Connectors,
    ports: &Ports,
    run_id: i64,
) -> Result<(Arc<TaskShared>, bool), Fault> {
    let state = &ports.state;
    let saved = state.last_checkpoint(&task.key).await.map_err(|error| Fault::state(&error))?;
    let shape =
        state.get(&task_scope_name(&task.key), SHAPE_KEY).await.map_err(|error| Fault::state(&error))?;
    let shape = shape.and_then(|json| serde_json::from_slice(&json).ok());

    let plugged = chain(&task, &connectors);
    let shared = Arc::new(TaskShared {
        ledger: Ledger::new(task.key.clone(), run_id, state.clone()),
        names: plugged.iter().map(|(origin, plugged)| (*origin, plugged.connector.id().to_owned())).collect(),
        task,
        ports: ports.clone(),
        saved,
        shape,
        transactional: OnceLock::new(),
        start: OnceLock::new(),
        failure: watch::Sender::new(None),
        source_complete: AtomicBool::new(false),
        source_stopped: AtomicBool::new(false),
        guest_bytes_peak: AtomicU64::new(0),
        warnings: Mutex::default(),
    });

    let opening = open_all(&shared, &plugged, memory);
    let (stages, joints) = tokio::select! {
        biased;
        () = ports.cancellation.wait(CancelLevel::Stop) => return Ok((shared, false)),
        opened = opening => match opened {
            Ok(opened) => opened,
            Err(fault) => {
                shared.fail_with(fault);
                return Ok((shared, false));
            }
        },
    };
    ports.reached("engine.opened");
    let mut running = Running { shared: shared.clone(), set: JoinSet::new() };
    let interrupted = running.run(stages, joints).await;
    // Nothing of the task may outlive its claim.
    running.set.shutdown().await;
    Ok((shared, interrupted))
}

/// The connectors that a task's stream passes, in order.
fn chain<'a>(task: &Task, connectors: &'a Connectors) -> Vec<(Origin, &'a Plugged)> {
    let transforms = task.transforms.iter().filter_map(|step| {
        connectors.transforms.get(step.index).map(|plugged| (Origin::Transform(step.index), plugged))
    });
    std::iter::once((Origin::Source, &connectors.source))
        .chain(transforms)
        .chain(std::iter::once((Origin::Destination, &connectors.destination)))
        .collect()
}

/// Makes the channels and opens every connector, all at once: a configuration that is refused is known before anything
/// is touched.
async fn open_all(
    shared: &Arc<TaskShared>,
    plugged: &[(Origin, &Plugged)],
    memory: MemoryPlan,
) -> Result<(Vec<Stage>, Vec<Joint>), Fault> {
    let task = &shared.task;
    if plugged.len() != task.transforms.len() + 2 {
        let error = ConnectorError::internal("plan_mismatch", "the plan is not of these connectors");
        return Err(Fault::new(Origin::Engine, "engine", error));
    }
    // One frame waits for the pump; the rest waits for the consumer.
    let before_pump = Bounds { bytes_max: 1, frames_max: 1 };
    let after_pump =
        Bounds { bytes_max: memory.channel_bytes_max, frames_max: task.limits.max_inflight_batches.max(1) };
    let schemas: Vec<ArrowSchemaIpc> = std::iter::once(&task.source_schema)
        .chain(task.transforms.iter().map(|step| &step.schema))
        .cloned()
        .collect();

    let mut joints = Vec::new();
    let mut inlets = vec![None];
    let mut outlets = Vec::new();
    for (link, schema) in schemas.iter().enumerate() {
        let (producer_end, from) = channel(before_pump);
        let (to, consumer_end) = channel(after_pump);
        outlets.push(Some(Arc::new(producer_end)));
        inlets.push(Some((to.gauge(), consumer_end)));
        joints.push(Joint { from, to, producer: plugged[link].0, schema: schema.clone() });
    }
    outlets.push(None);

    let opening = plugged.iter().zip(inlets).zip(outlets).enumerate().map(
        |(index, (((origin, plugged), inlet), outlet))| {
            let schema = schemas[index.saturating_sub(1)].clone();
            async move {
                let role = origin.role().unwrap_or(ConnectorRole::Source);
                let (gauge, inlet) = inlet.unzip();
                let services = StageServices {
                    shared: shared.clone(),
                    origin: *origin,
                    connector: Voice {
                        ports: shared.ports.clone(),
                        key: shared.task.key.clone(),
                        of_stream: true,
                        id: plugged.connector.id().to_owned(),
                    },
                    outlet: outlet.clone(),
                    inlet: gauge.clone(),
                };
                let io = InstanceIo {
                    inlet,
                    outlet: outlet.clone(),
                    services: Arc::new(services),
                    limits: shared.task.limits,
                    memory_bytes_max: plugged.connector.memory_bytes_max().min(memory.guest_bytes_max),
                };
                let opened = open(plugged, role, io).await;
                let opened = opened.map_err(|error| Fault::new(*origin, plugged.connector.id(), error))?;
                Ok(Stage { origin: *origin, opened, schema, outlet, inlet: gauge })
            }
        },
    );
    Ok((try_join_all(opening).await?, joints))
}

/// What has ended in a running task.
enum Ended {
    Destination,
    Other,
}

/// A task's stages and pumps while they run.
struct Running {
    shared: Arc<TaskShared>,
    set: JoinSet<Ended>,
}

impl Running {
    /// Runs the stages to their end, or ends them. Answers whether they were interrupted because the run was aborted.
    async fn run(&mut self, mut stages: Vec<Stage>, joints: Vec<Joint>) -> bool {
        let shared = self.shared.clone();
        let Some(destination) = stages.pop() else { return false };
        let _ = shared.transactional.set(destination.opened.info.capabilities.transactional);
        let Some(last_joint) = joints.last() else { return false };
        self.set.spawn(run_stage(shared.clone(), destination, None));

        // The destination connects, prepares and reports its receipt before it asks for the stream. Nothing was read yet,
        // so the first request to end ends it here.
        let ready = tokio::select! {
            biased;
            () = shared.failed() => false,
            () = shared.ports.cancellation.wait(CancelLevel::Stop) => return false,
            ready = last_joint.to.receiver_ready() => ready.is_ok(),
        };
        if !ready {
            // It is gone without having asked; why, it says itself.
            while shared.failure().is_none() && self.set.join_next().await.is_some() {}
            return false;
        }
        let start = match self.begin().await {
            Ok(start) => start,
            Err(fault) => {
                shared.fail_with(fault);
                return false;
            }
        };
        let position = start.position.as_ref().map(|cursor| cursor.value.clone());
        let last = joints.len() - 1;
        for (link, joint) in joints.into_iter().enumerate() {
            let Joint { from, to, producer, schema } = joint;
            let link = Link { producer, last: link == last, schema, position: start.position.clone() };
            let shared = shared.clone();
            self.set.spawn(async move {
                pump(&shared, link, from, to).await;
                Ended::Other
            });
        }
        // The source last: whatever it makes finds everything in place.
        for stage in stages.into_iter().rev() {
            self.set.spawn(run_stage(shared.clone(), stage, position.clone()));
        }
        self.attend().await
    }

    /// Decides where the stream goes on and makes it known.
    async fn begin(&self) -> Result<Start, Fault> {
        let shared = &self.shared;
        shared.ports.reached("engine.ready");
        let receipt = shared.ledger.close_receipts();
        let start = shared
            .decide(receipt.as_ref())
            .map_err(|error| Fault::new(decision_origin(&error), "engine", error))?;
        shared.ledger.begin(&start).await?;
        let shape = Shape::of(&shared.task);
        if shared.shape.as_ref() != Some(&shape) {
            let json = serde_json::to_vec(&shape).unwrap_or_default();
            let scope = task_scope_name(&shared.task.key);
            let stored = shared.ports.state.put(&scope, SHAPE_KEY, &json).await;
            stored.map_err(|error| Fault::state(&error))?;
        }
        for warning in &start.warnings {
            shared.warn(warning.clone());
        }
        shared.ports.observer.observe(RunEvent::StreamStarted {
            key: &shared.task.key,
            sync_mode: shared.task.sync_mode,
            resuming: start.position.is_some(),
        });
        let _ = shared.start.set(start.clone());
        shared.ports.reached("engine.begin");
        Ok(start)
    }

    /// Waits for the end of everything, for the first error, or for the user's patience to end.
    async fn attend(&mut self) -> bool {
        let shared = self.shared.clone();
        let cancellation = shared.ports.cancellation.clone();
        let patience = async {
            cancellation.wait(CancelLevel::Stop).await;
            tokio::time::sleep(Duration::from_secs(CANCEL_GRACE_SECONDS)).await;
        };
        tokio::pin!(patience);
        loop {
            tokio::select! {
                biased;
                () = shared.failed() => return false,
                () = cancellation.wait(CancelLevel::Abort) => return true,
                ended = self.set.join_next() => match ended {
                    None => return false,
                    // A stopped source is not waited for.
                    Some(Ok(Ended::Destination)) if shared.is_source_stopped() => return false,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        shared.fail(Origin::Engine, ConnectorError::internal("task_ended", error.to_string()));
                        return false;
                    }
                },
                () = &mut patience => {
                    shared.warn(format!(
                        "no checkpoint within {CANCEL_GRACE_SECONDS} s of the request to stop; interrupted"
                    ));
                    return true;
                }
            }
        }
    }
}

/// Runs one connector to its end and judges how it ended, before its neighbours can see that it is gone.
async fn run_stage(shared: Arc<TaskShared>, stage: Stage, position: Option<CursorValue>) -> Ended {
    let Stage { origin, opened, schema, outlet, inlet } = stage;
    let Opened { mut instance, info: _ } = opened;
    let request = request(&shared.task, origin, schema, position);
    let ran = caught(instance.run(request)).await;
    shared.saw_memory(instance.memory_bytes_peak());
    let judged = match ran {
        Ok(_summary) => judge(&shared, origin, inlet.as_ref(), outlet.as_deref()),
        Err(error) => Err(error),
    };
    match judged {
        Ok(()) => {
            if let Err(error) = caught(instance.close()).await {
                shared.warn(format!("the {origin} did not close cleanly: {error}"));
            }
        }
        Err(_) if origin == Origin::Source && shared.is_source_stopped() => {}
        Err(error) => shared.fail(origin, error),
    }
    if origin == Origin::Destination { Ended::Destination } else { Ended::Other }
}

/// A connector returned without an error: whether it did what it had to, and what follows.
fn judge(
    shared: &TaskShared,
    origin: Origin,
    inlet: Option<&Gauge>,
    outlet: Option<&Sender>,
) -> Result<(), ConnectorError> {
    let taken = inlet.map(Gauge::taken).unwrap_or_default();
    if inlet.is_some() && !taken.end {
        return Err(ConnectorError::internal(
            "ended_early",
            format!("the {origin} returned before the end of stream `{}`", shared.task.key.stream),
        ));
    }
    if origin == Origin::Destination {
        return match shared.ledger.unconfirmed() {
            None => Ok(()),
            Some(id) => Err(ConnectorError::internal(
                "destination_did_not_commit",
                format!(
                    "the destination returned without having confirmed checkpoint {id}, which it was given"
                ),
            )),
        };
    }
    if origin == Origin::Source && !shared.ports.cancellation.is_requested() {
        // A source that was asked to end may have ended anywhere; one that was not has read everything.
        shared.source_complete.store(true, Ordering::Release);
    }
    // Refused only where the consumer is gone, which it says itself.
    let _ = outlet.map(Sender::finish);
    Ok(())
}

/// What a connector is asked to do.
fn request(task: &Task, origin: Origin, schema: ArrowSchemaIpc, position: Option<CursorValue>) -> RunRequest {
    let stream = match origin {
        Origin::Source => StreamContext { position, ..task.source_context() },
        Origin::Destination => task.destination_context(),
        Origin::Transform(_) | Origin::State | Origin::Engine => task.context(schema),
    };
    let phase = match origin {
        Origin::Source => RunPhase::Read,
        Origin::Destination => RunPhase::Write,
        Origin::Transform(_) | Origin::State | Origin::Engine => RunPhase::Transform,
    };
    RunRequest { stream: Some(stream), phase, dry_run: false, max_records: None }
}

/// A panic in an adapter ends its task like any other error.
async fn caught<T>(call: impl Future<Output = Result<T, ConnectorError>>) -> Result<T, ConnectorError> {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(ConnectorError::internal("panicked", format!("the host panicked: {message}")))
    })
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
        }
    }

    fn take(&mut self, shared: &TaskShared, interrupted: bool) {
        let cancelled = shared.ports.cancellation.is_requested();
        let failure = shared.failure();
        self.resumed = shared.start.get().is_some_and(|start| start.position.is_some());
        self.counters = shared.ledger.counters();
        self.records_skipped = shared.ledger.records_skipped();
        self.checkpoints = shared.ledger.saves();
        self.guest_bytes_peak = shared.guest_bytes_peak.load(Ordering::Relaxed);
        self.warnings = std::mem::take(&mut *shared.warnings());
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
}
