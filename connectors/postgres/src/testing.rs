//! A throwaway PostgreSQL server: its own cluster in a temporary folder, on a free port of 127.0.0.1, stopped by its
//! process id when the last user lets go. For tests only: it does not sync to disk.
//!
//! Users that `pg_hba.conf` singles out: `scram_user` (SCRAM-SHA-256) and `md5_user` must give a password over TCP,
//! `refused_user` is rejected, everybody else is trusted.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::config::{ConnectOptions, SslMode};

/// Folder of `postgres`, `initdb` and `psql`, where it is not among the usual ones.
pub const BIN_DIR_VARIABLE: &str = "RAPIDBYTE_PG_BIN";
const START_SECONDS_MAX: u64 = 60;

/// The authority that the test server's certificate comes from. It signs nothing else.
pub const AUTHORITY_PEM: &str = include_str!("../fixtures/authority.pem");
const SERVER_PEM: &str = include_str!("../fixtures/server.pem");
const SERVER_KEY: &str = include_str!("../fixtures/server.key");

/// A running server.
pub struct TestServer {
    process: Child,
    watchdog: Watchdog,
    bin_dir: PathBuf,
    folder: PathBuf,
    port: u16,
}

static SHARED: Mutex<Weak<TestServer>> = Mutex::new(Weak::new());
static FOLDERS: AtomicU32 = AtomicU32::new(0);
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl TestServer {
    /// The server that the tests of this process share while they run side by side.
    ///
    /// # Panics
    /// When no server can be started: a test can't go on then.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start(&[]));
        *shared = Arc::downgrade(&server);
        server
    }

    /// A server of one's own, with more settings (`name=value`).
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::start_in(settings, |_| {})
    }

    /// A server that speaks TLS as `localhost`, with a certificate of [`AUTHORITY_PEM`].
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start_with_tls() -> Self {
        let settings = ["ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key"];
        Self::start_in(&settings, |data| {
            for (name, text) in [("server.pem", SERVER_PEM), ("server.key", SERVER_KEY)] {
                let path = data.join(name);
                fs::write(&path, text).expect("own folder");
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("own file");
                if let Some((user, group)) = server_user() {
                    chown(&path, Some(user), Some(group)).expect("root may give files away");
                }
            }
        })
    }

    fn start_in(settings: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let bin_dir = find_bin_dir();
        let folder = std::env::temp_dir().join(format!(
            "rapidbyte-pg-{}-{}",
            std::process::id(),
            FOLDERS.fetch_add(1, Ordering::Relaxed)
        ));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).expect("the temporary folder can be made");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("own folder");
        let data = folder.join("data");
        fs::create_dir(&data).expect("own folder");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("own folder");
        if let Some((user, group)) = server_user() {
            chown(&data, Some(user), Some(group)).expect("root may give folders away");
            chown(&folder, Some(user), Some(group)).expect("root may give folders away");
        }
        let initdb = as_server_user(Command::new(bin_dir.join("initdb")))
            .args(["--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .arg("-D")
            .arg(&data)
            .current_dir(&folder)
            .output()
            .expect("initdb can be started");
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        let hba = "local all all trust\n\
            host all scram_user 127.0.0.1/32 scram-sha-256\n\
            host all md5_user 127.0.0.1/32 md5\n\
            host all refused_user 127.0.0.1/32 reject\n\
            host all all 127.0.0.1/32 trust\n";
        fs::write(data.join("pg_hba.conf"), hba).expect("own folder");
        prepare(&data);
        // Another process may take the port between our asking and the server's binding.
        for _ in 0..5 {
            let port = free_port();
            if let Some(process) = launch(&bin_dir, &folder, port, settings) {
                let watchdog = Watchdog::over(&process, &folder);
                return Self { process, watchdog, bin_dir, folder, port };
            }
        }
        panic!("the server did not start: {}", read_log(&folder));
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Makes a new, empty database.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        name
    }

    /// How to connect to `database` as the superuser, without TLS.
    #[must_use]
    pub fn options(&self, database: &str) -> ConnectOptions {
        ConnectOptions {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: "postgres".to_owned(),
            password: None,
            database: database.to_owned(),
            sslmode: SslMode::Disable,
            ssl_root_cert: None,
            application_name: "rapidbyte-test".to_owned(),
            connect_timeout: Duration::from_secs(30),
        }
    }

    /// Runs SQL and answers what `psql` prints unaligned, without its last line end.
    ///
    /// # Panics
    /// When a statement fails.
    #[must_use = "use `run` where the result does not matter"]
    pub fn query(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.bin_dir.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"])
            .args(["-p", &self.port.to_string(), "-d", database, "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql can be started");
        let mut stdin = psql.stdin.take().expect("piped");
        let text = sql.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        let output = psql.wait_with_output().expect("psql ends");
        drop(writer.join());
        assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }

    /// Runs SQL for its effect.
    ///
    /// # Panics
    /// When a statement fails.
    pub fn psql(&self, database: &str, sql: &str) {
        let _: String = self.query(database, sql);
    }

    /// Stops the server as a crash would and starts it again on the same port and data.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn crash_and_restart(&mut self) {
        // SIGQUIT: all server processes end without a checkpoint, none is left behind.
        self.watchdog.dismiss();
        signal(self.process.id(), "QUIT");
        drop(self.process.wait());
        self.process = launch(&self.bin_dir, &self.folder, self.port, &[])
            .unwrap_or_else(|| panic!("the server did not come back: {}", read_log(&self.folder)));
        self.watchdog = Watchdog::over(&self.process, &self.folder);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.watchdog.dismiss();
        signal(self.process.id(), "QUIT");
        drop(self.process.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Stops the server when the tests' process ends without doing so: its end of a pipe closes then, however it ended.
struct Watchdog(Child);

impl Watchdog {
    fn over(server: &Child, folder: &Path) -> Self {
        let script = "read -r _; kill -QUIT \"$1\"; sleep 1; rm -rf \"$2\"";
        let watchdog = Command::new("sh")
            .args(["-c", script, "sh", &server.id().to_string()])
            .arg(folder)
            // Interrupting the tests must not interrupt it as well.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(watchdog.expect("sh can be started"))
    }

    /// Before the server is stopped: afterwards its process id may be somebody else's.
    fn dismiss(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn launch(bin_dir: &Path, folder: &Path, port: u16, settings: &[&str]) -> Option<Child> {
    let log = fs::File::create(folder.join("log")).expect("own folder");
    let mut command = as_server_user(Command::new(bin_dir.join("postgres")));
    command.arg("-D").arg(folder.join("data"));
    let socket_folder = format!("unix_socket_directories={}", folder.display());
    let port_setting = format!("port={port}");
    let own = ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=60", "log_min_messages=warning"];
    for setting in own.iter().chain(settings).copied().chain([socket_folder.as_str(), &port_setting]) {
        command.arg("-c").arg(setting);
    }
    let mut process = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("postgres can be started");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(START_SECONDS_MAX) {
        if process.try_wait().expect("own child").is_some() {
            return None;
        }
        if answers(port) {
            return Some(process);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    signal(process.id(), "QUIT");
    drop(process.wait());
    None
}

/// Whether the server takes connections: a start-up message is answered by an authentication request.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(8 + parameters.len()).expect("short");
    let mut message = length.to_be_bytes().to_vec();
    message.extend_from_slice(&[0, 3, 0, 0]);
    message.extend_from_slice(parameters);
    let mut tag = [0];
    stream.write_all(&message).is_ok() && stream.read_exact(&mut tag).is_ok() && tag == *b"R"
}

fn signal(pid: u32, name: &str) {
    drop(Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status());
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("bound").port()
}

fn read_log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

fn find_bin_dir() -> PathBuf {
    if let Some(folder) = std::env::var_os(BIN_DIR_VARIABLE) {
        return folder.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.extend(["/usr/local/pgsql/bin", "/opt/homebrew/bin", "/usr/local/bin"].map(PathBuf::from));
    let whole =
        |folder: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|tool| folder.join(tool).is_file());
    folders.into_iter().rev().find(whole).unwrap_or_else(|| {
        panic!("PostgreSQL's server binaries were not found: install them or set `{BIN_DIR_VARIABLE}`")
    })
}

/// PostgreSQL refuses to run as root: then the user and group that it runs as.
fn server_user() -> Option<(u32, u32)> {
    let own = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap_or(1);
    if own != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("`/etc/passwd` can be read");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut parts = line.expect("there is a user `postgres` to run the server as").split(':').skip(2);
    let mut id = || parts.next().and_then(|id| id.parse().ok()).expect("`/etc/passwd` is well-formed");
    Some((id(), id()))
}

fn as_server_user(mut command: Command) -> Command {
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command
}
