//! `connector dev`: each save builds and tests or runs again; what is wrong stays until it is mended; Ctrl-C ends it well.

mod support;

use serde_json::Value;
use support::bare::write_connector;
use support::{Outcome, Project, Running, components};

/// Saves a file, in one step as good editors do, and waits until what follows from it is done.
fn save(project: &Project, running: &mut Running, file: &str, text: &str) {
    let path = project.path(file);
    std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("folders");
    let saving = project.write(".saving", text);
    std::fs::rename(saving, path).expect("the file");
    running.wait_until_it_says("Changed");
    running.wait_until_it_says("Watching");
}

/// What `--format json` said of each time.
fn cycles(outcome: &Outcome) -> Vec<Value> {
    outcome.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON document a line")).collect()
}

fn outcomes(cycles: &[Value]) -> Vec<(&str, bool)> {
    let outcome = |cycle| {
        let cycle: &Value = cycle;
        (cycle["outcome"].as_str().expect("a word"), cycle["unchanged"].as_bool().expect("yes or no"))
    };
    cycles.iter().map(outcome).collect()
}

#[test]
fn each_save_is_built_and_tested_again() {
    let project = Project::new();
    let folder = write_connector(&project, "work");
    let folder = folder.to_str().expect("a path in Unicode");
    let (source, beside) = ("work/source-bare/src/lib.rs", "work/beside/src/lib.rs");
    let right = std::fs::read_to_string(project.path(source)).expect("the source");
    let helper = std::fs::read_to_string(project.path(beside)).expect("the source beside");

    let arguments = ["connector", "dev", folder, "--clause", "identity-agrees", "--format", "json"];
    let mut running = project.rapidbyte(arguments).start();
    running.wait_until_it_says("Watching");
    // Another name than the manifest's.
    save(&project, &mut running, source, &right.replace("source-bare@0.1.0", "source-other@0.1.0"));
    // No Rust.
    save(&project, &mut running, source, &format!("{right}\nfn"));
    save(&project, &mut running, source, &right);
    // The same component.
    save(&project, &mut running, source, &format!("{right}// A remark at the end.\n"));
    // The same component with other data.
    save(&project, &mut running, "work/source-bare/fixtures/orders.jsonl", "{}\n");
    // A crate that it is built from.
    save(&project, &mut running, beside, &helper.replace("no text", "no text at all"));
    running.signal("-INT");
    let outcome = running.wait().expect(0);

    let cycles = cycles(&outcome);
    let expected = [
        ("passed", false),
        ("failed", false),
        ("failed", false),
        ("passed", false),
        ("passed", true),
        ("passed", false),
        ("passed", false),
    ];
    assert_eq!(outcomes(&cycles), expected, "{}", outcome.text());
    assert_eq!(cycles[1]["report"]["outcomes"][0]["verdict"], "failed");
    assert_eq!(cycles[1]["changed"].as_array().map(Vec::len), Some(1));
    assert!(outcome.stderr.contains("identity-agrees: failed\n"), "{}", outcome.stderr);
    // The compiler's own words, and then ours.
    assert!(outcome.stderr.contains("error: expected identifier"), "{}", outcome.stderr);
    assert_eq!(cycles[2]["error"]["class"], "connector");
}

#[test]
fn each_save_runs_the_pipeline_again() {
    let project = Project::new();
    let folder = write_connector(&project, "work");
    let folder = folder.to_str().expect("a path in Unicode");
    let components = components();
    let pipeline = |rows: &str| {
        format!(
            "version: \"1.0\"\npipeline: dev\nsource:\n  use: {0}/source-file.wasm\n  config: {{ path: data }}\n  streams:\n    - {rows}\n\
             destination:\n  use: {0}/dest-file.wasm\n  config: {{ path: out, format: jsonl }}\n",
            components.display()
        )
    };
    project.write("data/orders.jsonl", "{\"id\": 1}\n{\"id\": 2}\n");
    project.write("pipeline.yaml", pipeline("{ name: missing }"));
    let arguments = ["connector", "dev", folder, "--run", "pipeline.yaml", "--format", "json"];
    let mut running = project.rapidbyte(arguments).start();
    running.wait_until_it_says("Watching");
    save(&project, &mut running, "pipeline.yaml", &pipeline("{ name: orders }"));
    running.signal("-TERM");
    let outcome = running.wait().expect(143);
    let cycles = cycles(&outcome);
    assert_eq!(outcomes(&cycles), [("failed", false), ("passed", false)], "{}", outcome.text());
    assert_eq!(cycles[1]["run"]["records_written"], 2);
}

#[test]
fn what_is_no_connector_is_refused() {
    let project = Project::new();
    project.write("empty/README.md", "Nothing to build.");
    assert_outcome!("dev_no_manifest", project.rapidbyte(["connector", "dev", "empty"]).run().expect(2));
    let folder = write_connector(&project, "work");
    let folder = folder.to_str().expect("a path in Unicode");
    let arguments = ["connector", "dev", folder, "--run", "missing.yaml"];
    assert_outcome!("dev_no_pipeline", project.rapidbyte(arguments).run().expect(4));
}
