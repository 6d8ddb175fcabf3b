//! A stream's reading in partitions: ranges that the source gives on one moment of the stream, remembered until all of
//! them are committed, so that a crash repeats none and forgets none.
//!
//! A reading has a *floor*: checkpoint ids at or below it belong to earlier readings of the stream, in the state and at the
//! destination. It is made of the clock, so that it lies above every id that a lost state may have given; a receipt
//! above a fresh floor says that this is not so, and is refused.
//! Refuses to know: how a partition is read, and in which order.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rapidbyte_core::limits::CHECKPOINT_ID_MAX;
use rapidbyte_core::ports::{Instance, TaskKey, task_scope_name};
use rapidbyte_core::*;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::error::{Fault, Origin};
use crate::instance::{Opened, open};
use crate::limits::PARTITIONS_MAX;
use crate::plan::Task;
use crate::survey::quiet_io;
use crate::task::Surroundings;

/// Key under which the engine remembers a reading.
const READING_KEY: &str = "partitions";

/// The code by which a source says that ranges mean nothing in another moment than the one they were cut in.
const RANGES_GONE: &str = "ranges_gone";

/// What the state keeps of a reading that is not at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Saved {
    floor: u64,
    ranges: Vec<PartitionRange>,
    /// What the ranges are of: with another filter or key they mean something else.
    filter: Option<String>,
    key: Option<String>,
    /// The state knew nothing of the stream when it began.
    unknown_before: bool,
}

/// A reading that is to be done.
pub(crate) struct Reading {
    saved: Saved,
    moment: Moment,
    key: TaskKey,
    /// An earlier run began it.
    continues: bool,
}

/// One moment of a stream, held open by a session of the source.
#[derive(Clone)]
pub(crate) struct Moment {
    held: Arc<Mutex<Held>>,
    /// As the source is asked for it: one range, which is known.
    task: Arc<Task>,
}

#[derive(Default)]
struct Held {
    /// None: it has to be opened.
    instance: Option<Box<dyn Instance>>,
    name: Option<String>,
}

impl Reading {
    /// Continues the reading that the state remembers, or begins one; none if the stream is to be read as one.
    pub async fn open(task: &Task, around: &Surroundings) -> Result<Option<Reading>, Fault> {
        let Some(split) = &task.split else { return Ok(None) };
        let state = &around.ports.state;
        let scope = task_scope_name(&task.key);
        let stored = state.get(&scope, READING_KEY).await.map_err(|error| Fault::state(&error))?;
        let saved: Option<Saved> = stored.and_then(|json| serde_json::from_slice(&json).ok());
        let same = |saved: &Saved| saved.filter == task.filter && saved.key == split.key;
        if let Some(saved) = saved.filter(same)
            && !all_complete(task, &saved, around).await?
        {
            let moment = Moment::closed(task, &saved.ranges);
            match moment.name(around).await {
                Ok(_) => return Ok(Some(Reading { saved, moment, key: task.key.clone(), continues: true })),
                // They meant something in the moment they were cut in, and nothing since. A new reading is begun.
                Err(fault) if fault.error.code == RANGES_GONE => {}
                Err(fault) => return Err(fault),
            }
        }

        let wanted = split.partitions_max.min(PARTITIONS_MAX);
        let asked = Partition { index: 0, count: wanted, range: None, floor: 0 };
        let (instance, plan) = ask(task, asked, around).await?;
        let ranges = plan.ranges;
        if ranges.len() < 2 {
            return Ok(None);
        }
        // What no other moment can go on with must not be left half-way where repeating it would show.
        let lasting = ranges.iter().all(|range| task.stream_columns.contains(&range.field));
        if task.write.mode == WriteMode::Append && !lasting {
            return Ok(None);
        }
        if ranges.len() > wanted as usize {
            let message = format!("{} ranges were given where at most {wanted} were asked for", ranges.len());
            return Err(source_fault(around, ConnectorError::internal("partitions_too_many", message)));
        }
        let (floor, unknown_before) = floor(task, around).await?;
        let (filter, key) = (task.filter.clone(), split.key.clone());
        let saved = Saved { floor, ranges, filter, key, unknown_before };
        around.ports.reached("engine.partitions.before");
        let json = serde_json::to_vec(&saved).unwrap_or_default();
        state.put(&scope, READING_KEY, &json).await.map_err(|error| Fault::state(&error))?;
        around.ports.reached("engine.partitions.after");
        let moment = Moment::closed(task, &saved.ranges);
        *moment.held.lock().await = Held { instance: Some(instance), name: plan.snapshot };
        Ok(Some(Reading { saved, moment, key: task.key.clone(), continues: false }))
    }

    /// The tasks of its partitions.
    pub fn tasks(&self, task: &Task) -> Vec<Task> {
        let count = u32::try_from(self.saved.ranges.len()).unwrap_or(u32::MAX);
        let parts = self.saved.ranges.iter().zip(0..).map(|(range, index)| Task {
            key: TaskKey { partition: index, ..task.key.clone() },
            partition: Partition { index, count, range: Some(range.clone()), floor: self.saved.floor },
            unknown_before: self.saved.unknown_before,
            ..task.clone()
        });
        parts.collect()
    }

