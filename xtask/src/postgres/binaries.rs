//! Where PostgreSQL's server programs are on this machine. `cargo xtask test` installs them if this finds none.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the folder outright and ends every search.
pub const VARIABLE: &str = "RAPIDBYTE_PG_BIN";
/// The oldest version that the connectors are tested against.
pub const POSTGRES_MAJOR_MIN: u32 = 15;

/// The folder with `initdb`, `postgres` and `psql` of a version that is new enough; the newest where there are several.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for versions in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let Ok(entries) = std::fs::read_dir(versions) else { continue };
        folders.extend(entries.flatten().map(|entry| entry.path().join("bin")));
    }
    folders.extend(["/usr/local/pgsql/bin", "/usr/pgsql/bin"].map(PathBuf::from));
    folders
        .into_iter()
        .filter_map(|folder| Some((major_version(&folder)?, folder)))
        .filter(|(major, _)| *major >= POSTGRES_MAJOR_MIN)
        .max_by_key(|(major, _)| *major)
        .map(|(_, folder)| folder)
}

/// The version of the complete server installation in this folder.
fn major_version(folder: &Path) -> Option<u32> {
    if !["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file()) {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    // `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`, `postgres (PostgreSQL) 17beta1`
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(2)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
