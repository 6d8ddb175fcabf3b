//! One task from claim to close: opens its connectors, lets the destination prepare, decides where the stream goes on,
//! runs source, transforms and destination side by side, and ends them together. The first error ends all; it alone is
//! the task's error, because the others only saw their neighbour go.
//!
//! Refuses to know: other tasks, and how a frame travels (`pump.rs`).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use rapidbyte_core::channel::{Bounds, Receiver, Sender, channel};
use rapidbyte_core::limits::CANCEL_GRACE_SECONDS;
use rapidbyte_core::ports::{InstanceIo, RunCounters, RunEvent, RunStatus, TaskKey, task_scope_name};
use rapidbyte_core::*;
use tokio::task::JoinSet;

use crate::cancel::CancelLevel;
use crate::error::{Fault, Origin};
use crate::instance::open;
use crate::memory::MemoryPlan;
use crate::plan::Task;
use crate::pump::{Link, pump};
use crate::report::StreamReport;
use crate::resume::Start;
use crate::services::{StageServices, Voice};
use crate::shared::{TaskShared, decision_origin};
use crate::spec::{Connectors, Plugged, Ports};
use crate::stage::{Ended, Stage, run_stage};

/// Key under which the engine remembers how a stream was read.
const SHAPE_KEY: &str = "shape";

/// Runs one task. Always answers a report; nothing of the task is left when it does.
pub(crate) async fn run_task(
    task: Task,
    memory: MemoryPlan,
    connectors: Connectors,
    ports: Ports,
    run_began: Instant,
) -> StreamReport {
    let began = Instant::now();
    let key = task.key.clone();
    let mut report = StreamReport::unstarted(&task);
    report.started = true;
    ports.reached("engine.claim.before");
    let mut claim = match Claim::take(&ports, &key).await {
        Ok(claim) => claim,
        Err(fault) => {
            report.status = RunStatus::Failed;
            report.error = Some(fault);
            return finished(report, &ports, &key, began);
        }
    };
    let run_id = claim.run_id;
    ports.reached("engine.claim.after");

    match execute(task, memory, connectors, &ports, run_id).await {
        Ok((shared, interrupted)) => report.take(&shared, interrupted, run_began),
        Err(fault) => {
            report.status = RunStatus::Failed;
            report.error = Some(fault);
        }
    }

    ports.reached("engine.finish.before");
    let error = report.error.as_ref().map(ToString::to_string);
    claim.held = false;
    if let Err(error) = ports.state.finish_run(run_id, report.status, report.counters, error.as_deref()).await
    {
        // What was committed is committed and saved; only the row of history stays open until this process ends.
        report.warnings.push(format!("the run's row could not be closed: {error}"));
    }
    ports.reached("engine.finish.after");
    finished(report, &ports, &key, began)
}

fn finished(mut report: StreamReport, ports: &Ports, key: &TaskKey, began: Instant) -> StreamReport {
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    ports.observer.observe(RunEvent::StreamFinished {
        key,
        status: report.status,
        counters: report.counters,
        error: report.error.as_ref().map(|fault| &fault.error),
    });
    report
}

/// The claim on a stream. Frees it if the task's future is dropped in the middle.
struct Claim {
    ports: Ports,
    run_id: i64,
    held: bool,
}

impl Claim {
    async fn take(ports: &Ports, key: &TaskKey) -> Result<Self, Fault> {
        let (ports, key) = (ports.clone(), key.clone());
        // A task of its own: if nobody waits for the answer any more, the claim is dropped and freed all the same.
        let taking = tokio::spawn(async move {
            match ports.state.begin_run(&key.pipeline, &key.stream).await {
                Ok(run_id) => Ok(Claim { ports, run_id, held: true }),
                Err(error) => Err(Fault::state(&error)),
            }
        });
        match taking.await {
            Ok(taken) => taken,
            Err(error) => {
                let error = ConnectorError::internal("task_ended", error.to_string());
                Err(Fault::new(Origin::Engine, "engine", error))
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let (state, run_id) = (self.ports.state.clone(), self.run_id);
        // Without a runtime the process is ending, which frees the claim as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let dropped = Some("the caller dropped the run");
                let _ = state.finish_run(run_id, RunStatus::Stopped, RunCounters::default(), dropped).await;
            });
        }
    }
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
    let names =
        plugged.iter().map(|(origin, plugged)| (*origin, plugged.connector.id().to_owned())).collect();
    let shared = Arc::new(TaskShared::new(task, ports.clone(), run_id, saved, shape, names));

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
                let forwarded = Arc::new(AtomicU64::new(0));
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
                    forwarded: forwarded.clone(),
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
                Ok(Stage { origin: *origin, opened, schema, outlet, inlet: gauge, forwarded })
            }
        },
    );
    Ok((try_join_all(opening).await?, joints))
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
        if shared.shape.as_ref() != Some(&start.shape) {
            let json = serde_json::to_vec(&start.shape).unwrap_or_default();
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
