//! From the ways a guest can end to the one error record: what trapped, where, and what it said last.

use rapidbyte_core::{ConnectorError, ErrorCategory};
use wasmtime::{FrameInfo, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::faults::Killed;
use crate::instance::Guest;
use crate::limits::{BACKTRACE_FRAMES_MAX, NAME_BYTES_MAX};
use crate::wash::cut;

/// A call ended in a trap.
pub fn trapped(guest: &Guest, doing: &str, error: &wasmtime::Error) -> ConnectorError {
    if let Some(wanted) = guest.memory.refused_bytes() {
        return memory_limit(guest, wanted);
    }
    if error.is::<Killed>() {
        let message = format!("`{}` was killed in `{doing}` by a fault plan", guest.id);
        return ConnectorError::internal("killed", message);
    }
    let cause = cause(guest, error);
    // Rust and C abort by `unreachable`; what they said before is the cause.
    let last_words = guest.reporter.last_words();
    let said = match last_words.last() {
        Some(_) => format!("; its last words: {}", last_words.join(" | ")),
        None => String::new(),
    };
    let washer = &guest.reporter.washer;
    let message = format!("`{}` was stopped in `{doing}`: {cause}{said}", guest.id);
    let mut fault = ConnectorError::internal("guest_trapped", washer.message(&message));
    let details = serde_json::json!({
        "trap": cause,
        "backtrace": backtrace(error),
        "last_words": last_words,
    });
    fault.details = Some(washer.details(&details.to_string()));
    fault
}

/// The innermost frames by name. Those of a panic's own machinery come first and say nothing.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let name = |frame: &FrameInfo| match frame.func_name() {
        Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
        None => format!("function {}", frame.func_index()),
    };
    let names = trace.frames().iter().map(name).skip_while(|name| is_machinery(name));
    names.take(BACKTRACE_FRAMES_MAX).map(|name| cut(&name, NAME_BYTES_MAX).to_owned()).collect()
}

fn is_machinery(name: &str) -> bool {
    name == "abort"
        || ["std::", "core::panicking", "core::result::unwrap", "core::option::", "__rustc", "alloc::alloc::"]
            .iter()
            .any(|prefix| name.trim_start_matches('<').starts_with(prefix))
}

/// What the trap says, in the words of this house where Wasmtime's own would puzzle.
fn cause(guest: &Guest, error: &wasmtime::Error) -> String {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return trap.to_string();
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return format!("it exited with status {}", exit.0);
    }
    let cause = error.root_cause().to_string();
    // The type behind it is private to Wasmtime.
    if cause.contains("allocated for hostcalls") {
        return format!("it handed over more than {} bytes in one call", guest.store.hostcall_fuel());
    }
    cause
}

fn memory_limit(guest: &Guest, wanted: u64) -> ConnectorError {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    ConnectorError::internal(
        "memory_limit",
        format!(
            "`{}` wanted {} MB of memory, its limit is {} MB",
            guest.id,
            mib(wanted),
            mib(guest.memory_bytes_max)
        ),
    )
}

/// A call was ended because nothing happened. Waiting in vain is the network's fault and may pass; computing in vain is a
/// defect.
pub fn idle(guest: &Guest, doing: &str, waiting: bool) -> ConnectorError {
    let seconds = guest.idle_timeout.as_secs_f64();
    if waiting {
        let mut error = ConnectorError::new(
            ErrorCategory::TransientNetwork,
            "idle_timeout",
            format!(
                "`{}` waited for the network in `{doing}` for {seconds} s without moving a byte",
                guest.id
            ),
        );
        error.commit = None;
        return error;
    }
    ConnectorError::internal(
        "idle_timeout",
        format!("`{}` has not moved a byte in `{doing}` for {seconds} s", guest.id),
    )
}
