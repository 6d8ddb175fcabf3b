//! The channel between two stages of a task: ordered events, bounded in bytes and in frames.
//!
//! A frame larger than the bound still passes, alone: the bound is back-pressure, not a size check. Checkpoints are
//! bounded by number, so that a source that does nothing but checkpoint cannot fill the memory either.
//! When the sending side is dropped without [`Sender::finish`], the receiver sees [`Closed`], never an end of stream:
//! a crashed source must not look like a finished one.
//! Each end knows how long it has waited for the other; a clock is read only when it does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::contract::CheckpointEvent;
use crate::dead_letter::DeadLetters;
use crate::frame::Frame;
use crate::limits::CHANNEL_CHECKPOINTS_MAX;
use crate::waiting::{Timeline, Waiting};

/// What travels: frames, the checkpoints behind them, the end.
#[derive(Debug, Clone)]
pub enum Event {
    Frame(Frame),
    /// Everything before it belongs to this checkpoint.
    Checkpoint(CheckpointEvent),
    /// Records that the sending side refused, in their place among the others. Only ever on the way to the engine.
    DeadLetters(DeadLetters),
    End,
}

impl Event {
    /// What counts against the bounds, in bytes; none for what is not bounded in bytes.
    fn footprint(&self) -> Option<u64> {
        match self {
            Event::Frame(frame) => Some(frame.len_bytes()),
            Event::DeadLetters(letters) => Some(letters.frame.len() as u64),
            Event::Checkpoint(_) | Event::End => None,
        }
    }
}

/// The other side is gone without having finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other side of the channel is gone")]
pub struct Closed;

/// Bounds of one channel.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub bytes_max: u64,
    pub frames_max: u32,
}

#[derive(Debug)]
struct Queue {
    events: VecDeque<Event>,
    bytes: u64,
    frames: u32,
    checkpoints: usize,
    finished: bool,
    sender_gone: bool,
    receiver_gone: bool,
    /// The receiving side has asked for something, so it is ready for the stream.
    receiving: bool,
    /// Id of the newest checkpoint that was taken out.
    checkpoint_taken: Option<u64>,
    end_taken: bool,
    flow: Flow,
}

impl Queue {
    fn has_room_for(&self, bounds: &Bounds, event: &Event) -> bool {
        match event {
            Event::Frame(_) | Event::DeadLetters(_) => self.has_room_for_frame(bounds),
            Event::Checkpoint(_) => self.checkpoints < CHANNEL_CHECKPOINTS_MAX,
            Event::End => true,
        }
    }

    fn has_room_for_frame(&self, bounds: &Bounds) -> bool {
        self.frames == 0 || (self.bytes < bounds.bytes_max && self.frames < bounds.frames_max)
    }

