//! The in-memory host: connector logic tested natively, without Wasm, servers or a pipeline.
//!
//! A [`TestHost`] is fed with batches and checkpoints, opens a connector as the real host does (configuration checked
//! against its schema, defaults filled in), runs it, and shows everything it did. [`pipe`] joins two hosts, so that a
//! source runs against a destination within one process, on one thread or two.
//!
//! Time and sockets are tokio's: run tests in [`block_on`] or a current-thread `#[tokio::test]`.

mod host;
mod session;

use std::future::Future;

use crate::limits;
use crate::native::Channel;

pub use crate::native::{LogLine, Metric};
pub use host::{EmittedEvent, TestHost};
pub use session::Session;

use crate::role::{DestinationRole, SourceRole, TransformRole};

/// An opened source, destination or transform, to name in a test's own types.
pub type SourceSession<C> = Session<SourceRole<C>>;
pub type DestinationSession<C> = Session<DestinationRole<C>>;
pub type TransformSession<C> = Session<TransformRole<C>>;

/// Runs a future on a runtime like a guest's: one thread, timers, `spawn` and `spawn_local`; sockets natively.
///
/// # Panics
/// If the machine gives no runtime, or when called within one.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("no runtime for a test: {error}"));
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// Bounds of a [`pipe`].
#[derive(Debug, Clone, Copy)]
pub struct PipeBounds {
    pub bytes_max: u64,
    pub frames_max: u32,
}

impl Default for PipeBounds {
    fn default() -> Self {
        PipeBounds { bytes_max: limits::PIPE_BYTES, frames_max: limits::PIPE_FRAMES }
    }
}

/// Two hosts, the first one's emits being the second one's events: frames are encoded and decoded as between components.
///
/// When the first one's `run` returns `Ok`, the last marker and the end follow by themselves; when it fails, the second
/// one sees an error instead of an end. Both hosts can be moved to threads of their own:
///
/// ```
/// # use std::sync::Arc;
/// # use rapidbyte_sdk::arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema};
/// # use rapidbyte_sdk::prelude::*;
/// # use rapidbyte_sdk::testing::{self, PipeBounds};
/// # pub struct Numbers;
/// # impl Source for Numbers {
/// #     type Config = NoConfig;
/// #     async fn open(_: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
/// #         Ok((Numbers, OpenInfo::new("numbers@1.0.0", Capabilities::default())))
/// #     }
/// #     async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
/// #         for start in 0..100 {
/// #             let column = Int64Array::from_iter_values(start * 10..start * 10 + 10);
/// #             let schema = request.stream()?.schema.clone();
/// #             ctx.emit(&RecordBatch::try_new(schema, vec![Arc::new(column)])?).await?;
/// #         }
/// #         Ok(RunSummary::read(ctx.read_summary()))
/// #     }
/// # }
/// # pub struct Sink;
/// # impl Destination for Sink {
/// #     type Config = NoConfig;
/// #     async fn open(_: NoConfig) -> Result<(Self, OpenInfo), ConnectorError> {
/// #         Ok((Sink, OpenInfo::new("sink@1.0.0", Capabilities::default())))
/// #     }
/// #     async fn run(&mut self, ctx: &Context, _: RunRequest) -> Result<RunSummary, ConnectorError> {
/// #         loop {
/// #             match ctx.next().await? {
/// #                 Event::Batch(_) => {}
/// #                 Event::Checkpoint(checkpoint) => ctx.commit_checkpoint(&checkpoint).await?,
/// #                 Event::End => return Ok(RunSummary::write(ctx.write_summary())),
/// #             }
/// #         }
/// #     }
/// # }
/// # let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
/// # let stream = StreamContext::new("numbers", schema);
/// let (upstream, downstream) = testing::pipe(PipeBounds::default());
/// let read = RunRequest::read(stream.clone());
/// let reading = std::thread::spawn(move || {
///     testing::block_on(async {
///         let mut source = upstream.source::<Numbers>(serde_json::json!({})).await?;
///         source.run(read).await
///     })
/// });
/// let written = testing::block_on(async {
///     let mut sink = downstream.destination::<Sink>(serde_json::json!({})).await?;
///     sink.run(RunRequest::write(stream)).await
/// })
/// .unwrap();
/// assert_eq!(reading.join().unwrap().unwrap().read.unwrap().records, 1_000);
/// assert_eq!(written.write.unwrap().records, 1_000);
/// assert!(downstream.committed_checkpoints().last().unwrap().complete);
/// ```
pub fn pipe(bounds: PipeBounds) -> (TestHost, TestHost) {
    let (outlet, inlet) = Channel::ends(bounds.bytes_max, bounds.frames_max);
    (TestHost::link(None, Some(outlet)), TestHost::link(Some(inlet), None))
}

/// Like [`pipe`] with a transform between: source, transform, destination.
pub fn pipe_through_transform(bounds: PipeBounds) -> (TestHost, TestHost, TestHost) {
    let (source_outlet, transform_inlet) = Channel::ends(bounds.bytes_max, bounds.frames_max);
    let (transform_outlet, destination_inlet) = Channel::ends(bounds.bytes_max, bounds.frames_max);
    (
        TestHost::link(None, Some(source_outlet)),
        TestHost::link(Some(transform_inlet), Some(transform_outlet)),
        TestHost::link(Some(destination_inlet), None),
    )
}
