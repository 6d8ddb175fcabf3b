//! Faults at the host's boundary, for whoever tests connectors: a [`FaultPlan`] makes the n-th call of an import go wrong in
//! a chosen way. Without a plan nothing is counted and nothing is slower than one look at an empty option.
//!
//! Refuses to know: which faults are worth trying, and how a connector should take them. That is conformance.
//!
//! ```
//! use rapidbyte_wasm::faults::{Fault, FaultKind, FaultPlan, Import};
//! use std::sync::Arc;
//!
//! // The third read of a socket breaks the connection.
//! let plan = FaultPlan::of([Fault::new(Import::TcpRead, 3, FaultKind::Reset)?]);
//! assert_eq!(plan.to_string(), "tcp-read#3=reset");
//! // The same again, from a report.
//! assert_eq!(FaultPlan::parse("tcp-read#3=reset")?.to_string(), plan.to_string());
//! let plan = Arc::new(plan);
//! # #[allow(unused)]
//! # fn attach(connector: rapidbyte_wasm::WasmConnector, plan: Arc<FaultPlan>) {
//! let connector = connector.with_faults(plan.clone());
//! # }
//! # Ok::<(), rapidbyte_wasm::faults::NotPossible>(())
//! ```
//!
//! # How to use it
//!
//! 1. Run the connector with [`FaultPlan::default`] attached: it breaks nothing and counts; [`FaultPlan::calls`] says
//!    which imports the guest uses, and how often.
//! 2. For each of these and each of [`Import::kinds`], run it with one fault; or take [`FaultPlan::seeded`] combinations.
//! 3. Look at what came out, and at [`FaultPlan::fired`]: a fault that never fired has tested nothing.
//!
//! Calls count from 1 and over all instances that share a plan, so give a source and a destination plans of their own,
//! unless they are to be killed together. Counting happens in the order in which the guests enter the host; with one
//! instance that is the same in every run.
//!
//! # What each kind does
//!
//! | kind | where | what the guest sees |
//! | --- | --- | --- |
//! | [`FaultKind::Refuse`] | imports that can fail | `tcp-connect` and `http-request`: the connection is refused, retryable; others: a `permission` error `refused` |
//! | [`FaultKind::Delay`] | everywhere | the call takes so much longer. Imports that never wait hold a thread meanwhile |
//! | [`FaultKind::CutShort`] | reads and writes of sockets, answers of HTTP | at most so many bytes; `tcp-write`, which writes all or fails, writes so many and then the connection is reset; an answer's body ends too early after so many |
//! | [`FaultKind::Reset`] | sockets, HTTP | `connection_reset`; the peer sees a reset too. Of `wasi:http`, that the connection was terminated |
//! | [`FaultKind::HostError`] | imports that can fail | an `internal` error `host_error`, not retryable; of `wasi:http`, its `internal-error` |
//! | [`FaultKind::Trap`] | everywhere | nothing: the guest ends in a trap; the caller gets `guest_trapped` |
//! | [`FaultKind::Kill`] | everywhere | nothing: it ends, and so does every guest that shares the plan at its next call; the caller gets `killed`. Nothing that they had not yet handed to the host happens any more, as if the process had died |
//!
//! A fault strikes before the import does anything, except where bytes are cut. Frames and sockets that were given away in
//! the call are gone. Of WASI, `wasi:http` is covered: `http-request` is a request that goes out, `http-response` an answer
//! that has come, before its body is read. Files, clocks and random numbers are not.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rapidbyte_core::ConnectorError;
use tokio::sync::Notify;

use crate::imports::Fault as CallFault;
use crate::limits::FAULT_DELAY_MS_MAX;
use crate::network::network_error;

macro_rules! imports {
    ($($variant:ident => $name:literal: $class:ident),+ $(,)?) => {
        /// Every function of `host-io`, and what goes over `wasi:http`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Import { $(#[doc = concat!("`", $name, "`")] $variant),+ }

        impl Import {
            pub const ALL: &[Import] = &[$(Import::$variant),+];

            /// Its name in the contract; methods of frames with `frame.` before. What goes over `wasi:http` begins with `http-`.
            pub fn name(self) -> &'static str {
                match self { $(Import::$variant => $name),+ }
            }

            fn class(self) -> Class {
                match self { $(Import::$variant => Class::$class),+ }
            }
        }
    };
}

/// What can go wrong with a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It has no error to answer with.
    Infallible,
    Fallible,
    /// On a socket, without bytes.
    Socket,
    /// Bytes of a socket.
    SocketBytes,
    /// A request over `wasi:http`.
    Request,
    /// An answer over `wasi:http`.
    Response,
}

