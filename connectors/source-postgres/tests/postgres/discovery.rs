//! What the catalog says.

use rapidbyte_postgres::types::{ENUM_LABELS_KEY, ENUM_NAME_KEY, FORM_KEY, TYPE_KEY};
use rapidbyte_sdk::prelude::*;
use serde_json::json;

use crate::harness::{Database, columns, full};

fn names(catalog: &Catalog) -> Vec<&str> {
    catalog.streams.iter().map(|stream| stream.name.as_str()).collect()
}

#[test]
fn everything_a_user_can_read_is_a_stream() {
    let database = Database::new(
        "CREATE TABLE t (id int PRIMARY KEY);
        CREATE VIEW v AS SELECT * FROM t;
        CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
        CREATE TABLE p (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE p_2024 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
        CREATE TABLE _rapidbyte_receipts (id int);
        CREATE SEQUENCE s;
        CREATE SCHEMA sales; CREATE TABLE sales.t (id int); CREATE TABLE sales.\"a.b\" (id int);
        CREATE SCHEMA hidden; CREATE TABLE hidden.t (id int);",
    )
    .with_config(json!({ "schemas": ["sales", "public"] }));
    let catalog = database.discover();
    assert_eq!(names(&catalog), ["m", "p", "t", "v", "sales.\"a.b\"", "sales.t"]);
    assert_eq!(catalog.streams[1].primary_key, ["id", "at"]);
    assert!(catalog.streams[3].primary_key.is_empty());
}

#[test]
fn odd_names_are_streams_like_others() {
    let database = Database::new(
        "CREATE TABLE \"Order\" (\"select\" int PRIMARY KEY, \"a\"\"b\" text, \"Mixed Case\" text, \"ümläut\" int);
        INSERT INTO \"Order\" VALUES (1, 'x', 'y', 2);
        CREATE TABLE \"a.b\" (\"c.d\" int); INSERT INTO \"a.b\" VALUES (7);
        CREATE TABLE \"say \"\"hi\"\"\" (id int); INSERT INTO \"say \"\"hi\"\"\" VALUES (8);",
    );
    let mut streams = database.discover().streams;
    streams.sort_by(|left, right| left.name.cmp(&right.name));
    let read = |name: &str| database.read(full(name)).rows();
    assert_eq!(
        streams.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>(),
        ["\"a.b\"", "\"say \"\"hi\"\"\"", "Order"]
    );
    assert_eq!(read("\"a.b\""), ["7"]);
    assert_eq!(read("\"say \"\"hi\"\"\""), ["8"]);
    assert_eq!(read("Order"), ["1|x|y|2"]);
    let projected = columns(&["ümläut", "Mixed Case", "select"], full("Order"));
    assert_eq!(database.read(projected).rows(), ["2|y|1"]);
}

#[test]
fn fields_say_what_the_column_was() {
    let database = Database::new(
        "CREATE TYPE mood AS ENUM ('sad', 'so, so', '\"happy\"');
        CREATE DOMAIN price AS numeric(12, 3) CHECK (VALUE > 0);
        CREATE DOMAIN net_price AS price;
        CREATE TABLE t (id bigint PRIMARY KEY, m mood, p net_price NOT NULL, at timestamp(3) with time zone,
            name varchar(20), tags text[], addr inet);
        ANALYZE t;",
    );
    let catalog = database.discover();
    let stream = &catalog.streams[0];
    let describe = |name: &str| {
        let field = stream.schema.field_with_name(name).unwrap();
        format!("{} {} {}", field.metadata()[TYPE_KEY], field.metadata()[FORM_KEY], field.is_nullable())
    };
    assert_eq!(describe("id"), "bigint native false");
    assert_eq!(describe("m"), "mood native true");
    assert_eq!(describe("p"), "numeric(12,3) native false");
    assert_eq!(describe("at"), "timestamp(3) with time zone native true");
    assert_eq!(describe("name"), "character varying(20) native true");
    assert_eq!(describe("tags"), "text[] text true");
    assert_eq!(describe("addr"), "inet text true");
    let mood = stream.schema.field_with_name("m").unwrap().metadata();
    assert_eq!(mood[ENUM_NAME_KEY], "mood");
    assert_eq!(mood[ENUM_LABELS_KEY], r#"["sad","so, so","\"happy\""]"#);
    assert_eq!(stream.cursor_fields, ["id", "p", "at", "name"]);
    assert_eq!(stream.sync_modes, [SyncMode::FullRefresh, SyncMode::Incremental]);
    assert_eq!(stream.estimated_rows, Some(0));
}

#[test]
fn a_table_without_an_order_is_offered_for_full_refresh() {
    let database = Database::new("CREATE TABLE t (document jsonb); CREATE TABLE nothing ();");
    let catalog = database.discover();
    assert_eq!(names(&catalog), ["nothing", "t"]);
    assert_eq!(catalog.streams[1].sync_modes, [SyncMode::FullRefresh]);
    database.run("INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;");
    assert_eq!(database.read(full("nothing")).summary.records, 2);
}

#[test]
fn discovery_answers_while_a_table_is_locked() {
    let database = Database::new("CREATE TABLE t (id int PRIMARY KEY);");
    rapidbyte_sdk::testing::block_on(async {
        let options = database.server.options(&database.name);
        let session = rapidbyte_postgres::Session::open(&options).await.unwrap();
        session.execute("locking", "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let host = rapidbyte_sdk::testing::TestHost::new();
        let mut source =
            host.source::<source_postgres::SourcePostgres>(database.source_config()).await.unwrap();
        let summary = source.run(RunRequest::discover()).await.unwrap();
        assert_eq!(summary.catalog.unwrap().streams.len(), 1);
    });
}