    fn refuses(&self) -> bool {
        self.receiver_gone || self.finished
    }
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    bounds: Bounds,
    /// Signalled when there is room, or nobody left to receive.
    room: Notify,
    /// Signalled when there is something to receive, or nobody left to send.
    ready: Notify,
    /// The sender's waits for room.
    waiting_for_room: Waiting,
    /// The receiver's waits for something to receive.
    waiting_for_events: Waiting,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Makes a channel.
pub fn channel(bounds: Bounds) -> (Sender, Receiver) {
    let shared = Arc::new(Shared {
        queue: Mutex::new(Queue {
            events: VecDeque::new(),
            bytes: 0,
            frames: 0,
            checkpoints: 0,
            finished: false,
            sender_gone: false,
            receiver_gone: false,
            receiving: false,
            checkpoint_taken: None,
            end_taken: false,
            flow: Flow::default(),
        }),
        bounds,
        room: Notify::new(),
        ready: Notify::new(),
        waiting_for_room: Waiting::default(),
        waiting_for_events: Waiting::default(),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// The writing end. Share it behind an `Arc` where several parties send in one order.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// Sends, waiting for room.
    pub async fn send(&self, event: Event) -> Result<(), Closed> {
        let mut event = event;
        loop {
            // Registered before the attempt, so that room made in between is not missed.
            let notified = self.shared.room.notified();
            match self.try_send(event)? {
                None => return Ok(()),
                Some(back) => event = back,
            }
            let _waiting = self.shared.waiting_for_room.begin();
            notified.await;
        }
    }

    /// Sends if there is room, else gives the event back. The end always has room.
    pub fn try_send(&self, event: Event) -> Result<Option<Event>, Closed> {
        let mut queue = self.shared.lock();
        if queue.refuses() {
            return Err(Closed);
        }
        if !queue.has_room_for(&self.shared.bounds, &event) {
            return Ok(Some(event));
        }
        if let Some(bytes) = event.footprint() {
            queue.bytes += bytes;
            queue.frames += 1;
        }
        match &event {
            Event::Frame(frame) => {
                queue.flow.records += frame.records();
                queue.flow.bytes += frame.len_bytes();
            }
            Event::DeadLetters(_) => {}
            Event::Checkpoint(_) => queue.checkpoints += 1,
            Event::End => queue.finished = true,
        }
        queue.events.push_back(event);
        drop(queue);
        self.shared.ready.notify_waiters();
        Ok(None)
    }

    /// Returns when a frame would be taken, or refused because nobody receives.
    pub async fn ready_to_send(&self) {
        loop {
            let notified = self.shared.room.notified();
            {
                let queue = self.shared.lock();
                if queue.refuses() || queue.has_room_for_frame(&self.shared.bounds) {
                    return;
                }
            }
            let _waiting = self.shared.waiting_for_room.begin();
            notified.await;
        }
    }

    /// Returns once the receiving side has asked for its first event: it has prepared what it needs.
    pub async fn receiver_ready(&self) -> Result<(), Closed> {
        loop {
            let notified = self.shared.room.notified();
            {
                let queue = self.shared.lock();
                if queue.receiving {
                    return Ok(());
                }
                if queue.receiver_gone {
                    return Err(Closed);
                }
            }
            notified.await;
        }
    }

    /// How far the receiving side has come.
    pub fn taken(&self) -> Taken {
        let queue = self.shared.lock();
        Taken { checkpoint: queue.checkpoint_taken, end: queue.end_taken }
    }

    /// A view on how far the receiving side has come, for whoever has neither end.
    pub fn gauge(&self) -> Gauge {
        Gauge { shared: self.shared.clone() }
    }

    /// Says that nothing follows.
    pub fn finish(&self) -> Result<(), Closed> {
        self.try_send(Event::End).map(|_| ())
    }
}

/// How far the receiving side of a channel has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// Id of the newest checkpoint it took.
    pub checkpoint: Option<u64>,
    /// It took the end.
    pub end: bool,
}

/// What was put into a channel so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    pub records: u64,
    pub bytes: u64,
}

/// See [`Sender::gauge`]. Holding one keeps neither side alive.
#[derive(Debug, Clone)]
pub struct Gauge {
    shared: Arc<Shared>,
}

impl Gauge {
    /// How far the receiving side has come.
    pub fn taken(&self) -> Taken {
        let queue = self.shared.lock();
        Taken { checkpoint: queue.checkpoint_taken, end: queue.end_taken }
    }
}

impl Gauge {
    /// What was sent so far.
    pub fn flow(&self) -> Flow {
        self.shared.lock().flow
    }

    /// How long the sender has waited for room.
    pub fn sender_waits(&self) -> Timeline {
        self.shared.waiting_for_room.timeline()
    }

    /// How long the receiver has waited for something to receive.
    pub fn receiver_waits(&self) -> Timeline {
        self.shared.waiting_for_events.timeline()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.lock().sender_gone = true;
        self.shared.ready.notify_waiters();
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
}

impl Receiver {
    /// Takes the next event, waiting for it. After [`Event::End`] it answers the end again.
    pub async fn recv(&mut self) -> Result<Event, Closed> {
        loop {
            if let Some(event) = self.try_recv()? {
                return Ok(event);
            }
            self.ready_to_recv().await;
        }
    }

