//! Passing: rows that the suite makes up, through a transform.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use rapidbyte_host::core::channel::channel;
use rapidbyte_host::core::frame::{decode_schema, encode_schema};
use rapidbyte_host::core::*;
use rapidbyte_host::wasm::faults::FaultPlan;

use super::read::ReadRun;
use super::write::{Feed, fill};
use super::{WIDE, ended_in_words, run_and_take};
use crate::clause::{Finding, broken};
use crate::limits::LIMITS;
use crate::subject::{Bent, Subject};

/// For messages.
const DOING: &str = "passing the suite's rows";

impl Subject<'_> {
    /// What a transform says would flow out.
    pub async fn transform_schema(&self, schema: &SchemaRef) -> Result<Schema, Finding> {
        let mut running = self.start_idle().await?;
        let (session, _) = running.instance.open_session(&self.config()).await?;
        let request = transform_request(schema, RunPhase::Discover)?;
        let summary = running.instance.run_session(session, request).await;
        self.hear(&summary);
        let streams = summary?.catalog.unwrap_or_default().streams;
        let [stream] = streams.as_slice() else {
            return broken(format!(
                "discovery answers {} streams, a transform has one way out",
                streams.len()
            ));
        };
        Ok(decode_schema(&stream.schema)?)
    }

    /// Passes rows through a fresh instance of a transform. Answers the ids of the checkpoints that went in, too.
    pub async fn transform(&self, schema: &SchemaRef, feed: &[Feed]) -> Result<(ReadRun, Vec<u64>), Finding> {
        self.transform_with(schema, feed, None).await
    }

    /// The same with faults: what it says then is the run's result, wherever it was said.
    pub async fn transform_with(
        &self,
        schema: &SchemaRef,
        feed: &[Feed],
        faults: Option<Arc<FaultPlan>>,
    ) -> Result<(ReadRun, Vec<u64>), Finding> {
        let (receiver, handed) = fill(self, feed, "rows")?;
        let (sender, outlet) = channel(WIDE);
        let sender = Arc::new(sender);
        let mut running = self
            .start_with(
                LIMITS,
                Some(receiver),
                Some(sender.clone()),
                Bent { faults: faults.clone(), network: None },
            )
            .await?;
        let opened = running.instance.open_session(&self.config()).await;
        self.hear(&opened);
        let session = match opened {
            Ok((session, _)) => session,
            Err(error) if faults.is_none() => return Err(error.into()),
            Err(error) => {
                return Ok((
                    ReadRun { doing: DOING.to_owned(), events: Vec::new(), result: Err(error) },
                    handed,
                ));
            }
        };
        let request = transform_request(schema, RunPhase::Transform)?;
        let (result, events) = run_and_take(&mut running, session, request, outlet, sender).await;
        self.hear(&result);
        Ok((ReadRun { doing: DOING.to_owned(), events, result }, handed))
    }

    /// Passes rows of which the end is asked for before they come.
    pub async fn transform_cancelled(&self, schema: &SchemaRef, feed: &[Feed]) -> Result<(), Finding> {
        let (receiver, _) = fill(self, feed, "rows")?;
        let (sender, outlet) = channel(WIDE);
        let sender = Arc::new(sender);
        let mut running = self.start(LIMITS, Some(receiver), Some(sender.clone())).await?;
        let (session, _) = running.instance.open_session(&self.config()).await?;
        running.recorder.cancel();
        let request = transform_request(schema, RunPhase::Transform)?;
        let (result, _) = run_and_take(&mut running, session, request, outlet, sender).await;
        ended_in_words(result)
    }
}

pub(super) fn transform_request(schema: &SchemaRef, phase: RunPhase) -> Result<RunRequest, ConnectorError> {
    let stream = StreamContext {
        pipeline: "conformance".to_owned(),
        name: "rows".to_owned(),
        schema: encode_schema(schema)?,
        sync_mode: SyncMode::FullRefresh,
        cursor: None,
        position: None,
        columns: Vec::new(),
        filter: None,
        write: None,
        partition: Partition::WHOLE,
        snapshot: None,
        partition_key: None,
        limits: LIMITS,
        policies: Policies::default(),
    };
    Ok(RunRequest { stream: Some(stream), phase, dry_run: false, max_records: None })
}
