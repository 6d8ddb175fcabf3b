//! A running `COPY … FROM STDIN (FORMAT binary)`: message buffers that go round, header, trailer. Knows no values.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Buf;
use futures_util::SinkExt as _;
use rapidbyte_postgres::Session;
use rapidbyte_postgres::encode::{COPY_HEADER, COPY_TRAILER};
use rapidbyte_sdk::prelude::*;
use tokio_postgres::CopyInSink;

use crate::limits::{MESSAGE_BUFFER_KEPT_BYTES_MAX, MESSAGE_BUFFERS_MAX};

/// Message buffers for reuse. They keep their length, so that nothing is cleared twice.
#[derive(Clone, Default)]
pub struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    pub fn take(&self) -> Vec<u8> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < MESSAGE_BUFFERS_MAX && buffer.len() <= MESSAGE_BUFFER_KEPT_BYTES_MAX {
            free.push(buffer);
        }
    }
}

/// The first `end` bytes of a buffer on their way to the server. The buffer comes back when they are written.
struct Message {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    home: Buffers,
}

impl Buf for Message {
    fn remaining(&self) -> usize {
        self.end - self.start
    }

    fn chunk(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn advance(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.buffer));
    }
}

/// Dropping it without [`CopyIn::finish`] makes the server forget every row.
pub struct CopyIn {
    sink: Pin<Box<CopyInSink<Message>>>,
    buffers: Buffers,
}

impl CopyIn {
    pub async fn start(session: &Session, sql: &str, buffers: &Buffers) -> Result<Self, ConnectorError> {
        let sink =
            session.client().copy_in(sql).await.map_err(|error| session.error("starting to copy", &error))?;
        let mut copy = CopyIn { sink: Box::pin(sink), buffers: buffers.clone() };
        copy.send(session, COPY_HEADER.to_vec(), COPY_HEADER.len()).await?;
        Ok(copy)
    }

    /// Hands the first `bytes` of a buffer to the connection, waiting while two others are on their way.
    pub async fn send(
        &mut self,
        session: &Session,
        buffer: Vec<u8>,
        bytes: usize,
    ) -> Result<(), ConnectorError> {
        let message = Message { buffer, start: 0, end: bytes, home: self.buffers.clone() };
        self.sink.feed(message).await.map_err(|error| session.error("copying rows", &error))
    }

    /// Ends the copy and waits for the server's word on it.
    pub async fn finish(mut self, session: &Session) -> Result<u64, ConnectorError> {
        self.send(session, COPY_TRAILER.to_vec(), COPY_TRAILER.len()).await?;
        self.sink.as_mut().finish().await.map_err(|error| session.error("copying rows", &error))
    }
}
