//! One running connector: the four calls, what watches over them, and what is left after a fault.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rapidbyte_core::frame::decode_schema;
use rapidbyte_core::limits::CURSOR_BYTES_MAX;
use rapidbyte_core::ports::Instance;
use rapidbyte_core::waiting::Waiting;
use rapidbyte_core::{
    ConnectorError, ConnectorRole, CursorValue, OpenInfo, PROTOCOL_VERSION, PartitionPlan, RunPhase,
    RunRequest, RunSummary, ValidationReport,
};
use wasmtime::Store;
use wasmtime::component::{InstancePre, TypedFunc};

use crate::activity::Activity;
use crate::bindings::{core_types as wc, stream_types as ws};
use crate::connector::ExportIndices;
use crate::convert;
use crate::engine::Engine;
use crate::fault;
use crate::faults::Doom;
use crate::limits::NAME_BYTES_MAX;
use crate::report::Reporter;
use crate::store::{HostState, MemoryUse, Run};

type Answer<T> = (Result<T, wc::ConnectorError>,);

/// A store with everything that watches over it.
pub struct Guest {
    pub engine: Engine,
    pub store: Store<HostState>,
    pub id: String,
    pub role: ConnectorRole,
    pub reporter: Arc<Reporter>,
    pub activity: Arc<Activity>,
    pub doom: Arc<Doom>,
    pub memory: Arc<MemoryUse>,
    pub memory_bytes_max: u64,
    pub idle_timeout: Duration,
}

struct Exports {
    open: TypedFunc<(String,), Answer<wc::Opened>>,
    validate: TypedFunc<(u64,), Answer<wc::ValidationReport>>,
    run: TypedFunc<(u64, ws::RunRequest), Answer<ws::RunSummary>>,
    close: TypedFunc<(u64,), Answer<()>>,
}

/// The port `Instance` over one store.
pub struct WasmInstance {
    guest: Guest,
    exports: Exports,
    session: Option<u64>,
    /// Set while a call goes on: a call that never came back has left the guest in the middle of something.
    poisoned: bool,
}

/// Ends a call whose guest is idle for too long or doomed, and tells a trap from an answer. A macro, because the call borrows the
/// store that sits beside what watches over it.
macro_rules! watched {
    ($guest:expr, $doing:literal, $call:expr) => {{
        let guest = &mut $guest;
        let _ticking = guest.engine.ticking();
        guest.activity.touch();
        let ended = {
            let store = &mut guest.store;
            tokio::select! {
                biased;
                ended = $call(store) => Ok(ended),
                cause = guest.doom.pronounced() => Ok(Err(cause)),
                waiting = guest.activity.idle_for(guest.idle_timeout) => Err(waiting),
            }
        };
        guest.reporter.settle();
        match ended {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(fault::trapped(guest, $doing, &error)),
            Err(waiting) => Err(fault::idle(guest, $doing, waiting)),
        }
    }};
}

impl WasmInstance {
    pub(crate) async fn start(
        mut guest: Guest,
        pre: &InstancePre<HostState>,
        exports: &ExportIndices,
    ) -> Result<Self, ConnectorError> {
        let instance = watched!(guest, "start", |store| pre.instantiate_async(store))?;
        let mismatch = |error: wasmtime::Error| {
            ConnectorError::internal(
                "contract_mismatch",
                format!("the connector does not fit the contract: {error:#}"),
            )
        };
        let store = &mut guest.store;
        let exports = Exports {
            open: instance.get_typed_func(&mut *store, exports.open).map_err(mismatch)?,
            validate: instance.get_typed_func(&mut *store, exports.validate).map_err(mismatch)?,
            run: instance.get_typed_func(&mut *store, exports.run).map_err(mismatch)?,
            close: instance.get_typed_func(&mut *store, exports.close).map_err(mismatch)?,
        };
        Ok(WasmInstance { guest, exports, session: None, poisoned: false })
    }

    fn begin(&mut self) -> Result<(), ConnectorError> {
        if self.poisoned {
            return Err(ConnectorError::internal(
                "instance_poisoned",
                format!(
                    "this instance of `{}` was interrupted or trapped and cannot be used again",
                    self.guest.id
                ),
            ));
        }
        self.poisoned = true;
        Ok(())
    }

    /// A call came back with an answer: the guest is whole.
    fn came_back<T>(&mut self, answer: Result<T, wc::ConnectorError>) -> Result<T, ConnectorError> {
        self.poisoned = false;
        answer.map_err(|error| convert::guest_error(&self.guest.reporter.washer, error))
    }

    fn session(&self) -> Result<u64, ConnectorError> {
        self.session.ok_or_else(|| ConnectorError::internal("not_open", "the connector is not open"))
    }

    fn contract(&self, what: String) -> ConnectorError {
        ConnectorError::internal(
            "contract_violated",
            format!("`{}` breaks the contract: {what}", self.guest.id),
        )
    }
}

