//! What surrounds runs: workspaces and their settings, hooks, folders of pipelines side by side, the doctor, completions and
//! the schema for editors. Real components, files on both sides.

mod support;

use serde_json::{Value, json};
use support::{Project, components};
use xtask::postgres::{Durability, PASSWORD, Server, USER};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A pipeline from a CSV file of the project to JSON Lines in `out/NAME`, with more parts.
fn pipeline(name: &str, more: Value) -> String {
    let mut document = json!({
        "version": "1.0",
        "pipeline": name,
        "source": { "use": components().join("source-file.wasm"), "config": { "path": "../data" } },
        "destination": {
            "use": components().join("dest-file.wasm"),
            "config": { "path": format!("../out/{name}"), "format": "jsonl" },
            "write_mode": "replace",
        },
    });
    let (Some(document_map), Value::Object(more)) = (document.as_object_mut(), more) else {
        panic!("parts of a document are a mapping");
    };
    document_map.extend(more);
    document.to_string()
}

fn project() -> Project {
    let project = Project::new();
    project.write("data/orders.csv", "id,note\n1,one\n2,two\n3,three\n");
    project
}

#[test]
fn a_new_workspace_has_an_example_that_checks() {
    let project = Project::new();
    let made = project.rapidbyte(["init", "shop", "--format", "json"]).run().expect(0);
    let files = parsed(&made.json())["files"].as_array().unwrap().len();
    assert_eq!(files, 8, "{}", made.stdout);
    for file in ["rapidbyte.toml", ".gitignore", "README.md", "pipeline.schema.json", "connectors/README.md"]
    {
        assert!(project.path("shop").join(file).is_file(), "{file}");
    }
    let again = project.rapidbyte(["init", "shop"]).run().expect(2);
    assert!(again.stderr.contains("exists and is not empty"), "{}", again.stderr);

    let example = project.path("shop/pipelines/example.yaml");
    let text = std::fs::read_to_string(&example).unwrap();
    let component = |name: &str| components().join(format!("{name}.wasm")).display().to_string();
    let here = text
        .replace("use: source-file ", &format!("use: {} ", component("source-file")))
        .replace("use: dest-file ", &format!("use: {} ", component("dest-file")));
    assert_ne!(text, here);
    std::fs::write(&example, here).unwrap();
    project.rapidbyte(["check", "shop/pipelines/example.yaml"]).run().expect(0);
    project.rapidbyte(["run", "shop"]).run().expect(0);
    assert!(project.path("shop/.rapidbyte/state.db").is_file(), "state lies in the workspace");
    assert!(project.path("shop/out").is_dir());
}

#[test]
fn settings_of_a_workspace_hold_for_its_pipelines() {
    let project = project();
    project.write("flows/a.yaml", pipeline("a", json!({})));
    project.write("rapidbyte.toml", "pipelines = \"flows\"\n[state]\npath = \"kept/here.db\"\n");
    project.rapidbyte(["run", "."]).run().expect(0);
    assert!(project.path("kept/here.db").is_file());

    project.write("rapidbyte.toml", "[resources]\nmax_memry = \"1gb\"\n");
    let refused = project.rapidbyte(["run", "flows/a.yaml"]).run().expect(3);
    assert!(refused.stderr.contains("rapidbyte.toml:2:1"), "{}", refused.stderr);
    assert!(refused.stderr.contains("did you mean `max_memory`?"), "{}", refused.stderr);
}

