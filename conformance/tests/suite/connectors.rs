//! First-party connectors keep every clause.

use std::path::{Path, PathBuf};

use rapidbyte_conformance::{Options, certificate, junit};
use xtask::postgres::{Durability, PASSWORD, Server, USER};

use crate::support::{assert_passes, host, repository, run};

/// Where `cargo xtask test` has put the components; who runs a test alone gets them built here.
const COMPONENTS: &str = "RAPIDBYTE_TEST_COMPONENTS";

/// The connector as a crate's folder, or the component that was built of it with the crate's own fixture.
pub fn options(name: &str) -> Options {
    let folder = repository().join("connectors").join(name);
    match std::env::var_os(COMPONENTS) {
        None => Options::new(folder),
        Some(components) => {
            let components = PathBuf::from(components);
            let fixture = Some(with_built_reader(&folder.join("conformance.yaml"), &components));
            Options { fixture, ..Options::new(components.join(format!("{name}.wasm"))) }
        }
    }
}

/// The fixture as it is, or a copy of it whose reader is a built component instead of a crate.
fn with_built_reader(fixture: &Path, components: &Path) -> PathBuf {
    const READER: &str = "connector: ../";
    let text = std::fs::read_to_string(fixture).expect("a fixture");
    let Some(at) = text.find(READER) else { return fixture.to_owned() };
    let (before, rest) = (&text[..at], &text[at + READER.len()..]);
    let (name, after) = rest.split_once('\n').expect("more than the reader's name");
    let reader = components.join(format!("{name}.wasm"));
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reader-{name}.yaml"));
    std::fs::write(&copy, format!("{before}connector: {}\n{after}", reader.display())).expect("a copy");
    copy
}

#[test]
fn source_file() {
    let report = run(&host(&[]), &options("source-file"));
    assert_passes(&report, &["read-filter", "read-partitions", "read-snapshot", "secrets-unspoken"]);
    let statement = certificate::certificate(&report);
    assert_eq!(statement["predicate"]["result"], "PASSED");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], report.digest.as_str());
    assert!(junit::junit(&report).contains("failures=\"0\""));
}

#[test]
fn dest_file() {
    assert_passes(
        &run(&host(&[]), &options("dest-file")),
        &["write-upsert", "write-merge", "dead-letters", "secrets-unspoken"],
    );
}

#[test]
fn transform_mask() {
    assert_passes(&run(&host(&[]), &options("transform-mask")), &[]);
}

#[test]
fn transform_sql() {
    assert_passes(&run(&host(&[]), &options("transform-sql")), &["secrets-unspoken"]);
}

/// What `source-postgres` reads.
pub const SEED: &str = include_str!("../../../connectors/source-postgres/conformance.sql");

pub fn server() -> Server {
    Server::start(Durability::Relaxed).unwrap_or_else(|error| panic!("{error:#}"))
}

pub fn variables(server: &Server) -> [(&'static str, String); 4] {
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
    server.sql("postgres", SEED).unwrap_or_else(|error| panic!("{error:#}"));
    assert_passes(&run(&host(&variables(&server)), &options("source-postgres")), &[]);
}

#[test]
fn dest_postgres() {
    let server = server();
    assert_passes(&run(&host(&variables(&server)), &options("dest-postgres")), &[]);
}
