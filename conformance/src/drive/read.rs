//! Reading: one stream of a source, from the beginning or behind a position, whole, projected, sliced or with faults.

use std::sync::Arc;

use rapidbyte_host::core::channel::{Event, channel};
use rapidbyte_host::core::*;
use rapidbyte_host::wasm::WasmConnector;

use super::{WIDE, ended_in_words, run_and_take};
use crate::clause::{Finding, broken, mismatch, not_applicable, said};
use crate::limits::{LIMITS, STREAMS_READ_MAX};
use crate::rows::{Row, rows_of};
use crate::subject::{Bent, Running, Subject, start};

/// How a stream is read.
#[derive(Debug, Clone)]
pub struct ReadPlan {
    pub name: String,
    pub schema: ArrowSchemaIpc,
    pub sync_mode: SyncMode,
    pub cursor: Option<CursorSpec>,
    pub position: Option<CursorValue>,
    pub columns: Vec<String>,
    pub max_records: Option<u64>,
    pub dry_run: bool,
    pub limits: Limits,
    /// A predicate, for sources that honour one.
    pub filter: Option<String>,
    pub partition: Partition,
    /// A moment that another session holds open.
    pub snapshot: Option<String>,
    pub bent: Bent,
}

impl ReadPlan {
    /// All of a stream.
    pub fn full(stream: &CatalogStream) -> Self {
        ReadPlan {
            name: stream.name.clone(),
            schema: stream.schema.clone(),
            sync_mode: SyncMode::FullRefresh,
            cursor: None,
            position: None,
            columns: Vec::new(),
            max_records: None,
            dry_run: false,
            limits: LIMITS,
            filter: None,
            partition: Partition::WHOLE,
            snapshot: None,
            bent: Bent::default(),
        }
    }

    /// What lies behind `position`, in order of `field`.
    pub fn incremental(stream: &CatalogStream, field: &str, position: Option<CursorValue>) -> Self {
        let cursor = CursorSpec { field: field.to_owned(), tie_breaker: Vec::new() };
        ReadPlan { sync_mode: SyncMode::Incremental, cursor: Some(cursor), position, ..Self::full(stream) }
    }

    /// What is asked for, for messages.
    fn words(&self) -> String {
        let mut words = format!("reading `{}`", self.name);
        if let Some(cursor) = &self.cursor {
            words.push_str(&format!(" by `{}`", cursor.field));
        }
        if let Some(position) = &self.position {
            words.push_str(&format!(" from `{}`", position.value_text()));
        }
        if !self.columns.is_empty() {
            words.push_str(&format!(" with columns {:?}", self.columns));
        }
        if let Some(filter) = &self.filter {
            words.push_str(&format!(" where `{filter}`"));
        }
        if let Some(range) = &self.partition.range {
            words.push_str(&format!(", {range}"));
        }
        words
    }

    fn request(&self) -> RunRequest {
        let stream = StreamContext {
            pipeline: "conformance".to_owned(),
            name: self.name.clone(),
            schema: self.schema.clone(),
            sync_mode: self.sync_mode,
            cursor: self.cursor.clone(),
            position: self.position.clone(),
            columns: self.columns.clone(),
            filter: self.filter.clone(),
            write: None,
            partition: self.partition.clone(),
            snapshot: self.snapshot.clone(),
            partition_key: None,
            limits: self.limits,
            policies: Policies::default(),
        };
        RunRequest {
            stream: Some(stream),
            phase: RunPhase::Read,
            dry_run: self.dry_run,
            max_records: self.max_records,
        }
    }
}

/// An instance that was asked to partition a stream, and holds open what it answered.
pub struct Held {
    running: Running,
    session: u64,
    pub plan: PartitionPlan,
}

impl Held {
    /// How each of the ranges is read.
    pub fn slices(&self, plan: &ReadPlan) -> Vec<ReadPlan> {
        let count = u32::try_from(self.plan.ranges.len()).unwrap_or(u32::MAX);
        let ranges = (0..count).zip(&self.plan.ranges);
        ranges
            .map(|(index, range)| ReadPlan {
                partition: Partition { index, count, range: Some(range.clone()), floor: 0 },
                snapshot: self.plan.snapshot.clone(),
                ..plan.clone()
            })
            .collect()
    }

    /// Lets go of it.
    pub async fn release(mut self) -> Result<(), ConnectorError> {
        self.running.instance.close_session(self.session).await
    }
}

/// What a run emitted, in order.
pub struct ReadRun {
    /// What was asked for, for messages.
    pub doing: String,
    pub events: Vec<Event>,
    pub result: Result<RunSummary, ConnectorError>,
}

impl ReadRun {
    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.events.iter().filter_map(|event| match event {
            Event::Frame(frame) => Some(frame),
            _ => None,
        })
    }

    pub fn checkpoints(&self) -> impl Iterator<Item = &CheckpointEvent> {
        self.events.iter().filter_map(|event| match event {
            Event::Checkpoint(checkpoint) => Some(checkpoint),
            _ => None,
        })
    }

    /// The rows, or why there are none.
    pub fn rows(&self) -> Result<Vec<Row>, Finding> {
        if let Err(error) = &self.result {
            return mismatch(self.doing.clone(), "success", said(error));
        }
        Ok(rows_of(self.frames())?)
    }

    pub fn records(&self) -> u64 {
        self.frames().map(Frame::records).sum()
    }
}

