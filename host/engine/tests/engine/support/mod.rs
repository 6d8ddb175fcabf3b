//! The world a test runs in.

pub mod connectors;
pub mod sql;
pub mod store;
pub mod strike;
pub mod world;

use std::sync::{Arc, Mutex};

use rapidbyte_core::ports::{Observer, RunEvent, RunStatus, StateStore};
use rapidbyte_core::redact::Redactor;
use rapidbyte_core::*;
use rapidbyte_engine::{
    Cancellation, Connectors, PipelineSpec, PlanOptions, Plugged, Ports, ResourceSpec, RetryPolicy,
    RunReport, Selection, StreamSpec, TransformKind, TransformSpec, plan, run,
};
use rapidbyte_state::SqliteStore;
use tempfile::TempDir;

use connectors::{Behaviour, FakeConnector};
use sql::FakeSql;
use store::StruckStore;
use strike::{Ends, Strike, Striker};
use world::World;

/// A test's world: sources, a destination and a state that outlive every run.
pub struct Stage {
    pub world: Arc<World>,
    pub folder: TempDir,
    pub spec: PipelineSpec,
    pub behaviour: Behaviour,
}

impl Stage {
    pub fn new(streams: Vec<StreamSpec>) -> Self {
        // Memory where there is some: these tests are about order, not about fsync.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Stage {
            world: Arc::new(World::default()),
            folder,
            spec: PipelineSpec {
                name: "p".into(),
                streams: Selection::Listed(streams),
                transforms: Vec::new(),
                transforms_from: 0,
                contracts: Vec::new(),
                policies: Policies::default(),
                on_error: DataErrorPolicy::Fail,
                retry: RetryPolicy::NEVER,
                breaker: None,
                resources: ResourceSpec::default(),
            },
            behaviour: Behaviour::default(),
        }
    }

    pub fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.folder.path().join("state.db")).unwrap()
    }

    pub fn lose_state(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap()
            } else {
                std::fs::remove_file(path).unwrap()
            }
        }
    }

    /// Puts pass-through transforms into the stream's way.
    pub fn with_transforms(mut self, count: usize) -> Self {
        self.spec.transforms = vec![TransformSpec::default(); count];
        self
    }

    pub fn connectors(&self, striker: &Arc<Striker>) -> Connectors {
        let plug = |role| {
            let connector =
                FakeConnector::new(role, self.world.clone(), striker.clone(), self.behaviour.clone());
            Plugged::new(Arc::new(connector), "{}")
        };
        Connectors {
            source: plug(ConnectorRole::Source),
            transforms: self
                .spec
                .transforms
                .iter()
                .map(|transform| match transform.kind {
                    TransformKind::Connector => Some(plug(ConnectorRole::Transform)),
                    TransformKind::Operations(_) => None,
                })
                .collect(),
            destination: plug(ConnectorRole::Destination),
        }
    }

    /// Plans and runs as one process would, until it ends or is struck down. Deterministic: one thread.
    pub fn process(&self, strike: Strike, seed: u64) -> Outcome {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let cancellation = Cancellation::new();
        let striker = Arc::new(Striker::new(strike, seed, cancellation.clone()));
        let seen = Arc::new(Seen { striker: striker.clone(), events: Mutex::default() });
        let outcome = runtime.block_on(async {
            let store: Arc<dyn StateStore> = Arc::new(StruckStore::new(self.store(), striker.clone()));
            let ports = ports(store, seen.clone(), cancellation);
            let connectors = self.connectors(&striker);
            let whole = async {
                let plan = plan(&self.spec, &connectors, &ports, &PlanOptions::default()).await;
                match plan {
                    Ok(plan) => Ends::Report(Box::new(run(plan, &connectors, &ports).await)),
                    Err(error) => Ends::Refused(error),
                }
            };
            tokio::select! {
                biased;
                () = striker.killed() => Ends::Killed,
                ends = whole => ends,
            }
        });
        // Everything of the process goes at once.
        drop(runtime);
        let events = std::mem::take(&mut *seen.events.lock().unwrap());
        Outcome { ends: outcome, steps: striker.steps(), events }
    }

    /// Runs undisturbed.
    pub fn run(&self) -> RunReport {
        self.process(Strike::Never, 0).report()
    }
}

pub struct Outcome {
    pub ends: Ends,
    /// How many points it passed.
    pub steps: u64,
    pub events: Vec<String>,
}

impl Outcome {
    pub fn report(self) -> RunReport {
        match self.ends {
            Ends::Report(report) => *report,
            Ends::Refused(error) => panic!("refused: {error}"),
            Ends::Killed => panic!("killed"),
        }
    }
}

/// Watches a run, and strikes at the engine's own points.
struct Seen {
    striker: Arc<Striker>,
    events: Mutex<Vec<String>>,
}

impl Observer for Seen {
    fn observe(&self, event: RunEvent<'_>) {
        let line = match event {
            RunEvent::Reached { point } => {
                self.striker.pass(point);
                return;
            }
            RunEvent::StreamStarted { key, resuming, .. } => {
                format!("{} started resuming={resuming}", key.stream)
            }
            RunEvent::CheckpointSaved { key, checkpoint } => {
                format!("{} saved {}", key.stream, checkpoint.id)
            }
            RunEvent::StreamFinished { key, status, .. } => format!("{} {}", key.stream, status.as_str()),
            RunEvent::Log { event, .. } => event.message.clone(),
            _ => return,
        };
        self.events.lock().unwrap().push(line);
    }
}

pub fn ports(state: Arc<dyn StateStore>, observer: Arc<dyn Observer>, cancellation: Cancellation) -> Ports {
    let (sql, redactor) = (Arc::new(FakeSql), Redactor::default());
    Ports { state, observer, cancellation, sql, copies: None, redactor }
}

/// A stream as a pipeline asks for it.
pub fn stream(name: &str, sync_mode: SyncMode, mode: WriteMode) -> StreamSpec {
    let keyed = matches!(mode, WriteMode::Upsert | WriteMode::Merge);
    StreamSpec {
        name: name.into(),
        sync_mode,
        cursor: (sync_mode == SyncMode::Incremental)
            .then(|| CursorSpec { field: "seq".into(), tie_breaker: Vec::new() }),
        columns: Vec::new(),
        filter: None,
        write: WritePlan {
            mode,
            primary_key: if keyed { vec!["id".into()] } else { Vec::new() },
            update_columns: Vec::new(),
        },
        policies: Policies::default(),
        on_error: DataErrorPolicy::Fail,
        partitions: None,
        partition_key: None,
    }
}

/// The only stream of a report.
pub fn only(report: &RunReport) -> &rapidbyte_engine::StreamReport {
    assert_eq!(report.streams.len(), 1);
    &report.streams[0]
}

/// The code of the only stream's error.
pub fn code(report: &RunReport) -> &str {
    let stream = only(report);
    assert_eq!(stream.status, RunStatus::Failed, "{stream:?}");
    &stream.error.as_ref().unwrap().error.code
}
