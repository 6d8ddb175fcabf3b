//! The one call an async guest blocks in: waits for any of many things, and sends meanwhile what waits to be sent.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use rapidbyte_core::limits::INTERESTS_MAX;
use wasmtime::component::{Resource, ResourceTable};

use crate::bindings::host_io::Interest;
use crate::limits::WAIT_SECONDS_MAX;
use crate::network::Socket;
use crate::store::HostState;

pub async fn wait(
    state: &mut HostState,
    interests: &[Interest],
    timeout_ns: Option<u64>,
) -> wasmtime::Result<Vec<u32>> {
    if interests.len() > INTERESTS_MAX {
        return Err(wasmtime::format_err!(
            "`wait` with {} interests, at most {INTERESTS_MAX}",
            interests.len()
        ));
    }
    let on_neighbours =
        interests.iter().any(|interest| matches!(interest, Interest::BatchNext | Interest::BatchEmit));
    let _excused = on_neighbours.then(|| state.activity.excuse());
    if interests.iter().any(|interest| matches!(interest, Interest::Readable(_) | Interest::Writable(_))) {
        state.activity.wait();
    }
    let ready = ready(state, interests, timeout_ns, on_neighbours).await?;
    if !ready.is_empty() {
        state.activity.touch();
    }
    Ok(ready)
}

async fn ready(
    state: &mut HostState,
    interests: &[Interest],
    timeout_ns: Option<u64>,
    on_neighbours: bool,
) -> wasmtime::Result<Vec<u32>> {
    let HostState { table, inlet, outlet, services, unsent, activity, .. } = state;
    // Where a role has no channel, asking it answers at once, with an error.
    let mut next = pin!(
        async {
            if let Some(inlet) = inlet {
                inlet.ready_to_recv().await
            }
        }
        .fuse()
    );
    let mut emit = pin!(
        async {
            if let Some(outlet) = outlet {
                outlet.ready_to_send().await
            }
        }
        .fuse()
    );
    let mut cancelled = services.wait_cancelled().fuse();
    let (mut next_ready, mut emit_ready, mut cancelled_ready) = (false, false, false);

    let mut look = |cx: &mut Context<'_>| -> wasmtime::Result<Vec<u32>> {
        let mut ready = Vec::new();
        for (index, interest) in interests.iter().enumerate() {
            let is_ready = match interest {
                Interest::Readable(socket) => table.get_mut(socket)?.poll_readable(cx).is_ready(),
                Interest::Writable(socket) => table.get_mut(socket)?.poll_writable(cx).is_ready(),
                Interest::BatchNext => {
                    next_ready = next_ready || next.poll_unpin(cx).is_ready();
                    next_ready
                }
                Interest::BatchEmit => {
                    emit_ready = emit_ready || emit.poll_unpin(cx).is_ready();
                    emit_ready
                }
                Interest::Cancelled => {
                    cancelled_ready =
                        cancelled_ready || services.cancelled() || cancelled.poll_unpin(cx).is_ready();
                    cancelled_ready
                }
            };
            if is_ready {
                ready.push(index as u32);
            }
        }
        send_unsent(table, unsent, cx);
        Ok(ready)
    };

    let first = poll_fn(|cx| Poll::Ready(look(cx))).await?;
    if !first.is_empty() || timeout_ns == Some(0) {
        return Ok(first);
    }
    // Waits for neighbours are counted by the channels.
    let _remote = (!on_neighbours).then(|| activity.remote());
    let longest = Duration::from_secs(WAIT_SECONDS_MAX);
    let timeout = timeout_ns.map(|ns| Duration::from_nanos(ns).min(longest));
    let mut sleep = pin!(async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    });
    poll_fn(|cx| match look(cx) {
        Ok(ready) if ready.is_empty() => sleep.poll_unpin(cx).map(|()| Ok(Vec::new())),
        ready => Poll::Ready(ready),
    })
    .await
}

/// Waits for a neighbour, and sends meanwhile what waits to be sent.
pub async fn while_sending<T>(
    table: &mut ResourceTable,
    unsent: &mut Vec<u32>,
    waiting: impl Future<Output = T>,
) -> T {
    let mut waiting = pin!(waiting);
    poll_fn(|cx| {
        send_unsent(table, unsent, cx);
        waiting.as_mut().poll(cx)
    })
    .await
}

/// Goes on sending for the sockets that the guest believes to have written.
fn send_unsent(table: &mut ResourceTable, unsent: &mut Vec<u32>, cx: &mut Context<'_>) {
    unsent.retain(|rep| {
        let socket = table.get_mut(&Resource::<Socket>::new_borrow(*rep));
        socket.is_ok_and(|socket| socket.poll_flush(cx).is_pending())
    });
}
