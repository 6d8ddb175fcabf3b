//! Every built-in type, extremes included: what was read, cast back by the server, is the very same value.

use serde_json::json;

use crate::harness::{Database, full, values};
use rapidbyte_sdk::prelude::*;

/// Type and literals. `\x27` style escapes are avoided: every literal goes into a plain SQL string.
const TYPES: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768", "32767", "0"]),
    ("integer", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("oid", &["0", "4294967295"]),
    ("real", &["0", "-0", "NaN", "Infinity", "-Infinity", "3.4028235e38", "1e-45", "0.1"]),
    ("double precision", &["-0", "NaN", "Infinity", "-Infinity", "1.7976931348623157e308", "5e-324", "0.1"]),
    (
        "numeric",
        &[
            "0",
            "0.000",
            "-0.00100",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e1000",
            "-1e-1000",
            "12345678901234567890.0987654321",
        ],
    ),
    ("numeric(12,3)", &["123456789.123", "-0.001", "NaN", "0"]),
    ("numeric(5,-2)", &["12300", "-1234500"]),
    ("money", &["-92233720368547758.08", "92233720368547758.07", "0.01", "-0.01"]),
    ("text", &["", "ü€𝄞", "line\nbreak\ttab", "back\\slash 'quote' \"double\"", "\\N"]),
    ("character varying(20)", &["", "trailing  "]),
    ("character(5)", &["", "ab", "abcde"]),
    ("bpchar", &["", "ab   "]),
    ("name", &["", "pg_class"]),
    ("\"char\"", &["", "x"]),
    ("bytea", &["\\x", "\\x00ff5c27"]),
    ("date", &["infinity", "-infinity", "4714-11-24 BC", "0001-12-31 BC", "5874897-12-31", "1970-01-01"]),
    ("time", &["00:00:00", "24:00:00", "23:59:59.999999"]),
    ("time(0)", &["12:34:56"]),
    ("time with time zone", &["00:00:00+15:59:59", "24:00:00-15:59:59", "12:00:00.000001+00"]),
    (
        "timestamp",
        &[
            "infinity",
            "-infinity",
            "4714-11-24 00:00:00 BC",
            "2024-02-29 23:59:59.999999",
            "0001-01-01 00:00:00",
        ],
    ),
    (
        "timestamp(3) with time zone",
        &[
            "infinity",
            "-infinity",
            "4714-11-24 00:00:00+00 BC",
            "2024-02-29 23:59:59.999+00",
            "294246-12-31 23:59:59.999+00",
        ],
    ),
    (
        "interval",
        &[
            "0",
            "-178000000 years",
            "178000000 years",
            "1 mon -1 day +00:00:00.000001",
            "-2147483648 days",
            "2540400:00:00",
        ],
    ),
    ("interval day to second(3)", &["1 day 02:03:04.567"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
    ("json", &["null", "{ \"b\" : 1,  \"a\" : [ ] , \"a\":2}", "1.10e5"]),
    ("jsonb", &["null", "{\"a\": [], \"b\": 1.10}", "\"\\u00fc\""]),
    ("xml", &["<a/>", "text &amp; <b>bold</b>", "<?xml version=\"1.0\"?><doc/>"]),
    ("inet", &["::1", "10.0.0.1", "10.0.0.1/8", "::ffff:1.2.3.4/128"]),
    ("cidr", &["10.0.0.0/8", "::/0"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("bit(5)", &["10101", "00000"]),
    ("bit varying(9)", &["", "101"]),
    ("bit varying", &["1111111111111111111111111111111111111111"]),
    ("point", &["(1.5,-2)", "(NaN,Infinity)"]),
    ("line", &["{1,-1,0}"]),
    ("lseg", &["[(0,0),(1,0.1)]"]),
    ("box", &["(1,1),(0,0)"]),
    ("path", &["((0,0),(1,1))", "[(0,0),(1,1)]"]),
    ("polygon", &["((0,0),(1,0),(1,1))"]),
    ("circle", &["<(0,0),2.5>"]),
    ("tsvector", &["", "'a':1A,2 'b c':3"]),
    ("tsquery", &["'a' & !'b'", "'fat' <-> 'rat'"]),
    ("pg_lsn", &["0/0", "FFFFFFFF/FFFFFFFF"]),
    ("xid", &["0", "4294967295"]),
    ("xid8", &["18446744073709551615"]),
    ("cid", &["7"]),
    ("tid", &["(4294967295,65535)"]),
    ("pg_snapshot", &["10:20:10,14,15"]),
    ("txid_snapshot", &["10:20:10,14,15"]),
    ("jsonpath", &["$.\"a\"[*]?(@ > 1)"]),
    ("regclass", &["pg_class"]),
    ("regtype", &["integer"]),
    ("regproc", &["now"]),
    ("regprocedure", &["abs(integer)"]),
    ("regoper", &["||/"]),
    ("regoperator", &["+(integer,integer)"]),
    ("regnamespace", &["public"]),
    ("regrole", &["postgres"]),
    ("regcollation", &["\"C\""]),
    ("regconfig", &["english"]),
    ("regdictionary", &["simple"]),
    ("int4range", &["empty", "[1,10)", "(,)", "[5,)"]),
    ("int8range", &["[-9223372036854775808,9223372036854775807)"]),
    ("numrange", &["[1.10,2.200]", "(,Infinity]"]),
    ("tsrange", &["[\"2024-01-01 00:00:00\",infinity]"]),
    ("tstzrange", &["[\"2024-01-01 00:00:00+00\",)"]),
    ("daterange", &["[\"0044-03-15 BC\",2024-01-01)", "empty"]),
    ("int4multirange", &["{}", "{[1,3),[5,9)}"]),
    ("nummultirange", &["{[1.1,2.2]}"]),
    ("datemultirange", &["{[2024-01-01,2024-02-01)}"]),
    ("tsmultirange", &["{}"]),
    ("tstzmultirange", &["{}"]),
    ("int8multirange", &["{[1,2)}"]),
    ("integer[]", &["{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:2]={1,2,3}", "[-2:-1][3:4]={{1,2},{3,4}}"]),
    ("text[]", &["{}", "{\"\",NULL,\"NULL\",\"a,b\",\"q\\\"uote\",\"back\\\\slash\",\"{}\"}"]),
    ("numeric(10,2)[]", &["{1.10,NaN}"]),
    ("timestamptz[]", &["{infinity,\"2024-01-01 00:00:00+00\"}"]),
    ("jsonb[]", &["{\"{\\\"a\\\": 1}\"}"]),
    ("bytea[]", &["{\"\\\\x00ff\"}"]),
    ("money[]", &["{$1.00,-$2.50}"]),
    ("interval[]", &["{\"1 mon\",-00:00:01}"]),
    ("mood", &["sad", "so, so"]),
    ("mood[]", &["{sad,\"so, so\",NULL}"]),
    ("pair", &["(1,\"a,b\")", "(,)"]),
    ("price", &["1.50"]),
];

const USER_TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'so, so');
    CREATE TYPE pair AS (a int, b text); CREATE DOMAIN price AS numeric(12, 3) CHECK (VALUE > 0);";

fn literal(text: &str) -> String {
    let escaped = text.replace('\'', "''");
    // Types that show a backslash as it is, in a standard-conforming string.
    format!("'{escaped}'")
}

fn column_list(format: impl Fn(usize, &str) -> String) -> String {
    let columns = TYPES.iter().enumerate().map(|(index, (name, _))| format(index, name));
    columns.collect::<Vec<_>>().join(", ")
}

pub fn table_of_every_type() -> Database {
    let rows = TYPES.iter().map(|(_, values)| values.len()).max().unwrap();
    let mut sql = format!("{USER_TYPES} SET lc_monetary = 'C'; SET datestyle = 'ISO';\n");
    sql.push_str(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, {});\n",
        column_list(|index, name| format!("c{index} {name}"))
    ));
    for row in 0..=rows {
        let values = column_list(|index, _| {
            TYPES[index].1.get(row).map_or_else(|| "NULL".to_owned(), |value| literal(value))
        });
        sql.push_str(&format!("INSERT INTO t VALUES ({row}, {values});\n"));
    }
    Database::new(&sql)
}

/// Casts every value that was read back to its type, and compares with the table.
fn assert_same(database: &Database, read: &crate::harness::Read) {
    let mut checks = vec!["SET lc_monetary = 'C'; SET datestyle = 'ISO'; SET timezone = 'UTC'".to_owned()];
    let mut rows = 0;
    for batch in read.batches() {
        for row in 0..batch.num_rows() {
            let values = values(batch, row);
            let id: usize = values[0].parse().unwrap();
            for (index, (type_name, _)) in TYPES.iter().enumerate() {
                let value = &values[index + 1];
                let value = if value == "∅" { "NULL".to_owned() } else { literal(value) };
                checks.push(format!(
                    "SELECT 'c{index} {type_name} row {id}: ' || coalesce(c{index}::text, 'NULL') || ' read as ' || \
                    coalesce({value}, 'NULL') FROM t WHERE id = {id} \
                    AND c{index}::text IS DISTINCT FROM ({value}::{type_name})::text"
                ));
            }
            rows += 1;
        }
    }
    assert!(rows > 5);
    assert_eq!(database.query(&checks.join(";\n")), "");
}

#[test]
fn every_type_survives() {
    let database = table_of_every_type();
    assert_same(&database, &database.read(full("t")));
}

#[test]
fn every_type_survives_whatever_the_database_prefers() {
    let database = table_of_every_type();
    let name = &database.name;
    database.run(&format!(
        "ALTER DATABASE {name} SET datestyle = 'German'; ALTER DATABASE {name} SET intervalstyle = 'iso_8601';
        ALTER DATABASE {name} SET timezone = 'Asia/Kathmandu'; ALTER DATABASE {name} SET extra_float_digits = 0;
        ALTER DATABASE {name} SET bytea_output = 'escape'; ALTER DATABASE {name} SET statement_timeout = '10min';"
    ));
    assert_same(&database, &database.read(full("t")));
}

#[test]
fn every_type_survives_as_a_decimal_where_it_can_be_one() {
    let database = Database::new(
        "CREATE TABLE t (id int, a numeric(12, 3), b numeric(38, 38), c numeric(38, 0), d numeric, e numeric(5, -2), f numeric(39, 1));
        INSERT INTO t VALUES (1, -123456789.123, 0.99999999999999999999999999999999999999,
            99999999999999999999999999999999999999, 1e50, 12300, 1.5), (2, NULL, NULL, NULL, NULL, NULL, NULL),
            (3, 0, 0, 0, 0, 0, 0);",
    )
    .with_config(json!({ "numeric": "decimal" }));
    let rows = database.read(full("t")).rows();
    let zeros = "0.".to_owned() + &"0".repeat(38);
    assert_eq!(
        rows,
        [
            format!("1|-123456789.123|0.{0}|{0}|1{1}|12300|1.5", "9".repeat(38), "0".repeat(50)),
            "2|∅|∅|∅|∅|∅|∅".to_owned(),
            format!("3|0.000|{zeros}|0|0|0|0.0"),
        ]
    );
    database.run("INSERT INTO t (id, a) VALUES (4, 'NaN')");
    let error = database.failure(full("t"));
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "value_not_finite"));
    assert!(error.message.contains("`a`") && error.message.contains("numeric(12,3)"), "{error}");
}

#[test]
fn what_arrow_can_not_hold_is_refused_by_column() {
    for (column_type, value) in [
        ("timestamp", "294276-12-31 23:59:59"),
        ("timestamptz", "294276-12-31 23:59:59+00"),
        ("interval", "100000000:00:00"),
    ] {
        let database = Database::new(&format!(
            "CREATE TABLE t (id int, \"Odd one\" {column_type}); INSERT INTO t VALUES (1, '{value}');"
        ));
        let error = database.failure(full("t"));
        assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "value_out_of_range"));
        assert!(error.message.contains("`Odd one`"), "{error}");
    }
}
