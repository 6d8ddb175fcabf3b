//! Scaffolded projects, made by the binary alone: each is tested, built and run as it comes, twice, and then with something
//! new. What cannot be scaffolded says why.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{FixtureServer, Invocation, Project, Scaffolded};

/// A scaffolded project, and the folder that it is built in while this test has it.
struct Scaffold {
    project: Project,
    target: Scaffolded,
    name: &'static str,
}

impl Scaffold {
    /// Scaffolds a project, runs its unit tests and builds its component.
    fn make(name: &'static str) -> Self {
        let scaffold = Scaffold { project: Project::new(), target: Scaffolded::lock(), name };
        let outcome = scaffold.rapidbyte(&["connector", "scaffold", "--name", name]).run().expect(0);
        assert_eq!(outcome.stdout, format!("{name}\n"));
        scaffold.cargo(&["fmt", "--check"]);
        let said = scaffold.cargo(&["test"]);
        let passed =
            said.lines().filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next());
        let passed: u32 = passed.map(|number| number.parse::<u32>().expect("a number")).sum();
        assert!(passed >= 2, "{said}");
        let built = scaffold.rapidbyte(&["connector", "build", name]).run().expect(0);
        assert!(Path::new(built.stdout.trim()).is_file(), "{}", built.text());
        scaffold
    }

    fn rapidbyte(&self, arguments: &[&str]) -> Invocation {
        self.project.rapidbyte(arguments).building_in(&self.target)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(self.project.path(self.name));
        self.target.set(&mut command);
        command
    }

    /// Cargo in the project, as its README says; answers its stdout.
    fn cargo(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("cargo starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Holds the project's component to the contract: no clause is broken, nor one that only warns.
    fn conforms(&self, environment: &[(&str, &str)], flags: &[&str]) {
        let arguments = ["connector", "test", self.name, "--format", "json"];
        let mut command = self.rapidbyte(&[&arguments, flags].concat());
        for (name, value) in environment {
            command = command.env(name, value);
        }
        let outcome = command.run();
        assert_eq!(outcome.status.code(), Some(0), "{}", outcome.text());
        let report: Value = serde_json::from_str(&outcome.json()).expect("a report");
        let outcomes = report["outcomes"].as_array().expect("outcomes");
        let count = |word: &str| outcomes.iter().filter(|outcome| outcome["verdict"] == word).count();
        assert_eq!((count("failed"), count("exempt")), (0, 0), "{report:#}");
        assert!(count("passed") > outcomes.len() / 2, "{report:#}");
    }

    /// Runs the pipeline that the project brings; answers how many records were written.
    fn run(&self, environment: &[(&str, &str)]) -> u64 {
        self.run_with(environment, &[])
    }

    fn run_with(&self, environment: &[(&str, &str)], flags: &[&str]) -> u64 {
        let pipeline = format!("{}/pipeline.yaml", self.name);
        let arguments = ["run", &pipeline, "--format", "json"];
        let mut command = self.rapidbyte(&[&arguments, flags].concat());
        for (name, value) in environment {
            command = command.env(name, value);
        }
        let outcome = command.run().expect(0);
        let report: Value = serde_json::from_str(&outcome.json()).expect("a report");
        report["streams"][0]["records_written"].as_u64().expect("a number")
    }

    /// Every row in the files of a stream that the pipeline wrote.
    fn rows(&self, stream: &str) -> Vec<Value> {
        let folder = self.project.path(self.name).join("out").join(stream);
        let entries = std::fs::read_dir(folder).expect("the stream's folder");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        let texts: Vec<String> =
            files.iter().map(|file| std::fs::read_to_string(file).expect("a file")).collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn append(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).expect("a fixture");
    assert!(text.trim_end().ends_with(from), "{text}");
    let end = text.trim_end().len() - from.len();
    std::fs::write(path, format!("{}{to}\n", &text[..end])).expect("a fixture");
}

#[test]
fn a_source_conforms_and_moves_only_what_is_new() {
    let source = Scaffold::make("source-issues");
    let server =
        FixtureServer::start(&mut source.command(&["run", "--quiet", "--example", "fixture_server"]));
    let server_url = server.url.clone();
    let at = [("API_URL", server_url.as_str())];
    let cassette = "source-issues/fixtures/cassette";
    source.conforms(&at, &["--record", cassette]);
    let recorded = source.run_with(&at, &["--record", "cassette"]);
    assert_eq!((recorded, source.run(&at)), (7, 0));
    append(
        &source.project.path("source-issues/fixtures/issues.json"),
        "\n]",
        ",\n{ \"id\": 108, \"title\": \"New\", \"state\": \"open\", \"points\": null, \"seq\": 8 }\n]",
    );
    assert_eq!(source.run(&at), 1);
    let rows = source.rows("issues");
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_i64()).collect();
    assert_eq!(ids, (101..=108).map(Some).collect::<Vec<_>>());
    assert_eq!(rows[3]["title"], "Umlauts in names: Jürgen");
    assert_eq!((&rows[1]["points"], &rows[2]["points"]), (&0.5.into(), &Value::Null));

    // Without the API, the suite with its faults, and the pipeline from the beginning.
    drop(server);
    source.conforms(&at, &["--replay", cassette]);
    for folder in ["out", ".rapidbyte"] {
        std::fs::remove_dir_all(source.project.path("source-issues").join(folder)).expect("it is there");
    }
    assert_eq!(source.run_with(&at, &["--replay", "cassette"]), 7);
    assert_eq!(source.rows("issues"), rows[..7].to_vec());
}

#[test]
fn a_destination_conforms_and_writes_each_row_once() {
    let destination = Scaffold::make("dest-folder");
    destination.conforms(&[], &[]);
    assert_eq!((destination.run(&[]), destination.run(&[])), (3, 0));
    let fixture = destination.project.path("dest-folder/fixtures/customers.jsonl");
    append(&fixture, "", "\n{\"id\":4,\"name\":\"Edsger\",\"email\":\"e@example.com\",\"score\":1.5}");
    assert_eq!(destination.run(&[]), 1);
    let rows = destination.rows("customers");
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["Ada", "Grace", "Jürgen", "Edsger"]);
    assert_eq!((&rows[2]["email"], &rows[0]["score"]), (&Value::Null, &9.5.into()));
}

