//! Connectors that implement the ports natively: a source with an order or without, a transform, a destination with
//! transactions or without. Each behaves by the contract, except where a test tells it not to.

use std::sync::Arc;

use async_trait::async_trait;
use rapidbyte_core::channel::{Closed, Event};
use rapidbyte_core::limits::STATE_VALUE_BYTES_MAX;
use rapidbyte_core::ports::{Connector, Instance, InstanceIo};
use rapidbyte_core::*;

use super::strike::Striker;
use super::world::{Receipt, Row, World, from_frame, schema_ipc, to_frame};

/// How the connectors behave.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// The source can order its rows, so it makes checkpoints.
    pub ordered: bool,
    pub batch_rows: usize,
    /// Batches between two checkpoints.
    pub checkpoint_batches: usize,
    /// The source notices that it is asked to end.
    pub listens: bool,
    /// The transform leaves out rows with an odd id.
    pub drops_odd: bool,
    /// The destination commits only every so many checkpoints.
    pub commit_every: u64,
    pub transactional: bool,
    /// Into how many partitions the source divides a stream at most; 0: it cannot.
    pub partitions: u32,
    pub mischief: Mischief,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            ordered: true,
            batch_rows: 3,
            checkpoint_batches: 2,
            listens: true,
            drops_odd: false,
            commit_every: 1,
            transactional: true,
            partitions: 0,
            mischief: Mischief::None,
        }
    }
}

/// Where a connector breaks the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    None,
    SourcePanics,
    SourceFailsBehindFirstBatch,
    SourceEndsWithoutLastCheckpoint,
    SourceCursorIsNotJson,
    SourceMakesOtherColumns,
    SourceStuck,
    /// The moment that its first session holds open is gone as soon as somebody reads at it.
    SourceLosesMoment,
    /// It fails behind a batch, so often in all.
    SourceFails(u64),
    /// It refuses records with an odd id.
    SourceRefusesRecords,
    TransformEndsEarly,
    TransformKeepsCheckpoints,
    TransformForwardsUnknown,
    DestinationEndsEarly,
    DestinationFailsAtOnce,
    DestinationFailsAtSecondCheckpoint,
    DestinationNeverConfirms,
    DestinationConfirmsUnknown,
    DestinationConfirmsTwice,
    DestinationConfirmsAhead,
    DestinationReportsTwoReceipts,
    DestinationReportsLate,
    DestinationReportsImpossible,
    DestinationFillsState,
    DestinationRefusesRecords,
    DestinationIsASource,
    DestinationSpeaksVersion3,
    DestinationRefusesConfig,
    DestinationCannotReplace,
    CloseFails,
}

pub struct FakeConnector {
    role: ConnectorRole,
    id: String,
    world: Arc<World>,
    striker: Arc<Striker>,
    behaviour: Behaviour,
}

impl FakeConnector {
    pub fn new(role: ConnectorRole, world: Arc<World>, striker: Arc<Striker>, behaviour: Behaviour) -> Self {
        FakeConnector { role, id: format!("fake-{role}@1.0.0"), world, striker, behaviour }
    }
}

#[async_trait]
impl Connector for FakeConnector {
    fn id(&self) -> &str {
        &self.id
    }

    fn role(&self) -> ConnectorRole {
        self.role
    }

    fn memory_bytes_max(&self) -> u64 {
        64 << 20
    }

    async fn start(&self, io: InstanceIo) -> Result<Box<dyn Instance>, ConnectorError> {
        assert!(io.memory_bytes_max <= 64 << 20);
        Ok(Box::new(FakeInstance {
            role: self.role,
            id: self.id.clone(),
            world: self.world.clone(),
            striker: self.striker.clone(),
            behaviour: self.behaviour.clone(),
            io,
        }))
    }
}

struct FakeInstance {
    role: ConnectorRole,
    id: String,
    world: Arc<World>,
    striker: Arc<Striker>,
    behaviour: Behaviour,
    io: InstanceIo,
}

