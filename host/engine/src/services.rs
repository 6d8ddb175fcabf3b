//! The host services that instances are given: [`StageServices`] while a task runs, [`QuietServices`] while a connector is
//! only asked (discovery, checks). Routing only; what a checkpoint means is in `commit.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use rapidbyte_core::channel::{Event, Gauge, Sender};
use rapidbyte_core::dead_letter::DeadLetters;
use rapidbyte_core::limits::{STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX};
use rapidbyte_core::ports::{RunEvent, Services, StateStore, TaskKey, state_scope_name};
use rapidbyte_core::*;

use crate::cancel::CancelLevel;
use crate::commit::now_ms;
use crate::error::{Origin, state_error};
use crate::limits::DEAD_LETTERS_AT_ONCE_MAX;
use crate::resume::check_cursor;
use crate::shared::{TaskShared, refusal};
use crate::spec::Ports;

/// The services of one stage of a running task.
pub(crate) struct StageServices {
    pub shared: Arc<TaskShared>,
    pub origin: Origin,
    pub connector: Voice,
    /// Where the stage's own checkpoints go, behind its frames.
    pub outlet: Option<Arc<Sender>>,
    /// How far the stage has come in what it takes.
    pub inlet: Option<Gauge>,
    /// The newest checkpoint that the stage has forwarded (transforms).
    pub forwarded: Arc<AtomicU64>,
}

#[async_trait]
impl Services for StageServices {
    async fn checkpoint(&self, event: CheckpointEvent) -> Result<CheckpointReply, ConnectorError> {
        let taken = self.inlet.as_ref().map(Gauge::taken).unwrap_or_default();
        match (self.origin, event.kind) {
            (Origin::Source, CheckpointKind::Source) => {
                if let Some(cursor) = &event.cursor {
                    check_cursor(cursor).map_err(|what| {
                        ConnectorError::internal("cursor_invalid", format!("the source's checkpoint {what}"))
                    })?;
                }
                self.hand_on(event).await
            }
            (Origin::Transform(_), CheckpointKind::Transform) => {
                if taken.checkpoint.is_none_or(|newest| event.id > newest) {
                    return Err(ConnectorError::internal(
                        "checkpoint_unknown",
                        format!("the transform forwarded checkpoint {}, which it was not given", event.id),
                    ));
                }
                let id = event.id;
                let reply = self.hand_on(event).await?;
                self.forwarded.fetch_max(id, Ordering::AcqRel);
                Ok(reply)
            }
            (Origin::Destination, CheckpointKind::Destination) => {
                self.shared.confirm(event.id, taken.checkpoint).await.map(|()| CheckpointReply::Accepted)
            }
            (Origin::Destination, CheckpointKind::Receipt) => self.shared.take_receipt(event),
            (_, kind) => Err(ConnectorError::internal(
                "checkpoint_kind",
                format!("a checkpoint of kind `{kind}` is not the {}'s to report", self.origin),
            )),
        }
    }

    fn committed(&self) -> Option<CheckpointEvent> {
        self.shared.committed()
    }

    fn cancelled(&self) -> bool {
        self.shared.ports.cancellation.is_requested()
    }

    async fn wait_cancelled(&self) {
        self.shared.ports.cancellation.wait(CancelLevel::Stop).await;
    }

    fn metric(&self, event: MetricEvent) {
        self.connector.metric(&event);
    }

    fn log(&self, event: LogEvent) {
        self.connector.log(&event);
    }

    fn progress(&self, _records: u64, _bytes: u64) {
        // The pump counts what really passes; a connector's own count would only repeat it.
    }

