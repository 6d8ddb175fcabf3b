//! One attempt at a task: opens its connectors, lets the destination prepare, decides where the stream goes on, runs source,
//! transforms and destination side by side, and ends them together. The first error ends all; it alone is the attempt's
//! error, because the others only saw their neighbour go.
//!
//! Refuses to know: other tasks, other attempts (`stream.rs`), and how a frame travels (`pump.rs`).

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use rapidbyte_core::channel::{Bounds, Receiver, Sender, channel};
use rapidbyte_core::copy::{CopyWriter, StreamCopy};
use rapidbyte_core::limits::CANCEL_GRACE_SECONDS;
use rapidbyte_core::ports::{InstanceIo, RunEvent, RunStatus, task_scope_name};
use rapidbyte_core::*;
use tokio::task::JoinSet;

use crate::breaker::Breaker;
use crate::cancel::CancelLevel;
use crate::commit::StreamTotals;
use crate::error::{Fault, Origin};
use crate::instance::open;
use crate::memory::MemoryPlan;
use crate::plan::{StepKind, Task};
use crate::pump::{Link, pump};
use crate::report::StreamReport;
use crate::resume::Start;
use crate::services::{StageServices, Voice};
use crate::shared::{Beginning, TaskShared, decision_origin};
use crate::spec::{Connectors, Plugged, Ports};
use crate::stage::{Ended, Stage, run_stage};
use crate::steps::HostSteps;

/// Key under which the engine remembers how a stream was read.
const SHAPE_KEY: &str = "shape";

/// Whatever one attempt shares with those before it and with the stream's other tasks.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub memory: MemoryPlan,
    pub connectors: Connectors,
    pub ports: Ports,
    pub run_id: i64,
    pub totals: Arc<StreamTotals>,
    pub breaker: Arc<Breaker>,
    /// The stream's local copy, once it was opened: by whichever partition comes first, and never a second time beside it.
    pub copy: Arc<Mutex<Option<Arc<dyn StreamCopy>>>>,
    /// The reading in partitions was begun by an earlier run.
    pub continues: bool,
    /// Only until the destination has said where it stands and the engine has agreed.
    pub probe: bool,
}

/// Tries a task once, into `report`. Nothing of the attempt is left when this returns. Answers whether something new was
/// committed.
pub(crate) async fn attempt(task: Task, around: &Surroundings, report: &mut StreamReport) -> bool {
    report.started = true;
    match execute(task, around).await {
        Ok((shared, _)) if around.probe && shared.failure().is_none() && shared.start.get().is_some() => {
            report.status = RunStatus::Succeeded;
            false
        }
        Ok((shared, interrupted)) => {
            report.take(&shared, interrupted);
            shared.ledger.saves() > 0
        }
        Err(fault) => {
            report.fail(fault);
            false
        }
    }
}

/// The engine's side of a link: takes from the producer's channel, puts into the consumer's.
struct Joint {
    from: Receiver,
    to: Sender,
    producer: Origin,
    schema: ArrowSchemaIpc,
    steps: Option<HostSteps>,
}

/// One attempt. An error is one from before the stages ran.
async fn execute(task: Task, around: &Surroundings) -> Result<(Arc<TaskShared>, bool), Fault> {
    let Surroundings { memory, connectors, ports, run_id, totals, breaker, probe, .. } = around;
    let state = &ports.state;
    let saved = state.last_checkpoint(&task.key).await.map_err(|error| Fault::state(&error))?;
    let shape =
        state.get(&task_scope_name(&task.key), SHAPE_KEY).await.map_err(|error| Fault::state(&error))?;
    let shape = shape.and_then(|json| serde_json::from_slice(&json).ok());
    let steps = HostSteps::of_links(&task, ports, memory)
        .map_err(|(origin, error)| Fault::new(origin, "engine", error))?;

    let plugged = chain(&task, connectors)?;
    let names =
        plugged.iter().map(|(origin, plugged)| (*origin, plugged.connector.id().to_owned())).collect();
    let beginning =
        Beginning { run_id: *run_id, saved, shape, names, totals: totals.clone(), breaker: breaker.clone() };
    let shared = Arc::new(TaskShared::new(task, ports.clone(), beginning));

    let opening = open_all(&shared, &plugged, *memory, steps);
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
    let mut running =
        Running { shared: shared.clone(), set: JoinSet::new(), probe: *probe, around: around.clone() };
    let interrupted = running.run(stages, joints).await;
    // Nothing of the task may outlive its claim.
    running.set.shutdown().await;
    Ok((shared, interrupted))
}

/// The connectors that a task's stream passes, in order.
fn chain<'a>(task: &Task, connectors: &'a Connectors) -> Result<Vec<(Origin, &'a Plugged)>, Fault> {
    let mut chain = vec![(Origin::Source, &connectors.source)];
    for step in task.transforms.iter().filter(|step| step.kind == StepKind::Connector) {
        let index = step.index.unwrap_or(usize::MAX);
        let Some(plugged) = connectors.transform(index) else {
            let error = ConnectorError::internal("plan_mismatch", "the plan is not of these connectors");
            return Err(Fault::new(Origin::Engine, "engine", error));
        };
        chain.push((Origin::Transform(index), plugged));
    }
    chain.push((Origin::Destination, &connectors.destination));
    Ok(chain)
}

