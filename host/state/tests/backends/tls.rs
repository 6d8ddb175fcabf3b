//! Encryption: whom each `sslmode` believes.

use std::path::{Path, PathBuf};
use std::process::Command;

use rapidbyte_core::ports::StateStore;
use rapidbyte_state::PostgresStore;
use xtask::postgres::{Durability, PASSWORD, Server, USER};

/// A certificate for `localhost` alone, and the authority that it comes from.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors/postgres/fixtures")
}

/// A server that takes nothing but TLS over TCP.
fn server(folder: &Path) -> Server {
    let [certificate, key] = ["server.pem", "server.key"].map(|name| {
        let copy = folder.join(name);
        std::fs::copy(fixtures().join(name), &copy).unwrap();
        copy.display().to_string()
    });
    // The server reads its key only where nobody else can.
    let command =
        "chmod 755 \"$0\"; chmod 600 \"$1\"; if [ \"$(id -u)\" = 0 ]; then chown postgres \"$1\"; fi";
    let done = Command::new("sh").args(["-c", command]).arg(folder).arg(&key).status().unwrap();
    assert!(done.success());
    let settings =
        [("ssl", "on"), ("ssl_cert_file", &certificate), ("ssl_key_file", &key), ("shared_buffers", "16MB")];
    Server::start_with(Durability::Relaxed, &settings).unwrap()
}

#[tokio::test]
async fn a_certificate_is_believed_as_far_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let authority = fixtures().join("authority.pem").display().to_string();
    let own = fixtures().join("server.pem").display().to_string();
    let address = |host: &str, more: &str| {
        let port = server.port();
        format!(
            "hostaddr=127.0.0.1 host={host} port={port} user={USER} password='{PASSWORD}' dbname=postgres {more}"
        )
    };
    for (host, more) in [
        ("localhost", "sslmode=disable".to_owned()),
        ("localhost", "sslmode=prefer".to_owned()),
        ("wrong.example", "sslmode=require".to_owned()),
        ("wrong.example", format!("sslmode=verify-ca sslrootcert='{authority}'")),
        ("localhost", format!("sslmode=verify-full sslrootcert='{authority}'")),
    ] {
        let store = PostgresStore::open(&address(host, &more))
            .await
            .unwrap_or_else(|error| panic!("{more}: {error}"));
        store.put("scope", "key", b"value").await.unwrap();
        let encrypted = server
            .sql("postgres", "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'rapidbyte'")
            .unwrap();
        assert_eq!(encrypted, if more.contains("disable") { "f" } else { "t" }, "{more}");
        drop(store);
        server.wait_idle().unwrap();
    }
    for (host, more) in [
        ("wrong.example", format!("sslmode=verify-full sslrootcert='{authority}'")),
        ("localhost", format!("sslmode=verify-full sslrootcert='{own}'")),
        ("localhost", format!("sslmode=require sslrootcert='{own}'")),
        ("localhost", "sslmode=verify-full sslrootcert=/nowhere.pem".to_owned()),
    ] {
        let error = PostgresStore::open(&address(host, &more)).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("certificate") || error.contains("sslrootcert"), "{more}: {error}");
        assert!(!error.contains(PASSWORD), "{error}");
    }
}
