//! What goes wrong is said in typed errors that name the thing, the cause and the next step, and never a password.

use rapidbyte_postgres::testing::TestServer;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{TestHost, block_on};
use serde_json::{Value, json};
use source_postgres::SourcePostgres;

use crate::harness::{Database, full, incremental};

const PASSWORD: &str = "s3cret-pa55word";

fn open_failure(config: Value) -> ConnectorError {
    block_on(async { TestHost::new().source::<SourcePostgres>(config).await.err().unwrap() })
}

#[test]
fn bad_configs_name_the_field() {
    let good = json!({ "host": "127.0.0.1", "user": "u", "database": "d", "password": PASSWORD });
    for (field, value) in [
        ("host", json!("")),
        ("host", json!("/var/run/postgresql")),
        ("port", json!(0)),
        ("port", json!("5432x")),
        ("user", json!(7)),
        ("database", json!("")),
        ("sslmode", json!("maybe")),
        ("ssl_root_cert", json!("/etc/ssl/root.pem")),
        ("schema", json!("")),
        ("schemas", json!([""])),
        ("numeric", json!("float")),
        ("full_refresh_order", json!("sometimes")),
        ("partition_bytes_min", json!(-1)),
        ("connect_timeout", json!(0)),
        ("connect_timeout", json!(1000)),
        ("surprise", json!(1)),
    ] {
        let mut config = good.clone();
        config[field] = value.clone();
        let error = open_failure(config);
        assert_eq!(error.category, ErrorCategory::Config, "{field} = {value}: {error}");
        assert!(error.message.contains(field), "{field} = {value}: {error}");
        assert!(!error.message.contains(PASSWORD));
    }
    let error = open_failure(json!({ "host": "h", "user": "u" }));
    assert!(error.message.contains("database"), "{error}");
}

#[test]
fn passwords_are_asked_for_and_checked() {
    let mut database = Database::new("SELECT 1");
    database.run(&format!(
        "DO $$ BEGIN
            CREATE USER scram_user PASSWORD '{PASSWORD}';
            SET password_encryption = 'md5';
            CREATE USER md5_user PASSWORD '{PASSWORD}';
            CREATE USER refused_user;
        END $$; CREATE TABLE t (id int); GRANT SELECT ON t TO PUBLIC;"
    ));
    for user in ["scram_user", "md5_user"] {
        database.config = json!({ "user": user, "password": PASSWORD });
        assert_eq!(database.validate().unwrap().status, ValidationStatus::Success, "{user}");
        database.config = json!({ "user": user, "password": "wrong" });
        let error = database.validate().unwrap_err();
        assert_eq!(
            (error.category, error.code.as_str()),
            (ErrorCategory::Auth, "password_refused"),
            "{error}"
        );
        assert!(!error.message.contains("wrong"), "{error}");
        database.config = json!({ "user": user });
        let error = database.validate().unwrap_err();
        assert_eq!(
            (error.category, error.code.as_str()),
            (ErrorCategory::Auth, "password_missing"),
            "{error}"
        );
    }
    database.config = json!({ "user": "refused_user", "password": PASSWORD });
    let error = database.validate().unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Auth, "login_refused"), "{error}");
    assert!(!format!("{error:?}").contains(PASSWORD));
}

#[test]
fn rights_are_checked() {
    let mut database = Database::new(
        "CREATE TABLE open (id int); CREATE TABLE closed (id int); CREATE SCHEMA shut; CREATE TABLE shut.t (id int);
        DO $$ BEGIN CREATE USER reader; EXCEPTION WHEN duplicate_object THEN END $$;
        GRANT SELECT ON open TO reader;",
    );
    database.config = json!({ "user": "reader" });
    let report = database.validate().unwrap();
    assert_eq!(report.status, ValidationStatus::Warning);
    assert!(report.warnings[0].contains("`closed`") && !report.warnings[0].contains("`open`"), "{report:?}");
    let error = database.failure(full("closed"));
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Permission, "permission_denied"));
    assert!(error.message.contains("closed"), "{error}");
    database.config = json!({ "user": "reader", "schema": "shut" });
    let report = database.validate().unwrap();
    assert_eq!(report.status, ValidationStatus::Failed);
    assert!(report.message.contains("`shut`"), "{report:?}");
    database.config = json!({ "schema": "nowhere" });
    let report = database.validate().unwrap();
    assert!(report.status == ValidationStatus::Failed && report.message.contains("`nowhere`"), "{report:?}");
}

#[test]
fn what_is_not_there_is_named() {
    let mut database = Database::new("CREATE TABLE t (id int);");
    let error = database.failure(full("nowhere"));
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Schema, "stream_missing"));
    assert!(error.message.contains("`nowhere`") && error.message.contains("schema discover"), "{error}");
    let error = database.failure(incremental("t", "nowhere", &[]));
    assert!(error.message.contains("`nowhere`") && error.message.contains("`id`"), "{error}");
    database.config = json!({ "database": "no_such_database" });
    let error = database.validate().unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Config, "database_missing"));
    database.config = json!({ "sslmode": "require" });
    let error = database.validate().unwrap_err();
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Config, "tls_unsupported"), "{error}");
    database.config = json!({ "sslmode": "prefer" });
    assert_eq!(database.validate().unwrap().status, ValidationStatus::Success);
}

#[test]
fn nobody_listening_is_a_network_error() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut database = Database::new("SELECT 1");
    database.config = json!({ "port": port });
    let error = database.validate().unwrap_err();
    assert_eq!(error.category, ErrorCategory::TransientNetwork);
    assert!(error.retryable && error.message.contains(&port.to_string()), "{error}");
}