#[async_trait]
impl Instance for FakeInstance {
    async fn open(&mut self, _config_json: &str) -> Result<OpenInfo, ConnectorError> {
        self.striker.step("open").await?;
        let mischief = self.behaviour.mischief;
        let is_destination = self.role == ConnectorRole::Destination;
        if is_destination && mischief == Mischief::DestinationRefusesConfig {
            return Err(ConnectorError::new(
                ErrorCategory::Config,
                "unknown_field",
                "there is no field `hots`",
            ));
        }
        let wrong_role = is_destination && mischief == Mischief::DestinationIsASource;
        let old = is_destination && mischief == Mischief::DestinationSpeaksVersion3;
        Ok(OpenInfo {
            connector_id: self.id.clone(),
            role: if wrong_role { ConnectorRole::Source } else { self.role },
            protocol_version: if old { "3.2.0".into() } else { "4.0.0".into() },
            capabilities: Capabilities {
                full_refresh: true,
                incremental: true,
                projection: true,
                partitions: self.behaviour.partitions > 0,
                append: true,
                replace: mischief != Mischief::DestinationCannotReplace,
                upsert: true,
                merge: true,
                transactional: self.behaviour.transactional,
                ..Capabilities::default()
            },
            default_limits: None,
        })
    }

    async fn validate(&mut self) -> Result<ValidationReport, ConnectorError> {
        Ok(ValidationReport {
            status: ValidationStatus::Success,
            message: "reachable".into(),
            warnings: Vec::new(),
        })
    }

    async fn run(&mut self, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let mut summary = RunSummary {
            role: self.role,
            read: None,
            write: None,
            transform: None,
            catalog: None,
            partition_plan: None,
        };
        match request.phase {
            RunPhase::Discover => summary.catalog = Some(self.discover(request.stream)),
            RunPhase::Partition => summary.partition_plan = Some(self.divide(&request.stream.unwrap())),
            _ if request.dry_run => self.striker.step("dry-run").await?,
            RunPhase::Read => self.read(request.stream.unwrap()).await?,
            RunPhase::Transform => self.transform().await?,
            RunPhase::Write => self.write(request.stream.unwrap()).await?,
        }
        Ok(summary)
    }

    async fn close(&mut self) -> Result<(), ConnectorError> {
        self.striker.step("close").await?;
        if self.behaviour.mischief == Mischief::CloseFails {
            return Err(ConnectorError::internal("close", "could not close"));
        }
        Ok(())
    }

    fn memory_bytes_peak(&self) -> u64 {
        1000
    }
}

fn closed(_: Closed) -> ConnectorError {
    ConnectorError::internal("channel_closed", "the stream's other side is gone")
}

impl FakeInstance {
    fn is(&self, mischief: Mischief) -> bool {
        self.behaviour.mischief == mischief
    }

    fn discover(&self, asked: Option<StreamContext>) -> Catalog {
        let offered = |name: &str, schema: ArrowSchemaIpc| CatalogStream {
            name: name.into(),
            schema,
            primary_key: vec!["id".into()],
            cursor_fields: vec!["seq".into(), "id".into()],
            sync_modes: vec![SyncMode::FullRefresh, SyncMode::Incremental],
            estimated_rows: None,
            estimated_bytes: None,
        };
        let streams = match asked {
            Some(stream) => vec![offered(&stream.name, stream.schema)],
            None => self.world.lock().sources.keys().map(|name| offered(name, schema_ipc())).collect(),
        };
        Catalog { streams }
    }

