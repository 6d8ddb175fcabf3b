//! Recording: another network with a tap on every connection. A connection is written when it ends, because only then is
//! it known whole, and a secret may be spread over several writes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rapidbyte_core::ConnectorError;
use rapidbyte_core::redact::Redactor;

use super::tape::{Header, Line, Payload, Tls};
use super::{CassetteError, INDEX_FILE, Index, Instances, VERSION, random_bytes};
use crate::limits::CASSETTE_BYTES_MAX;
use crate::network::socket::failure_code;
use crate::network::{Dial, Network, TlsInfo, TlsOptions, Transport, TransportError};

/// Records what goes through another network.
pub struct Recorder {
    inner: Arc<dyn Network>,
    folder: PathBuf,
    redactor: Redactor,
    seed: u64,
    instances: Instances,
    connections: AtomicU64,
}

impl Recorder {
    /// Records to a folder that is empty or not there yet. `seed` is what the guests' random numbers are made of; it must
    /// be another one for each recording.
    pub fn new(
        folder: &Path,
        inner: Arc<dyn Network>,
        redactor: Redactor,
        seed: u64,
    ) -> Result<Self, CassetteError> {
        let path = folder.display().to_string();
        let file = |source| CassetteError::File { path: path.clone(), source };
        std::fs::create_dir_all(folder).map_err(file)?;
        if std::fs::read_dir(folder).map_err(file)?.next().is_some() {
            return Err(CassetteError::NotEmpty { path });
        }
        let index = serde_json::json!(Index { version: VERSION, random_seed: seed });
        std::fs::write(folder.join(INDEX_FILE), format!("{index}\n")).map_err(file)?;
        Ok(Recorder {
            inner,
            folder: folder.to_owned(),
            redactor,
            seed,
            instances: Instances::default(),
            connections: AtomicU64::new(0),
        })
    }
}

#[async_trait]
impl Network for Recorder {
    async fn dial(&self, dial: Dial<'_>) -> Result<Box<dyn Transport>, ConnectorError> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let plain = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' })
                .collect()
        };
        let name = dial.connector.split('@').next().unwrap_or_default();
        let file = format!("{number:04}-{}-{}-{}.jsonl", plain(name), plain(dial.host), dial.port);
        let mut log = Log {
            path: self.folder.join(file),
            header: Header {
                connector: dial.connector.to_owned(),
                host: dial.host.to_owned(),
                port: dial.port,
            },
            redactor: self.redactor.clone(),
            events: Vec::new(),
            bytes: 0,
        };
        match self.inner.dial(dial).await {
            Ok(inner) => Ok(Box::new(Recording { inner: Some(inner), log })),
            Err(error) => {
                log.events.push(Event::Line(Line::Refused(error.clone())));
                Err(error)
            }
        }
    }

    fn random_bytes(&self, connector: &str) -> Option<Vec<u8>> {
        Some(random_bytes(self.seed, connector, self.instances.next(connector)))
    }
}

/// What happened on a connection so far; written when it goes.
struct Log {
    path: PathBuf,
    header: Header,
    redactor: Redactor,
    events: Vec<Event>,
    bytes: usize,
}

enum Event {
    Sent(Vec<u8>),
    Received(Vec<u8>),
    Line(Line),
}

impl Log {
    fn sent(&mut self, bytes: &[u8]) {
        if !self.has_room(bytes.len()) {
            return;
        }
        match self.events.last_mut() {
            Some(Event::Sent(before)) => before.extend_from_slice(bytes),
            _ => self.events.push(Event::Sent(bytes.to_vec())),
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        if self.has_room(bytes.len()) {
            self.events.push(Event::Received(bytes.to_vec()));
        }
    }

    fn happened(&mut self, line: Line) {
        if !matches!(self.events.last(), Some(Event::Line(last)) if *last == line || *last == Line::Cut) {
            self.events.push(Event::Line(line));
        }
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > CASSETTE_BYTES_MAX {
            self.happened(Line::Cut);
            return false;
        }
        true
    }

    fn failed(&mut self, error: &TransportError) {
        match error {
            TransportError::Io(error) => self.happened(Line::Failed(failure_code(error.kind()).to_owned())),
            TransportError::Refused(error) => self.happened(Line::Refused((**error).clone())),
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(&self.path)?);
        writeln!(file, "{}", serde_json::to_string(&self.header)?)?;
        // Each direction is masked whole: a secret does not end where a write does.
        for direction in [true, false] {
            let mut parts: Vec<&mut Vec<u8>> = Vec::new();
            for event in &mut self.events {
                match event {
                    Event::Sent(bytes) if direction => parts.push(bytes),
                    Event::Received(bytes) if !direction => parts.push(bytes),
                    _ => {}
                }
            }
            let mut whole: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.redactor.mask_bytes(&mut whole);
            let mut rest = whole.as_slice();
            for part in parts {
                let (own, behind) = rest.split_at(part.len());
                part.copy_from_slice(own);
                rest = behind;
            }
        }
        for event in &self.events {
            let line = match event {
                Event::Sent(bytes) => serde_json::to_string(&Line::Sent(Payload::of(bytes)))?,
                Event::Received(bytes) => serde_json::to_string(&Line::Received(Payload::of(bytes)))?,
                Event::Line(line) => self.redactor.redact(&serde_json::to_string(line)?).into_owned(),
            };
            writeln!(file, "{line}")?;
        }
        file.flush()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Err(error) = self.write() {
            tracing::error!("cannot write the recording `{}`: {error}", self.path.display());
        }
    }
}

struct Recording {
    /// None once it is closed.
    inner: Option<Box<dyn Transport>>,
    log: Log,
}

fn closed() -> TransportError {
    std::io::Error::from(std::io::ErrorKind::NotConnected).into()
}

#[async_trait]
impl Transport for Recording {
    fn try_read(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, TransportError> {
        let read = self.inner.as_mut().ok_or_else(closed)?.try_read(bytes_max);
        match &read {
            Ok(Some(bytes)) if bytes.is_empty() => self.log.happened(Line::End),
            Ok(Some(bytes)) => self.log.received(bytes),
            Ok(None) => {}
            Err(error) => self.log.failed(error),
        }
        read
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<usize, TransportError> {
        let written = self.inner.as_mut().ok_or_else(closed)?.try_write(bytes);
        match &written {
            Ok(0) => {}
            Ok(count) => self.log.sent(&bytes[..*count]),
            Err(error) => self.log.failed(error),
        }
        written
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.as_mut().map_or(Poll::Ready(()), |inner| inner.poll_readable(cx))
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.as_mut().map_or(Poll::Ready(()), |inner| inner.poll_writable(cx))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.as_mut().map_or(Poll::Ready(()), |inner| inner.poll_flush(cx))
    }

    fn has_unsent(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.has_unsent())
    }

    async fn start_tls(&mut self, options: &TlsOptions) -> Result<TlsInfo, ConnectorError> {
        let Some(inner) = self.inner.as_mut() else {
            return Err(ConnectorError::internal("connection_closed", "the connection is closed"));
        };
        let started = inner.start_tls(options).await;
        self.log.happened(match &started {
            Ok(info) => Line::Tls(Tls {
                alpn: info.alpn.clone(),
                channel_binding: info.channel_binding.as_ref().map(|bytes| STANDARD.encode(bytes)),
            }),
            Err(error) => Line::Refused(error.clone()),
        });
        started
    }

    async fn close(mut self: Box<Self>) {
        if let Some(inner) = self.inner.take() {
            inner.close().await;
        }
    }

    fn reset(&mut self) {
        if let Some(inner) = &mut self.inner {
            inner.reset();
        }
    }
}
