//! The in-memory host behind a native [`crate::Context`]: it takes what the connector does, in order, and gives what the
//! test prepared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use arrow_buffer::Buffer;

use super::{Inlet, Outlet};
use crate::error::ConnectorError;
use crate::events::{CheckpointKind, CheckpointReply, RawEvent};
use crate::types::{
    Checkpoint, Continuation, Cursor, FieldValue, LogLevel, MetricValue, Receipt, RecordError, StateScope,
};

/// A frame that the host took.
pub(crate) struct Frame {
    bytes: Buffer,
}

/// What a connector handed on, in order.
#[derive(Clone)]
pub(crate) enum Emitted {
    Frame(Buffer),
    Checkpoint(Checkpoint),
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
    pub fields: Vec<(String, FieldValue)>,
}

/// One reported metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub name: String,
    pub value: MetricValue,
    pub labels: Vec<(String, String)>,
}

/// Everything a test can look at or prepare.
pub(crate) struct Recorded {
    /// Where events come from, and go to when the host is half of a pipe; otherwise `emitted` takes them.
    pub(crate) inlet: Option<Arc<Inlet>>,
    pub(crate) outlet: Option<Arc<Outlet>>,
    pub(crate) emitted: Vec<Emitted>,
    pub(crate) checkpoint_id: u64,
    pub(crate) last_cursor: Option<Cursor>,
    pub(crate) committed: Vec<Checkpoint>,
    pub(crate) saved: Option<Checkpoint>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) continuation: Continuation,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) progress: (u64, u64),
    pub(crate) dead_letters: Vec<(Buffer, Vec<RecordError>)>,
    pub(crate) dead_letter_error: Option<ConnectorError>,
    pub(crate) state: HashMap<(StateScope, String), Vec<u8>>,
    pub(crate) cancelled: bool,
    pub(crate) cancel_after_batches: Option<u64>,
    pub(crate) batches: u64,
    cancel_wakers: Vec<Waker>,
}

impl Default for Recorded {
    fn default() -> Self {
        Recorded {
            inlet: None,
            outlet: None,
            emitted: Vec::new(),
            checkpoint_id: 0,
            last_cursor: None,
            committed: Vec::new(),
            saved: None,
            receipts: Vec::new(),
            continuation: Continuation::Resume,
            logs: Vec::new(),
            metrics: Vec::new(),
            progress: (0, 0),
            dead_letters: Vec::new(),
            dead_letter_error: None,
            state: HashMap::new(),
            cancelled: false,
            cancel_after_batches: None,
            batches: 0,
            cancel_wakers: Vec::new(),
        }
    }
}

impl Recorded {
    /// Gives a checkpoint its id.
    pub(crate) fn stamp(&mut self, checkpoint: &mut Checkpoint) {
        self.checkpoint_id += 1;
        checkpoint.id = self.checkpoint_id;
        if checkpoint.cursor.is_some() {
            self.last_cursor.clone_from(&checkpoint.cursor);
        }
    }

    /// Counts a batch towards the cancellation that the test asked for.
    fn passed_batch(&mut self) -> Vec<Waker> {
        self.batches += 1;
        if self.cancel_after_batches.is_some_and(|batches| self.batches >= batches) {
            return self.cancel();
        }
        Vec::new()
    }

    #[must_use = "wake them after the lock is released"]
    pub(crate) fn cancel(&mut self) -> Vec<Waker> {
        self.cancelled = true;
        std::mem::take(&mut self.cancel_wakers)
    }
}

/// A handle on the in-memory host.
#[derive(Clone, Default)]
pub(crate) struct Host {
    shared: Arc<Mutex<Recorded>>,
}

impl Host {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn frame(&self, ipc: &[u8], _records: u64) -> Result<Frame, ConnectorError> {
        Ok(Frame { bytes: Buffer::from(ipc) })
    }

