//! A throw-away PostgreSQL server: a data folder of its own, a free port of 127.0.0.1, gone when dropped.
//! It can be killed and started again on the same data, which is what crash tests do to it.

use std::ffi::OsStr;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::binaries;

/// The superuser of every server.
pub const USER: &str = "rapidbyte";
/// Its password. Long enough to be searched for in logs.
pub const PASSWORD: &str = "correct horse battery staple";

/// How long a server may take to start, recover or stop before that is an error. Far more than it needs.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is asked meanwhile.
const POLL: Duration = Duration::from_millis(20);
/// Another process can take the free port before the server does.
const START_ATTEMPTS_MAX: u32 = 5;
/// The unit of `/proc/<pid>/stat`; a constant of the Linux interface.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// PostgreSQL's own settings: every commit reaches the disk.
    Ordinary,
    /// Commits survive every crash of processes but not of the machine. For tests: they are not about disks.
    Relaxed,
}

/// How a server is told to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Clients are disconnected, their transactions rolled back, the data is left clean.
    Fast,
    /// As if the power failed: the next start recovers from the log.
    Immediate,
}

pub struct Server {
    bin: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<(String, String)>,
    postmaster: Option<Child>,
}

impl Server {
    /// A fresh cluster, ready for connections.
    pub fn start(durability: Durability) -> Result<Self> {
        Self::start_with(durability, &[])
    }

