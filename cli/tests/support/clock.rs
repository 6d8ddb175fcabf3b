//! A clock that jumps: `libfaketime` between a process and the system's wall clock. What measures durations is not touched,
//! as it is not when an administrator or NTP sets the clock.

use std::path::PathBuf;
use std::process::Command;

use super::{Invocation, Project};

pub struct Clock {
    library: String,
    file: PathBuf,
}

impl Clock {
    /// One that goes right.
    pub fn new(project: &Project) -> Self {
        let output = Command::new("faketime").args(["-m", "-f", "+0d", "printenv", "LD_PRELOAD"]).output();
        let output = output.expect("`faketime` is installed: `cargo xtask test` does that");
        let library = String::from_utf8(output.stdout).expect("a path").trim().to_owned();
        let clock = Clock { library, file: project.path("clock") };
        clock.set("+0d");
        clock
    }

    /// Moves it this far from the right time: `-3d`. Whoever goes by it sees that at once.
    pub fn set(&self, offset: &str) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, offset).expect("the clock is set");
        std::fs::rename(next, &self.file).expect("the clock is set");
    }

    /// Lets a process go by it.
    pub fn given_to(&self, invocation: Invocation) -> Invocation {
        invocation
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
    }
}