    /// Ranges of `id` with about equally many records, the last one also for what comes behind it.
    fn divide(&self, stream: &StreamContext) -> PartitionPlan {
        let moment = self.world.lock().moments.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let snapshot = Some(format!("moment {moment}"));
        if let Some(range) = stream.partition.range.clone() {
            return PartitionPlan { snapshot, ranges: vec![range] };
        }
        let mut ids: Vec<i64> = self.world.source(&stream.name).iter().map(|row| row.id).collect();
        ids.sort_unstable();
        let count = stream.partition.count.min(self.behaviour.partitions).min(ids.len() as u32) as usize;
        let bounds: Vec<i64> = (1..count).map(|n| ids[n * ids.len() / count]).collect();
        let lower = std::iter::once(None).chain(bounds.iter().copied().map(Some));
        let upper = bounds.iter().copied().map(Some).chain(std::iter::once(None));
        let ranges = lower.zip(upper).enumerate().map(|(index, (lower, upper))| PartitionRange {
            field: "id".into(),
            lower: lower.map(CursorValue::Int64),
            upper: upper.map(CursorValue::Int64),
            nulls: index == 0,
        });
        PartitionPlan { snapshot, ranges: ranges.collect() }
    }

    fn event(&self, kind: CheckpointKind, id: u64, cursor: Option<Cursor>) -> CheckpointEvent {
        CheckpointEvent { kind, stream: String::new(), id, cursor, records: 0, bytes: 0, complete: false }
    }

    // ---- Source -------------------------------------------------------------------------------

    async fn read(&mut self, stream: StreamContext) -> Result<(), ConnectorError> {
        let behaviour = self.behaviour.clone();
        let outlet = self.io.outlet.clone().unwrap();
        let behind = match &stream.position {
            None => i64::MIN,
            Some(CursorValue::Int64(seq)) => *seq,
            Some(other) => panic!("a position of another type: {other:?}"),
        };
        assert!(behaviour.ordered || stream.position.is_none(), "nothing to continue by");
        // Full refreshes are ordered by `seq` too.
        let by_id = stream.cursor.as_ref().is_some_and(|cursor| cursor.field == "id");
        let place = move |row: &Row| if by_id { row.id } else { row.seq };
        let mut rows = self.world.source(&stream.name);
        rows.retain(|row| place(row) > behind);
        if let Some(range) = &stream.partition.range {
            assert!(stream.snapshot.is_some(), "partitions are read at one moment");
            let bound = |value: &Option<CursorValue>| match value {
                Some(CursorValue::Int64(id)) => Some(*id),
                Some(other) => panic!("a bound of another type: {other:?}"),
                None => None,
            };
            let (lower, upper) = (bound(&range.lower), bound(&range.upper));
            rows.retain(|row| {
                lower.is_none_or(|lower| row.id >= lower) && upper.is_none_or(|upper| row.id < upper)
            });
        }
        if self.is(Mischief::SourceLosesMoment) && stream.snapshot.as_deref() == Some("moment 1") {
            let mut error =
                ConnectorError::new(ErrorCategory::TransientDb, "snapshot_gone", "the moment is gone");
            error.retryable = true;
            return Err(error);
        }
        rows.sort_by_key(place);
        self.striker.step("source.begin").await?;
        if self.is(Mischief::SourcePanics) {
            panic!("the adapter is broken");
        }
        let mut uncovered = 0;
        let mut last = None;
        for (index, batch) in rows.chunks(behaviour.batch_rows).enumerate() {
            if behaviour.listens && self.io.services.cancelled() {
                break;
            }
            self.striker.step("source.batch").await?;
            let mut batch = batch.to_vec();
            last = batch.last().map(place);
            if self.is(Mischief::SourceRefusesRecords) {
                let refused: Vec<Row> = batch.extract_if(.., |row| row.id % 2 == 1).collect();
                let error = RecordError { row: 0, code: "odd".into(), message: "`id` is odd".into() };
                if !refused.is_empty() {
                    self.io.services.dead_letters(to_frame(&refused), vec![error]).await?;
                }
            }
            let mut frame = to_frame(&batch);
            if self.is(Mischief::SourceMakesOtherColumns) {
                let decoded = frame.decode().unwrap().project(&[0, 2]).unwrap();
                frame = Frame::encode(&decoded).unwrap();
            }
            outlet.send(Event::Frame(frame)).await.map_err(closed)?;
            if self.is(Mischief::SourceFailsBehindFirstBatch) {
                return Err(ConnectorError::new(
                    ErrorCategory::TransientNetwork,
                    "reset",
                    "the server went away",
                ));
            }
            if self.is(Mischief::SourceStuck) && index == 1 {
                std::future::pending::<()>().await;
            }
            if let Mischief::SourceFails(times) = behaviour.mischief
                && self.world.lock().failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < times
            {
                return Err(ConnectorError::new(
                    ErrorCategory::TransientNetwork,
                    "reset",
                    "the server went away",
                ));
            }
            uncovered += 1;
            if behaviour.ordered && uncovered == behaviour.checkpoint_batches {
                self.mark(by_id, last).await?;
                uncovered = 0;
            }
        }
        if behaviour.ordered && uncovered > 0 && !self.is(Mischief::SourceEndsWithoutLastCheckpoint) {
            self.mark(by_id, last).await?;
        }
        self.striker.step("source.end").await
    }

