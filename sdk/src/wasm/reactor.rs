//! Who waits for what: sockets with their buffers, the batch channel, cancellation. The reactor turns waiting tasks into the
//! interests of one host `wait`, and its answer into wake-ups. It knows nothing of tokio.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, Waker};

use super::bindings::rapidbyte::connector::host_io::{self, Interest, Socket};
use super::convert::error_from_wit;
use super::executor;
use crate::error::ConnectorError;
use crate::limits;

/// One connection: what was read ahead, what is not yet sent, who waits.
struct Slot {
    /// None once closed.
    socket: Option<Socket>,
    read: Vec<u8>,
    read_pos: usize,
    write: Vec<u8>,
    write_pos: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// An error of a write that nobody was asking for, kept for the next who asks.
    write_error: Option<ConnectorError>,
}

/// What is waited for besides sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    BatchNext,
    BatchEmit,
    Cancelled,
}

#[derive(Default)]
struct Reactor {
    sockets: Vec<Option<Slot>>,
    /// Sockets with unsent bytes.
    dirty: Vec<usize>,
    next: Vec<Waker>,
    emit: Vec<Waker>,
    cancelled: Vec<Waker>,
}

thread_local! {
    static REACTOR: RefCell<Reactor> = RefCell::default();
}

fn with<T>(body: impl FnOnce(&mut Reactor) -> T) -> T {
    REACTOR.with(|reactor| body(&mut reactor.borrow_mut()))
}

/// Who an index of the host's answer belongs to.
#[derive(Clone, Copy)]
enum Waiting {
    Reader(usize),
    Writer(usize),
    Signal(Signal),
}

/// Waits until something that a task waits for is ready, or the time is over; answers whom to wake.
pub(super) fn wait(timeout_ns: Option<u64>) -> Vec<Waker> {
    with(|reactor| {
        let ready = {
            let (interests, waiting) = reactor.interests();
            let ready = host_io::wait(&interests, timeout_ns);
            ready.iter().filter_map(|index| waiting.get(*index as usize).copied()).collect::<Vec<_>>()
        };
        reactor.take_ready(&ready)
    })
}

/// Whether any task waits for the host.
pub(super) fn has_interests() -> bool {
    with(|reactor| {
        !(reactor.next.is_empty() && reactor.emit.is_empty() && reactor.cancelled.is_empty())
            || !reactor.dirty.is_empty()
            || reactor.sockets.iter().flatten().any(|slot| slot.reader.is_some() || slot.writer.is_some())
    })
}

/// Sends what sockets have gathered; called before every park, so that nothing unsent sleeps.
pub(super) fn send_gathered() {
    let wakers = with(|reactor| {
        let (mut wakers, mut still_dirty) = (Vec::new(), Vec::new());
        for id in std::mem::take(&mut reactor.dirty) {
            if let Some(slot) = reactor.sockets.get_mut(id).and_then(Option::as_mut) {
                slot.send_in_background(&mut wakers);
                if slot.has_unsent() {
                    still_dirty.push(id);
                }
            }
        }
        reactor.dirty = still_dirty;
        wakers
    });
    wakers.into_iter().for_each(Waker::wake);
}

/// Remembers that a task waits for a signal.
pub(super) fn register(signal: Signal, cx: &Context<'_>) {
    with(|reactor| {
        let wakers = reactor.wakers(signal);
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
    });
    executor::watch();
}

impl Reactor {
    fn wakers(&mut self, signal: Signal) -> &mut Vec<Waker> {
        match signal {
            Signal::BatchNext => &mut self.next,
            Signal::BatchEmit => &mut self.emit,
            Signal::Cancelled => &mut self.cancelled,
        }
    }

    fn interests(&self) -> (Vec<Interest<'_>>, Vec<Waiting>) {
        let (mut interests, mut waiting) = (Vec::new(), Vec::new());
        let signals = [
            (&self.next, Interest::BatchNext, Signal::BatchNext),
            (&self.emit, Interest::BatchEmit, Signal::BatchEmit),
            (&self.cancelled, Interest::Cancelled, Signal::Cancelled),
        ];
        for (wakers, interest, signal) in signals {
            if !wakers.is_empty() {
                interests.push(interest);
                waiting.push(Waiting::Signal(signal));
            }
        }
        for (id, slot) in self.sockets.iter().enumerate() {
            let Some(slot) = slot else { continue };
            let Some(socket) = &slot.socket else { continue };
            if interests.len() + 2 > limits::INTERESTS_MAX {
                break;
            }
            if slot.reader.is_some() {
                interests.push(Interest::Readable(socket));
                waiting.push(Waiting::Reader(id));
            }
            if slot.writer.is_some() || slot.has_unsent() {
                interests.push(Interest::Writable(socket));
                waiting.push(Waiting::Writer(id));
            }
        }
        (interests, waiting)
    }