    pub(crate) fn poll_emit(
        &self,
        frame: &mut Option<Frame>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectorError>> {
        let outlet = self.lock().outlet.clone();
        let Some(bytes) = frame.take().map(|frame| frame.bytes) else {
            return Poll::Ready(Ok(()));
        };
        let mut bytes = Some(bytes);
        if let Some(outlet) = outlet {
            match outlet.poll_send(&mut bytes, cx) {
                Poll::Ready(Ok(())) => {}
                other => {
                    *frame = bytes.map(|bytes| Frame { bytes });
                    return other;
                }
            }
        }
        let mut recorded = self.lock();
        if let Some(bytes) = bytes {
            recorded.emitted.push(Emitted::Frame(bytes));
        }
        let wakers = recorded.passed_batch();
        drop(recorded);
        wakers.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<RawEvent, ConnectorError>> {
        let inlet = self.lock().inlet.clone();
        let Some(inlet) = inlet else {
            return Poll::Ready(Err(ConnectorError::internal(
                "no_inlet",
                "nothing flows into this connector",
            )));
        };
        let event = std::task::ready!(inlet.poll_recv(cx))?;
        if matches!(event, RawEvent::Frame(_)) {
            let wakers = self.lock().passed_batch();
            wakers.into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(event))
    }

    pub(crate) fn report(
        &self,
        kind: CheckpointKind,
        checkpoint: &Checkpoint,
    ) -> Result<CheckpointReply, ConnectorError> {
        let mut checkpoint = checkpoint.clone();
        let mut recorded = self.lock();
        match kind {
            CheckpointKind::Source | CheckpointKind::Transform => {
                if kind == CheckpointKind::Source {
                    recorded.stamp(&mut checkpoint);
                }
                match &recorded.outlet {
                    Some(outlet) => outlet.send(RawEvent::Checkpoint(checkpoint)),
                    None => recorded.emitted.push(Emitted::Checkpoint(checkpoint)),
                }
            }
            CheckpointKind::Destination => {
                recorded.saved = Some(checkpoint.clone());
                recorded.committed.push(checkpoint);
            }
            CheckpointKind::Receipt => {
                recorded.receipts.push(Receipt::of(&checkpoint));
                return Ok(match recorded.continuation {
                    Continuation::Resume => CheckpointReply::Resume,
                    Continuation::Restart => CheckpointReply::Restart,
                });
            }
        }
        Ok(CheckpointReply::Accepted)
    }

    pub(crate) fn committed(&self) -> Option<Checkpoint> {
        self.lock().saved.clone()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    pub(crate) fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut recorded = self.lock();
        if recorded.cancelled {
            return Poll::Ready(());
        }
        if !recorded.cancel_wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            recorded.cancel_wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(crate) fn metric(&self, name: &str, value: MetricValue, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.lock().metrics.push(Metric { name: name.to_owned(), value, labels });
    }

    pub(crate) fn log(&self, level: LogLevel, message: &str, fields: &[(&str, FieldValue)]) {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        self.lock().logs.push(LogLine { level, message: message.to_owned(), fields });
    }

    pub(crate) fn progress(&self, records: u64, bytes: u64) {
        self.lock().progress = (records, bytes);
    }

    pub(crate) fn dead_letters(&self, frame: Frame, errors: Vec<RecordError>) -> Result<(), ConnectorError> {
        let mut recorded = self.lock();
        if let Some(error) = &recorded.dead_letter_error {
            return Err(error.clone());
        }
        recorded.dead_letters.push((frame.bytes, errors));
        Ok(())
    }

    pub(crate) fn state_get(&self, scope: StateScope, key: &str) -> Result<Option<Vec<u8>>, ConnectorError> {
        Ok(self.lock().state.get(&(scope, key.to_owned())).cloned())
    }

    pub(crate) fn state_put(&self, scope: StateScope, key: &str, value: &[u8]) -> Result<(), ConnectorError> {
        self.lock().state.insert((scope, key.to_owned()), value.to_vec());
        Ok(())
    }

    pub(crate) fn state_compare_and_swap(
        &self,
        scope: StateScope,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, ConnectorError> {
        let mut recorded = self.lock();
        let key = (scope, key.to_owned());
        let same = recorded.state.get(&key).map(Vec::as_slice) == expected;
        if same {
            recorded.state.insert(key, value.to_vec());
        }
        Ok(same)
    }
}
