//! The hot path: what one connector has made is taken, checked against the stream's schema, counted, and handed on to the
//! next one; checkpoints get their place and their id. A frame is moved, never copied; nothing is done per record.

use std::time::Instant;

use rapidbyte_core::channel::{Closed, Event, Receiver, Sender};
use rapidbyte_core::contract::ArrowSchemaIpc;
use rapidbyte_core::copy::CopyWriter;
use rapidbyte_core::dead_letter::DeadLetters;
use rapidbyte_core::frame::{decode_schema, schema_difference};
use rapidbyte_core::{
    CheckpointEvent, CheckpointKind, ConnectorError, Cursor, CursorValue, ErrorCategory, Frame, SyncMode,
};

use crate::commit::{Totals, now_ms};
use crate::error::Origin;
use crate::profile::Watched;
use crate::resume::partition_mark;
use crate::shared::TaskShared;
use crate::steps::{HostSteps, Passed};

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
    /// What the host does to what passes here.
    pub steps: Option<HostSteps>,
    /// What keeps a local copy of what passes here.
    pub copy: Option<Box<dyn CopyWriter>>,
}

/// Moves a stream over one link until it ends. Whatever ends it early has been reported to `shared` when this returns,
/// or was reported by the connector whose side of the channel is gone.
pub(crate) async fn pump(shared: &TaskShared, link: Link, mut inlet: Receiver, outlet: Sender) {
    let _watching = shared.clock.watch(Watched::pump(link.producer, inlet.gauge(), outlet.gauge()));
    let mut state = PumpState::new(shared, link);
    let ended = state.run(&mut inlet, &outlet).await;
    if let Some(steps) = &state.link.steps {
        shared.add_violations(steps.violations());
    }
    match ended {
        Ok(()) | Err(Stop::Closed) => {}
        Err(Stop::Fault(error)) => shared.fail(state.link.producer, error),
        Err(Stop::Host(origin, error)) => shared.fail(origin, error),
    }
}

