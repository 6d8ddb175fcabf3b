//! First-party connectors keep every clause.

use std::path::PathBuf;

use rapidbyte_conformance::{Options, certificate, junit};
use xtask::postgres::{Durability, PASSWORD, Server, USER};

use crate::support::{assert_passes, host, repository, run};

/// Where `cargo xtask test` has put the components; who runs a test alone gets them built here.
const COMPONENTS: &str = "RAPIDBYTE_TEST_COMPONENTS";

/// The connector as a crate's folder, or the component that was built of it with the crate's own fixture.
fn options(name: &str) -> Options {
    let folder = repository().join("connectors").join(name);
    match std::env::var_os(COMPONENTS) {
        None => Options::new(folder),
        Some(components) => Options {
            fixture: Some(folder.join("conformance.yaml")),
            ..Options::new(PathBuf::from(components).join(format!("{name}.wasm")))
        },
    }
}

#[test]
fn source_file() {
    let report = run(&host(&[]), &options("source-file"));
    assert_passes(&report, &["secrets-unspoken", "read-projection"]);
    let statement = certificate::certificate(&report);
    assert_eq!(statement["predicate"]["result"], "PASSED");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], report.digest.as_str());
    assert!(junit::junit(&report).contains("failures=\"0\""));
}

#[test]
fn dest_file() {
    assert_passes(&run(&host(&[]), &options("dest-file")), &["secrets-unspoken", "write-upsert", "write-merge"]);
}

#[test]
fn transform_mask() {
    assert_passes(&run(&host(&[]), &options("transform-mask")), &[]);
}

fn server() -> Server {
    Server::start(Durability::Relaxed).unwrap_or_else(|error| panic!("{error:#}"))
}

fn variables(server: &Server) -> [(&'static str, String); 4] {
    [
        ("PG_HOST", server.host().to_owned()),
        ("PG_PORT", server.port().to_string()),
        ("PG_USER", USER.to_owned()),
        ("PG_PASSWORD", PASSWORD.to_owned()),
    ]
}

#[test]
fn source_postgres() {
    let server = server();
    let seed = include_str!("../../../connectors/source-postgres/conformance.sql");
    server.sql("postgres", seed).unwrap_or_else(|error| panic!("{error:#}"));
    assert_passes(&run(&host(&variables(&server)), &options("source-postgres")), &[]);
}

#[test]
fn dest_postgres() {
    let server = server();
    assert_passes(&run(&host(&variables(&server)), &options("dest-postgres")), &[]);
}
