//! Documents and connectors that are wrong before anything starts, through the commands that read them. Needs no server
//! and no connector that works.

mod support;

use support::{Outcome, Project};

const GOOD: &str = r#"version: "1.0"
pipeline: orders
source:
  use: ./source
  config: {}
  streams:
    - { name: orders, sync_mode: full_refresh }
destination:
  use: ./destination
  config: {}
  write_mode: append
"#;

/// `run` of a good document with one thing replaced.
fn run_with(good: &str, wrong: &str) -> Outcome {
    assert!(GOOD.contains(good), "`{good}` is not in the good document");
    let project = Project::new();
    project.write("pipeline.yaml", GOOD.replacen(good, wrong, 1));
    project.rapidbyte(["run", "pipeline.yaml"]).run()
}

#[test]
fn a_file_that_is_not_there() {
    let project = Project::new();
    for command in [&["run"][..], &["check"], &["schema", "discover"], &["state", "show"]] {
        let outcome = project.rapidbyte(command.iter().copied().chain(["missing.yaml"])).run().expect(4);
        assert_eq!(
            outcome.stderr,
            "error: cannot read `missing.yaml`\n  caused by: No such file or directory (os error 2)\n"
        );
        assert_eq!(outcome.stdout, "");
    }
    assert_outcome!(
        "missing_file_inspect",
        project.rapidbyte(["schema", "inspect", "missing.yaml", "--stream", "a"]).run().expect(4)
    );
    assert_outcome!(
        "missing_file_reset",
        project.rapidbyte(["state", "reset", "missing.yaml", "--all"]).run().expect(4)
    );
    assert_outcome!(
        "missing_file_json",
        project.rapidbyte(["check", "missing.yaml", "--format", "json"]).run().expect(4)
    );
    assert_outcome!(
        "missing_file_run_json",
        project.rapidbyte(["run", "missing.yaml", "--format", "json"]).run().expect(4)
    );
}

#[test]
fn folders_without_pipelines() {
    let project = Project::new();
    std::fs::create_dir(project.path("empty")).unwrap();
    assert_outcome!("folder_empty_run", project.rapidbyte(["run", "empty"]).run().expect(3));
    assert_outcome!("folder_check", project.rapidbyte(["check", "empty"]).run().expect(4));
}

#[test]
fn every_pipeline_of_a_folder_is_tried() {
    let project = Project::new();
    project.write("pipelines/a.yaml", "pipeline: 1");
    project.write("pipelines/b.yml", GOOD);
    project.write("pipelines/notes.txt", "not a pipeline");
    assert_outcome!(
        "folder_run",
        project.rapidbyte(["run", "pipelines", "--format", "json"]).run().expect(3)
    );
}

#[test]
fn text_that_is_no_document() {
    let project = Project::new();
    let run = |text: &[u8]| {
        project.write("pipeline.yaml", text);
        project.rapidbyte(["run", "pipeline.yaml"]).run()
    };
    assert_outcome!("document_empty", run(b"").expect(3));
    assert_outcome!("document_no_yaml", run(b"pipeline: [1, 2\nsource: }").expect(3));
    assert_outcome!("document_no_text", run(&[0x70, 0xff, 0xfe, 0x00]).expect(3));
    assert_outcome!("document_a_list", run(b"- a\n- b\n").expect(3));
}

#[test]
fn keys_and_values() {
    assert_outcome!(
        "document_unknown_key",
        run_with("sync_mode: full_refresh", "sync_mod: full_refresh").expect(3)
    );
    assert_outcome!("document_wrong_type", run_with("pipeline: orders", "pipeline: [orders]").expect(3));
    assert_outcome!("document_wrong_word", run_with("write_mode: append", "write_mode: upsrt").expect(3));
    assert_outcome!("document_missing_key", run_with("  use: ./destination\n", "").expect(3));
    assert_outcome!(
        "document_variable",
        run_with("  config: {}\n  streams", "  config: { password: \"${NOT_SET_ANYWHERE}\" }\n  streams")
            .expect(3)
    );
    assert_outcome!(
        "document_several",
        run_with("pipeline: orders\n", "pipelin: orders\nversionn: 2\n").expect(3)
    );
}