#[test]
fn a_transform_conforms_and_changes_its_column() {
    let transform = Scaffold::make("transform-tidy");
    transform.conforms(&[], &[]);
    assert_eq!((transform.run(&[]), transform.run(&[])), (3, 0));
    let emails: Vec<_> = transform.rows("customers").iter().map(|row| row["email"].clone()).collect();
    assert_eq!(emails, [Value::from("ada@example.com"), "grace@example.com".into(), Value::Null]);
}

#[test]
fn names_that_would_not_do() {
    let project = Project::new();
    let scaffold = |arguments: &[&str]| {
        let arguments = ["connector", "scaffold"].iter().chain(arguments).copied();
        project.rapidbyte(arguments).run().expect(2)
    };
    assert_outcome!("scaffold_name_case", scaffold(&["--name", "Source_Jira"]));
    assert_outcome!("scaffold_name_no_role", scaffold(&["--name", "jira"]));
    assert_outcome!(
        "scaffold_name_other_role",
        scaffold(&["--name", "source-jira", "--role", "destination"])
    );
    assert_outcome!("scaffold_name_keyword", scaffold(&["--name", "fn", "--role", "transform"]));
    assert_outcome!("scaffold_name_path", scaffold(&["--name", "../source-jira"]));
    assert_outcome!("scaffold_name_empty", scaffold(&["--name", ""]));
    assert_outcome!("scaffold_no_name", scaffold(&[]));
    assert_outcome!("scaffold_no_name_json", scaffold(&["--format", "json"]));
    let language = scaffold(&["--name", "source-jira", "--lang", "cobol"]);
    assert!(language.stderr.contains("possible values: rust"), "{}", language.text());
    assert_eq!(std::fs::read_dir(project.root()).expect("the folder").count(), 0, "nothing was made");
}