#[test]
fn a_server_that_goes_away_is_a_transient_error() {
    let mut server = TestServer::start(&[]);
    let name = server.database();
    server.psql(&name, "CREATE TABLE t AS SELECT n, repeat('x', 1000) v FROM generate_series(1, 50000) n");
    let config = json!({ "host": "127.0.0.1", "port": server.port(), "user": "postgres", "database": name });
    block_on(async {
        // A pipe of two frames: the source waits in the middle of the stream.
        let bounds = rapidbyte_sdk::testing::PipeBounds { frames_max: 1, ..Default::default() };
        let (upstream, downstream) = rapidbyte_sdk::testing::pipe(bounds);
        let mut source = upstream.source::<SourcePostgres>(config.clone()).await.unwrap();
        let request = RunRequest::read(full("t"));
        let ctx = downstream.context(&RunRequest::write(full("t")));
        let consume = async {
            assert!(matches!(ctx.next().await.unwrap(), Event::Batch(_)));
            server.crash_and_restart();
            while ctx.next().await.is_ok_and(|event| matches!(event, Event::Batch(_))) {}
        };
        let (read, ()) = tokio::join!(source.run(request), consume);
        let error = read.unwrap_err();
        assert!(
            matches!(error.category, ErrorCategory::TransientNetwork | ErrorCategory::TransientDb),
            "{error:?}"
        );
        assert!(error.retryable);
        let again = TestHost::new();
        let mut source = again.source::<SourcePostgres>(config).await.unwrap();
        let summary = source.run(RunRequest::read(full("t"))).await.unwrap();
        assert_eq!(summary.read.unwrap().records, 50_000);
    });
}

#[test]
fn an_error_in_the_middle_of_a_copy_is_the_servers() {
    let database = Database::new(
        "CREATE TABLE t AS SELECT n FROM generate_series(1, 50000) n;
        CREATE VIEW v AS SELECT 1 / (40000 - n) AS x FROM t;",
    );
    let error = database.failure(full("v"));
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "sqlstate_22012"), "{error}");
    assert!(error.message.contains("division by zero") && error.message.contains("`v`"), "{error}");
}

fn with_record_bytes(max_record_bytes: u64, policy: DataErrorPolicy) -> StreamContext {
    let stream = full("t");
    let limits = Limits { max_record_bytes, ..stream.limits };
    let policies = Policies { on_data_error: policy, ..stream.policies };
    StreamContext { limits, policies, ..stream }
}

#[test]
fn records_above_the_limit_are_refused_by_name() {
    let database = Database::new(
        "CREATE TABLE t (id int, small text, \"Large\" text);
        INSERT INTO t SELECT n, 'x', repeat('y', CASE n WHEN 500 THEN 1100 WHEN 700 THEN 3000000 ELSE 10 END)
        FROM generate_series(1, 1000) n;",
    );
    let error = database.failure(with_record_bytes(1000, DataErrorPolicy::Fail));
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "record_too_large"));
    assert!(error.message.contains("`t`") && error.message.contains("`Large`"), "{error}");
    assert!(error.message.contains("1100"), "{error}");
    // Slightly too large ones come in a buffer, others are walked over: both are left out.
    let request = RunRequest::read(with_record_bytes(1000, DataErrorPolicy::Skip));
    let read = database.try_read(request).unwrap();
    assert_eq!((read.summary.records, read.summary.skipped), (998, 2));
    let request = RunRequest::read(with_record_bytes(1000, DataErrorPolicy::Dlq));
    let read = database.try_read(request).unwrap();
    assert_eq!(read.summary.records, 998);
    let letters = read.host.dead_letters();
    assert_eq!(letters.len(), 2);
    assert_eq!(crate::harness::values(&letters[0].0, 0), ["500", "x", "∅"]);
    assert!(letters[1].1[0].message.contains("3000000"), "{:?}", letters[1].1);
}

#[test]
fn values_that_do_not_fit_follow_the_policy() {
    let database = Database::new(
        "CREATE TABLE t (id int, at timestamp, iv interval); INSERT INTO t VALUES (1, '2024-01-01', '0'),
        (2, '294276-12-31', '100000000:00:00'), (3, NULL, NULL);",
    );
    let policy = |policy| RunRequest::read(with_record_bytes(1 << 20, policy));
    let skipped = database.try_read(policy(DataErrorPolicy::Skip)).unwrap();
    assert_eq!((skipped.summary.records, skipped.summary.skipped), (2, 1));
    let dead = database.try_read(policy(DataErrorPolicy::Dlq)).unwrap();
    assert_eq!(dead.rows(), ["1|2024-01-01 00:00:00.000000|0 mons 0 days 0 microseconds", "3|∅|∅"]);
    let letters = dead.host.dead_letters();
    assert_eq!(crate::harness::values(&letters[0].0, 0), ["2", "∅", "∅"]);
    assert_eq!(letters[0].1[0].code, "value_out_of_range");
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let database = Database::new("SELECT 1");
    let name = format!("{}_ascii", database.name);
    database.run(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII'"));
    database.server.psql(&name, "CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, E'caf\\xe9')");
    let database = database.with_config(json!({ "database": name }));
    let error = database.failure(full("t"));
    assert_eq!((error.category, error.code.as_str()), (ErrorCategory::Data, "value_not_utf8"));
    assert!(error.message.contains("`t`") && error.message.contains("SQL_ASCII"), "{error}");
    assert_eq!(database.validate().unwrap().status, ValidationStatus::Warning);
}

#[test]
fn the_servers_password_never_leaks() {
    let database = Database::new("CREATE TABLE t (id int);").with_config(json!({ "password": PASSWORD }));
    let read = database.try_read(RunRequest::read(full("t"))).unwrap();
    assert!(!format!("{:?}", read.host.logs()).contains(PASSWORD));
}