    async fn mark(&self, by_id: bool, place: Option<i64>) -> Result<(), ConnectorError> {
        self.striker.step("source.checkpoint").await?;
        let value = match place {
            Some(_) if self.is(Mischief::SourceCursorIsNotJson) => CursorValue::Json("{".into()),
            Some(place) => CursorValue::Int64(place),
            None => return Ok(()),
        };
        let cursor = Cursor { field: if by_id { "id" } else { "seq" }.into(), value };
        let reply = self.io.services.checkpoint(self.event(CheckpointKind::Source, 0, Some(cursor))).await?;
        assert_eq!(reply, CheckpointReply::Accepted);
        Ok(())
    }

    // ---- Transform ----------------------------------------------------------------------------

    async fn transform(&mut self) -> Result<(), ConnectorError> {
        let outlet = self.io.outlet.clone().unwrap();
        loop {
            let event = self.io.inlet.as_mut().unwrap().recv().await.map_err(closed)?;
            self.striker.step("transform.next").await?;
            match event {
                Event::Frame(_) if self.is(Mischief::TransformEndsEarly) => return Ok(()),
                Event::Frame(frame) => {
                    let mut rows = from_frame(&frame);
                    if self.behaviour.drops_odd {
                        rows.retain(|row| row.id % 2 == 0);
                    }
                    if !rows.is_empty() {
                        outlet.send(Event::Frame(to_frame(&rows))).await.map_err(closed)?;
                    }
                }
                Event::Checkpoint(_) if self.is(Mischief::TransformKeepsCheckpoints) => {}
                Event::Checkpoint(checkpoint) => {
                    let ahead = u64::from(self.is(Mischief::TransformForwardsUnknown)) * 100;
                    let event = self.event(CheckpointKind::Transform, checkpoint.id + ahead, None);
                    self.io.services.checkpoint(event).await?;
                }
                Event::DeadLetters(_) => panic!("dead letters are the engine's"),
                Event::End => return self.striker.step("transform.end").await,
            }
        }
    }

    // ---- Destination --------------------------------------------------------------------------

