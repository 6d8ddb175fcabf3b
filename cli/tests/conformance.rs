//! `connector test`: what it says of connectors that keep the contract and of such that do not, on screen and in files, and
//! how it ends. The clauses themselves are tested beside the suite.

mod support;

use std::path::Path;

use support::{Invocation, Project, components, repository};

/// A first-party connector with the fixture of its crate.
fn mask(project: &Project, arguments: &[&str]) -> Invocation {
    let component = components().join("transform-mask.wasm");
    let fixture = repository().join("connectors/transform-mask/conformance.yaml");
    let [component, fixture] = [&component, &fixture].map(|path| path.to_str().expect("a path in Unicode"));
    let fixed = ["connector", "test", component, "--config-file", fixture];
    aligned(project.rapidbyte(fixed.iter().chain(arguments)))
}

/// A table is as wide as the times in it.
fn aligned(invocation: Invocation) -> Invocation {
    invocation.filter(r" +(\[TIME\]|time)\n", " $1\n")
}

/// The source that breaks what `break` names.
fn rogue(project: &Project, arguments: &[&str]) -> Invocation {
    let folder = repository().join("conformance/tests/rogues/source");
    let fixed = ["connector", "test", folder.to_str().expect("a path in Unicode"), "--quiet"];
    aligned(project.rapidbyte(fixed.iter().chain(arguments)))
}

#[test]
fn a_connector_that_keeps_the_contract() {
    let project = Project::new();
    let clauses = ["--clause", "config-valid", "--clause", "transform-order", "--clause", "write-append"];
    assert_outcome!("conformance_other_role", mask(&project, &clauses).run().expect(2));
    let clauses = [&clauses[..4], &["--seed", "7"]].concat();
    assert_outcome!("conformance_kept", mask(&project, &clauses).run().expect(0));
}

#[test]
fn a_broken_clause_says_what_was_expected_and_what_came() {
    let project = Project::new();
    let clauses = ["--clause", "discovery-unique", "--clause", "read-projection", "--clause", "read-summary"];
    let with = |broken: &'static str| rogue(&project, &[&clauses[..], &["--config", broken]].concat()).run();
    assert_outcome!("conformance_broken", with("break=read-projection").expect(5));
    // What only misleads people is shown, and counts for nothing.
    assert_outcome!("conformance_warning", with("break=read-summary").expect(0));
}

#[test]
fn a_fault_is_named_so_that_it_can_be_struck_again() {
    let project = Project::new();
    let arguments = ["--clause", "faults-each-import", "--config", "break=faults-each-import"];
    let outcome = rogue(&project, &arguments).run().expect(5);
    let said = "it traps instead of answering with an error";
    assert!(outcome.stdout.contains(said) && outcome.stdout.contains("#1=refuse"), "{}", outcome.text());
}

#[test]
fn reports_and_certificates_are_files() {
    let project = Project::new();
    let paths = ["report.xml", "report.json", "certificate.json"].map(|name| project.path(name));
    let [junit, json, certificate] = paths.each_ref().map(|path| path.to_str().expect("a path in Unicode"));
    let clauses =
        ["--clause", "read-projection", "--clause", "config-valid", "--config", "break=read-projection"];
    let run = |files: &[&str]| rogue(&project, &[&clauses[..], files].concat()).run().expect(5);
    run(&["--report", "junit", junit, "--certificate", certificate]);
    run(&["--report", "json", json]);

    let xml = read(&paths[0]);
    assert!(xml.contains("tests=\"2\" failures=\"1\"") && xml.contains("expected: "), "{xml}");
    let report = parse(&paths[1]);
    assert_eq!(report["passed"], false);
    assert_eq!(report["network"], "live");
    let broken = report["outcomes"].as_array().expect("a list").iter();
    let broken: Vec<_> = broken.filter(|outcome| outcome["verdict"] == "failed").collect();
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0]["clause"], "read-projection");
    assert!(broken[0]["found"].is_string() && broken[0]["hint"].is_string(), "{report}");
    let statement = parse(&paths[2]);
    assert_eq!(statement["predicate"]["result"], "FAILED");
    assert_eq!(statement["predicate"]["failedTests"][0], "read-projection");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], report["digest"]);

    // On stdout the same as in the file, but for the times.
    let outcome = rogue(&project, &[&clauses[..], &["--format", "json"]].concat()).run().expect(5);
    let shown: serde_json::Value = serde_json::from_str(&outcome.json()).expect("JSON");
    assert_eq!(shown["digest"], report["digest"]);
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the file was written")
}

fn parse(path: &Path) -> serde_json::Value {
    serde_json::from_str(&read(path)).expect("JSON")
}

#[test]
fn the_clauses_are_listed_without_a_connector() {
    let project = Project::new();
    let outcome = project.rapidbyte(["connector", "test", "--list"]).run().expect(0);
    for name in ["resume-every-checkpoint", "write-upsert", "transform-order", "faults-combined"] {
        assert!(outcome.stdout.contains(name), "{}", outcome.text());
    }
    let outcome = project.rapidbyte(["connector", "test", "--list", "--format", "json"]).run().expect(0);
    let clauses: serde_json::Value = serde_json::from_str(&outcome.json()).expect("JSON");
    assert!(
        clauses.as_array().is_some_and(|clauses| clauses.iter().all(|clause| clause["hint"].is_string()))
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let project = Project::new();
    let bad = |name: &str| project.path(name).display().to_string();
    project.write("odd.yaml", "config: { suffix: x }\nreeder: {}\n");
    assert_outcome!(
        "conformance_unknown_clause",
        mask(&project, &["--clause", "read-schemas"]).run().expect(2)
    );
    assert_outcome!(
        "conformance_report_format",
        mask(&project, &["--report", "xml", "x.xml"]).run().expect(2)
    );
    assert_outcome!("conformance_no_value", mask(&project, &["--config", "rules"]).run().expect(2));
    assert_outcome!("conformance_wrong_type", mask(&project, &["--config", "rules=many"]).run().expect(3));
    let nothing = project.rapidbyte(["connector", "test", "nothing.wasm"]).run().expect(4);
    assert_outcome!("conformance_nothing_there", nothing);
    let odd = components().join("transform-mask.wasm").display().to_string();
    let odd = project.rapidbyte(["connector", "test", &odd, "--config-file", &bad("odd.yaml")]);
    assert_outcome!("conformance_odd_fixture", odd.run().expect(3));
    assert_outcome!(
        "conformance_no_recording",
        mask(&project, &["--replay", &bad("nowhere")]).run().expect(4)
    );
}
