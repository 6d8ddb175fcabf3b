//! Commands: how they are said, run and judged. Knows where the repository is and which target folder is used.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The repository and the folder that everything is built in.
pub struct Workspace {
    root: PathBuf,
    /// `CARGO_TARGET_DIR`, made absolute so that it means the same folder wherever a command runs.
    target: Option<PathBuf>,
}

impl Workspace {
    pub fn locate() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("`xtask` has no parent folder")?.to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty()) {
            Some(value) => Some(std::path::absolute(value).context("CARGO_TARGET_DIR is not a usable path")?),
            None => None,
        };
        Ok(Workspace { root, target })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn connectors(&self) -> PathBuf {
        self.root.join("connectors")
    }

    /// The folder that the product is built in.
    pub fn target(&self) -> PathBuf {
        self.target.clone().unwrap_or_else(|| self.root.join("target"))
    }

    /// The binary as a build of this profile leaves it.
    pub fn rapidbyte(&self, profile: &str) -> PathBuf {
        self.target().join(profile).join(format!("rapidbyte{}", std::env::consts::EXE_SUFFIX))
    }

    /// A cargo command in the product's workspace.
    pub fn cargo<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Step {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        self.program(cargo).arguments(arguments)
    }

    /// A command in the product's workspace that builds, if it builds, where everything is built.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Step {
        let step = Step::new(program).directory(&self.root);
        match &self.target {
            Some(target) => step.env("CARGO_TARGET_DIR", target),
            None => step,
        }
    }
}

/// One command.
pub struct Step {
    command: Command,
    shown: String,
}

impl Step {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
        Step { command: Command::new(program), shown: name }
    }

    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        for argument in arguments {
            self.shown.push(' ');
            self.shown.push_str(&argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Runs it with our own input and output; fails when it fails.
    pub fn run(mut self) -> Result<()> {
        eprintln!("{:>12} {}", "Running", self.shown);
        let status = self.command.status().with_context(|| format!("cannot start `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` failed: {status}", self.shown);
        }
        Ok(())
    }

    /// The same, and answers its standard output.
    pub fn stdout(mut self) -> Result<String> {
        eprintln!("{:>12} {}", "Running", self.shown);
        let output = self.command.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start `{}`", self.shown))?;
        if !output.status.success() {
            bail!("`{}` failed: {}", self.shown, output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("output of `{}`", self.shown))
    }

    /// Its standard output if it runs and succeeds.
    pub fn output(mut self) -> Option<String> {
        let output = self.command.output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