/// The four calls with the session named outright, for whoever proves that a connector keeps sessions apart. The port
/// `Instance` is the same over the one session it opened.
impl WasmInstance {
    pub async fn open_session(&mut self, config_json: &str) -> Result<(u64, OpenInfo), ConnectorError> {
        self.begin()?;
        let (open, config) = (self.exports.open, config_json.to_owned());
        let (answer,) = watched!(self.guest, "open", |store| open.call_async(store, (config,)))?;
        let opened = self.came_back(answer)?;
        let info = convert::open_info(&self.guest.reporter.washer, opened.info);
        if info.role != self.guest.role {
            return Err(self.contract(format!("it exports `{}` and says `{}`", self.guest.role, info.role)));
        }
        if info.protocol_version != PROTOCOL_VERSION {
            return Err(self.contract(format!(
                "it speaks version `{}`, this host {PROTOCOL_VERSION}",
                info.protocol_version
            )));
        }
        Ok((opened.session, info))
    }

    pub async fn validate_session(&mut self, session: u64) -> Result<ValidationReport, ConnectorError> {
        self.begin()?;
        let validate = self.exports.validate;
        let (answer,) = watched!(self.guest, "validate", |store| validate.call_async(store, (session,)))?;
        let report = self.came_back(answer)?;
        Ok(convert::validation_report(&self.guest.reporter.washer, report))
    }

    pub async fn run_session(
        &mut self,
        session: u64,
        request: RunRequest,
    ) -> Result<RunSummary, ConnectorError> {
        self.begin()?;
        let phase = request.phase;
        let ranges_max = request.stream.as_ref().map_or(1, |stream| stream.partition.count.max(1));
        self.guest.store.data_mut().run = match run_of(&request) {
            Ok(run) => run,
            Err(error) => {
                self.poisoned = false;
                return Err(error);
            }
        };
        let (run, request) = (self.exports.run, ws::RunRequest::from(request));
        let called = watched!(self.guest, "run", |store| run.call_async(store, (session, request)));
        self.guest.store.data_mut().run = Run::default();
        let (answer,) = called?;
        let summary = self.came_back(answer)?;
        let summary = convert::run_summary(&self.guest.reporter.washer, summary)?;
        if summary.role != self.guest.role {
            return Err(self.contract(format!("its summary is that of a `{}`", summary.role)));
        }
        if phase == RunPhase::Discover && summary.catalog.is_none() {
            return Err(self.contract("discovery returned no catalog".into()));
        }
        if phase == RunPhase::Partition
            && let Err(reason) = check_plan(summary.partition_plan.as_ref(), ranges_max)
        {
            return Err(self.contract(format!("the partition phase returned {reason}")));
        }
        Ok(summary)
    }

    pub async fn close_session(&mut self, session: u64) -> Result<(), ConnectorError> {
        self.begin()?;
        let close = self.exports.close;
        let (answer,) = watched!(self.guest, "close", |store| close.call_async(store, (session,)))?;
        self.came_back(answer)
    }
}

#[async_trait]
impl Instance for WasmInstance {
    async fn open(&mut self, config_json: &str) -> Result<OpenInfo, ConnectorError> {
        if self.session.is_some() {
            return Err(ConnectorError::internal("already_open", "the connector is open already"));
        }
        let (session, info) = self.open_session(config_json).await?;
        self.session = Some(session);
        Ok(info)
    }

    async fn validate(&mut self) -> Result<ValidationReport, ConnectorError> {
        let session = self.session()?;
        self.validate_session(session).await
    }

    async fn run(&mut self, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let session = self.session()?;
        self.run_session(session, request).await
    }

    async fn close(&mut self) -> Result<(), ConnectorError> {
        let Some(session) = self.session.take() else { return Ok(()) };
        self.close_session(session).await
    }

    fn memory_bytes_peak(&self) -> u64 {
        self.guest.memory.peak_bytes()
    }

    fn remote_waits(&self) -> Option<Arc<Waiting>> {
        Some(self.guest.activity.remote_waits())
    }
}

/// What a plan must be, or what it is instead. It is stored and given to other connectors, so it is bounded.
fn check_plan(plan: Option<&PartitionPlan>, ranges_max: u32) -> Result<(), String> {
    let plan = plan.ok_or("no plan")?;
    if plan.ranges.len() as u64 > u64::from(ranges_max) {
        return Err(format!("{} ranges, at most {ranges_max} were asked for", plan.ranges.len()));
    }
    let names = plan.ranges.iter().map(|range| &range.field).chain(&plan.snapshot);
    let values = plan.ranges.iter().flat_map(|range| [&range.lower, &range.upper]).flatten();
    let texts = values.filter_map(|value| match value {
        CursorValue::Utf8(text) | CursorValue::Decimal(text) | CursorValue::Json(text) => Some(text),
        _ => None,
    });
    let name_bytes = names.map(String::len).max().unwrap_or(0);
    let value_bytes = texts.map(String::len).max().unwrap_or(0);
    if name_bytes > NAME_BYTES_MAX * 16 || value_bytes > CURSOR_BYTES_MAX {
        return Err(format!("a name of {name_bytes} or a value of {value_bytes} bytes"));
    }
    Ok(())
}

fn run_of(request: &RunRequest) -> Result<Run, ConnectorError> {
    // A source is told what flows out of it; the others' way out is settled by their first frame.
    let announced = match &request.stream {
        Some(stream) if request.phase == RunPhase::Read && !stream.schema.is_empty() => {
            Some(decode_schema(&stream.schema)?)
        }
        _ => None,
    };
    Ok(Run {
        phase: Some(request.phase),
        stream: request.stream.as_ref().map(|stream| stream.name.clone()),
        announced,
        ..Run::default()
    })
}
