//! A native TCP stream with the behaviour of the host's: a deadline on connecting, the same error codes, TLS by upgrade.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::tls;
use crate::error::ConnectorError;
use crate::net::{TlsInfo, TlsOptions};

pub(crate) enum TcpStream {
    Plain(tokio::net::TcpStream),
    Tls(Box<TlsStream<tokio::net::TcpStream>>),
    /// A handshake failed or was abandoned half-way.
    Broken,
}

impl TcpStream {
    pub(crate) async fn connect(host: &str, port: u16, timeout: Duration) -> Result<Self, ConnectorError> {
        let connecting = tokio::net::TcpStream::connect((host, port));
        let stream = match tokio::time::timeout(timeout, connecting).await {
            Ok(connected) => {
                connected.map_err(|error| ConnectorError::from(error).context(format!("`{host}:{port}`")))?
            }
            Err(_) => {
                return Err(ConnectorError::transient_network(
                    "connect_timeout",
                    format!("`{host}:{port}`: no connection within {timeout:?}"),
                ));
            }
        };
        stream.set_nodelay(true)?;
        Ok(TcpStream::Plain(stream))
    }

    pub(crate) async fn start_tls(&mut self, options: TlsOptions) -> Result<TlsInfo, ConnectorError> {
        match std::mem::replace(self, TcpStream::Broken) {
            TcpStream::Plain(stream) => {
                let (stream, info) = tls::connect(stream, &options).await?;
                *self = TcpStream::Tls(Box::new(stream));
                Ok(info)
            }
            already => {
                *self = already;
                Err(ConnectorError::internal("tls_twice", "the connection is TLS already, or broken"))
            }
        }
    }
}

macro_rules! poll_inner {
    ($self:ident, |$stream:ident| $poll:expr) => {
        match $self.get_mut() {
            TcpStream::Plain(stream) => {
                let $stream = Pin::new(stream);
                $poll
            }
            TcpStream::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $poll
            }
            TcpStream::Broken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        poll_inner!(self, |stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        poll_inner!(self, |stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_inner!(self, |stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_inner!(self, |stream| stream.poll_shutdown(cx))
    }
}