#[test]
fn nothing_is_overwritten() {
    let project = Project::new();
    project.write("source-jira/notes.txt", "mine");
    let outcome = project.rapidbyte(["connector", "scaffold", "--name", "source-jira"]).run().expect(2);
    assert_outcome!("scaffold_folder_exists", outcome);
    project.write("file", "mine");
    let outcome = project
        .rapidbyte(["connector", "scaffold", "--name", "source-jira", "--path", "file"])
        .run()
        .expect(2);
    assert_outcome!("scaffold_file_exists", outcome);
    assert_eq!(std::fs::read_to_string(project.path("source-jira/notes.txt")).expect("there"), "mine");
    assert_eq!(std::fs::read_to_string(project.path("file")).expect("there"), "mine");
}

#[test]
fn an_empty_folder_is_filled_and_everything_is_named() {
    let project = Project::new();
    std::fs::create_dir_all(project.path("connectors/jira")).expect("a folder");
    assert!(!project.home().join(".rapidbyte/sdk").exists(), "the binary alone has to do");
    let arguments =
        ["connector", "scaffold", "--name", "jira", "--role", "source", "--path", "connectors/jira"];
    let outcome = project.rapidbyte(arguments.into_iter().chain(["--format", "json"])).run().expect(0);
    let report: Value = serde_json::from_str(&outcome.json()).expect("a report");
    assert_eq!((&report["name"], &report["role"]), (&"jira".into(), &"source".into()));
    for file in report["files"].as_array().expect("files") {
        assert!(project.path("connectors/jira").join(file.as_str().expect("a path")).is_file(), "{file}");
    }
    let sdk = project.rapidbyte(["connector", "sdk"]).run().expect(0);
    assert_eq!(sdk.stdout.trim(), report["sdk"]);
    assert!(Path::new(sdk.stdout.trim()).starts_with(project.home().join(".rapidbyte/sdk")));
    assert!(Path::new(sdk.stdout.trim()).join("wit/rapidbyte-connector.wit").is_file());
    let manifest = std::fs::read_to_string(project.path("connectors/jira/Cargo.toml")).expect("a manifest");
    assert!(manifest.contains(sdk.stdout.trim()), "{manifest}");
}

/// Runs the binary on a terminal of its own, with these lines typed; answers all that is on the screen.
#[cfg(target_os = "linux")]
fn on_a_terminal(project: &Project, arguments: &str, typed: &str) -> (Option<i32>, String) {
    use std::io::Write;

    let command = format!("stty -echo; '{}' {arguments}", support::RAPIDBYTE);
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    support::isolate(&mut script, &project.home());
    script.current_dir(project.root()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = script.spawn().expect("`script` of util-linux starts");
    child.stdin.take().expect("stdin is piped").write_all(typed.as_bytes()).expect("typing");
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).replace('\r', ""))
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_missing_is_asked_for_on_a_terminal() {
    let project = Project::new();
    let (code, screen) = on_a_terminal(&project, "connector scaffold", "Jira\njira\nsink\ndestination\n");
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("name (like `source-jira`): "), "{screen}");
    assert!(screen.contains("`Jira` cannot name a connector"), "{screen}");
    assert!(screen.contains("role (source, destination, transform): "), "{screen}");
    assert!(screen.contains("`sink` is none of"), "{screen}");
    let manifest = project.path("jira/rapidbyte-plugin.yaml");
    assert!(std::fs::read_to_string(manifest).expect("a project").contains("role: destination"));

    let (code, screen) = on_a_terminal(&project, "connector scaffold --name crm", "transform\n");
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains("name (like"), "{screen}");
    assert!(project.path("crm/rapidbyte-plugin.yaml").is_file());

    let (code, screen) = on_a_terminal(&project, "connector scaffold --name source-x", "");
    assert_eq!((code, screen.contains("): ")), (Some(0), false), "nothing is missing: {screen}");
    // The end of the input, as Ctrl-D gives it.
    let (code, screen) = on_a_terminal(&project, "connector scaffold", "\u{4}");
    assert_eq!(code, Some(2), "{screen}");
}
