//! Builds the guests, stands in for the engine, and asserts that a guest ends as it should while the host lives on.

#![allow(dead_code)] // Each test binary uses its part.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use rapidbyte_core::channel::{Bounds, Event, Receiver, channel};
use rapidbyte_core::frame::encode_schema;
use rapidbyte_core::grants::{Endpoint, Grants, HostFunctions};
use rapidbyte_core::ports::{Connector, Instance, InstanceIo, Services};
use rapidbyte_core::redact::Redactor;
use rapidbyte_core::*;
use rapidbyte_wasm::faults::FaultPlan;
use rapidbyte_wasm::{Engine, EngineOptions, LoadOptions, Network, Resolver, WasmConnector};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

pub const MIB: u64 = 1 << 20;
/// Generous: a test that hits it has found a hang.
pub const PATIENCE: Duration = Duration::from_secs(120);

// ---- Guests ---------------------------------------------------------------------------------------

/// Builds the guests once for this process and answers where they are.
fn guests() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/Cargo.toml");
        let target = std::env::var_os("RAPIDBYTE_GUEST_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests"), PathBuf::from);
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--release",
                "--examples",
                "--target",
                "wasm32-wasip2",
                "--manifest-path",
            ])
            .arg(manifest)
            .env("CARGO_TARGET_DIR", &target)
            // Flags for the host's code coverage or linker are not the guests'.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the guests do not build");
        target.join("wasm32-wasip2/release/examples")
    })
}

/// The file of the guest of a role.
pub fn guest(role: ConnectorRole) -> PathBuf {
    guests().join(format!("guest_{role}.wasm"))
}

/// What a guest is told; see `Config` in the guests.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Config {
    pub behaviour: String,
    pub frames: Vec<String>,
    pub schema: String,
    pub host: String,
    pub port: u16,
    pub count: u64,
    pub text: String,
    pub paths: Vec<String>,
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A batch of the columns `id` and `name`.
pub fn batch(first: i64, rows: usize) -> RecordBatch {
    let ids: Vec<_> = (first..).take(rows).collect();
    let names = ids.iter().map(|id| format!("name {id}")).collect::<Vec<_>>();
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(ids)), Arc::new(StringArray::from(names))])
        .unwrap()
}

pub fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
    ]))
}

pub fn frame(first: i64, rows: usize) -> Frame {
    Frame::encode(&batch(first, rows)).unwrap()
}

pub fn frame_hex(first: i64, rows: usize) -> String {
    hex(frame(first, rows).bytes())
}

// ---- The engine's part ----------------------------------------------------------------------------

/// Records what a guest says and does.
pub struct FakeServices {
    pub logs: Mutex<Vec<LogEvent>>,
    pub metrics: Mutex<Vec<MetricEvent>>,
    pub checkpoints: Mutex<Vec<CheckpointEvent>>,
    pub letters: Mutex<Vec<(Frame, Vec<RecordError>)>>,
    pub progress: Mutex<(u64, u64)>,
    pub points: Mutex<Vec<String>>,
    pub state: Mutex<HashMap<(StateScope, String), Vec<u8>>>,
    pub cancelled: watch::Sender<bool>,
}

impl Default for FakeServices {
    fn default() -> Self {
        FakeServices {
            logs: Mutex::default(),
            metrics: Mutex::default(),
            checkpoints: Mutex::default(),
            letters: Mutex::default(),
            progress: Mutex::default(),
            points: Mutex::default(),
            state: Mutex::default(),
            cancelled: watch::Sender::new(false),
        }
    }
}

impl FakeServices {
    pub fn messages(&self) -> Vec<String> {
        self.logs.lock().unwrap().iter().map(|event| event.message.clone()).collect()
    }

    pub fn reached(&self, point: &str) -> bool {
        self.points.lock().unwrap().iter().any(|reached| reached == point)
    }
}

#[async_trait]
impl Services for FakeServices {
    async fn checkpoint(&self, event: CheckpointEvent) -> Result<CheckpointReply, ConnectorError> {
        let reply = match event.kind {
            CheckpointKind::Receipt => CheckpointReply::Resume,
            _ => CheckpointReply::Accepted,
        };
        self.checkpoints.lock().unwrap().push(event);
        Ok(reply)
    }

    fn committed(&self) -> Option<CheckpointEvent> {
        None
    }

    fn cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    async fn wait_cancelled(&self) {
        let _ = self.cancelled.subscribe().wait_for(|cancelled| *cancelled).await;
    }

    fn metric(&self, event: MetricEvent) {
        self.metrics.lock().unwrap().push(event);
    }

    fn log(&self, event: LogEvent) {
        self.logs.lock().unwrap().push(event);
    }

    fn progress(&self, records: u64, bytes: u64) {
        *self.progress.lock().unwrap() = (records, bytes);
    }

    async fn dead_letters(&self, records: Frame, errors: Vec<RecordError>) -> Result<(), ConnectorError> {
        self.letters.lock().unwrap().push((records, errors));
        Ok(())
    }

