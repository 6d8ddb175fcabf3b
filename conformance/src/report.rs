//! The outcome of a suite's run: every clause with its verdict, as people, CI and publishers need it. Says nothing about how
//! it is drawn.

use serde::Serialize;

use crate::clause::Severity;

/// The suite's version, in reports and certificates.
pub const SUITE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// How one clause ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "message", rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    Failed(String),
    /// It says nothing about this connector or fixture, and why.
    NotApplicable(String),
    /// Declared in the manifest, with the reason there.
    Exempt(String),
}

impl Verdict {
    /// The word in output.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed(_) => "failed",
            Verdict::NotApplicable(_) => "not applicable",
            Verdict::Exempt(_) => "exempt",
        }
    }

    /// What goes with it.
    pub fn message(&self) -> Option<&str> {
        match self {
            Verdict::Passed => None,
            Verdict::Failed(text) | Verdict::NotApplicable(text) | Verdict::Exempt(text) => Some(text),
        }
    }
}

/// One clause's outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub clause: &'static str,
    pub severity: Severity,
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What should have come, of what failed, where the message does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What came instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Where to look first, of what failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
    pub seconds: f64,
}

/// The whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Name and version.
    pub connector: String,
    pub role: &'static str,
    pub component: String,
    /// SHA-256 of the component in hexadecimal.
    pub digest: String,
    pub suite_version: &'static str,
    pub seed: u64,
    /// What its connections were: `live`, `recorded` or `replayed`.
    pub network: &'static str,
    /// Whether only chosen clauses were run: then it proves nothing as a whole.
    pub partial: bool,
    pub passed: bool,
    /// When it began, by RFC 3339.
    pub started_at: String,
    pub seconds: f64,
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// No clause is broken, but for those that only warn.
    pub fn passed(&self) -> bool {
        !self
            .outcomes
            .iter()
            .any(|it| matches!(it.verdict, Verdict::Failed(_)) && it.severity != Severity::Warning)
    }

    /// How many clauses ended so: passed, failed, not applicable, exempt.
    pub fn counts(&self) -> [usize; 4] {
        let count =
            |wanted: fn(&Verdict) -> bool| self.outcomes.iter().filter(|it| wanted(&it.verdict)).count();
        [
            count(|it| matches!(it, Verdict::Passed)),
            count(|it| matches!(it, Verdict::Failed(_))),
            count(|it| matches!(it, Verdict::NotApplicable(_))),
            count(|it| matches!(it, Verdict::Exempt(_))),
        ]
    }

    /// The names of the clauses that are broken.
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = self.outcomes.iter().filter(|it| matches!(it.verdict, Verdict::Failed(_)));
        failed.map(|it| it.clause).collect()
    }
}
