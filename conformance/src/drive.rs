//! One run of a connector: what goes in, what comes out, in order. Reads for sources, writes for destinations, passes for
//! transforms; the channel's two sides are the suite's.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use rapidbyte_host::core::channel::{Bounds, Event, Receiver, channel};
use rapidbyte_host::core::frame::{decode_schema, encode_schema};
use rapidbyte_host::core::*;
use rapidbyte_host::wasm::WasmConnector;

use crate::clause::{Finding, broken, not_applicable};
use crate::limits::{LIMITS, STREAMS_READ_MAX};
use crate::recorder::{Recorder, Transcript, lock};
use crate::rows::{Row, rows_of};
use crate::subject::{Running, Subject, start};

/// Room for all that a fixture's stream holds: the suite takes as fast as it is given.
const WIDE: Bounds = Bounds { bytes_max: u64::MAX, frames_max: u32::MAX };

// ---- Sources --------------------------------------------------------------------------------------

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
        }
    }

    /// What lies behind `position`, in order of `field`.
    pub fn incremental(stream: &CatalogStream, field: &str, position: Option<CursorValue>) -> Self {
        let cursor = CursorSpec { field: field.to_owned(), tie_breaker: Vec::new() };
        ReadPlan { sync_mode: SyncMode::Incremental, cursor: Some(cursor), position, ..Self::full(stream) }
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
            filter: None,
            write: None,
            partition: Partition::WHOLE,
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

/// What a run emitted, in order.
pub struct ReadRun {
    pub events: Vec<Event>,
    pub result: Result<RunSummary, ConnectorError>,
    /// What the recorder holds: confirmations, dead letters.
    pub recorder: Arc<Recorder>,
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
            return Err(error.clone().into());
        }
        Ok(rows_of(self.frames())?)
    }

    pub fn records(&self) -> u64 {
        self.frames().map(Frame::records).sum()
    }
}

/// Runs an opened session while everything it emits is taken.
async fn run_and_take(
    running: &mut Running,
    session: u64,
    request: RunRequest,
    mut outlet: Receiver,
    sender: Arc<rapidbyte_host::core::channel::Sender>,
) -> (Result<RunSummary, ConnectorError>, Vec<Event>) {
    let running = async {
        let result = running.instance.run_session(session, request).await;
        // The taking side is the suite's own and stays to the end.
        let _ = sender.finish();
        result
    };
    let taking = async {
        let mut events = Vec::new();
        while let Ok(event) = outlet.recv().await {
            if matches!(event, Event::End) {
                break;
            }
            events.push(event);
        }
        events
    };
    futures::future::join(running, taking).await
}

/// A run that was asked to end did so itself, with success or an error of its own.
fn ended_in_words(result: Result<RunSummary, ConnectorError>) -> Result<(), Finding> {
    match result {
        Err(error) if error.code == "guest_trapped" => Err(error.into()),
        _ => Ok(()),
    }
}

async fn read_with(
    connector: Option<&Subject<'_>>,
    other: Option<(&WasmConnector, &str)>,
    plan: &ReadPlan,
) -> Result<ReadRun, ConnectorError> {
    let (sender, receiver) = channel(WIDE);
    let sender = Arc::new(sender);
    let (mut running, config) = match (connector, other) {
        (Some(subject), _) => {
            (subject.start(plan.limits, None, Some(sender.clone())).await?, subject.config())
        }
        (None, Some((connector, config))) => {
            let transcript = Arc::new(std::sync::Mutex::new(Transcript::default()));
            let running = start(connector, &transcript, plan.limits, None, Some(sender.clone())).await?;
            (running, config.to_owned())
        }
        (None, None) => return Err(ConnectorError::internal("suite", "nothing to read with")),
    };
    let (session, _) = running.instance.open_session(&config).await?;
    let (result, events) = run_and_take(&mut running, session, plan.request(), receiver, sender).await;
    if result.is_ok() {
        running.instance.close_session(session).await?;
    }
    Ok(ReadRun { events, result, recorder: running.recorder })
}

