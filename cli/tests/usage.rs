//! Command lines and environments that make no sense, and the help that prevents them. Needs no connector and no server.

mod support;

use support::Project;

/// Every command there is, for what holds for all.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["init"],
    &["run"],
    &["doctor"],
    &["completions"],
    &["check"],
    &["schema"],
    &["schema", "discover"],
    &["schema", "inspect"],
    &["schema", "pipeline"],
    &["connector"],
    &["connector", "build"],
    &["connector", "scaffold"],
    &["connector", "sdk"],
    &["connector", "test"],
    &["connector", "publish"],
    &["connector", "yank"],
    &["key"],
    &["key", "generate"],
    &["registry", "index"],
    &["connectors"],
    &["connectors", "add"],
    &["connectors", "audit"],
    &["connectors", "bundle"],
    &["connectors", "compile"],
    &["connectors", "gc"],
    &["connectors", "inspect"],
    &["connectors", "list"],
    &["connectors", "remove"],
    &["connectors", "search"],
    &["connectors", "test"],
    &["connectors", "update"],
    &["connectors", "verify"],
    &["registry"],
    &["registry", "add"],
    &["registry", "list"],
    &["registry", "login"],
    &["registry", "logout"],
    &["registry", "remove"],
    &["registry", "serve"],
    &["state"],
    &["state", "show"],
    &["state", "reset"],
    &["state", "runs"],
    &["state", "export"],
    &["state", "import"],
    &["state", "migrate"],
    &["dlq"],
    &["dlq", "list"],
    &["dlq", "show"],
    &["dlq", "forget"],
];

#[test]
fn every_command_has_help_and_every_verb_examples() {
    let project = Project::new();
    for command in COMMANDS {
        let outcome = project.rapidbyte(command.iter().copied().chain(["--help"])).run().expect(0);
        assert_eq!(outcome.stderr, "", "{command:?}");
        let is_group =
            matches!(command, ["schema" | "connector" | "connectors" | "key" | "registry" | "state" | "dlq"]);
        assert!(
            is_group || outcome.stdout.contains("Examples:\n  rapidbyte "),
            "{command:?}:\n{}",
            outcome.stdout
        );
    }
}

#[test]
fn help() {
    let project = Project::new();
    assert_outcome!("help", project.rapidbyte(["--help"]).run());
    assert_outcome!("help_run", project.rapidbyte(["run", "--help"]).run());
    assert_outcome!("help_state_reset", project.rapidbyte(["state", "reset", "--help"]).run());
}

#[test]
fn wrong_command_lines() {
    let project = Project::new();
    let cases: &[(&str, &[&str])] = &[
        ("usage_nothing", &[]),
        ("usage_unknown_command", &["rnu", "x.yaml"]),
        ("usage_unknown_flag", &["run", "x.yaml", "--strem", "orders"]),
        ("usage_no_pipeline", &["run"]),
        ("usage_no_stream", &["schema", "inspect", "x.yaml"]),
        ("usage_wrong_format", &["check", "x.yaml", "--format", "xml"]),
        ("usage_quiet_and_verbose", &["check", "x.yaml", "-q", "-v"]),
        ("usage_reset_what", &["state", "reset", "x.yaml"]),
        ("usage_reset_both", &["state", "reset", "x.yaml", "--all", "--stream", "a"]),
        ("usage_release_and_debug", &["connector", "build", "--release", "--debug"]),
        ("usage_connectors_nothing", &["connectors", "add"]),
        ("usage_connectors_name", &["connectors", "add", "Source-Jira"]),
        ("usage_connectors_version", &["connectors", "add", "source-jira@latest"]),
        ("usage_update_what", &["connectors", "update"]),
        ("usage_publish_no_registry", &["connector", "publish"]),
        ("usage_publish_target", &["connector", "publish", "--registry", "dir:x", "--target", "amiga"]),
        ("usage_yank_version", &["connector", "yank", "source-a", "--registry", "dir:x"]),
        ("usage_index_valid_for", &["registry", "index", "dir:x", "--valid-for", "soon"]),
        ("usage_runs_not_a_number", &["state", "show", "x.yaml", "--runs", "many"]),
    ];
    for (name, arguments) in cases {
        let outcome = project.rapidbyte(*arguments).run().expect(2);
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(*name, outcome.text());
        });
    }
}

#[test]
fn wrong_command_lines_are_json_where_that_is_asked_for() {
    let project = Project::new();
    assert_outcome!("usage_json", project.rapidbyte(["run", "--format", "json", "--strem"]).run().expect(2));
    assert_outcome!("usage_json_missing", project.rapidbyte(["run", "--format", "json"]).run().expect(2));
    assert_outcome!("usage_json_equals", project.rapidbyte(["--format=json", "nonsense"]).run().expect(2));
}

#[test]
fn wrong_environments() {
    let project = Project::new();
    let run = || project.rapidbyte(["run", "x.yaml"]);
    assert_outcome!("environment_log", run().env("RAPIDBYTE_LOG", "rapidbyte=loud").run().expect(2));
    assert_outcome!("environment_log_format", run().env("RAPIDBYTE_LOG_FORMAT", "xml").run().expect(2));
    assert_outcome!("environment_kill_at", run().env("RAPIDBYTE_KILL_AT", "somewhere").run().expect(2));
    assert_outcome!("environment_no_home", run().env_remove("HOME").run().expect(4));
}

#[test]
fn the_version_is_said() {
    let project = Project::new();
    let outcome = project.rapidbyte(["--version"]).run().expect(0);
    assert_eq!(outcome.stdout, format!("rapidbyte {}\n", env!("CARGO_PKG_VERSION")));
}