    /// Takes the next event if there is one.
    pub fn try_recv(&mut self) -> Result<Option<Event>, Closed> {
        let mut queue = self.shared.lock();
        let first = !std::mem::replace(&mut queue.receiving, true);
        let next = queue.events.pop_front();
        if let Some(bytes) = next.as_ref().and_then(Event::footprint) {
            queue.bytes -= bytes;
            queue.frames -= 1;
        }
        let event = match next {
            Some(event @ (Event::Frame(_) | Event::DeadLetters(_))) => Ok(Some(event)),
            Some(Event::Checkpoint(checkpoint)) => {
                queue.checkpoints -= 1;
                queue.checkpoint_taken = Some(checkpoint.id);
                Ok(Some(Event::Checkpoint(checkpoint)))
            }
            Some(Event::End) => {
                queue.end_taken = true;
                Ok(Some(Event::End))
            }
            None if queue.finished => Ok(Some(Event::End)),
            None if queue.sender_gone => Err(Closed),
            None => Ok(None),
        };
        drop(queue);
        if first || matches!(event, Ok(Some(_))) {
            self.shared.room.notify_waiters();
        }
        event
    }

    /// Returns when `try_recv` would answer.
    pub async fn ready_to_recv(&self) {
        loop {
            let notified = self.shared.ready.notified();
            let first = {
                let mut queue = self.shared.lock();
                if !queue.events.is_empty() || queue.finished || queue.sender_gone {
                    return;
                }
                !std::mem::replace(&mut queue.receiving, true)
            };
            if first {
                self.shared.room.notify_waiters();
            }
            let _waiting = self.shared.waiting_for_events.begin();
            notified.await;
        }
    }

    /// A view on the channel, for whoever has neither end.
    pub fn gauge(&self) -> Gauge {
        Gauge { shared: self.shared.clone() }
    }

