//! From a run's events to spans and measurements. Called from the hot path: takes one lock for a moment, waits for nobody.
//!
//! A trace is `pipeline` over `plugin load` and `stream`, a stream over its `batch` and `checkpoint` spans. Of a long
//! stream not every batch has a span; its metrics count them all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use opentelemetry::logs::AnyValue;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::Span as SdkSpan;
use rapidbyte_core::ConnectorError;
use rapidbyte_core::ports::{Observer, RunCounters, RunEvent, RunStatus, TaskKey};

use crate::export::Shared;
use crate::limits::{SPANS_IN_A_ROW, TEXT_BYTES_MAX};

/// Observes one run of one pipeline.
pub struct RunObserver {
    shared: Arc<Shared>,
    next: Arc<dyn Observer>,
    state: Mutex<State>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub struct RunOutcome<'a> {
    /// None: the document could not be read.
    pub pipeline: Option<&'a str>,
    pub status: RunStatus,
    /// Why no stream began.
    pub error: Option<&'a str>,
}

struct State {
    /// None: traces are not exported, or the run has ended.
    root: Option<SdkSpan>,
    context: Option<SpanContext>,
    streams: HashMap<TaskKey, Stream>,
}

#[derive(Default)]
struct Stream {
    span: Option<SdkSpan>,
    context: Option<SpanContext>,
    attributes: Vec<KeyValue>,
    began: Option<SystemTime>,
    counters: RunCounters,
    batches: u64,
    checkpoints: u64,
    /// When the last checkpoint was saved, or the stream began.
    covered_until: Option<SystemTime>,
}

impl RunObserver {
    pub(crate) fn new(shared: Arc<Shared>, next: Arc<dyn Observer>) -> Self {
        let mut root = None;
        if let Some(tracer) = &shared.tracer {
            let parent = shared.parent.clone().map(|parent| Context::new().with_remote_span_context(parent));
            let builder = SpanBuilder::from_name("pipeline").with_kind(SpanKind::Internal);
            root = Some(tracer.build_with_context(builder, &parent.unwrap_or_default()));
        }
        let context = root.as_ref().map(|span| span.span_context().clone());
        shared.set_current(context.clone());
        let state = State { root, context, streams: HashMap::new() };
        RunObserver { shared, next, state: Mutex::new(state) }
    }

