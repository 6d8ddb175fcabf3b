//! What is exported, over the real protocol to a collector on the loopback; and what becomes of a run whose collector is
//! down, silent or refuses.

mod collector;
mod run;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use rapidbyte_core::redact::Redactor;
use rapidbyte_core::telemetry::TelemetrySettings;
use rapidbyte_telemetry::limits::{FLUSH_TIME_LIMIT, QUEUE_ITEMS_MAX};
use rapidbyte_telemetry::metrics::{CONNECTOR_PREFIX, Kind, METRICS};
use rapidbyte_telemetry::{Config, Telemetry, Undelivered};

use collector::{Answer, Collector, attributes, points, word};
use run::{PARENT, SECRET, memory, telling};

fn config(url: &str, variables: &[(&str, &str)]) -> Config {
    let settings = TelemetrySettings { endpoint: Some(url.to_owned()), ..TelemetrySettings::default() };
    let lookup =
        |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
    Config::resolve(&settings, &lookup).unwrap().unwrap()
}

/// A whole run told to a collector; what it has not taken.
fn export(url: &str, variables: &[(&str, &str)]) -> Option<Undelivered> {
    let redactor = Redactor::default();
    redactor.register(SECRET);
    let telemetry = Telemetry::start(&config(url, variables), redactor, Some(memory())).unwrap();
    telling(&telemetry);
    telemetry.finish()
}

fn exported(variables: &[(&str, &str)]) -> Collector {
    let collector = Collector::start(Answer::Takes);
    assert_eq!(export(&collector.url(), variables), None);
    collector
}

