//! Every clause can fail: for each there is a rogue that breaks it and is caught by it. The same component without the
//! misbehaviour passes all of them.

use std::path::PathBuf;

use arrow_schema::{DataType, Field, Schema};
use rapidbyte_conformance::{CLAUSES, Options, Suite, Verdict, registry};
use rapidbyte_host::core::ConnectorRole;
use rapidbyte_host::core::frame::encode_schema;
use rapidbyte_host::pipeline::Manifest;
use serde_json::Value;

use crate::support::{Quiet, assert_passes, host, run, runtime};

fn folder(role: ConnectorRole) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rogues").join(role.as_str())
}

/// The rogues embed these, so that they need no Arrow library.
fn refresh_schemas() {
    let id = Field::new("id", DataType::Int64, false);
    let name = Field::new("name", DataType::Utf8, true);
    for (file, fields) in [("orders.schema", vec![id, name.clone()]), ("name.schema", vec![name])] {
        let path = folder(ConnectorRole::Source).join(file);
        let bytes = encode_schema(&Schema::new(fields)).unwrap();
        if std::fs::read(&path).unwrap_or_default() != bytes {
            std::fs::write(&path, &bytes).unwrap();
            panic!("{file} was out of date; it is written anew, commit it");
        }
    }
}

/// What a component cannot break alone but only with its manifest.
fn manifest_for(clause: &str, manifest: &Manifest) -> Manifest {
    let mut json: Value = serde_json::from_str(&manifest.to_json()).unwrap();
    let before = json.clone();
    match clause {
        "secrets-marked" => json["config_schema"]["properties"]["token"]["x-rapidbyte-secret"] = false.into(),
        "imports-agree" | "grants-respected" => {
            drop(json["capabilities"].as_object_mut().unwrap().remove("network"))
        }
        _ => return manifest.clone(),
    }
    assert_ne!(json, before, "the rogue's manifest is not as this expects");
    Manifest::from_json(&json.to_string(), "the rogue's manifest").unwrap()
}

/// Breaks each clause of a role in turn; answers those that let it pass.
fn uncaught(role: ConnectorRole) -> Vec<String> {
    refresh_schemas();
    let host = host(&[]);
    let runtime = runtime();
    let candidate = host.candidate(&folder(role), &mut Quiet).unwrap_or_else(|error| panic!("{error}"));
    let mut uncaught = Vec::new();
    for clause in registry::of_role(role) {
        let options = Options {
            config: vec![("break".to_owned(), clause.name.to_owned())],
            clauses: vec![clause.name.to_owned()],
            ..Options::new(folder(role))
        };
        let mut candidate = candidate.clone();
        candidate.manifest = manifest_for(clause.name, &candidate.manifest);
        let suite = Suite::of_candidate(&host, candidate, &options, &mut Quiet)
            .unwrap_or_else(|error| panic!("{error}"));
        let report = runtime.block_on(suite.run(&mut |_| {}));
        let [outcome] = report.outcomes.as_slice() else { panic!("one clause was chosen") };
        println!("{} {:?}", outcome.clause, outcome.verdict);
        if !matches!(outcome.verdict, Verdict::Failed(_)) {
            uncaught.push(format!("{} ({:?})", outcome.clause, outcome.verdict));
        }
    }
    uncaught
}

#[test]
fn every_clause_of_sources_catches_its_rogue() {
    assert_eq!(uncaught(ConnectorRole::Source), Vec::<String>::new());
}

#[test]
fn every_clause_of_destinations_catches_its_rogue() {
    assert_eq!(uncaught(ConnectorRole::Destination), Vec::<String>::new());
}

#[test]
fn every_clause_of_transforms_catches_its_rogue() {
    assert_eq!(uncaught(ConnectorRole::Transform), Vec::<String>::new());
}

#[test]
fn every_clause_is_of_a_role_that_has_a_rogue() {
    for clause in CLAUSES {
        assert!(
            ConnectorRole::ALL.iter().any(|role| registry::of_role(*role).any(|it| it.name == clause.name))
        );
    }
}

#[test]
fn the_well_behaved_source_passes() {
    refresh_schemas();
    // Its instances share nothing that could hold a moment.
    assert_passes(&run(&host(&[]), &Options::new(folder(ConnectorRole::Source))), &["read-snapshot"]);
}

#[test]
fn the_well_behaved_destination_passes() {
    assert_passes(&run(&host(&[]), &Options::new(folder(ConnectorRole::Destination))), &[]);
}

#[test]
fn the_well_behaved_transform_passes() {
    refresh_schemas();
    assert_passes(&run(&host(&[]), &Options::new(folder(ConnectorRole::Transform))), &[]);
}
