//! A host of the contract, as small as it can be: plain sockets, a channel that a slow consumer empties, and counters.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceTable, TypedFunc};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

wasmtime::component::bindgen!({
    world: "rapidbyte-host",
    path: "../wit",
    imports: { default: async | trappable },
    with: {
        "rapidbyte:connector/host-io.frame": Frame,
        "rapidbyte:connector/host-io.socket": Socket,
    },
    require_store_data_send: true,
});

pub use rapidbyte::connector::{core_types, host_io, stream_types, telemetry};

use core_types::ConnectorError;
use host_io::{BatchEvent, Interest};

pub struct Frame {
    bytes: Vec<u8>,
}

pub struct Socket {
    stream: TcpStream,
}

/// How often the guest called.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    pub waits: u64,
    /// Waits that ended with nothing ready.
    pub idle_waits: u64,
    /// Waits with a time-out of zero.
    pub looks: u64,
    pub reads: u64,
    pub writes: u64,
}

/// What a log line said.
#[derive(Debug, Clone)]
pub struct Line {
    pub level: telemetry::LogLevel,
    pub message: String,
    pub fields: Vec<(String, telemetry::FieldValue)>,
}

/// Everything the guest's calls touch.
pub struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pub counts: Counts,
    pub logs: Arc<Mutex<Vec<Line>>>,
    pub emitted: Vec<Vec<u8>>,
    pub checkpoints: Vec<telemetry::CheckpointEvent>,
    pub inlet: VecDeque<Inbound>,
    /// Permits are room in the channel.
    pub room: Arc<Semaphore>,
    cancelled: watch::Receiver<bool>,
}

/// What a test feeds.
pub enum Inbound {
    Frame(Vec<u8>),
    Checkpoint(telemetry::CheckpointEvent),
    End,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn refused(category: core_types::ErrorCategory, code: &str, message: String) -> ConnectorError {
    ConnectorError {
        category,
        scope: core_types::ErrorScope::PerStream,
        code: code.to_owned(),
        message,
        retryable: true,
        retry_after_ms: Some(7),
        backoff: core_types::BackoffClass::Fast,
        safe_to_retry: true,
        commit: None,
        details: Some("{}".to_owned()),
    }
}

fn network(error: io::Error) -> ConnectorError {
    let code = if error.kind() == io::ErrorKind::ConnectionRefused { "connection_refused" } else { "io" };
    refused(core_types::ErrorCategory::TransientNetwork, code, error.to_string())
}

fn unsupported<T>() -> wasmtime::Result<T> {
    Err(wasmtime::Error::msg("this test host has no such thing"))
}

type Fallible<T> = wasmtime::Result<Result<T, ConnectorError>>;

impl core_types::Host for State {}
impl stream_types::Host for State {}
impl telemetry::Host for State {}

impl host_io::HostFrame for State {
    async fn from_ipc(&mut self, bytes: Vec<u8>) -> Fallible<Resource<Frame>> {
        Ok(Ok(self.table.push(Frame { bytes })?))
    }

    async fn from_json(&mut self, _: Vec<u8>, _: String) -> Fallible<Resource<Frame>> {
        unsupported()
    }

    async fn to_ipc(&mut self, frame: Resource<Frame>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&frame)?.bytes.clone())
    }

    async fn to_json(&mut self, _: Resource<Frame>) -> Fallible<String> {
        unsupported()
    }

    async fn records(&mut self, _: Resource<Frame>) -> wasmtime::Result<u64> {
        unsupported()
    }

    async fn bytes(&mut self, frame: Resource<Frame>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&frame)?.bytes.len() as u64)
    }

    async fn drop(&mut self, frame: Resource<Frame>) -> wasmtime::Result<()> {
        self.table.delete(frame)?;
        Ok(())
    }
}

impl host_io::HostSocket for State {
    async fn drop(&mut self, socket: Resource<Socket>) -> wasmtime::Result<()> {
        self.table.delete(socket)?;
        Ok(())
    }
}

impl host_io::Host for State {
    async fn batch_emit(&mut self, _: Resource<Frame>) -> Fallible<()> {
        unsupported()
    }

