//! The tools of other languages that tests make components with, installed once below a target folder as a scaffolded project's
//! README says, from the list that such a project has; and what lets a fresh project install the same without a network.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Tells tests where the tools are.
pub const VARIABLE: &str = "RAPIDBYTE_TEST_GUEST_TOOLS";

/// A language whose connectors need tools of their own.
#[derive(Debug)]
pub struct Language {
    /// As `connector scaffold --lang` calls it.
    pub name: &'static str,
    /// What one types in a project, as its README says.
    pub install: &'static str,
    /// The folder that the tools are in then.
    pub tools: &'static str,
    /// The file that lists them.
    list: &'static str,
    /// Beside `install`: keeps what it took from the network.
    keep: &'static str,
    needs: &'static str,
}

pub const PYTHON: Language = Language {
    name: "python",
    install: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    tools: ".venv",
    list: "requirements.txt",
    keep: ".venv/bin/pip download --quiet --dest kept -r requirements.txt",
    needs: "Python 3 with `venv`",
};
pub const JAVASCRIPT: Language = Language {
    name: "js",
    install: "npm install",
    tools: "node_modules",
    list: "package.json",
    keep: "true",
    needs: "Node.js 20 or newer with `npm`",
};
pub const ALL: [&Language; 2] = [&PYTHON, &JAVASCRIPT];

/// One language's tools, installed.
#[derive(Debug)]
pub struct Tools {
    /// The folder to link into a project.
    pub folder: PathBuf,
    kept: PathBuf,
}

impl Tools {
    /// What makes `install` in another project find everything here, and ask no network.
    pub fn offline(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("PIP_NO_INDEX", "1".into()),
            ("PIP_FIND_LINKS", self.kept.clone().into()),
            ("npm_config_offline", "true".into()),
            ("npm_config_cache", self.kept.clone().into()),
        ]
    }
}

impl Language {
    /// Installs the tools into `folder` unless they are there. Waits for another process that is about it.
    pub fn ensure(&self, folder: &Path) -> Result<Tools> {
        let folder = folder.join(self.name);
        let (tools, kept, stamp) = (folder.join(self.tools), folder.join("kept"), folder.join("installed"));
        let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates").join(self.name).join("common");
        let wanted = std::fs::read_to_string(list.join(self.list))?.replace("@name@", "guest-tools");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let lock = File::create(folder.with_extension("lock"))?;
        lock.lock()?;
        if tools.exists() && std::fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
            return Ok(Tools { folder: tools, kept });
        }
        eprintln!("{:>12} what makes components of {} (once)", "Installing", self.name);
        std::fs::remove_dir_all(&folder)?;
        std::fs::create_dir_all(&kept)?;
        std::fs::write(folder.join(self.list), &wanted)?;
        for commands in [self.install, self.keep] {
            let mut shell = Command::new("sh");
            shell.args(["-c", commands]).current_dir(&folder).env("npm_config_cache", &kept);
            let output = shell.output().context("cannot start `sh`")?;
            if !output.status.success() {
                bail!(
                    "`{commands}` failed; the tests need {}, and a network for the first time:\n{}{}",
                    self.needs,
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
        std::fs::write(&stamp, wanted)?;
        Ok(Tools { folder: tools, kept })
    }
}