    /// Bytes of the frames waiting now.
    pub fn waiting_bytes(&self) -> u64 {
        self.shared.lock().bytes
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.receiver_gone = true;
        queue.events.clear();
        queue.bytes = 0;
        queue.frames = 0;
        queue.checkpoints = 0;
        drop(queue);
        self.shared.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Event {
        Event::Frame(Frame::from_checked(vec![0; len].into(), 1))
    }

    #[tokio::test]
    async fn bounds_bytes_but_passes_a_large_frame_alone() {
        let (sender, mut receiver) = channel(Bounds { bytes_max: 10, frames_max: 100 });
        assert!(sender.try_send(frame(50)).unwrap().is_none());
        assert!(sender.try_send(frame(1)).unwrap().is_some(), "full");
        assert!(matches!(receiver.recv().await, Ok(Event::Frame(f)) if f.len_bytes() == 50));
        assert!(sender.try_send(frame(6)).unwrap().is_none());
        assert!(sender.try_send(frame(6)).unwrap().is_none(), "below the bound one more fits");
        assert!(sender.try_send(frame(6)).unwrap().is_some());
        assert_eq!(receiver.waiting_bytes(), 12);
    }

    #[tokio::test]
    async fn a_sender_that_vanishes_is_not_an_end() {
        let (sender, mut receiver) = channel(Bounds { bytes_max: 10, frames_max: 2 });
        sender.send(frame(1)).await.unwrap();
        drop(sender);
        assert!(matches!(receiver.recv().await, Ok(Event::Frame(_))));
        assert_eq!(receiver.recv().await.unwrap_err(), Closed);

        let (sender, mut receiver) = channel(Bounds { bytes_max: 10, frames_max: 2 });
        sender.finish().unwrap();
        drop(sender);
        assert!(matches!(receiver.recv().await, Ok(Event::End)));
        assert!(matches!(receiver.recv().await, Ok(Event::End)));
    }

    #[tokio::test]
    async fn a_waiting_sender_learns_that_nobody_receives() {
        let (sender, receiver) = channel(Bounds { bytes_max: 1, frames_max: 1 });
        sender.send(frame(1)).await.unwrap();
        let sending = tokio::spawn(async move { sender.send(frame(1)).await });
        tokio::task::yield_now().await;
        drop(receiver);
        assert_eq!(sending.await.unwrap(), Err(Closed));
    }

    #[tokio::test]
    async fn wakes_across_tasks_in_order() {
        let (sender, mut receiver) = channel(Bounds { bytes_max: 8, frames_max: 2 });
        let sending = tokio::spawn(async move {
            for len in 1..=100 {
                sender.send(frame(len)).await.unwrap();
            }
            sender.finish().unwrap();
        });
        let mut seen = 0;
        while let Event::Frame(frame) = receiver.recv().await.unwrap() {
            seen += 1;
            assert_eq!(frame.len_bytes(), seen);
        }
        sending.await.unwrap();
        assert_eq!(seen, 100);
    }

    fn checkpoint(id: u64) -> Event {
        Event::Checkpoint(CheckpointEvent {
            kind: crate::contract::CheckpointKind::Source,
            stream: "s".into(),
            id,
            cursor: None,
            records: 0,
            bytes: 0,
            complete: false,
        })
    }

    #[tokio::test]
    async fn each_end_knows_what_flowed_and_whether_it_waited() {
        let (sender, mut receiver) = channel(Bounds { bytes_max: 1, frames_max: 1 });
        let gauge = receiver.gauge();
        sender.send(frame(3)).await.unwrap();
        receiver.recv().await.unwrap();
        assert!(gauge.sender_waits().total().is_zero() && gauge.receiver_waits().total().is_zero());

        let receiving = tokio::spawn(async move { (receiver.recv().await, receiver) });
        tokio::task::yield_now().await;
        sender.send(frame(4)).await.unwrap();
        let (_, mut receiver) = receiving.await.unwrap();
        assert!(!gauge.receiver_waits().total().is_zero() && gauge.sender_waits().total().is_zero());

        sender.send(frame(5)).await.unwrap();
        let sending = tokio::spawn(async move { sender.send(frame(6)).await });
        tokio::task::yield_now().await;
        receiver.recv().await.unwrap();
        sending.await.unwrap().unwrap();
        assert!(!gauge.sender_waits().total().is_zero());
        assert_eq!(gauge.flow(), Flow { records: 4, bytes: 18 });
    }

    #[tokio::test]
    async fn checkpoints_are_bounded_but_never_keep_the_end_back() {
        let (sender, mut receiver) = channel(Bounds { bytes_max: 1, frames_max: 1 });
        for id in 1..=CHANNEL_CHECKPOINTS_MAX as u64 {
            assert!(sender.try_send(checkpoint(id)).unwrap().is_none());
        }
        assert!(sender.try_send(checkpoint(0)).unwrap().is_some(), "full");
        sender.finish().unwrap();
        assert_eq!(sender.taken(), Taken::default());
        assert!(matches!(receiver.recv().await, Ok(Event::Checkpoint(c)) if c.id == 1));
        assert_eq!(sender.gauge().taken(), Taken { checkpoint: Some(1), end: false });
        while !matches!(receiver.recv().await, Ok(Event::End)) {}
        assert_eq!(sender.taken(), Taken { checkpoint: Some(CHANNEL_CHECKPOINTS_MAX as u64), end: true });
    }

    #[tokio::test]
    async fn the_first_question_of_the_receiver_says_it_is_ready() {
        let (sender, mut receiver) = channel(Bounds { bytes_max: 1, frames_max: 1 });
        let waiting = tokio::spawn(async move { (sender.receiver_ready().await, sender) });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert!(receiver.try_recv().unwrap().is_none());
        let (ready, sender) = waiting.await.unwrap();
        assert_eq!(ready, Ok(()));
        drop(receiver);
        assert_eq!(sender.receiver_ready().await, Ok(()), "it was ready before it went");

        let (sender, receiver) = channel(Bounds { bytes_max: 1, frames_max: 1 });
        drop(receiver);
        assert_eq!(sender.receiver_ready().await, Err(Closed));
    }
}
