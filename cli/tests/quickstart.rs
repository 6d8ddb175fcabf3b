//! The README's first command, on a copy of the example: connectors from their crates, twice, then with something new.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde_json::Value;
use support::{Project, components, connector_crate, repository};

/// A project with a copy of the example; the connectors are the repository's own crates.
fn quickstart() -> Project {
    // So that what the pipeline names is built already and this test is not about Cargo.
    components();
    let project = Project::new();
    copy(&repository().join("examples/quickstart"), &project.path("examples/quickstart"));
    let pipeline = project.path("examples/quickstart/pipeline.yaml");
    let text = std::fs::read_to_string(&pipeline).unwrap();
    assert!(text.contains("../../connectors/"), "{text}");
    std::fs::write(&pipeline, text.replace("../../connectors/", &connector_crate(""))).unwrap();
    project
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, path) = (entry.file_name(), entry.path());
        if name == "out" || name == ".rapidbyte" {
            continue; // What somebody's own run left.
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Runs a pipeline and answers how many rows of each stream were written.
fn run(project: &Project, pipeline: &str) -> impl Fn(&str) -> u64 {
    let outcome = project.rapidbyte(["run", pipeline, "--format", "json"]).run().expect(0);
    let report: Value = serde_json::from_str(&outcome.json()).unwrap();
    assert_eq!(report["status"], "succeeded", "{report}");
    move |stream| {
        let streams = report["streams"].as_array().unwrap();
        let found = streams.iter().find(|candidate| candidate["stream"] == stream);
        found.unwrap_or_else(|| panic!("no stream `{stream}`: {report}"))["records_written"].as_u64().unwrap()
    }
}

fn lines(project: &Project, path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(project.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_quickstart_moves_everything_once_and_then_what_is_new() {
    let project = quickstart();
    let pipeline = "examples/quickstart/pipeline.yaml";

    let first = run(&project, pipeline);
    let customers = first("customers");
    assert!(customers >= 1_000, "{customers}");
    assert_eq!((first("orders"), first("events")), (2_000, 3_000));

    let second = run(&project, pipeline);
    assert_eq!((second("customers"), second("orders"), second("events")), (customers, 0, 0));

    let orders = project.path("examples/quickstart/data/orders.jsonl");
    let mut orders = std::fs::OpenOptions::new().append(true).open(orders).unwrap();
    let new = r#"{"id":900001,"customer_id":1,"status":"new","total":1.50,"express":true,"items":[],"updated_at":"2031-01-01T00:00:00.000Z"}"#;
    writeln!(orders, "{new}").unwrap();
    let third = run(&project, pipeline);
    assert_eq!((third("orders"), third("events")), (1, 0));

    // Read back what was written, through the same connectors the other way round.
    project.write(
        "back.yaml",
        format!(
            r#"
version: "1.0"
pipeline: back
source:
  use: {source}
  config: {{ path: examples/quickstart/out }}
  streams:
    - {{ name: customers, sync_mode: full_refresh }}
    - {{ name: orders, sync_mode: full_refresh }}
destination:
  use: {destination}
  config: {{ path: back, format: jsonl }}
  write_mode: replace
"#,
            source = connector_crate("source-file"),
            destination = connector_crate("dest-file"),
        ),
    );
    let back = run(&project, "back.yaml");
    assert_eq!((back("customers"), back("orders")), (customers, 2_001));
    let orders: BTreeSet<u64> =
        lines(&project, "back/orders.jsonl").iter().map(|order| order["id"].as_u64().unwrap()).collect();
    assert_eq!(orders, (1..=2_000).chain([900_001]).collect(), "every order once");
    assert_eq!(lines(&project, "back/orders.jsonl").len(), 2_001, "and none twice");

    let masked = lines(&project, "back/customers.jsonl");
    assert_eq!(masked.len() as u64, customers);
    for customer in &masked {
        let text = customer.to_string();
        assert!(!text.contains("@example.com"), "an address got through: {text}");
        assert!(customer.get("birthday").is_none() && customer.get("note").is_none(), "{text}");
        let last_name = customer["last_name"].as_str().unwrap_or_default();
        assert!(last_name.chars().count() <= 1, "{text}");
    }
    let hashes: BTreeSet<&str> = masked.iter().filter_map(|customer| customer["email"].as_str()).collect();
    assert!(hashes.len() > 900, "different addresses stay different: {}", hashes.len());
}

#[test]
fn the_quickstart_passes_its_check() {
    let project = quickstart();
    let outcome =
        project.rapidbyte(["check", "examples/quickstart/pipeline.yaml", "--format", "json"]).run().expect(0);
    let report: Value = serde_json::from_str(&outcome.json()).unwrap();
    assert_eq!(report["class"], "success", "{report}");
    let grants = &report["connectors"];
    assert_eq!(grants.as_array().unwrap().len(), 4, "source, two transforms, destination: {grants}");
    assert!(
        grants.as_array().unwrap().iter().all(|granted| granted["endpoints"].as_array().unwrap().is_empty())
    );
    assert!(
        !project.path("examples/quickstart/out").join("customers.parquet").exists(),
        "a check moves nothing"
    );
}
