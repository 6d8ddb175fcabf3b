//! What a run shows while it goes on: a line with rates per stream on a terminal, now and then a plain line elsewhere.
//! Listens on the hot path, so it only stores numbers there; drawing is done by a thread of its own.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use rapidbyte_host::core::contract::{FieldValue, LogEvent, LogLevel, MetricEvent};
use rapidbyte_host::core::ports::{Observer, RunCounters, RunEvent, RunStatus, TaskKey};

use crate::printer::{Printer, Tone};
use crate::quantity::{Bytes, Count, Elapsed, per_second, plural};

/// How often a bar is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(120);
/// How often a long stream says how far it is where nobody watches a bar.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the streams of a run.
pub struct Progress {
    printer: Printer,
    /// Whether bars are drawn.
    bars: bool,
    /// By pipeline and stream: partitions are shown together.
    meters: Mutex<HashMap<(String, String), Arc<Meter>>>,
}

/// How far one stream is.
struct Meter {
    started: Instant,
    /// Of each partition.
    counters: Mutex<HashMap<u32, RunCounters>>,
    bar: Option<ProgressBar>,
    /// Milliseconds after `started` at which the next plain line is due.
    next_line_ms: AtomicU64,
}

impl Progress {
    pub fn new(printer: &Printer, watched: bool) -> Self {
        Progress { printer: printer.clone(), bars: watched && !printer.quiet(), meters: Mutex::default() }
    }

