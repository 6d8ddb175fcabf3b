//! PostgreSQL to PostgreSQL through both connectors: the copy has the same columns and the same content.

use dest_postgres::DestPostgres;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{self, PipeBounds, TestHost, block_on};
use serde_json::json;
use source_postgres::SourcePostgres;

use crate::harness::Database;

/// Type and values of a column each; all values are written as literals of the type.
const COLUMNS: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768", "32767"]),
    ("integer", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("oid", &["0", "4294967295"]),
    ("real", &["0.1", "-Infinity", "NaN", "1e-45"]),
    ("double precision", &["0.1", "Infinity", "NaN", "-0", "1.7976931348623157e308"]),
    (
        "numeric",
        &[
            "0",
            "-0.00",
            "1e-20",
            "NaN",
            "Infinity",
            "-Infinity",
            "123456789012345678901234567890.0100",
            "1e1000",
        ],
    ),
    ("numeric(12,3)", &["123456789.120", "-0.001", "NaN"]),
    ("numeric(3,-2)", &["12300"]),
    ("numeric(2,5)", &["0.00012"]),
    ("money", &["-92233720368547758.08", "0.01"]),
    ("text", &["", "it''s ünï 🦀", "\n\t\\"]),
    ("character varying(20)", &["", "twenty characters ok"]),
    ("character varying", &["any"]),
    ("character(5)", &["a", "abcde"]),
    ("bpchar", &["a  "]),
    ("name", &["a_name"]),
    ("\"char\"", &["x", ""]),
    ("bytea", &["", "\\x00ff10"]),
    ("date", &["infinity", "-infinity", "4713-01-01 BC", "0001-12-31 BC", "5874897-12-31", "2024-02-29"]),
    ("time without time zone", &["00:00", "24:00", "23:59:59.999999"]),
    ("time(2) without time zone", &["12:34:56.78"]),
    ("time with time zone", &["00:00+14", "24:00-15:59", "12:00:00.000001+01:02:03"]),
    (
        "timestamp without time zone",
        &[
            "infinity",
            "-infinity",
            "4713-11-24 00:00 BC",
            "294246-12-31 23:59:59.999999",
            "1999-12-31 23:59:59.999999",
        ],
    ),
    ("timestamp(3) without time zone", &["2024-01-01 00:00:00.123"]),
    ("timestamp with time zone", &["infinity", "-infinity", "0044-03-15 12:00+00 BC", "2024-03-31 02:30+01"]),
    ("timestamp(0) with time zone", &["2024-01-01 00:00:00+00"]),
    ("interval", &["1 year 2 mons -3 days +04:05:06.789", "-178000000 years", "-00:00:00.000001"]),
    ("interval day to second(3)", &["3 days 04:05:06.789"]),
    ("interval year to month", &["3 years 4 mons"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"]),
    ("json", &["{\"b\": 1,  \"a\":[null, 1.00], \"b\": 2}", "\"\\u0000\"", "null"]),
    ("jsonb", &["{\"b\": 1, \"a\": [null, 1.00]}", "null", "\"ü\""]),
    ("xml", &["<a b=\"c\">ü</a>", "text"]),
    ("inet", &["10.0.0.1/8", "::1", "2001:db8::/32"]),
    ("cidr", &["10.0.0.0/8", "::/0"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("bit(5)", &["10101"]),
    ("bit varying(8)", &["", "101"]),
    ("bit varying", &["1"]),
    ("point", &["(1.5,-0)"]),
    ("line", &["{1,2,3}"]),
    ("lseg", &["[(0,0),(1,1)]"]),
    ("box", &["(2,2),(0,0)"]),
    ("path", &["[(0,0),(1,1)]", "((0,0),(1,1),(2,0))"]),
    ("polygon", &["((0,0),(1,1),(2,0))"]),
    ("circle", &["<(0,0),5>"]),
    ("tsvector", &["''a'':1A ''b c'':2,3"]),
    ("tsquery", &["''a'' & !''b''"]),
    ("pg_lsn", &["16/B374D848"]),
    ("jsonpath", &["$.\"a\"[*]?(@ > 1)"]),
    ("xid8", &["18446744073709551615"]),
    ("xid", &["4294967295"]),
    ("cid", &["7"]),
    ("tid", &["(1,2)"]),
    ("txid_snapshot", &["10:20:10,14"]),
    ("pg_snapshot", &["10:20:10,14"]),
    ("int2vector", &["1 2 3"]),
    ("oidvector", &["1 2 3"]),
    ("regclass", &["pg_class"]),
    ("regtype", &["integer"]),
    ("int4range", &["empty", "[1,5)", "(,)"]),
    ("int8range", &["[1,5)"]),
    ("numrange", &["[1.50,2]"]),
    ("tsrange", &["[2024-01-01,infinity)"]),
    ("tstzrange", &["[2024-01-01 00:00+00,2024-01-02 00:00+00)"]),
    ("daterange", &["[2024-01-01,2024-01-05)"]),
    ("int4multirange", &["{}", "{[1,2),[5,7)}"]),
    ("datemultirange", &["{[2024-01-01,2024-01-05)}"]),
    ("integer[]", &["{}", "{1,NULL,3}", "[0:1]={1,2}", "{{1,2},{3,4}}"]),
    ("text[]", &["{a,\"b,c\",\"NULL\",\"\",\"\\\\\"}"]),
    ("numeric(5,2)[]", &["{1.50,NaN}"]),
    ("timestamp with time zone[]", &["{\"2024-01-01 00:00:00+00\",infinity}"]),
    ("jsonb[]", &["{\"{\\\"a\\\": 1}\"}"]),
    ("bytea[]", &["{\"\\\\x00ff\"}"]),
    ("money[]", &["{1.50}"]),
    ("interval[]", &["{\"-1 mons +2 days -03:00:00\"}"]),
    ("uuid[]", &["{00000000-0000-0000-0000-000000000001}"]),
    ("int4range[]", &["{\"[1,5)\",empty}"]),
    ("mood", &["sad", "it''s fine", "GLAD"]),
];

fn source_config(database: &Database) -> serde_json::Value {
    json!({ "host": "127.0.0.1", "port": database.server.port(), "user": "postgres", "database": database.name,
            "schemas": ["raw"], "sslmode": "disable" })
}

/// The stream as the source's catalog offers it.
fn discovered(database: &Database, name: &str) -> CatalogStream {
    let summary = block_on(async {
        let mut source = TestHost::new().source::<SourcePostgres>(source_config(database)).await?;
        source.run(RunRequest::discover()).await
    });
    let streams = summary.unwrap().catalog.unwrap().streams;
    streams.into_iter().find(|stream| stream.name == name).expect("the table is offered")
}

/// Copies a whole stream from one database to the other.
fn copy(from: &Database, to: &Database, name: &str, mode: WriteMode) -> WriteSummary {
    from.run("CREATE SCHEMA IF NOT EXISTS raw");
    let catalog = discovered(from, name);
    let mut stream = StreamContext::new(name, catalog.schema);
    let (upstream, downstream) = testing::pipe(PipeBounds::default());
    let (read, config) = (RunRequest::read(stream.clone()), source_config(from));
    let reading = std::thread::spawn(move || {
        block_on(async {
            let mut source = upstream.source::<SourcePostgres>(config).await?;
            source.run(read).await
        })
    });
    stream.write = Some(WritePlan { mode, primary_key: catalog.primary_key, update_columns: vec![] });
    let written = block_on(async {
        let mut destination = downstream.destination::<DestPostgres>(to.config()).await?;
        destination.run(RunRequest::write(stream)).await
    });
    let read = reading.join().expect("the source does not panic");
    let written = written.unwrap_or_else(|error| panic!("{error:?} (source: {read:?})")).write.unwrap();
    assert_eq!(read.unwrap().read.unwrap().records, written.records);
    written
}

/// Columns with their types, then the rows.
fn content(database: &Database, table: &str, order: &str) -> String {
    let types = database.query(&format!(
        "SET search_path = ''; SELECT attname, CASE WHEN typtype = 'e' THEN typname::text \
            ELSE format_type(atttypid, atttypmod) END, attnotnull \
         FROM pg_attribute JOIN pg_type t ON t.oid = atttypid \
         WHERE attrelid = '{table}'::regclass AND attnum > 0 ORDER BY attnum"
    ));
    let rows = database.query(&format!("SET extra_float_digits = 3; SELECT * FROM {table} ORDER BY {order}"));
    format!("{types}\n{rows}")
}

fn every_type(database: &Database) {
    database.run("CREATE TYPE mood AS ENUM ('sad', 'it''s fine', 'GLAD')");
    let definitions: Vec<String> =
        COLUMNS.iter().enumerate().map(|(index, (type_name, _))| format!("c{index} {type_name}")).collect();
    let mut sql = format!("CREATE TABLE types (id int PRIMARY KEY, {});\n", definitions.join(", "));
    let rows = COLUMNS.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    for row in 0..rows {
        let values: Vec<String> = COLUMNS
            .iter()
            .map(|(type_name, values)| match values.get(row) {
                Some(value) => format!("'{value}'::{type_name}"),
                None => "NULL".to_owned(),
            })
            .collect();
        sql.push_str(&format!("INSERT INTO types VALUES ({row}, {});\n", values.join(", ")));
    }
    sql.push_str(&format!("INSERT INTO types (id) VALUES ({rows});"));
    database.run(&sql);
}

#[test]
fn every_type_arrives_identically_in_every_mode() {
    let from = Database::new();
    every_type(&from);
    let expected = content(&from, "public.types", "id");
    for mode in [WriteMode::Append, WriteMode::Replace, WriteMode::Upsert] {
        let to = Database::new();
        copy(&from, &to, "types", mode);
        let found = content(&to, "raw.types", "id");
        for (expected, found) in expected.lines().zip(found.lines()) {
            assert_eq!(found, expected, "{mode}");
        }
        assert_eq!(found, expected, "{mode}");
    }
}

#[test]
fn a_copy_of_a_copy_is_the_same_again() {
    let from = Database::new();
    every_type(&from);
    let (first, second) = (Database::new(), Database::new());
    copy(&from, &first, "types", WriteMode::Append);
    copy(&first, &second, "raw.types", WriteMode::Append);
    assert_eq!(content(&second, "raw.raw__types", "id"), content(&from, "public.types", "id"));
}

#[test]
fn a_large_table_arrives_by_content() {
    let from = Database::new();
    from.run(
        "CREATE TABLE big AS SELECT n::int8 AS id, md5(n::text) AS digest, (n % 7 = 0) AS flag, \
            CASE WHEN n % 11 > 0 THEN n::numeric / 8 END AS amount, now() + n * interval '1 s' AS at, \
            repeat('x', n % 300) AS filler FROM generate_series(1, 60000) n; ALTER TABLE big ADD PRIMARY KEY (id)",
    );
    let digest = |database: &Database, table: &str| {
        database.query(&format!("SELECT count(*), md5(string_agg(t::text, ',' ORDER BY id)) FROM {table} t"))
    };
    for mode in [WriteMode::Append, WriteMode::Upsert] {
        let to = Database::new();
        let written = copy(&from, &to, "big", mode);
        assert_eq!(written.records, 60_000);
        assert_eq!(digest(&to, "raw.big"), digest(&from, "big"), "{mode}");
    }
}
