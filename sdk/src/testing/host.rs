//! [`TestHost`]: what a test prepares and looks at.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use serde_json::Value;

use super::session::Session;
use crate::batch::{FrameDecoder, FrameEncoder};
use crate::context::Context;
use crate::error::ConnectorError;
use crate::events::RawEvent;
use crate::native::{Channel, Emitted, Host, Inlet, LogLine, Metric, Outlet};
use crate::role::{DestinationRole, SourceRole, TransformRole};
use crate::traits::{Destination, Source, Transform};
use crate::types::{Checkpoint, Continuation, Cursor, Receipt, RecordError, RunRequest, StateScope};

/// What a connector handed on, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum EmittedEvent {
    Batch(RecordBatch),
    Checkpoint(Checkpoint),
}

/// An in-memory host for one connector. Clones are the same host.
#[derive(Clone)]
pub struct TestHost {
    host: Host,
    /// Where `feed_…` puts events; none for a host whose events come from a pipe.
    feed: Option<Arc<Outlet>>,
}

impl Default for TestHost {
    fn default() -> Self {
        TestHost::new()
    }
}

impl TestHost {
    /// A host that records everything and refuses nothing.
    pub fn new() -> Self {
        let (feed, inlet) = Channel::ends(u64::MAX, u32::MAX);
        let host = Host::default();
        host.lock().inlet = Some(Arc::new(inlet));
        TestHost { host, feed: Some(Arc::new(feed)) }
    }

    /// A link of a chain: what it has no neighbour for is fed and recorded.
    pub(super) fn link(inlet: Option<Inlet>, outlet: Option<Outlet>) -> Self {
        let test_host = match inlet {
            Some(inlet) => {
                let host = Host::default();
                host.lock().inlet = Some(Arc::new(inlet));
                TestHost { host, feed: None }
            }
            None => TestHost::new(),
        };
        test_host.host.lock().outlet = outlet.map(Arc::new);
        test_host
    }

    // ---- Connectors -------------------------------------------------------------------------------

    /// Opens a source as the real host does.
    pub async fn source<C: Source>(&self, config: Value) -> Result<Session<SourceRole<C>>, ConnectorError> {
        Session::open(self.host.clone(), config).await
    }

    /// Opens a destination as the real host does.
    pub async fn destination<C: Destination>(
        &self,
        config: Value,
    ) -> Result<Session<DestinationRole<C>>, ConnectorError> {
        Session::open(self.host.clone(), config).await
    }

    /// Opens a transform as the real host does.
    pub async fn transform<C: Transform>(
        &self,
        config: Value,
    ) -> Result<Session<TransformRole<C>>, ConnectorError> {
        Session::open(self.host.clone(), config).await
    }

    /// A context over this host, to test a function that takes one.
    pub fn context(&self, request: &RunRequest) -> Context {
        Context::new(self.host.clone(), request)
    }

    // ---- What flows in ----------------------------------------------------------------------------

    /// Feeds a batch to `ctx.next()`.
    ///
    /// # Panics
    /// If the batch cannot be a frame, or the events come from a [`pipe`](super::pipe).
    pub fn feed_batch(&self, batch: &RecordBatch) {
        let mut encoder = FrameEncoder::new();
        let frame = encoder.encode(batch).unwrap_or_else(|error| panic!("the batch is no frame: {error}"));
        self.feed().send(RawEvent::Frame(Buffer::from(frame)));
    }

    /// Feeds a checkpoint behind what was fed before it.
    ///
    /// # Panics
    /// If the events come from a [`pipe`](super::pipe).
    pub fn feed_checkpoint(&self, cursor: Option<Cursor>) -> Checkpoint {
        self.feed_marker(cursor, false)
    }

    fn feed_marker(&self, cursor: Option<Cursor>, complete: bool) -> Checkpoint {
        let mut checkpoint =
            Checkpoint { id: 0, stream: String::new(), cursor, records: 0, bytes: 0, complete };
        self.host.lock().stamp(&mut checkpoint);
        self.feed().send(RawEvent::Checkpoint(checkpoint.clone()));
        checkpoint
    }

    /// Feeds what follows a source that read to its end: the last marker, with `complete` set, and the end.
    ///
    /// # Panics
    /// If the events come from a [`pipe`](super::pipe).
    pub fn feed_end(&self) -> Checkpoint {
        let cursor = self.host.lock().last_cursor.clone();
        let checkpoint = self.feed_marker(cursor, true);
        self.feed().send(RawEvent::End);
        checkpoint
    }

    /// Feeds what follows a source that was asked to stop: the end alone.
    ///
    /// # Panics
    /// If the events come from a [`pipe`](super::pipe).
    pub fn feed_end_of_stopped_source(&self) {
        self.feed().send(RawEvent::End);
    }

