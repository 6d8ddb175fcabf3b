//! Encryption, whom to trust, and channel binding.

use rapidbyte_postgres::testing::{AUTHORITY_PEM, TestServer};
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{TestHost, block_on};
use serde_json::{Value, json};
use source_postgres::SourcePostgres;

#[test]
fn every_mode_means_what_libpq_means() {
    let server = TestServer::start_with_tls();
    server.psql(
        "postgres",
        "CREATE USER scram_user PASSWORD 'pw'; CREATE VIEW encrypted AS SELECT ssl::text, application_name
        FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE pid = pg_backend_pid();
        GRANT SELECT ON encrypted TO PUBLIC",
    );
    let read = |config: Value| {
        let mut whole = json!({
            "host": "localhost", "port": server.port(), "user": "scram_user", "password": "pw",
            "database": "postgres", "application_name": "it's me",
        });
        for (key, value) in config.as_object().unwrap() {
            whole[key] = value.clone();
        }
        block_on(async {
            let host = TestHost::new();
            let mut source = host.source::<SourcePostgres>(whole).await?;
            let schema = std::sync::Arc::new(arrow_schema::Schema::empty());
            source.run(RunRequest::read(StreamContext::new("encrypted", schema))).await?;
            Ok::<_, ConnectorError>(crate::harness::values(&host.emitted_batches()[0], 0).join("|"))
        })
    };
    let encrypted = || Ok("true|it's me".to_owned());
    assert_eq!(read(json!({ "sslmode": "disable" })), Ok("false|it's me".to_owned()));
    assert_eq!(read(json!({})), encrypted());
    assert_eq!(read(json!({ "sslmode": "require" })), encrypted());
    assert_eq!(
        read(json!({ "sslmode": "require", "ssl_root_cert": AUTHORITY_PEM, "host": "127.0.0.1" })),
        encrypted()
    );
    assert_eq!(
        read(json!({ "sslmode": "verify-ca", "ssl_root_cert": AUTHORITY_PEM, "host": "127.0.0.1" })),
        encrypted()
    );
    assert_eq!(read(json!({ "sslmode": "verify-full", "ssl_root_cert": AUTHORITY_PEM })), encrypted());
    for config in [
        json!({ "sslmode": "verify-full", "ssl_root_cert": AUTHORITY_PEM, "host": "127.0.0.1" }),
        json!({ "sslmode": "verify-full" }),
        json!({ "sslmode": "verify-ca" }),
    ] {
        let error = read(config.clone()).unwrap_err();
        assert!(!error.retryable && error.code.starts_with("tls"), "{config}: {error:?}");
    }
    let error = read(json!({ "sslmode": "require", "password": "wrong" })).unwrap_err();
    assert_eq!(error.code, "password_refused");
}
