//! What a running connector sees of the host: batches, checkpoints, state, telemetry, cancellation. It counts what passes
//! and leaves every wait to the backend, so that other tasks of the connector go on meanwhile.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;

use crate::backend::Host;
use crate::batch::{FrameDecoder, FrameEncoder};
use crate::error::{CommitState, ConnectorError};
use crate::events::{CheckpointKind, CheckpointReply, RawEvent};
use crate::types::{
    Checkpoint, Continuation, Cursor, FieldValue, Limits, LogLevel, MetricValue, ReadSummary, Receipt,
    RecordError, RunRequest, StateScope, TransformSummary, WriteSummary,
};

/// What comes next in a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Batch(RecordBatch),
    /// Everything before it belongs to this checkpoint.
    Checkpoint(Checkpoint),
    /// Nothing follows.
    End,
}

/// The host, for the duration of one `run`. Cheap to clone; clones share their counts.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    stream: String,
    limits: Limits,
    encoder: Mutex<FrameEncoder>,
    decoder: Mutex<FrameDecoder>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    records_in: u64,
    bytes_in: u64,
    batches_in: u64,
    records_out: u64,
    bytes_out: u64,
    batches_out: u64,
    checkpoints: u64,
    dead_letters: u64,
    /// Since the last checkpoint of a source.
    pending_records: u64,
    pending_bytes: u64,
    last_checkpoint: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Context {
    pub(crate) fn new(host: Host, request: &RunRequest) -> Self {
        Context {
            inner: Arc::new(Inner {
                host,
                stream: request.stream.as_ref().map(|stream| stream.name.clone()).unwrap_or_default(),
                limits: request.stream.as_ref().map(|stream| stream.limits).unwrap_or_default(),
                encoder: Mutex::new(FrameEncoder::new()),
                decoder: Mutex::new(FrameDecoder::new()),
                counts: Mutex::new(Counts {
                    records_in: 0,
                    bytes_in: 0,
                    batches_in: 0,
                    records_out: 0,
                    bytes_out: 0,
                    batches_out: 0,
                    checkpoints: 0,
                    dead_letters: 0,
                    pending_records: 0,
                    pending_bytes: 0,
                    last_checkpoint: Instant::now(),
                }),
            }),
        }
    }

    // ---- Batches ----------------------------------------------------------------------------------

    /// Hands a batch on; waits while the channel is full. Sources and transforms.
    ///
    /// # Errors
    /// `frame` if the batch is larger than `max-batch-bytes`, `schema` if it has dictionary columns.
    pub async fn emit(&self, batch: &RecordBatch) -> Result<(), ConnectorError> {
        let records = batch.num_rows() as u64;
        let (frame, bytes) = {
            let mut encoder = lock(&self.inner.encoder);
            let ipc = encoder.encode(batch)?;
            (self.inner.host.frame(ipc, records)?, ipc.len() as u64)
        };
        let mut frame = Some(frame);
        poll_fn(|cx| self.inner.host.poll_emit(&mut frame, cx)).await?;
        let mut counts = lock(&self.inner.counts);
        counts.records_out += records;
        counts.bytes_out += bytes;
        counts.batches_out += 1;
        counts.pending_records += records;
        counts.pending_bytes += bytes;
        Ok(())
    }

    /// Takes the next event, waiting for it. Destinations and transforms. Columns share memory with the frame they came in.
    pub async fn next(&self) -> Result<Event, ConnectorError> {
        match poll_fn(|cx| self.inner.host.poll_next(cx)).await? {
            RawEvent::Frame(frame) => {
                let bytes = frame.len() as u64;
                let batch = lock(&self.inner.decoder).decode_buffer(frame)?;
                let mut counts = lock(&self.inner.counts);
                counts.records_in += batch.num_rows() as u64;
                counts.bytes_in += bytes;
                counts.batches_in += 1;
                Ok(Event::Batch(batch))
            }
            RawEvent::Checkpoint(checkpoint) => Ok(Event::Checkpoint(checkpoint)),
            RawEvent::End => Ok(Event::End),
        }
    }

    // ---- Checkpoints ------------------------------------------------------------------------------

    /// Sources: everything emitted so far is covered by `cursor`.
    pub async fn checkpoint(&self, cursor: Cursor) -> Result<(), ConnectorError> {
        let (records, bytes) = {
            let counts = lock(&self.inner.counts);
            (counts.pending_records, counts.pending_bytes)
        };
        let checkpoint = Checkpoint {
            id: 0,
            stream: self.inner.stream.clone(),
            cursor: Some(cursor),
            records,
            bytes,
            complete: false,
        };
        self.inner.host.report(CheckpointKind::Source, &checkpoint)?;
        let mut counts = lock(&self.inner.counts);
        counts.checkpoints += 1;
        counts.pending_records -= records;
        counts.pending_bytes -= bytes;
        counts.last_checkpoint = Instant::now();
        Ok(())
    }

    /// Sources: whether enough was emitted since the last checkpoint, by the limits of the run, that one is due.
    pub fn checkpoint_due(&self) -> bool {
        let counts = lock(&self.inner.counts);
        let limits = &self.inner.limits;
        counts.pending_records > 0
            && (counts.pending_records >= limits.checkpoint_interval_rows
                || counts.pending_bytes >= limits.checkpoint_interval_bytes
                || counts.last_checkpoint.elapsed()
                    >= Duration::from_secs(limits.checkpoint_interval_seconds.into()))
    }

    /// Transforms: everything that came before `checkpoint` has been emitted.
    pub async fn forward_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ConnectorError> {
        self.inner.host.report(CheckpointKind::Transform, checkpoint)?;
        lock(&self.inner.counts).checkpoints += 1;
        Ok(())
    }

    /// Destinations: everything before `checkpoint` is durably committed, its receipt in the same transaction.
    pub async fn commit_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ConnectorError> {
        let reported = self.inner.host.report(CheckpointKind::Destination, checkpoint);
        // Whatever became of the report: the commit took place.
        reported.map_err(|error| error.with_commit_state(CommitState::AfterCommitConfirmed))?;
        lock(&self.inner.counts).checkpoints += 1;
        Ok(())
    }

    /// Destinations, before the first [`next`](Self::next): the receipt found for this stream. Call it only if there is one.
    pub async fn report_receipt(&self, receipt: &Receipt) -> Result<Continuation, ConnectorError> {
        let checkpoint = Checkpoint {
            id: receipt.id,
            stream: self.inner.stream.clone(),
            cursor: receipt.cursor.clone(),
            records: 0,
            bytes: 0,
            complete: receipt.complete,
        };
        match self.inner.host.report(CheckpointKind::Receipt, &checkpoint)? {
            CheckpointReply::Resume => Ok(Continuation::Resume),
            CheckpointReply::Restart => Ok(Continuation::Restart),
            CheckpointReply::Accepted => Err(ConnectorError::internal(
                "bad_receipt_reply",
                "the host answered a receipt with neither `resume` nor `restart`",
            )),
        }
    }

    /// The newest checkpoint whose cursor the host has saved. A source acknowledges to its server up to here and never
    /// further.
    pub fn saved_checkpoint(&self) -> Option<Checkpoint> {
        self.inner.host.committed()
    }

    // ---- Cancellation -----------------------------------------------------------------------------

    /// Whether the run is asked to end: stop at the next resumable point and return `Ok`.
    pub fn is_cancelled(&self) -> bool {
        self.inner.host.is_cancelled()
    }

    /// Returns once the run is asked to end; for `select!`.
    pub async fn cancelled(&self) {
        poll_fn(|cx| self.inner.host.poll_cancelled(cx)).await;
    }

    // ---- Telemetry --------------------------------------------------------------------------------

    /// The structured log.
    pub fn log(&self) -> Log {
        Log { host: self.inner.host.clone() }
    }

    /// Adds to a counter.
    pub fn counter(&self, name: &str, value: u64, labels: &[(&str, &str)]) {
        self.inner.host.metric(name, MetricValue::Counter(value), labels);
    }

    /// Sets a gauge.
    pub fn gauge(&self, name: &str, value: f64, labels: &[(&str, &str)]) {
        self.inner.host.metric(name, MetricValue::Gauge(value), labels);
    }

    /// Adds an observation to a histogram.
    pub fn histogram(&self, name: &str, value: f64, labels: &[(&str, &str)]) {
        self.inner.host.metric(name, MetricValue::Histogram(value), labels);
    }

    /// How far the run is in records and bytes, where the host cannot see it from the batches.
    pub fn progress(&self, records: u64, bytes: u64) {
        self.inner.host.progress(records, bytes);
    }

    /// Hands over refused records with the reason for each. An error means that the policy is `fail`: end with it.
    pub async fn dead_letters(
        &self,
        records: &RecordBatch,
        errors: Vec<RecordError>,
    ) -> Result<(), ConnectorError> {
        let refused = records.num_rows() as u64;
        let frame = {
            // An encoder of its own: dead letters have another schema and must not evict the stream's.
            let mut encoder = FrameEncoder::new();
            self.inner.host.frame(encoder.encode(records)?, refused)?
        };
        self.inner.host.dead_letters(frame, errors)?;
        lock(&self.inner.counts).dead_letters += refused;
        Ok(())
    }

    // ---- State and limits -------------------------------------------------------------------------

    /// The connector's own state, kept by the host between runs.
    pub fn state(&self, scope: StateScope) -> State {
        State { host: self.inner.host.clone(), scope }
    }

    /// The bounds of this run.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    // ---- Counts -----------------------------------------------------------------------------------

    /// What was emitted and checkpointed so far; `skipped` is the connector's to add.
    pub fn read_summary(&self) -> ReadSummary {
        let counts = lock(&self.inner.counts);
        ReadSummary {
            records: counts.records_out,
            bytes: counts.bytes_out,
            batches: counts.batches_out,
            checkpoints: counts.checkpoints,
            skipped: 0,
        }
    }

    /// What came in and was committed so far; records that went to the dead letters count as failed.
    pub fn write_summary(&self) -> WriteSummary {
        let counts = lock(&self.inner.counts);
        WriteSummary {
            records: counts.records_in.saturating_sub(counts.dead_letters),
            bytes: counts.bytes_in,
            batches: counts.batches_in,
            checkpoints: counts.checkpoints,
            failed: counts.dead_letters,
        }
    }

    /// What came in and went out so far.
    pub fn transform_summary(&self) -> TransformSummary {
        let counts = lock(&self.inner.counts);
        TransformSummary {
            records_in: counts.records_in,
            records_out: counts.records_out,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
            batches: counts.batches_in,
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("stream", &self.inner.stream).finish_non_exhaustive()
    }
}

/// Writes log lines: `ctx.log().info("connected", &[("server", version.into())])`. Never log a secret.
#[derive(Clone)]
pub struct Log {
    host: Host,
}

impl Log {
    /// Writes at any level.
    pub fn write(&self, level: LogLevel, message: &str, fields: &[(&str, FieldValue)]) {
        self.host.log(level, message, fields);
    }

    pub fn trace(&self, message: &str, fields: &[(&str, FieldValue)]) {
        self.write(LogLevel::Trace, message, fields);
    }

    pub fn debug(&self, message: &str, fields: &[(&str, FieldValue)]) {
        self.write(LogLevel::Debug, message, fields);
    }

    pub fn info(&self, message: &str, fields: &[(&str, FieldValue)]) {
        self.write(LogLevel::Info, message, fields);
    }

    pub fn warn(&self, message: &str, fields: &[(&str, FieldValue)]) {
        self.write(LogLevel::Warn, message, fields);
    }

    pub fn error(&self, message: &str, fields: &[(&str, FieldValue)]) {
        self.write(LogLevel::Error, message, fields);
    }
}

/// Keys and values that the host keeps between runs.
#[derive(Clone)]
pub struct State {
    host: Host,
    scope: StateScope,
}

impl State {
    /// The value of a key.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ConnectorError> {
        self.host.state_get(self.scope, key)
    }

    /// Stores a value; durable when it returns.
    pub async fn put(&self, key: &str, value: &[u8]) -> Result<(), ConnectorError> {
        self.host.state_put(self.scope, key, value)
    }

    /// Stores `value` if the present one equals `expected` (none: absent); answers whether it did.
    pub async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, ConnectorError> {
        self.host.state_compare_and_swap(self.scope, key, expected, value)
    }
}