async fn read_with(
    mut running: Running,
    config: &str,
    plan: &ReadPlan,
    ways: Ways,
) -> Result<ReadRun, ConnectorError> {
    let Ways { sender, receiver } = ways;
    let (session, _) = running.instance.open_session(config).await?;
    let (result, events) = run_and_take(&mut running, session, plan.request(), receiver, sender).await;
    let closed = match &result {
        Ok(_) => running.instance.close_session(session).await,
        Err(_) => Ok(()),
    };
    match closed {
        // What was emitted is not spoilt by a session that a fault keeps from closing.
        Err(error) if plan.bent.faults.is_none() => Err(error),
        _ => Ok(ReadRun { doing: plan.words(), events, result }),
    }
}

/// Both sides of the channel that a source emits into.
struct Ways {
    sender: Arc<channel::Sender>,
    receiver: channel::Receiver,
}

impl Ways {
    fn new() -> Self {
        let (sender, receiver) = channel(WIDE);
        Ways { sender: Arc::new(sender), receiver }
    }
}

/// Reads one stream with a reader that is not under test.
pub async fn read_elsewhere(
    connector: &WasmConnector,
    config: &str,
    plan: &ReadPlan,
) -> Result<ReadRun, ConnectorError> {
    let ways = Ways::new();
    let running = start(connector, &Default::default(), plan.limits, None, Some(ways.sender.clone())).await?;
    read_with(running, config, plan, ways).await
}

/// Asks a connector for its catalog.
pub async fn discover_with(running: &mut Running, config: &str) -> Result<Catalog, ConnectorError> {
    let (session, _) = running.instance.open_session(config).await?;
    let request = RunRequest { stream: None, phase: RunPhase::Discover, dry_run: false, max_records: None };
    let summary = running.instance.run_session(session, request).await?;
    running.instance.close_session(session).await?;
    Ok(summary.catalog.unwrap_or_default())
}

impl Subject<'_> {
    /// Reads one stream with a fresh instance.
    pub async fn read(&self, plan: &ReadPlan) -> Result<ReadRun, ConnectorError> {
        let ways = Ways::new();
        let outlet = Some(ways.sender.clone());
        let running = self.start_with(plan.limits, None, outlet, plan.bent.clone()).await?;
        let run = read_with(running, &self.config(), plan, ways).await;
        match &run {
            Ok(run) => self.hear(&run.result),
            Err(_) => self.hear(&run),
        }
        run
    }

    /// Asks for a stream in at most `count` ranges.
    pub async fn hold(&self, plan: &ReadPlan, count: u32) -> Result<Held, ConnectorError> {
        let mut running = self.start_idle().await?;
        let (session, _) = running.instance.open_session(&self.config()).await?;
        let partition = Partition { count, ..Partition::WHOLE };
        let plan = ReadPlan { partition, ..plan.clone() };
        let request = RunRequest { phase: RunPhase::Partition, ..plan.request() };
        let answer = running.instance.run_session(session, request).await;
        self.hear(&answer);
        Ok(Held { running, session, plan: answer?.partition_plan.unwrap_or_default() })
    }

    /// Reads one stream of which the end is asked for before it begins.
    pub async fn read_cancelled(&self, plan: &ReadPlan) -> Result<(), Finding> {
        let Ways { sender, receiver } = Ways::new();
        let mut running = self.start(plan.limits, None, Some(sender.clone())).await?;
        let (session, _) = running.instance.open_session(&self.config()).await?;
        running.recorder.cancel();
        let (result, _) = run_and_take(&mut running, session, plan.request(), receiver, sender).await;
        ended_in_words(result)
    }

    /// The catalog, from a fresh instance.
    pub async fn discover(&self) -> Result<Catalog, ConnectorError> {
        let mut running = self.start_idle().await?;
        let catalog = discover_with(&mut running, &self.config()).await;
        self.hear(&catalog);
        catalog
    }

    /// The streams that clauses read: those of the fixture, or the catalog's first ones.
    pub async fn streams(&self) -> Result<Vec<CatalogStream>, Finding> {
        let mut streams = self.discover().await?.streams;
        if !self.fixture.streams.is_empty() {
            for wanted in &self.fixture.streams {
                if !streams.iter().any(|stream| stream.name == wanted.name) {
                    return broken(format!("the fixture names stream `{}`, discovery does not", wanted.name));
                }
            }
            // In the fixture's order: what its author puts first is what faults strike.
            let place = |stream: &CatalogStream| {
                self.fixture.streams.iter().position(|wanted| wanted.name == stream.name)
            };
            streams.retain(|stream| place(stream).is_some());
            streams.sort_by_key(place);
        }
        streams.truncate(STREAMS_READ_MAX);
        if streams.is_empty() {
            return not_applicable("there are no streams to read; the fixture needs a system with some data");
        }
        Ok(streams)
    }

    /// The streams that can be read by a cursor, with its field.
    pub async fn incremental_streams(&self) -> Result<Vec<(CatalogStream, String)>, Finding> {
        if !self.manifest.sync_modes.contains(&SyncMode::Incremental) {
            return not_applicable("the manifest does not declare `incremental`");
        }
        let mut found = Vec::new();
        for stream in self.streams().await? {
            let named = self.fixture.streams.iter().find(|wanted| wanted.name == stream.name);
            let named = named.and_then(|wanted| wanted.cursor_field.clone());
            if !stream.sync_modes.contains(&SyncMode::Incremental) {
                continue;
            }
            if let Some(field) = named.or_else(|| stream.cursor_fields.first().cloned()) {
                found.push((stream, field));
            }
        }
        if found.is_empty() {
            return not_applicable("no stream of the fixture can be read incrementally");
        }
        Ok(found)
    }
}