    async fn batch_try_emit(&mut self, frame: Resource<Frame>) -> Fallible<Option<Resource<Frame>>> {
        match self.room.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) => return Ok(Ok(Some(frame))),
        }
        let frame = self.table.delete(frame)?;
        self.emitted.push(frame.bytes);
        Ok(Ok(None))
    }

    async fn batch_next(&mut self) -> Fallible<BatchEvent> {
        unsupported()
    }

    async fn batch_try_next(&mut self) -> Fallible<Option<BatchEvent>> {
        Ok(Ok(match self.inlet.pop_front() {
            Some(Inbound::Frame(bytes)) => Some(BatchEvent::Frame(self.table.push(Frame { bytes })?)),
            Some(Inbound::Checkpoint(event)) => Some(BatchEvent::Checkpoint(event)),
            Some(Inbound::End) => Some(BatchEvent::End),
            None => None,
        }))
    }

    async fn wait(
        &mut self,
        interests: Vec<Interest>,
        timeout_ns: Option<u64>,
    ) -> wasmtime::Result<Vec<u32>> {
        self.counts.waits += 1;
        self.counts.looks += u64::from(timeout_ns == Some(0));
        let room = self.room.clone();
        let mut cancelled = self.cancelled.clone();
        let mut room = pin!(room.acquire());
        let mut cancelled = pin!(cancelled.wait_for(|asked| *asked));
        let timeout = timeout_ns.map_or(Duration::MAX, Duration::from_nanos).min(Duration::from_secs(3_600));
        let mut sleep = pin!(tokio::time::sleep(timeout));
        let (mut room_ready, mut cancelled_ready) = (false, false);
        let table = &mut self.table;
        let has_next = !self.inlet.is_empty();
        // A guest that never waits is one endless poll to tokio, which would spend its budget and see nothing ready.
        let ready = tokio::task::coop::unconstrained(std::future::poll_fn(|cx| {
            let mut ready = Vec::new();
            for (index, interest) in interests.iter().enumerate() {
                let is_ready = match interest {
                    Interest::Readable(socket) => {
                        table.get_mut(socket).unwrap().stream.poll_read_ready(cx).is_ready()
                    }
                    Interest::Writable(socket) => {
                        table.get_mut(socket).unwrap().stream.poll_write_ready(cx).is_ready()
                    }
                    Interest::BatchNext => has_next,
                    Interest::BatchEmit => {
                        room_ready = room_ready || room.as_mut().poll(cx).is_ready();
                        room_ready
                    }
                    Interest::Cancelled => {
                        cancelled_ready = cancelled_ready || cancelled.as_mut().poll(cx).is_ready();
                        cancelled_ready
                    }
                };
                if is_ready {
                    ready.push(index as u32);
                }
            }
            if !ready.is_empty() || timeout_ns == Some(0) {
                return Poll::Ready(ready);
            }
            sleep.as_mut().poll(cx).map(|()| ready)
        }))
        .await;
        self.counts.idle_waits += u64::from(ready.is_empty());
        Ok(ready)
    }

    async fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(*self.cancelled.borrow())
    }

    async fn tcp_connect(&mut self, host: String, port: u16, timeout_ms: u32) -> Fallible<Resource<Socket>> {
        assert_eq!(timeout_ms, 10_000);
        Ok(match TcpStream::connect((host.as_str(), port)).await {
            Ok(stream) => Ok(self.table.push(Socket { stream })?),
            Err(error) => Err(network(error)),
        })
    }

    async fn tcp_start_tls(
        &mut self,
        _: Resource<Socket>,
        _: host_io::TlsOptions,
    ) -> Fallible<host_io::TlsInfo> {
        unsupported()
    }

    async fn tcp_read(&mut self, _: Resource<Socket>, _: u32) -> Fallible<Vec<u8>> {
        unsupported()
    }

    async fn tcp_try_read(&mut self, socket: Resource<Socket>, max_bytes: u32) -> Fallible<Option<Vec<u8>>> {
        self.counts.reads += 1;
        let mut bytes = vec![0; max_bytes as usize];
        Ok(match self.table.get(&socket)?.stream.try_read(&mut bytes) {
            Ok(count) => {
                bytes.truncate(count);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(network(error)),
        })
    }

    async fn tcp_write(&mut self, _: Resource<Socket>, _: Vec<u8>) -> Fallible<()> {
        unsupported()
    }

    async fn tcp_try_write(&mut self, socket: Resource<Socket>, bytes: Vec<u8>) -> Fallible<u32> {
        self.counts.writes += 1;
        Ok(match self.table.get(&socket)?.stream.try_write(&bytes) {
            Ok(count) => Ok(count as u32),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(network(error)),
        })
    }

    async fn tcp_close(&mut self, socket: Resource<Socket>) -> Fallible<()> {
        let mut socket = self.table.delete(socket)?;
        Ok(socket.stream.shutdown().await.map_err(network))
    }

    async fn state_get(&mut self, _: host_io::StateScope, _: String) -> Fallible<Option<Vec<u8>>> {
        unsupported()
    }

    async fn state_put(&mut self, _: host_io::StateScope, _: String, _: Vec<u8>) -> Fallible<()> {
        unsupported()
    }

    async fn state_compare_and_swap(
        &mut self,
        _: host_io::StateScope,
        _: String,
        _: Option<Vec<u8>>,
        _: Vec<u8>,
    ) -> Fallible<bool> {
        unsupported()
    }

    async fn telemetry_checkpoint(
        &mut self,
        event: telemetry::CheckpointEvent,
    ) -> Fallible<telemetry::CheckpointReply> {
        self.checkpoints.push(event);
        Ok(Ok(telemetry::CheckpointReply::Accepted))
    }

    async fn telemetry_committed(&mut self) -> wasmtime::Result<Option<telemetry::CheckpointEvent>> {
        Ok(None)
    }

    async fn telemetry_metric(&mut self, _: telemetry::MetricEvent) -> wasmtime::Result<()> {
        Ok(())
    }

    async fn telemetry_log(&mut self, event: telemetry::LogEvent) -> wasmtime::Result<()> {
        let line = Line { level: event.level, message: event.message, fields: event.fields };
        self.logs.lock().unwrap().push(line);
        Ok(())
    }

    async fn telemetry_progress(&mut self, _: u64, _: u64) -> wasmtime::Result<()> {
        Ok(())
    }

    async fn telemetry_dlq(&mut self, _: Resource<Frame>, _: Vec<telemetry::RecordError>) -> Fallible<()> {
        unsupported()
    }
}