    /// The run has ended. What is observed afterwards has no span.
    pub fn finish(&self, outcome: RunOutcome<'_>) {
        let now = SystemTime::now();
        let mut state = self.lock();
        let streams = std::mem::take(&mut state.streams);
        // Streams that were dropped in the middle: their spans end with the run.
        for stream in streams.into_values() {
            if let Some(mut span) = stream.span {
                span.set_status(Status::error("the run ended before it"));
                self.end(span, now);
            }
        }
        self.shared.set_current(None);
        let Some(mut root) = state.root.take() else { return };
        if let Some(pipeline) = outcome.pipeline {
            root.set_attribute(KeyValue::new("pipeline", self.shared.clean(pipeline)));
        }
        root.set_attribute(KeyValue::new("status", outcome.status.as_str()));
        if let Some(error) = outcome.error {
            root.set_status(Status::error(self.shared.clean(error)));
        } else if outcome.status == RunStatus::Failed {
            root.set_status(Status::error("a stream failed"));
        }
        self.end(root, now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A span below another one. None: traces are not exported.
    fn begin(
        &self,
        name: &'static str,
        above: Option<&SpanContext>,
        start: SystemTime,
        attributes: Vec<KeyValue>,
    ) -> Option<SdkSpan> {
        let tracer = self.shared.tracer.as_ref()?;
        let above = above.map(|context| Context::new().with_remote_span_context(context.clone()));
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Internal)
            .with_start_time(start)
            .with_attributes(attributes);
        Some(tracer.build_with_context(builder, &above.unwrap_or_default()))
    }

    fn end(&self, mut span: SdkSpan, at: SystemTime) {
        if span.span_context().is_sampled() {
            self.shared.spans.made(1);
        }
        span.end_with_timestamp(at);
    }

    fn started(&self, key: &TaskKey, sync_mode: &'static str, resuming: bool) {
        let now = SystemTime::now();
        let mut state = self.lock();
        let above = state.context.clone();
        let stream = state.stream(&self.shared, key);
        if let Some(span) = &mut stream.span {
            // A task that was retried goes on in the same span.
            span.add_event("restarted", vec![KeyValue::new("resuming", resuming)]);
            return;
        }
        let mut attributes = stream.attributes.clone();
        attributes.push(KeyValue::new("partition", i64::from(key.partition)));
        attributes.push(KeyValue::new("sync_mode", sync_mode));
        attributes.push(KeyValue::new("resuming", resuming));
        stream.span = self.begin("stream", above.as_ref(), now, attributes);
        stream.context = stream.span.as_ref().map(|span| span.span_context().clone());
        stream.began = Some(now);
        stream.covered_until = Some(now);
    }

    fn progress(&self, key: &TaskKey, counters: RunCounters) {
        let mut state = self.lock();
        let stream = state.stream(&self.shared, key);
        let more = since(&stream.counters, &counters);
        stream.counters = counters;
        if let Some(instruments) = &self.shared.instruments {
            instruments.moved(more, &stream.attributes);
        }
    }

    fn batch_moved(&self, key: &TaskKey, batch: &Batch<'_>) {
        let now = SystemTime::now();
        let mut state = self.lock();
        let stream = state.stream(&self.shared, key);
        let index = stream.batches;
        stream.batches += 1;
        let to = self.shared.clean(batch.to);
        if let Some(instruments) = &self.shared.instruments {
            let mut attributes = stream.attributes.clone();
            attributes.push(KeyValue::new("connector", to.clone()));
            instruments.batch_duration.record(batch.duration.as_secs_f64() * 1000.0, &attributes);
        }
        if !has_span(index) {
            return;
        }
        let attributes = vec![
            KeyValue::new("from", self.shared.clean(batch.from)),
            KeyValue::new("to", to),
            KeyValue::new("index", integer(index)),
            KeyValue::new("records", integer(batch.records)),
            KeyValue::new("bytes", integer(batch.bytes)),
        ];
        let start = now.checked_sub(batch.duration).unwrap_or(now);
        if let Some(span) = self.begin("batch", stream.context.as_ref(), start, attributes) {
            self.end(span, now);
        }
    }

    fn checkpoint_saved(&self, key: &TaskKey, id: u64, complete: bool) {
        let now = SystemTime::now();
        let mut state = self.lock();
        let stream = state.stream(&self.shared, key);
        if let Some(instruments) = &self.shared.instruments {
            instruments.checkpoints.add(1, &stream.attributes);
        }
        let index = stream.checkpoints;
        stream.checkpoints += 1;
        let start = stream.covered_until.replace(now).unwrap_or(now);
        if !has_span(index) {
            return;
        }
        let attributes = vec![KeyValue::new("id", integer(id)), KeyValue::new("complete", complete)];
        if let Some(span) = self.begin("checkpoint", stream.context.as_ref(), start, attributes) {
            self.end(span, now);
        }
    }

    fn finished(
        &self,
        key: &TaskKey,
        status: RunStatus,
        counters: RunCounters,
        error: Option<&ConnectorError>,
    ) {
        let now = SystemTime::now();
        let mut state = self.lock();
        let above = state.context.clone();
        // A stream that was read in partitions has an entry for each, and ends once.
        let mut tasks: Vec<(TaskKey, Stream)> = state
            .streams
            .extract_if(|task, _| task.pipeline == key.pipeline && task.stream == key.stream)
            .collect();
        drop(state);
        tasks.sort_by_key(|(task, _)| task.partition);
        let mut told = RunCounters::default();
        tasks.iter().for_each(|(_, task)| told.add(&task.counters));
        let began = tasks.iter().filter_map(|(_, task)| task.began).min();
        let attributes = stream_attributes(&self.shared, key);
        if let Some(instruments) = &self.shared.instruments {
            instruments.moved(missing(&told, &counters), &attributes);
            if let Some(error) = error {
                let mut attributes = attributes.clone();
                attributes.push(KeyValue::new("category", error.category.as_str()));
                attributes.push(KeyValue::new("code", self.shared.clean(&error.code)));
                instruments.errors.add(1, &attributes);
            }
            // One that never came to its start took no time of its own.
            if let Some(took) = began.and_then(|began| now.duration_since(began).ok()) {
                let mut attributes = attributes.clone();
                attributes.push(KeyValue::new("status", status.as_str()));
                instruments.sync_duration.record(took.as_secs_f64() * 1000.0, &attributes);
            }
        }
        if tasks.iter().all(|(_, task)| task.span.is_none()) {
            // It failed before it began.
            let span = self.begin("stream", above.as_ref(), now, attributes);
            tasks = vec![(key.clone(), Stream { span, ..Stream::default() })];
        }
        let alone = tasks.len() == 1;
        for (_, task) in tasks {
            let Some(mut span) = task.span else { continue };
            let counters = if alone { &counters } else { &task.counters };
            span.set_attributes([
                KeyValue::new("status", status.as_str()),
                KeyValue::new("records_read", integer(counters.records_read)),
                KeyValue::new("records_written", integer(counters.records_written)),
                KeyValue::new("bytes_read", integer(counters.bytes_read)),
                KeyValue::new("bytes_written", integer(counters.bytes_written)),
                KeyValue::new("batches", integer(task.batches)),
                KeyValue::new("checkpoints", integer(task.checkpoints)),
            ]);
            if let Some(error) = error {
                span.set_attribute(KeyValue::new("error.type", self.shared.clean(&error.code)));
                span.set_status(Status::error(self.shared.clean(&error.message)));
            }
            self.end(span, now);
        }
    }

    fn plugin_loaded(&self, connector: &str, duration: Duration, cached: bool) {
        let now = SystemTime::now();
        let connector = KeyValue::new("connector", self.shared.clean(connector));
        let attributes = vec![connector, KeyValue::new("cached", cached)];
        if let Some(instruments) = &self.shared.instruments {
            instruments.plugin_load_duration.record(duration.as_secs_f64() * 1000.0, &attributes);
        }
        let above = self.lock().context.clone();
        let start = now.checked_sub(duration).unwrap_or(now);
        if let Some(span) = self.begin("plugin load", above.as_ref(), start, attributes) {
            self.end(span, now);
        }
    }

    /// Attributes and span of where an event of a connector happened.
    fn place(&self, key: Option<&TaskKey>) -> (Vec<KeyValue>, Option<SpanContext>) {
        let mut state = self.lock();
        let above = state.context.clone();
        match key {
            Some(key) => {
                let stream = state.stream(&self.shared, key);
                (stream.attributes.clone(), stream.context.clone().or(above))
            }
            None => (Vec::new(), above),
        }
    }
}

/// What is known of a batch.
struct Batch<'a> {
    from: &'a str,
    to: &'a str,
    records: u64,
    bytes: u64,
    duration: Duration,
}

