//! Every metric that is exported: its name, its unit, its attributes. The table is what the documentation and the dashboard
//! are held against.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use rapidbyte_core::ports::RunCounters;
use rapidbyte_core::{MetricEvent, MetricValue};

use crate::limits::{CONNECTOR_LABELS_MAX, CONNECTOR_METRICS_MAX};

/// How much memory this process uses, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMemory {
    pub current_bytes: u64,
    pub peak_bytes: u64,
}

/// Asked whenever metrics are exported. None: the system does not tell.
pub type MemoryProbe = Arc<dyn Fn() -> Option<ProcessMemory> + Send + Sync>;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// In UCUM, as OpenTelemetry has it.
    pub unit: &'static str,
    pub attributes: &'static [&'static str],
    pub description: &'static str,
}

const STREAM: &[&str] = &["pipeline", "stream"];

pub const RECORDS_READ: Metric = Metric {
    name: "rapidbyte.records.read",
    kind: Kind::Counter,
    unit: "{record}",
    attributes: STREAM,
    description: "records that left the source",
};
pub const RECORDS_WRITTEN: Metric = Metric {
    name: "rapidbyte.records.written",
    kind: Kind::Counter,
    unit: "{record}",
    attributes: STREAM,
    description: "records that the destination confirmed as committed",
};
pub const RECORDS_FAILED: Metric = Metric {
    name: "rapidbyte.records.failed",
    kind: Kind::Counter,
    unit: "{record}",
    attributes: &["pipeline", "stream", "connector"],
    description: "records that were refused and skipped, or set aside as dead letters",
};
pub const BYTES_READ: Metric = Metric {
    name: "rapidbyte.bytes.read",
    kind: Kind::Counter,
    unit: "By",
    attributes: STREAM,
    description: "bytes of the batches that left the source",
};
pub const BYTES_WRITTEN: Metric = Metric {
    name: "rapidbyte.bytes.written",
    kind: Kind::Counter,
    unit: "By",
    attributes: STREAM,
    description: "bytes of the batches that the destination confirmed as committed",
};
pub const SYNC_DURATION: Metric = Metric {
    name: "rapidbyte.sync.duration_ms",
    kind: Kind::Histogram,
    unit: "ms",
    attributes: &["pipeline", "stream", "status"],
    description: "how long a stream took, from its start to its end",
};
pub const BATCH_DURATION: Metric = Metric {
    name: "rapidbyte.sync.batch_duration_ms",
    kind: Kind::Histogram,
    unit: "ms",
    attributes: &["pipeline", "stream", "connector"],
    description: "how long a batch took to be handed on to `connector`",
};
pub const MEMORY_PEAK: Metric = Metric {
    name: "rapidbyte.memory.peak_bytes",
    kind: Kind::Gauge,
    unit: "By",
    attributes: &[],
    description: "the most memory the process has used",
};
pub const MEMORY_CURRENT: Metric = Metric {
    name: "rapidbyte.memory.current_bytes",
    kind: Kind::Gauge,
    unit: "By",
    attributes: &[],
    description: "the memory the process uses",
};
pub const PLUGIN_LOAD_DURATION: Metric = Metric {
    name: "rapidbyte.plugin.load_duration_ms",
    kind: Kind::Histogram,
    unit: "ms",
    attributes: &["connector", "cached"],
    description: "how long a connector took until it could be started; `cached`: its compiled code was there",
};
pub const CHECKPOINT_COUNT: Metric = Metric {
    name: "rapidbyte.state.checkpoint_count",
    kind: Kind::Counter,
    unit: "{checkpoint}",
    attributes: STREAM,
    description: "checkpoints that were committed and saved",
};
pub const ERRORS_COUNT: Metric = Metric {
    name: "rapidbyte.errors.count",
    kind: Kind::Counter,
    unit: "{error}",
    attributes: &["pipeline", "stream", "category", "code"],
    description: "errors that ended a stream",
};

/// All of them, as the documentation lists them.
pub const METRICS: &[Metric] = &[
    RECORDS_READ,
    RECORDS_WRITTEN,
    RECORDS_FAILED,
    BYTES_READ,
    BYTES_WRITTEN,
    SYNC_DURATION,
    BATCH_DURATION,
    MEMORY_PEAK,
    MEMORY_CURRENT,
    PLUGIN_LOAD_DURATION,
    CHECKPOINT_COUNT,
    ERRORS_COUNT,
];

/// What connectors measure themselves goes by this and the name they give it.
pub const CONNECTOR_PREFIX: &str = "rapidbyte.connector.";

