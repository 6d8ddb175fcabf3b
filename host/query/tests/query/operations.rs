//! Operations that answer batch by batch: what they give, what they keep, what they refuse and in which words.

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, TimeUnit};
use rapidbyte_core::sql::Operation;
use rapidbyte_core::{ErrorCategory, ErrorScope};

use crate::support::*;

#[tokio::test]
async fn operations_follow_each_other() {
    let operations = [
        rename("amount", "total"),
        add("total_euro", "CAST(total AS DOUBLE) / 100.0"),
        cast("created", "Date"),
        filter("total > 10.50"),
        drop_columns(&["ratio", "paid", "Key", "created"]),
    ];
    assert_eq!(
        shown(&[orders()], &operations).await,
        ["2|User2@X.org|21.00|0.21", "4|User4@X.org|42.00|0.42"]
    );
}

#[tokio::test]
async fn untouched_columns_keep_all_that_their_fields_say() {
    let operations = [
        rename("Key", "key"),
        add("key_again", "key"),
        add("low", "lower(email)"),
        filter("id > 0"),
        sql("SELECT id, key AS k, key_again, low FROM input"),
    ];
    let planned = plan(&orders_schema(), &operations).unwrap();
    let schema = planned.schema();
    assert_eq!(schema.metadata().get("origin").map(String::as_str), Some("shop"));
    for name in ["k", "key_again"] {
        let field = schema.field_with_name(name).unwrap();
        assert_eq!(field.extension_type_name(), Some("arrow.uuid"), "{name}");
    }
    assert!(!schema.field_with_name("id").unwrap().is_nullable());
    let low = schema.field_with_name("low").unwrap();
    assert_eq!((low.data_type(), low.metadata().len()), (&DataType::Utf8, 0));
    assert!(planned.is_stateless());
}

#[tokio::test]
async fn a_cast_column_is_no_longer_what_its_metadata_said() {
    let planned = plan(&orders_schema(), &[cast("Key", "Binary")]).unwrap();
    let field = planned.schema().field_with_name("Key").unwrap().clone();
    assert_eq!((field.data_type(), field.metadata().is_empty()), (&DataType::Binary, true));
}

#[tokio::test]
async fn names_match_as_written_or_else_whatever_their_case() {
    assert_eq!(
        shown(&[orders_from(1, 1)], &[sql("SELECT ID, EMAIL AS Mail FROM INPUT")]).await,
        ["1|User1@X.org"]
    );
    let planned =
        plan(&orders_schema(), &[sql("SELECT key, Email AS Mail FROM Input i WHERE i.ID > 0")]).unwrap();
    let names: Vec<String> = planned.schema().fields().iter().map(|it| it.name().clone()).collect();
    assert_eq!(names, ["Key", "Mail"]);
    let problem = refused(&[filter("\"EMAIL\" IS NULL")]);
    assert_eq!((problem.code, problem.hint.as_deref()), ("unknown_column", Some("did you mean `email`?")));
}

#[tokio::test]
async fn a_filter_keeps_what_is_true_and_drops_what_is_null() {
    assert_eq!(
        shown(&[orders()], &[filter("amount > 0"), sql("SELECT id FROM input")]).await,
        ["1", "2", "4"]
    );
    assert_eq!(shown(&[orders()], &[filter("email IS NULL"), sql("SELECT id FROM input")]).await, ["3"]);
    assert_eq!(shown(&[orders()], &[filter("paid"), sql("SELECT id FROM input")]).await, ["2", "4"]);
    assert!(shown(&[orders()], &[filter("NULL AND paid")]).await.is_empty());
}

#[tokio::test]
async fn empty_batches_come_to_nothing() {
    let empty = RecordBatch::new_empty(orders_schema());
    let operations = [add("half", "id / 0"), cast("email", "Int64"), filter("id > 0")];
    assert!(shown(&[empty.clone(), empty], &operations).await.is_empty());
}

