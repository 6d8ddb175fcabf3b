//! Writing: a stream that the suite makes up, into a destination, and what can be seen of it afterwards.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use rapidbyte_host::core::channel::{Event, Receiver, channel};
use rapidbyte_host::core::frame::encode_schema;
use rapidbyte_host::core::*;
use rapidbyte_host::wasm::faults::FaultPlan;

use super::{WIDE, ended_in_words};
use crate::clause::{Breach, Finding, mismatch, not_applicable, said};
use crate::limits::LIMITS;
use crate::recorder::{Answer, lock};
use crate::rows::{Row, difference};
use crate::subject::{Bent, Running, Subject};

/// What goes into a connector.
#[derive(Debug, Clone)]
pub enum Feed {
    Batch(RecordBatch),
    /// A checkpoint behind what came before.
    Checkpoint,
    /// The checkpoint behind the last frame of a stream that was read to its end.
    Complete,
    /// The stream is broken off here instead of ended: as if its source had died.
    Broken,
}

/// How a stream is written.
#[derive(Debug, Clone)]
pub struct WritePlan {
    pub pipeline: String,
    pub stream: String,
    pub schema: SchemaRef,
    pub mode: WriteMode,
    pub primary_key: Vec<String>,
    pub update_columns: Vec<String>,
    pub dry_run: bool,
    pub policies: Policies,
    pub limits: Limits,
    pub faults: Option<Arc<FaultPlan>>,
}

impl WritePlan {
    pub fn new(subject: &Subject<'_>, what: &str, schema: SchemaRef, mode: WriteMode) -> Self {
        let keyed = matches!(mode, WriteMode::Upsert | WriteMode::Merge);
        WritePlan {
            pipeline: subject.fresh_name("pipeline"),
            stream: subject.fresh_name(what),
            schema,
            mode,
            primary_key: if keyed { vec!["id".to_owned()] } else { Vec::new() },
            update_columns: Vec::new(),
            dry_run: false,
            policies: Policies::default(),
            limits: LIMITS,
            faults: None,
        }
    }
}

/// How a write ended.
pub struct WriteRun {
    pub result: Result<RunSummary, ConnectorError>,
    /// Ids of the checkpoints that were handed over, in order.
    pub handed: Vec<u64>,
    pub confirmed: Vec<u64>,
    /// The receipt it found at the start.
    pub receipts: Vec<CheckpointEvent>,
    /// The records that it refused, with its reasons.
    pub letters: Vec<(Frame, Vec<RecordError>)>,
}

pub(super) fn fill(
    subject: &Subject<'_>,
    feed: &[Feed],
    stream: &str,
) -> Result<(Receiver, Vec<u64>), ConnectorError> {
    let (sender, receiver) = channel(WIDE);
    let mut handed = Vec::new();
    let mut broken_off = false;
    let mut records = 0;
    let closed = |_| ConnectorError::internal("suite", "the suite's own channel is closed");
    for item in feed {
        let event = match item {
            Feed::Batch(batch) => {
                records += batch.num_rows() as u64;
                Event::Frame(Frame::encode(batch)?)
            }
            Feed::Broken => {
                broken_off = true;
                break;
            }
            Feed::Checkpoint | Feed::Complete => {
                let id = subject.checkpoint_id();
                handed.push(id);
                Event::Checkpoint(CheckpointEvent {
                    kind: CheckpointKind::Source,
                    stream: stream.to_owned(),
                    id,
                    cursor: Some(Cursor { field: "id".to_owned(), value: CursorValue::Int64(id as i64) }),
                    records: std::mem::take(&mut records),
                    bytes: 0,
                    complete: matches!(item, Feed::Complete),
                })
            }
        };
        sender.try_send(event).map_err(closed)?;
    }
    // A sender that goes without having finished is a source that died.
    if !broken_off {
        sender.finish().map_err(closed)?;
    }
    Ok((receiver, handed))
}

