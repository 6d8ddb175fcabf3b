//! What a user sets about telemetry in `config.toml`. Plain data: read by whoever reads the file, meant for the exporter.

use std::collections::BTreeMap;

/// `[telemetry]` of the user's `config.toml`. The standard `OTEL_*` variables win over it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TelemetrySettings {
    /// The collector's address for OTLP over HTTP, without the signal's path: `http://localhost:4318`.
    pub endpoint: Option<String>,
    /// Sent with every export.
    pub headers: BTreeMap<String, String>,
    /// The share of runs whose trace is exported, 0 to 1. None: all.
    pub sample: Option<f64>,
}
