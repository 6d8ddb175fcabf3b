//! The clock of a task: when each of its stages began and ended, and where to read how long it waited. What is read from
//! it is the task's profile, also of a task that was interrupted.
//! Refuses to know: what a stage does.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use rapidbyte_core::channel::Gauge;
use rapidbyte_core::ports::TaskKey;
use rapidbyte_core::profile::{StageKind, StageTimes, TaskProfile};
use rapidbyte_core::waiting::Waiting;

use crate::error::Origin;

/// Watches the stages of one task.
pub(crate) struct StageClock {
    began: Instant,
    watched: Mutex<Vec<Watched>>,
}

/// One stage, from when it was asked to run.
pub(crate) struct Watched {
    /// Place in the stream's order: connectors are even, the pumps between them odd.
    place: usize,
    kind: StageKind,
    name: String,
    began: Instant,
    ended: Option<Instant>,
    inlet: Option<Gauge>,
    outlet: Option<Gauge>,
    remote: Option<Arc<Waiting>>,
}

impl Watched {
    /// A connector that runs from now on.
    pub fn connector(
        origin: Origin,
        name: &str,
        inlet: Option<Gauge>,
        outlet: Option<Gauge>,
        remote: Option<Arc<Waiting>>,
    ) -> Self {
        let (place, kind) = match origin {
            Origin::Source | Origin::Engine | Origin::State => (0, StageKind::Source),
            Origin::Transform(index) => (2 * index + 2, StageKind::Transform),
            Origin::Destination => (usize::MAX, StageKind::Destination),
        };
        Watched {
            place,
            kind,
            name: name.to_owned(),
            began: Instant::now(),
            ended: None,
            inlet,
            outlet,
            remote,
        }
    }

    /// The pump behind a connector, from now on.
    pub fn pump(producer: Origin, inlet: Gauge, outlet: Gauge) -> Self {
        let behind = Watched::connector(producer, "host", Some(inlet), Some(outlet), None);
        Watched { place: behind.place + 1, kind: StageKind::Host, ..behind }
    }
}

impl StageClock {
    pub fn new() -> Self {
        StageClock { began: Instant::now(), watched: Mutex::default() }
    }

    /// Watches a stage until the answer is dropped.
    pub fn watch(&self, stage: Watched) -> Watching<'_> {
        let mut watched = self.lock();
        watched.push(stage);
        Watching { clock: self, index: watched.len() - 1 }
    }

    /// What was measured so far, and since when; what goes on counts up to now.
    pub fn profile(&self, key: &TaskKey) -> (Instant, TaskProfile) {
        let now = Instant::now();
        let watched = self.lock();
        let mut in_order: Vec<&Watched> = watched.iter().collect();
        in_order.sort_by_key(|stage| stage.place);
        let stages: Vec<StageTimes> = in_order
            .into_iter()
            .map(|stage| StageTimes {
                kind: stage.kind,
                name: stage.name.clone(),
                began: stage.began,
                ended: stage.ended.unwrap_or(now),
                flow: stage.inlet.as_ref().or(stage.outlet.as_ref()).map(Gauge::flow).unwrap_or_default(),
                input: stage.inlet.as_ref().map(Gauge::receiver_waits),
                output: stage.outlet.as_ref().map(Gauge::sender_waits),
                remote: stage.remote.as_ref().map(|waits| waits.timeline()),
            })
            .collect();
        (self.began, TaskProfile::new(key.clone(), self.began, now, &stages))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A stage that is running.
pub(crate) struct Watching<'a> {
    clock: &'a StageClock,
    index: usize,
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        if let Some(stage) = self.clock.lock().get_mut(self.index) {
            stage.ended = Some(Instant::now());
        }
    }
}