    fn take_ready(&mut self, ready: &[Waiting]) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for who in ready {
            match *who {
                Waiting::Signal(signal) => wakers.append(self.wakers(signal)),
                Waiting::Reader(id) => {
                    if let Some(slot) = self.slot(id) {
                        wakers.extend(slot.reader.take());
                    }
                }
                Waiting::Writer(id) => {
                    if let Some(slot) = self.slot(id) {
                        slot.send_in_background(&mut wakers);
                        wakers.extend(slot.writer.take());
                    }
                }
            }
        }
        self.dirty.retain(|id| self.sockets.get(*id).and_then(Option::as_ref).is_some_and(Slot::has_unsent));
        wakers
    }

    fn slot(&mut self, id: usize) -> Option<&mut Slot> {
        self.sockets.get_mut(id).and_then(Option::as_mut)
    }
}

// ---- Sockets --------------------------------------------------------------------------------------

/// Takes over a connected socket.
pub(super) fn add(socket: Socket) -> usize {
    let slot = Slot {
        socket: Some(socket),
        read: Vec::new(),
        read_pos: 0,
        write: Vec::new(),
        write_pos: 0,
        reader: None,
        writer: None,
        write_error: None,
    };
    with(|reactor| match reactor.sockets.iter().position(Option::is_none) {
        Some(id) => {
            reactor.sockets[id] = Some(slot);
            id
        }
        None => {
            reactor.sockets.push(Some(slot));
            reactor.sockets.len() - 1
        }
    })
}

/// Drops a socket. What is gathered is sent if it can be at once, as when an ordinary socket is dropped.
pub(super) fn remove(id: usize) {
    let slot = with(|reactor| {
        reactor.dirty.retain(|dirty| *dirty != id);
        let mut slot = reactor.sockets.get_mut(id).and_then(Option::take)?;
        let _unsent = slot.push();
        Some(slot)
    });
    drop(slot);
}

/// Reads into `out`, from the host in large pieces. Ready with 0 at the end.
pub(super) fn poll_read(
    id: usize,
    out: &mut tokio::io::ReadBuf<'_>,
    cx: &Context<'_>,
) -> Poll<io::Result<()>> {
    let polled = with(|reactor| {
        let slot = reactor.slot(id).ok_or_else(closed)?;
        if slot.read_pos == slot.read.len() {
            let Some(socket) = &slot.socket else { return Ok(Poll::Ready(())) };
            match host_io::tcp_try_read(socket, limits::SOCKET_READ_BYTES as u32) {
                Ok(Some(bytes)) => {
                    slot.read = bytes;
                    slot.read_pos = 0;
                }
                Ok(None) => {
                    // The answer to what was never sent would be waited for in vain.
                    if let Some(error) = slot.write_error.take() {
                        return Err(error.into());
                    }
                    slot.reader = Some(cx.waker().clone());
                    return Ok(Poll::Pending);
                }
                Err(error) => return Err(io::Error::from(error_from_wit(error))),
            }
        }
        let ahead = &slot.read[slot.read_pos..];
        let count = ahead.len().min(out.remaining());
        out.put_slice(&ahead[..count]);
        slot.read_pos += count;
        if slot.read_pos == slot.read.len() {
            slot.read = Vec::new();
            slot.read_pos = 0;
        }
        Ok(Poll::Ready(()))
    });
    finish(polled)
}

/// Takes bytes to send: large pieces go to the host at once, small ones are gathered.
pub(super) fn poll_write(id: usize, bytes: &[u8], cx: &Context<'_>) -> Poll<io::Result<usize>> {
    let polled = with(|reactor| {
        let slot = reactor.slot(id).ok_or_else(closed)?;
        slot.check()?;
        if slot.has_unsent() && slot.unsent() + bytes.len() > limits::SOCKET_WRITE_BUFFER_BYTES {
            slot.push().map_err(io::Error::from)?;
        }
        if !slot.has_unsent() && bytes.len() >= limits::SOCKET_WRITE_DIRECT_BYTES {
            let count = slot.send(&bytes[..bytes.len().min(limits::SOCKET_WRITE_BYTES_MAX)])?;
            if count > 0 {
                return Ok(Poll::Ready(count));
            }
            slot.writer = Some(cx.waker().clone());
            return Ok(Poll::Pending);
        }
        let room = limits::SOCKET_WRITE_BUFFER_BYTES.saturating_sub(slot.unsent());
        if room == 0 {
            slot.writer = Some(cx.waker().clone());
            return Ok(Poll::Pending);
        }
        let count = bytes.len().min(room);
        slot.write.drain(..std::mem::take(&mut slot.write_pos));
        slot.write.extend_from_slice(&bytes[..count]);
        if slot.has_unsent() && !reactor.dirty.contains(&id) {
            reactor.dirty.push(id);
        }
        Ok(Poll::Ready(count))
    });
    finish(polled)
}

