//! The port behind every connection of a guest: [`Network`] makes connections to endpoints that were granted, [`Transport`]
//! is one of them. The host's own is [`super::SystemNetwork`]; cassettes are two more.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use rapidbyte_core::ConnectorError;
use rapidbyte_core::grants::Endpoint;

use super::{TlsInfo, TlsOptions};

/// A connection that a guest asks for. The endpoint was granted; which addresses it may lead to is for whoever resolves it.
#[derive(Debug, Clone, Copy)]
pub struct Dial<'a> {
    /// The connector's name and version.
    pub connector: &'a str,
    pub grant: &'a Endpoint,
    pub host: &'a str,
    pub port: u16,
    pub timeout: Duration,
}

/// Makes connections.
#[async_trait]
pub trait Network: Send + Sync {
    async fn dial(&self, dial: Dial<'_>) -> Result<Box<dyn Transport>, ConnectorError>;

    /// Bytes to answer an instance's requests for random numbers with, over and over. None: real ones. Called once for
    /// each instance that starts.
    fn random_bytes(&self, connector: &str) -> Option<Vec<u8>> {
        let _ = connector;
        None
    }
}

/// Why a transport does not do what it is asked to.
#[derive(Debug)]
pub enum TransportError {
    Io(io::Error),
    /// An error that is worded already.
    Refused(Box<ConnectorError>),
}

impl From<io::Error> for TransportError {
    fn from(error: io::Error) -> Self {
        TransportError::Io(error)
    }
}

impl From<ConnectorError> for TransportError {
    fn from(error: ConnectorError) -> Self {
        TransportError::Refused(Box::new(error))
    }
}

/// One connection: bytes in order both ways. Nothing here waits but `start_tls` and `close`.
#[async_trait]
pub trait Transport: Send {
    /// What is there, at most so many bytes, which are not 0; none when nothing is, empty at the end.
    fn try_read(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, TransportError>;
    /// Takes what fits; answers how much that was.
    fn try_write(&mut self, bytes: &[u8]) -> Result<usize, TransportError>;
    /// Ready when `try_read` would answer. Also sends what waits to be sent.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Ready when `try_write` would take something or fail.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Ready when nothing waits to be sent, or never will be.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Whether bytes that were taken are still to be sent.
    fn has_unsent(&self) -> bool;
    /// Turns the connection into TLS. After an error it is of no more use.
    async fn start_tls(&mut self, options: &TlsOptions) -> Result<TlsInfo, ConnectorError>;
    /// Sends what is left, says goodbye and closes.
    async fn close(self: Box<Self>);
    /// Breaks the connection: what comes after fails, and the peer sees a reset.
    fn reset(&mut self);
}
