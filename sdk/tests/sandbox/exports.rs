//! What `#[connector]` makes of a crate: the exported role and nothing else, the configuration's schema, sessions.

use rapidbyte_sdk::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use rapidbyte_sdk::batch::{FrameDecoder, FrameEncoder};
use std::sync::Arc;
use wasmparser::{Parser, Payload};

use super::guests;
use super::host::{Inbound, Sandbox, core_types, request, stream_types, telemetry};

struct Contents {
    imports: Vec<String>,
    exports: Vec<String>,
    schema: Option<String>,
}

fn contents(guest: &str) -> Contents {
    let bytes = std::fs::read(guests::component(guest)).unwrap();
    let mut contents = Contents { imports: vec![], exports: vec![], schema: None };
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                contents
                    .imports
                    .extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                contents
                    .exports
                    .extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            Payload::CustomSection(section) if section.name() == "rapidbyte:config-schema" => {
                contents.schema = Some(String::from_utf8(section.data().to_vec()).unwrap());
            }
            _ => {}
        }
    }
    contents
}

#[test]
fn a_component_exports_its_role_and_imports_the_host_alone() {
    for (guest, role) in [("executor", "source"), ("pump", "transform")] {
        let contents = contents(guest);
        assert_eq!(contents.exports, [format!("rapidbyte:connector/{role}@4.0.0")]);
        let ours: Vec<_> = contents.imports.iter().filter(|name| !name.starts_with("wasi:")).collect();
        for import in &ours {
            let interface = import.trim_start_matches("rapidbyte:connector/").trim_end_matches("@4.0.0");
            assert!(["host-io", "core-types", "stream-types", "telemetry"].contains(&interface), "{import}");
        }
        assert!(ours.iter().any(|name| name.contains("host-io")), "{:?}", contents.imports);
        assert!(
            !contents
                .imports
                .iter()
                .any(|name| name.starts_with("wasi:sockets") || name.starts_with("wasi:http")),
            "{:?}",
            contents.imports
        );
    }
}

#[test]
fn the_configuration_schema_is_in_the_component() {
    let schema: serde_json::Value = serde_json::from_str(&contents("executor").schema.unwrap()).unwrap();
    assert_eq!(schema["title"], "Config");
    assert_eq!(schema["description"], "Where the peer is.");
    assert_eq!(schema["properties"]["host"]["default"], "127.0.0.1");
    assert_eq!(schema["properties"]["port"]["maximum"], 65_535);
    assert_eq!(schema["properties"]["password"]["writeOnly"], true);
    assert_eq!(schema["required"], serde_json::json!([]));
    let schema: serde_json::Value = serde_json::from_str(&contents("pump").schema.unwrap()).unwrap();
    assert_eq!(schema["properties"], serde_json::json!({}));
}

#[tokio::test]
async fn open_says_who_it_is() {
    let mut sandbox = Sandbox::start("executor", "source").await;
    let opened = sandbox.open("{}").await.unwrap();
    assert_eq!(opened.info.connector_id, "executor@0.1.0");
    assert_eq!(opened.info.role, core_types::ConnectorRole::Source);
    assert_eq!(opened.info.protocol_version, "4.0.0");
    let expected = core_types::Capabilities::FULL_REFRESH | core_types::Capabilities::PROJECTION;
    assert_eq!(opened.info.capabilities, expected);
}