#[tokio::test]
async fn a_select_computes_filters_and_names() {
    let query = "SELECT id, lower(email) AS email, CASE WHEN paid THEN 'yes' ELSE 'no' END AS paid, \
                 amount * 1.19 AS gross, date_trunc('month', created) AS month FROM input WHERE email LIKE '%@X.org' AND id <> 2";
    assert_eq!(
        shown(&[orders()], &[sql(query)]).await,
        ["1|user1@x.org|no|12.4950|1970-01-01T00:00:00Z", "4|user4@x.org|yes|49.9800|1970-01-01T00:00:00Z"]
    );
    let all = shown(&[orders_from(1, 1)], &[sql("SELECT i.*, 1 AS one FROM input AS i;")]).await;
    assert_eq!(all, ["1|User1@X.org|10.50|1970-01-02T00:00:00Z|0.5|false|0100|1"]);
    let fewer =
        shown(&[orders_from(1, 1)], &[sql("SELECT * EXCEPT (email, created, \"Key\") FROM input")]).await;
    assert_eq!(fewer, ["1|10.50|0.5|false"]);
}

#[tokio::test]
async fn now_is_one_moment_in_whole_microseconds() {
    let batch = run(&[orders()], &[add("synced", "now()"), sql("SELECT synced FROM input")]).await.unwrap();
    let values = rows(&batch);
    assert_eq!(values.len(), 4);
    assert!(values.iter().all(|it| *it == values[0]), "{values:?}");
    let DataType::Timestamp(unit, Some(_)) = batch[0].schema().field(0).data_type().clone() else {
        panic!("{:?}", batch[0].schema())
    };
    assert_eq!(unit, TimeUnit::Nanosecond);
    let nanoseconds = arrow_cast::cast(batch[0].column(0), &DataType::Int64).unwrap();
    let nanoseconds = nanoseconds.as_any().downcast_ref::<Int64Array>().unwrap();
    assert_eq!(nanoseconds.value(0) % 1000, 0);
}

#[tokio::test]
async fn functions_of_every_family_are_there() {
    let operations = [
        add("hash", "encode(sha256(email), 'hex')"),
        add("md", "md5(email)"),
        add("part", "regexp_replace(email, '@.*$', '')"),
        add("length", "character_length(email)"),
        add("year", "extract(year FROM created)"),
        add("root", "round(sqrt(id), 2)"),
        add("or_else", "coalesce(email, 'none')"),
        add("initial", "upper(substr(email, 1, 1)) || '.'"),
        drop_columns(&["id", "email", "amount", "created", "ratio", "paid", "Key"]),
    ];
    // Digests by `printf 'User2@X.org' | sha256sum` and `md5sum`.
    let sha256 = "a55bbe4851669691a77c984197f7f56cf5fe4219ebbe215cd6314d38a9873764";
    let md5 = "8b8699348db2467b6c75c99ec46e278c";
    assert_eq!(
        shown(&[orders_from(2, 2)], &operations).await,
        [format!("{sha256}|{md5}|User2|11|1970|1.41|User2@X.org|U."), "·|·|·|·|·|1.73|none|·".to_owned(),]
    );
}

