//! What the tests of the built binary stand on: a project in a temporary folder with a home of its own, and outcomes (exit
//! code, stdout and stderr together) with everything filtered out that differs from machine to machine.

// Each test file is a crate of its own and uses its part of this.
#![allow(dead_code)]

pub mod bare;
pub mod clock;
pub mod disk;
pub mod held;
pub mod proxy;
pub mod random;
pub mod registry;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;

use xtask::guests;

/// The binary under test.
pub const RAPIDBYTE: &str = env!("CARGO_BIN_EXE_rapidbyte");

/// The repository, for its connectors and examples.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the crate lies in the repository").to_owned()
}

/// A first-party connector's crate, for `use:`.
pub fn connector_crate(name: &str) -> String {
    repository().join("connectors").join(name).display().to_string()
}

/// The folder of the first-party connectors as components (`source-postgres.wasm` …), for tests that run many pipelines and
/// need not ask Cargo each time whether something changed. `cargo xtask test` has built them; who runs a test alone gets them
/// built here.
pub fn components() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let connectors = std::fs::read_dir(repository().join("connectors")).expect("the connectors' folder");
        let crates = connectors.map(|entry| entry.expect("an entry").path());
        let folders = crates.filter(|path| path.join("rapidbyte-plugin.yaml").is_file()).map(|path| {
            let mut command = Command::new(RAPIDBYTE);
            isolate(&mut command, &home());
            let output =
                command.args(["connector", "build", "--quiet"]).arg(&path).output().expect("it starts");
            assert!(
                output.status.success(),
                "{}: {}",
                path.display(),
                String::from_utf8_lossy(&output.stderr)
            );
            let component = PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim());
            component.parent().expect("a component lies in a folder").to_owned()
        });
        folders.last().expect("there are connectors")
    };
    FOLDER.get_or_init(|| std::env::var_os(COMPONENTS).map_or_else(build, PathBuf::from)).clone()
}

/// Where `cargo xtask test` has put the components.
const COMPONENTS: &str = "RAPIDBYTE_TEST_COMPONENTS";

/// What makes components of another language. `cargo xtask test` has installed it; who runs a test alone gets it installed here.
pub fn guest_tools(language: &guests::Language) -> guests::Tools {
    let here = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest-tools");
    let folder = std::env::var_os(guests::VARIABLE).map_or_else(here, PathBuf::from);
    language.ensure(&folder).expect("the tools can be installed")
}

/// The server that stands for the API of a scaffolded source, until it is dropped.
pub struct FixtureServer {
    child: Child,
    pub url: String,
}

impl FixtureServer {
    /// Starts it on a free port, by the command that a project has for it.
    pub fn start(command: &mut Command) -> Self {
        let mut child =
            command.env("API_PORT", "0").stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        stdout.read_line(&mut line).expect("a line");
        let url = line.trim().rsplit(' ').next().expect("a URL").to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        FixtureServer { child, url }
    }
}

impl Drop for FixtureServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `RAPIDBYTE_HOME` that all tests share, for the compiled connectors in it: they are named by what they are made of, so
/// they cannot be the wrong ones. Whoever looks at state needs another.
pub fn home() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
    std::fs::create_dir_all(&home).expect("the shared home");
    home
}

/// The target folder that scaffolded projects are built in, and a `RAPIDBYTE_HOME` with their SDK, so that what they depend on
/// is compiled once for all; for one test at a time, because they overwrite each other's examples.
pub struct Scaffolded {
    folder: PathBuf,
    _lock: std::fs::File,
}

impl Scaffolded {
    /// Waits until no other test, in this or another process, has it.
    pub fn lock() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scaffolded");
        std::fs::create_dir_all(&folder).expect("the target folder");
        let lock = std::fs::File::create(folder.join(".one-test-at-a-time")).expect("a file");
        lock.lock().expect("a lock");
        Scaffolded { folder, _lock: lock }
    }

    /// Lets a command build here, with what building this very binary has fetched: everything is locked to that.
    pub fn set(&self, command: &mut Command) {
        command.env("CARGO_TARGET_DIR", &self.folder).env("CARGO_NET_OFFLINE", "true");
        command.env("RAPIDBYTE_HOME", self.folder.join("home"));
    }
}

