//! One connected TCP stream, plain or with TLS ended here. Every call is non-blocking or async; nothing holds a thread.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rapidbyte_core::ConnectorError;
use rapidbyte_core::grants::TlsRequirement;
use rapidbyte_core::limits::SOCKET_CALL_BYTES_MAX;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tls::{self, TlsStream};
use super::{TlsOptions, network_error};
use crate::limits::{CLOSE_TIMEOUT_MS, TLS_TIMEOUT_MS};

/// PostgreSQL's SSLRequest, the one preamble that may go out in the clear where TLS is required.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A connection of a guest.
pub struct Socket {
    transport: Transport,
    /// `host:port` for messages.
    endpoint: String,
    requirement: TlsRequirement,
    /// How much of a preamble went out, and whether its one-byte answer came, while TLS is required and not there yet.
    preamble_sent: usize,
    preamble_answered: bool,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
    /// A handshake failed on it.
    Broken,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, endpoint: String, requirement: TlsRequirement) -> Self {
        Socket {
            transport: Transport::Plain(stream),
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
        let read = match &mut self.transport {
            Transport::Plain(stream) => {
                let mut bytes = Vec::with_capacity(bytes_max);
                match stream.try_read_buf(&mut bytes) {
                    Ok(_) => Ok(Some(bytes)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Transport::Tls(stream) => stream.try_read(bytes_max),
            Transport::Broken => Err(io::ErrorKind::NotConnected.into()),
        };
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
        let written = match &mut self.transport {
            Transport::Plain(stream) => match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                written => written,
            },
            Transport::Tls(stream) => stream.try_write(bytes),
            Transport::Broken => Err(io::ErrorKind::NotConnected.into()),
        };
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
        match &mut self.transport {
            Transport::Plain(stream) => stream.poll_read_ready(cx).map(drop),
            Transport::Tls(stream) => stream.poll_readable(cx),
            Transport::Broken => Poll::Ready(()),
        }
    }

    /// Ready when `try_write` would take something or fail.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.transport {
            Transport::Plain(stream) => stream.poll_write_ready(cx).map(drop),
            Transport::Tls(stream) => stream.poll_writable(cx),
            Transport::Broken => Poll::Ready(()),
        }
    }

    /// Ready when nothing waits to be sent, or never will be.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.transport {
            Transport::Tls(stream) => stream.poll_flush(cx),
            Transport::Plain(_) | Transport::Broken => Poll::Ready(()),
        }
    }

    /// Whether bytes that were taken are still to be sent.
    pub fn has_unsent(&self) -> bool {
        matches!(&self.transport, Transport::Tls(stream) if stream.has_unsent())
    }

    /// Turns the connection into TLS.
    pub async fn start_tls(&mut self, options: TlsOptions) -> Result<tls::Info, ConnectorError> {
        if self.requirement == TlsRequirement::None {
            return Err(ConnectorError::permission("tls_not_granted", "the manifest says `tls: none`"));
        }
        match &self.transport {
            Transport::Plain(_) => {}
            Transport::Tls(_) => {
                return Err(ConnectorError::internal("tls_started", "TLS was started already"));
            }
            Transport::Broken => return Err(self.failed("use", io::ErrorKind::NotConnected.into())),
        }
        let config = tls::client_config(&options).await?;
        let Transport::Plain(stream) = std::mem::replace(&mut self.transport, Transport::Broken) else {
            return Err(self.failed("use", io::ErrorKind::NotConnected.into()));
        };
        let handshake = TlsStream::connect(stream, config, &options, &self.endpoint);
        let late =
            |_| network_error("tls_timeout", format!("`{}` did not finish the TLS handshake", self.endpoint));
        let stream = timeout(Duration::from_millis(TLS_TIMEOUT_MS), handshake).await.map_err(late)??;
        let info = stream.info();
        self.transport = Transport::Tls(Box::new(stream));
        Ok(info)
    }

    /// Sends what is left, says goodbye and closes. A peer that is gone already is no error.
    pub async fn close(self) -> Result<(), ConnectorError> {
        let goodbye = async {
            match self.transport {
                Transport::Plain(mut stream) => {
                    let _ = stream.shutdown().await;
                }
                Transport::Tls(mut stream) => stream.close().await,
                Transport::Broken => {}
            }
        };
        // Whoever does not take our goodbye in time does without it.
        let _ = timeout(Duration::from_millis(CLOSE_TIMEOUT_MS), goodbye).await;
        Ok(())
    }

    /// Whether the connection is in the clear although TLS is required.
    fn is_bare(&self) -> bool {
        self.requirement == TlsRequirement::Required && matches!(self.transport, Transport::Plain(_))
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

    fn failed(&self, doing: &str, error: io::Error) -> ConnectorError {
        let code = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => "connection_reset",
            io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => "connection_closed",
            io::ErrorKind::UnexpectedEof => "connection_cut_off",
            io::ErrorKind::TimedOut => "connection_timed_out",
            io::ErrorKind::InvalidData => "tls_failed",
            _ => "connection_failed",
        };
        network_error(code, format!("cannot {doing} `{}`: {error}", self.endpoint))
    }
}

/// Polls a socket's readiness in the way [`Socket`] needs it, for `tls`.
pub(super) fn poll_ready(stream: &TcpStream, cx: &mut Context<'_>, write: bool) -> Poll<io::Result<()>> {
    let readiness = if write { stream.poll_write_ready(cx) } else { stream.poll_read_ready(cx) };
    Poll::Ready(ready!(readiness))
}
