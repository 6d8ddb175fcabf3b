//! The hot path: what one connector has made is taken, checked against the stream's schema, counted, and handed on to the
//! next one; checkpoints get their place and their id. A frame is moved, never copied; nothing is done per record.

use std::time::Instant;

use rapidbyte_core::channel::{Closed, Event, Receiver, Sender};
use rapidbyte_core::contract::ArrowSchemaIpc;
use rapidbyte_core::frame::{decode_schema, schema_difference};
use rapidbyte_core::{
    CheckpointEvent, CheckpointKind, ConnectorError, Cursor, ErrorCategory, Frame, SyncMode,
};

use crate::commit::Totals;
use crate::error::Origin;
use crate::profile::Watched;
use crate::shared::TaskShared;

/// One link between two connectors.
pub(crate) struct Link {
    /// Who makes what passes here.
    pub producer: Origin,
    /// The consumer is the destination.
    pub last: bool,
    /// What passes here.
    pub schema: ArrowSchemaIpc,
    /// The newest checkpoint the state knows at the start: what the stream continues behind.
    pub position: Option<Cursor>,
}

/// Moves a stream over one link until it ends. Whatever ends it early has been reported to `shared` when this returns,
/// or was reported by the connector whose side of the channel is gone.
pub(crate) async fn pump(shared: &TaskShared, link: Link, mut inlet: Receiver, outlet: Sender) {
    let _watching = shared.clock.watch(Watched::pump(link.producer, inlet.gauge(), outlet.gauge()));
    let mut state = PumpState::new(shared, link);
    if let Err(Stop::Fault(error)) = state.run(&mut inlet, &outlet).await {
        shared.fail(state.link.producer, error);
    }
}

/// Why a pump ends before the end of its stream.
enum Stop {
    /// What the producer made is wrong.
    Fault(ConnectorError),
    /// One side of the link is gone; it has said why itself.
    Closed,
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Stop::Closed
    }
}

impl From<ConnectorError> for Stop {
    fn from(error: ConnectorError) -> Self {
        Stop::Fault(error)
    }
}

struct PumpState<'a> {
    shared: &'a TaskShared,
    link: Link,
    /// The schema message of the frames so far: equal bytes need no second look.
    accepted: Option<Vec<u8>>,
    total: Totals,
    /// What passed since the last checkpoint that was handed on.
    since: Totals,
    /// What the source made since its last checkpoint of its own.
    uncovered_records: u64,
    cursor: Option<Cursor>,
    /// The newest checkpoint that was handed on here.
    forwarded: Option<u64>,
}

impl<'a> PumpState<'a> {
    fn new(shared: &'a TaskShared, link: Link) -> Self {
        let cursor = link.position.clone();
        PumpState {
            shared,
            link,
            accepted: None,
            total: Totals::default(),
            since: Totals::default(),
            uncovered_records: 0,
            cursor,
            forwarded: None,
        }
    }

    async fn run(&mut self, inlet: &mut Receiver, outlet: &Sender) -> Result<(), Stop> {
        loop {
            match inlet.recv().await? {
                Event::Frame(frame) => {
                    let (began, records, bytes) = (Instant::now(), frame.records(), frame.len_bytes());
                    self.frame(&frame)?;
                    outlet.send(Event::Frame(frame)).await?;
                    self.shared.batch_moved(self.link.producer, records, bytes, began);
                    self.shared.ports.reached("engine.frame");
                }
                Event::Checkpoint(event) => {
                    let Some(event) = self.checkpoint(event)? else { continue };
                    outlet.send(Event::Checkpoint(event)).await?;
                    self.shared.ports.reached("engine.checkpoint");
                    // Asked to end: this is the next checkpoint, whether the source listens or not.
                    if self.is_first() && self.shared.ports.cancellation.is_requested() {
                        self.shared.stop_source();
                        outlet.finish()?;
                        return Ok(());
                    }
                }
                Event::End => {
                    if let Some(event) = self.end()? {
                        outlet.send(Event::Checkpoint(event)).await?;
                        self.shared.ports.reached("engine.checkpoint");
                    }
                    outlet.finish()?;
                    return Ok(());
                }
            }
        }
    }

