//! What an instance says: log lines and metrics on their way to the engine, washed, counted and capped; and the last
//! words of a guest, for the error that explains its end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use rapidbyte_core::grants::HostFunctions;
use rapidbyte_core::ports::Services;
use rapidbyte_core::{LogEvent, LogLevel};

use crate::bindings::telemetry as wt;
use crate::limits::NAME_BYTES_MAX;
use crate::wash::{LogGate, Series, Washer, dropped_lines};

/// How many lines are kept as last words: a panic takes two.
const LAST_LINES: usize = 3;

/// Where one instance's words go.
pub struct Reporter {
    services: Arc<dyn Services>,
    pub washer: Washer,
    functions: HostFunctions,
    inner: Mutex<Inner>,
}

struct Inner {
    gate: LogGate,
    series: Series,
    last_lines: VecDeque<String>,
}

impl Reporter {
    pub fn new(services: Arc<dyn Services>, washer: Washer, functions: HostFunctions) -> Self {
        let inner = Inner { gate: LogGate::new(), series: Series::default(), last_lines: VecDeque::new() };
        Reporter { services, washer, functions, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A structured log line of the guest.
    pub fn log(&self, event: wt::LogEvent) {
        let gated = self.lock().gate.line(Instant::now());
        if gated.pass {
            let event = self.washer.log(event);
            self.remember(&event.message);
            self.forward(event, gated.dropped);
        }
    }

    /// A line on standard output or error.
    pub fn output_line(&self, line: &str) {
        let gated = self.lock().gate.line(Instant::now());
        if gated.pass {
            let message = self.washer.message(line);
            self.remember(&message);
            self.forward(LogEvent { level: LogLevel::Debug, message, fields: Vec::new() }, gated.dropped);
        }
    }

    fn forward(&self, event: LogEvent, dropped: u64) {
        if !self.functions.logging {
            return;
        }
        if dropped > 0 {
            self.services.log(dropped_lines(dropped));
        }
        self.services.log(event);
    }

    fn remember(&self, message: &str) {
        // Rust's hint about backtraces says nothing about the cause.
        if message.is_empty() || message.starts_with("note: run with `RUST_BACKTRACE") {
            return;
        }
        let mut inner = self.lock();
        if inner.last_lines.len() == LAST_LINES {
            inner.last_lines.pop_front();
        }
        inner.last_lines.push_back(crate::wash::cut(message, NAME_BYTES_MAX * 2).to_owned());
    }

    /// The last lines, the newest at the end.
    pub fn last_words(&self) -> Vec<String> {
        self.lock().last_lines.iter().cloned().collect()
    }

    pub fn metric(&self, event: wt::MetricEvent) {
        if !self.functions.metrics {
            return;
        }
        let event = self.washer.metric(event);
        if self.lock().series.admits(&event) {
            self.services.metric(event);
        }
    }

    /// Says what was dropped, at the end of a call.
    pub fn settle(&self) {
        let dropped = self.lock().gate.take_dropped();
        if dropped > 0 && self.functions.logging {
            self.services.log(dropped_lines(dropped));
        }
    }
}