#[test]
fn hooks_are_told_what_became_of_the_run() {
    let project = project();
    let tell = |place: &str| json!([{ "exec": format!("env | grep ^RAPIDBYTE_ | grep -v HOME | sort > ../{place}") }]);
    let hooks = json!({ "on_success": tell("success"), "on_failure": tell("failure"), "on_complete": tell("complete") });
    project.write("flows/a.yaml", pipeline("a", json!({ "hooks": hooks })));
    project.rapidbyte(["run", "flows/a.yaml"]).run().expect(0);
    let told = std::fs::read_to_string(project.path("success")).unwrap();
    for line in [
        "RAPIDBYTE_PIPELINE=a",
        "RAPIDBYTE_STATUS=succeeded",
        "RAPIDBYTE_RECORDS_READ=3",
        "RAPIDBYTE_RECORDS_WRITTEN=3",
        "RAPIDBYTE_DURATION_MS=",
        "RAPIDBYTE_FAILED_STREAMS=\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    assert!(project.path("complete").is_file() && !project.path("failure").exists());

    // A run that cannot begin has failed, too.
    let broken = pipeline("a", json!({ "hooks": hooks })).replace("source-file.wasm", "nowhere.wasm");
    project.write("flows/a.yaml", broken);
    for told in ["success", "complete"] {
        std::fs::remove_file(project.path(told)).unwrap();
    }
    project.rapidbyte(["run", "flows/a.yaml"]).run();
    let told = std::fs::read_to_string(project.path("failure")).unwrap();
    assert!(told.contains("RAPIDBYTE_STATUS=failed"), "{told}");
    assert!(project.path("complete").is_file() && !project.path("success").exists());
}

#[test]
fn hooks_that_fail_are_warnings_and_their_output_is_a_log() {
    let project = project();
    let hooks = json!({
        "on_success": [
            { "exec": "echo said ${TOKEN}; echo to $RAPIDBYTE_PIPELINE >&2; exit 3" },
            { "exec": "sleep 600 & sleep 600", "timeout": "200ms" },
        ],
        "on_complete": [{ "exec": "touch ../complete" }],
    });
    project.write("flows/a.yaml", pipeline("a", json!({ "hooks": hooks })));
    let run = project.rapidbyte(["run", "flows/a.yaml", "-v"]).env("TOKEN", "hunter2-token").run().expect(0);
    assert!(run.stderr.contains("hook `on_success[0]` ended with exit code 3"), "{}", run.stderr);
    assert!(run.stderr.contains("hook `on_success[1]` was ended: it took longer than"), "{}", run.stderr);
    assert!(run.stderr.contains("said ***") && run.stderr.contains("to a"), "{}", run.stderr);
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    assert!(project.path("complete").is_file());
}

#[test]
fn pipelines_of_a_folder_run_side_by_side() {
    let project = project();
    for name in ["a", "b", "d"] {
        project.write(format!("flows/{name}.yaml"), pipeline(name, json!({})));
    }
    project.write("flows/c.yaml", "pipeline: 1\n");
    for parallel in ["--parallel", "--parallel=2"] {
        let run = project.rapidbyte(["run", "flows", parallel, "--format", "json"]).run().expect(3);
        let json = parsed(&run.json());
        let outcomes: Vec<_> = json["pipelines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|outcome| (outcome["file"].as_str().unwrap(), outcome["status"].as_str().unwrap()))
            .collect();
        assert_eq!(
            outcomes,
            [
                ("flows/a.yaml", "succeeded"),
                ("flows/b.yaml", "succeeded"),
                ("flows/c.yaml", "failed"),
                ("flows/d.yaml", "succeeded"),
            ]
        );
        assert!(run.stderr.contains("Failed 1 of 4"), "{}", run.stderr);
    }
    for name in ["a", "b", "d"] {
        assert!(project.path("out").join(name).is_dir(), "{name}");
    }
    project.rapidbyte(["run", "flows", "--parallel=0"]).run().expect(2);
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let project = Project::new();
    let well = project.rapidbyte(["doctor", "--format", "json"]).run().expect(0);
    let json = parsed(&well.json());
    let subjects: Vec<_> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["subject"].as_str().unwrap())
        .collect();
    for subject in
        ["home folder", "compiled code", "workspace", "state (sqlite)", "clock", "disk", "memory", "Rust"]
    {
        assert!(subjects.contains(&subject), "{subjects:?}");
    }
    let shown = project.rapidbyte(["doctor"]).run().expect(0);
    assert!(shown.stdout.contains("[OK] home folder: "), "{}", shown.stdout);

    // State that is none, in a workspace; and a registry that is not there.
    project.write("rapidbyte.toml", "");
    project
        .write(".rapidbyte/state.db", "this is not a database, but long enough to look like one".repeat(100));
    let config = project.home().join(".rapidbyte/config.toml");
    std::fs::write(&config, "[registries.gone]\nurl = \"dir:/nowhere/at/all\"\n").unwrap();
    let ill = project.rapidbyte(["doctor"]).run().expect(4);
    assert!(ill.stdout.contains("[FAIL] state (sqlite)"), "{}", ill.stdout);
    assert!(ill.stdout.contains("[WARN] registry `gone`"), "{}", ill.stdout);
    assert!(ill.stdout.contains("hint: "), "{}", ill.stdout);
    // Nothing is mended or left behind.
    assert!(std::fs::read(project.path(".rapidbyte/state.db")).unwrap().starts_with(b"this is not"));
}

#[test]
fn the_doctor_reaches_a_state_on_a_server() {
    let server = Server::start(Durability::Relaxed).unwrap();
    let project = Project::new();
    let settings = |password: &str| {
        let url = format!("postgres://{USER}@127.0.0.1:{}/postgres?sslmode=disable", server.port());
        format!(
            "[state]\nbackend = \"postgres\"\nconnection = \"{}\"\n",
            url.replace('@', &format!(":{password}@"))
        )
    };
    project.write("rapidbyte.toml", settings(&PASSWORD.replace(' ', "%20")));
    let well = project.rapidbyte(["doctor"]).run().expect(0);
    assert!(well.stdout.contains("[OK] state (postgres): "), "{}", well.stdout);
    let made =
        server.sql("postgres", "SELECT count(*) FROM pg_namespace WHERE nspname = 'rapidbyte'").unwrap();
    assert_eq!(made, "0", "the doctor makes nothing");
    project.write("rapidbyte.toml", settings("mistyped-password"));
    let ill = project.rapidbyte(["doctor"]).run().expect(4);
    assert!(ill.stdout.contains("[FAIL] state (postgres): "), "{}", ill.stdout);
    assert!(!ill.stdout.contains("mistyped-password"), "{}", ill.stdout);
}

#[test]
fn shells_get_completions() {
    let project = Project::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = project.rapidbyte(["completions", shell]).run().expect(0);
        assert!(script.stdout.contains("connectors") && script.stdout.contains("doctor"), "{shell}");
        assert_eq!(script.stderr, "");
    }
    project.rapidbyte(["completions", "tcsh"]).run().expect(2);
}

#[test]
fn editors_get_a_schema() {
    let project = Project::new();
    let shown = project.rapidbyte(["schema", "pipeline"]).run().expect(0);
    let schema = parsed(&shown.stdout);
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["source"]["$ref"], "#/$defs/source");
    let machines = project.rapidbyte(["schema", "pipeline", "--format", "json"]).run().expect(0);
    assert_eq!(parsed(&machines.stdout), schema);
}