/// Gives everything gathered to the host.
pub(super) fn poll_flush(id: usize, cx: &Context<'_>) -> Poll<io::Result<()>> {
    let polled = with(|reactor| {
        let slot = reactor.slot(id).ok_or_else(closed)?;
        slot.check()?;
        slot.push().map_err(io::Error::from)?;
        if slot.has_unsent() {
            slot.writer = Some(cx.waker().clone());
            return Ok(Poll::Pending);
        }
        Ok(Poll::Ready(()))
    });
    finish(polled)
}

/// Flushes, says goodbye and closes. What was read ahead can still be read.
pub(super) fn poll_shutdown(id: usize, cx: &Context<'_>) -> Poll<io::Result<()>> {
    if with(|reactor| reactor.slot(id).is_none_or(|slot| slot.socket.is_none())) {
        return Poll::Ready(Ok(()));
    }
    std::task::ready!(poll_flush(id, cx))?;
    let (socket, reader) = with(|reactor| {
        let slot = reactor.slot(id);
        slot.map_or((None, None), |slot| (slot.socket.take(), slot.reader.take()))
    });
    // A task that still reads learns of the end.
    if let Some(reader) = reader {
        reader.wake();
    }
    match socket.map(host_io::tcp_close) {
        Some(Err(error)) => Poll::Ready(Err(error_from_wit(error).into())),
        _ => Poll::Ready(Ok(())),
    }
}

/// Runs a host call on the socket while nothing is gathered or read ahead.
pub(super) fn with_quiet_socket<T>(
    id: usize,
    call: impl FnOnce(&Socket) -> Result<T, ConnectorError>,
) -> Result<T, ConnectorError> {
    with(|reactor| {
        let slot = reactor.slot(id).ok_or_else(closed)?;
        if slot.read_pos < slot.read.len() {
            return Err(ConnectorError::transient_network(
                "tls_injection",
                "the server sent bytes in the clear where TLS was to start",
            )
            .not_retryable());
        }
        let socket = slot.socket.as_ref().ok_or_else(closed)?;
        call(socket)
    })
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection is closed")
}

fn finish<T>(polled: io::Result<Poll<T>>) -> Poll<io::Result<T>> {
    match polled {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => {
            executor::watch();
            Poll::Pending
        }
        Err(error) => Poll::Ready(Err(error)),
    }
}

impl Slot {
    fn unsent(&self) -> usize {
        self.write.len() - self.write_pos
    }

    fn has_unsent(&self) -> bool {
        self.unsent() > 0
    }

    /// An earlier error, given once; or that the connection is closed.
    fn check(&mut self) -> io::Result<()> {
        match self.write_error.take() {
            Some(error) => Err(error.into()),
            None if self.socket.is_none() => Err(closed()),
            None => Ok(()),
        }
    }

    /// One call into the host; how many bytes it took.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let socket = self.socket.as_ref().ok_or_else(closed)?;
        let count =
            host_io::tcp_try_write(socket, bytes).map_err(|error| io::Error::from(error_from_wit(error)))?;
        Ok((count as usize).min(bytes.len()))
    }

    /// Sends what is gathered as far as the host takes it.
    fn push(&mut self) -> Result<(), ConnectorError> {
        while self.has_unsent() {
            let socket = self.socket.as_ref().ok_or_else(closed)?;
            let end = self.write.len().min(self.write_pos + limits::SOCKET_WRITE_BYTES_MAX);
            match host_io::tcp_try_write(socket, &self.write[self.write_pos..end]) {
                Ok(0) => return Ok(()),
                Ok(count) => self.write_pos = end.min(self.write_pos + count as usize),
                Err(error) => {
                    self.write.clear();
                    self.write_pos = 0;
                    return Err(error_from_wit(error));
                }
            }
        }
        self.write.clear();
        self.write_pos = 0;
        Ok(())
    }

    /// Like [`Slot::push`] with nobody to tell: an error is kept, and whoever waits is woken to find it.
    fn send_in_background(&mut self, wakers: &mut Vec<Waker>) {
        if let Err(error) = self.push() {
            self.write_error = Some(error);
            wakers.extend(self.reader.take());
            wakers.extend(self.writer.take());
        } else if !self.has_unsent() {
            wakers.extend(self.writer.take());
        }
    }
}
