//! An opened connector in a test, driven as the real host drives it.

use serde_json::Value;

use crate::config;
use crate::context::Context;
use crate::error::ConnectorError;
use crate::events::RawEvent;
use crate::native::Host;
use crate::role::Role;
use crate::types::{Checkpoint, OpenInfo, RunPhase, RunRequest, RunSummary, ValidationReport};

/// A connector opened by a [`TestHost`](super::TestHost).
pub struct Session<R: Role> {
    host: Host,
    connector: R::Connector,
    config: String,
    info: OpenInfo,
}

impl<R: Role> Session<R> {
    pub(super) async fn open(host: Host, config: Value) -> Result<Self, ConnectorError> {
        let config = config.to_string();
        let (connector, info) = R::open(config::parse(&config)?).await?;
        Ok(Session { host, connector, config, info })
    }

    /// What `open` answered.
    pub fn info(&self) -> &OpenInfo {
        &self.info
    }

    /// The connector itself, to look inside.
    pub fn connector(&mut self) -> &mut R::Connector {
        &mut self.connector
    }

    pub async fn validate(&self) -> Result<ValidationReport, ConnectorError> {
        R::validate(&config::parse(&self.config)?).await
    }

    /// Runs one phase. In a pipe, what follows a finished or failed run travels on by itself.
    pub async fn run(&mut self, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let phase = request.phase;
        let stream = request.stream.as_ref().map(|stream| stream.name.clone()).unwrap_or_default();
        let ctx = Context::new(self.host.clone(), &request);
        let result = R::run(&mut self.connector, &ctx, request).await;
        match phase {
            RunPhase::Discover | RunPhase::Partition => {}
            RunPhase::Read => self.end_outlet(phase, stream, result.is_ok()),
            RunPhase::Transform => {
                self.end_outlet(phase, stream, result.is_ok());
                self.end_inlet(result.is_ok());
            }
            RunPhase::Write => self.end_inlet(result.is_ok()),
        }
        result
    }

    /// Whoever feeds a failed run learns that nobody listens any more.
    fn end_inlet(&self, succeeded: bool) {
        if !succeeded && let Some(inlet) = self.host.lock().inlet.take() {
            inlet.close();
        }
    }

    fn end_outlet(&self, phase: RunPhase, stream: String, succeeded: bool) {
        let mut recorded = self.host.lock();
        let Some(outlet) = recorded.outlet.take() else { return };
        if !succeeded {
            outlet.abort();
            return;
        }
        // A transform has forwarded the source's last marker; a source's own is the host's to add.
        if phase == RunPhase::Read && !recorded.cancelled {
            let cursor = recorded.last_cursor.clone();
            let mut last = Checkpoint { id: 0, stream, cursor, records: 0, bytes: 0, complete: true };
            recorded.stamp(&mut last);
            outlet.send(RawEvent::Checkpoint(last));
        }
        outlet.send(RawEvent::End);
    }

    pub async fn close(mut self) -> Result<(), ConnectorError> {
        R::close(&mut self.connector).await
    }
}
