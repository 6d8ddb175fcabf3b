//! The source against the fixture server, on the SDK's test host: no Wasm, no network beyond this machine.

use rapidbyte_sdk::arrow::array::cast::AsArray;
use rapidbyte_sdk::arrow::array::types::Int64Type;
use rapidbyte_sdk::testing::{TestHost, block_on};
use serde_json::json;

use super::*;

#[path = "../fixtures/server.rs"]
mod server;

fn api(token: Option<&str>) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/issues.json");
    server::start(0, file.into(), token.map(str::to_owned)).expect("a free port")
}

fn request(position: Option<i64>) -> RunRequest {
    let mut stream = StreamContext::new(STREAM, schema());
    stream.sync_mode = SyncMode::Incremental;
    stream.cursor = Some(CursorSpec {
        field: CURSOR.to_owned(),
        tie_breaker: Vec::new(),
    });
    stream.position = position.map(CursorValue::Int64);
    stream.limits.checkpoint_interval_rows = 1;
    RunRequest::read(stream)
}

fn run(config: serde_json::Value, request: RunRequest) -> Result<TestHost, ConnectorError> {
    let host = TestHost::new();
    block_on(async { host.source::<ApiSource>(config).await?.run(request).await })?;
    Ok(host)
}

fn seqs(host: &TestHost) -> Vec<i64> {
    let column = |batch: &RecordBatch| {
        batch
            .column(4)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    };
    host.emitted_batches().iter().flat_map(column).collect()
}

#[test]
fn reads_every_issue_once_whatever_the_page_size() {
    let url = api(None);
    for page_size in [1, 3, 1_000] {
        let host = run(json!({ "url": url, "page_size": page_size }), request(None)).unwrap();
        assert_eq!(seqs(&host), [1, 2, 3, 4, 5, 6, 7]);
    }
}

#[test]
fn goes_on_behind_every_checkpoint_without_gap_or_overlap() {
    let config = json!({ "url": api(None), "page_size": 2 });
    let whole = run(config.clone(), request(None)).unwrap();
    let checkpoints = whole.emitted_checkpoints();
    assert_eq!(checkpoints.len(), 4);
    for checkpoint in checkpoints {
        let Some(Cursor {
            value: CursorValue::Int64(position),
            ..
        }) = checkpoint.cursor
        else {
            panic!("a checkpoint without position: {checkpoint:?}")
        };
        let rest = run(config.clone(), request(Some(position))).unwrap();
        assert_eq!(seqs(&rest), (position + 1..=7).collect::<Vec<i64>>());
    }
}

#[test]
fn stops_at_the_largest_number_of_records() {
    let mut request = request(None);
    request.max_records = Some(5);
    let host = run(json!({ "url": api(None), "page_size": 2 }), request).unwrap();
    assert_eq!(seqs(&host), [1, 2, 3, 4, 5]);
}

#[test]
fn says_that_the_token_is_wrong() {
    let url = api(Some("right"));
    assert!(run(json!({ "url": url, "token": "right" }), request(None)).is_ok());
    let error = run(json!({ "url": url, "token": "wrong" }), request(None))
        .err()
        .unwrap();
    assert_eq!(
        (error.category, error.code.as_str()),
        (ErrorCategory::Auth, "http_unauthorized")
    );
    assert!(!error.message.contains("wrong"), "{error}");
}

#[test]
fn refuses_what_is_no_configuration() {
    for (config, field) in [
        (json!({}), "url"),
        (json!({ "url": "api.example.com" }), "url"),
        (
            json!({ "url": "http://127.0.0.1:1", "page_size": 0 }),
            "page_size",
        ),
        (json!({ "url": "http://127.0.0.1:1", "pages": 1 }), "pages"),
    ] {
        let error = run(config, request(None)).err().unwrap();
        assert_eq!(error.category, ErrorCategory::Config);
        assert!(error.message.contains(&format!("`{field}`")), "{error}");
    }
}