    fn meters(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<Meter>>> {
        self.meters.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn started(&self, key: &TaskKey, resuming: bool) {
        let mut meters = self.meters();
        let name = stream_of(key);
        // Another partition, or another attempt.
        if meters.contains_key(&name) {
            return;
        }
        let meter = Arc::new(Meter {
            started: Instant::now(),
            counters: Mutex::default(),
            bar: self.bars.then(|| self.printer.bars().add(ProgressBar::new_spinner())),
            next_line_ms: AtomicU64::new(LINE_INTERVAL.as_millis() as u64),
        });
        match &meter.bar {
            Some(bar) => {
                let verb = if resuming { "Resuming" } else { "Moving" };
                bar.set_style(style(verb, &key.stream, &meter));
                bar.enable_steady_tick(DRAW_INTERVAL);
            }
            None => {
                let verb = if resuming { "Resuming" } else { "Moving" };
                self.printer.status(Tone::Busy, verb, &key.stream);
            }
        }
        meters.insert(name, meter);
    }

    fn moved(&self, key: &TaskKey, counters: RunCounters) {
        let Some(meter) = self.meters().get(&stream_of(key)).cloned() else { return };
        meter.counters().insert(key.partition, counters);
        if meter.bar.is_some() {
            return;
        }
        let elapsed = meter.started.elapsed();
        let now_ms = elapsed.as_millis() as u64;
        let due_ms = meter.next_line_ms.load(Ordering::Relaxed);
        if now_ms >= due_ms {
            meter.next_line_ms.store(now_ms + LINE_INTERVAL.as_millis() as u64, Ordering::Relaxed);
            self.printer.status(Tone::Busy, "Moving", format_args!("{}: {}", &key.stream, meter.text()));
        }
    }

    fn finished(&self, key: &TaskKey, status: RunStatus, counters: RunCounters) {
        let meter = self.meters().remove(&stream_of(key));
        let elapsed = meter.as_ref().map_or(Duration::ZERO, |meter| meter.started.elapsed());
        if let Some(bar) = meter.as_ref().and_then(|meter| meter.bar.as_ref()) {
            bar.finish_and_clear();
            self.printer.bars().remove(bar);
        }
        let (tone, verb) = match status {
            RunStatus::Succeeded => (Tone::Good, "Done"),
            RunStatus::Stopped => (Tone::Warning, "Stopped"),
            RunStatus::Failed | RunStatus::Crashed | RunStatus::Running => (Tone::Bad, "Failed"),
        };
        self.printer.status(
            tone,
            verb,
            format_args!(
                "{}: {}, {} in {} ({} rows/s)",
                &key.stream,
                plural(counters.records_written, "row"),
                Bytes(counters.bytes_written),
                Elapsed(elapsed),
                Count(per_second(counters.records_written, elapsed)),
            ),
        );
    }
}

impl Observer for Progress {
    fn observe(&self, event: RunEvent<'_>) {
        match event {
            RunEvent::StreamStarted { key, resuming, .. } => self.started(key, resuming),
            RunEvent::Progress { key, counters } => self.moved(key, counters),
            RunEvent::CheckpointSaved { key, checkpoint } => {
                tracing::debug!(
                    stream = key.stream,
                    id = checkpoint.id,
                    complete = checkpoint.complete,
                    "checkpoint saved"
                );
            }
            // The engine speaks of what whoever watches wants to know: that it tries again.
            RunEvent::Log { key: None, connector: "engine", event } => self.printer.warning(&event.message),
            RunEvent::Log { key, connector, event } => log(key, connector, event),
            RunEvent::Metric { key, connector, event } => metric(key, connector, event),
            RunEvent::StreamFinished { key, status, counters, .. } => self.finished(key, status, counters),
            RunEvent::Reached { .. }
            | RunEvent::PluginLoaded { .. }
            | RunEvent::BatchMoved { .. }
            | RunEvent::RecordsFailed { .. } => {}
        }
    }
}

impl Meter {
    fn counters(&self) -> MutexGuard<'_, HashMap<u32, RunCounters>> {
        self.counters.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn text(&self) -> String {
        let mut sum = RunCounters::default();
        self.counters().values().for_each(|counters| sum.add(counters));
        let (records, bytes) = (sum.records_read, sum.bytes_read);
        let elapsed = self.started.elapsed();
        format!(
            "{}, {}, {} rows/s, {}/s, {}",
            plural(records, "row"),
            Bytes(bytes),
            Count(per_second(records, elapsed)),
            Bytes(per_second(bytes, elapsed)),
            Elapsed(elapsed),
        )
    }
}

/// A bar's line. The numbers are read when it is drawn.
fn style(verb: &str, stream: &str, meter: &Arc<Meter>) -> ProgressStyle {
    let meter = Arc::downgrade(meter);
    let line =
        format!("{{spinner}} {verb:>10} {}: {{numbers}}", stream.replace('{', "{{").replace('}', "}}"));
    ProgressStyle::with_template(&line).unwrap_or_else(|_| ProgressStyle::default_spinner()).with_key(
        "numbers",
        move |_: &ProgressState, out: &mut dyn Write| {
            if let Some(meter) = meter.upgrade() {
                // A bar that cannot be drawn is not worth a word.
                let _ = out.write_str(&meter.text());
            }
        },
    )
}

fn stream_of(key: &TaskKey) -> (String, String) {
    (key.pipeline.clone(), key.stream.clone())
}

/// A connector's log line becomes one of ours. The level of a `tracing` event is part of its code, hence the arms.
fn log(key: Option<&TaskKey>, connector: &str, event: &LogEvent) {
    let stream = key.map(|key| key.stream.as_str());
    let mut message = event.message.clone();
    for (name, value) in &event.fields {
        // Writing to a string cannot fail.
        let _ = match value {
            FieldValue::Text(value) => write!(message, " {name}={value:?}"),
            FieldValue::Int(value) => write!(message, " {name}={value}"),
            FieldValue::Float(value) => write!(message, " {name}={value}"),
            FieldValue::Boolean(value) => write!(message, " {name}={value}"),
        };
    }
    match event.level {
        LogLevel::Trace => tracing::trace!(target: "connector", connector, stream, "{message}"),
        LogLevel::Debug => tracing::debug!(target: "connector", connector, stream, "{message}"),
        LogLevel::Info => tracing::info!(target: "connector", connector, stream, "{message}"),
        LogLevel::Warn => tracing::warn!(target: "connector", connector, stream, "{message}"),
        LogLevel::Error => tracing::error!(target: "connector", connector, stream, "{message}"),
    }
}

fn metric(key: Option<&TaskKey>, connector: &str, event: &MetricEvent) {
    let stream = key.map(|key| key.stream.as_str());
    tracing::debug!(target: "connector::metric", connector, stream, name = event.name, value = ?event.value, labels = ?event.labels);
}
