//! Scaffolded projects, made by the binary alone: each is tested, built and run as it comes, twice, and then with something
//! new. What cannot be scaffolded says why.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::{Invocation, Outcome, Project};

/// Shared by all scaffolded projects, so that the SDK is compiled once for each target.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("scaffolded")
}

fn in_home(project: &Project, arguments: &[&str]) -> Invocation {
    project
        .rapidbyte(arguments)
        .env("CARGO_TARGET_DIR", target().as_os_str())
        // Everything is locked to versions that building this very binary has fetched.
        .env("CARGO_NET_OFFLINE", "true")
}

/// Cargo in a scaffolded project, as its README says.
fn cargo(project: &Project, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(project.path(name));
    command.env("CARGO_TARGET_DIR", target()).env("CARGO_NET_OFFLINE", "true");
    command
}

/// Scaffolds a project into a home that has nothing, runs its unit tests and builds its component.
fn scaffold(name: &str) -> Project {
    let project = Project::new();
    assert!(!project.home().join(".rapidbyte/sdk").exists());
    let outcome = in_home(&project, &["connector", "scaffold", "--name", name]).run().expect(0);
    assert_eq!(outcome.stdout, format!("{name}\n"));
    let tests = cargo(&project, name, &["test"]).output().expect("cargo starts");
    let said = String::from_utf8_lossy(&tests.stdout);
    assert!(tests.status.success(), "{said}\n{}", String::from_utf8_lossy(&tests.stderr));
    let passed = said.lines().filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next());
    let passed: u32 = passed.map(|number| number.parse::<u32>().expect("a number")).sum();
    assert!(passed >= 2, "{said}");
    let built = in_home(&project, &["connector", "build", name]).run().expect(0);
    assert!(Path::new(built.stdout.trim()).is_file(), "{}", built.text());
    project
}

/// Runs the pipeline that a project brings; answers how many records were written.
fn run(project: &Project, name: &str, url: Option<&str>) -> u64 {
    let pipeline = format!("{name}/pipeline.yaml");
    let mut command = in_home(project, &["run", &pipeline, "--format", "json"]);
    if let Some(url) = url {
        command = command.env("API_URL", url);
    }
    let outcome: Outcome = command.run().expect(0);
    let report: Value = serde_json::from_str(&outcome.json()).expect("a report");
    report["streams"][0]["records_written"].as_u64().expect("a number")
}

/// Every row in the files of a stream.
fn rows(project: &Project, stream: &str) -> Vec<Value> {
    let entries = std::fs::read_dir(project.path(stream)).expect("the stream's folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("a file"));
    texts
        .flat_map(|text| {
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<_>>()
        })
        .collect()
}

/// The fixture server, until it is dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(project: &Project, name: &str) -> Self {
        let mut command = cargo(project, name, &["run", "--quiet", "--example", "fixture_server", "0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("cargo starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        stdout.read_line(&mut line).expect("a line");
        let url = line.trim().rsplit(' ').next().expect("a URL").to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Server { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn append(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).expect("a fixture");
    assert!(text.trim_end().ends_with(from), "{text}");
    let end = text.trim_end().len() - from.len();
    std::fs::write(path, format!("{}{to}\n", &text[..end])).expect("a fixture");
}

#[test]
fn a_source_is_tested_built_and_moves_only_what_is_new() {
    let name = "source-jira";
    let project = scaffold(name);
    let server = Server::start(&project, name);
    assert_eq!(run(&project, name, Some(&server.url)), 7);
    assert_eq!(run(&project, name, Some(&server.url)), 0);
    append(
        &project.path("source-jira/fixtures/issues.json"),
        "\n]",
        ",\n{ \"id\": 108, \"title\": \"New\", \"state\": \"open\", \"points\": null, \"seq\": 8 }\n]",
    );
    assert_eq!(run(&project, name, Some(&server.url)), 1);
    let rows = rows(&project, "source-jira/out/issues");
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_i64()).collect();
    assert_eq!(ids, (101..=108).map(Some).collect::<Vec<_>>());
    assert_eq!(rows[3]["title"], "Umlauts in names: Jürgen");
    assert_eq!((&rows[1]["points"], &rows[2]["points"]), (&0.5.into(), &Value::Null));
}

#[test]
fn a_destination_is_tested_built_and_writes_each_row_once() {
    let name = "dest-folder";
    let project = scaffold(name);
    assert_eq!((run(&project, name, None), run(&project, name, None)), (3, 0));
    let fixture = project.path("dest-folder/fixtures/customers.jsonl");
    append(&fixture, "", "\n{\"id\":4,\"name\":\"Edsger\",\"email\":\"e@example.com\",\"score\":1.5}");
    assert_eq!(run(&project, name, None), 1);
    let rows = rows(&project, "dest-folder/out/customers");
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["Ada", "Grace", "Jürgen", "Edsger"]);
    assert_eq!((&rows[2]["email"], &rows[0]["score"]), (&Value::Null, &9.5.into()));
}

#[test]
fn a_transform_is_tested_built_and_changes_its_column() {
    let name = "transform-tidy";
    let project = scaffold(name);
    assert_eq!((run(&project, name, None), run(&project, name, None)), (3, 0));
    let rows = rows(&project, "transform-tidy/out/customers");
    let emails: Vec<_> = rows.iter().map(|row| row["email"].as_str()).collect();
    assert_eq!(emails, [Some("ada@example.com"), Some("grace@example.com"), None]);
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
    assert_outcome!("scaffold_language", scaffold(&["--name", "source-jira", "--lang", "cobol"]));
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
    let manifest = std::fs::read_to_string(project.path("connectors/jira/Cargo.toml")).expect("a manifest");
    assert!(manifest.contains(sdk.stdout.trim()), "{manifest}");
}
