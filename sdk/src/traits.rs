//! The three roles a connector can have. It knows nothing of sessions, runtimes or bindings: those come from
//! `#[connector]`.

use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::ConnectorError;
use crate::schema::ConfigSchema;
use crate::types::{OpenInfo, PartitionPlan, RunRequest, RunSummary, ValidationReport};

/// Reads streams.
///
/// ```
/// use std::sync::Arc;
/// use rapidbyte_sdk::arrow::array::{Int64Array, RecordBatch};
/// use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema, SchemaRef};
/// use rapidbyte_sdk::prelude::*;
/// use rapidbyte_sdk::testing::{self, TestHost};
///
/// #[derive(serde::Deserialize, ConfigSchema)]
/// pub struct Config {
///     /// How far to count.
///     #[config(default = 10)]
///     to: i64,
/// }
///
/// #[connector(source)]
/// pub struct Counter {
///     to: i64,
/// }
///
/// fn schema() -> SchemaRef {
///     Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
/// }
///
/// impl Source for Counter {
///     type Config = Config;
///
///     async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
///         if config.to < 0 {
///             return Err(ConnectorError::config("to", "must not be negative"));
///         }
///         let capabilities = Capabilities { full_refresh: true, ..Capabilities::default() };
///         Ok((Counter { to: config.to }, OpenInfo::new(connector_id!(), capabilities)))
///     }
///
///     async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
///         if request.phase == RunPhase::Discover {
///             return Ok(RunSummary::catalog(Catalog { streams: vec![CatalogStream::new("numbers", schema())] }));
///         }
///         let numbers = Int64Array::from_iter_values(0..self.to);
///         ctx.emit(&RecordBatch::try_new(schema(), vec![Arc::new(numbers)])?).await?;
///         ctx.checkpoint(Cursor::new("n", CursorValue::Int64(self.to - 1))).await?;
///         Ok(RunSummary::read(ctx.read_summary()))
///     }
/// }
///
/// testing::block_on(async {
///     let host = TestHost::new();
///     let mut counter = host.source::<Counter>(serde_json::json!({ "to": 3 })).await.unwrap();
///     let summary = counter.run(RunRequest::read(StreamContext::new("numbers", schema()))).await.unwrap();
///     assert_eq!(summary.read.unwrap().records, 3);
///     assert_eq!(host.emitted_batches()[0].num_rows(), 3);
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source: it does not implement `rapidbyte_sdk::Source`",
    label = "marked `#[connector(source)]`",
    note = "add `impl Source for {Self} {{ type Config = …; async fn open(…) …; async fn run(…) … }}`"
)]
#[allow(async_fn_in_trait, reason = "guests are single-threaded, futures need not be `Send`")]
pub trait Source: Sized + 'static {
    /// The configuration, checked against its schema before `open` sees it.
    type Config: DeserializeOwned + ConfigSchema + 'static;

    /// Makes the ready connector.
    async fn open(config: Self::Config) -> Result<(Self, OpenInfo), ConnectorError>;

    /// Tries what a run would need: connection, credentials, rights. Moves nothing.
    async fn validate(config: &Self::Config) -> Result<ValidationReport, ConnectorError> {
        let _ = config;
        Ok(ValidationReport::success("the configuration is valid"))
    }

    /// Does one phase to its end: `discover` answers the catalog, `read` emits one stream.
    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError>;

    /// Cuts one stream into at most `partition.count` ranges, for readers that each get one of them as
    /// `partition.range` of their stream. What the plan calls a snapshot stays open until `close`, and the readers
    /// get its name as `snapshot`. With a count of 1 and a range only the snapshot is asked for.
    ///
    /// Only asked of a source with the capability [`partitions`](crate::Capabilities::partitions).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use rapidbyte_sdk::arrow::array::{Int64Array, RecordBatch};
    /// # use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema, SchemaRef};
    /// # use rapidbyte_sdk::prelude::*;
    /// # use rapidbyte_sdk::testing::{self, TestHost};
    /// /// The numbers below a million.
    /// #[connector(source)]
    /// pub struct Numbers;
    ///
    /// # fn schema() -> SchemaRef {
    /// #     Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    /// # }
    /// impl Source for Numbers {
    ///     type Config = NoConfig;
    ///
    ///     async fn open(_config: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
    ///         let capabilities = Capabilities { full_refresh: true, partitions: true, ..Capabilities::default() };
    ///         Ok((Numbers, OpenInfo::new(connector_id!(), capabilities)))
    ///     }
    ///
    ///     async fn partitions(&mut self, _ctx: &Context, request: RunRequest) -> Result<PartitionPlan, ConnectorError> {
    ///         let count = i64::from(request.stream()?.partition.count.clamp(1, 1000));
    ///         let boundaries = (1..count).map(|index| CursorValue::Int64(index * 1_000_000 / count));
    ///         Ok(PartitionPlan::cut("n", boundaries))
    ///     }
    ///
    ///     async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
    ///         # if request.phase == RunPhase::Discover {
    ///         #     return Ok(RunSummary::catalog(Catalog { streams: vec![CatalogStream::new("numbers", schema())] }));
    ///         # }
    ///         let (mut from, mut to) = (0, 1_000_000);
    ///         if let Some(range) = &request.stream()?.partition.range {
    ///             if let Some(CursorValue::Int64(lower)) = range.lower { from = lower }
    ///             if let Some(CursorValue::Int64(upper)) = range.upper { to = upper }
    ///         }
    ///         let numbers = Int64Array::from_iter_values(from..to);
    ///         ctx.emit(&RecordBatch::try_new(schema(), vec![Arc::new(numbers)])?).await?;
    ///         Ok(RunSummary::read(ctx.read_summary()))
    ///     }
    /// }
    ///
    /// testing::block_on(async {
    ///     let host = TestHost::new();
    ///     let mut numbers = host.source::<Numbers>(serde_json::json!({})).await.unwrap();
    ///     let stream = StreamContext::new("numbers", schema());
    ///     let planned = numbers.run(RunRequest::partition(stream.clone(), 4)).await.unwrap();
    ///     let range = planned.partition_plan.unwrap().ranges[3].clone();
    ///     let partition = Partition { index: 3, count: 4, range: Some(range), floor: 0 };
    ///     numbers.run(RunRequest::read(StreamContext { partition, ..stream })).await.unwrap();
    ///     assert_eq!(host.emitted_batches()[0].num_rows(), 250_000);
    /// });
    /// ```
    async fn partitions(
        &mut self,
        ctx: &Context,
        request: RunRequest,
    ) -> Result<PartitionPlan, ConnectorError> {
        let _ = ctx;
        let stream = request.stream()?;
        Err(ConnectorError::internal(
            "no_partitions",
            format!("stream `{}`: this source does not read partitions", stream.name),
        ))
    }

    /// Says goodbye to the remote side.
    async fn close(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }
}

