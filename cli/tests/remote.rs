//! Databases that cannot be reached, refuse, or do not have what is asked for: each is said with the right exit code, by the
//! command that finds it, and without the password.

mod support;

use serde_json::{Value, json};
use support::{Invocation, Project, components};
use xtask::postgres::{Durability, PASSWORD, Server, USER};

struct Setup {
    server: Server,
    project: Project,
}

impl Setup {
    fn new() -> Self {
        let server = Server::start(Durability::Relaxed).unwrap();
        server.sql("postgres", "CREATE DATABASE src").unwrap();
        server.sql("postgres", "CREATE DATABASE dst").unwrap();
        server
            .sql("src", "CREATE TABLE orders (id int PRIMARY KEY, note text); INSERT INTO orders VALUES (1, 'a'), (2, NULL)")
            .unwrap();
        Setup { server, project: Project::new() }
    }

    fn document(&self) -> Value {
        let connection = |database: &str| json!({ "host": self.server.host(), "port": self.server.port(), "user": USER, "password": "${PASSWORD}", "database": database });
        json!({
            "version": "1.0",
            "pipeline": "orders",
            "source": {
                "use": components().join("source-postgres.wasm"),
                "config": connection("src"),
                "streams": [{ "name": "orders", "sync_mode": "full_refresh" }],
            },
            "destination": {
                "use": components().join("dest-postgres.wasm"),
                "config": connection("dst"),
                "write_mode": "append",
            },
        })
    }

    /// A command over the document with something in it changed.
    fn with(&self, command: &[&str], change: impl FnOnce(&mut Value)) -> Invocation {
        let mut document = self.document();
        change(&mut document);
        self.project.write("pipeline.yaml", serde_json::to_string_pretty(&document).unwrap());
        self.project.rapidbyte(command).env("PASSWORD", PASSWORD).filter(r"\bport \d+", "port [PORT]")
    }
}

/// A port that nobody listens on.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn what_is_wrong_with_a_database_is_said() {
    let setup = Setup::new();
    const RUN: &[&str] = &["run", "pipeline.yaml"];
    const CHECK: &[&str] = &["check", "pipeline.yaml"];
    const DISCOVER: &[&str] = &["schema", "discover", "pipeline.yaml"];

    let nobody = |document: &mut Value| document["source"]["config"]["port"] = closed_port().into();
    assert_outcome!("remote_unreachable_run", setup.with(RUN, nobody).run().expect(6));
    assert_outcome!("remote_unreachable_check", setup.with(CHECK, nobody).run().expect(6));
    assert_outcome!("remote_unreachable_discover", setup.with(DISCOVER, nobody).run().expect(6));

    let with_wrong_password = |side: &str| {
        let wrong = "not the password at all";
        let outcome = setup.with(RUN, |document| document[side]["config"]["password"] = "${WRONG}".into());
        let outcome = outcome.env("WRONG", wrong).run().expect(6);
        assert!(!outcome.text().contains(wrong), "{}", outcome.text());
        outcome
    };
    assert_outcome!("remote_password_source", with_wrong_password("source"));
    assert_outcome!("remote_password_destination", with_wrong_password("destination"));

    let no_database = |document: &mut Value| document["destination"]["config"]["database"] = "nowhere".into();
    assert_outcome!("remote_no_database", setup.with(CHECK, no_database).run());

    let no_stream = |document: &mut Value| document["source"]["streams"][0]["name"] = "order".into();
    assert_outcome!("remote_no_stream_run", setup.with(RUN, no_stream).run().expect(3));
    assert_outcome!("remote_no_stream_check", setup.with(CHECK, no_stream).run().expect(3));

    let no_column = |document: &mut Value| document["source"]["streams"][0]["columns"] = json!(["id", "nte"]);
    assert_outcome!("remote_no_column", setup.with(RUN, no_column).run().expect(3));

    let no_key = |document: &mut Value| {
        document["destination"]["write_mode"] = "upsert".into();
        document["destination"]["primary_key"] = json!(["ident"]);
    };
    assert_outcome!("remote_no_key", setup.with(RUN, no_key).run().expect(3));

    let unknown_config = |document: &mut Value| document["source"]["config"]["pasword"] = "x".into();
    assert_outcome!("remote_config_unknown", setup.with(CHECK, unknown_config).run().expect(3));
    let wrong_config = |document: &mut Value| document["source"]["config"]["port"] = "many".into();
    assert_outcome!("remote_config_type", setup.with(RUN, wrong_config).run().expect(3));
    let missing_config = |document: &mut Value| {
        document["destination"]["config"].as_object_mut().unwrap().remove("database");
    };
    assert_outcome!("remote_config_missing", setup.with(RUN, missing_config).run().expect(3));
    let swapped = |document: &mut Value| document["source"]["use"] = document["destination"]["use"].clone();
    assert_outcome!(
        "remote_wrong_role",
        setup
            .with(RUN, swapped)
            .filter(r#""/[^"]*/dest-postgres"#, "\"[COMPONENTS]/dest-postgres")
            .run()
            .expect(3)
    );
    assert_outcome!(
        "remote_inspect_no_stream",
        setup.with(&["schema", "inspect", "pipeline.yaml", "--stream", "order"], |_| {}).run().expect(2)
    );
}

#[test]
fn what_a_good_pipeline_answers() {
    let setup = Setup::new();
    let command = |command: &[&str]| setup.with(command, |_| {});
    assert_outcome!("good_check", command(&["check", "pipeline.yaml"]).run().expect(0));
    assert_outcome!("good_discover", command(&["schema", "discover", "pipeline.yaml"]).run().expect(0));
    assert_outcome!(
        "good_discover_json",
        command(&["schema", "discover", "pipeline.yaml", "--format", "json"]).run().expect(0)
    );
    assert_outcome!(
        "good_inspect",
        command(&["schema", "inspect", "pipeline.yaml", "--stream", "orders"]).run().expect(0)
    );
    assert_outcome!("good_state_before", command(&["state", "show", "pipeline.yaml"]).run().expect(0));
    assert_outcome!("good_run", command(&["run", "pipeline.yaml"]).run().expect(0));
    assert_eq!(setup.server.sql("dst", "SELECT * FROM orders ORDER BY id").unwrap(), "1|a\n2|");
    assert_outcome!("good_state_after", command(&["state", "show", "pipeline.yaml"]).run().expect(0));
    assert_outcome!(
        "good_reset",
        command(&["state", "reset", "pipeline.yaml", "--stream", "orders"]).run().expect(0)
    );
    assert_outcome!("good_state_reset", command(&["state", "show", "pipeline.yaml"]).run().expect(0));
    let quiet = command(&["run", "pipeline.yaml", "--quiet"]).run().expect(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_outcome!("good_run_json", command(&["run", "pipeline.yaml", "--format", "json"]).run().expect(0));
}

#[test]
fn a_password_is_nowhere_in_the_output() {
    let setup = Setup::new();
    for command in [
        &["check", "pipeline.yaml", "-vv"][..],
        &["run", "pipeline.yaml", "-vv"],
        &["run", "pipeline.yaml", "--format", "json"],
    ] {
        let outcome = setup.with(command, |_| {}).env("RAPIDBYTE_LOG", "trace").run().expect(0);
        assert!(!outcome.text().contains(PASSWORD), "{command:?}:\n{}", outcome.text());
    }
}
