//! Frames: made, held, emitted, taken.

use std::sync::Arc;

use bytes::Bytes;
use rapidbyte_core::channel::{Closed, Event, Receiver, Sender};
use rapidbyte_core::frame::schema_difference;
use rapidbyte_core::limits::FRAMES_HELD_MAX;
use rapidbyte_core::{ConnectorError, Frame, RunPhase};
use wasmtime::component::Resource;

use super::wait::while_sending;
use super::{Fault, HeldFrame, json, wrong_role};
use crate::bindings::host_io::BatchEvent;
use crate::limits::FRAMES_HELD_FULL;
use crate::store::{Emitted, HostState};

pub fn from_ipc(state: &mut HostState, bytes: Vec<u8>) -> Result<Resource<HeldFrame>, Fault> {
    let frame = Frame::check(Bytes::from(bytes), state.limits.max_batch_bytes)?;
    hold(state, frame)
}

pub fn from_json(state: &mut HostState, schema: &[u8], rows: &str) -> Result<Resource<HeldFrame>, Fault> {
    let frame = json::to_frame(schema, rows, state.limits.max_batch_bytes)?;
    hold(state, frame)
}

pub fn to_json(state: &mut HostState, frame: &Resource<HeldFrame>) -> Result<String, Fault> {
    Ok(json::from_frame(&state.table.get(frame)?.0, state.limits.max_batch_bytes)?)
}

/// Whether the guest may hold another frame.
fn admit(state: &HostState, bytes: u64) -> Result<(), ConnectorError> {
    let held = &state.held;
    let bytes_max = state.limits.max_batch_bytes.saturating_mul(FRAMES_HELD_FULL);
    if held.frames >= FRAMES_HELD_MAX
        || (held.frames > 0 && held.frame_bytes.saturating_add(bytes) > bytes_max)
    {
        return Err(ConnectorError::internal(
            "too_many_frames",
            format!("{} frames of {} bytes are held already, drop some first", held.frames, held.frame_bytes),
        ));
    }
    Ok(())
}

fn hold(state: &mut HostState, frame: Frame) -> Result<Resource<HeldFrame>, Fault> {
    admit(state, frame.len_bytes())?;
    let bytes = frame.len_bytes();
    let handle = state.table.push(HeldFrame(frame))?;
    state.held.frames += 1;
    state.held.frame_bytes += bytes;
    state.activity.touch();
    Ok(handle)
}

/// Takes a frame out of the guest's hands.
pub fn take(state: &mut HostState, frame: Resource<HeldFrame>) -> wasmtime::Result<Frame> {
    let HeldFrame(frame) = state.table.delete(frame)?;
    state.held.frames -= 1;
    state.held.frame_bytes -= frame.len_bytes();
    Ok(frame)
}

/// The way on, where the role and the phase have one and the frame is of the stream's schema.
fn admit_emit(state: &mut HostState, frame: &Resource<HeldFrame>) -> Result<Arc<Sender>, Fault> {
    if !matches!(state.run.phase, Some(RunPhase::Read | RunPhase::Transform)) {
        return Err(wrong_role("emitting batches").into());
    }
    let outlet = state.outlet.clone().ok_or_else(|| wrong_role("emitting batches"))?;
    let frame = &state.table.get(frame)?.0;
    let message = frame.schema_message();
    if state.run.emitted.as_ref().is_some_and(|emitted| emitted.message == message) {
        return Ok(outlet);
    }
    let schema = frame.schema()?;
    let expected = state.run.emitted.as_ref().map(|emitted| &emitted.schema).or(state.run.announced.as_ref());
    if let Some(difference) = expected.and_then(|expected| schema_difference(expected, &schema)) {
        return Err(ConnectorError::frame(
            "schema_mismatch",
            format!("a frame is not of the stream's schema: {difference}"),
        )
        .into());
    }
    if state.run.emitted.is_none() {
        state.run.emitted = Some(Emitted { message: message.to_vec(), schema });
    }
    Ok(outlet)
}

fn downstream_gone(_: Closed) -> ConnectorError {
    ConnectorError::internal("downstream_gone", "the next stage has ended, nobody takes more batches")
}

fn upstream_gone(_: Closed) -> ConnectorError {
    ConnectorError::internal("upstream_gone", "the stage before ended without finishing the stream")
}

pub async fn emit(state: &mut HostState, frame: Resource<HeldFrame>) -> Result<(), Fault> {
    let admitted = admit_emit(state, &frame);
    let frame = take(state, frame).map_err(Fault::Trap)?;
    let outlet = admitted?;
    let _excused = state.activity.excuse();
    let sending = outlet.send(Event::Frame(frame));
    while_sending(&mut state.table, &mut state.unsent, sending).await.map_err(downstream_gone)?;
    Ok(())
}

pub fn try_emit(
    state: &mut HostState,
    frame: Resource<HeldFrame>,
) -> Result<Option<Resource<HeldFrame>>, Fault> {
    let admitted = admit_emit(state, &frame);
    let frame = take(state, frame).map_err(Fault::Trap)?;
    match admitted?.try_send(Event::Frame(frame)).map_err(downstream_gone)? {
        Some(Event::Frame(frame)) => Ok(Some(hold(state, frame)?)),
        _ => {
            state.activity.touch();
            Ok(None)
        }
    }
}

fn admit_next(state: &mut HostState) -> Result<(), Fault> {
    if !matches!(state.run.phase, Some(RunPhase::Write | RunPhase::Transform)) {
        return Err(wrong_role("taking batches").into());
    }
    admit(state, 0)?;
    state.run.consuming = true;
    Ok(())
}

fn inlet(inlet: &mut Option<Receiver>) -> Result<&mut Receiver, ConnectorError> {
    inlet.as_mut().ok_or_else(|| wrong_role("taking batches"))
}

pub async fn next(state: &mut HostState) -> Result<BatchEvent, Fault> {
    if let Some(event) = try_next(state)? {
        return Ok(event);
    }
    let _excused = state.activity.excuse();
    let HostState { inlet: receiver, table, unsent, .. } = state;
    let event = while_sending(table, unsent, inlet(receiver)?.recv()).await.map_err(upstream_gone)?;
    deliver(state, event)
}

pub fn try_next(state: &mut HostState) -> Result<Option<BatchEvent>, Fault> {
    admit_next(state)?;
    match inlet(&mut state.inlet)?.try_recv().map_err(upstream_gone)? {
        Some(event) => deliver(state, event).map(Some),
        None => Ok(None),
    }
}

fn deliver(state: &mut HostState, event: Event) -> Result<BatchEvent, Fault> {
    // The end is no news the second time.
    if !matches!(event, Event::End) {
        state.activity.touch();
    }
    Ok(match event {
        Event::Frame(frame) => BatchEvent::Frame(hold(state, frame)?),
        Event::Checkpoint(event) => {
            state.run.outstanding.push_back(event.id);
            BatchEvent::Checkpoint(event.into())
        }
        Event::DeadLetters(_) => {
            // The pump takes them out of their producer's channel and puts them into no other.
            let what = "dead letters came where a connector takes batches";
            return Err(ConnectorError::internal("dead_letters_passed", what).into());
        }
        Event::End => BatchEvent::End,
    })
}