    async fn state_get(&self, scope: StateScope, key: &str) -> Result<Option<Vec<u8>>, ConnectorError> {
        Ok(self.state.lock().unwrap().get(&(scope, key.to_owned())).cloned())
    }

    async fn state_put(&self, scope: StateScope, key: &str, value: Vec<u8>) -> Result<(), ConnectorError> {
        self.state.lock().unwrap().insert((scope, key.to_owned()), value);
        Ok(())
    }

    async fn state_compare_and_swap(
        &self,
        scope: StateScope,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<bool, ConnectorError> {
        let mut state = self.state.lock().unwrap();
        let key = (scope, key.to_owned());
        let fits = state.get(&key) == expected.as_ref();
        if fits {
            state.insert(key, value);
        }
        Ok(fits)
    }

    fn reached(&self, point: &str) {
        let mut points = self.points.lock().unwrap();
        if points.len() < 10_000 {
            points.push(point.to_owned());
        }
    }
}

// ---- An HTTP server -------------------------------------------------------------------------------

/// Answers one request on each connection by a function of the request's head.
pub struct HttpServer {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl HttpServer {
    pub async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = asked.clone();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let bytes = answer(&head);
                record.lock().unwrap().push(head);
                // Whoever does not read to the end is no concern of the server's.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
        });
        HttpServer { port, asked, serving }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The heads of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Nobody listens any more.
    pub async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }
}

/// An answer with its length.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

// ---- The rig --------------------------------------------------------------------------------------

/// An engine whose compiled code all tests of this build share.
pub fn engine() -> Engine {
    engine_with(None)
}

pub fn engine_with(resolver: Option<Arc<dyn Resolver>>) -> Engine {
    let cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    Engine::new(EngineOptions { cache_dir, resolver }).unwrap()
}

/// How one guest is to run.
pub struct Rig {
    pub engine: Engine,
    pub role: ConnectorRole,
    pub config: Config,
    pub grants: Grants,
    pub redactor: Redactor,
    pub memory_bytes_max: u64,
    pub idle_timeout: Duration,
    pub limits: Limits,
    pub phase: RunPhase,
    pub announced: Option<Arc<Schema>>,
    pub inlet: Option<Receiver>,
    /// Bytes that the outlet's channel holds.
    pub outlet_bytes: u64,
    /// What is to go wrong.
    pub faults: Option<Arc<FaultPlan>>,
    /// None: the engine's own.
    pub network: Option<Arc<dyn Network>>,
}

impl Rig {
    pub fn new(role: ConnectorRole, behaviour: &str) -> Self {
        let phase = match role {
            ConnectorRole::Source => RunPhase::Read,
            ConnectorRole::Destination => RunPhase::Write,
            ConnectorRole::Transform => RunPhase::Transform,
        };
        Rig {
            engine: engine(),
            role,
            config: Config { behaviour: behaviour.into(), schema: schema_hex(), ..Config::default() },
            grants: Grants {
                functions: HostFunctions {
                    state_read: true,
                    state_write: true,
                    logging: true,
                    metrics: true,
                },
                ..Grants::default()
            },
            redactor: Redactor::default(),
            memory_bytes_max: 64 * MIB,
            idle_timeout: PATIENCE,
            limits: Limits {
                max_batch_bytes: 4 * MIB,
                max_record_bytes: MIB,
                max_inflight_batches: 4,
                checkpoint_interval_bytes: 64 * MIB,
                checkpoint_interval_rows: 1_000_000,
                checkpoint_interval_seconds: 60,
            },
            phase,
            announced: None,
            inlet: None,
            outlet_bytes: u64::MAX,
            faults: None,
            network: None,
        }
    }

    pub fn source(behaviour: &str) -> Self {
        Rig::new(ConnectorRole::Source, behaviour)
    }

    pub fn destination(behaviour: &str) -> Self {
        let mut rig = Rig::new(ConnectorRole::Destination, behaviour);
        rig.inlet = Some(filled_inlet());
        rig
    }

    pub fn frames(mut self, frames: impl IntoIterator<Item = String>) -> Self {
        self.config.frames = frames.into_iter().collect();
        self
    }

