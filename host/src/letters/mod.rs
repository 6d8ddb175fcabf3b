//! Dead letters as a stream: a source that reads them from the state, so that what moves any stream moves them, too, with the
//! same receipts. [`Letters::reports`] is for whoever looks at them (the destination's table, a dead-letter destination),
//! [`Letters::records`] gives the records themselves back, to be written once more.
//!
//! Refuses to know: where they go.

mod report;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rapidbyte_core::channel::Event;
use rapidbyte_core::contract::*;
use rapidbyte_core::dead_letter::{DeadLetterFilter, StoredDeadLetters};
use rapidbyte_core::frame::encode_schema;
use rapidbyte_core::ports::{Connector, Instance, InstanceIo, StateStore};
use rapidbyte_core::{ConnectorError, ErrorCategory, Frame};

/// Batches of dead letters that are read at once: each is bounded by the batch that its records came in.
const READ_AT_ONCE: u32 = 16;
const ID: &str = concat!("dead-letters@", env!("CARGO_PKG_VERSION"));
/// What the stream is ordered by.
pub const CURSOR: &str = "id";

/// A source over the dead letters of a pipeline.
#[derive(Clone)]
pub struct Letters {
    state: Arc<dyn StateStore>,
    filter: DeadLetterFilter,
    /// The stream that it offers.
    stream: String,
    shape: Shape,
}

#[derive(Clone)]
enum Shape {
    Reports { with_error: bool },
    Records { schema: ArrowSchemaIpc, ids: Arc<Vec<i64>>, read: Arc<Mutex<Vec<i64>>> },
}

impl Letters {
    /// One record for each dead letter: what it was, why, whence and when.
    pub fn reports(
        state: Arc<dyn StateStore>,
        filter: DeadLetterFilter,
        stream: impl Into<String>,
        with_error: bool,
    ) -> Self {
        Letters { state, filter, stream: stream.into(), shape: Shape::Reports { with_error } }
    }

    /// The records of the dead letters with these ids, which are all of one schema.
    pub fn records(
        state: Arc<dyn StateStore>,
        filter: DeadLetterFilter,
        stream: impl Into<String>,
        schema: ArrowSchemaIpc,
        ids: Vec<i64>,
    ) -> Self {
        let shape = Shape::Records { schema, ids: Arc::new(ids), read: Arc::default() };
        Letters { state, filter, stream: stream.into(), shape }
    }

    fn schema(&self) -> Result<ArrowSchemaIpc, ConnectorError> {
        match &self.shape {
            Shape::Reports { with_error } => encode_schema(&report::schema(*with_error)),
            Shape::Records { schema, .. } => Ok(schema.clone()),
        }
    }

    /// The frame that stored letters make here; none: they are not asked for.
    fn frame(&self, stored: &StoredDeadLetters) -> Result<Option<Frame>, ConnectorError> {
        match &self.shape {
            Shape::Reports { with_error } => Frame::encode(&report::batch(stored, *with_error)?).map(Some),
            Shape::Records { ids, read, .. } => {
                if !ids.contains(&stored.id) {
                    return Ok(None);
                }
                read.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(stored.id);
                let records = stored.letters.errors.len() as u64;
                Ok(Some(Frame::from_checked(stored.letters.frame.clone(), records)))
            }
        }
    }
}

#[async_trait]
impl Connector for Letters {
    fn id(&self) -> &str {
        ID
    }

    fn role(&self) -> ConnectorRole {
        ConnectorRole::Source
    }

    fn memory_bytes_max(&self) -> u64 {
        u64::MAX
    }

    async fn start(&self, io: InstanceIo) -> Result<Box<dyn Instance>, ConnectorError> {
        Ok(Box::new(Reading { letters: self.clone(), io }))
    }
}

struct Reading {
    letters: Letters,
    io: InstanceIo,
}

#[async_trait]
impl Instance for Reading {
    async fn open(&mut self, _config_json: &str) -> Result<OpenInfo, ConnectorError> {
        Ok(OpenInfo {
            connector_id: ID.to_owned(),
            role: ConnectorRole::Source,
            protocol_version: PROTOCOL_VERSION.to_owned(),
            capabilities: Capabilities { incremental: true, ..Capabilities::default() },
            default_limits: None,
        })
    }

    async fn validate(&mut self) -> Result<ValidationReport, ConnectorError> {
        let (status, message) = (ValidationStatus::Success, "the state is open".to_owned());
        Ok(ValidationReport { status, message, warnings: Vec::new() })
    }

    async fn run(&mut self, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let mut summary = RunSummary {
            role: ConnectorRole::Source,
            read: None,
            write: None,
            transform: None,
            catalog: None,
            partition_plan: None,
        };
        match (request.phase, request.stream) {
            (RunPhase::Discover, _) => summary.catalog = Some(self.catalog()?),
            (RunPhase::Read, Some(stream)) if !request.dry_run => {
                summary.read = Some(self.read(&stream).await?);
            }
            _ => {}
        }
        Ok(summary)
    }

    async fn close(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn memory_bytes_peak(&self) -> u64 {
        0
    }
}

impl Reading {
    fn catalog(&self) -> Result<Catalog, ConnectorError> {
        let stream = CatalogStream {
            name: self.letters.stream.clone(),
            schema: self.letters.schema()?,
            primary_key: Vec::new(),
            cursor_fields: Vec::new(),
            sync_modes: vec![SyncMode::Incremental],
            estimated_rows: None,
            estimated_bytes: None,
        };
        Ok(Catalog { streams: vec![stream] })
    }

    async fn read(&mut self, stream: &StreamContext) -> Result<ReadSummary, ConnectorError> {
        let outlet = self.io.outlet.clone().ok_or_else(closed)?;
        let mut behind = match &stream.position {
            None => 0,
            Some(CursorValue::Int64(id)) => *id,
            Some(other) => {
                let message = format!("dead letters are ordered by a number, not by {other}");
                return Err(ConnectorError::internal("cursor_type", message));
            }
        };
        let mut summary = ReadSummary { records: 0, bytes: 0, batches: 0, checkpoints: 0, skipped: 0 };
        loop {
            let page = self.letters.state.dead_letters(&self.letters.filter, behind, READ_AT_ONCE).await;
            let page = page.map_err(|error| {
                ConnectorError::new(ErrorCategory::Internal, "state_unavailable", error.to_string())
            })?;
            let Some(last) = page.last().map(|stored| stored.id) else { return Ok(summary) };
            for stored in &page {
                let Some(frame) = self.letters.frame(stored)? else { continue };
                summary.records += frame.records();
                summary.bytes += frame.len_bytes();
                summary.batches += 1;
                outlet.send(Event::Frame(frame)).await.map_err(|_| closed())?;
            }
            behind = last;
            self.mark(stream, behind).await?;
            summary.checkpoints += 1;
            if self.io.services.cancelled() {
                return Ok(summary);
            }
        }
    }

    async fn mark(&self, stream: &StreamContext, id: i64) -> Result<(), ConnectorError> {
        let event = CheckpointEvent {
            kind: CheckpointKind::Source,
            stream: stream.name.clone(),
            id: 0,
            cursor: Some(Cursor { field: CURSOR.to_owned(), value: CursorValue::Int64(id) }),
            records: 0,
            bytes: 0,
            complete: false,
        };
        self.io.services.checkpoint(event).await.map(|_| ())
    }
}

fn closed() -> ConnectorError {
    ConnectorError::internal("channel_closed", "the stream's other side is gone")
}