/// What flows out of the producer of each link, and what into its consumer: the host may change it in between.
fn link_schemas(task: &Task) -> Vec<(ArrowSchemaIpc, ArrowSchemaIpc)> {
    let mut links = Vec::new();
    let (mut made, mut taken) = (task.source_schema.clone(), task.source_schema.clone());
    for step in &task.transforms {
        if step.kind == StepKind::Connector {
            links.push((std::mem::replace(&mut made, step.schema.clone()), taken));
        }
        taken = step.schema.clone();
    }
    links.push((made, taken));
    links
}

/// Makes the channels and opens every connector, all at once: a configuration that is refused is known before anything
/// is touched.
async fn open_all(
    shared: &Arc<TaskShared>,
    plugged: &[(Origin, &Plugged)],
    memory: MemoryPlan,
    steps: Vec<Option<HostSteps>>,
) -> Result<(Vec<Stage>, Vec<Joint>), Fault> {
    let task = &shared.task;
    // One frame waits for the pump; the rest waits for the consumer.
    let before_pump = Bounds { bytes_max: 1, frames_max: 1 };
    let after_pump =
        Bounds { bytes_max: memory.channel_bytes_max, frames_max: task.limits.max_inflight_batches.max(1) };
    let mut joints = Vec::new();
    let mut inlets = vec![None];
    let mut outlets = Vec::new();
    // What each connector is told of the stream: the source what it makes, the others what they take.
    let mut schemas = vec![task.source_schema.clone()];
    for (((made, taken), steps), (producer, _)) in link_schemas(task).into_iter().zip(steps).zip(plugged) {
        let (producer_end, from) = channel(before_pump);
        let (to, consumer_end) = channel(after_pump);
        outlets.push(Some(Arc::new(producer_end)));
        inlets.push(Some((to.gauge(), consumer_end)));
        joints.push(Joint { from, to, producer: *producer, schema: made, steps });
        schemas.push(taken);
    }
    outlets.push(None);

    let opening = plugged.iter().zip(inlets).zip(outlets).zip(schemas).map(
        |((((origin, plugged), inlet), outlet), schema)| async move {
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
        },
    );
    Ok((try_join_all(opening).await?, joints))
}

/// A task's stages and pumps while they run.
struct Running {
    shared: Arc<TaskShared>,
    set: JoinSet<Ended>,
    probe: bool,
    around: Surroundings,
}

impl Running {
    /// Runs the stages to their end, or ends them. Answers whether they were interrupted because the run was aborted.
    async fn run(&mut self, mut stages: Vec<Stage>, joints: Vec<Joint>) -> bool {
        let shared = self.shared.clone();
        let Some(destination) = stages.pop() else { return false };
        let _ = shared.transactional.set(destination.opened.info.capabilities.transactional);
        let Some(to) = joints.last().map(|joint| &joint.to) else { return false };
        self.set.spawn(run_stage(shared.clone(), destination, None));

        // The destination connects, prepares and reports its receipt before it asks for the stream. Nothing was read yet,
        // so the first request to end ends it here.
        let ready = tokio::select! {
            biased;
            () = shared.failed() => false,
            () = shared.ports.cancellation.wait(CancelLevel::Stop) => return false,
            ready = to.receiver_ready() => ready.is_ok(),
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
        if self.probe {
            // While its side of the channel stands: nobody ends here because somebody else has.
            self.set.shutdown().await;
            return false;
        }
        if start.done {
            // The destination has it all: it sees the end, and nothing is read.
            drop(stages);
            let _ = to.finish();
            shared.complete_source();
            return self.attend().await;
        }
        let mut copy = match self.open_copy(&start) {
            Ok(copy) => copy,
            Err(error) => {
                shared.fail(Origin::Engine, error);
                return false;
            }
        };
        let position = start.position.as_ref().map(|cursor| cursor.value.clone());
        let last = joints.len() - 1;
        for (link, joint) in joints.into_iter().enumerate() {
            let Joint { from, to, producer, schema, steps } = joint;
            let last = link == last;
            let copy = if last { copy.take() } else { None };
            let link = Link { producer, last, schema, position: start.position.clone(), steps, copy };
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

    /// Opens the partition's part of the local copy, if somebody asked for one.
    fn open_copy(&self, start: &Start) -> Result<Option<Box<dyn CopyWriter>>, ConnectorError> {
        let Some(keeper) = &self.shared.ports.copies else { return Ok(None) };
        let task = &self.shared.task;
        let copy = {
            let mut opened = self.around.copy.lock().unwrap_or_else(PoisonError::into_inner);
            match &*opened {
                Some(copy) => copy.clone(),
                None => {
                    let resuming = start.position.is_some() || start.done || self.around.continues;
                    let copy = keeper.open(&task.key.pipeline, &task.key.stream, &task.write, resuming)?;
                    opened.insert(copy).clone()
                }
            }
        };
        let committed = start.committed.as_ref().map(|committed| committed.id);
        copy.writer(task.key.partition, committed).map(Some)
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
