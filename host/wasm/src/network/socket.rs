//! One connection of a guest, over whatever transport: what may be sent in the clear, and how failures are worded. Every
//! call is non-blocking or async; nothing holds a thread.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rapidbyte_core::ConnectorError;
use rapidbyte_core::grants::TlsRequirement;
use rapidbyte_core::limits::SOCKET_CALL_BYTES_MAX;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::transport::{Transport, TransportError};
use super::{TlsInfo, TlsOptions, network_error};
use crate::limits::CLOSE_TIMEOUT_MS;

/// PostgreSQL's SSLRequest, the one preamble that may go out in the clear where TLS is required.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A connection of a guest.
pub struct Socket {
    transport: Box<dyn Transport>,
    security: Security,
    /// `host:port` for messages.
    endpoint: String,
    requirement: TlsRequirement,
    /// How much of a preamble went out, and whether its one-byte answer came, while TLS is required and not there yet.
    preamble_sent: usize,
    preamble_answered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Security {
    Plain,
    Tls,
    /// A handshake failed.
    Broken,
}

impl Socket {
    pub(super) fn new(transport: Box<dyn Transport>, endpoint: String, requirement: TlsRequirement) -> Self {
        Socket {
            transport,
            security: Security::Plain,
            endpoint,
            requirement,
            preamble_sent: 0,
            preamble_answered: false,
        }
    }

    /// Reads what is there: none when nothing is, empty at the end.
    pub fn try_read(&mut self, bytes_max: u32) -> Result<Option<Vec<u8>>, ConnectorError> {
        let bytes_max = self.readable_bytes_max(bytes_max)?;
        if bytes_max == 0 {
            return Ok(Some(Vec::new()));
        }
        let read = self.transport.try_read(bytes_max);
        let read = read.map_err(|error| self.failed("read from", error))?;
        if self.is_bare() && read.as_ref().is_some_and(|bytes| !bytes.is_empty()) {
            self.preamble_answered = true;
        }
        Ok(read)
    }

    /// Reads, waiting for at least one byte or the end.
    pub async fn read(&mut self, bytes_max: u32) -> Result<Vec<u8>, ConnectorError> {
        loop {
            if let Some(bytes) = self.try_read(bytes_max)? {
                return Ok(bytes);
            }
            poll_fn(|cx| self.poll_readable(cx)).await;
        }
    }

    /// Writes what fits; answers how much that was.
    pub fn try_write(&mut self, bytes: &[u8]) -> Result<u32, ConnectorError> {
        let bytes = &bytes[..bytes.len().min(SOCKET_CALL_BYTES_MAX as usize)];
        self.admit_write(bytes)?;
        let written = self.transport.try_write(bytes);
        let written = written.map_err(|error| self.failed("write to", error))?;
        if self.is_bare() {
            self.preamble_sent += written;
        }
        // At most `SOCKET_CALL_BYTES_MAX`.
        Ok(written as u32)
    }

    /// Writes all, waiting as needed.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), ConnectorError> {
        while !bytes.is_empty() {
            match self.try_write(bytes)? {
                0 => poll_fn(|cx| self.poll_writable(cx)).await,
                written => bytes = &bytes[written as usize..],
            }
        }
        poll_fn(|cx| self.poll_flush(cx)).await;
        Ok(())
    }