imports! {
    FrameFromIpc => "frame.from-ipc": Fallible,
    FrameFromJson => "frame.from-json": Fallible,
    FrameToIpc => "frame.to-ipc": Infallible,
    FrameToJson => "frame.to-json": Fallible,
    FrameRecords => "frame.records": Infallible,
    FrameBytes => "frame.bytes": Infallible,
    BatchEmit => "batch-emit": Fallible,
    BatchTryEmit => "batch-try-emit": Fallible,
    BatchNext => "batch-next": Fallible,
    BatchTryNext => "batch-try-next": Fallible,
    Wait => "wait": Infallible,
    Cancelled => "cancelled": Infallible,
    TcpConnect => "tcp-connect": Socket,
    TcpStartTls => "tcp-start-tls": Socket,
    TcpRead => "tcp-read": SocketBytes,
    TcpTryRead => "tcp-try-read": SocketBytes,
    TcpWrite => "tcp-write": SocketBytes,
    TcpTryWrite => "tcp-try-write": SocketBytes,
    TcpClose => "tcp-close": Socket,
    StateGet => "state-get": Fallible,
    StatePut => "state-put": Fallible,
    StateCompareAndSwap => "state-compare-and-swap": Fallible,
    TelemetryCheckpoint => "telemetry-checkpoint": Fallible,
    TelemetryCommitted => "telemetry-committed": Infallible,
    TelemetryMetric => "telemetry-metric": Infallible,
    TelemetryLog => "telemetry-log": Infallible,
    TelemetryProgress => "telemetry-progress": Infallible,
    TelemetryDlq => "telemetry-dlq": Fallible,
    HttpRequest => "http-request": Request,
    HttpResponse => "http-response": Response,
}

impl Import {
    pub fn parse(name: &str) -> Option<Import> {
        Import::ALL.iter().copied().find(|import| import.name() == name)
    }

    /// Whether it is a function of `host-io`, and not one of WASI.
    pub fn is_host_io(self) -> bool {
        !matches!(self.class(), Class::Request | Class::Response)
    }

    /// The kinds of faults that it can have, with a small delay and the shortest cut.
    pub fn kinds(self) -> Vec<FaultKind> {
        let all = [
            FaultKind::Refuse,
            FaultKind::Delay { ms: 20 },
            FaultKind::CutShort { bytes: 1 },
            FaultKind::Reset,
            FaultKind::HostError,
            FaultKind::Trap,
            FaultKind::Kill,
        ];
        all.into_iter().filter(|kind| self.admits(*kind)).collect()
    }

    fn admits(self, kind: FaultKind) -> bool {
        match kind {
            FaultKind::Delay { ms } => ms <= FAULT_DELAY_MS_MAX,
            FaultKind::Trap | FaultKind::Kill => true,
            FaultKind::Refuse | FaultKind::HostError => {
                !matches!(self.class(), Class::Infallible | Class::Response)
            }
            FaultKind::Reset => !matches!(self.class(), Class::Infallible | Class::Fallible),
            FaultKind::CutShort { bytes } => {
                bytes > 0 && matches!(self.class(), Class::SocketBytes | Class::Response)
            }
        }
    }
}

/// How a call goes wrong; see the module's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    Refuse,
    Delay { ms: u64 },
    CutShort { bytes: u32 },
    Reset,
    HostError,
    Trap,
    Kill,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::Refuse => f.write_str("refuse"),
            FaultKind::Delay { ms } => write!(f, "delay:{ms}"),
            FaultKind::CutShort { bytes } => write!(f, "cut-short:{bytes}"),
            FaultKind::Reset => f.write_str("reset"),
            FaultKind::HostError => f.write_str("host-error"),
            FaultKind::Trap => f.write_str("trap"),
            FaultKind::Kill => f.write_str("kill"),
        }
    }
}

impl FaultKind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':') {
            Some(("delay", ms)) => FaultKind::Delay { ms: ms.parse().ok()? },
            Some(("cut-short", bytes)) => FaultKind::CutShort { bytes: bytes.parse().ok()? },
            Some(_) => return None,
            None => match text {
                "refuse" => FaultKind::Refuse,
                "reset" => FaultKind::Reset,
                "host-error" => FaultKind::HostError,
                "trap" => FaultKind::Trap,
                "kill" => FaultKind::Kill,
                _ => return None,
            },
        })
    }
}

/// One fault: the `call`-th call of `import`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    import: Import,
    call: u64,
    kind: FaultKind,
}

