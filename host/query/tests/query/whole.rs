//! Queries over a whole stream: what they give at the end, and that their memory is bounded.

use arrow_array::{Int64Array, StringArray};
use rapidbyte_core::sql::SqlPlanner;
use rapidbyte_core::{ErrorCategory, ErrorScope};
use rapidbyte_query::Planner;

use crate::support::*;

#[tokio::test]
async fn an_aggregation_gives_everything_at_the_end() {
    let query = "SELECT paid, count(*) AS orders, sum(amount) AS total, min(email) AS first FROM input \
                 WHERE id < 9 GROUP BY paid HAVING count(*) > 1 ORDER BY paid NULLS FIRST";
    let planned = plan(&orders_schema(), &[filter("id > 1"), sql(query), rename("orders", "n")]).unwrap();
    assert!(!planned.is_stateless());
    let names: Vec<String> = planned.schema().fields().iter().map(|it| it.name().clone()).collect();
    assert_eq!(names, ["paid", "n", "total", "first"]);
    for _ in 0..2 {
        let mut running = planned.start();
        for first in [1, 5, 9] {
            assert!(running.push(orders_from(first, 4)).await.unwrap().is_empty());
        }
        let results = running.finish().await.unwrap();
        assert!(results.iter().all(|it| it.schema() == planned.schema()));
        assert_eq!(
            rows(&results),
            ["·|2|·|·", "false|2|126.00|User5@X.org", "true|3|147.00|User2@X.org"],
            "a second run knows nothing of the first"
        );
    }
}

#[tokio::test]
async fn order_distinct_limits_and_windows() {
    let batches = [orders_from(1, 4), orders_from(3, 4)];
    assert_eq!(
        shown(&batches, &[sql("SELECT id FROM input ORDER BY id DESC LIMIT 3")]).await,
        ["6", "5", "4"]
    );
    assert_eq!(
        shown(
            &batches,
            &[sql("SELECT DISTINCT paid FROM input"), sql("SELECT count(*) AS kinds FROM input")]
        )
        .await,
        ["3"]
    );
    let newest = [
        sql("SELECT id, row_number() OVER (PARTITION BY id ORDER BY id) AS nth FROM input"),
        filter("nth = 2"),
        sql("SELECT id FROM input ORDER BY id"),
    ];
    assert_eq!(shown(&batches, &newest).await, ["3", "4"]);
}

#[tokio::test]
async fn a_stream_without_rows_can_be_counted() {
    let empty = orders_from(1, 0);
    assert_eq!(
        shown(std::slice::from_ref(&empty), &[sql("SELECT count(*) AS n, max(id) AS last FROM input")]).await,
        ["0|·"]
    );
    assert!(shown(&[empty], &[sql("SELECT paid, count(*) AS n FROM input GROUP BY paid")]).await.is_empty());
}

#[tokio::test]
async fn plain_columns_keep_their_extension_type() {
    let planned =
        plan(&orders_schema(), &[sql("SELECT \"Key\" AS k, count(*) AS n FROM input GROUP BY \"Key\"")])
            .unwrap();
    assert_eq!(planned.schema().field(0).extension_type_name(), Some("arrow.uuid"));
    assert_eq!(planned.schema().field(1).extension_type_name(), None);
}

#[tokio::test]
async fn more_than_the_memory_holds_is_an_error_that_names_the_operation() {
    for query in
        ["SELECT text, count(*) AS n FROM input GROUP BY text", "SELECT text FROM input ORDER BY text"]
    {
        let batch = |from: usize| {
            let values: Vec<String> = (from..from + 5_000).map(|it| format!("{it:0100}")).collect();
            column("text", StringArray::from(values))
        };
        let planned = Planner.operations(&batch(0).schema(), &[sql(query)], MIB).unwrap();
        let mut running = planned.start();
        let mut failed = None;
        for from in 0..40 {
            if let Err(error) = running.push(batch(from * 5_000)).await {
                failed = Some(error);
                break;
            }
        }
        let error = match failed {
            Some(error) => error,
            None => running.finish().await.unwrap_err(),
        };
        assert_eq!(
            (error.category, error.code.as_str()),
            (ErrorCategory::Config, "out_of_memory"),
            "{query}: {error}"
        );
        assert!(
            error.message.contains("operation 1, `sql`") && error.message.contains("max_memory"),
            "{error}"
        );
        assert_eq!(running.finish().await.unwrap_err().code, "out_of_memory", "it stays failed");
    }
}

#[tokio::test]
async fn a_bad_value_in_a_whole_stream_cannot_be_taken_apart() {
    let texts = column("text", StringArray::from(vec!["1", "x"]));
    let planned =
        plan(&texts.schema(), &[sql("SELECT sum(CAST(text AS BIGINT)) AS total FROM input")]).unwrap();
    let mut running = planned.start();
    let error = match running.push(texts).await {
        Err(error) => error,
        Ok(_) => running.finish().await.unwrap_err(),
    };
    assert_eq!((error.category, error.scope), (ErrorCategory::Data, ErrorScope::PerStream));
    assert_eq!(error.code, "cast_failed");
}

#[tokio::test]
async fn a_run_may_be_dropped_at_any_time() {
    let planned = plan(&orders_schema(), &[sql("SELECT count(*) AS n FROM input")]).unwrap();
    let mut running = planned.start();
    running.push(orders()).await.unwrap();
    drop(running);
    let mut again = planned.start();
    again.push(orders()).await.unwrap();
    assert_eq!(rows(&again.finish().await.unwrap()), ["4"]);
    let numbers = column("n", Int64Array::from(vec![1, 2]));
    assert_eq!(shown(&[numbers], &[sql("SELECT max(n) AS n FROM input")]).await, ["2"]);
}
