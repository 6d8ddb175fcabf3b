//! Exit codes: what each means, and which error ends with which. `docs/exit-codes.md` is generated from this file.

use std::error::Error;
use std::process::ExitCode;

use rapidbyte_host::HostError;
use rapidbyte_host::core::ports::StateError;
use rapidbyte_host::core::{ConnectorError, ErrorCategory};
use rapidbyte_host::engine::{Fault, Origin};
use rapidbyte_host::error::Actor;
use rapidbyte_host::scaffold::Error as Scaffold;

use crate::report::Failure;

/// How the process ends. A code says who must act, so that schedulers can tell "try again later" from "call somebody".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    Success = 0,
    Failed = 1,
    Usage = 2,
    Document = 3,
    Environment = 4,
    Connector = 5,
    Remote = 6,
    Data = 7,
    Busy = 8,
    Refused = 9,
    Bug = 101,
    Interrupted = 130,
    Terminated = 143,
}

impl Exit {
    #[cfg(test)]
    const ALL: [Exit; 13] = [
        Exit::Success,
        Exit::Failed,
        Exit::Usage,
        Exit::Document,
        Exit::Environment,
        Exit::Connector,
        Exit::Remote,
        Exit::Data,
        Exit::Busy,
        Exit::Refused,
        Exit::Bug,
        Exit::Interrupted,
        Exit::Terminated,
    ];

    pub fn code(self) -> u8 {
        self as u8
    }

    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Exit::Success => "success",
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::Document => "document",
            Exit::Environment => "environment",
            Exit::Connector => "connector",
            Exit::Remote => "remote",
            Exit::Data => "data",
            Exit::Busy => "busy",
            Exit::Refused => "refused",
            Exit::Bug => "bug",
            Exit::Interrupted => "interrupted",
            Exit::Terminated => "terminated",
        }
    }

    #[cfg(test)]
    fn meaning(self) -> &'static str {
        match self {
            Exit::Success => "Everything that was asked for is done.",
            Exit::Failed => "Several things failed for different reasons; each is reported.",
            Exit::Usage => {
                "The command line makes no sense: an unknown command or flag, a missing argument, a `RAPIDBYTE_…` variable that cannot be read."
            }
            Exit::Document => {
                "A document is wrong: the pipeline, a connector's manifest, a connector's configuration in it, `config.toml`, \
                 `rapidbyte.lock`."
            }
            Exit::Environment => {
                "This machine lacks something or refuses it: a file, a tool, a permission, the state database."
            }
            Exit::Connector => {
                "A connector is at fault: it does not compile, is no component, breaks the contract, traps, runs out \
                 of its memory or time."
            }
            Exit::Remote => {
                "A remote system is at fault: unreachable, refusing credentials or rights, overloaded. Trying again \
                 later may help."
            }
            Exit::Data => "A record or a schema does not fit, and the pipeline's policy is to fail.",
            Exit::Busy => {
                "Another process runs the same stream of the same pipeline. Trying again later will help."
            }
            Exit::Refused => {
                "A package is not what was agreed to, or nobody has agreed to it: unsigned or signed by somebody else, changed \
                 since it was locked, damaged on the way, reaching further. Somebody has to look at it."
            }
            Exit::Bug => "A defect of Rapidbyte itself. Please report it.",
            Exit::Interrupted => "Ended by Ctrl-C (SIGINT). The next run continues at the last checkpoint.",
            Exit::Terminated => "Ended by SIGTERM. The next run continues at the last checkpoint.",
        }
    }

    /// The exit of an error, if it is of a type that tells.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Exit> {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return Some(failure.exit);
        }
        if let Some(error) = error.downcast_ref::<ConnectorError>() {
            return Some(Exit::of_connector(error));
        }
        let error = error.downcast_ref::<HostError>()?;
        Some(match (error, error.actor()) {
            (HostError::State(StateError::Busy { .. }), _) => Exit::Busy,
            (
                HostError::UnknownStream { .. }
                | HostError::Scaffold(Scaffold::Name(_) | Scaffold::Exists { .. }),
                _,
            ) => Exit::Usage,
            (HostError::Fault(fault), _) => Exit::of_fault(fault),
            // The signal's own exit takes its place.
            (_, Actor::Operator) => Exit::Failed,
            (_, Actor::Document) => Exit::Document,
            (_, Actor::Environment) => Exit::Environment,
            (_, Actor::Connector) => Exit::Connector,
            (_, Actor::Remote) => Exit::Remote,
            (_, Actor::Typist) => Exit::Usage,
            (_, Actor::Judge) => Exit::Refused,
        })
    }

    /// The exit of what went wrong in a task.
    pub fn of_fault(fault: &Fault) -> Exit {
        match fault.origin {
            Origin::State if matches!(fault.error.code.as_str(), "stream_busy" | "stream_taken_over") => {
                Exit::Busy
            }
            Origin::State => Exit::Environment,
            // The local cache's files, whoever had something for them.
            _ if matches!(
                fault.error.code.as_str(),
                "cache_unavailable" | "cache_damaged" | "cache_too_new"
            ) =>
            {
                Exit::Environment
            }
            Origin::Engine if fault.error.category == ErrorCategory::Internal => Exit::Bug,
            _ => Exit::of_connector(&fault.error),
        }
    }

    /// The exit of what a connector says.
    pub fn of_connector(error: &ConnectorError) -> Exit {
        use ErrorCategory::*;
        match error.category {
            Config => Exit::Document,
            Auth | Permission | RateLimit | TransientNetwork | TransientDb => Exit::Remote,
            Data | Schema => Exit::Data,
            Internal | Frame => Exit::Connector,
        }
    }

    /// The exit of several things together: their common one, or [`Exit::Failed`]; success counts for nothing.
    pub fn combine(self, other: Exit) -> Exit {
        match (self, other) {
            (Exit::Success, exit) | (exit, Exit::Success) => exit,
            // That it was asked to end explains whatever else ended early.
            (signal @ (Exit::Interrupted | Exit::Terminated), _)
            | (_, signal @ (Exit::Interrupted | Exit::Terminated)) => signal,
            (one, two) if one == two => one,
            _ => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The page as it must be.
    fn page() -> String {
        let mut page = String::from(
            "# Exit codes\n\n\
             <!-- Generated from `cli/src/exit.rs`; `cargo test -p rapidbyte-cli exit_codes` brings it up to date. -->\n\n\
             A code says who must act. With `--format json` the same word stands in `error.class`.\n\n\
             | code | class | meaning |\n| ---: | --- | --- |\n",
        );
        for exit in Exit::ALL {
            page.push_str(&format!("| {} | `{}` | {} |\n", exit.code(), exit.word(), exit.meaning()));
        }
        page
    }

    #[test]
    fn the_page_of_exit_codes_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/exit-codes.md");
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        if written != page() {
            std::fs::write(&path, page()).expect("docs can be written");
            panic!("docs/exit-codes.md was out of date; it is written anew, look at it and commit it");
        }
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(Exit::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
    }

    #[test]
    fn several_exits_make_one() {
        use Exit::*;
        assert_eq!(Success.combine(Remote), Remote);
        assert_eq!(Remote.combine(Remote), Remote);
        assert_eq!(Remote.combine(Data), Failed);
        assert_eq!(Data.combine(Interrupted), Interrupted);
    }
}