    async fn dead_letters(&self, records: Frame, errors: Vec<RecordError>) -> Result<(), ConnectorError> {
        let letters = DeadLetters {
            origin: match self.origin {
                Origin::Transform(index) => format!("transform:{index}"),
                other => other.to_string(),
            },
            connector: self.connector.id.clone(),
            after: self.shared.ledger.confirmed_id(),
            errors: one_each(&records, errors)?,
            frame: records.bytes().clone(),
            occurred_at: now_ms(),
        };
        // What lies behind a source or transform is in order only in its channel: the pump knows which checkpoint follows.
        match &self.outlet {
            Some(_) if self.shared.task.on_error == DataErrorPolicy::Fail => Err(refusal(&letters.errors)),
            Some(outlet) => outlet.send(Event::DeadLetters(letters)).await.map_err(|_| closed()),
            None => self.shared.refuse(letters, true).await,
        }
    }

    async fn state_get(&self, scope: StateScope, key: &str) -> Result<Option<Vec<u8>>, ConnectorError> {
        state_get(&*self.shared.ports.state, &self.connector, scope, key).await
    }

    async fn state_put(&self, scope: StateScope, key: &str, value: Vec<u8>) -> Result<(), ConnectorError> {
        check_state_size(key, &value)?;
        let state = &self.shared.ports.state;
        state.put(&self.connector.scope(scope), key, &value).await.map_err(|error| state_error(&error))
    }

    async fn state_compare_and_swap(
        &self,
        scope: StateScope,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, ConnectorError> {
        check_state_size(key, &value)?;
        let state = &self.shared.ports.state;
        let scope = self.connector.scope(scope);
        state
            .compare_and_swap(&scope, key, expected.as_deref(), &value)
            .await
            .map_err(|error| state_error(&error))
    }

    fn reached(&self, point: &str) {
        self.shared.ports.reached(point);
    }
}

fn closed() -> ConnectorError {
    ConnectorError::internal("channel_closed", "the stream's other side is gone")
}

/// One error for each of the refused records, in their order. What a guest left out, its neighbour's reason stands for.
fn one_each(records: &Frame, errors: Vec<RecordError>) -> Result<Vec<RecordError>, ConnectorError> {
    let count = usize::try_from(records.records()).unwrap_or(usize::MAX);
    // A frame claims as many records as it likes where its columns are all NULL; its bytes are bounded, this is not.
    if count > DEAD_LETTERS_AT_ONCE_MAX {
        let message =
            format!("{count} records were refused at once, at most {DEAD_LETTERS_AT_ONCE_MAX} can be");
        return Err(ConnectorError::internal("dead_letters_too_many", message));
    }
    let mut reasons: Vec<Option<RecordError>> = vec![None; count];
    let mut last = None;
    for error in errors {
        let Some(place) = usize::try_from(error.row).ok().and_then(|row| reasons.get_mut(row)) else {
            let message = format!("a reason is given for record {} of {count} refused ones", error.row);
            return Err(ConnectorError::internal("dead_letter_row", message));
        };
        last = Some(error.clone());
        *place = Some(error);
    }
    let mut known = last.unwrap_or(RecordError {
        row: 0,
        code: "data_error".to_owned(),
        message: "the connector gave no reason".to_owned(),
    });
    let reasons = reasons.into_iter().zip(0..).map(|(reason, row)| {
        if let Some(reason) = reason {
            known = reason;
        }
        RecordError { row, ..known.clone() }
    });
    Ok(reasons.collect())
}

impl StageServices {
    async fn hand_on(&self, event: CheckpointEvent) -> Result<CheckpointReply, ConnectorError> {
        let outlet = self.outlet.as_ref().ok_or_else(closed)?;
        outlet.send(Event::Checkpoint(event)).await.map_err(|_| closed())?;
        Ok(CheckpointReply::Accepted)
    }
}

/// The services of a connector that is asked, not run: it can read state and speak, and change nothing.
pub(crate) struct QuietServices {
    pub ports: Ports,
    pub connector: Voice,
}

#[async_trait]
impl Services for QuietServices {
    async fn checkpoint(&self, event: CheckpointEvent) -> Result<CheckpointReply, ConnectorError> {
        // Nothing is moved, so what is staged stays.
        Ok(match event.kind {
            CheckpointKind::Receipt => CheckpointReply::Resume,
            CheckpointKind::Source | CheckpointKind::Transform | CheckpointKind::Destination => {
                CheckpointReply::Accepted
            }
        })
    }