impl Observer for RunObserver {
    fn observe(&self, event: RunEvent<'_>) {
        match &event {
            RunEvent::StreamStarted { key, sync_mode, resuming } => {
                self.started(key, sync_mode.as_str(), *resuming);
            }
            RunEvent::Progress { key, counters } => self.progress(key, *counters),
            RunEvent::CheckpointSaved { key, checkpoint } => {
                self.checkpoint_saved(key, checkpoint.id, checkpoint.complete);
            }
            RunEvent::PluginLoaded { connector, duration_ms, cached } => {
                self.plugin_loaded(connector, Duration::from_millis(*duration_ms), *cached);
            }
            RunEvent::BatchMoved { key, from, to, records, bytes, duration_us } => {
                let (records, bytes, duration) = (*records, *bytes, Duration::from_micros(*duration_us));
                self.batch_moved(key, &Batch { from, to, records, bytes, duration });
            }
            RunEvent::RecordsFailed { key, connector, records } => {
                if let Some(instruments) = &self.shared.instruments {
                    let (mut attributes, _) = self.place(Some(key));
                    attributes.push(KeyValue::new("connector", self.shared.clean(connector)));
                    instruments.records_failed.add(*records, &attributes);
                }
            }
            RunEvent::Log { key, connector, event } => {
                if self.shared.logger.is_some() {
                    let (attributes, context) = self.place(*key);
                    let attributes =
                        attributes.into_iter().map(|it| (it.key, AnyValue::from(it.value.to_string())));
                    self.shared.log(connector, event, attributes.collect(), context.as_ref());
                }
            }
            RunEvent::Metric { key, connector, event } => {
                if let Some(instruments) = &self.shared.instruments {
                    let (mut attributes, _) = self.place(*key);
                    attributes.push(KeyValue::new("connector", self.shared.clean(connector)));
                    instruments.of_connector(event, &mut attributes, |text| self.shared.clean(text));
                }
            }
            RunEvent::StreamFinished { key, status, counters, error } => {
                self.finished(key, *status, *counters, *error);
            }
            RunEvent::Reached { .. } => {}
        }
        self.next.observe(event);
    }
}