#[tokio::test]
async fn sessions_are_apart() {
    let mut sandbox = Sandbox::start("executor", "source").await;
    let one = sandbox.open(r#"{ "port": 11 }"#).await.unwrap().session;
    let two = sandbox.open(r#"{ "port": 22 }"#).await.unwrap().session;
    assert_ne!(one, two);
    assert_eq!(sandbox.validate(one).await.unwrap().message, "port 11");
    assert_eq!(sandbox.validate(two).await.unwrap().message, "port 22");
    sandbox.scenario(one, "runs").await.unwrap();
    sandbox.scenario(one, "runs").await.unwrap();
    sandbox.logs.lock().unwrap().clear();
    sandbox.scenario(two, "runs").await.unwrap();
    assert_eq!(sandbox.logged("runs", "runs"), 1);

    sandbox.close(one).await.unwrap();
    sandbox.close(one).await.unwrap();
    sandbox.close(4_711).await.unwrap();
    assert_eq!(sandbox.scenario(one, "runs").await.unwrap_err().code, "unknown_session");
    assert_eq!(sandbox.validate(one).await.unwrap_err().code, "unknown_session");
    sandbox.scenario(two, "runs").await.unwrap();
    let three = sandbox.open("{}").await.unwrap().session;
    assert!(three != one && three != two, "a session's number is not used again");
}

#[tokio::test]
async fn an_error_leaves_the_session_usable() {
    let mut sandbox = Sandbox::start("executor", "source").await;
    let session = sandbox.open("{}").await.unwrap().session;
    assert_eq!(sandbox.scenario(session, "no such").await.unwrap_err().code, "unknown_scenario");
    sandbox.scenario(session, "runs").await.unwrap();
}

#[tokio::test]
async fn a_bad_configuration_names_the_field() {
    let mut sandbox = Sandbox::start("executor", "source").await;
    for (config, message) in [
        (r#"{ "prot": 1 }"#, "config field `prot`: unknown field, did you mean `port`?"),
        (r#"{ "port": "x" }"#, "config field `port`: must be an integer, found a text"),
        (r#"{ "port": 65536 }"#, "config field `port`: must be between 0 and 65535"),
        (r#"[]"#, "the configuration must be a table of keys and values, found a list"),
        (r#"{"#, "the configuration is not JSON: line 1, column 1"),
    ] {
        let error = sandbox.open(config).await.unwrap_err();
        assert_eq!(error.category, core_types::ErrorCategory::Config);
        assert_eq!(error.message, message);
        assert!(!error.retryable);
    }
}

#[tokio::test]
async fn frames_and_checkpoints_pass_through_a_transform() {
    let mut sandbox = Sandbox::start("pump", "transform").await;
    let session = sandbox.open("").await.unwrap_err();
    assert_eq!(session.category, core_types::ErrorCategory::Config);
    let session = sandbox.open("{}").await.unwrap().session;

    let catalog = sandbox
        .try_run(session, request("numbers", core_types::RunPhase::Discover))
        .await
        .unwrap()
        .unwrap()
        .catalog
        .unwrap();
    assert_eq!(catalog.streams[0].name, "numbers");
    let schema = rapidbyte_sdk::batch::schema_from_ipc(catalog.streams[0].schema.clone()).unwrap();
    assert_eq!(schema.field(0).name(), "n");

    let batch = |rows: std::ops::Range<i64>| {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(rows)) as ArrayRef)]).unwrap()
    };
    let checkpoint = telemetry::CheckpointEvent {
        kind: telemetry::CheckpointKind::Source,
        stream: "numbers".to_owned(),
        id: 42,
        cursor: Some(stream_types::Cursor {
            field: "n".to_owned(),
            value: stream_types::CursorValue::Decimal("1.50".to_owned()),
        }),
        records: 3,
        bytes: 4,
        complete: true,
    };
    let mut encoder = FrameEncoder::new();
    let batches = [batch(0..0), batch(0..100_000), batch(5..6)];
    for batch in &batches {
        let frame = encoder.encode(batch).unwrap().to_vec();
        sandbox.store.data_mut().inlet.push_back(Inbound::Frame(frame));
    }
    sandbox.store.data_mut().inlet.push_back(Inbound::Checkpoint(checkpoint.clone()));
    sandbox.store.data_mut().inlet.push_back(Inbound::End);
    let summary =
        sandbox.try_run(session, request("numbers", core_types::RunPhase::Transform)).await.unwrap().unwrap();
    let summary = summary.transform.unwrap();
    assert_eq!((summary.records_in, summary.records_out, summary.batches), (100_001, 100_001, 3));
    let mut decoder = FrameDecoder::new();
    let emitted = std::mem::take(&mut sandbox.store.data_mut().emitted);
    let emitted: Vec<_> = emitted.into_iter().map(|frame| decoder.decode(frame).unwrap()).collect();
    assert_eq!(emitted, batches);
    let forwarded = &sandbox.store.data().checkpoints[0];
    assert_eq!(forwarded.kind, telemetry::CheckpointKind::Transform);
    assert_eq!((forwarded.id, forwarded.complete, forwarded.records), (42, true, 3));
    let Some(stream_types::Cursor { value: stream_types::CursorValue::Decimal(value), .. }) =
        &forwarded.cursor
    else {
        panic!("{forwarded:?}")
    };
    assert_eq!(value, "1.50");
}
