//! Checkpoints and dead letters: who may report what, and when.

use rapidbyte_core::limits::CURSOR_BYTES_MAX;
use rapidbyte_core::{CheckpointEvent, CheckpointKind, ConnectorError, CursorValue, RunPhase};
use wasmtime::component::Resource;

use super::{Fault, HeldFrame, batches, wrong_role};
use crate::bindings::telemetry as wt;
use crate::limits::NAME_BYTES_MAX;
use crate::store::HostState;

pub async fn checkpoint(
    state: &mut HostState,
    event: wt::CheckpointEvent,
) -> Result<wt::CheckpointReply, Fault> {
    let mut event = CheckpointEvent::from(event);
    admit(state, &event)?;
    // The stream is the run's; what a guest says about it is not asked.
    event.stream = state.run.stream.clone().unwrap_or_default();
    if event.kind == CheckpointKind::Source {
        // The host numbers the checkpoints, and only the host knows the end.
        event.id = 0;
        event.complete = false;
    }
    let (kind, id) = (event.kind, event.id);
    let reply = {
        // A source's marker waits in the channel like its frames.
        let _excused = state.activity.excuse();
        state.services.checkpoint(event).await?
    };
    if matches!(kind, CheckpointKind::Transform | CheckpointKind::Destination) {
        while state.run.outstanding.front().is_some_and(|first| *first <= id) {
            state.run.outstanding.pop_front();
        }
    }
    Ok(reply.into())
}

fn admit(state: &HostState, event: &CheckpointEvent) -> Result<(), ConnectorError> {
    let belongs = matches!(
        (event.kind, state.run.phase),
        (CheckpointKind::Source, Some(RunPhase::Read))
            | (CheckpointKind::Transform, Some(RunPhase::Transform))
            | (CheckpointKind::Destination | CheckpointKind::Receipt, Some(RunPhase::Write))
    );
    if !belongs {
        return Err(wrong_role(&format!("a {} checkpoint", event.kind)));
    }
    if event.kind == CheckpointKind::Receipt && state.run.consuming {
        return Err(ConnectorError::internal(
            "receipt_too_late",
            "a receipt is reported before the first batch is taken",
        ));
    }
    let answers = matches!(event.kind, CheckpointKind::Transform | CheckpointKind::Destination);
    if answers && !state.run.outstanding.contains(&event.id) {
        return Err(ConnectorError::internal(
            "unknown_checkpoint",
            format!("checkpoint {} was never handed to this connector, or was reported before", event.id),
        ));
    }
    let Some(cursor) = &event.cursor else { return Ok(()) };
    let value_bytes = match &cursor.value {
        CursorValue::Utf8(text) | CursorValue::Decimal(text) | CursorValue::Json(text) => text.len(),
        _ => 0,
    };
    if value_bytes > CURSOR_BYTES_MAX || cursor.field.len() > NAME_BYTES_MAX * 16 {
        return Err(ConnectorError::internal(
            "cursor_too_large",
            format!("a cursor of {value_bytes} bytes exceeds {CURSOR_BYTES_MAX}"),
        ));
    }
    Ok(())
}

pub async fn dead_letters(
    state: &mut HostState,
    records: Resource<HeldFrame>,
    errors: Vec<wt::RecordError>,
) -> Result<(), Fault> {
    let records = batches::take(state, records).map_err(Fault::Trap)?;
    if state.run.phase.is_none() {
        return Err(wrong_role("handing over dead letters").into());
    }
    let misplaced = errors.iter().find(|error| u64::from(error.row) >= records.records());
    if misplaced.is_some() || errors.len() as u64 > records.records() {
        return Err(ConnectorError::internal(
            "dead_letters_misplaced",
            format!("{} errors do not fit a frame of {} records", errors.len(), records.records()),
        )
        .into());
    }
    let washer = &state.reporter.washer;
    let errors = errors.into_iter().map(|error| washer.record_error(error)).collect();
    state.services.dead_letters(records, errors).await?;
    state.activity.touch();
    Ok(())
}
