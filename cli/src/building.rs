//! What is shown while connectors are built: Cargo's own lines, without those that say that nothing happened.

use std::path::{Path, PathBuf};

use rapidbyte_host::HostError;
use rapidbyte_host::connector::build::BuildProgress;

use crate::printer::{Printer, Tone};

/// Shows a build, or keeps it to itself until it fails.
pub struct Building {
    printer: Printer,
    /// What was not shown because of `--quiet`; a compiler's errors among it.
    kept: Vec<String>,
}

impl Building {
    pub fn new(printer: &Printer) -> Self {
        Building { printer: printer.clone(), kept: Vec::new() }
    }

    /// Shows what was kept if it says why the build failed.
    pub fn explain(&mut self, error: &HostError) {
        if matches!(error, HostError::Compile { .. }) {
            for line in self.kept.drain(..) {
                self.printer.write_error(&format!("{line}\n"));
            }
        }
    }
}

impl BuildProgress for Building {
    fn installing_target(&mut self, command: &str) {
        self.printer.status(Tone::Busy, "Installing", format_args!("the WebAssembly target (`{command}`)"));
    }

    fn compiling(&mut self, name: &str, folder: &Path) {
        self.printer.status(Tone::Busy, "Building", format_args!("{name} ({})", from_here(folder).display()));
    }

    fn cargo_line(&mut self, line: &str) {
        if self.printer.quiet() {
            self.kept.push(line.to_owned());
        } else if !says_that_it_ended(line) {
            self.printer.foreign_line(line);
        }
    }
}

/// `    Finished `release` profile [optimized] target(s) in 0.05s`, whatever its colours.
fn says_that_it_ended(line: &str) -> bool {
    line.contains("Finished") && line.contains("target(s) in")
}

/// A folder without detours, and without the way to where we are.
fn from_here(folder: &Path) -> PathBuf {
    let plain = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
    match plain.strip_prefix(&here) {
        Ok(below) if below.as_os_str().is_empty() => PathBuf::from("."),
        Ok(below) => below.to_owned(),
        Err(_) => plain,
    }
}
