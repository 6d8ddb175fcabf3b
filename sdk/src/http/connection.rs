//! One connection to a server, kept between requests. It drives hyper on a task of its own and knows no statuses.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::Options;
use crate::error::{ConnectorError, ErrorCategory};
use crate::net::{HostTcpStream, TlsOptions};

/// A connection that can take a request. Dropping it closes the connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    pub(super) async fn open(options: &Options) -> Result<Self, ConnectorError> {
        let base = &options.base;
        let mut stream = HostTcpStream::connect(&base.host, base.port, options.idle_timeout).await?;
        if base.tls {
            let tls = TlsOptions {
                roots_pem: options.roots_pem.clone(),
                alpn: vec!["http/1.1".to_owned()],
                ..TlsOptions::new(base.host.clone())
            };
            stream.start_tls(tls).await?;
        }
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // Whoever waits for the answer learns of a failure; here it only means the end.
        let driver = tokio::spawn(async { drop(connection.await) });
        Ok(Connection { sender, driver })
    }

    /// Whether it can still be used, as far as one can see from here.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Waits until it can take a request; answers whether it ever can.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    pub(super) async fn send(
        &mut self,
        request: hyper::Request<Full<Bytes>>,
    ) -> Result<hyper::Response<Incoming>, hyper::Error> {
        self.sender.send_request(request).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Whether the server is gone, as one that closes a kept connection is. What the host refuses, it refuses again.
pub(super) fn lost(error: &hyper::Error) -> bool {
    !error.is_parse() && failed(error).category == ErrorCategory::TransientNetwork
}

/// What went wrong below HTTP; an error of the host is handed on as it is.
pub(super) fn failed(error: &hyper::Error) -> ConnectorError {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            let inner = io.get_ref().and_then(|inner| inner.downcast_ref::<ConnectorError>());
            return inner.cloned().unwrap_or_else(|| std::io::Error::from(io.kind()).into());
        }
        source = cause.source();
    }
    if error.is_parse() {
        return ConnectorError::transient_network(
            "http_bad_answer",
            format!("the answer is no HTTP: {error}"),
        )
        .not_retryable();
    }
    ConnectorError::transient_network("http_connection_lost", error.to_string())
}