    fn committed(&self) -> Option<CheckpointEvent> {
        None
    }

    fn cancelled(&self) -> bool {
        self.ports.cancellation.is_requested()
    }

    async fn wait_cancelled(&self) {
        self.ports.cancellation.wait(CancelLevel::Stop).await;
    }

    fn metric(&self, event: MetricEvent) {
        self.connector.metric(&event);
    }

    fn log(&self, event: LogEvent) {
        self.connector.log(&event);
    }

    fn progress(&self, _records: u64, _bytes: u64) {}

    async fn dead_letters(&self, _records: Frame, _errors: Vec<RecordError>) -> Result<(), ConnectorError> {
        Err(nothing_moves("refuse records"))
    }

    async fn state_get(&self, scope: StateScope, key: &str) -> Result<Option<Vec<u8>>, ConnectorError> {
        state_get(&*self.ports.state, &self.connector, scope, key).await
    }

    async fn state_put(&self, _: StateScope, _: &str, _: Vec<u8>) -> Result<(), ConnectorError> {
        Err(nothing_moves("write state"))
    }

    async fn state_compare_and_swap(
        &self,
        _: StateScope,
        _: &str,
        _: Option<Vec<u8>>,
        _: Vec<u8>,
    ) -> Result<bool, ConnectorError> {
        Err(nothing_moves("write state"))
    }

    fn reached(&self, point: &str) {
        self.ports.reached(point);
    }
}

fn nothing_moves(what: &str) -> ConnectorError {
    ConnectorError::permission("nothing_moves", format!("a connector that is only asked cannot {what}"))
}

/// A connector as the observer and the state know it.
#[derive(Clone)]
pub(crate) struct Voice {
    pub ports: Ports,
    pub key: TaskKey,
    /// The key names a stream, not only the pipeline.
    pub of_stream: bool,
    /// Name and version: `source-postgres@1.0.0`.
    pub id: String,
}

impl Voice {
    fn key(&self) -> Option<&TaskKey> {
        self.of_stream.then_some(&self.key)
    }

    fn log(&self, event: &LogEvent) {
        self.ports.observer.observe(RunEvent::Log { key: self.key(), connector: &self.id, event });
    }

    fn metric(&self, event: &MetricEvent) {
        self.ports.observer.observe(RunEvent::Metric { key: self.key(), connector: &self.id, event });
    }

    /// A connector keeps its state over an update, so its version is not part of the name.
    fn scope(&self, scope: StateScope) -> String {
        let name = self.id.split('@').next().unwrap_or(&self.id);
        state_scope_name(scope, &self.key, name)
    }
}

impl Ports {
    pub(crate) fn reached(&self, point: &str) {
        self.observer.observe(RunEvent::Reached { point });
    }
}

async fn state_get(
    state: &dyn StateStore,
    voice: &Voice,
    scope: StateScope,
    key: &str,
) -> Result<Option<Vec<u8>>, ConnectorError> {
    if scope == StateScope::Stream && !voice.of_stream {
        return Ok(None);
    }
    state.get(&voice.scope(scope), key).await.map_err(|error| state_error(&error))
}

fn check_state_size(key: &str, value: &[u8]) -> Result<(), ConnectorError> {
    if key.len() > STATE_KEY_BYTES_MAX || value.len() > STATE_VALUE_BYTES_MAX {
        let message = format!(
            "a state entry of {} + {} bytes; the limits are {STATE_KEY_BYTES_MAX} for the key and {STATE_VALUE_BYTES_MAX} \
             for the value",
            key.len(),
            value.len()
        );
        return Err(ConnectorError::internal("state_too_large", message));
    }
    Ok(())
}