impl Fault {
    pub fn new(import: Import, call: u64, kind: FaultKind) -> Result<Self, NotPossible> {
        let fault = Fault { import, call, kind };
        if call > 0 && import.admits(kind) { Ok(fault) } else { Err(NotPossible(fault.to_string())) }
    }

    pub fn import(&self) -> Import {
        self.import
    }

    pub fn call(&self) -> u64 {
        self.call
    }

    pub fn kind(&self) -> FaultKind {
        self.kind
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}={}", self.import.name(), self.call, self.kind)
    }
}

/// A fault that its import cannot have, or a text that names none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no possible fault: write `import#call=kind`, of a kind that the import can have")]
pub struct NotPossible(String);

/// The faults of one run; see the module. Strikes once for each fault, counts all calls.
#[derive(Debug, Default)]
pub struct FaultPlan {
    faults: Vec<Fault>,
    calls: Mutex<BTreeMap<Import, u64>>,
    fired: Mutex<Vec<Fault>>,
    killed: AtomicBool,
    kill: Notify,
}

impl fmt::Display for FaultPlan {
    /// What [`FaultPlan::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl FaultPlan {
    pub fn of(faults: impl IntoIterator<Item = Fault>) -> Self {
        FaultPlan { faults: faults.into_iter().collect(), ..FaultPlan::default() }
    }

    /// Reads `tcp-read#3=reset,state-put#1=delay:50`.
    pub fn parse(text: &str) -> Result<Self, NotPossible> {
        let fault = |text: &str| {
            let no = || NotPossible(text.to_owned());
            let (place, kind) = text.split_once('=').ok_or_else(no)?;
            let (import, call) = place.split_once('#').ok_or_else(no)?;
            let import = Import::parse(import).ok_or_else(no)?;
            let call = call.parse().map_err(|_| no())?;
            Fault::new(import, call, FaultKind::parse(kind).ok_or_else(no)?)
        };
        let faults = text.split(',').filter(|part| !part.is_empty()).map(fault);
        Ok(FaultPlan::of(faults.collect::<Result<Vec<_>, _>>()?))
    }

    /// So many faults at random among calls that were seen in a run without faults. The same seed and calls give the same
    /// plan, on every machine and in every version of this suite.
    pub fn seeded(seed: u64, calls: &BTreeMap<Import, u64>, count: usize) -> Self {
        let mut random = SplitMix64(seed);
        let used: Vec<_> = calls.iter().filter(|(_, calls)| **calls > 0).collect();
        let mut faults: Vec<Fault> = Vec::new();
        if used.is_empty() {
            return FaultPlan::default();
        }
        for _ in 0..count {
            let (import, calls) = used[random.below(used.len() as u64) as usize];
            let call = 1 + random.below(*calls);
            let kinds = import.kinds();
            let kind = kinds[random.below(kinds.len() as u64) as usize];
            if !faults.iter().any(|fault| (fault.import, fault.call) == (*import, call)) {
                faults.push(Fault { import: *import, call, kind });
            }
        }
        FaultPlan::of(faults)
    }

