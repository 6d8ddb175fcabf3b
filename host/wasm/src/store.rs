//! What the host keeps for one instance: its handles, its channels, its grants, its bounds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_schema::Schema;
use rapidbyte_core::channel::{Receiver, Sender};
use rapidbyte_core::grants::Grants;
use rapidbyte_core::ports::Services;
use rapidbyte_core::{ConnectorRole, Limits, RunPhase};
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use crate::activity::Activity;
use crate::faults::FaultPlan;
use crate::imports::http::Http;
use crate::limits::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};
use crate::network::Network;
use crate::report::Reporter;

/// The store's data.
pub struct HostState {
    pub table: ResourceTable,
    pub wasi: WasiCtx,
    pub limiter: Limiter,

    pub role: ConnectorRole,
    pub grants: Arc<Grants>,
    pub network: Arc<dyn Network>,
    /// Name and version of the connector.
    pub id: String,
    /// What is to go wrong. None: nothing is made to.
    pub faults: Option<Arc<FaultPlan>>,
    pub services: Arc<dyn Services>,
    pub reporter: Arc<Reporter>,
    /// What `wasi:http` needs.
    pub http: Http,
    pub activity: Arc<Activity>,
    pub limits: Limits,

    pub inlet: Option<Receiver>,
    pub outlet: Option<Arc<Sender>>,
    pub run: Run,
    pub held: Held,
    /// Sockets (by handle) with bytes that were taken from the guest and wait to be sent.
    pub unsent: Vec<u32>,
}

/// What belongs to the call of `run` that goes on.
#[derive(Default)]
pub struct Run {
    /// None outside of `run`.
    pub phase: Option<RunPhase>,
    pub stream: Option<String>,
    /// What a source was told that it emits.
    pub announced: Option<Schema>,
    /// What was emitted first, and its bytes for a quick comparison.
    pub emitted: Option<Emitted>,
    /// Checkpoints handed to the guest that it has not passed on or committed yet.
    pub outstanding: VecDeque<u64>,
    /// Whether the guest has asked for its input: no receipt after that.
    pub consuming: bool,
}

pub struct Emitted {
    pub message: Vec<u8>,
    pub schema: Schema,
}

/// Handles of the contract that are open, for their limits.
#[derive(Debug, Default)]
pub struct Held {
    pub frames: usize,
    pub frame_bytes: u64,
    pub sockets: usize,
}

/// Bounds memory, tables and instances of one store, all memories together.
pub struct Limiter {
    memory_bytes_max: u64,
    memory_bytes: u64,
    table_elements: usize,
    usage: Arc<MemoryUse>,
}

/// What the outside may know about an instance's memory.
#[derive(Debug, Default)]
pub struct MemoryUse {
    peak_bytes: AtomicU64,
    refused_bytes: AtomicU64,
}

impl MemoryUse {
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// What the guest wanted when it was refused more than its limit; none if it never was.
    pub fn refused_bytes(&self) -> Option<u64> {
        Some(self.refused_bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

impl Limiter {
    pub fn new(memory_bytes_max: u64, usage: Arc<MemoryUse>) -> Self {
        Limiter { memory_bytes_max, memory_bytes: 0, table_elements: 0, usage }
    }
}

impl ResourceLimiter for Limiter {
    /// Refuses instead of trapping: a runtime with a collector may then collect.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current) as u64);
        if total > self.memory_bytes_max {
            self.usage.refused_bytes.store(total, Ordering::Relaxed);
            return Ok(false);
        }
        self.memory_bytes = total;
        self.usage.peak_bytes.fetch_max(total, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > TABLE_ELEMENTS_MAX {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
