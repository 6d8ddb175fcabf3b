//! The socket between tokio-postgres and the host. Follows the protocol's framing just far enough to keep `CopyData`
//! messages to itself, so that rows are decoded straight from the read buffer: no channel, no reference count and no
//! copy per row, and a row above the limit is walked over instead of buffered. Everything else goes to tokio-postgres
//! untouched. Knows nothing of types.

mod rows;

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use rapidbyte_sdk::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use crate::limits::READ_BUFFER_BYTES;

pub(crate) use self::rows::{Envelope, Walker};

/// Tag and length of every message behind the start of the conversation.
const MESSAGE_HEADER_BYTES: usize = 5;
const COPY_DATA_TAG: u8 = b'd';
/// Least room worth a read; below it the buffer is compacted first.
const READ_ROOM_BYTES_MIN: usize = 64 * 1024;

/// The stream that tokio-postgres gets. Clones share the connection.
#[derive(Clone)]
pub struct Wire {
    shared: Arc<Mutex<Shared>>,
    channel_binding: Option<Vec<u8>>,
}

struct Shared {
    /// None only while it is being turned into TLS.
    socket: Option<HostTcpStream>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes at `start` and behind that are tokio-postgres' to read.
    pass_bytes: usize,
    /// Bytes of a `CopyData` message that are still to be passed over.
    skip_bytes: usize,
    /// Somebody takes the rows. Without a reader they are dropped.
    has_reader: bool,
    ended: bool,
    failure: Option<io::Error>,
    connection: Option<Waker>,
    copy: Option<Waker>,
}

/// What stands at the front of the buffer.
enum Front {
    /// Too little to tell.
    Unknown,
    /// Something for tokio-postgres.
    Pass,
    /// A `CopyData` message of this many bytes, header included; maybe not all of it yet.
    CopyData(usize),
}

