//! A run as the engine and the connectors would tell it, with numbers that tests know.

use std::sync::Arc;

use rapidbyte_core::ports::{Observer, RunCounters, RunEvent, RunStatus, SavedCheckpoint, TaskKey};
use rapidbyte_core::{
    ConnectorError, ErrorCategory, FieldValue, LogEvent, LogLevel, MetricEvent, MetricValue, SyncMode,
};
use rapidbyte_telemetry::{MemoryProbe, ProcessMemory, RunOutcome, Telemetry};
use tracing_subscriber::layer::SubscriberExt;

pub const SECRET: &str = "hunter22-of-test";
pub const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const SOURCE: &str = "source-x@1.0.0";
const DESTINATION: &str = "dest-y@2.0.0";

pub fn memory() -> MemoryProbe {
    Arc::new(|| Some(ProcessMemory { current_bytes: 55, peak_bytes: 77 }))
}

struct Nobody;

impl Observer for Nobody {
    fn observe(&self, _: RunEvent<'_>) {}
}

fn key(stream: &str) -> TaskKey {
    TaskKey { pipeline: "p".into(), stream: stream.into(), partition: 0 }
}

/// Three streams: one goes well, one fails, one is dropped in the middle.
pub fn telling(telemetry: &Telemetry) {
    let run = telemetry.run(Arc::new(Nobody));
    let subscriber = tracing_subscriber::registry().with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!(answer = 42, "something of the host");
        tracing::warn!(target: "connector", "what the printer shows of a connector");
        tracing::warn!(target: "hyper::proto", "what the export itself does");
    });
    for (connector, duration_ms, cached) in [(SOURCE, 40, true), (DESTINATION, 90, false)] {
        run.observe(RunEvent::PluginLoaded { connector, duration_ms, cached });
    }

    let orders = key("orders");
    for stream in [&orders, &key("customers"), &key("dropped")] {
        run.observe(RunEvent::StreamStarted {
            key: stream,
            sync_mode: SyncMode::Incremental,
            resuming: false,
        });
    }
    let mut counters = RunCounters::default();
    for _ in 0..300 {
        counters.add(&RunCounters { records_read: 10, bytes_read: 1000, ..RunCounters::default() });
        run.observe(RunEvent::Progress { key: &orders, counters });
        run.observe(RunEvent::BatchMoved {
            key: &orders,
            from: SOURCE,
            to: DESTINATION,
            records: 10,
            bytes: 1000,
            duration_us: 1500,
        });
    }
    run.observe(RunEvent::RecordsFailed { key: &orders, connector: DESTINATION, records: 10 });
    for (id, records_written, complete) in [(1, 1500, false), (2, 2990, true)] {
        counters = RunCounters { records_written, bytes_written: records_written * 100, ..counters };
        let checkpoint = SavedCheckpoint { id, cursor: None, complete, reset: false, saved_at: 0 };
        run.observe(RunEvent::CheckpointSaved { key: &orders, checkpoint: &checkpoint });
        run.observe(RunEvent::Progress { key: &orders, counters });
    }
    let log = |message: &str| LogEvent {
        level: LogLevel::Warn,
        message: message.to_owned(),
        fields: vec![
            ("seconds".into(), FieldValue::Float(2.5)),
            ("retried".into(), FieldValue::Boolean(true)),
            ("password".into(), FieldValue::Text(SECRET.into())),
        ],
    };
    for message in ["slow query", &format!("connecting with {SECRET}")] {
        run.observe(RunEvent::Log { key: Some(&orders), connector: SOURCE, event: &log(message) });
    }
    let metric = MetricEvent {
        name: "requests".into(),
        value: MetricValue::Counter(7),
        labels: vec![("endpoint".into(), "/orders".into())],
    };
    run.observe(RunEvent::Metric { key: Some(&orders), connector: SOURCE, event: &metric });
    let status = RunStatus::Succeeded;
    run.observe(RunEvent::StreamFinished { key: &orders, status, counters, error: None });

    let error = ConnectorError::new(
        ErrorCategory::TransientNetwork,
        "connection_refused",
        format!("cannot connect as u:{SECRET}"),
    );
    run.observe(RunEvent::StreamFinished {
        key: &key("customers"),
        status: RunStatus::Failed,
        counters: RunCounters::default(),
        error: Some(&error),
    });
    run.finish(RunOutcome { pipeline: Some("p"), status: RunStatus::Failed, error: None });
}

/// So many streams that begin and end.
pub fn many_streams(telemetry: &Telemetry, streams: u64) {
    let run = telemetry.run(Arc::new(Nobody));
    for stream in 0..streams {
        let key = key(&stream.to_string());
        run.observe(RunEvent::StreamStarted { key: &key, sync_mode: SyncMode::FullRefresh, resuming: false });
        run.observe(RunEvent::StreamFinished {
            key: &key,
            status: RunStatus::Succeeded,
            counters: RunCounters::default(),
            error: None,
        });
    }
    run.finish(RunOutcome { pipeline: Some("p"), status: RunStatus::Succeeded, error: None });
}