/// Why a pump ends before the end of its stream.
enum Stop {
    /// What the producer made is wrong.
    Fault(ConnectorError),
    /// What the host does here failed.
    Host(Origin, ConnectorError),
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

impl From<(Origin, ConnectorError)> for Stop {
    fn from((origin, error): (Origin, ConnectorError)) -> Self {
        Stop::Host(origin, error)
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
                    self.take(&frame)?;
                    match &mut self.link.steps {
                        None => self.hand_on(frame, outlet).await?,
                        Some(steps) => {
                            let passed = steps.push(frame.decode()?).await?;
                            self.hand_on_passed(passed, outlet).await?;
                        }
                    }
                    self.shared.batch_moved(self.link.producer, records, bytes, began);
                }
                Event::DeadLetters(letters) => {
                    let after = self.behind();
                    self.shared.refuse(DeadLetters { after, ..letters }, false).await?;
                }
                Event::Checkpoint(event) => {
                    let Some(event) = self.checkpoint(event)? else { continue };
                    let at_end = self.shared.ledger.entry(event.id).is_some_and(|(_, complete)| complete);
                    if at_end && !self.is_first() {
                        self.flush(outlet).await?;
                    }
                    let event = self.forward(event.id)?;
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
                    if let Some(id) = self.end(outlet).await? {
                        let event = self.forward(id)?;
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

    /// The newest checkpoint that lies before what passes now.
    fn behind(&self) -> u64 {
        if self.is_first() {
            self.shared.ledger.newest_id()
        } else {
            self.forwarded.unwrap_or_else(|| self.shared.first_id())
        }
    }

    /// Looks at a frame as its producer made it.
    fn take(&mut self, frame: &Frame) -> Result<(), ConnectorError> {
        let message = frame.schema_message();
        if self.accepted.as_deref() != Some(message) {
            self.accept(frame)?;
            self.accepted = Some(message.to_vec());
        }
        if self.is_first() {
            let (records, bytes) = (frame.records(), frame.len_bytes());
            self.uncovered_records += records;
            self.shared.count_read(records, bytes)?;
        }
        Ok(())
    }

    async fn hand_on(&mut self, frame: Frame, outlet: &Sender) -> Result<(), Stop> {
        let (records, bytes) = (frame.records(), frame.len_bytes());
        for totals in [&mut self.total, &mut self.since] {
            totals.records += records;
            totals.bytes += bytes;
        }
        if let Some(copy) = &mut self.link.copy {
            copy.append(&frame.decode()?).map_err(|error| (Origin::Engine, error))?;
        }
        outlet.send(Event::Frame(frame)).await?;
        self.shared.ports.reached("engine.frame");
        Ok(())
    }

    /// Hands on what the host's steps made, in frames that are not larger than the stream's.
    async fn hand_on_passed(&mut self, passed: Passed, outlet: &Sender) -> Result<(), Stop> {
        for refused in passed.refused {
            let frame = Frame::encode(&refused.records)?;
            let letters = DeadLetters {
                origin: refused.origin,
                connector: "engine".to_owned(),
                after: self.behind(),
                frame: frame.bytes().clone(),
                errors: refused.errors,
                occurred_at: now_ms(),
            };
            self.shared.refuse(letters, false).await?;
        }
        let bytes_max = self.shared.task.limits.max_batch_bytes;
        for batch in passed.batches {
            // The newest part last, so that records keep their order.
            let mut parts = vec![batch];
            while let Some(part) = parts.pop() {
                let frame = Frame::encode(&part)?;
                if frame.len_bytes() <= bytes_max {
                    self.hand_on(frame, outlet).await?;
                    continue;
                }
                let half = part.num_rows() / 2;
                if half == 0 {
                    let message = format!(
                        "a record of stream `{}` takes {} bytes behind the transforms, `max_batch_bytes` is {bytes_max}",
                        self.shared.task.key.stream,
                        frame.len_bytes()
                    );
                    let error = ConnectorError::new(ErrorCategory::Data, "record_too_large", message);
                    return Err(Stop::Host(Origin::Engine, error));
                }
                parts.push(part.slice(half, part.num_rows() - half));
                parts.push(part.slice(0, half));
            }
        }
        Ok(())
    }

    /// Hands on what the host's steps held back.
    async fn flush(&mut self, outlet: &Sender) -> Result<(), Stop> {
        if let Some(steps) = &mut self.link.steps {
            let passed = steps.finish().await?;
            self.hand_on_passed(passed, outlet).await?;
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
            return Ok(Some(event));
        }
        // Without a cursor there is nothing to resume by: what was made belongs to a later checkpoint.
        let Some(cursor) = event.cursor else { return Ok(None) };
        self.uncovered_records = 0;
        // So it does where nothing comes out before the end: a cursor would cover what an aggregation still holds.
        if self.shared.task.aggregates() {
            return Ok(None);
        }
        self.cursor = Some(self.marked(cursor));
        let cursor = self.cursor.clone();
        let id = self.shared.ledger.stamp(cursor.clone(), false)?;
        Ok(id.map(|id| CheckpointEvent { id, cursor, complete: false, ..event }))
    }

    /// The checkpoint behind the last frame, if the source was read to its end.
    async fn end(&mut self, outlet: &Sender) -> Result<Option<u64>, Stop> {
        if !self.is_first() || !self.shared.source_complete() {
            return Ok(None);
        }
        self.flush(outlet).await?;
        let task = &self.shared.task;
        if task.sync_mode != SyncMode::FullRefresh && self.uncovered_records > 0 {
            return Err(Stop::Fault(ConnectorError::internal(
                "records_without_checkpoint",
                format!(
                    "the source ended stream `{}` with {} records behind its last checkpoint; the next run would read them \
                     again",
                    task.key.stream, self.uncovered_records
                ),
            )));
        }
        if self.cursor.is_none() && self.shared.task.partition.range.is_some() {
            let nothing = Cursor { field: String::new(), value: CursorValue::Json("null".to_owned()) };
            self.cursor = Some(self.marked(nothing));
        }
        Ok(self.shared.ledger.stamp(self.cursor.clone(), true)?)
    }

    /// A cursor that says so where it is one of a partition.
    fn marked(&self, mut cursor: Cursor) -> Cursor {
        let partition = &self.shared.task.partition;
        if partition.range.is_some() {
            cursor.field.push_str(&partition_mark(partition));
        }
        cursor
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
        if let Some(copy) = &mut self.link.copy {
            copy.commit(id)?;
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