type Answer<T> = (Result<T, ConnectorError>,);

/// A component in its sandbox.
pub struct Sandbox {
    pub store: Store<State>,
    pub logs: Arc<Mutex<Vec<Line>>>,
    pub cancel: watch::Sender<bool>,
    open: TypedFunc<(String,), Answer<core_types::Opened>>,
    validate: TypedFunc<(u64,), Answer<core_types::ValidationReport>>,
    run: TypedFunc<(u64, stream_types::RunRequest), Answer<stream_types::RunSummary>>,
    close: TypedFunc<(u64,), Answer<()>>,
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.concurrency_support(false);
        Engine::new(&config).expect("this machine runs WebAssembly")
    })
}

fn compiled(guest: &str) -> Component {
    static COMPILED: Mutex<Vec<(String, Component)>> = Mutex::new(Vec::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some((_, component)) = compiled.iter().find(|(name, _)| name == guest) {
        return component.clone();
    }
    let component =
        Component::from_file(engine(), super::guests::component(guest)).expect("the guest compiles");
    compiled.push((guest.to_owned(), component.clone()));
    component
}

impl Sandbox {
    /// Starts a guest that exports `role`.
    pub async fn start(guest: &str, role: &str) -> Self {
        let mut linker = Linker::new(engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        RapidbyteHost::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state).unwrap();
        let (cancel, cancelled) = watch::channel(false);
        let logs = Arc::new(Mutex::new(Vec::new()));
        let state = State {
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
            counts: Counts::default(),
            logs: logs.clone(),
            emitted: Vec::new(),
            checkpoints: Vec::new(),
            inlet: VecDeque::new(),
            room: Arc::new(Semaphore::new(1_000)),
            cancelled,
        };
        let mut store = Store::new(engine(), state);
        let instance = linker.instantiate_async(&mut store, &compiled(guest)).await.unwrap();
        let interface = format!("rapidbyte:connector/{role}@4.0.0");
        let interface =
            instance.get_export_index(&mut store, None, &interface).expect("the role is exported");
        let mut export = |name: &str| instance.get_export_index(&mut store, Some(&interface), name).unwrap();
        let (open, validate, run, close) =
            (export("open"), export("validate"), export("run"), export("close"));
        Sandbox {
            open: instance.get_typed_func(&mut store, open).unwrap(),
            validate: instance.get_typed_func(&mut store, validate).unwrap(),
            run: instance.get_typed_func(&mut store, run).unwrap(),
            close: instance.get_typed_func(&mut store, close).unwrap(),
            store,
            logs,
            cancel,
        }
    }

    pub async fn open(&mut self, config: &str) -> Result<core_types::Opened, ConnectorError> {
        self.open.call_async(&mut self.store, (config.to_owned(),)).await.unwrap().0
    }

    pub async fn validate(&mut self, session: u64) -> Result<core_types::ValidationReport, ConnectorError> {
        self.validate.call_async(&mut self.store, (session,)).await.unwrap().0
    }

    pub async fn close(&mut self, session: u64) -> Result<(), ConnectorError> {
        self.close.call_async(&mut self.store, (session,)).await.unwrap().0
    }

    /// Runs; the outer error is a trap.
    pub async fn try_run(
        &mut self,
        session: u64,
        request: stream_types::RunRequest,
    ) -> wasmtime::Result<Result<stream_types::RunSummary, ConnectorError>> {
        Ok(self.run.call_async(&mut self.store, (session, request)).await?.0)
    }

    /// Runs one scenario of the `executor` guest.
    pub async fn scenario(
        &mut self,
        session: u64,
        name: &str,
    ) -> Result<stream_types::RunSummary, ConnectorError> {
        let running = self.try_run(session, request(name, core_types::RunPhase::Read));
        tokio::time::timeout(Duration::from_secs(120), running).await.expect("the guest ends").unwrap()
    }

    /// A number that the guest logged.
    pub fn logged(&self, message: &str, field: &str) -> i64 {
        let logs = self.logs.lock().unwrap();
        let line = logs.iter().find(|line| line.message == message);
        let line = line.unwrap_or_else(|| panic!("no line `{message}` in {logs:#?}"));
        match line.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value) {
            Some(telemetry::FieldValue::Int(value)) => *value,
            Some(telemetry::FieldValue::Boolean(value)) => i64::from(*value),
            other => panic!("field `{field}` of `{message}` is {other:?}"),
        }
    }
}