impl Subject<'_> {
    /// Writes one stream with a fresh instance. An error here means that it could not even be opened.
    pub async fn write(&self, plan: &WritePlan, feed: &[Feed]) -> Result<WriteRun, Finding> {
        self.write_answering(plan, feed, Answer::AsEngine).await
    }

    /// The same, where what a receipt says is answered so.
    pub async fn write_answering(
        &self,
        plan: &WritePlan,
        feed: &[Feed],
        answer: Answer,
    ) -> Result<WriteRun, Finding> {
        let (receiver, handed) = fill(self, feed, &plan.stream)?;
        let request = write_request(plan)?;
        let Running { mut instance, recorder } = self
            .start_with(
                plan.limits,
                Some(receiver),
                None,
                Bent { faults: plan.faults.clone(), network: None },
            )
            .await?;
        recorder.answer(answer);
        let opened = instance.open_session(&self.config()).await;
        self.hear(&opened);
        let result = match opened {
            Ok((session, _)) => {
                let result = instance.run_session(session, request).await;
                let closed = if result.is_ok() { instance.close_session(session).await } else { Ok(()) };
                match closed {
                    // What was written is not spoilt by a session that a fault keeps from closing.
                    Err(error) if plan.faults.is_none() => return Err(error.into()),
                    _ => result,
                }
            }
            Err(error) if plan.faults.is_none() => return Err(error.into()),
            Err(error) => Err(error),
        };
        self.hear(&result);
        let receipts = lock(&recorder.receipts).clone();
        let letters = std::mem::take(&mut *lock(&recorder.letters));
        Ok(WriteRun { result, handed, confirmed: recorder.confirmed_ids(), receipts, letters })
    }

    /// Writes one stream that must succeed.
    pub async fn write_all(&self, plan: &WritePlan, feed: &[Feed]) -> Result<WriteRun, Finding> {
        let run = self.write(plan, feed).await?;
        match &run.result {
            Ok(_) => Ok(run),
            Err(error) => {
                let columns: Vec<&String> = plan.schema.fields().iter().map(|field| field.name()).collect();
                mismatch(format!("writing {columns:?} by `{}`", plan.mode), "success", said(error))
            }
        }
    }

    /// These rows and no others are visible. `when` says at which point of the clause.
    pub async fn must_show(&self, plan: &WritePlan, expected: &[Row], when: &str) -> Result<(), Finding> {
        let found = self.visible(plan).await?.unwrap_or_default();
        match difference(expected, &found) {
            None => Ok(()),
            Some(difference) => Err(Finding::Broken(Breach {
                message: format!("what is read back is not what was written, {when} of `{}`", plan.mode),
                expected: Some(format!("the {} rows that were written, by content", expected.len())),
                found: Some(difference),
            })),
        }
    }

    /// Writes one stream of which the end is asked for before it begins.
    pub async fn write_cancelled(&self, plan: &WritePlan, feed: &[Feed]) -> Result<(), Finding> {
        let (receiver, _) = fill(self, feed, &plan.stream)?;
        let Running { mut instance, recorder } = self.start(LIMITS, Some(receiver), None).await?;
        let (session, _) = instance.open_session(&self.config()).await?;
        recorder.cancel();
        ended_in_words(instance.run_session(session, write_request(plan)?).await)
    }

    /// The rows that a destination has made visible, as the types that were written; none if there is no such stream.
    pub async fn visible(&self, plan: &WritePlan) -> Result<Option<Vec<Row>>, Finding> {
        match &self.reader {
            Some(reader) => reader.rows(&plan.stream, &plan.schema).await,
            None => not_applicable("nothing reads back what was written: `conformance.yaml` has no `reader`"),
        }
    }

    /// Skips a clause about a mode that the connector does not have.
    pub fn require_mode(&self, mode: WriteMode) -> Result<(), Finding> {
        match self.manifest.write_modes.contains(&mode) {
            true => Ok(()),
            false => not_applicable(format!("the manifest does not declare `{mode}`")),
        }
    }

    /// A write mode that the connector has, the plainest first.
    pub fn any_mode(&self) -> WriteMode {
        self.manifest.write_modes.iter().copied().min().unwrap_or(WriteMode::Append)
    }
}

pub(super) fn write_request(plan: &WritePlan) -> Result<RunRequest, ConnectorError> {
    let replace = plan.mode == WriteMode::Replace;
    let cursor = CursorSpec { field: "id".to_owned(), tie_breaker: Vec::new() };
    let stream = StreamContext {
        pipeline: plan.pipeline.clone(),
        name: plan.stream.clone(),
        schema: encode_schema(&plan.schema)?,
        sync_mode: if replace { SyncMode::FullRefresh } else { SyncMode::Incremental },
        cursor: (!replace).then_some(cursor),
        position: None,
        columns: Vec::new(),
        filter: None,
        write: Some(rapidbyte_host::core::WritePlan {
            mode: plan.mode,
            primary_key: plan.primary_key.clone(),
            update_columns: plan.update_columns.clone(),
        }),
        partition: Partition::WHOLE,
        snapshot: None,
        partition_key: None,
        limits: plan.limits,
        policies: plan.policies,
    };
    Ok(RunRequest { stream: Some(stream), phase: RunPhase::Write, dry_run: plan.dry_run, max_records: None })
}