/// Writes streams.
///
/// ```
/// use rapidbyte_sdk::prelude::*;
/// use rapidbyte_sdk::testing::{self, TestHost};
/// # use std::sync::Arc;
/// # use rapidbyte_sdk::arrow::array::{ArrayRef, Int64Array, RecordBatch};
///
/// /// Counts rows and forgets them.
/// #[connector(destination)]
/// pub struct Sink;
///
/// impl Destination for Sink {
///     type Config = NoConfig;
///
///     async fn open(_config: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
///         let capabilities = Capabilities { append: true, ..Capabilities::default() };
///         Ok((Sink, OpenInfo::new(connector_id!(), capabilities)))
///     }
///
///     async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
///         let _stream = request.stream()?;
///         loop {
///             match ctx.next().await? {
///                 Event::Batch(_batch) => { /* write it */ }
///                 // Commit everything so far together with `Receipt::of(&checkpoint)`, then say so.
///                 Event::Checkpoint(checkpoint) => ctx.commit_checkpoint(&checkpoint).await?,
///                 Event::End => return Ok(RunSummary::write(ctx.write_summary())),
///             }
///         }
///     }
/// }
///
/// testing::block_on(async {
///     # let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
///     let host = TestHost::new();
///     let stream = StreamContext::new("numbers", batch.schema());
///     host.feed_batch(&batch);
///     host.feed_checkpoint(Some(Cursor::new("n", CursorValue::Int64(2))));
///     host.feed_end();
///     let mut sink = host.destination::<Sink>(serde_json::json!({})).await.unwrap();
///     let summary = sink.run(RunRequest::write(stream)).await.unwrap();
///     assert_eq!(summary.write.unwrap().records, 2);
///     // The one that was fed, and the complete one that the host puts before the end.
///     assert_eq!(host.committed_checkpoints().len(), 2);
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a destination: it does not implement `rapidbyte_sdk::Destination`",
    label = "marked `#[connector(destination)]`",
    note = "add `impl Destination for {Self} {{ type Config = …; async fn open(…) …; async fn run(…) … }}`"
)]
#[allow(async_fn_in_trait, reason = "guests are single-threaded, futures need not be `Send`")]
pub trait Destination: Sized + 'static {
    /// The configuration, checked against its schema before `open` sees it.
    type Config: DeserializeOwned + ConfigSchema + 'static;

    /// Makes the ready connector.
    async fn open(config: Self::Config) -> Result<(Self, OpenInfo), ConnectorError>;

    /// Tries what a run would need: connection, credentials, rights. Changes nothing.
    async fn validate(config: &Self::Config) -> Result<ValidationReport, ConnectorError> {
        let _ = config;
        Ok(ValidationReport::success("the configuration is valid"))
    }

    /// Consumes and commits one stream. Reports its receipt before its first `ctx.next()`.
    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError>;

    /// Says goodbye to the remote side.
    async fn close(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }
}

