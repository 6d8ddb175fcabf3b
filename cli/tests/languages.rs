//! Scaffolded projects in Python and JavaScript, with the tools that their README installs: each is tested natively, built,
//! held against the conformance suite and run as it comes, twice, and then with something new.

mod support;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{FixtureServer, Invocation, Project};
use xtask::guests;

/// A language, by what one types in it.
struct Language {
    tools: &'static guests::Language,
    unit_tests: &'static [&'static str],
    server: &'static [&'static str],
    /// The source file that is changed.
    connector: &'static str,
}

const PYTHON: Language = Language {
    tools: &guests::PYTHON,
    unit_tests: &["python3", "-B", "-m", "unittest"],
    server: &["python3", "-B", "fixtures/server.py"],
    connector: "src/connector.py",
};
const JAVASCRIPT: Language = Language {
    tools: &guests::JAVASCRIPT,
    unit_tests: &["node", "--test"],
    server: &["node", "fixtures/server.js"],
    connector: "src/connector.js",
};

/// Where scaffolded projects are built, those in Rust among them.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("scaffolded")
}

/// A scaffolded project with its tools.
struct Scaffolded {
    project: Project,
    language: &'static Language,
    name: &'static str,
}

impl Scaffolded {
    fn new(language: &'static Language, name: &'static str) -> Self {
        let project = Project::new();
        let scaffold = ["connector", "scaffold", "--name", name, "--lang", language.tools.name];
        let outcome =
            project.rapidbyte(scaffold).env("RAPIDBYTE_HOME", target().join("home")).run().expect(0);
        assert_eq!(outcome.stdout, format!("{name}\n"));
        let tools = support::guest_tools(language.tools);
        let link = project.path(name).join(language.tools.tools);
        std::os::unix::fs::symlink(tools.folder, link).expect("a link");
        Scaffolded { project, language, name }
    }

    /// `rapidbyte` in the project's folder.
    fn rapidbyte(&self, arguments: &[&str]) -> Invocation {
        let invocation = self.project.rapidbyte(arguments).in_folder(&self.project.path(self.name));
        // The other end of the example pipelines is a crate, locked to versions that building this binary has fetched. It
        // lies in the home, and is compiled once for all that have the same.
        let invocation = invocation.env("RAPIDBYTE_HOME", target().join("home"));
        invocation.env("CARGO_TARGET_DIR", target()).env("CARGO_NET_OFFLINE", "true")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.project.path(self.name)).stdin(Stdio::null());
        command
    }

    fn unit_tests_pass(&self) {
        let output = self.command(self.language.unit_tests).output().expect("the interpreter starts");
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        let tests = said
            .lines()
            .find_map(|line| line.strip_prefix("Ran ").or_else(|| line.strip_prefix("# tests ")))
            .and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        assert!(tests.is_some_and(|tests| tests >= 5), "{said}");
    }

    /// Builds twice: the second time nothing is to be done.
    fn builds(&self) -> Value {
        let build = || {
            let outcome = self.rapidbyte(&["connector", "build", "--format", "json"]).run().expect(0);
            serde_json::from_str::<Value>(&outcome.json()).expect("a report")
        };
        let first = build();
        assert_eq!(first["fresh"], false);
        let again = build();
        assert_eq!((&again["fresh"], &again["component_digest"]), (&true.into(), &first["component_digest"]));
        first
    }

    /// The conformance suite finds nothing.
    fn conforms(&self, url: Option<&str>) {
        let mut invocation = self.rapidbyte(&["connector", "test", "--format", "json"]);
        if let Some(url) = url {
            invocation = invocation.env("API_URL", url);
        }
        let outcome = invocation.run();
        assert_eq!(outcome.status.code(), Some(0), "{}", outcome.text());
    }

    /// Runs the pipeline that the project brings; answers how many records were written.
    fn run(&self, url: Option<&str>) -> u64 {
        let mut invocation = self.rapidbyte(&["run", "pipeline.yaml", "--format", "json"]);
        if let Some(url) = url {
            invocation = invocation.env("API_URL", url);
        }
        let report: Value = serde_json::from_str(&invocation.run().expect(0).json()).expect("a report");
        report["streams"][0]["records_written"].as_u64().expect("a number")
    }

    /// Every row in the files of a stream.
    fn rows(&self, stream: &str) -> Vec<Value> {
        let folder = self.project.path(self.name).join("out").join(stream);
        let entries = std::fs::read_dir(folder).expect("the stream's folder");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        let texts: String = files.iter().map(|file| std::fs::read_to_string(file).expect("a file")).collect();
        texts.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn append(&self, file: &str, from: &str, to: &str) {
        let path = self.project.path(self.name).join(file);
        let text = std::fs::read_to_string(&path).expect("a fixture");
        let kept = text.trim_end().strip_suffix(from).unwrap_or_else(|| panic!("{text}"));
        std::fs::write(&path, format!("{kept}{to}\n")).expect("a fixture");
    }
}