    /// What follows a source that died: no end.
    ///
    /// # Panics
    /// If the events come from a [`pipe`](super::pipe).
    pub fn feed_failure(&self) {
        self.feed().abort();
    }

    fn feed(&self) -> &Outlet {
        self.feed.as_deref().unwrap_or_else(|| panic!("the events of this host come from a pipe"))
    }

    // ---- How the host behaves ---------------------------------------------------------------------

    /// Asks the run to end.
    pub fn cancel(&self) {
        let wakers = self.host.lock().cancel();
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// Asks the run to end once so many batches were emitted or taken.
    pub fn cancel_after_batches(&self, batches: u64) {
        self.host.lock().cancel_after_batches = Some(batches);
    }

    /// What `ctx.saved_checkpoint()` answers.
    pub fn set_saved_checkpoint(&self, checkpoint: Option<Checkpoint>) {
        self.host.lock().saved = checkpoint;
    }

    /// The id of the last checkpoint before this host's first: ids go on behind those of earlier runs.
    pub fn set_last_checkpoint_id(&self, id: u64) {
        self.host.lock().checkpoint_id = id;
    }

    /// How the host answers a receipt; `Resume` unless set.
    pub fn set_continuation(&self, continuation: Continuation) {
        self.host.lock().continuation = continuation;
    }

    /// Makes dead letters fail, as under the policy `fail`.
    pub fn refuse_dead_letters(&self, error: ConnectorError) {
        self.host.lock().dead_letter_error = Some(error);
    }

    /// Puts a value into the connector's state.
    pub fn set_state(&self, scope: StateScope, key: &str, value: &[u8]) {
        self.host.lock().state.insert((scope, key.to_owned()), value.to_vec());
    }

    // ---- What the connector did -------------------------------------------------------------------

    /// Batches and checkpoints that the connector handed on, in order. Empty for the upper half of a pipe.
    ///
    /// # Panics
    /// If a frame does not decode, which would be a defect of the SDK.
    pub fn emitted(&self) -> Vec<EmittedEvent> {
        let emitted = self.host.lock().emitted.clone();
        let mut decoder = FrameDecoder::new();
        emitted
            .into_iter()
            .map(|event| match event {
                Emitted::Frame(frame) => EmittedEvent::Batch(decode(&mut decoder, frame)),
                Emitted::Checkpoint(checkpoint) => EmittedEvent::Checkpoint(checkpoint),
            })
            .collect()
    }

    /// The batches among [`emitted`](Self::emitted).
    pub fn emitted_batches(&self) -> Vec<RecordBatch> {
        self.emitted()
            .into_iter()
            .filter_map(|event| match event {
                EmittedEvent::Batch(batch) => Some(batch),
                EmittedEvent::Checkpoint(_) => None,
            })
            .collect()
    }

    /// The checkpoints among [`emitted`](Self::emitted).
    pub fn emitted_checkpoints(&self) -> Vec<Checkpoint> {
        self.emitted()
            .into_iter()
            .filter_map(|event| match event {
                EmittedEvent::Batch(_) => None,
                EmittedEvent::Checkpoint(checkpoint) => Some(checkpoint),
            })
            .collect()
    }

    /// Checkpoints that the destination said are durable.
    pub fn committed_checkpoints(&self) -> Vec<Checkpoint> {
        self.host.lock().committed.clone()
    }

    /// Receipts that the destination reported.
    pub fn receipts(&self) -> Vec<Receipt> {
        self.host.lock().receipts.clone()
    }

    pub fn logs(&self) -> Vec<LogLine> {
        self.host.lock().logs.clone()
    }

    pub fn metrics(&self) -> Vec<Metric> {
        self.host.lock().metrics.clone()
    }

    /// The newest reported progress, in records and bytes.
    pub fn progress(&self) -> (u64, u64) {
        self.host.lock().progress
    }

    /// Refused records with the reason for each.
    ///
    /// # Panics
    /// If a frame does not decode, which would be a defect of the SDK.
    pub fn dead_letters(&self) -> Vec<(RecordBatch, Vec<RecordError>)> {
        let dead_letters = self.host.lock().dead_letters.clone();
        let mut decoder = FrameDecoder::new();
        dead_letters.into_iter().map(|(frame, errors)| (decode(&mut decoder, frame), errors)).collect()
    }

    /// A value of the connector's state.
    pub fn state(&self, scope: StateScope, key: &str) -> Option<Vec<u8>> {
        self.host.lock().state.get(&(scope, key.to_owned())).cloned()
    }
}

fn decode(decoder: &mut FrameDecoder, frame: Buffer) -> RecordBatch {
    decoder.decode_buffer(frame).unwrap_or_else(|error| panic!("an emitted frame does not decode: {error}"))
}