    fn is_first(&self) -> bool {
        self.link.producer == Origin::Source
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), ConnectorError> {
        let message = frame.schema_message();
        if self.accepted.as_deref() != Some(message) {
            self.accept(frame)?;
            self.accepted = Some(message.to_vec());
        }
        let (records, bytes) = (frame.records(), frame.len_bytes());
        for totals in [&mut self.total, &mut self.since] {
            totals.records += records;
            totals.bytes += bytes;
        }
        if self.is_first() {
            self.uncovered_records += records;
            self.shared.count_read(records, bytes);
        }
        Ok(())
    }

    /// Holds a frame's schema against the stream's.
    fn accept(&self, frame: &Frame) -> Result<(), ConnectorError> {
        let expected = decode_schema(&self.link.schema)?;
        match schema_difference(&expected, &frame.schema()?) {
            None => Ok(()),
            Some(difference) => Err(ConnectorError::new(
                ErrorCategory::Schema,
                "schema_mismatch",
                format!(
                    "a batch of stream `{}` is not of the stream's schema: {difference}",
                    self.shared.task.key.stream
                ),
            )),
        }
    }

    /// The checkpoint to hand on. Behind the source it gets its id; behind a transform it has one.
    fn checkpoint(&mut self, event: CheckpointEvent) -> Result<Option<CheckpointEvent>, ConnectorError> {
        if !self.is_first() {
            return self.forward(event.id).map(Some);
        }
        // Without a cursor there is nothing to resume by: what was made belongs to a later checkpoint.
        let Some(cursor) = event.cursor else { return Ok(None) };
        self.cursor = Some(cursor);
        self.uncovered_records = 0;
        match self.shared.ledger.stamp(self.cursor.clone(), false)? {
            Some(id) => self.forward(id).map(Some),
            None => Ok(None),
        }
    }

    /// The checkpoint behind the last frame, if the source was read to its end.
    fn end(&mut self) -> Result<Option<CheckpointEvent>, ConnectorError> {
        if !self.is_first() || !self.shared.source_complete() {
            return Ok(None);
        }
        let task = &self.shared.task;
        if task.sync_mode != SyncMode::FullRefresh && self.uncovered_records > 0 {
            return Err(ConnectorError::internal(
                "records_without_checkpoint",
                format!(
                    "the source ended stream `{}` with {} records behind its last checkpoint; the next run would read them \
                     again",
                    task.key.stream, self.uncovered_records
                ),
            ));
        }
        match self.shared.ledger.stamp(self.cursor.clone(), true)? {
            Some(id) => self.forward(id).map(Some),
            None => Ok(None),
        }
    }

    fn forward(&mut self, id: u64) -> Result<CheckpointEvent, ConnectorError> {
        if let Some(forwarded) = self.forwarded
            && id <= forwarded
        {
            return Err(ConnectorError::internal(
                "checkpoint_not_newer",
                format!("checkpoint {id} was forwarded after {forwarded}"),
            ));
        }
        let Some((cursor, complete)) = self.shared.ledger.entry(id) else {
            return Err(ConnectorError::internal(
                "checkpoint_unknown",
                format!("there is no checkpoint {id}"),
            ));
        };
        self.forwarded = Some(id);
        if self.link.last {
            self.shared.ledger.delivered(id, self.total);
        }
        let since = std::mem::take(&mut self.since);
        Ok(CheckpointEvent {
            kind: CheckpointKind::Source,
            stream: self.shared.task.key.stream.clone(),
            id,
            cursor,
            records: since.records,
            bytes: since.bytes,
            complete,
        })
    }
}