    /// How often each import was called so far.
    pub fn calls(&self) -> BTreeMap<Import, u64> {
        self.calls.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// The faults that have struck, in order.
    pub fn fired(&self) -> Vec<Fault> {
        self.fired.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Whether a [`FaultKind::Kill`] has struck.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Returns once a [`FaultKind::Kill`] has struck, so that a test can drop what is left.
    pub async fn killed(&self) {
        let notified = self.kill.notified();
        if !self.is_killed() {
            notified.await;
        }
    }

    /// Counts a call; answers what is to happen to it.
    fn next(&self, import: Import) -> Option<FaultKind> {
        if self.is_killed() {
            return Some(FaultKind::Kill);
        }
        let call = {
            let mut calls = self.calls.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let calls = calls.entry(import).or_default();
            *calls += 1;
            *calls
        };
        let fault = self.faults.iter().find(|fault| fault.import == import && fault.call == call)?;
        self.fired.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(*fault);
        if fault.kind == FaultKind::Kill {
            self.killed.store(true, Ordering::Release);
            self.kill.notify_waiters();
        }
        Some(fault.kind)
    }
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators". Written here so that a seed means the same for ever.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// How a guest was ended that a plan has killed; `fault` turns it into an error.
#[derive(Debug, thiserror::Error)]
#[error("killed by a fault plan")]
pub(crate) struct Killed;

/// What is left for the import itself to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bent {
    CutShort(u32),
    Reset,
}

/// For imports that wait.
pub(crate) async fn strike(plan: &Option<Arc<FaultPlan>>, import: Import) -> Result<Option<Bent>, CallFault> {
    match struck(plan, import) {
        None => Ok(None),
        Some(FaultKind::Delay { ms }) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(None)
        }
        Some(kind) => answer(import, kind),
    }
}

/// For imports that never wait.
pub(crate) fn strike_now(plan: &Option<Arc<FaultPlan>>, import: Import) -> Result<Option<Bent>, CallFault> {
    match struck(plan, import) {
        None => Ok(None),
        Some(FaultKind::Delay { ms }) => {
            std::thread::sleep(Duration::from_millis(ms));
            Ok(None)
        }
        Some(kind) => answer(import, kind),
    }
}

fn struck(plan: &Option<Arc<FaultPlan>>, import: Import) -> Option<FaultKind> {
    plan.as_ref()?.next(import)
}

fn answer(import: Import, kind: FaultKind) -> Result<Option<Bent>, CallFault> {
    let name = import.name();
    Err(match kind {
        FaultKind::Refuse if matches!(import, Import::TcpConnect | Import::HttpRequest) => {
            network_error("connection_refused", "cannot connect: connection refused".to_owned()).into()
        }
        FaultKind::Refuse => ConnectorError::permission("refused", format!("`{name}` was refused")).into(),
        FaultKind::HostError => {
            ConnectorError::internal("host_error", format!("the host failed in `{name}`")).into()
        }
        FaultKind::Trap => CallFault::Trap(wasmtime::format_err!("a fault plan trapped `{name}`")),
        FaultKind::Kill => CallFault::Trap(Killed.into()),
        FaultKind::Reset => return Ok(Some(Bent::Reset)),
        FaultKind::CutShort { bytes } => return Ok(Some(Bent::CutShort(bytes))),
        FaultKind::Delay { .. } => return Ok(None),
    })
}

/// How a guest is ended from work that the host does for it while the guest itself stands still, and that has no way to trap.
#[derive(Debug, Default)]
pub(crate) struct Doom {
    cause: Mutex<Option<wasmtime::Error>>,
    pronounced: Notify,
}

impl Doom {
    /// Ends the guest; the work that it waits for never comes back.
    pub(crate) async fn pronounce(&self, cause: wasmtime::Error) -> Infallible {
        *self.cause.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(cause);
        // One permit is kept for whoever watches.
        self.pronounced.notify_one();
        std::future::pending().await
    }

    /// Comes back when the guest is to be ended, with the cause.
    pub(crate) async fn pronounced(&self) -> wasmtime::Error {
        loop {
            self.pronounced.notified().await;
            let cause = self.cause.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            if let Some(cause) = cause {
                return cause;
            }
        }
    }
}

/// The error of a connection that a plan has reset.
pub(crate) fn was_reset() -> ConnectorError {
    network_error("connection_reset", "the connection was reset by the peer".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_for_ever() {
        let calls = BTreeMap::from([(Import::TcpRead, 10), (Import::StatePut, 3), (Import::BatchEmit, 0)]);
        let plan = FaultPlan::seeded(42, &calls, 4).to_string();
        assert_eq!(plan, FaultPlan::seeded(42, &calls, 4).to_string());
        assert_eq!(plan, FaultPlan::parse(&plan).unwrap().to_string());
        assert!(!plan.contains("batch-emit"), "it was never called: {plan}");
        assert!((0..20).any(|seed| FaultPlan::seeded(seed, &calls, 4).to_string() != plan));
        assert_eq!(FaultPlan::seeded(1, &BTreeMap::new(), 4).to_string(), "");
        // The first numbers of the generator for seed 0, as published.
        let mut random = SplitMix64(0);
        assert_eq!([random.next(), random.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn only_what_can_happen_is_planned() {
        for import in Import::ALL {
            assert_eq!(Import::parse(import.name()), Some(*import));
            for kind in import.kinds() {
                Fault::new(*import, 1, kind).unwrap();
            }
        }
        for no in [
            "wait#1=refuse",
            "state-put#1=reset",
            "tcp-connect#1=cut-short:1",
            "tcp-read#0=reset",
            "tcp-read#1=cut-short:0",
            "http-request#1=cut-short:1",
            "http-response#1=refuse",
            "tcp-read=reset",
            "nothing#1=trap",
            "tcp-read#1=delay:99999999",
        ] {
            assert!(FaultPlan::parse(no).is_err(), "{no}");
        }
    }
}
