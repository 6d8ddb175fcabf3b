//! A PostgreSQL server of one's own: its data in a temporary folder, a free port on loopback, gone when dropped.
//!
//! PostgreSQL refuses to run as root, so root runs it as the user `postgres`. Only the process started here is ever
//! signalled, by its id.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};

/// The superuser of the server, and its password for connections over TCP.
pub const USER: &str = "rapidbyte";
pub const PASSWORD: &str = "correct horse battery staple";

/// How much the server cares for a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The server's defaults: what benchmarks measure.
    Ordinary,
    /// `fsync=off`, for tests: a killed process is survived, a power cut is not.
    Fast,
}

/// A running server.
pub struct Server {
    binaries: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    /// The postmaster; none while it is stopped.
    postmaster: Mutex<Option<i32>>,
}

impl Server {
    /// Makes a cluster and starts it. Passwords are checked (SCRAM) on TCP connections.
    pub fn start(durability: Durability) -> Result<Server> {
        let binaries = find_binaries().context("no PostgreSQL server binaries: install them, as with `apt-get install postgresql`")?;
        let folder = tempfile::Builder::new().prefix("rapidbyte-pg-").tempdir()?;
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, PASSWORD)?;
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres"]).arg(folder.path()))?;
        }
        let server = Server { binaries, folder, port: free_port()?, postmaster: Mutex::new(None) };
        run(server
            .as_server_user("initdb")
            .args(["--username", USER, "--auth-local", "trust", "--auth-host", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"])
            .arg("--pwfile")
            .arg(&password_file)
            .arg("--pgdata")
            .arg(server.data()))?;
        let fsync = if durability == Durability::Fast { "off" } else { "on" };
        std::fs::OpenOptions::new().append(true).open(server.data().join("postgresql.conf")).and_then(|mut file| {
            use std::io::Write;
            writeln!(
                file,
                "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nfsync = {fsync}\n\
                 max_connections = 200\nshared_buffers = 256MB\nmax_wal_size = 4GB\nlog_min_messages = warning\n",
                server.port,
                server.folder.path().display()
            )
        })?;
        server.restart_after_stop()?;
        Ok(server)
    }

    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the server's Unix socket, for `psql -h`.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// A PostgreSQL program (`psql`, `pgbench`) set up to reach this server as its superuser.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command
            .env("PGHOST", self.socket_folder())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", USER)
            .env_remove("PGPASSWORD")
            .stdin(Stdio::null());
        command
    }

    /// Runs SQL and answers the rows as text, columns parted by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.program("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"])
            .args(["--dbname", database, "--command", sql]);
        Ok(run(&mut psql)?.trim_end().to_owned())
    }

    pub fn version(&self) -> Result<String> {
        self.sql("postgres", "SHOW server_version")
    }

    /// Stops the server (`mode`: `fast` or `immediate`, which is a crash) and waits until it is gone.
    pub fn stop(&self, mode: &str) -> Result<()> {
        let mut postmaster = self.postmaster.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if postmaster.take().is_some() {
            run(self
                .as_server_user("pg_ctl")
                .args(["stop", "--wait", "--mode", mode, "--pgdata"])
                .arg(self.data()))?;
        }
        Ok(())
    }

    /// Starts the server again after [`Server::stop`].
    pub fn restart_after_stop(&self) -> Result<()> {
        let mut postmaster = self.postmaster.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        ensure!(postmaster.is_none(), "the server is running");
        run(self
            .as_server_user("pg_ctl")
            .args(["start", "--wait", "--pgdata"])
            .arg(self.data())
            .arg("--log")
            .arg(self.folder.path().join("log")))
        .with_context(|| std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default())?;
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid"))?;
        *postmaster = Some(pid.lines().next().unwrap_or_default().parse()?);
        Ok(())
    }

    /// CPU that the server and the backends it has waited for have used, from `/proc`.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let Some(pid) = *self.postmaster.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) else {
            bail!("the server is not running");
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Fields are counted behind the program's name, which may hold spaces.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        // utime, stime, cutime, cstime in ticks of 10 ms.
        let ticks: u64 = fields.iter().skip(11).take(4).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
        Ok(ticks as f64 / 100.0)
    }

    /// Returns when no client is connected, so that every backend's CPU is counted.
    pub fn wait_idle(&self) -> Result<()> {
        for _ in 0..1000 {
            let clients = self.sql(
                "postgres",
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            )?;
            if clients == "0" {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        bail!("clients stay connected to the server");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn as_server_user(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // The server's user may not read the caller's folder.
        command.current_dir(self.folder.path()).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop("immediate") {
            eprintln!("stopping PostgreSQL: {error:#}");
        }
    }
}

/// Where the server's programs are: `RAPIDBYTE_PG_BIN`, the path, or Debian's folders, the newest first.
pub fn find_binaries() -> Option<PathBuf> {
    let complete = |folder: &Path| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    if let Some(folder) = std::env::var_os("RAPIDBYTE_PG_BIN").map(PathBuf::from) {
        return complete(&folder).then_some(folder);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    folders.extend(versions.into_iter().map(|(_, folder)| folder));
    folders.into_iter().find(|folder| complete(folder))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

fn run(command: &mut Command) -> Result<String> {
    // Not a pipe for stderr alone: a server started by `pg_ctl` keeps it open.
    let output = command.stderr(Stdio::piped()).output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