/// A folder with pipelines and data, and a home of its own beside it.
pub struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    pub fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("rapidbyte-test-").tempdir().expect("a temporary folder");
        let project = Project { folder };
        std::fs::create_dir_all(project.root()).expect("the project's folder");
        std::fs::create_dir_all(project.home()).expect("the home folder");
        project
    }

    /// Where pipelines and data are, and where commands run.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// `$HOME`.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The state database of pipelines that do not name one.
    pub fn state(&self) -> PathBuf {
        self.home().join(".rapidbyte/state.db")
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root().join(relative)
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, relative: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("folders");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// `rapidbyte` with these arguments, in the project's folder.
    pub fn rapidbyte<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Invocation {
        let mut command = Command::new(RAPIDBYTE);
        isolate(&mut command, &self.home());
        share_compiled_code(&self.home());
        command.args(arguments).current_dir(self.root()).stdin(Stdio::null());
        Invocation { command, filters: self.filters() }
    }

    /// Places of this machine and this run, and what stands for them.
    fn filters(&self) -> Vec<(String, &'static str)> {
        let literal = |path: &Path| {
            let text = path.display().to_string();
            text.chars()
                .flat_map(|c| (!c.is_alphanumeric() && c != '/').then_some('\\').into_iter().chain([c]))
                .collect()
        };
        let mut filters: Vec<(String, &'static str)> = Vec::new();
        for folder in [self.folder.path().to_owned(), self.folder.path().canonicalize().expect("it exists")] {
            filters.push((literal(&folder.join("project")), "[PROJECT]"));
            filters.push((literal(&folder.join("home")), "[HOME]"));
        }
        filters.push((literal(&repository()), "[REPOSITORY]"));
        let patterns = [
            (r"\b[0-9a-f]{64}\b", "[DIGEST]"),
            (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
            (r"PostgreSQL \d+(\.\d+)*( \([^)]*\))?", "PostgreSQL [VERSION]"),
            // Other tests use Cargo's folders, too.
            (r"(?m)^ +Blocking waiting for file lock on .*\n", ""),
            // Marks under a path are as long as the path.
            (r"\^{30,}", "[MARKS]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[INSTANT]"),
            (r"[\d,]+ rows/s", "[RATE] rows/s"),
            // Components grow.
            (r"\d+(\.\d)? MB\b", "[SIZE]"),
            (r"\bmemory peak [\d.]+ [kMG]?B", "memory peak [SIZE]"),
            (r"\b\d+m \d\ds\b|\b\d+(\.\d+)?m?s\b", "[TIME]"),
            (r#""(seconds|rows_per_second|[a-z_]*memory_peak_bytes)":[\d.]+"#, r#""$1":"[NUMBER]""#),
        ];
        filters.extend(patterns.map(|(pattern, stands)| (pattern.to_owned(), stands)));
        filters
    }
}

/// The environment of a fresh user; only the Rust toolchain stays the developer's own.
pub fn isolate(command: &mut Command, home: &Path) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("RAPIDBYTE_")
            || text.starts_with("PG")
            || text.starts_with("OTEL_")
            || text == "TRACEPARENT"
            || text == "NO_COLOR"
            || text == "DOCKER_CONFIG"
            || text == "CLICOLOR_FORCE"
        {
            command.env_remove(&name);
        }
    }
    let real_home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    for (variable, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let set = std::env::var_os(variable).unwrap_or_else(|| real_home.join(folder).into_os_string());
        command.env(variable, set);
    }
    command.env("HOME", home).env("CARGO_TERM_COLOR", "never");
}

/// Lets a home use the compiled connectors of [`home`].
fn share_compiled_code(own: &Path) {
    let shared = home().join("cache");
    let link = own.join(".rapidbyte/cache");
    if link.exists() {
        return;
    }
    std::fs::create_dir_all(&shared).expect("the shared cache");
    std::fs::create_dir_all(own.join(".rapidbyte")).expect("the folder in the home");
    std::os::unix::fs::symlink(&shared, &link).expect("a link");
}

/// A command that is about to run.
pub struct Invocation {
    command: Command,
    filters: Vec<(String, &'static str)>,
}

impl Invocation {
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it in another folder than the project's.
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Lets it build in the folder that scaffolded projects share.
    pub fn building_in(mut self, target: &Scaffolded) -> Self {
        target.set(&mut self.command);
        self
    }

    /// Gives it this on stdin.
    pub fn stdin(mut self, text: &str) -> Self {
        let mut file = tempfile::tempfile().expect("a temporary file");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("it is written");
        std::io::Seek::rewind(&mut file).expect("it is rewound");
        self.command.stdin(file);
        self
    }

    /// Something else that differs from run to run, as a regular expression.
    pub fn filter(mut self, pattern: &str, stands: &'static str) -> Self {
        self.filters.push((pattern.to_owned(), stands));
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Outcome {
        let output = self.command.output().expect("the binary starts");
        Outcome::new(output, self.filters)
    }

    /// Starts it with its output kept for [`Running::wait`].
    pub fn start(mut self) -> Running {
        let child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        Running { child, stderr, said: String::new(), filters: self.filters }
    }
}

/// A command that is running.
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What was read of stderr so far.
    said: String,
    filters: Vec<(String, &'static str)>,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: `-INT`, `-TERM`, `-KILL`.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("`kill` starts").success(), "the process is gone already");
    }

    /// What was read of stderr so far.
    pub fn said(&self) -> &str {
        &self.said
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Returns once it has said this on stderr.
    pub fn wait_until_it_says(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            let read = self.stderr.read_line(&mut line).expect("stderr is UTF-8");
            self.said.push_str(&line);
            assert!(read > 0, "it ended without saying `{text}`:\n{}", self.said);
        }
    }

    /// Waits until it ends. For commands that say little on stdout: nobody reads it meanwhile.
    pub fn wait(mut self) -> Outcome {
        self.stderr.read_to_string(&mut self.said).expect("stderr is UTF-8");
        let mut output = self.child.wait_with_output().expect("it ends");
        output.stderr = self.said.into_bytes();
        Outcome::new(output, self.filters)
    }
}

/// How a command ended.
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub filters: Vec<(String, &'static str)>,
}

impl Outcome {
    fn new(output: Output, filters: Vec<(String, &'static str)>) -> Self {
        Outcome {
            status: output.status,
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
            filters,
        }
    }

    /// Exit code, stdout and stderr in one text.
    pub fn text(&self) -> String {
        let exit = self.status.code().map_or("by a signal".to_owned(), |code| code.to_string());
        format!("exit: {exit}\n----- stdout -----\n{}----- stderr -----\n{}", self.stdout, self.stderr)
    }

    /// The result of `--format json`.
    pub fn json(&self) -> String {
        assert_eq!(self.stdout.lines().count(), 1, "one JSON document on stdout:\n{}", self.text());
        self.stdout.clone()
    }

    /// Fails with all output unless it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{}", self.text());
        self
    }
}

/// Compares exit code, stdout and stderr with the snapshot of this name.
#[macro_export]
macro_rules! assert_outcome {
    ($name:literal, $outcome:expr) => {{
        let outcome: $crate::support::Outcome = $outcome;
        let mut settings = insta::Settings::clone_current();
        settings.set_omit_expression(true);
        settings.set_prepend_module_to_snapshot(false);
        for (pattern, stands) in &outcome.filters {
            settings.add_filter(pattern, *stands);
        }
        settings.bind(|| insta::assert_snapshot!($name, outcome.text()));
    }};
}
