//! What the tests need beside Rust: found where it is, installed where that is allowed, else said in one sentence.

use std::path::PathBuf;

use anyhow::{Result, bail};

use xtask::postgres::binaries::{self, POSTGRES_MAJOR_MIN};

use crate::process::{Step, Workspace};

const WASM_TARGET: &str = "wasm32-wasip2";

/// The Rust target that connectors are built for.
pub fn ensure_wasm_target(workspace: &Workspace) -> Result<()> {
    if has_wasm_target(workspace) {
        return Ok(());
    }
    let added =
        Step::new("rustup").arguments(["target", "add", WASM_TARGET]).directory(workspace.root()).run();
    if added.is_err() || !has_wasm_target(workspace) {
        bail!("the Rust target {WASM_TARGET} is missing: install it with `rustup target add {WASM_TARGET}`");
    }
    Ok(())
}

/// The target's standard library lies in the toolchain's own folder, whoever installed it.
fn has_wasm_target(workspace: &Workspace) -> bool {
    let library = Step::new("rustc")
        .arguments(["--print", "target-libdir", "--target", WASM_TARGET])
        .directory(workspace.root())
        .output();
    library.is_some_and(|folder| PathBuf::from(folder).is_dir())
}

/// The folder of PostgreSQL's server programs.
pub fn ensure_postgres() -> Result<PathBuf> {
    if let Some(bin) = binaries::find() {
        return Ok(bin);
    }
    eprintln!("{:>12} PostgreSQL (the tests run servers of their own)", "Installing");
    install_by_apt(&["postgresql"]);
    match binaries::find() {
        Some(bin) => Ok(bin),
        None => bail!(
            "the tests need PostgreSQL {POSTGRES_MAJOR_MIN} or newer (`initdb`, `postgres`, `psql`): install it (Debian and \
             Ubuntu: `sudo apt-get install postgresql`; Fedora: `sudo dnf install postgresql-server`; macOS: \
             `brew install postgresql`), or name the folder of its programs in {}",
            binaries::VARIABLE
        ),
    }
}

/// What packages are tested against (a registry, and tools that others use), and what sets a process's clock.
const TEST_TOOLS: [(&str, &str); 4] = [
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("openssl", "openssl"),
    ("faketime", "faketime"),
];

/// The programs that the tests run.
pub fn ensure_test_tools() -> Result<()> {
    let missing = || {
        let tools = TEST_TOOLS.iter().filter(|(program, _)| !is_there(program));
        tools.map(|(_, package)| *package).collect::<Vec<_>>()
    };
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    eprintln!("{:>12} {} (the tests run them)", "Installing", packages.join(", "));
    install_by_apt(&packages);
    match missing().as_slice() {
        [] => Ok(()),
        missing => bail!(
            "the tests need {}: install them (Debian and Ubuntu: `sudo apt-get install {}`), and have them in PATH",
            missing.join(", "),
            missing.join(" ")
        ),
    }
}

/// Whether a program is in PATH.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Tries; whether it worked is seen by looking again.
fn install_by_apt(packages: &[&str]) {
    let root = Step::new("id").arguments(["-u"]).output().is_some_and(|id| id == "0");
    let privileged = |arguments: &[&str]| {
        let mut words = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
        if !root {
            // Without asking: nobody may be there to type a password.
            words.splice(0..0, ["sudo", "-n"]);
        }
        words.extend(arguments);
        Step::new(words[0]).arguments(&words[1..]).run()
    };
    let installed = privileged(&["update", "-q"])
        .and_then(|()| privileged(&[&["install", "-y", "-q", "--no-install-recommends"], packages].concat()));
    if let Err(error) = installed {
        eprintln!("warning: {error:#}");
    }
}

/// Whether cargo-nextest is there to run the tests.
pub fn has_nextest(workspace: &Workspace) -> bool {
    workspace.cargo(["nextest", "--version"]).output().is_some()
}
