//! `rapidbyte doctor`: whether this machine has what Rapidbyte needs, and what to do where it has not. Looks, and leaves nothing
//! behind; refuses to know any pipeline.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rapidbyte_core::limits::{MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MIN};
use rapidbyte_packages::reference::RegistryRef;
use rapidbyte_pipeline::ProjectSettings;
use rapidbyte_state::{PostgresStore, SqliteStore};
use serde::Serialize;

use crate::connector::build::TARGET;
use crate::settings::Host;

/// A registry that has not answered by then is called unreachable.
const REACH_TIMEOUT: Duration = Duration::from_secs(3);
/// Below this, the next state or compiled connector may not fit.
const DISK_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Below this, soon.
const DISK_BYTES_GOOD: u64 = 1024 * 1024 * 1024;
/// Clocks of file servers are seldom exact.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(120);
/// No clock that is right shows an earlier time than this version is from: 2026-01-01.
const CLOCK_EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub subject: String,
    pub status: Health,
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Ok,
    /// Something will not work that not everybody needs.
    Warn,
    /// Pipelines cannot run.
    Fail,
}

impl Finding {
    fn new(subject: impl Into<String>, status: Health, message: impl Into<String>) -> Self {
        Finding { subject: subject.into(), status, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Finding { hint: Some(hint.into()), ..self }
    }
}

impl Host {
    /// Looks at this machine. `folder` is where pipelines would be run from.
    pub async fn diagnose(&self, folder: &Path) -> Vec<Finding> {
        let home = &self.settings.home;
        let mut findings = vec![home_writable(home)];
        findings.push(cache_usable(&home.join("cache").join("compiled")));
        let settings = self.project_settings(&folder.join("."));
        match settings {
            Ok(settings) => {
                findings.push(match self.workspace(&folder.join(".")) {
                    Some(workspace) => Finding::new("workspace", Health::Ok, workspace.display().to_string()),
                    None => Finding::new("workspace", Health::Ok, "none: state is kept in the home folder"),
                });
                findings.push(self.state_opens(folder, &settings).await);
            }
            Err(error) => findings.push(
                Finding::new("settings", Health::Fail, error.to_string().trim_end().to_owned())
                    .hint("mend the file that is named"),
            ),
        }
        findings.extend(
            self.settings
                .packages
                .global
                .registries
                .iter()
                .map(|(alias, registry)| registry_answers(&format!("registry `{alias}`"), &registry.place)),
        );
        findings.push(clock_sane(home));
        findings.extend(disk_has_room(home));
        findings.extend(memory_suffices());
        findings.push(toolchain());
        findings
    }