    pub fn moment(&self) -> Moment {
        self.moment.clone()
    }

    pub fn continues(&self) -> bool {
        self.continues
    }

    /// Whether the destination may hold half of a reading that nobody remembers, and writing it again would repeat it.
    pub fn is_cautious(&self, task: &Task) -> bool {
        self.saved.unknown_before && task.write.mode == WriteMode::Append
    }

    /// Lets go of the moment, and of the reading if all of it is committed.
    pub async fn close(&mut self, complete: bool, around: &Surroundings) -> Result<(), Fault> {
        if let Some(mut instance) = self.moment.held.lock().await.instance.take() {
            let _ = instance.close().await;
        }
        if complete {
            let forgotten = around.ports.state.put(&task_scope_name(&self.key), READING_KEY, b"null").await;
            forgotten.map_err(|error| Fault::state(&error))?;
        }
        Ok(())
    }
}

impl Moment {
    fn closed(task: &Task, ranges: &[PartitionRange]) -> Self {
        let partition = Partition { index: 0, count: 1, range: ranges.first().cloned(), floor: 0 };
        Moment { held: Arc::default(), task: Arc::new(Task { partition, ..task.clone() }) }
    }

    /// The moment's name, for who reads at it. Opens one if none is held.
    pub async fn name(&self, around: &Surroundings) -> Result<Option<String>, Fault> {
        let mut held = self.held.lock().await;
        if held.instance.is_none() {
            let (instance, plan) = ask(&self.task, self.task.partition.clone(), around).await?;
            *held = Held { instance: Some(instance), name: plan.snapshot };
        }
        Ok(held.name.clone())
    }

    /// Lets go of a moment that is gone, unless somebody else has already.
    pub async fn renew(&self, gone: Option<String>) {
        let mut held = self.held.lock().await;
        if held.name == gone {
            *held = Held::default();
        }
    }
}

/// Asks a source of its own for partitions. It holds the moment open until it is closed or dropped.
async fn ask(
    task: &Task,
    partition: Partition,
    around: &Surroundings,
) -> Result<(Box<dyn Instance>, PartitionPlan), Fault> {
    let fault = |error| source_fault(around, error);
    let source = &around.connectors.source;
    let guest_bytes_max = around.memory.guest_bytes_max;
    let io = quiet_io(source, task.key.clone(), true, task.limits, guest_bytes_max, &around.ports);
    let Opened { mut instance, .. } = open(source, ConnectorRole::Source, io).await.map_err(fault)?;
    let context = StreamContext {
        partition,
        partition_key: task.split.as_ref().and_then(|split| split.key.clone()),
        ..task.source_context()
    };
    let request =
        RunRequest { stream: Some(context), phase: RunPhase::Partition, dry_run: false, max_records: None };
    let summary = instance.run(request).await.map_err(fault)?;
    let plan = summary.partition_plan.ok_or_else(|| {
        fault(ConnectorError::internal(
            "no_partition_plan",
            "the source answered phase `partition` without a plan",
        ))
    })?;
    Ok((instance, plan))
}

fn source_fault(around: &Surroundings, error: ConnectorError) -> Fault {
    Fault::new(Origin::Source, around.connectors.source.connector.id(), error)
}

/// Whether the state has every partition of a reading at its end: then it is over, and only the note of it was left.
async fn all_complete(task: &Task, saved: &Saved, around: &Surroundings) -> Result<bool, Fault> {
    for (_, partition) in saved.ranges.iter().zip(0..) {
        let key = TaskKey { partition, ..task.key.clone() };
        let last = around.ports.state.last_checkpoint(&key).await.map_err(|error| Fault::state(&error))?;
        // A reset in the meantime: what was read is to be read again.
        if last.as_ref().is_some_and(|last| last.reset && last.id > saved.floor) {
            return Ok(true);
        }
        if !last.is_some_and(|last| last.complete && last.id > saved.floor) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A floor above everything that was ever seen of the stream, and whether that was nothing at all.
async fn floor(task: &Task, around: &Surroundings) -> Result<(u64, bool), Fault> {
    let positions = around.ports.state.positions(Some(&task.key.pipeline)).await;
    let positions = positions.map_err(|error| Fault::state(&error))?;
    let of_stream = positions.iter().filter(|position| position.key.stream == task.key.stream);
    let seen = of_stream.map(|position| position.checkpoint.id).max();
    let floor = seen.unwrap_or(0).max(of_clock());
    if floor >= CHECKPOINT_ID_MAX / 2 {
        let message = format!("there is no room for checkpoint ids above {floor}");
        return Err(Fault::new(Origin::Engine, "engine", ConnectorError::internal("checkpoint_id", message)));
    }
    Ok((floor, seen.is_none()))
}

/// Milliseconds since the epoch with room for a million ids in each: above every id that was counted up from 1.
fn of_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0).saturating_mul(1 << 20)
}
