//! The transform on the SDK's test host.

use rapidbyte_sdk::arrow::array::{ArrayRef, Int64Array};
use rapidbyte_sdk::testing::{EmittedEvent, TestHost, block_on};
use serde_json::{Value, json};

use super::*;

fn batch(emails: Vec<Option<&str>>) -> RecordBatch {
    let ids = Int64Array::from_iter_values(0..emails.len() as i64);
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(ids) as ArrayRef, false),
        (
            "email",
            Arc::new(StringArray::from(emails)) as ArrayRef,
            true,
        ),
    ])
    .unwrap()
}

fn run(host: &TestHost, config: Value) -> Result<RunSummary, ConnectorError> {
    let request = RunRequest::transform(StreamContext::new("customers", batch(vec![]).schema()));
    block_on(async {
        host.transform::<TidyTransform>(config)
            .await?
            .run(request)
            .await
    })
}

#[test]
fn changes_the_columns_it_is_told_and_keeps_order() {
    let host = TestHost::new();
    host.feed_batch(&batch(vec![Some(" A@Example.com"), None, Some("")]));
    host.feed_checkpoint(None);
    host.feed_batch(&batch(vec![Some("B\t")]));
    host.feed_end();
    let summary = run(&host, json!({ "columns": ["email"], "case": "lower" })).unwrap();
    let summary = summary.transform.unwrap();
    assert_eq!((summary.records_in, summary.records_out), (4, 4));
    let emitted = host.emitted();
    assert_eq!(
        emitted[0],
        EmittedEvent::Batch(batch(vec![Some("a@example.com"), None, Some("")]))
    );
    assert!(matches!(emitted[1], EmittedEvent::Checkpoint(_)));
    assert_eq!(emitted[2], EmittedEvent::Batch(batch(vec![Some("b")])));
}

#[test]
fn refuses_what_it_cannot_do() {
    for columns in [json!([]), json!(["mail"]), json!(["id"])] {
        let error = run(&TestHost::new(), json!({ "columns": columns })).unwrap_err();
        assert_eq!(error.category, ErrorCategory::Config);
        assert!(
            error.message.starts_with("config field `columns`"),
            "{error}"
        );
    }
}