/// A request for a stream of one column.
pub fn request(stream: &str, phase: core_types::RunPhase) -> stream_types::RunRequest {
    use rapidbyte_sdk::arrow::schema::{DataType, Field, Schema};
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    stream_types::RunRequest {
        stream: Some(stream_types::StreamContext {
            pipeline: "test".to_owned(),
            name: stream.to_owned(),
            schema: rapidbyte_sdk::batch::schema_to_ipc(&schema).unwrap(),
            sync_mode: stream_types::SyncMode::FullRefresh,
            cursor: None,
            position: None,
            columns: vec![],
            filter: None,
            write: None,
            partition: stream_types::Partition { index: 0, count: 1, range: None, floor: 0 },
            snapshot: None,
            partition_key: None,
            limits: core_types::Limits {
                max_batch_bytes: 1 << 20,
                max_record_bytes: 1 << 19,
                max_inflight_batches: 4,
                checkpoint_interval_bytes: 1 << 20,
                checkpoint_interval_rows: 1_000,
                checkpoint_interval_seconds: 60,
            },
            policies: stream_types::Policies {
                on_data_error: stream_types::DataErrorPolicy::Fail,
                new_column: stream_types::NewColumnPolicy::Add,
                removed_column: stream_types::RemovedColumnPolicy::Ignore,
                type_change: stream_types::TypeChangePolicy::Fail,
                nullability_change: stream_types::NullabilityChangePolicy::Allow,
            },
        }),
        phase,
        dry_run: false,
        max_records: None,
    }
}
