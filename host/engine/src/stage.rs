//! One connector in a running task: runs it, judges how it ended, ends the stream behind it.
//! Refuses to know: its neighbours.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use rapidbyte_core::channel::{Gauge, Sender};
use rapidbyte_core::*;

use crate::error::Origin;
use crate::instance::Opened;
use crate::plan::Task;
use crate::profile::Watched;
use crate::shared::TaskShared;

/// A stage's part of a task before it runs.
pub(crate) struct Stage {
    pub origin: Origin,
    pub opened: Opened,
    /// What flows into it (for the source: out of it).
    pub schema: ArrowSchemaIpc,
    /// To end the stream behind it.
    pub outlet: Option<Arc<Sender>>,
    pub inlet: Option<Gauge>,
    /// The newest checkpoint that it has forwarded (transforms).
    pub forwarded: Arc<AtomicU64>,
}

/// What has ended in a running task.
pub(crate) enum Ended {
    Destination,
    Other,
}

/// Runs one connector to its end and judges how it ended, before its neighbours can see that it is gone.
pub(crate) async fn run_stage(shared: Arc<TaskShared>, stage: Stage, position: Option<CursorValue>) -> Ended {
    let Stage { origin, opened, schema, outlet, inlet, forwarded } = stage;
    let Opened { mut instance, info: _ } = opened;
    let request = request(&shared.task, origin, schema, position);
    let (name, waits) = (shared.name_of(origin), instance.remote_waits());
    let watched =
        Watched::connector(origin, name, inlet.clone(), outlet.as_ref().map(|it| it.gauge()), waits);
    let watching = shared.clock.watch(watched);
    let ran = caught(instance.run(request)).await;
    drop(watching);
    shared.saw_memory(instance.memory_bytes_peak());
    let judged = match ran {
        Ok(_summary) => judge(&shared, origin, inlet.as_ref(), &forwarded, outlet.as_deref()),
        Err(error) => Err(error),
    };
    match judged {
        Ok(()) => {
            if let Err(error) = caught(instance.close()).await {
                shared.warn(format!("the {origin} did not close cleanly: {error}"));
            }
        }
        Err(_) if origin == Origin::Source && shared.is_source_stopped() => {}
        Err(error) => shared.fail(origin, error),
    }
    if origin == Origin::Destination { Ended::Destination } else { Ended::Other }
}

/// A connector returned without an error: whether it did what it had to, and what follows.
fn judge(
    shared: &TaskShared,
    origin: Origin,
    inlet: Option<&Gauge>,
    forwarded: &AtomicU64,
    outlet: Option<&Sender>,
) -> Result<(), ConnectorError> {
    let taken = inlet.map(Gauge::taken).unwrap_or_default();
    if inlet.is_some() && !taken.end {
        return Err(ConnectorError::internal(
            "ended_early",
            format!("the {origin} returned before the end of stream `{}`", shared.task.key.stream),
        ));
    }
    if origin == Origin::Destination {
        return match shared.ledger.unconfirmed() {
            // A stream that was asked to end may end uncommitted: the next run reads again what is missing.
            Some(id) if shared.source_complete() && !shared.is_source_stopped() => {
                Err(ConnectorError::internal(
                    "destination_did_not_commit",
                    format!(
                        "the destination returned without having confirmed checkpoint {id}, which it was given"
                    ),
                ))
            }
            Some(_) | None => Ok(()),
        };
    }
    if let (Origin::Transform(_), Some(newest)) = (origin, taken.checkpoint)
        && forwarded.load(Ordering::Acquire) < newest
    {
        return Err(ConnectorError::internal(
            "checkpoint_kept",
            format!("the {origin} returned without having forwarded checkpoint {newest}, which it was given"),
        ));
    }
    if origin == Origin::Source && !shared.ports.cancellation.is_requested() {
        // A source that was asked to end may have ended anywhere; one that was not has read everything.
        shared.complete_source();
    }
    // Refused only where the consumer is gone, which it says itself.
    let _ = outlet.map(Sender::finish);
    Ok(())
}

/// What a connector is asked to do.
fn request(task: &Task, origin: Origin, schema: ArrowSchemaIpc, position: Option<CursorValue>) -> RunRequest {
    let stream = match origin {
        Origin::Source => StreamContext { position, ..task.source_context() },
        Origin::Destination => task.destination_context(),
        Origin::Transform(_) | Origin::State | Origin::Engine => task.context(schema),
    };
    let phase = match origin {
        Origin::Source => RunPhase::Read,
        Origin::Destination => RunPhase::Write,
        Origin::Transform(_) | Origin::State | Origin::Engine => RunPhase::Transform,
    };
    RunRequest { stream: Some(stream), phase, dry_run: false, max_records: None }
}

/// A panic in an adapter ends its task like any other error.
async fn caught<T>(call: impl Future<Output = Result<T, ConnectorError>>) -> Result<T, ConnectorError> {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(ConnectorError::internal("panicked", format!("the host panicked: {message}")))
    })
}
