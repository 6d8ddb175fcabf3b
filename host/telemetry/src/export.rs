//! The exporters of one process: bounded queues with a thread each, what became of what was put in, and the last flush,
//! which takes as long as it may and not longer.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::logs::LoggerProvider as _;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{SpanContext, TracerProvider as _};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{self as sdk_logs, LogBatch, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::resource::{ResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{self as sdk_trace, Sampler, SdkTracer, SdkTracerProvider, SpanData};
use rapidbyte_core::ports::Observer;
use rapidbyte_core::redact::Redactor;

use crate::client::Client;
use crate::config::{Config, Endpoint};
use crate::limits::*;
use crate::logs::LogLayer;
use crate::metrics::{Instruments, MemoryProbe};
use crate::observer::{RunObserver, remote_parent};

/// Why the exporters cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the export to `{url}`: {message}")]
pub struct TelemetryError {
    pub url: String,
    pub message: String,
}

/// Exports what a process tells. Made where somebody asked for it, and ended with [`Telemetry::finish`].
pub struct Telemetry {
    shared: Arc<Shared>,
}

/// What observers and the log layer use.
pub(crate) struct Shared {
    pub redactor: Redactor,
    pub tracer: Option<SdkTracer>,
    pub logger: Option<SdkLogger>,
    pub instruments: Option<Instruments>,
    /// The context that the caller of this process gave.
    pub parent: Option<SpanContext>,
    /// The span of the run that goes on, for log records that belong to no stream.
    pub current: Mutex<Option<SpanContext>>,
    pub spans: Arc<Delivery>,
    pub records: Arc<Delivery>,
    measurements: Arc<Delivery>,
    client: Client,
    providers: Providers,
    /// Where it goes, for messages.
    place: String,
}

#[derive(Default)]
struct Providers {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
    logs: Option<SdkLoggerProvider>,
}

/// How many items were meant to be exported and how many were taken.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    made: AtomicU64,
    delivered: AtomicU64,
    /// Exports that failed since one was taken.
    failed_since: AtomicU64,
}

impl Delivery {
    pub fn made(&self, items: u64) {
        self.made.fetch_add(items, Ordering::Relaxed);
    }

    fn ended(&self, items: u64, result: &OTelSdkResult) {
        match result {
            Ok(()) => {
                self.delivered.fetch_add(items, Ordering::Relaxed);
                self.failed_since.store(0, Ordering::Relaxed);
            }
            Err(_) => {
                self.failed_since.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Items that were made and not taken.
    fn lost(&self) -> u64 {
        self.made.load(Ordering::Relaxed).saturating_sub(self.delivered.load(Ordering::Relaxed))
    }
}

/// What did not reach the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    pub place: String,
    pub spans: u64,
    pub log_records: u64,
    /// The last exports of metrics, as far as they failed; each one that arrives makes up for those before.
    pub metric_exports: u64,
    pub cause: Option<String>,
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.spans, "span", "spans"),
            (self.log_records, "log record", "log records"),
            (self.metric_exports, "export of metrics", "exports of metrics"),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
            .collect();
        write!(f, "telemetry: {} did not reach `{}`", parts.join(", "), self.place)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl Telemetry {
    /// Makes the exporters. Needs no runtime.
    pub fn start(
        config: &Config,
        redactor: Redactor,
        memory: Option<MemoryProbe>,
    ) -> Result<Self, TelemetryError> {
        for secret in config.secrets() {
            redactor.register(secret);
        }
        let place = [&config.traces, &config.metrics, &config.logs].into_iter().flatten().next();
        let place = place.map(|endpoint| shown(&endpoint.url)).unwrap_or_default();
        let refuse = |url: &str, message: String| TelemetryError { url: shown(url), message };
        let client = Client::new().map_err(|message| refuse(&place, message))?;
        let resource = resource(config);
        let (spans, records, measurements) = <(Arc<Delivery>, Arc<Delivery>, Arc<Delivery>)>::default();
        let mut providers = Providers::default();

        if let Some(endpoint) = &config.traces {
            let inner = wired(SpanExporter::builder().with_http(), endpoint, &client)
                .build()
                .map_err(|error| refuse(&endpoint.url, error.to_string()))?;
            let batches = sdk_trace::BatchConfigBuilder::default()
                .with_max_queue_size(QUEUE_ITEMS_MAX)
                .with_max_export_batch_size(EXPORT_ITEMS_MAX)
                .with_scheduled_delay(EXPORT_INTERVAL)
                .build();
            let processor =
                sdk_trace::BatchSpanProcessor::builder(Counting { inner, delivery: spans.clone() })
                    .with_batch_config(batches)
                    .build();
            let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample)));
            providers.traces = Some(
                SdkTracerProvider::builder()
                    .with_sampler(sampler)
                    .with_span_processor(processor)
                    .with_resource(resource.clone())
                    .build(),
            );
        }
        if let Some(endpoint) = &config.logs {
            let inner = wired(LogExporter::builder().with_http(), endpoint, &client)
                .build()
                .map_err(|error| refuse(&endpoint.url, error.to_string()))?;
            let batches = sdk_logs::BatchConfigBuilder::default()
                .with_max_queue_size(QUEUE_ITEMS_MAX)
                .with_max_export_batch_size(EXPORT_ITEMS_MAX)
                .with_scheduled_delay(EXPORT_INTERVAL)
                .build();
            let processor =
                sdk_logs::BatchLogProcessor::builder(Counting { inner, delivery: records.clone() })
                    .with_batch_config(batches)
                    .build();
            providers.logs = Some(
                SdkLoggerProvider::builder()
                    .with_log_processor(processor)
                    .with_resource(resource.clone())
                    .build(),
            );
        }
        if let Some(endpoint) = &config.metrics {
            let inner = wired(MetricExporter::builder().with_http(), endpoint, &client)
                .with_temporality(Temporality::Cumulative)
                .build()
                .map_err(|error| refuse(&endpoint.url, error.to_string()))?;
            let reader = PeriodicReader::builder(Counting { inner, delivery: measurements.clone() })
                .with_interval(METRICS_INTERVAL)
                .build();
            providers.metrics =
                Some(SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build());
        }

