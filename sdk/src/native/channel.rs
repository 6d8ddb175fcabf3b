//! Events between two connectors in one process: ordered, bounded in bytes and frames, usable from two threads. A sender
//! that vanishes without the end is an error for the receiver, as between real connectors.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use arrow_buffer::Buffer;

use crate::error::ConnectorError;
use crate::events::RawEvent;

/// One direction between two connectors.
pub(crate) struct Channel {
    queue: Mutex<Queue>,
    bytes_max: u64,
    frames_max: u32,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<RawEvent>,
    bytes: u64,
    frames: u32,
    ended: bool,
    sender_gone: bool,
    receiver_gone: bool,
    senders: Vec<Waker>,
    receivers: Vec<Waker>,
}

impl Channel {
    /// A new channel, as its two ends.
    pub(crate) fn ends(bytes_max: u64, frames_max: u32) -> (Outlet, Inlet) {
        let channel = Arc::new(Channel { queue: Mutex::default(), bytes_max, frames_max });
        (Outlet(channel.clone()), Inlet(channel))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn register(wakers: &mut Vec<Waker>, cx: &Context<'_>) {
    if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
        wakers.push(cx.waker().clone());
    }
}

fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

/// The writing end.
pub(crate) struct Outlet(Arc<Channel>);

impl Outlet {
    /// Sends a frame once there is room; a frame larger than the bound passes alone.
    pub(crate) fn poll_send(
        &self,
        frame: &mut Option<Buffer>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectorError>> {
        let mut queue = self.0.lock();
        if queue.receiver_gone {
            return Poll::Ready(Err(ConnectorError::internal(
                "downstream_gone",
                "the connector that consumes this stream has ended",
            )));
        }
        let room = queue.frames == 0 || (queue.bytes < self.0.bytes_max && queue.frames < self.0.frames_max);
        if !room {
            register(&mut queue.senders, cx);
            return Poll::Pending;
        }
        if let Some(frame) = frame.take() {
            queue.bytes += frame.len() as u64;
            queue.frames += 1;
            queue.events.push_back(RawEvent::Frame(frame));
        }
        let receivers = std::mem::take(&mut queue.receivers);
        drop(queue);
        wake(receivers);
        Poll::Ready(Ok(()))
    }

    /// Sends a checkpoint or the end, which always have room.
    pub(crate) fn send(&self, event: RawEvent) {
        let mut queue = self.0.lock();
        queue.ended |= matches!(event, RawEvent::End);
        if let RawEvent::Frame(frame) = &event {
            queue.bytes += frame.len() as u64;
            queue.frames += 1;
        }
        queue.events.push_back(event);
        let receivers = std::mem::take(&mut queue.receivers);
        drop(queue);
        wake(receivers);
    }

    /// Gives up: the receiver learns that no end will come.
    pub(crate) fn abort(&self) {
        let mut queue = self.0.lock();
        queue.sender_gone = true;
        let receivers = std::mem::take(&mut queue.receivers);
        drop(queue);
        wake(receivers);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.abort();
    }
}

/// The reading end.
pub(crate) struct Inlet(Arc<Channel>);

impl Inlet {
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<RawEvent, ConnectorError>> {
        let mut queue = self.0.lock();
        let Some(event) = queue.events.pop_front() else {
            if queue.ended {
                return Poll::Ready(Ok(RawEvent::End));
            }
            if queue.sender_gone {
                return Poll::Ready(Err(ConnectorError::internal(
                    "upstream_gone",
                    "the connector that feeds this stream ended without an end of stream",
                )));
            }
            register(&mut queue.receivers, cx);
            return Poll::Pending;
        };
        let mut senders = Vec::new();
        if let RawEvent::Frame(frame) = &event {
            queue.bytes -= frame.len() as u64;
            queue.frames -= 1;
            senders = std::mem::take(&mut queue.senders);
        }
        drop(queue);
        wake(senders);
        Poll::Ready(Ok(event))
    }

    /// Stops receiving: the sender learns it at its next frame.
    pub(crate) fn close(&self) {
        let mut queue = self.0.lock();
        queue.receiver_gone = true;
        queue.events.clear();
        (queue.bytes, queue.frames) = (0, 0);
        let senders = std::mem::take(&mut queue.senders);
        drop(queue);
        wake(senders);
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.close();
    }
}
