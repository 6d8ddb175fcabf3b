//! TCP through the host: [`HostTcpStream`] implements tokio's async read and write, so protocol libraries work over it
//! unchanged. In a component the host resolves names, checks grants and ends TLS; natively it is an ordinary socket.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::backend;
use crate::error::ConnectorError;

/// How a server's certificate is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVerification {
    /// Chain and name.
    #[default]
    Full,
    /// Chain only.
    Chain,
    /// Neither: protects against listeners, not against impostors.
    None,
}

/// What [`HostTcpStream::start_tls`] needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// The name to verify and to send as SNI.
    pub server_name: String,
    pub verification: TlsVerification,
    /// PEM certificates to trust instead of the system's.
    pub roots_pem: Option<String>,
    /// Protocols to offer by ALPN, best first.
    pub alpn: Vec<String>,
}

impl TlsOptions {
    /// Full verification against the system's roots.
    pub fn new(server_name: impl Into<String>) -> Self {
        TlsOptions { server_name: server_name.into(), ..TlsOptions::default() }
    }
}

/// What a TLS handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsInfo {
    /// The protocol chosen by ALPN.
    pub alpn: Option<String>,
    /// `tls-server-end-point` channel binding, for SCRAM-PLUS.
    pub channel_binding: Option<Vec<u8>>,
}

/// A TCP connection through the host.
///
/// Small writes are gathered and sent on `flush`, when enough has come together, and at the latest when the connector
/// waits for anything; so neither forgetting to flush nor flushing too often hurts. Dropping it closes the connection;
/// `shutdown` says goodbye first.
///
/// ```
/// use rapidbyte_sdk::prelude::*;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # use std::time::Duration;
/// # rapidbyte_sdk::testing::block_on(async {
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
/// # let port = listener.local_addr().unwrap().port();
/// # tokio::spawn(async move {
/// #     let (mut peer, _) = listener.accept().await.unwrap();
/// #     let mut buffer = [0; 4];
/// #     peer.read_exact(&mut buffer).await.unwrap();
/// #     peer.write_all(&buffer).await.unwrap();
/// # });
/// let mut stream = HostTcpStream::connect("127.0.0.1", port, Duration::from_secs(5)).await?;
/// stream.write_all(b"ping").await?;
/// let mut answer = [0; 4];
/// stream.read_exact(&mut answer).await?;
/// assert_eq!(&answer, b"ping");
/// # Ok::<(), ConnectorError>(())
/// # }).unwrap();
/// ```
pub struct HostTcpStream {
    stream: backend::TcpStream,
}

impl HostTcpStream {
    /// Resolves and connects, in the host, to an endpoint that was granted by this very host and port.
    ///
    /// # Errors
    /// `permission` if the endpoint is not granted, `transient-network` if it cannot be reached in time.
    pub async fn connect(host: &str, port: u16, timeout: Duration) -> Result<Self, ConnectorError> {
        Ok(HostTcpStream { stream: backend::TcpStream::connect(host, port, timeout).await? })
    }

    /// Turns the connection into TLS, ended in the host. Everything written before must have been answered or flushed, and
    /// nothing may be left unread: bytes read ahead in the clear are refused, because they could be an attacker's.
    pub async fn start_tls(&mut self, options: TlsOptions) -> Result<TlsInfo, ConnectorError> {
        self.stream.start_tls(options).await
    }
}

impl AsyncRead for HostTcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for HostTcpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for HostTcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostTcpStream")
    }
}