/// Reads one stream with a reader that is not under test.
pub async fn read_elsewhere(
    connector: &WasmConnector,
    config: &str,
    plan: &ReadPlan,
) -> Result<ReadRun, ConnectorError> {
    read_with(None, Some((connector, config)), plan).await
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
        let run = read_with(Some(self), None, plan).await;
        match &run {
            Ok(run) => self.hear(&run.result),
            Err(_) => self.hear(&run),
        }
        run
    }

    /// Reads one stream of which the end is asked for before it begins.
    pub async fn read_cancelled(&self, plan: &ReadPlan) -> Result<(), Finding> {
        let (sender, receiver) = channel(WIDE);
        let sender = Arc::new(sender);
        let mut running = self.start(plan.limits, None, Some(sender.clone())).await?;
        let (session, _) = running.instance.open_session(&self.config()).await?;
        running.recorder.cancel();
        let (result, _) = run_and_take(&mut running, session, plan.request(), receiver, sender).await;
        ended_in_words(result)
    }

    /// Writes one stream of which the end is asked for before it begins.
    pub async fn write_cancelled(&self, plan: &WritePlan, feed: &[Feed]) -> Result<(), Finding> {
        let (receiver, _) = fill(self, feed, &plan.stream)?;
        let Running { mut instance, recorder } = self.start(LIMITS, Some(receiver), None).await?;
        let (session, _) = instance.open_session(&self.config()).await?;
        recorder.cancel();
        ended_in_words(instance.run_session(session, write_request(plan)?).await)
    }

    /// Passes rows of which the end is asked for before they come.
    pub async fn transform_cancelled(&self, schema: &SchemaRef, feed: &[Feed]) -> Result<(), Finding> {
        let (receiver, _) = fill(self, feed, "rows")?;
        let (sender, outlet) = channel(WIDE);
        let sender = Arc::new(sender);
        let mut running = self.start(LIMITS, Some(receiver), Some(sender.clone())).await?;
        let (session, _) = running.instance.open_session(&self.config()).await?;
        running.recorder.cancel();
        let request = transform_request(schema, RunPhase::Transform)?;
        let (result, _) = run_and_take(&mut running, session, request, outlet, sender).await;
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
            streams.retain(|stream| self.fixture.streams.iter().any(|wanted| wanted.name == stream.name));
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

// ---- Destinations and transforms ------------------------------------------------------------------

/// What goes into a connector.
#[derive(Debug, Clone)]
pub enum Feed {
    Batch(RecordBatch),
    /// A checkpoint behind what came before.
    Checkpoint,
    /// The checkpoint behind the last frame of a stream that was read to its end.
    Complete,
    /// The stream is broken off here instead of ended: as if its source had died.
    Broken,
}

/// How a stream is written.
#[derive(Debug, Clone)]
pub struct WritePlan {
    pub pipeline: String,
    pub stream: String,
    pub schema: SchemaRef,
    pub mode: WriteMode,
    pub primary_key: Vec<String>,
    pub update_columns: Vec<String>,
    pub dry_run: bool,
}

impl WritePlan {
    pub fn new(subject: &Subject<'_>, what: &str, schema: SchemaRef, mode: WriteMode) -> Self {
        let keyed = matches!(mode, WriteMode::Upsert | WriteMode::Merge);
        WritePlan {
            pipeline: subject.fresh_name("pipeline"),
            stream: subject.fresh_name(what),
            schema,
            mode,
            primary_key: if keyed { vec!["id".to_owned()] } else { Vec::new() },
            update_columns: Vec::new(),
            dry_run: false,
        }
    }
}

/// How a write ended.
pub struct WriteRun {
    pub result: Result<RunSummary, ConnectorError>,
    /// Ids of the checkpoints that were handed over, in order.
    pub handed: Vec<u64>,
    pub confirmed: Vec<u64>,
    /// The receipt it found at the start.
    pub receipts: Vec<CheckpointEvent>,
    pub letters: usize,
}

fn fill(subject: &Subject<'_>, feed: &[Feed], stream: &str) -> Result<(Receiver, Vec<u64>), ConnectorError> {
    let (sender, receiver) = channel(WIDE);
    let mut handed = Vec::new();
    let mut broken_off = false;
    let mut records = 0;
    let closed = |_| ConnectorError::internal("suite", "the suite's own channel is closed");
    for item in feed {
        let event = match item {
            Feed::Batch(batch) => {
                records += batch.num_rows() as u64;
                Event::Frame(Frame::encode(batch)?)
            }
            Feed::Broken => {
                broken_off = true;
                break;
            }
            Feed::Checkpoint | Feed::Complete => {
                let id = subject.checkpoint_id();
                handed.push(id);
                Event::Checkpoint(CheckpointEvent {
                    kind: CheckpointKind::Source,
                    stream: stream.to_owned(),
                    id,
                    cursor: Some(Cursor { field: "id".to_owned(), value: CursorValue::Int64(id as i64) }),
                    records: std::mem::take(&mut records),
                    bytes: 0,
                    complete: matches!(item, Feed::Complete),
                })
            }
        };
        sender.try_send(event).map_err(closed)?;
    }
    // A sender that goes without having finished is a source that died.
    if !broken_off {
        sender.finish().map_err(closed)?;
    }
    Ok((receiver, handed))
}

impl Subject<'_> {
    /// Writes one stream with a fresh instance.
    pub async fn write(&self, plan: &WritePlan, feed: &[Feed]) -> Result<WriteRun, Finding> {
        let (receiver, handed) = fill(self, feed, &plan.stream)?;
        let Running { mut instance, recorder } = self.start(LIMITS, Some(receiver), None).await?;
        let opened = instance.open_session(&self.config()).await;
        self.hear(&opened);
        let (session, _) = opened?;
        let result = instance.run_session(session, write_request(plan)?).await;
        self.hear(&result);
        if result.is_ok() {
            instance.close_session(session).await?;
        }
        let receipts = lock(&recorder.receipts).clone();
        let letters = lock(&recorder.letters).len();
        Ok(WriteRun { result, handed, confirmed: recorder.confirmed_ids(), receipts, letters })
    }

    /// Writes one stream that must succeed.
    pub async fn write_all(&self, plan: &WritePlan, feed: &[Feed]) -> Result<WriteRun, Finding> {
        let run = self.write(plan, feed).await?;
        match &run.result {
            Ok(_) => Ok(run),
            Err(error) => Err(error.clone().into()),
        }
    }

    /// The rows that a destination has made visible, as the types that were written; none if there is no such stream.
    pub async fn visible(&self, plan: &WritePlan) -> Result<Option<Vec<Row>>, Finding> {
        match &self.reader {
            Some(reader) => reader.rows(&plan.stream, &plan.schema).await,
            None => not_applicable(
                "nothing reads back what was written: `conformance.yaml` has no `reader`",
            ),
        }
    }

    /// Skips a clause about a mode that the connector does not have.
    pub fn require_mode(&self, mode: WriteMode) -> Result<(), Finding> {
        match self.manifest.write_modes.contains(&mode) {
            true => Ok(()),
            false => not_applicable(format!("the manifest does not declare `{mode}`")),
        }
    }

    /// A write mode that the connector has, the plainest first.
    pub fn any_mode(&self) -> WriteMode {
        self.manifest.write_modes.iter().copied().min().unwrap_or(WriteMode::Append)
    }

    // ---- Transforms ----

    /// What a transform says would flow out.
    pub async fn transform_schema(&self, schema: &SchemaRef) -> Result<Schema, Finding> {
        let mut running = self.start_idle().await?;
        let (session, _) = running.instance.open_session(&self.config()).await?;
        let request = transform_request(schema, RunPhase::Discover)?;
        let summary = running.instance.run_session(session, request).await;
        self.hear(&summary);
        let streams = summary?.catalog.unwrap_or_default().streams;
        let [stream] = streams.as_slice() else {
            return broken(format!("discovery answers {} streams, a transform has one way out", streams.len()));
        };
        Ok(decode_schema(&stream.schema)?)
    }

    /// Passes rows through a fresh instance of a transform. Answers the ids of the checkpoints that went in, too.
    pub async fn transform(&self, schema: &SchemaRef, feed: &[Feed]) -> Result<(ReadRun, Vec<u64>), Finding> {
        let (receiver, handed) = fill(self, feed, "rows")?;
        let (sender, outlet) = channel(WIDE);
        let sender = Arc::new(sender);
        let mut running = self.start(LIMITS, Some(receiver), Some(sender.clone())).await?;
        let opened = running.instance.open_session(&self.config()).await;
        self.hear(&opened);
        let (session, _) = opened?;
        let request = transform_request(schema, RunPhase::Transform)?;
        let (result, events) = run_and_take(&mut running, session, request, outlet, sender).await;
        self.hear(&result);
        Ok((ReadRun { events, result, recorder: running.recorder }, handed))
    }

    /// The least that a connector of any role can be asked to do: discover, write one row, pass one row.
    pub async fn exercise(&self) -> Result<(), Finding> {
        match self.role() {
            ConnectorRole::Source => {
                for stream in self.discover().await?.streams.iter().take(1) {
                    self.read(&ReadPlan::full(stream)).await?.result?;
                }
            }
            ConnectorRole::Destination => {
                let schema = crate::sample::schema();
                let plan = WritePlan::new(self, "exercise", schema, self.any_mode());
                self.write_all(&plan, &[Feed::Batch(crate::sample::batch(&[1], 0)?), Feed::Complete]).await?;
            }
            ConnectorRole::Transform => {
                let schema = crate::sample::schema();
                let feed = [Feed::Batch(crate::sample::batch(&[1], 0)?), Feed::Complete];
                self.transform(&schema, &feed).await?.0.result?;
            }
        }
        Ok(())
    }

    /// The request of [`Subject::exercise`] for whoever drives the instance itself; empty of data.
    pub fn plain_request(&self) -> Result<RunRequest, Finding> {
        Ok(match self.role() {
            ConnectorRole::Source => {
                RunRequest { stream: None, phase: RunPhase::Discover, dry_run: false, max_records: None }
            }
            ConnectorRole::Transform => transform_request(&crate::sample::schema(), RunPhase::Discover)?,
            ConnectorRole::Destination => {
                let plan = WritePlan::new(self, "dry", crate::sample::schema(), self.any_mode());
                write_request(&WritePlan { dry_run: true, ..plan })?
            }
        })
    }
}