    pub fn count(mut self, count: u64) -> Self {
        self.config.count = count;
        self
    }

    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.config.text = text.into();
        self
    }

    pub fn paths(mut self, paths: &[&Path]) -> Self {
        self.config.paths = paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
        self
    }

    /// Tells the guest where to connect, and grants it as the pipeline's config would.
    pub fn endpoint(mut self, host: &str, port: u16) -> Self {
        self.config.host = host.into();
        self.config.port = port;
        self.grants.endpoints.push(Endpoint { host: host.into(), port, from_config: true });
        self
    }

    pub fn load(&self) -> WasmConnector {
        let connector = self
            .engine
            .load(
                &guest(self.role),
                LoadOptions {
                    id: format!("guest-{}@0.0.0", self.role),
                    grants: self.grants.clone(),
                    memory_bytes_max: self.memory_bytes_max,
                    idle_timeout: self.idle_timeout,
                    redactor: self.redactor.clone(),
                },
            )
            .unwrap();
        let connector = match &self.faults {
            Some(plan) => connector.with_faults(plan.clone()),
            None => connector,
        };
        match &self.network {
            Some(network) => connector.with_network(network.clone()),
            None => connector,
        }
    }

    pub fn request(&self) -> RunRequest {
        let stream = StreamContext {
            pipeline: "pipeline".into(),
            name: "stream".into(),
            schema: self.announced.as_ref().map(|schema| encode_schema(schema).unwrap()).unwrap_or_default(),
            sync_mode: SyncMode::FullRefresh,
            cursor: None,
            position: None,
            columns: vec![],
            filter: None,
            write: None,
            partition: Partition::WHOLE,
            snapshot: None,
            partition_key: None,
            limits: self.limits,
            policies: Policies::default(),
        };
        let stream = (self.phase != RunPhase::Discover).then_some(stream);
        RunRequest { stream, phase: self.phase, dry_run: false, max_records: None }
    }

    pub async fn start(&mut self) -> Started {
        let services = Arc::new(FakeServices::default());
        let (sender, outlet) = channel(Bounds { bytes_max: self.outlet_bytes, frames_max: 1_000_000 });
        let io = InstanceIo {
            inlet: self.inlet.take(),
            outlet: (self.role != ConnectorRole::Destination).then(|| Arc::new(sender)),
            services: services.clone(),
            limits: self.limits,
            memory_bytes_max: self.memory_bytes_max,
        };
        let instance = self.load().start(io).await.unwrap();
        Started { instance, services, outlet, request: self.request(), config: self.config.clone() }
    }

    /// Opens, runs and closes; answers the first error.
    pub async fn run(mut self) -> Outcome {
        let mut started = self.start().await;
        let result = started.run().await;
        Outcome {
            result,
            services: started.services,
            outlet: started.outlet,
            peak: started.instance.memory_bytes_peak(),
        }
    }

    /// Runs a guest that must fail, then an honest one in the same engine.
    pub async fn fails(self) -> (ConnectorError, Outcome) {
        let engine = self.engine.clone();
        let behaviour = self.config.behaviour.clone();
        let outcome = self.run().await;
        let error = match &outcome.result {
            Ok(summary) => panic!("`{behaviour}` succeeded: {summary:?}"),
            Err(error) => error.clone(),
        };
        the_host_lives(&engine).await;
        (error, outcome)
    }

    /// Runs a guest that must succeed.
    pub async fn succeeds(self) -> (RunSummary, Outcome) {
        let behaviour = self.config.behaviour.clone();
        let outcome = self.run().await;
        match &outcome.result {
            Ok(summary) => (summary.clone(), outcome),
            Err(error) => panic!("`{behaviour}` failed: {error:?}"),
        }
    }
}

pub fn schema_hex() -> String {
    hex(&encode_schema(&schema()).unwrap())
}

/// Two frames, a checkpoint behind each, the end.
pub fn filled_inlet() -> Receiver {
    let (sender, receiver) = channel(Bounds { bytes_max: u64::MAX, frames_max: 1_000_000 });
    for id in 1..=2 {
        assert!(sender.try_send(Event::Frame(frame(id as i64 * 10, 3))).unwrap().is_none());
        let event = CheckpointEvent {
            kind: CheckpointKind::Source,
            stream: "stream".into(),
            id,
            cursor: None,
            records: 3,
            bytes: 0,
            complete: id == 2,
        };
        sender.try_send(Event::Checkpoint(event)).unwrap();
    }
    sender.finish().unwrap();
    receiver
}

pub struct Started {
    pub instance: Box<dyn Instance>,
    pub services: Arc<FakeServices>,
    pub outlet: Receiver,
    pub request: RunRequest,
    pub config: Config,
}

impl Started {
    pub async fn open(&mut self) -> Result<OpenInfo, ConnectorError> {
        self.instance.open(&serde_json::to_string(&self.config).unwrap()).await
    }

    pub async fn run(&mut self) -> Result<RunSummary, ConnectorError> {
        self.open().await?;
        self.instance.validate().await?;
        let summary = self.instance.run(self.request.clone()).await?;
        self.instance.close().await?;
        Ok(summary)
    }
}

pub struct Outcome {
    pub result: Result<RunSummary, ConnectorError>,
    pub services: Arc<FakeServices>,
    pub outlet: Receiver,
    pub peak: u64,
}

impl Outcome {
    /// What was emitted.
    pub fn emitted(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Ok(Some(Event::Frame(frame))) = self.outlet.try_recv() {
            frames.push(frame);
        }
        frames
    }
}

/// An honest guest still runs in this engine.
pub async fn the_host_lives(engine: &Engine) {
    let mut rig = Rig::source("echo").frames([frame_hex(1, 3)]);
    rig.engine = engine.clone();
    let (_, mut outcome) = rig.succeeds().await;
    assert_eq!(outcome.emitted()[0].decode().unwrap(), batch(1, 3));
}

/// Runs a test on a runtime of several threads, and not for ever.
pub fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("the test hangs") });
}