    async fn state_opens(&self, folder: &Path, settings: &ProjectSettings) -> Finding {
        let stated = settings.state.as_ref();
        if let Some(connection) = stated.and_then(|state| state.connection.as_ref()) {
            let connection = connection.expose();
            self.hide_connection(connection);
            let subject = "state (postgres)";
            return match PostgresStore::reach(connection).await {
                Ok(location) => Finding::new(subject, Health::Ok, location),
                Err(error) => Finding::new(subject, Health::Fail, error.to_string())
                    .hint("correct `state.connection` in the settings, or see to the server"),
            };
        }
        let path = stated.and_then(|state| state.path.as_ref()).map_or_else(
            || self.default_state_path(&absolute(folder).join("pipeline.yaml")),
            |path| PathBuf::from(&path.value),
        );
        let subject = "state (sqlite)";
        if !path.exists() {
            let message = format!("none yet at `{}`: the first run makes it", path.display());
            return Finding::new(subject, Health::Ok, message);
        }
        match SqliteStore::open(&path) {
            Ok(_) => Finding::new(subject, Health::Ok, path.display().to_string()),
            Err(error) => Finding::new(subject, Health::Fail, error.to_string())
                .hint("see that the file is readable and was not written by a newer version"),
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn home_writable(home: &Path) -> Finding {
    let subject = "home folder";
    let tried = std::fs::create_dir_all(home).and_then(|()| tempfile::tempfile_in(home).map(|_| ()));
    match tried {
        Ok(()) => Finding::new(subject, Health::Ok, home.display().to_string()),
        Err(error) => {
            Finding::new(subject, Health::Fail, format!("cannot write to `{}`: {error}", home.display()))
                .hint("make it writable, or set RAPIDBYTE_HOME to a folder that is")
        }
    }
}

fn cache_usable(cache: &Path) -> Finding {
    let subject = "compiled code";
    let entries = match std::fs::read_dir(cache) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::new(subject, Health::Ok, "none yet: connectors are compiled when first used");
        }
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", cache.display());
            return Finding::new(subject, Health::Fail, message)
                .hint("make the folder readable, or delete it");
        }
    };
    let files = entries.filter_map(Result::ok).filter_map(|entry| entry.metadata().ok());
    let (count, bytes) = files
        .filter(std::fs::Metadata::is_file)
        .fold((0u64, 0u64), |(count, bytes), file| (count + 1, bytes + file.len()));
    match tempfile::tempfile_in(cache) {
        Ok(_) => Finding::new(subject, Health::Ok, format!("{count} files, {} MB", bytes >> 20)),
        Err(error) => {
            let message = format!("cannot write to `{}`: {error}", cache.display());
            Finding::new(subject, Health::Warn, message)
                .hint("make it writable; until then connectors are compiled at every start")
        }
    }
}

/// Whether somebody listens; who it is, a command that needs the registry finds out.
fn registry_answers(subject: &str, place: &RegistryRef) -> Finding {
    let host = match place {
        RegistryRef::Dir(folder) if folder.is_dir() => {
            return Finding::new(subject, Health::Ok, folder.display().to_string());
        }
        RegistryRef::Dir(folder) => {
            let message = format!("there is no folder `{}`", folder.display());
            return Finding::new(subject, Health::Warn, message)
                .hint("correct `url` in config.toml; a registry's folder is made by its first publishing");
        }
        RegistryRef::Alias(alias) => {
            return Finding::new(subject, Health::Warn, format!("`{alias}` is an alias, not a place"));
        }
        RegistryRef::Oci { host, .. } => host,
    };
    let authority = match host.rsplit_once(':') {
        Some((_, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host.clone(),
        _ => format!("{host}:443"),
    };
    let reached = authority.to_socket_addrs().map_err(|error| error.to_string()).and_then(|addresses| {
        let mut last = "it has no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, REACH_TIMEOUT) {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    });
    match reached {
        Ok(()) => Finding::new(subject, Health::Ok, format!("{host} answers")),
        Err(why) => Finding::new(subject, Health::Warn, format!("cannot reach {host}: {why}"))
            .hint("installed connectors work without it; see to the network to install others"),
    }
}

/// Whether now is after this version was made, and whether the file system agrees.
fn clock_sane(home: &Path) -> Finding {
    let subject = "clock";
    let now = SystemTime::now();
    if now < SystemTime::UNIX_EPOCH + CLOCK_EARLIEST {
        return Finding::new(subject, Health::Fail, "it is set to the past")
            .hint("set it: certificates and signatures are judged by it");
    }
    let written = tempfile::NamedTempFile::new_in(home)
        .and_then(|file| file.as_file().metadata())
        .and_then(|metadata| metadata.modified());
    let skew =
        written.map(|written| written.duration_since(now).unwrap_or_else(|earlier| earlier.duration()));
    match skew {
        Ok(skew) if skew > CLOCK_SKEW_MAX => {
            let message = format!("it is {} s off the file system's", skew.as_secs());
            Finding::new(subject, Health::Warn, message).hint("let both be set by the same time server")
        }
        _ => Finding::new(subject, Health::Ok, format!("{:.0}", jiff::Timestamp::now())),
    }
}

#[cfg(unix)]
fn disk_has_room(home: &Path) -> Option<Finding> {
    let told = rustix::fs::statvfs(home).ok()?;
    let free = told.f_bavail.saturating_mul(told.f_frsize);
    let (subject, shown) = ("disk", format!("{} MB free at `{}`", free >> 20, home.display()));
    Some(match free {
        ..DISK_BYTES_MIN => Finding::new(subject, Health::Fail, shown)
            .hint("make room, or set RAPIDBYTE_HOME to another disk; `rapidbyte connectors gc` removes what is not used"),
        DISK_BYTES_MIN..DISK_BYTES_GOOD => {
            Finding::new(subject, Health::Warn, shown).hint("`rapidbyte connectors gc` removes what is not used")
        }
        _ => Finding::new(subject, Health::Ok, shown),
    })
}

#[cfg(not(unix))]
fn disk_has_room(_home: &Path) -> Option<Finding> {
    None
}

/// What is left to this process, where the system tells.
fn memory_suffices() -> Option<Finding> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let available = kib_of(&meminfo, "MemAvailable:")?.saturating_mul(1024);
    // A container's own limit, where there is one.
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(u64::MAX);
    let bytes = available.min(limit);
    let (subject, shown) = ("memory", format!("{} MB available", bytes >> 20));
    Some(if bytes < MEMORY_BYTES_MIN {
        Finding::new(subject, Health::Fail, shown)
            .hint(format!("a pipeline needs at least {} MB", MEMORY_BYTES_MIN >> 20))
    } else if bytes < MEMORY_BYTES_DEFAULT {
        let hint =
            format!("lower `resources.max_memory`, which is {} MB by default", MEMORY_BYTES_DEFAULT >> 20);
        Finding::new(subject, Health::Warn, shown).hint(hint)
    } else {
        Finding::new(subject, Health::Ok, shown)
    })
}

/// A line such as `MemAvailable:   13412 kB`, where kB means 1,024 bytes.
fn kib_of(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What connectors in Rust are built with; nobody else needs it.
fn toolchain() -> Finding {
    let subject = "Rust";
    let said = |arguments: &[&str]| {
        let output = Command::new("rustc").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(version) = said(&["--version"]) else {
        return Finding::new(subject, Health::Warn, "not installed")
            .hint("only needed to build connectors in Rust: https://rustup.rs");
    };
    let library = said(&["--print", "target-libdir", "--target", TARGET]);
    let present = library.is_some_and(|folder| {
        Path::new(&folder).read_dir().is_ok_and(|mut entries| entries.any(|entry| entry.is_ok()))
    });
    match present {
        true => Finding::new(subject, Health::Ok, format!("{version}, with {TARGET}")),
        false => Finding::new(subject, Health::Warn, format!("{version}, without {TARGET}"))
            .hint(format!("to build connectors: `rustup target add {TARGET}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let text = "MemTotal:       16000000 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(kib_of(text, "MemAvailable:"), Some(1024));
        assert_eq!(kib_of(text, "SwapFree:"), None);
    }

    #[test]
    fn a_registry_that_is_a_folder_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let there = registry_answers("registry `a`", &RegistryRef::Dir(folder.path().to_owned()));
        let gone = registry_answers("registry `b`", &RegistryRef::Dir(folder.path().join("gone")));
        assert_eq!((there.status, gone.status), (Health::Ok, Health::Warn));
        assert!(gone.hint.is_some());
    }
}