/// Changes streams on their way.
///
/// ```
/// use rapidbyte_sdk::prelude::*;
/// use rapidbyte_sdk::testing::{self, TestHost};
/// # use std::sync::Arc;
/// # use rapidbyte_sdk::arrow::array::{ArrayRef, Int64Array, RecordBatch};
///
/// #[derive(serde::Deserialize, ConfigSchema)]
/// pub struct Config {
///     /// Rows to keep of every batch.
///     rows: usize,
/// }
///
/// #[connector(transform)]
/// pub struct Head(Config);
///
/// impl Transform for Head {
///     type Config = Config;
///
///     async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
///         Ok((Head(config), OpenInfo::new(connector_id!(), Capabilities::default())))
///     }
///
///     async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
///         let stream = request.stream()?;
///         if request.phase == RunPhase::Discover {
///             let out = CatalogStream::new(&stream.name, stream.schema.clone());
///             return Ok(RunSummary::catalog(Catalog { streams: vec![out] }));
///         }
///         loop {
///             match ctx.next().await? {
///                 Event::Batch(batch) => ctx.emit(&batch.slice(0, self.0.rows.min(batch.num_rows()))).await?,
///                 Event::Checkpoint(checkpoint) => ctx.forward_checkpoint(&checkpoint).await?,
///                 Event::End => return Ok(RunSummary::transform(ctx.transform_summary())),
///             }
///         }
///     }
/// }
///
/// testing::block_on(async {
///     # let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
///     let host = TestHost::new();
///     host.feed_batch(&batch);
///     host.feed_end();
///     let mut head = host.transform::<Head>(serde_json::json!({ "rows": 1 })).await.unwrap();
///     head.run(RunRequest::transform(StreamContext::new("numbers", batch.schema()))).await.unwrap();
///     assert_eq!(host.emitted_batches(), [batch.slice(0, 1)]);
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transform: it does not implement `rapidbyte_sdk::Transform`",
    label = "marked `#[connector(transform)]`",
    note = "add `impl Transform for {Self} {{ type Config = …; async fn open(…) …; async fn run(…) … }}`"
)]
#[allow(async_fn_in_trait, reason = "guests are single-threaded, futures need not be `Send`")]
pub trait Transform: Sized + 'static {
    /// The configuration, checked against its schema before `open` sees it.
    type Config: DeserializeOwned + ConfigSchema + 'static;

    /// Makes the ready connector.
    async fn open(config: Self::Config) -> Result<(Self, OpenInfo), ConnectorError>;

    /// Tries what a run would need.
    async fn validate(config: &Self::Config) -> Result<ValidationReport, ConnectorError> {
        let _ = config;
        Ok(ValidationReport::success("the configuration is valid"))
    }

    /// Does one phase to its end: `discover` answers the stream that would flow out, `transform` consumes and emits.
    async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError>;

    /// Lets go of what it holds.
    async fn close(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }
}
