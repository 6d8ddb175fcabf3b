//! The network itself: names are resolved, addresses checked, TCP connected, TLS ended here.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use rapidbyte_core::ConnectorError;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::tls::{self, TlsStream};
use super::transport::{Dial, Network, Transport, TransportError};
use super::{Resolver, TlsInfo, TlsOptions, bare, display, network_error, reachable};
use crate::limits::TLS_TIMEOUT_MS;

/// Connects by the operating system, through a resolver.
pub struct SystemNetwork {
    resolver: Arc<dyn Resolver>,
}

impl SystemNetwork {
    pub fn new(resolver: Arc<dyn Resolver>) -> Self {
        SystemNetwork { resolver }
    }
}

#[async_trait]
impl Network for SystemNetwork {
    /// Resolves, checks, and connects to the very address that was checked.
    async fn dial(&self, dial: Dial<'_>) -> Result<Box<dyn Transport>, ConnectorError> {
        let Dial { host, port, .. } = dial;
        let deadline = Instant::now() + dial.timeout;
        let late = || {
            network_error(
                "connect_timeout",
                format!("`{}` did not answer in {:?}", display(host, port), dial.timeout),
            )
        };

        let resolved = match bare(host).parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => timeout_at(deadline, self.resolver.resolve(host, port))
                .await
                .map_err(|_| late())?
                .map_err(|error| {
                    network_error("dns_failed", format!("the name `{host}` does not resolve: {error}"))
                })?,
        };
        let addresses = reachable(dial.grant, &resolved, port);
        if addresses.is_empty() {
            return Err(match resolved.first() {
                None => network_error("dns_failed", format!("the name `{host}` has no address")),
                Some(address) => ConnectorError::permission(
                    "address_not_granted",
                    format!(
                        "`{host}` leads to `{}`, which is not a public address and was not granted",
                        address.ip()
                    ),
                ),
            });
        }

        let mut last = None;
        for address in &addresses {
            match timeout_at(deadline, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // A failure only costs speed.
                    let _ = stream.set_nodelay(true);
                    return Ok(Box::new(Direct { stream: Stream::Plain(stream), peer: display(host, port) }));
                }
                Ok(Err(error)) => last = Some(error),
                Err(_) => return Err(late()),
            }
        }
        Err(last.map_or_else(late, |error| {
            let code = match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection_refused",
                io::ErrorKind::TimedOut => "connect_timeout",
                _ => "connect_failed",
            };
            network_error(code, format!("cannot connect to `{}`: {error}", display(host, port)))
        }))
    }
}

struct Direct {
    stream: Stream,
    /// `host:port` for messages.
    peer: String,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
    /// A handshake failed on it, or it was reset.
    Broken,
}

fn not_connected() -> TransportError {
    io::Error::from(io::ErrorKind::NotConnected).into()
}

#[async_trait]
impl Transport for Direct {
    fn try_read(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, TransportError> {
        match &mut self.stream {
            Stream::Plain(stream) => {
                let mut bytes = Vec::with_capacity(bytes_max);
                match stream.try_read_buf(&mut bytes) {
                    Ok(_) => Ok(Some(bytes)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
            Stream::Tls(stream) => Ok(stream.try_read(bytes_max)?),
            Stream::Broken => Err(not_connected()),
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        match &mut self.stream {
            Stream::Plain(stream) => match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                written => Ok(written?),
            },
            Stream::Tls(stream) => Ok(stream.try_write(bytes)?),
            Stream::Broken => Err(not_connected()),
        }
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.poll_read_ready(cx).map(drop),
            Stream::Tls(stream) => stream.poll_readable(cx),
            Stream::Broken => Poll::Ready(()),
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.poll_write_ready(cx).map(drop),
            Stream::Tls(stream) => stream.poll_writable(cx),
            Stream::Broken => Poll::Ready(()),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Stream::Tls(stream) => stream.poll_flush(cx),
            Stream::Plain(_) | Stream::Broken => Poll::Ready(()),
        }
    }

    fn has_unsent(&self) -> bool {
        matches!(&self.stream, Stream::Tls(stream) if stream.has_unsent())
    }

    async fn start_tls(&mut self, options: &TlsOptions) -> Result<TlsInfo, ConnectorError> {
        let config = tls::client_config(options).await?;
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Broken) else {
            return Err(network_error("connection_closed", format!("`{}` is not connected", self.peer)));
        };
        let handshake = TlsStream::connect(stream, config, options, &self.peer);
        let late =
            |_| network_error("tls_timeout", format!("`{}` did not finish the TLS handshake", self.peer));
        let stream = timeout(Duration::from_millis(TLS_TIMEOUT_MS), handshake).await.map_err(late)??;
        let info = stream.info();
        self.stream = Stream::Tls(Box::new(stream));
        Ok(info)
    }

    async fn close(self: Box<Self>) {
        match self.stream {
            Stream::Plain(mut stream) => {
                let _ = stream.shutdown().await;
            }
            Stream::Tls(mut stream) => stream.close().await,
            Stream::Broken => {}
        }
    }

    fn reset(&mut self) {
        // Closing with nothing to wait for sends a reset. Where that cannot be set, an ordinary end is sent.
        match std::mem::replace(&mut self.stream, Stream::Broken) {
            Stream::Plain(stream) => drop(stream.set_zero_linger()),
            Stream::Tls(stream) => stream.abort(),
            Stream::Broken => {}
        }
    }
}
