//! A loaded connector: the port `Connector` over a component that is compiled, linked and granted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rapidbyte_core::grants::Grants;
use rapidbyte_core::ports::{Connector, Instance, InstanceIo};
use rapidbyte_core::{ConnectorError, ConnectorRole};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, InstancePre, ResourceTable};

use crate::activity::Activity;
use crate::component::{ComponentError, role_export};
use crate::engine::{CacheUse, Engine, LoadOptions};
use crate::faults::{Doom, FaultPlan};
use crate::imports::http::{Http, Outgoing};
use crate::instance::{Guest, WasmInstance};
use crate::limits::{CALL_BYTES_MIN, HANDLES_MAX};
use crate::network::Network;
use crate::report::Reporter;
use crate::sandbox;
use crate::store::{Held, HostState, Limiter, MemoryUse, Run};
use crate::wash::Washer;

/// A connector that [`Engine::load`] made. A clone shares the compiled code.
#[derive(Clone)]
pub struct WasmConnector {
    engine: Engine,
    pre: InstancePre<HostState>,
    role: ConnectorRole,
    exports: ExportIndices,
    id: String,
    grants: Arc<Grants>,
    memory_bytes_max: u64,
    idle_timeout: Duration,
    washer: Washer,
    cache: CacheUse,
    network: Arc<dyn Network>,
    faults: Option<Arc<FaultPlan>>,
}

/// Where the role's functions are in the component.
#[derive(Clone)]
pub struct ExportIndices {
    pub open: ComponentExportIndex,
    pub validate: ComponentExportIndex,
    pub run: ComponentExportIndex,
    pub close: ComponentExportIndex,
}

impl WasmConnector {
    pub(crate) fn new(
        engine: Engine,
        pre: InstancePre<HostState>,
        role: ConnectorRole,
        options: LoadOptions,
        cache: CacheUse,
    ) -> Result<Self, ComponentError> {
        let interface = role_export(role);
        let component = pre.component();
        let index = |parent: Option<&ComponentExportIndex>, name: &str| {
            component
                .get_export_index(parent, name)
                .ok_or_else(|| ComponentError::Mismatch { message: format!("`{interface}` has no `{name}`") })
        };
        let role_index = index(None, &interface)?;
        let function = |name| index(Some(&role_index), name);
        let exports = ExportIndices {
            open: function("open")?,
            validate: function("validate")?,
            run: function("run")?,
            close: function("close")?,
        };
        let network = engine.network();
        Ok(WasmConnector {
            engine,
            pre,
            role,
            exports,
            id: options.id,
            grants: Arc::new(options.grants),
            memory_bytes_max: options.memory_bytes_max,
            idle_timeout: options.idle_timeout,
            washer: Washer::new(options.redactor),
            cache,
            network,
            faults: None,
        })
    }

    /// Connects through this network instead of the engine's. Grants are checked before it is asked.
    pub fn with_network(mut self, network: Arc<dyn Network>) -> Self {
        self.network = network;
        self
    }

    /// Makes calls of this connector's instances go wrong by plan.
    pub fn with_faults(mut self, faults: Arc<FaultPlan>) -> Self {
        self.faults = Some(faults);
        self
    }

    /// What became of the cache when this was loaded.
    pub fn cache(&self) -> &CacheUse {
        &self.cache
    }
}

#[async_trait]
impl Connector for WasmConnector {
    fn id(&self) -> &str {
        &self.id
    }

    fn role(&self) -> ConnectorRole {
        self.role
    }

    fn memory_bytes_max(&self) -> u64 {
        self.memory_bytes_max
    }

    async fn start(&self, io: InstanceIo) -> Result<Box<dyn Instance>, ConnectorError> {
        Ok(Box::new(self.start_instance(io).await?))
    }
}

impl WasmConnector {
    /// The port's `start` with the instance's own type, whose sessions can be named.
    pub async fn start_instance(&self, io: InstanceIo) -> Result<WasmInstance, ConnectorError> {
        let reporter =
            Arc::new(Reporter::new(io.services.clone(), self.washer.clone(), self.grants.functions));
        let activity = Activity::new();
        let doom = Arc::new(Doom::default());
        let memory = Arc::new(MemoryUse::default());
        let memory_bytes_max = self.memory_bytes_max.min(io.memory_bytes_max);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let max_batch_bytes = io.limits.max_batch_bytes;
        let http = Http::new(Outgoing {
            id: self.id.clone().into(),
            role: self.role,
            grants: self.grants.clone(),
            network: self.network.clone(),
            services: io.services.clone(),
            reporter: reporter.clone(),
            activity: activity.clone(),
            faults: self.faults.clone(),
            doom: doom.clone(),
        });
        let state = HostState {
            table,
            wasi: sandbox::context(&self.grants, &reporter, self.network.random_bytes(&self.id))?,
            limiter: Limiter::new(memory_bytes_max, memory.clone()),
            role: self.role,
            grants: self.grants.clone(),
            network: self.network.clone(),
            id: self.id.clone(),
            faults: self.faults.clone(),
            services: io.services,
            reporter: reporter.clone(),
            http,
            activity: activity.clone(),
            limits: io.limits,
            inlet: io.inlet,
            outlet: io.outlet,
            run: Run::default(),
            held: Held::default(),
            unsent: Vec::new(),
        };
        let mut store = Store::new(self.engine.wasmtime(), state);
        store.limiter(|state| &mut state.limiter);
        // Twice a frame, so that one that is too large can be refused with a typed error.
        let call_bytes = usize::try_from(max_batch_bytes.saturating_mul(2)).unwrap_or(usize::MAX);
        store.set_hostcall_fuel(call_bytes.max(CALL_BYTES_MIN));
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);

        let guest = Guest {
            engine: self.engine.clone(),
            store,
            id: self.id.clone(),
            role: self.role,
            reporter,
            activity,
            doom,
            memory,
            memory_bytes_max,
            idle_timeout: self.idle_timeout,
        };
        WasmInstance::start(guest, &self.pre, &self.exports).await
    }
}
