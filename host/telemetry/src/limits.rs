//! Every limit of telemetry, with where the number comes from.

use std::time::Duration;

/// Spans and log records waiting to be exported: the default of the OpenTelemetry specification.
pub const QUEUE_ITEMS_MAX: usize = 2048;
/// Items of one export: the default of the OpenTelemetry specification.
pub const EXPORT_ITEMS_MAX: usize = 512;
/// How often spans and logs are exported while a run goes on.
pub const EXPORT_INTERVAL: Duration = Duration::from_secs(2);
/// How often metrics are exported while a run goes on: what dashboards resolve.
pub const METRICS_INTERVAL: Duration = Duration::from_secs(10);
/// `OTEL_EXPORTER_OTLP_TIMEOUT` where it is not set: the default of the specification.
pub const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of a run waits for the last exports at most.
pub const FLUSH_TIME_LIMIT: Duration = Duration::from_secs(5);
/// The largest answer of a collector that is read.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Batches (and checkpoints) of a stream that have a span each, one after the other. Beyond, every second, fourth, … has
/// one, so that a stream of a billion batches has less than a thousand.
pub const SPANS_IN_A_ROW: u64 = 64;
/// Texts in attributes are cut here.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Metrics of connectors by name; the rest is not exported.
pub const CONNECTOR_METRICS_MAX: usize = 64;
/// Labels of one measurement of a connector.
pub const CONNECTOR_LABELS_MAX: usize = 8;

const _: () = {
    assert!(EXPORT_ITEMS_MAX <= QUEUE_ITEMS_MAX);
    assert!(SPANS_IN_A_ROW.is_power_of_two());
};
