//! The engine: Wasmtime as this product wants it, the epoch's clock, and loading connectors.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use rapidbyte_core::grants::Grants;
use rapidbyte_core::limits::{COMPONENT_BYTES_MAX, EPOCH_TICK_MS};
use rapidbyte_core::redact::Redactor;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, WasmBacktraceDetails};

use crate::bindings::RapidbyteHost;
use crate::cache::{Cache, ComponentDigest};
use crate::component::{self, ComponentError};
use crate::connector::WasmConnector;
use crate::network::{Network, Resolver, SystemNetwork, SystemResolver};
use crate::sandbox;
use crate::store::HostState;

/// How an engine is made.
#[derive(Default)]
pub struct EngineOptions {
    /// Where compiled code is kept. None: it is compiled each time.
    pub cache_dir: Option<PathBuf>,
    /// None: the operating system's.
    pub resolver: Option<Arc<dyn Resolver>>,
}

/// How a connector is loaded.
pub struct LoadOptions {
    /// Name and version from the manifest: `source-postgres@1.0.0`.
    pub id: String,
    pub grants: Grants,
    /// What the manifest allows an instance, in bytes.
    pub memory_bytes_max: u64,
    /// How long an instance may do nothing.
    pub idle_timeout: Duration,
    /// Knows the secrets of the pipeline.
    pub redactor: Redactor,
}

/// What became of the cache when a component was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheUse {
    /// The compiled code's file. None: there is no cache.
    pub path: Option<PathBuf>,
    /// Whether it was there.
    pub hit: bool,
    /// How long compiling took, if it had to be done.
    pub compiled_in: Option<Duration>,
}

/// What [`Engine::precompile`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precompiled {
    /// Size of the native code.
    pub code_bytes: u64,
    pub cache: CacheUse,
}

/// Compiles, caches and loads connectors. Cheap to clone; one for the process is enough.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    wasmtime: wasmtime::Engine,
    linker: Linker<HostState>,
    cache: Option<Cache>,
    network: Arc<dyn Network>,
    ticker: Arc<Ticker>,
}

impl Engine {
    /// Fails only where this machine cannot run WebAssembly as configured.
    pub fn new(options: EngineOptions) -> Result<Self, ComponentError> {
        let unfit = |error: wasmtime::Error| ComponentError::Compile { message: format!("{error:#}") };
        let wasmtime = wasmtime::Engine::new(&config()).map_err(unfit)?;
        let mut linker = Linker::new(&wasmtime);
        sandbox::add_to_linker(&mut linker).map_err(unfit)?;
        RapidbyteHost::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut HostState| state)
            .map_err(unfit)?;
        let cache = options.cache_dir.as_deref().and_then(|dir| Cache::open(dir, &wasmtime));
        let ticker = Ticker::new(&wasmtime);
        let resolver = options.resolver.unwrap_or_else(|| Arc::new(SystemResolver));
        let network = Arc::new(SystemNetwork::new(resolver));
        Ok(Engine { inner: Arc::new(Inner { wasmtime, linker, cache, network, ticker }) })
    }

    /// Loads the component at `path`, compiled before or now. Blocks: compiling takes a second or more.
    pub fn load(&self, path: &Path, options: LoadOptions) -> Result<WasmConnector, ComponentError> {
        let (component, cache) = self.component(path)?;
        let role = self.role(&component)?;
        let pre = self
            .inner
            .linker
            .instantiate_pre(&component)
            .map_err(|error| ComponentError::Mismatch { message: format!("{:#}", error) })?;
        WasmConnector::new(self.clone(), pre, role, options, cache)
    }

    /// Compiles a component into the cache, so that loading it later is quick.
    pub fn precompile(&self, bytes: &[u8]) -> Result<Precompiled, ComponentError> {
        component::inspect(bytes)?;
        let digest = ComponentDigest::of(bytes);
        let start = Instant::now();
        let code = self.inner.wasmtime.precompile_component(bytes).map_err(does_not_compile)?;
        let compiled_in = Some(start.elapsed());
        self.keep(&digest, &code);
        let cache = CacheUse { path: self.code_path(&digest), hit: false, compiled_in };
        Ok(Precompiled { code_bytes: code.len() as u64, cache })
    }

    fn component(&self, path: &Path) -> Result<(Component, CacheUse), ComponentError> {
        let cache = self.inner.cache.as_ref();
        if let Some(cache) = cache
            && let Some(digest) = cache.noted_digest(path)
            && let Some(component) = cache.load(&self.inner.wasmtime, &digest)
        {
            return Ok((component, CacheUse { path: self.code_path(&digest), hit: true, compiled_in: None }));
        }
        let unreadable = |source| ComponentError::Read { path: path.display().to_string(), source };
        let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if bytes > COMPONENT_BYTES_MAX {
            return Err(ComponentError::TooLarge { bytes });
        }
        let (bytes, digest) = Cache::read(cache, path).map_err(unreadable)?;
        if let Some(component) = cache.and_then(|cache| cache.load(&self.inner.wasmtime, &digest)) {
            return Ok((component, CacheUse { path: self.code_path(&digest), hit: true, compiled_in: None }));
        }
        // Says in plain words what Wasmtime would say in its own.
        component::inspect(&bytes)?;
        let start = Instant::now();
        let component = Component::from_binary(&self.inner.wasmtime, &bytes).map_err(does_not_compile)?;
        let compiled_in = Some(start.elapsed());
        if cache.is_some() {
            match component.serialize() {
                Ok(code) => self.keep(&digest, &code),
                Err(error) => tracing::debug!(%error, "compiled code cannot be written"),
            }
        }
        Ok((component, CacheUse { path: self.code_path(&digest), hit: false, compiled_in }))
    }

    fn keep(&self, digest: &ComponentDigest, code: &[u8]) {
        if let Some(cache) = &self.inner.cache
            && let Err(error) = cache.store(digest, code)
        {
            tracing::warn!(%error, "compiled code is not cached");
        }
    }

    fn code_path(&self, digest: &ComponentDigest) -> Option<PathBuf> {
        self.inner.cache.as_ref().map(|cache| cache.code_path(digest))
    }

    fn role(&self, component: &Component) -> Result<rapidbyte_core::ConnectorRole, ComponentError> {
        let kind = component.component_type();
        component::check_imports(kind.imports(&self.inner.wasmtime).map(|(name, _)| name))?;
        component::role(kind.exports(&self.inner.wasmtime).map(|(name, _)| name))
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.wasmtime
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.inner.cache.as_ref()
    }

    /// The network itself, through this engine's resolver.
    pub fn network(&self) -> Arc<dyn Network> {
        self.inner.network.clone()
    }

    /// Keeps the epoch ticking for as long as the guard lives.
    pub(crate) fn ticking(&self) -> Ticking {
        Ticker::start(&self.inner.ticker)
    }
}

