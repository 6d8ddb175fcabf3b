//! The host as [`crate::Context`] needs it, over the imports.

use std::task::{Context, Poll};

use arrow_buffer::Buffer;

use super::bindings::rapidbyte::connector::{host_io, telemetry};
use super::convert::{
    checkpoint_from_wit, checkpoint_to_wit, error_from_wit, field_value_to_wit, log_level_to_wit,
    metric_value_to_wit, record_error_to_wit, reply_from_wit, scope_to_wit,
};
use super::reactor::{self, Signal};
use crate::error::ConnectorError;
use crate::events::{CheckpointKind, CheckpointReply, RawEvent};
use crate::types::{Checkpoint, FieldValue, LogLevel, MetricValue, RecordError, StateScope};

pub(crate) use super::bindings::rapidbyte::connector::host_io::Frame;

/// There is one host, and it is always there.
#[derive(Clone, Copy, Default)]
pub(crate) struct Host;

impl Host {
    pub(crate) fn frame(&self, ipc: &[u8], _records: u64) -> Result<Frame, ConnectorError> {
        Frame::from_ipc(ipc).map_err(error_from_wit)
    }

    pub(crate) fn poll_emit(
        &self,
        frame: &mut Option<Frame>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectorError>> {
        let Some(offered) = frame.take() else { return Poll::Ready(Ok(())) };
        match host_io::batch_try_emit(offered).map_err(error_from_wit)? {
            None => Poll::Ready(Ok(())),
            Some(back) => {
                *frame = Some(back);
                reactor::register(Signal::BatchEmit, cx);
                Poll::Pending
            }
        }
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<RawEvent, ConnectorError>> {
        let event = match host_io::batch_try_next().map_err(error_from_wit)? {
            Some(host_io::BatchEvent::Frame(frame)) => RawEvent::Frame(Buffer::from_vec(frame.to_ipc())),
            Some(host_io::BatchEvent::Checkpoint(event)) => RawEvent::Checkpoint(checkpoint_from_wit(event)),
            Some(host_io::BatchEvent::End) => RawEvent::End,
            None => {
                reactor::register(Signal::BatchNext, cx);
                return Poll::Pending;
            }
        };
        Poll::Ready(Ok(event))
    }

    pub(crate) fn report(
        &self,
        kind: CheckpointKind,
        checkpoint: &Checkpoint,
    ) -> Result<CheckpointReply, ConnectorError> {
        let event = checkpoint_to_wit(kind, checkpoint);
        host_io::telemetry_checkpoint(&event).map(reply_from_wit).map_err(error_from_wit)
    }

    pub(crate) fn committed(&self) -> Option<Checkpoint> {
        host_io::telemetry_committed().map(checkpoint_from_wit)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        host_io::cancelled()
    }

    pub(crate) fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<()> {
        if host_io::cancelled() {
            return Poll::Ready(());
        }
        reactor::register(Signal::Cancelled, cx);
        Poll::Pending
    }

    pub(crate) fn metric(&self, name: &str, value: MetricValue, labels: &[(&str, &str)]) {
        host_io::telemetry_metric(&telemetry::MetricEvent {
            name: name.to_owned(),
            value: metric_value_to_wit(value),
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        });
    }

    pub(crate) fn log(&self, level: LogLevel, message: &str, fields: &[(&str, FieldValue)]) {
        host_io::telemetry_log(&telemetry::LogEvent {
            level: log_level_to_wit(level),
            message: message.to_owned(),
            fields: fields
                .iter()
                .map(|(key, value)| ((*key).to_owned(), field_value_to_wit(value)))
                .collect(),
        });
    }

    pub(crate) fn progress(&self, records: u64, bytes: u64) {
        host_io::telemetry_progress(records, bytes);
    }

    pub(crate) fn dead_letters(&self, frame: Frame, errors: Vec<RecordError>) -> Result<(), ConnectorError> {
        let errors: Vec<_> = errors.into_iter().map(record_error_to_wit).collect();
        host_io::telemetry_dlq(frame, &errors).map_err(error_from_wit)
    }

    pub(crate) fn state_get(&self, scope: StateScope, key: &str) -> Result<Option<Vec<u8>>, ConnectorError> {
        host_io::state_get(scope_to_wit(scope), key).map_err(error_from_wit)
    }

    pub(crate) fn state_put(&self, scope: StateScope, key: &str, value: &[u8]) -> Result<(), ConnectorError> {
        host_io::state_put(scope_to_wit(scope), key, value).map_err(error_from_wit)
    }

    pub(crate) fn state_compare_and_swap(
        &self,
        scope: StateScope,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<bool, ConnectorError> {
        host_io::state_compare_and_swap(scope_to_wit(scope), key, expected, value).map_err(error_from_wit)
    }
}