        let scope = "rapidbyte";
        let shared = Shared {
            redactor,
            tracer: providers.traces.as_ref().map(|provider| provider.tracer(scope)),
            logger: providers.logs.as_ref().map(|provider| provider.logger(scope)),
            instruments: providers
                .metrics
                .as_ref()
                .map(|provider| Instruments::new(provider.meter(scope), memory)),
            parent: config.traceparent.as_deref().and_then(remote_parent),
            current: Mutex::default(),
            spans,
            records,
            measurements,
            client,
            providers,
            place,
        };
        Ok(Telemetry { shared: Arc::new(shared) })
    }

    /// Exports `tracing` events.
    pub fn layer(&self) -> LogLayer {
        LogLayer::new(self.shared.clone())
    }

    /// Observes one run of a pipeline and passes everything on to `next`.
    pub fn run(&self, next: Arc<dyn Observer>) -> Arc<RunObserver> {
        Arc::new(RunObserver::new(self.shared.clone(), next))
    }

    /// Exports what is left, in [`FLUSH_TIME_LIMIT`] at most, and answers what did not arrive. What is still waiting then
    /// is let go.
    pub fn finish(self) -> Option<Undelivered> {
        let Shared { providers, client, .. } = &*self.shared;
        let deadline = Instant::now() + FLUSH_TIME_LIMIT;
        client.end_by(deadline);
        // Each on a thread of its own: they wait without end for a collector that asks to be tried again later.
        let (ended, all_ended) = mpsc::channel();
        let mut waiting = 0;
        let mut end = |shutdown: Box<dyn FnOnce() -> OTelSdkResult + Send>| {
            let ended = ended.clone();
            let thread = std::thread::Builder::new().name("rapidbyte-flush".to_owned());
            let started = thread.spawn(move || {
                // A failed export is counted where it failed.
                let _ = shutdown();
                let _ = ended.send(());
            });
            waiting += usize::from(started.is_ok());
        };
        if let Some(traces) = providers.traces.clone() {
            end(Box::new(move || traces.shutdown_with_timeout(FLUSH_TIME_LIMIT)));
        }
        if let Some(logs) = providers.logs.clone() {
            end(Box::new(move || logs.shutdown_with_timeout(FLUSH_TIME_LIMIT)));
        }
        if let Some(metrics) = providers.metrics.clone() {
            end(Box::new(move || metrics.shutdown_with_timeout(FLUSH_TIME_LIMIT)));
        }
        let mut late = false;
        for _ in 0..waiting {
            let left = deadline.saturating_duration_since(Instant::now());
            late = late || all_ended.recv_timeout(left).is_err();
        }
        let undelivered = self.shared.undelivered(late);
        client.let_go();
        undelivered
    }
}

impl Shared {
    fn undelivered(&self, late: bool) -> Option<Undelivered> {
        let (spans, log_records) = (self.spans.lost(), self.records.lost());
        let metric_exports = self.measurements.failed_since.load(Ordering::Relaxed);
        if spans == 0 && log_records == 0 && metric_exports == 0 {
            return None;
        }
        let in_time = format!("it did not take them within {} s", FLUSH_TIME_LIMIT.as_secs());
        let cause = self.client.failure().or(late.then_some(in_time));
        let cause = cause.map(|cause| self.redactor.redact(&cause).into_owned());
        Some(Undelivered { place: self.place.clone(), spans, log_records, metric_exports, cause })
    }

    /// The span of the run that goes on.
    pub fn current(&self) -> Option<SpanContext> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_current(&self, context: Option<SpanContext>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = context;
    }
}

/// A builder with where it exports to.
fn wired<B: WithExportConfig + WithHttpConfig>(builder: B, endpoint: &Endpoint, client: &Client) -> B {
    let headers: HashMap<String, String> = endpoint.headers.clone().into_iter().collect();
    builder
        .with_endpoint(&endpoint.url)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(endpoint.timeout)
        .with_headers(headers)
        .with_http_client(client.with_timeout(endpoint.timeout))
}

fn resource(config: &Config) -> Resource {
    let given = config.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let telemetry: Box<dyn ResourceDetector> = Box::new(TelemetryResourceDetector);
    Resource::builder_empty()
        .with_detectors(&[telemetry])
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(given)
        .build()
}

/// An address without what may be secret in it.
fn shown(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut url) => {
            // Neither fails for an address with a host, which an HTTP address has.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string()
        }
        Err(_) => url.to_owned(),
    }
}

/// An exporter that counts what was taken.
#[derive(Debug)]
struct Counting<E> {
    inner: E,
    delivery: Arc<Delivery>,
}

impl<E: sdk_trace::SpanExporter> sdk_trace::SpanExporter for Counting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let items = batch.len() as u64;
        let result = self.inner.export(batch).await;
        self.delivery.ended(items, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: sdk_logs::LogExporter> sdk_logs::LogExporter for Counting<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let items = batch.iter().count() as u64;
        let result = self.inner.export(batch).await;
        self.delivery.ended(items, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Counting<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        self.delivery.ended(1, &result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