    /// Ready when `try_read` would answer. Also sends what waits to be sent: a guest that now only reads has written.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.poll_readable(cx)
    }

    /// Ready when `try_write` would take something or fail.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.poll_writable(cx)
    }

    /// Ready when nothing waits to be sent, or never will be.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.poll_flush(cx)
    }

    /// Whether bytes that were taken are still to be sent.
    pub fn has_unsent(&self) -> bool {
        self.transport.has_unsent()
    }

    /// Turns the connection into TLS.
    pub async fn start_tls(&mut self, options: TlsOptions) -> Result<TlsInfo, ConnectorError> {
        if self.requirement == TlsRequirement::None {
            return Err(ConnectorError::permission("tls_not_granted", "the manifest says `tls: none`"));
        }
        match self.security {
            Security::Plain => {}
            Security::Tls => {
                return Err(ConnectorError::internal("tls_started", "TLS was started already"));
            }
            Security::Broken => return Err(self.gone()),
        }
        // Until the handshake is through, and for ever if it is not.
        self.security = Security::Broken;
        let info = self.transport.start_tls(&options).await?;
        self.security = Security::Tls;
        Ok(info)
    }

    /// Breaks the connection.
    pub fn reset(&mut self) {
        self.transport.reset();
    }

    /// Sends what is left, says goodbye and closes. A peer that is gone already is no error.
    pub async fn close(self) -> Result<(), ConnectorError> {
        // Whoever does not take our goodbye in time does without it.
        let _ = timeout(Duration::from_millis(CLOSE_TIMEOUT_MS), self.transport.close()).await;
        Ok(())
    }

    /// Whether the connection is in the clear although TLS is required.
    fn is_bare(&self) -> bool {
        self.requirement == TlsRequirement::Required && self.security == Security::Plain
    }

    fn readable_bytes_max(&self, bytes_max: u32) -> Result<usize, ConnectorError> {
        let bytes_max = u64::from(bytes_max).min(SOCKET_CALL_BYTES_MAX) as usize;
        if !self.is_bare() {
            return Ok(bytes_max);
        }
        if self.preamble_sent < SSL_REQUEST.len() || self.preamble_answered {
            return Err(self.tls_required());
        }
        Ok(bytes_max.min(1))
    }

    fn admit_write(&self, bytes: &[u8]) -> Result<(), ConnectorError> {
        let is_preamble = SSL_REQUEST.get(self.preamble_sent..).is_some_and(|rest| rest.starts_with(bytes));
        if self.is_bare() && !is_preamble { Err(self.tls_required()) } else { Ok(()) }
    }

    fn tls_required(&self) -> ConnectorError {
        ConnectorError::permission(
            "tls_required",
            format!("the manifest requires TLS to `{}` before anything is sent or received", self.endpoint),
        )
    }

    fn gone(&self) -> ConnectorError {
        self.failed("use", io::Error::from(io::ErrorKind::NotConnected).into())
    }

    fn failed(&self, doing: &str, error: TransportError) -> ConnectorError {
        let error = match error {
            TransportError::Io(error) => error,
            TransportError::Refused(error) => return *error,
        };
        let code = failure_code(error.kind());
        network_error(code, format!("cannot {doing} `{}`: {error}", self.endpoint))
    }
}

/// The codes of what can happen to a connection.
const FAILURES: &[(io::ErrorKind, &str)] = &[
    (io::ErrorKind::ConnectionReset, "connection_reset"),
    (io::ErrorKind::ConnectionAborted, "connection_reset"),
    (io::ErrorKind::NotConnected, "connection_closed"),
    (io::ErrorKind::BrokenPipe, "connection_closed"),
    (io::ErrorKind::UnexpectedEof, "connection_cut_off"),
    (io::ErrorKind::TimedOut, "connection_timed_out"),
    (io::ErrorKind::InvalidData, "tls_failed"),
];

pub(super) fn failure_code(kind: io::ErrorKind) -> &'static str {
    FAILURES.iter().find(|(known, _)| *known == kind).map_or("connection_failed", |(_, code)| code)
}

pub(super) fn failure_kind(code: &str) -> io::ErrorKind {
    FAILURES.iter().find(|(_, known)| *known == code).map_or(io::ErrorKind::Other, |(kind, _)| *kind)
}

/// Polls a socket's readiness in the way [`Socket`] needs it, for `tls`.
pub(super) fn poll_ready(stream: &TcpStream, cx: &mut Context<'_>, write: bool) -> Poll<io::Result<()>> {
    let readiness = if write { stream.poll_write_ready(cx) } else { stream.poll_read_ready(cx) };
    Poll::Ready(ready!(readiness))
}