/// Held until it is dropped, also against other processes: runners start one for each test.
fn one_at_a_time(what: &str) -> File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{what}.lock"));
    let file = File::create(path).expect("a lock file");
    file.lock().expect("a lock");
    file
}

/// Building takes a processor and some memory for seconds: one after the other.
fn alone() -> File {
    one_at_a_time("languages")
}

fn source(language: &'static Language) {
    let _alone = alone();
    let scaffolded = Scaffolded::new(language, "source-jira");
    scaffolded.unit_tests_pass();
    let built = scaffolded.builds();
    assert_eq!((&built["connector"], &built["role"]), (&"source-jira@0.1.0".into(), &"source".into()));
    let server = FixtureServer::start(&mut scaffolded.command(language.server));
    let url = Some(server.url.as_str());
    scaffolded.conforms(url);
    assert_eq!((scaffolded.run(url), scaffolded.run(url)), (7, 0));
    scaffolded.append(
        "fixtures/issues.json",
        "\n]",
        ",\n{ \"id\": 108, \"title\": \"New\", \"state\": \"open\", \"points\": null, \"seq\": 8 }\n]",
    );
    assert_eq!(scaffolded.run(url), 1);
    let rows = scaffolded.rows("issues");
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_i64()).collect();
    assert_eq!(ids, (101..=108).map(Some).collect::<Vec<_>>());
    assert_eq!(rows[3]["title"], "Umlauts in names: Jürgen");
    assert_eq!((&rows[1]["points"], &rows[2]["points"]), (&0.5.into(), &Value::Null));

    // Nobody answers any more: the error is the network's, and says where.
    drop(server);
    let outcome =
        scaffolded.rapidbyte(&["run", "pipeline.yaml"]).env("API_URL", "http://127.0.0.1:9/v1").run();
    assert_ne!(outcome.status.code(), Some(0));
    assert!(outcome.stderr.contains("cannot connect to `127.0.0.1:9`"), "{}", outcome.text());

    // What does not compile says why, in the language's own words.
    let path = scaffolded.project.path("source-jira").join(language.connector);
    std::fs::write(&path, "this is { no program").expect("a source");
    let outcome = scaffolded.rapidbyte(&["connector", "build"]).run();
    assert_ne!(outcome.status.code(), Some(0));
    assert!(outcome.stderr.contains("does not compile"), "{}", outcome.text());
    assert!(outcome.stderr.to_lowercase().contains("syntax"), "{}", outcome.text());
}

fn destination(language: &'static Language) {
    let _alone = alone();
    let scaffolded = Scaffolded::new(language, "dest-folder");
    scaffolded.unit_tests_pass();
    scaffolded.conforms(None);
    assert_eq!((scaffolded.run(None), scaffolded.run(None)), (3, 0));
    let edsger = "\n{\"id\":4,\"name\":\"Edsger\",\"email\":\"e@example.com\",\"score\":1.5}";
    scaffolded.append("fixtures/customers.jsonl", "", edsger);
    assert_eq!(scaffolded.run(None), 1);
    let rows = scaffolded.rows("customers");
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["Ada", "Grace", "Jürgen", "Edsger"]);
    assert_eq!((&rows[2]["email"], &rows[0]["score"]), (&Value::Null, &9.5.into()));
}

fn transform(language: &'static Language) {
    let _alone = alone();
    let scaffolded = Scaffolded::new(language, "transform-tidy");
    scaffolded.unit_tests_pass();
    scaffolded.conforms(None);
    assert_eq!((scaffolded.run(None), scaffolded.run(None)), (3, 0));
    let rows = scaffolded.rows("customers");
    let emails: Vec<_> = rows.iter().map(|row| row["email"].as_str()).collect();
    assert_eq!(emails, [Some("ada@example.com"), Some("grace@example.com"), None]);
}

#[test]
fn a_source_in_python() {
    source(&PYTHON);
}

#[test]
fn a_destination_in_python() {
    destination(&PYTHON);
}

#[test]
fn a_transform_in_python() {
    transform(&PYTHON);
}

#[test]
fn a_source_in_javascript() {
    source(&JAVASCRIPT);
}

#[test]
fn a_destination_in_javascript() {
    destination(&JAVASCRIPT);
}

#[test]
fn a_transform_in_javascript() {
    transform(&JAVASCRIPT);
}

#[test]
fn a_missing_tool_is_named_with_what_installs_it() {
    for (language, name) in [(&PYTHON, "source-python"), (&JAVASCRIPT, "source-js")] {
        let project = Project::new();
        let scaffold = ["connector", "scaffold", "--name", name, "--lang", language.tools.name];
        project.rapidbyte(scaffold).run().expect(0);
        let outcome = project.rapidbyte(["connector", "build", name]).run();
        assert_ne!(outcome.status.code(), Some(0));
        assert!(outcome.stderr.contains("is not installed"), "{}", outcome.text());
        assert!(outcome.stderr.contains(language.tools.install), "{}", outcome.text());
    }
}