    /// The same with settings of `postgresql.conf` over ours.
    pub fn start_with(durability: Durability, settings: &[(&str, &str)]) -> Result<Self> {
        let bin = binaries::find()
            .context("PostgreSQL's server programs were not found: run `cargo xtask test`")?;
        let folder = tempfile::Builder::new().prefix("rapidbyte-postgres-").tempdir()?;
        let mut all = vec![
            ("wal_level", "logical"),
            ("max_connections", "200"),
            ("shared_buffers", "256MB"),
            ("max_wal_size", "4GB"),
        ];
        if durability == Durability::Relaxed {
            all.extend([("fsync", "off"), ("full_page_writes", "off")]);
        }
        all.extend(settings);
        let settings = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut server = Server { bin, folder, port: 0, settings, postmaster: None };
        server.initialise()?;
        for attempt in 1.. {
            server.port = free_port()?;
            match server.launch() {
                Ok(()) => break,
                Err(error) if attempt >= START_ATTEMPTS_MAX => return Err(error),
                Err(_) => continue,
            }
        }
        Ok(server)
    }

    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `libpq`'s form of where the server is, for messages and other clients.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@{}:{}/{database}", self.host(), self.port)
    }

    /// One of PostgreSQL's client programs, set up to talk to this server and to ignore everything else that is set up.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        for (variable, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG"))
        {
            command.env_remove(variable);
        }
        command
            .env("PGHOST", self.host())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", USER)
            .env("PGPASSWORD", PASSWORD)
            .env("PGSSLMODE", "disable")
            .env("PGCLIENTENCODING", "UTF8");
        command
    }

    /// Runs SQL, each statement in a transaction of its own, and answers the rows: a line each, columns divided by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut command = self.program("psql");
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]);
        command.args(["--dbname", database, "--file", "-"]);
        let output = feed(&mut command, sql).context("running psql")?;
        ensure!(output.status.success(), "psql: {}\n{sql}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// The server's version: `15.13`.
    pub fn version(&self) -> Result<String> {
        let version = self.sql("postgres", "SHOW server_version")?;
        Ok(version.split_whitespace().next().unwrap_or_default().to_owned())
    }

    /// Stops it and starts it on the same data and port.
    pub fn restart(&mut self, shutdown: Shutdown) -> Result<()> {
        self.stop(shutdown)?;
        self.launch()
    }

    /// Stops it. [`Server::restart`] starts it again, too.
    pub fn stop(&mut self, shutdown: Shutdown) -> Result<()> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        let signal = match shutdown {
            Shutdown::Fast => "-INT",
            Shutdown::Immediate => "-QUIT",
        };
        let status = Command::new("kill").args([signal, &postmaster.id().to_string()]).status();
        if !status.is_ok_and(|status| status.success()) {
            postmaster.kill()?;
        }
        let deadline = Instant::now() + PATIENCE;
        while postmaster.try_wait()?.is_none() {
            if Instant::now() > deadline {
                postmaster.kill()?;
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// CPU time of the server with all its processes so far, in seconds. Linux only.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let postmaster = self.postmaster.as_ref().context("the server is stopped")?.id();
        let mut ticks = 0;
        for entry in std::fs::read_dir("/proc").context("CPU time is read from /proc")? {
            let path = entry?.path();
            let Some(pid) =
                path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok())
            else {
                continue;
            };
            // A process may end while it is looked at.
            let Ok(stat) = std::fs::read_to_string(path.join("stat")) else { continue };
            // The second field is the name in parentheses and may contain anything.
            let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
            let fields: Vec<&str> = rest.split(' ').collect();
            let number =
                |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
            let (parent, own, reaped) = (number(1), number(11) + number(12), number(13) + number(14));
            if pid == postmaster {
                ticks += own + reaped;
            } else if parent == u64::from(postmaster) {
                ticks += own;
            }
        }
        Ok(ticks as f64 / CLOCK_TICKS_PER_SECOND)
    }

    /// Returns once no client is connected any more.
    pub fn wait_idle(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let clients = self.sql(
                "postgres",
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            )?;
            if clients == "0" {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{clients} clients stay connected to the server");
            std::thread::sleep(POLL);
        }
    }

    /// Gives a folder to the server's user: a tablespace's place.
    pub fn give(&self, folder: &Path) -> Result<()> {
        let Some(user) = server_user() else { return Ok(()) };
        let status = Command::new("chown").arg(user).arg(folder).status().context("starting chown")?;
        ensure!(status.success(), "`{}` cannot be given to {user}", folder.display());
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn initialise(&self) -> Result<()> {
        let folder = self.folder.path();
        let password = folder.join("password");
        std::fs::write(&password, PASSWORD)?;
        if let Some(user) = server_user() {
            let status = Command::new("chown").args(["-R", user]).arg(folder).status()?;
            ensure!(
                status.success(),
                "PostgreSQL refuses to run as root and there is no user `{user}` to run it as"
            );
        }
        let mut command = as_server_user(&self.bin.join("initdb"), folder);
        command.arg("--pgdata").arg(self.data()).arg("--pwfile").arg(&password);
        // `md5` takes SCRAM, too, where the stored password is that: both ways can be tested.
        command.args(["--username", USER, "--auth-local", "reject", "--auth-host", "md5"]);
        command.args(["--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        let output = command.stdin(Stdio::null()).output().context("starting initdb")?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// Starts the server and waits until it takes connections.
    fn launch(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = as_server_user(&self.bin.join("postgres"), self.folder.path());
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        for (name, value) in [("listen_addresses", self.host()), ("unix_socket_directories", "")] {
            command.args(["-c", &format!("{name}={value}")]);
        }
        for (name, value) in &self.settings {
            command.args(["-c", &format!("{name}={value}")]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut postmaster = command.spawn().context("starting postgres")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = postmaster.try_wait()? {
                bail!("postgres ended ({status}):\n{}", self.log_tail());
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
                && self.sql("postgres", "SELECT 1").is_ok()
            {
                self.postmaster = Some(postmaster);
                return Ok(());
            }
            if Instant::now() > deadline {
                postmaster.kill()?;
                postmaster.wait()?;
                bail!("postgres does not take connections:\n{}", self.log_tail());
            }
            std::thread::sleep(POLL);
        }
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop(Shutdown::Immediate) {
            eprintln!("stopping PostgreSQL: {error:#}");
        }
    }
}

/// Whom the server runs as where we are root, which it refuses to be.
fn server_user() -> Option<&'static str> {
    let output = Command::new("id").arg("-u").output().ok()?;
    (output.stdout.trim_ascii() == b"0").then_some("postgres")
}

/// `setpriv` becomes the program, so the child's id is the program's.
fn as_server_user(program: &Path, folder: &Path) -> Command {
    let mut command = match server_user() {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).arg(program);
            command
        }
    };
    command.current_dir(folder).env_remove("PGDATA").env("LC_ALL", "C");
    command
}

/// A port of 127.0.0.1 that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Runs a command with `input` on its stdin. The input is written from another thread: the command may answer first.
fn feed(command: &mut Command, input: &str) -> Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        Ok(child.wait_with_output()?)
    })
}
