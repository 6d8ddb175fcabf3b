//! Deaths on demand, for the crash tests: the process kills itself at the n-th time that a run reaches a point. Not
//! documented for users, and without effect unless its variables are set.
//!
//! - `RAPIDBYTE_KILL_AT=<point>#<n>`: SIGKILL at the n-th `RunEvent::Reached` of `point`.
//! - `RAPIDBYTE_TRACE_POINTS=<file>`: at the end, every point that was reached with how often, a line each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rapidbyte_host::core::ports::{Observer, RunEvent};

use crate::report::Failure;

/// What the variables ask for.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    kill_at: Option<(String, u64)>,
    trace_file: Option<PathBuf>,
}

impl Faults {
    pub fn resolve<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Failure> {
        let kill_at = match variable("RAPIDBYTE_KILL_AT") {
            None => None,
            Some(text) => Some(parse(text).ok_or_else(|| {
                Failure::usage(
                    "kill_at",
                    format!("RAPIDBYTE_KILL_AT is `{text}`, not of the form `<point>#<n>`"),
                )
            })?),
        };
        Ok(Faults { kill_at, trace_file: variable("RAPIDBYTE_TRACE_POINTS").map(PathBuf::from) })
    }

    /// The observer with the faults in front of it; the very same where there are none.
    pub fn before(&self, observer: Arc<dyn Observer>) -> Arc<dyn Observer> {
        if self.kill_at.is_none() && self.trace_file.is_none() {
            return observer;
        }
        Arc::new(FaultyObserver { faults: self.clone(), reached: Mutex::default(), next: observer })
    }
}

fn parse(text: &str) -> Option<(String, u64)> {
    let (point, count) = text.rsplit_once('#')?;
    let count = count.parse().ok().filter(|count| *count > 0)?;
    (!point.is_empty()).then(|| (point.to_owned(), count))
}

struct FaultyObserver {
    faults: Faults,
    /// How often each point was reached.
    reached: Mutex<BTreeMap<String, u64>>,
    next: Arc<dyn Observer>,
}

impl FaultyObserver {
    fn count(&self, point: &str) -> u64 {
        let mut reached = self.reached.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match reached.get_mut(point) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => {
                reached.insert(point.to_owned(), 1);
                1
            }
        }
    }
}

impl Observer for FaultyObserver {
    fn observe(&self, event: RunEvent<'_>) {
        if let RunEvent::Reached { point } = &event {
            let count = self.count(point);
            if self.faults.kill_at.as_ref().is_some_and(|(at, n)| at == point && *n == count) {
                die();
            }
        }
        self.next.observe(event);
    }
}

impl Drop for FaultyObserver {
    fn drop(&mut self) {
        let Some(file) = &self.faults.trace_file else { return };
        let reached = self.reached.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let lines: String = reached.iter().map(|(point, count)| format!("{point} {count}\n")).collect();
        if let Err(error) = std::fs::write(file, lines) {
            tracing::error!("cannot write `{}`: {error}", file.display());
        }
    }
}

/// Ends the process as `kill -9` does: no destructor runs, nothing is flushed.
fn die() {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_is_strict() {
        assert_eq!(parse("destination.tcp-try-write#12"), Some(("destination.tcp-try-write".to_owned(), 12)));
        for wrong in ["", "#1", "point", "point#", "point#0", "point#x"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
