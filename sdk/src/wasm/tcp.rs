//! A socket of the host as an async stream; its state lives in the reactor.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::bindings::rapidbyte::connector::host_io;
use super::convert::{error_from_wit, tls_info_from_wit, tls_options_to_wit};
use super::reactor;
use crate::error::ConnectorError;
use crate::net::{TlsInfo, TlsOptions};

/// An entry of the reactor.
pub(crate) struct TcpStream {
    id: usize,
}

impl TcpStream {
    pub(crate) async fn connect(host: &str, port: u16, timeout: Duration) -> Result<Self, ConnectorError> {
        reactor::send_gathered();
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1);
        let socket = host_io::tcp_connect(host, port, timeout_ms).map_err(error_from_wit)?;
        Ok(TcpStream { id: reactor::add(socket) })
    }

    pub(crate) async fn start_tls(&mut self, options: TlsOptions) -> Result<TlsInfo, ConnectorError> {
        std::future::poll_fn(|cx| reactor::poll_flush(self.id, cx)).await?;
        let options = tls_options_to_wit(options);
        reactor::with_quiet_socket(self.id, |socket| {
            host_io::tcp_start_tls(socket, &options).map(tls_info_from_wit).map_err(error_from_wit)
        })
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        reactor::poll_read(self.id, buf, cx)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        reactor::poll_write(self.id, buf, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        reactor::poll_flush(self.id, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        reactor::poll_shutdown(self.id, cx)
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        reactor::remove(self.id);
    }
}