impl Wire {
    /// `negotiates`: the first byte to come is the answer to an SSLRequest, which has no framing.
    #[must_use]
    pub fn new(socket: HostTcpStream, negotiates: bool) -> Self {
        let shared = Shared {
            socket: Some(socket),
            buffer: vec![0; READ_BUFFER_BYTES],
            start: 0,
            end: 0,
            pass_bytes: usize::from(negotiates),
            skip_bytes: 0,
            has_reader: false,
            ended: false,
            failure: None,
            connection: None,
            copy: None,
        };
        Self { shared: Arc::new(Mutex::new(shared)), channel_binding: None }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `CopyData` and gives each complete message's payload to `take` until it has enough or
    /// the buffer is used up. [`CopyRows::Other`]: what comes next is for tokio-postgres, which has been woken.
    pub(crate) fn poll_copy_data(
        &self,
        context: &mut Context<'_>,
        walker: &mut Walker,
        take: &mut dyn FnMut(&[u8]) -> Take,
    ) -> Poll<CopyRows> {
        let mut guard = self.lock();
        let shared = &mut *guard;
        loop {
            if shared.skip_bytes > 0 {
                let skipped = shared.skip();
                walker.walk(&shared.buffer[skipped]);
                if shared.skip_bytes == 0 {
                    return Poll::Ready(CopyRows::Oversized);
                }
            } else {
                match shared.front() {
                    Front::Pass => {
                        shared.copy = Some(context.waker().clone());
                        wake(&mut shared.connection);
                        return Poll::Ready(CopyRows::Other);
                    }
                    Front::CopyData(message_bytes) if message_bytes > walker.message_bytes_max => {
                        walker.start(message_bytes - MESSAGE_HEADER_BYTES);
                        shared.start += MESSAGE_HEADER_BYTES;
                        shared.skip_bytes = message_bytes - MESSAGE_HEADER_BYTES;
                        continue;
                    }
                    Front::CopyData(message_bytes) if shared.end - shared.start >= message_bytes => {
                        walker.opened = true;
                        shared.take_copy_data(walker.message_bytes_max, take);
                        return Poll::Ready(CopyRows::Taken);
                    }
                    Front::CopyData(message_bytes) => shared.make_room(message_bytes),
                    Front::Unknown => {}
                }
            }
            match shared.poll_fill(context) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => {
                    shared.copy = Some(context.waker().clone());
                    wake(&mut shared.connection);
                    return Poll::Ready(CopyRows::Other);
                }
                Poll::Pending => {
                    shared.copy = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }

    /// From now on rows are for [`Wire::poll_copy_data`].
    pub(crate) fn begin_copy(&self) {
        self.lock().has_reader = true;
    }

    /// The reader of rows goes away: what is still to come is dropped, and the connection listens to the socket again.
    pub(crate) fn end_copy(&self) {
        let mut shared = self.lock();
        shared.has_reader = false;
        shared.copy = None;
        wake(&mut shared.connection);
    }
}

/// What became of a row that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Taken; the next one, please.
    More,
    /// Taken, but no more now.
    Enough,
    /// Not taken: offer it again.
    Refused,
}

/// What [`Wire::poll_copy_data`] found.
pub(crate) enum CopyRows {
    /// At least one message was taken.
    Taken,
    /// A message above the limit was walked over.
    Oversized,
    /// The next message is not `CopyData`, or the connection is over.
    Other,
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Shared {
    fn front(&mut self) -> Front {
        if self.pass_bytes > 0 {
            return Front::Pass;
        }
        let Some(header) = self.buffer[self.start..self.end].first_chunk::<MESSAGE_HEADER_BYTES>() else {
            return Front::Unknown;
        };
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        let message_bytes = length.saturating_add(1);
        if header[0] == COPY_DATA_TAG && length >= 4 {
            Front::CopyData(message_bytes)
        } else {
            self.pass_bytes = message_bytes;
            Front::Pass
        }
    }

    /// Passes over what is there of a message, and answers where it stood.
    fn skip(&mut self) -> Range<usize> {
        let skipped = self.start..self.start + (self.end - self.start).min(self.skip_bytes);
        self.start = skipped.end;
        self.skip_bytes -= skipped.len();
        skipped
    }

    /// Takes every complete `CopyData` message at the front.
    fn take_copy_data(&mut self, message_bytes_max: usize, take: &mut dyn FnMut(&[u8]) -> Take) {
        let filled = &self.buffer[..self.end];
        while let Some(header) = filled[self.start..].first_chunk::<MESSAGE_HEADER_BYTES>() {
            let message_bytes = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize + 1;
            if header[0] != COPY_DATA_TAG
                || message_bytes < MESSAGE_HEADER_BYTES
                || message_bytes > message_bytes_max
                || filled.len() - self.start < message_bytes
            {
                return;
            }
            let payload = &filled[self.start + MESSAGE_HEADER_BYTES..self.start + message_bytes];
            match take(payload) {
                Take::More => self.start += message_bytes,
                Take::Enough => {
                    self.start += message_bytes;
                    return;
                }
                Take::Refused => return,
            }
        }
    }

    /// Makes sure a message of this size fits.
    fn make_room(&mut self, message_bytes: usize) {
        if message_bytes > self.buffer.len() - self.start {
            self.compact();
        }
        if message_bytes > self.buffer.len() {
            self.buffer.resize(message_bytes, 0);
        }
    }

    fn compact(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() > READ_BUFFER_BYTES && self.end < READ_BUFFER_BYTES / 2 {
            self.buffer.truncate(READ_BUFFER_BYTES);
            self.buffer.shrink_to_fit();
        }
    }

    /// Reads what the socket has. False: nothing will come any more; a failure waits in `failure`.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.ended {
            return Poll::Ready(false);
        }
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.buffer.len() - self.end < READ_ROOM_BYTES_MIN && self.start > 0 {
            self.compact();
        }
        if self.end == self.buffer.len() {
            let length = self.buffer.len() + READ_BUFFER_BYTES;
            self.buffer.resize(length, 0);
        }
        let Some(socket) = self.socket.as_mut() else {
            self.failure = Some(io::ErrorKind::NotConnected.into());
            self.ended = true;
            return Poll::Ready(false);
        };
        let mut room = ReadBuf::new(&mut self.buffer[self.end..]);
        match ready!(Pin::new(socket).poll_read(context, &mut room)) {
            Ok(()) if room.filled().is_empty() => {
                self.ended = true;
                Poll::Ready(false)
            }
            Ok(()) => {
                self.end += room.filled().len();
                Poll::Ready(true)
            }
            Err(error) => {
                self.failure = Some(error);
                self.ended = true;
                Poll::Ready(false)
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = target.filled().len();
        loop {
            let bytes = (self.end - self.start).min(self.pass_bytes).min(target.remaining());
            if bytes > 0 {
                target.put_slice(&self.buffer[self.start..self.start + bytes]);
                self.start += bytes;
                self.pass_bytes -= bytes;
                continue;
            }
            let read_any = target.filled().len() > before;
            if target.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let rows_bytes = match self.skip_bytes {
                0 => match self.front() {
                    Front::CopyData(message_bytes) => message_bytes,
                    Front::Pass | Front::Unknown => 0,
                },
                rest => rest,
            };
            if rows_bytes > 0 && !self.has_reader {
                self.skip_bytes = rows_bytes;
                self.skip();
                if self.end > self.start {
                    continue;
                }
            } else if rows_bytes > 0 && !(self.ended && self.end - self.start < rows_bytes) {
                if read_any {
                    return Poll::Ready(Ok(()));
                }
                self.connection = Some(context.waker().clone());
                wake(&mut self.copy);
                return Poll::Pending;
            }
            if self.pass_bytes > 0 && self.end > self.start {
                continue;
            }
            if read_any {
                return Poll::Ready(Ok(()));
            }
            match self.poll_fill(context) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => {
                    wake(&mut self.copy);
                    return Poll::Ready(self.failure.take().map_or(Ok(()), Err));
                }
                Poll::Pending => {
                    self.connection = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }

    fn socket(&mut self) -> io::Result<Pin<&mut HostTcpStream>> {
        self.socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.lock().poll_read(context, target)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().socket()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().socket()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().socket()?.poll_shutdown(context)
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        self.channel_binding.clone().map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// Turns a [`Wire`] into TLS, in the host.
pub(crate) struct Upgrade {
    pub(crate) options: TlsOptions,
}

/// The boxed future of a handshake.
type Handshake = Pin<Box<dyn Future<Output = Result<Wire, ConnectorError>>>>;

impl TlsConnect<Wire> for Upgrade {
    type Stream = Wire;
    type Error = ConnectorError;
    type Future = Handshake;

    fn connect(self, mut wire: Wire) -> Handshake {
        Box::pin(async move {
            let socket = {
                let mut shared = wire.lock();
                // Bytes that came in plain text before the handshake could be somebody else's.
                if shared.start != shared.end {
                    return Err(ConnectorError::auth(
                        "tls_injected_data",
                        "somebody sent data between the server's answer to the TLS request and the handshake",
                    ));
                }
                shared.socket.take()
            };
            let Some(mut socket) = socket else {
                return Err(ConnectorError::internal(
                    "socket_missing",
                    "the socket is being upgraded already",
                ));
            };
            let info = socket.start_tls(self.options).await?;
            wire.lock().socket = Some(socket);
            wire.channel_binding = info.channel_binding;
            Ok(wire)
        })
    }
}
