//! What a run tells a collector, and its profile, through the built binary with real connectors.

mod support;

#[path = "../../host/telemetry/tests/otlp/collector.rs"]
#[allow(dead_code)]
mod collector;

use std::collections::BTreeMap;
use std::net::TcpListener;

use collector::{Answer, Collector, attributes, points, word};
use serde_json::Value;
use support::{Invocation, Project, components};

const ROWS: usize = 5_000;
const TOKEN: &str = "token-of-test-22";

/// A project whose pipeline masks a file's rows on the way to another file.
fn project() -> Project {
    let project = Project::new();
    let rows: String =
        (0..ROWS).map(|row| format!("{{\"id\":{row},\"email\":\"u{row}@example.com\"}}\n")).collect();
    project.write("data/people.jsonl", rows);
    let component = |name: &str| components().join(format!("{name}.wasm")).display().to_string();
    project.write(
        "p.yaml",
        format!(
            r#"
version: "1.0"
pipeline: people
source:
  use: {source}
  config: {{ path: data }}
  streams:
    - {{ name: people, sync_mode: full_refresh }}
transforms:
  - use: {mask}
    stream: people
    config: {{ key: "${{MASK_KEY}}", rules: [{{ columns: [email], action: hash }}] }}
destination:
  use: {destination}
  config: {{ path: out, format: jsonl }}
  write_mode: replace
"#,
            source = component("source-file"),
            mask = component("transform-mask"),
            destination = component("dest-file"),
        ),
    );
    project
}

fn run<'a>(project: &Project, more: impl IntoIterator<Item = &'a str>) -> Invocation {
    project.rapidbyte(["run", "p.yaml"].into_iter().chain(more)).env("MASK_KEY", "key-of-test-123")
}

#[test]
fn a_collector_is_told_the_whole_run() {
    let collector = Collector::start(Answer::Takes);
    let project = project();
    project.write(
        "../home/.rapidbyte/config.toml",
        format!("[telemetry]\nheaders = {{ authorization = \"Bearer {TOKEN}\" }}\n"),
    );
    let outcome = run(&project, ["-vv"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_SERVICE_NAME", "nightly")
        .env("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .run()
        .expect(0);
    assert!(!outcome.stderr.contains("telemetry:"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains(TOKEN), "{}", outcome.stderr);

    let received = collector.received();
    let spans = received.spans();
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    spans.iter().for_each(|span| *names.entry(&span.name).or_default() += 1);
    assert_eq!((names["pipeline"], names["plugin load"], names["stream"]), (1, 3, 1), "{names:?}");
    assert!(names["batch"] >= 2 && names["checkpoint"] >= 1, "{names:?}");
    let stream = spans.iter().find(|span| span.name == "stream").unwrap();
    let said = attributes(&stream.attributes);
    assert_eq!((said["stream"].as_str(), said["status"].as_str()), ("people", "succeeded"));
    assert_eq!(said["records_written"], ROWS.to_string());
    let root = spans.iter().find(|span| span.name == "pipeline").unwrap();
    assert_eq!(attributes(&root.attributes)["pipeline"], "people");
    assert_eq!(stream.parent_span_id, root.span_id);
    assert_eq!(root.parent_span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);

    let metrics = received.last_metrics();
    let value = |name: &str| points(&metrics[name]);
    let of_stream = "pipeline=people stream=people".to_owned();
    assert_eq!(value("rapidbyte.records.read"), [(of_stream.clone(), ROWS as u64)]);
    assert_eq!(value("rapidbyte.records.written"), [(of_stream, ROWS as u64)]);
    assert_eq!(value("rapidbyte.plugin.load_duration_ms").len(), 3);
    assert!(value("rapidbyte.memory.peak_bytes")[0].1 > 1_000_000);
    let batches: u64 = value("rapidbyte.sync.batch_duration_ms").iter().map(|(_, count)| count).sum();
    assert!(batches >= 2);

    for resource in received.resources() {
        assert_eq!(attributes(&resource.attributes)["service.name"], "nightly");
    }
    for (_, headers) in &received.headers {
        assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
    }
    for body in &received.bodies {
        let text = String::from_utf8_lossy(body);
        assert!(!text.contains("key-of-test-123") && !text.contains("@example.com"));
    }
    let bodies = received.log_records();
    let said: Vec<String> = bodies.iter().filter_map(|record| record.body.as_ref().map(word)).collect();
    assert_eq!(received.logs.is_empty(), said.is_empty(), "{said:?}");
}

#[test]
fn a_failed_run_is_told_with_its_error() {
    let collector = Collector::start(Answer::Takes);
    let project = project();
    project.write("data/people.jsonl", "{\"id\": 1}\nno json\n");
    let outcome = run(&project, []).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).run();
    assert_ne!(outcome.status.code(), Some(0), "{}", outcome.text());
    let received = collector.received();
    let root = received.spans().into_iter().find(|span| span.name == "pipeline").unwrap();
    assert_eq!(attributes(&root.attributes)["status"], "failed");
    assert!(!root.status.unwrap().message.is_empty());
}

#[test]
fn a_collector_that_is_down_or_misconfigured_fails_nothing() {
    let project = project();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome =
        run(&project, []).env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{free}")).run().expect(0);
    let stderr = &outcome.stderr;
    assert!(stderr.contains("warning: telemetry: ") && stderr.contains("did not reach"), "{stderr}");

    let outcome = run(&project, [])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .run()
        .expect(0);
    assert!(outcome.stderr.contains("warning: telemetry is off: OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`"));
}

#[test]
fn the_profile_says_what_held_the_run_back() {
    let project = project();
    let outcome = run(&project, ["--profile"]).run().expect(0);
    let stdout = &outcome.stdout;
    assert!(stdout.contains("held it back") || stdout.contains("lie outside"), "{stdout}");
    for stage in ["source source-file@", "host", "transform transform-mask@", "destination dest-file@"] {
        assert!(stdout.contains(stage), "{stdout}");
    }
    assert!(stdout.contains("5,000"), "{stdout}");

    run(&project, ["--profile=profile.html"]).run().expect(0);
    let page = std::fs::read_to_string(project.path("profile.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg"), "{page}");
    assert!(page.contains("Profile of people") && !page.contains("://"), "{page}");

    let outcome = run(&project, ["--profile", "--format", "json"]).run().expect(0);
    let report: Value = serde_json::from_str(&outcome.json()).unwrap();
    let stages = report["profile"]["tasks"][0]["stages"].as_array().unwrap();
    let kinds: Vec<&str> = stages.iter().map(|stage| stage["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["source", "host", "transform", "host", "destination"]);
    for stage in stages {
        let ms = |name: &str| stage[name].as_u64().unwrap();
        let parts = ms("busy_ms")
            + ms("waiting_for_input_ms")
            + ms("waiting_for_output_ms")
            + ms("waiting_for_remote_ms");
        assert!(parts <= ms("wall_ms"), "{stage}");
        assert_eq!(ms("records"), ROWS as u64, "{stage}");
    }
    let plain = run(&project, ["--format", "json"]).run().expect(0);
    assert!(!plain.json().contains("\"profile\""), "only who asks gets it");
}