#[test]
fn every_mistake_has_a_code_a_place_and_a_next_step() {
    let long = vec!["id > 0"; 600].join(" OR ");
    let deep = format!("{}id{} > 0", "(".repeat(200), ")".repeat(200));
    let cases: Vec<(Operation, &str, Option<&str>, &str)> = vec![
        (rename("emial", "mail"), "unknown_column", Some("from"), "did you mean `email`?"),
        (rename("email", "id"), "duplicate_column", Some("to"), "another name"),
        (rename("email", ""), "empty_name", Some("to"), ""),
        (drop_columns(&["ammount"]), "unknown_column", Some("columns"), "did you mean `amount`?"),
        (
            drop_columns(&["id", "email", "amount", "created", "ratio", "paid", "Key"]),
            "no_columns",
            Some("columns"),
            "",
        ),
        (add("id", "1"), "duplicate_column", Some("name"), "another name"),
        (add("x", "emails || 'a'"), "unknown_column", Some("expression"), "did you mean `email`?"),
        (add("x", "quantity"), "unknown_column", Some("expression"), "the columns here are `id`"),
        (add("x", "lowwer(email)"), "unknown_function", Some("expression"), "did you mean `lower`?"),
        (add("x", "id +"), "sql_syntax", Some("expression"), ""),
        (add("x", "id id"), "sql_syntax", Some("expression"), ""),
        (add("x", " "), "sql_syntax", Some("expression"), ""),
        (add("x", "'open"), "sql_syntax", Some("expression"), ""),
        (add("x", "sum(amount)"), "sql_aggregate", Some("expression"), "GROUP BY"),
        (add("x", "row_number() OVER ()"), "sql_aggregate", Some("expression"), "GROUP BY"),
        (add("x", "random()"), "sql_nondeterministic", Some("expression"), "come out the same"),
        (add("x", "uuid()"), "sql_nondeterministic", Some("expression"), "come out the same"),
        (add("x", "(SELECT 1)"), "sql_subquery", Some("expression"), "several operations"),
        (add("x", "paid + 1"), "sql_type", Some("expression"), ""),
        (add("x", "lower(1, 2)"), "sql_type", Some("expression"), ""),
        (add("x", "NULL"), "sql_type", Some("expression"), "CAST(NULL AS TEXT)"),
        (add("x", "$1"), "sql_unsupported", Some("expression"), ""),
        (add("x", "CAST(id AS TIMESTAMP(4))"), "sql_type", Some("expression"), ""),
        (filter("id"), "not_boolean", Some("predicate"), "column > 0"),
        (filter("id > 'many'"), "sql_value", Some("predicate"), ""),
        (filter(&long), "sql_too_large", Some("predicate"), "IN"),
        (filter(&deep), "sql_too_large", Some("predicate"), "several operations"),
        (filter(&"x".repeat(300_000)), "sql_too_large", Some("predicate"), ""),
        (cast("crated", "Date"), "unknown_column", Some("column"), "did you mean `created`?"),
        (cast("created", "Datum"), "unknown_type", Some("to"), "`Int64`"),
        (cast("paid", "Date"), "cast_unsupported", Some("to"), "add_column"),
        (sql("SELECT lower(email) FROM input"), "unnamed_column", Some("query"), "AS name"),
        (sql("SELECT id, email AS id FROM input"), "duplicate_column", Some("query"), "AS"),
        (sql("SELECT *, id FROM input"), "duplicate_column", Some("query"), "AS"),
        (sql("SELECT id FROM orders"), "sql_table", Some("query"), "SELECT … FROM input"),
        (sql("SELECT 1 AS one"), "sql_table", Some("query"), "SELECT … FROM input"),
        (sql("SELECT id FROM 'x.parquet'"), "sql_table", Some("query"), "SELECT … FROM input"),
        (sql("SELECT value FROM generate_series(1, 9)"), "sql_table", Some("query"), "input"),
        (
            sql("SELECT a.id FROM input a JOIN input b ON a.id = b.id"),
            "sql_join",
            Some("query"),
            "rapidbyte query",
        ),
        (sql("SELECT a.id FROM input a, input b"), "sql_join", Some("query"), "rapidbyte query"),
        (sql("SELECT id FROM (SELECT id FROM input) t"), "sql_subquery", Some("query"), "before this one"),
        (
            sql("SELECT id FROM input WHERE id IN (SELECT id FROM input)"),
            "sql_subquery",
            Some("query"),
            "several",
        ),
        (sql("WITH t AS (SELECT 1) SELECT id FROM input"), "sql_unsupported", Some("query"), "several"),
        (
            sql("SELECT id FROM input UNION SELECT id FROM input"),
            "sql_unsupported",
            Some("query"),
            "SELECT … FROM",
        ),
        (sql("VALUES (1)"), "sql_unsupported", Some("query"), "SELECT … FROM"),
        (sql("SELECT id FROM input LIMIT 3"), "sql_nondeterministic", Some("query"), "ORDER BY"),
        (
            sql("SELECT id, random() AS r FROM input"),
            "sql_nondeterministic",
            Some("query"),
            "come out the same",
        ),
        (sql("DROP TABLE input"), "sql_not_select", Some("query"), ""),
        (sql("COPY input TO 'x.csv'"), "sql_not_select", Some("query"), ""),
        (sql("INSERT INTO input VALUES (1)"), "sql_not_select", Some("query"), ""),
        (sql("SELECT id FROM input; SELECT id FROM input"), "sql_syntax", Some("query"), ""),
        (sql("SELEC id FROM input"), "sql_syntax", Some("query"), ""),
        (sql("SELECT emial FROM input"), "unknown_column", Some("query"), "did you mean `email`?"),
        (
            sql("SELECT id FROM input WHERE emial = ''"),
            "unknown_column",
            Some("query"),
            "did you mean `email`?",
        ),
    ];
    let mut wrong = Vec::new();
    for (operation, code, key, hint) in cases {
        let problem = refused(&[filter("id > 0"), operation.clone()]);
        let hinted = problem.hint.clone().unwrap_or_default();
        let message = &problem.message;
        let well_put =
            !message.is_empty() && !message.ends_with('.') && !message.contains('\n') && message.len() < 2000;
        if (problem.code, problem.key, problem.index) != (code, key, 1) || !hinted.contains(hint) || !well_put
        {
            wrong.push(format!("{operation:?}, expected {code} at {key:?} with `{hint}`: {problem:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn as_many_operators_as_are_allowed_can_be_run() {
    let predicate = (0..249).map(|at| format!("id <> {at} + 500")).collect::<Vec<_>>();
    // Two operators each and one between: not quite five hundred may nest in one another.
    let predicate = predicate[..166].join(" AND ");
    assert_eq!(shown(&[orders_from(1, 1)], &[filter(&predicate), sql("SELECT id FROM input")]).await, ["1"]);
    let sum = vec!["id"; 500].join(" + ");
    assert_eq!(shown(&[orders_from(1, 1)], &[add("x", &sum), sql("SELECT x FROM input")]).await, ["500"]);
}

#[tokio::test]
async fn a_bad_value_is_a_data_error_and_the_rest_of_the_batch_can_be_pushed() {
    let texts = column("text", StringArray::from(vec![Some("1"), None, Some("x"), Some("4")]));
    let planned = plan(&texts.schema(), &[cast("text", "Int64")]).unwrap();
    let mut running = planned.start();
    let error = running.push(texts.clone()).await.unwrap_err();
    assert_eq!((error.category, error.scope), (ErrorCategory::Data, ErrorScope::PerBatch));
    assert_eq!(error.code, "cast_failed");
    assert!(error.message.contains("`text`") && error.message.contains("'x'"), "{error}");
    assert!(!error.retryable);
    let good = running.push(texts.slice(0, 2)).await.unwrap();
    assert_eq!(rows(&good), ["1", "·"]);
    assert!(running.push(texts.slice(2, 1)).await.is_err());
    assert_eq!(rows(&running.push(texts.slice(3, 1)).await.unwrap()), ["4"]);
    assert!(running.finish().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_of_another_shape_is_refused() {
    let planned = plan(&orders_schema(), &[filter("id > 0")]).unwrap();
    let other = column("id", Int64Array::from(vec![1]));
    let error = planned.start().push(other).await.unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Schema, "schema_changed"));
}

#[tokio::test]
async fn no_operation_changes_nothing() {
    assert_eq!(run(&[orders()], &[]).await.unwrap(), [orders()]);
    assert_eq!(run(&[orders()], &[rename("id", "id"), cast("id", "BIGINT")]).await.unwrap(), [orders()]);
}