impl State {
    fn stream(&mut self, shared: &Shared, key: &TaskKey) -> &mut Stream {
        if !self.streams.contains_key(key) {
            let attributes = stream_attributes(shared, key);
            self.streams.insert(key.clone(), Stream { attributes, ..Stream::default() });
        }
        self.streams.entry(key.clone()).or_default()
    }
}

fn stream_attributes(shared: &Shared, key: &TaskKey) -> Vec<KeyValue> {
    vec![
        KeyValue::new("pipeline", shared.clean(&key.pipeline)),
        KeyValue::new("stream", shared.clean(&key.stream)),
    ]
}

impl Shared {
    /// A text without secrets and not too long.
    pub fn clean(&self, text: &str) -> String {
        let mut text = self.redactor.redact(text).into_owned();
        if text.len() > TEXT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        text
    }
}

/// Whether the n-th batch of a stream has a span: the first ones all, then every second, fourth, … so that each doubling
/// adds half as many as were in a row at first.
fn has_span(index: u64) -> bool {
    let doublings = (index / SPANS_IN_A_ROW).checked_ilog2().map_or(0, |log| log + 1);
    index.is_multiple_of(1 << doublings)
}

/// What a task moved more than before. A task that was retried may begin again at nothing.
fn since(before: &RunCounters, now: &RunCounters) -> RunCounters {
    let more = |before: u64, now: u64| now.checked_sub(before).unwrap_or(now);
    RunCounters {
        records_read: more(before.records_read, now.records_read),
        records_written: more(before.records_written, now.records_written),
        bytes_read: more(before.bytes_read, now.bytes_read),
        bytes_written: more(before.bytes_written, now.bytes_written),
    }
}

/// What the end of a stream tells beyond what its tasks told.
fn missing(told: &RunCounters, at_end: &RunCounters) -> RunCounters {
    RunCounters {
        records_read: at_end.records_read.saturating_sub(told.records_read),
        records_written: at_end.records_written.saturating_sub(told.records_written),
        bytes_read: at_end.bytes_read.saturating_sub(told.bytes_read),
        bytes_written: at_end.bytes_written.saturating_sub(told.bytes_written),
    }
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The span of whoever started this process, from its W3C trace context. None: it is none.
pub(crate) fn remote_parent(traceparent: &str) -> Option<SpanContext> {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_billion_batches_have_less_than_a_thousand_spans() {
        assert!((0..SPANS_IN_A_ROW).all(has_span));
        assert!(has_span(64) && !has_span(65) && has_span(66));
        assert!(has_span(128) && !has_span(130) && has_span(132));
        // Every span from the first on: the step doubles where the index does.
        let (mut spans, mut index) = (0_u64, 0_u64);
        while index < 1_000_000_000 {
            assert!(has_span(index), "{index}");
            spans += 1;
            let doublings = (index / SPANS_IN_A_ROW).checked_ilog2().map_or(0, |log| log + 1);
            index += 1 << doublings;
        }
        assert!((500..1000).contains(&spans), "{spans}");
    }

    #[test]
    fn a_parent_is_valid_or_none() {
        let parent = remote_parent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(parent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(parent.is_remote() && parent.is_sampled());
        for wrong in ["", "00-0-0-01", "00-00000000000000000000000000000000-0000000000000000-01", "nonsense"]
        {
            assert!(remote_parent(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_retried_task_counts_from_nothing_again() {
        let counters = |records_read| RunCounters { records_read, ..RunCounters::default() };
        assert_eq!(since(&counters(3), &counters(10)), counters(7));
        assert_eq!(since(&counters(10), &counters(4)), counters(4));
    }
}