fn write_request(plan: &WritePlan) -> Result<RunRequest, ConnectorError> {
    let replace = plan.mode == WriteMode::Replace;
    let cursor = CursorSpec { field: "id".to_owned(), tie_breaker: Vec::new() };
    let stream = StreamContext {
        pipeline: plan.pipeline.clone(),
        name: plan.stream.clone(),
        schema: encode_schema(&plan.schema)?,
        sync_mode: if replace { SyncMode::FullRefresh } else { SyncMode::Incremental },
        cursor: (!replace).then_some(cursor),
        position: None,
        columns: Vec::new(),
        filter: None,
        write: Some(rapidbyte_host::core::WritePlan {
            mode: plan.mode,
            primary_key: plan.primary_key.clone(),
            update_columns: plan.update_columns.clone(),
        }),
        partition: Partition::WHOLE,
        limits: LIMITS,
        policies: Policies::default(),
    };
    Ok(RunRequest { stream: Some(stream), phase: RunPhase::Write, dry_run: plan.dry_run, max_records: None })
}

fn transform_request(schema: &SchemaRef, phase: RunPhase) -> Result<RunRequest, ConnectorError> {
    let stream = StreamContext {
        pipeline: "conformance".to_owned(),
        name: "rows".to_owned(),
        schema: encode_schema(schema)?,
        sync_mode: SyncMode::FullRefresh,
        cursor: None,
        position: None,
        columns: Vec::new(),
        filter: None,
        write: None,
        partition: Partition::WHOLE,
        limits: LIMITS,
        policies: Policies::default(),
    };
    Ok(RunRequest { stream: Some(stream), phase, dry_run: false, max_records: None })
}