#[test]
fn a_run_is_a_tree_of_spans() {
    let collector = exported(&[("TRACEPARENT", PARENT)]);
    let spans = collector.received().spans();
    let by_id: HashMap<&[u8], &Span> = spans.iter().map(|span| (span.span_id.as_slice(), span)).collect();
    let mut paths: BTreeMap<String, usize> = BTreeMap::new();
    for span in &spans {
        let (path, root) = path(span, &by_id);
        *paths.entry(path).or_default() += 1;
        assert_eq!(hex(&root.parent_span_id), "b7ad6b7169203331", "below whoever started the process");
        assert_eq!(hex(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano > 0);
    }
    let expected = [
        ("pipeline", 1),
        ("pipeline > plugin load", 2),
        ("pipeline > stream", 3),
        // 300 batches: 64 in a row, 32 of the next 64, 32 of the next 128, 6 of the last 44.
        ("pipeline > stream > batch", 64 + 32 + 32 + 6),
        ("pipeline > stream > checkpoint", 2),
    ];
    assert_eq!(paths, expected.map(|(path, count)| (path.to_owned(), count)).into());

    let of_stream = |name: &str| {
        let is = |span: &&Span| span.name == "stream" && attributes(&span.attributes)["stream"] == name;
        spans.iter().find(is).unwrap_or_else(|| panic!("no span of {name}"))
    };
    let orders = attributes(&of_stream("orders").attributes);
    let said =
        ["pipeline", "status", "records_read", "records_written", "batches", "checkpoints", "resuming"];
    assert_eq!(
        said.map(|name| orders[name].as_str()),
        ["p", "succeeded", "3000", "2990", "300", "2", "false"]
    );
    let customers = of_stream("customers");
    assert_eq!(customers.status.as_ref().unwrap().code(), SpanStatus::Error);
    assert_eq!(attributes(&customers.attributes)["error.type"], "connection_refused");
    let dropped = of_stream("dropped");
    assert_eq!(dropped.status.as_ref().unwrap().message, "the run ended before it");
    let root = spans.iter().find(|span| span.name == "pipeline").unwrap();
    assert_eq!(attributes(&root.attributes)["status"], "failed");
    let load = spans.iter().find(|span| span.name == "plugin load").unwrap();
    assert_eq!(attributes(&load.attributes)["connector"], "source-x@1.0.0");
    let nanoseconds = load.end_time_unix_nano - load.start_time_unix_nano;
    assert_eq!(nanoseconds, 40_000_000);
}

#[test]
fn every_metric_is_exported_under_its_name_with_its_value() {
    let collector = exported(&[]);
    let metrics = collector.received().last_metrics();
    let values: BTreeMap<&str, Vec<(String, u64)>> =
        metrics.iter().map(|(name, metric)| (name.as_str(), points(metric))).collect();
    let stream = "pipeline=p stream=orders";
    let one = |attributes: &str, value| vec![(attributes.to_owned(), value)];
    let expected = [
        ("rapidbyte.records.read", one(stream, 3000)),
        ("rapidbyte.records.written", one(stream, 2990)),
        ("rapidbyte.records.failed", one("connector=dest-y@2.0.0 pipeline=p stream=orders", 10)),
        ("rapidbyte.bytes.read", one(stream, 300_000)),
        ("rapidbyte.bytes.written", one(stream, 299_000)),
        (
            "rapidbyte.sync.duration_ms",
            vec![
                ("pipeline=p status=failed stream=customers".to_owned(), 1),
                ("pipeline=p status=succeeded stream=orders".to_owned(), 1),
            ],
        ),
        ("rapidbyte.sync.batch_duration_ms", one("connector=dest-y@2.0.0 pipeline=p stream=orders", 300)),
        ("rapidbyte.memory.peak_bytes", one("", 77)),
        ("rapidbyte.memory.current_bytes", one("", 55)),
        (
            "rapidbyte.plugin.load_duration_ms",
            vec![
                ("cached=false connector=dest-y@2.0.0".to_owned(), 1),
                ("cached=true connector=source-x@1.0.0".to_owned(), 1),
            ],
        ),
        ("rapidbyte.state.checkpoint_count", one(stream, 2)),
        (
            "rapidbyte.errors.count",
            one("category=transient-network code=connection_refused pipeline=p stream=customers", 1),
        ),
    ];
    for (name, value) in &expected {
        assert_eq!(values.get(name), Some(value), "{name}");
    }
    // The table is complete, and nothing is exported that it does not name.
    let tabled: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(tabled, expected.iter().map(|(name, _)| *name).collect());
    let exported: BTreeSet<&str> =
        values.keys().copied().filter(|name| !name.starts_with(CONNECTOR_PREFIX)).collect();
    assert_eq!(exported, tabled);
    for metric in METRICS {
        let sent = &metrics[metric.name];
        assert_eq!((sent.unit.as_str(), sent.description.as_str()), (metric.unit, metric.description));
        let kind = match sent.data.as_ref().unwrap() {
            Data::Sum(sum) if sum.is_monotonic => Kind::Counter,
            Data::Gauge(_) => Kind::Gauge,
            Data::Histogram(_) => Kind::Histogram,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind, metric.kind, "{}", metric.name);
        for (attributes, _) in points(sent) {
            let names: BTreeSet<&str> =
                attributes.split(' ').filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
            assert_eq!(names, metric.attributes.iter().copied().collect(), "{}", metric.name);
        }
    }
    assert_eq!(
        values["rapidbyte.connector.requests"],
        one("connector=source-x@1.0.0 endpoint=/orders pipeline=p stream=orders", 7)
    );
}

#[test]
fn logs_carry_where_they_belong() {
    let collector = exported(&[]);
    let received = collector.received();
    let records = received.log_records();
    let of = |body: &str| {
        let is = |record: &&_| {
            let record: &opentelemetry_proto::tonic::logs::v1::LogRecord = record;
            record.body.as_ref().map(word).as_deref() == Some(body)
        };
        records.iter().find(is).unwrap_or_else(|| panic!("no `{body}` in {records:?}"))
    };
    let connector = of("slow query");
    assert_eq!(connector.severity_text, "WARN");
    let said = attributes(&connector.attributes);
    let names = ["pipeline", "stream", "connector", "seconds", "retried"];
    assert_eq!(names.map(|name| said[name].as_str()), ["p", "orders", "source-x@1.0.0", "2.5", "true"]);
    let stream = received.spans().into_iter().find(|span| hex(&span.span_id) == hex(&connector.span_id));
    assert_eq!(stream.map(|span| span.name).as_deref(), Some("stream"), "it belongs to its stream's span");

    let ours = of("something of the host");
    assert_eq!(attributes(&ours.attributes)["answer"], "42");
    let root = received.spans().into_iter().find(|span| span.name == "pipeline").unwrap();
    assert_eq!(hex(&ours.span_id), hex(&root.span_id));
    assert_eq!(records.len(), 3, "what a connector says is exported once, what the export says not at all");
}

#[test]
fn says_who_it_is_and_what_it_was_told_to_send() {
    let collector = exported(&[
        ("OTEL_SERVICE_NAME", "nightly"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=ci"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme,authorization=Bearer%20token-of-test"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x-tenant=logs"),
    ]);
    let received = collector.received();
    assert!(received.resources().len() >= 3);
    for resource in received.resources() {
        let said = attributes(&resource.attributes);
        assert_eq!(said["service.name"], "nightly");
        assert_eq!(said["deployment.environment.name"], "ci");
        assert_eq!(said["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(said["telemetry.sdk.language"], "rust");
    }
    let paths: BTreeSet<&str> = received.headers.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, BTreeSet::from(["/v1/traces", "/v1/metrics", "/v1/logs"]));
    for (path, headers) in &received.headers {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["authorization"], "Bearer token-of-test");
        assert_eq!(headers["x-tenant"], if path == "/v1/logs" { "logs" } else { "acme" });
    }
}

#[test]
fn no_secret_leaves() {
    let collector = exported(&[]);
    let received = collector.received();
    assert!(received.bodies.iter().any(|body| contains(body, b"***")), "the run tells secrets");
    for body in &received.bodies {
        assert!(!contains(body, SECRET.as_bytes()));
    }
}

#[test]
fn only_what_is_asked_for_is_sent() {
    let collector = exported(&[("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")]);
    let received = collector.received();
    assert!(!received.traces.is_empty() && received.metrics.is_empty() && received.logs.is_empty());
    drop(received);

    let collector = Collector::start(Answer::Takes);
    let mut config =
        config(&collector.url(), &[("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")]);
    config.sample = 0.0;
    let telemetry = Telemetry::start(&config, Redactor::default(), None).unwrap();
    telling(&telemetry);
    assert_eq!(telemetry.finish(), None);
    assert!(collector.received().headers.is_empty(), "a run that is not sampled has no spans");
}

/// Tells a run to a collector that does not take it; says what was lost and how long it took.
fn lost(url: &str, variables: &[(&str, &str)]) -> Undelivered {
    let began = Instant::now();
    let undelivered = export(url, variables).expect("something is lost");
    // With time to spare for a machine that does ten other things.
    assert!(began.elapsed() < FLUSH_TIME_LIMIT * 4, "{:?}", began.elapsed());
    undelivered
}

#[test]
fn a_collector_that_is_down_costs_a_warning() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let undelivered = lost(&format!("http://{free}"), &[]);
    assert!(undelivered.spans > 100 && undelivered.log_records == 3 && undelivered.metric_exports > 0);
    let said = undelivered.to_string();
    assert!(
        said.starts_with("telemetry: ") && said.contains("3 log records") && said.contains(&free.to_string()),
        "{said}"
    );
    assert!(said.to_lowercase().contains("refused"), "{said}");
}

#[test]
fn a_collector_that_says_nothing_costs_a_warning_and_a_moment() {
    let collector = Collector::start(Answer::Silent);
    let undelivered = lost(&collector.url(), &[("OTEL_EXPORTER_OTLP_TIMEOUT", "200")]);
    assert!(undelivered.spans > 100, "{undelivered}");
    assert!(undelivered.to_string().ends_with("it did not answer in time"), "{undelivered}");
}

#[test]
fn a_collector_that_refuses_costs_a_warning() {
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS, StatusCode::UNAUTHORIZED] {
        let collector = Collector::start(Answer::Refuses(status));
        let undelivered =
            lost(&collector.url(), &[("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")]);
        assert!(undelivered.to_string().contains(status.as_str()), "{undelivered}");
        let tries = collector.received().headers.len();
        let tried_again = status != StatusCode::UNAUTHORIZED;
        assert_eq!(tries > 1, tried_again, "{status}: {tries} requests");
    }
}

#[test]
fn what_does_not_fit_the_queue_is_dropped_and_counted() {
    let collector = Collector::start(Answer::Silent);
    let telemetry = Telemetry::start(
        &config(&collector.url(), &[("OTEL_METRICS_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none")]),
        Redactor::default(),
        None,
    );
    let telemetry = telemetry.unwrap();
    let made = QUEUE_ITEMS_MAX as u64 * 4;
    let began = Instant::now();
    run::many_streams(&telemetry, made);
    assert!(began.elapsed() < Duration::from_secs(60), "telling waits for nobody");
    let undelivered = telemetry.finish().unwrap();
    assert_eq!(undelivered.spans, made + 1, "every stream and the run itself");
}

/// The names from the root to a span, and the root.
fn path<'a>(span: &'a Span, by_id: &HashMap<&[u8], &'a Span>) -> (String, &'a Span) {
    let mut names = vec![span.name.as_str()];
    let mut at = span;
    while let Some(above) = by_id.get(at.parent_span_id.as_slice()) {
        names.push(&above.name);
        at = above;
    }
    names.reverse();
    (names.join(" > "), at)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn contains(body: &[u8], what: &[u8]) -> bool {
    body.windows(what.len()).any(|window| window == what)
}