/// From a tenth of a millisecond, which a batch takes, to half a day, which a stream may.
const BOUNDARIES_MS: [f64; 20] = [
    0.1, 0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 1.8e6,
    7.2e6, 4.32e7,
];

/// The instruments behind the table.
pub(crate) struct Instruments {
    meter: Meter,
    records_read: Counter<u64>,
    records_written: Counter<u64>,
    pub records_failed: Counter<u64>,
    bytes_read: Counter<u64>,
    bytes_written: Counter<u64>,
    pub sync_duration: Histogram<f64>,
    pub batch_duration: Histogram<f64>,
    pub plugin_load_duration: Histogram<f64>,
    pub checkpoints: Counter<u64>,
    pub errors: Counter<u64>,
    connectors: Mutex<HashMap<String, OfConnector>>,
}

/// A connector's own.
enum OfConnector {
    Counter(Counter<u64>),
    Gauge(Gauge<f64>),
    Histogram(Histogram<f64>),
}

impl Instruments {
    pub fn new(meter: Meter, memory: Option<MemoryProbe>) -> Self {
        let counter = |metric: &Metric| {
            meter.u64_counter(metric.name).with_unit(metric.unit).with_description(metric.description).build()
        };
        let histogram = |metric: &Metric| {
            meter
                .f64_histogram(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.description)
                .with_boundaries(BOUNDARIES_MS.to_vec())
                .build()
        };
        if let Some(memory) = memory {
            let gauge = |metric: &Metric, of: fn(ProcessMemory) -> u64| {
                let memory = memory.clone();
                meter
                    .u64_observable_gauge(metric.name)
                    .with_unit(metric.unit)
                    .with_description(metric.description)
                    .with_callback(move |observer| {
                        if let Some(now) = memory() {
                            observer.observe(of(now), &[]);
                        }
                    })
                    .build();
            };
            gauge(&MEMORY_PEAK, |now| now.peak_bytes);
            gauge(&MEMORY_CURRENT, |now| now.current_bytes);
        }
        Instruments {
            records_read: counter(&RECORDS_READ),
            records_written: counter(&RECORDS_WRITTEN),
            records_failed: counter(&RECORDS_FAILED),
            bytes_read: counter(&BYTES_READ),
            bytes_written: counter(&BYTES_WRITTEN),
            sync_duration: histogram(&SYNC_DURATION),
            batch_duration: histogram(&BATCH_DURATION),
            plugin_load_duration: histogram(&PLUGIN_LOAD_DURATION),
            checkpoints: counter(&CHECKPOINT_COUNT),
            errors: counter(&ERRORS_COUNT),
            connectors: Mutex::default(),
            meter,
        }
    }

    /// What was moved since the last time.
    pub fn moved(&self, more: RunCounters, stream: &[KeyValue]) {
        let counters = [
            (&self.records_read, more.records_read),
            (&self.records_written, more.records_written),
            (&self.bytes_read, more.bytes_read),
            (&self.bytes_written, more.bytes_written),
        ];
        for (counter, value) in counters {
            if value > 0 {
                counter.add(value, stream);
            }
        }
    }

    /// What a connector measured. One of more names than are allowed, or under a name that means another kind, is left out.
    pub fn of_connector(
        &self,
        event: &MetricEvent,
        attributes: &mut Vec<KeyValue>,
        clean: impl Fn(&str) -> String,
    ) {
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        if !connectors.contains_key(&event.name) {
            if connectors.len() >= CONNECTOR_METRICS_MAX {
                return;
            }
            let name = format!("{CONNECTOR_PREFIX}{}", clean(&event.name));
            let made = match event.value {
                MetricValue::Counter(_) => OfConnector::Counter(self.meter.u64_counter(name).build()),
                MetricValue::Gauge(_) => OfConnector::Gauge(self.meter.f64_gauge(name).build()),
                MetricValue::Histogram(_) => OfConnector::Histogram(self.meter.f64_histogram(name).build()),
            };
            connectors.insert(event.name.clone(), made);
        }
        let labels = event.labels.iter().take(CONNECTOR_LABELS_MAX);
        attributes.extend(labels.map(|(name, value)| KeyValue::new(clean(name), clean(value))));
        match (connectors.get(&event.name), &event.value) {
            (Some(OfConnector::Counter(counter)), MetricValue::Counter(value)) => {
                counter.add(*value, attributes)
            }
            (Some(OfConnector::Gauge(gauge)), MetricValue::Gauge(value)) => gauge.record(*value, attributes),
            (Some(OfConnector::Histogram(histogram)), MetricValue::Histogram(value)) => {
                histogram.record(*value, attributes);
            }
            _ => {}
        }
    }
}
