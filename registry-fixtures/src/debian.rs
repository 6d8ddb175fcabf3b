//! `docker-registry` over a temporary folder.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

pub const USER: &str = "tester";
pub const PASSWORD: &str = "a password for tests";
/// Of [`PASSWORD`], by bcrypt with the least work.
const PASSWORD_HASH: &str = "$2b$04$kQZGomF0BnU.0L44Et1o8O3l8mfGkvL/oBqCxppdnFgr1nc9ILtv2";
const PROGRAM: &str = "docker-registry";
const START_MAX: Duration = Duration::from_secs(60);
/// Another process may take a port between our looking and the server's binding it.
const ATTEMPTS: usize = 5;

/// A running registry.
#[derive(Debug)]
pub struct DockerRegistry {
    server: Child,
    port: u16,
    folder: TempDir,
}

impl DockerRegistry {
    /// Starts one, which wants [`USER`] and [`PASSWORD`] if `guarded`.
    pub fn start(guarded: bool) -> Result<Self> {
        Self::start_with(guarded, None)
    }

    /// Starts one that speaks HTTPS with this certificate and key, both PEM.
    pub fn start_tls(certificate: &str, key: &str) -> Result<Self> {
        Self::start_with(false, Some((certificate, key)))
    }

    fn start_with(guarded: bool, tls: Option<(&str, &str)>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rapidbyte-registry-").tempdir()?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            match start(folder.path(), port, guarded, tls) {
                Ok(server) => return Ok(DockerRegistry { server, port, folder }),
                Err(error) => last = Some(error),
            }
        }
        last.map_or_else(|| bail!("`{PROGRAM}` was not tried"), Err)
    }

    /// `127.0.0.1:12345`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it keeps a blob, for tests that damage it.
    pub fn blob_file(&self, hex: &str) -> PathBuf {
        self.folder.path().join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        // It is gone, or it is ours to end.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn start(folder: &Path, port: u16, guarded: bool, tls: Option<(&str, &str)>) -> Result<Child> {
    let passwords = folder.join("htpasswd");
    fs::write(&passwords, format!("{USER}:{PASSWORD_HASH}\n"))?;
    let auth = match guarded {
        true => format!("auth: {{ htpasswd: {{ realm: tests, path: '{}' }} }}\n", passwords.display()),
        false => String::new(),
    };
    let tls = match tls {
        Some((certificate, key)) => {
            let (certificate_file, key_file) = (folder.join("tls.pem"), folder.join("tls.key"));
            fs::write(&certificate_file, certificate)?;
            fs::write(&key_file, key)?;
            format!(
                ", tls: {{ certificate: '{}', key: '{}' }}",
                certificate_file.display(),
                key_file.display()
            )
        }
        None => String::new(),
    };
    let config = folder.join("config.yml");
    fs::write(
        &config,
        format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\n\
             storage: {{ filesystem: {{ rootdirectory: '{}' }}, delete: {{ enabled: true }} }}\n\
             http: {{ addr: '127.0.0.1:{port}'{tls} }}\n{auth}",
            folder.join("data").display()
        ),
    )?;
    let mut server = Command::new(PROGRAM)
        .arg("serve")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(fs::File::create(folder.join("log"))?))
        .spawn()
        .with_context(|| format!("starting `{PROGRAM}` (Debian's package `docker-registry`)"))?;
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        if let Some(status) = server.try_wait()? {
            bail!("`{PROGRAM}` ended with {status}: {}", log());
        }
        ensure!(began.elapsed() < START_MAX, "`{PROGRAM}` does not answer: {}", log());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(server)
}