    async fn write(&mut self, stream: StreamContext) -> Result<(), ConnectorError> {
        self.striker.step("destination.prepare").await?;
        if self.is(Mischief::DestinationFailsAtOnce) {
            return Err(ConnectorError::new(ErrorCategory::Auth, "password", "the password is wrong"));
        }
        let write = stream.write.clone().unwrap();
        assert!(
            write.mode == WriteMode::Append
                || write.mode == WriteMode::Replace
                || !write.primary_key.is_empty()
        );
        self.report_receipt(&stream).await?;
        let mut pending: Vec<Row> = Vec::new();
        let mut seen = 0;
        let mut late = self.is(Mischief::DestinationReportsLate);
        loop {
            let event = self.io.inlet.as_mut().unwrap().recv().await.map_err(closed)?;
            self.striker.step("destination.next").await?;
            if std::mem::take(&mut late) {
                self.io.services.checkpoint(self.event(CheckpointKind::Receipt, 1, None)).await?;
            }
            match event {
                Event::Frame(_) if self.is(Mischief::DestinationEndsEarly) => return Ok(()),
                Event::Frame(frame) if self.is(Mischief::DestinationRefusesRecords) => {
                    let mut rows = from_frame(&frame);
                    let refused: Vec<Row> = rows.extract_if(.., |row| row.id % 2 == 1).collect();
                    let error = RecordError { row: 0, code: "odd".into(), message: "`id` is odd".into() };
                    if !refused.is_empty() {
                        self.io.services.dead_letters(to_frame(&refused), vec![error]).await?;
                    }
                    pending.extend(rows);
                }
                Event::Frame(frame) => pending.extend(from_frame(&frame)),
                Event::Checkpoint(checkpoint) => {
                    seen += 1;
                    if seen == 2 && self.is(Mischief::DestinationFailsAtSecondCheckpoint) {
                        return Err(ConnectorError::new(
                            ErrorCategory::Data,
                            "overflow",
                            "a value is too large",
                        ));
                    }
                    if seen % self.behaviour.commit_every != 0 && !checkpoint.complete {
                        continue;
                    }
                    let rows = std::mem::take(&mut pending);
                    self.commit(&stream, write.mode, rows, checkpoint).await?;
                }
                Event::DeadLetters(_) => panic!("dead letters are the engine's"),
                // What is behind the last checkpoint was never committed.
                Event::End => return self.striker.step("destination.end").await,
            }
        }
    }

    async fn report_receipt(&self, stream: &StreamContext) -> Result<(), ConnectorError> {
        let partition = &stream.partition;
        let mut receipt = self.world.table(&stream.name).receipt_of(partition.index).cloned();
        if self.is(Mischief::DestinationReportsImpossible) {
            receipt = Some(Receipt { id: u64::MAX, cursor: None, complete: false });
        }
        if self.is(Mischief::DestinationFillsState) {
            let large = vec![0; STATE_VALUE_BYTES_MAX + 1];
            self.io.services.state_put(StateScope::Stream, "k", large).await?;
        }
        let keep = match receipt {
            Some(receipt) if self.behaviour.transactional => {
                let mut event = self.event(CheckpointKind::Receipt, receipt.id, receipt.cursor);
                event.complete = receipt.complete;
                let reply = self.io.services.checkpoint(event.clone()).await?;
                if self.is(Mischief::DestinationReportsTwoReceipts) {
                    self.io.services.checkpoint(event).await?;
                }
                reply == CheckpointReply::Resume
            }
            _ => false,
        };
        self.striker.step("destination.prepared").await?;
        if !keep {
            // The partitions of one reading share what is staged: its first one clears what was left of another.
            let floor = partition.floor;
            self.world.edit(&stream.name, |table| {
                if partition.is_whole() || table.staged_floor != floor {
                    table.staged.clear();
                    table.staged_floor = floor;
                }
            });
        }
        Ok(())
    }

    async fn commit(
        &self,
        stream: &StreamContext,
        mode: WriteMode,
        rows: Vec<Row>,
        checkpoint: CheckpointEvent,
    ) -> Result<(), ConnectorError> {
        let CheckpointEvent { id, cursor, complete, .. } = checkpoint;
        self.striker.step("destination.commit").await?;
        self.world.commit(
            &stream.name,
            &stream.partition,
            mode,
            rows,
            Receipt { id, cursor, complete },
            self.behaviour.transactional,
        );
        self.striker.step("destination.committed").await?;
        let confirm = |id| self.io.services.checkpoint(self.event(CheckpointKind::Destination, id, None));
        match self.behaviour.mischief {
            Mischief::DestinationNeverConfirms => {}
            Mischief::DestinationConfirmsUnknown => _ = confirm(id + 1000).await?,
            Mischief::DestinationConfirmsAhead => _ = confirm(id + 1).await?,
            Mischief::DestinationConfirmsTwice => {
                confirm(id).await?;
                confirm(id).await?;
            }
            _ => assert_eq!(confirm(id).await?, CheckpointReply::Accepted),
        }
        Ok(())
    }
}