#[test]
fn combinations_that_cannot_be() {
    assert_outcome!(
        "document_no_cursor",
        run_with("sync_mode: full_refresh", "sync_mode: incremental").expect(3)
    );
    assert_outcome!("document_no_key", run_with("write_mode: append", "write_mode: merge").expect(3));
}

#[test]
fn a_stream_that_the_document_does_not_have() {
    let project = Project::new();
    project.write("pipeline.yaml", GOOD);
    assert_outcome!(
        "unknown_stream",
        project.rapidbyte(["run", "pipeline.yaml", "--stream", "order"]).run().expect(2)
    );
    let reset = project.rapidbyte(["state", "reset", "pipeline.yaml", "--stream", "order"]).run().expect(2);
    assert_outcome!("unknown_stream_reset", reset);
    assert!(!project.state().exists(), "a refused reset makes no state");
}

#[test]
fn connectors_that_are_none() {
    assert_outcome!("connector_nothing_there", run_with("pipeline: orders", "pipeline: orders").expect(3));

    let project = Project::new();
    project.write("pipeline.yaml", GOOD);
    std::fs::create_dir(project.path("source")).unwrap();
    assert_outcome!("connector_no_manifest", project.rapidbyte(["run", "pipeline.yaml"]).run().expect(5));

    let project = Project::new();
    project.write("pipeline.yaml", GOOD.replace("./source", "./source.wasm"));
    project.write("source.wasm", b"this is not WebAssembly");
    assert_outcome!("connector_no_component", project.rapidbyte(["run", "pipeline.yaml"]).run().expect(5));

    let project = Project::new();
    project.write("pipeline.yaml", GOOD.replace("./source", "./source.wasm"));
    // A core module: the first eight bytes of every one.
    project.write("source.wasm", b"\0asm\x01\0\0\0");
    assert_outcome!("connector_a_module", project.rapidbyte(["check", "pipeline.yaml"]).run().expect(5));
}

#[test]
fn crates_that_do_not_build() {
    let project = Project::new();
    assert_outcome!(
        "build_nothing_there",
        project.rapidbyte(["connector", "build", "nowhere"]).run().expect(5)
    );

    const MANIFEST: &str = "name: source-broken\nversion: 0.1.0\nrole: source\ndescription: Does not compile\n\
        author: Tests\nlicense: Apache-2.0\ntier: community\nwasm: { entrypoint: source_broken.wasm, target: wasm32-wasip2, contract: 4.0.0 }\n\
        capabilities: { host_functions: [arrow_ipc] }\nstreams: discovery\nsync_modes: [full_refresh]\n";
    project.write("no-crate/rapidbyte-plugin.yaml", MANIFEST);
    assert_outcome!("build_no_crate", project.rapidbyte(["connector", "build", "no-crate"]).run().expect(5));

    project.write("broken/rapidbyte-plugin.yaml", MANIFEST);
    project.write(
        "broken/Cargo.toml",
        "[package]\nname = \"source-broken\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n[workspace]\n",
    );
    project.write("broken/src/lib.rs", "pub fn broken() -> u32 { \"text\" }\n");
    let build = || {
        project.rapidbyte(["connector", "build", "broken"]).env("CARGO_TARGET_DIR", project.path("target"))
    };
    assert_outcome!("build_broken", build().run().expect(5));
    let quiet = project
        .rapidbyte(["connector", "build", "broken", "--quiet"])
        .env("CARGO_TARGET_DIR", project.path("target"));
    let quiet = quiet.run().expect(5);
    assert!(quiet.stderr.contains("mismatched types"), "--quiet still says why:\n{}", quiet.stderr);

    project.write("broken/src/lib.rs", "pub fn harmless() {}\n");
    assert_outcome!("build_no_connector", build().run().expect(5));

    project.write("wrong/rapidbyte-plugin.yaml", MANIFEST.replace("role: source", "role: sauce"));
    assert_outcome!(
        "build_wrong_manifest",
        project.rapidbyte(["connector", "build", "wrong"]).run().expect(3)
    );
}