pub(crate) fn does_not_compile(error: wasmtime::Error) -> ComponentError {
    ComponentError::Compile { message: format!("{error:#}") }
}

/// As measured in the design: epochs, Cranelift, signals for traps; no fuel, no pooling, no inlining, and no support for
/// concurrent guests, which costs 70 ns at each call. Proposals that bring memory past the limiter (shared memories,
/// collected heaps) are off: no toolchain for `wasm32-wasip2` needs them.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .wasm_threads(false)
        .wasm_gc(false)
        .wasm_component_model(true)
        .epoch_interruption(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .native_unwind_info(cfg!(windows));
    config
}

/// Moves the engine's epoch on, in a thread that sleeps while no guest runs.
struct Ticker {
    engine: wasmtime::Engine,
    state: Mutex<TickerState>,
    wake: Condvar,
}

#[derive(Default)]
struct TickerState {
    running: usize,
    has_thread: bool,
    ended: bool,
}

impl Ticker {
    fn new(engine: &wasmtime::Engine) -> Arc<Self> {
        Arc::new(Ticker { engine: engine.clone(), state: Mutex::default(), wake: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, TickerState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn start(ticker: &Arc<Self>) -> Ticking {
        let mut state = ticker.lock();
        state.running += 1;
        if !state.has_thread {
            let weak = Arc::downgrade(ticker);
            let spawned = std::thread::Builder::new().name("rapidbyte-epoch".into()).spawn(|| tick(weak));
            state.has_thread = spawned.is_ok();
            if let Err(error) = spawned {
                tracing::warn!(%error, "guests that spin cannot be interrupted: no thread for the epoch");
            }
        }
        drop(state);
        ticker.wake.notify_one();
        Ticking(ticker.clone())
    }
}

fn tick(ticker: Weak<Ticker>) {
    loop {
        let Some(ticker) = ticker.upgrade() else { return };
        ticker.engine.increment_epoch();
        let mut state = ticker.lock();
        while state.running == 0 && !state.ended {
            state = ticker.wake.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        if state.ended {
            return;
        }
        drop(state);
        drop(ticker);
        std::thread::sleep(Duration::from_millis(EPOCH_TICK_MS));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ticker.lock().ended = true;
        self.ticker.wake.notify_all();
    }
}

/// See [`Engine::ticking`].
pub(crate) struct Ticking(Arc<Ticker>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}
