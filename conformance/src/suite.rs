//! One run of the suite: loads the connector, picks the clauses, checks them one after the other, and says how each ended.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rapidbyte_host::connector::build::BuildProgress;
use rapidbyte_host::operations::conformance::Candidate;
use rapidbyte_host::pipeline::Fixture;
use rapidbyte_host::{Host, HostError};
use tempfile::TempDir;

use crate::clause::{Clause, Finding};
use crate::limits::CLAUSE_DURATION_MAX;
use crate::registry;
use crate::report::{Outcome, Report, SUITE_VERSION, Verdict};
use crate::subject::{Places, Subject};

/// What is tested, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A component, or the folder of a connector's crate.
    pub path: PathBuf,
    /// In place of the `conformance.yaml` beside the connector.
    pub fixture: Option<PathBuf>,
    /// Config keys over those of the fixture.
    pub config: Vec<(String, String)>,
    /// Only these clauses. Empty: all of the role.
    pub clauses: Vec<String>,
    pub seed: u64,
}

impl Options {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Options { path: path.into(), ..Options::default() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("there is no clause `{name}`{}", of_role.map(|role| format!(" for a {role}")).unwrap_or_default())]
    UnknownClause { name: String, of_role: Option<&'static str> },
    #[error("the manifest is exempt from `{name}`, which is no clause of a {role}")]
    UnknownExemption { name: String, role: &'static str },
    #[error("cannot make a folder for the fixture")]
    Scratch(#[source] std::io::Error),
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    Started { clause: &'static Clause, index: usize, count: usize },
    Finished { outcome: &'a Outcome },
}

impl std::fmt::Debug for Clause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A connector that is loaded, with the clauses to hold it to.
pub struct Suite<'h> {
    host: &'h Host,
    candidate: Candidate,
    subject: Subject<'h>,
    clauses: Vec<&'static Clause>,
    options: Options,
    /// Deleted when the suite is dropped.
    _scratch: TempDir,
}

impl<'h> Suite<'h> {
    /// Builds and loads everything that is needed. Blocks.
    pub fn prepare(
        host: &'h Host,
        options: &Options,
        progress: &mut dyn BuildProgress,
    ) -> Result<Self, SuiteError> {
        if let Some(name) = options.clauses.iter().find(|name| registry::named(name).is_none()) {
            return Err(SuiteError::UnknownClause { name: name.clone(), of_role: None });
        }
        let candidate = host.candidate(&options.path, progress)?;
        Self::of_candidate(host, candidate, options, progress)
    }

    /// The same for a candidate in hand, whose manifest may differ from the one in the component.
    pub fn of_candidate(
        host: &'h Host,
        candidate: Candidate,
        options: &Options,
        progress: &mut dyn BuildProgress,
    ) -> Result<Self, SuiteError> {
        let role = candidate.manifest.role;
        let of_role = || registry::of_role(role);
        for name in &options.clauses {
            if !of_role().any(|clause| clause.name == name) {
                return Err(SuiteError::UnknownClause { name: name.clone(), of_role: Some(role.as_str()) });
            }
        }
        for exemption in &candidate.manifest.conformance.exempt {
            if !of_role().any(|clause| clause.name == exemption.clause) {
                let name = exemption.clause.clone();
                return Err(SuiteError::UnknownExemption { name, role: role.as_str() });
            }
        }
        let chosen = |clause: &&Clause| {
            options.clauses.is_empty() || options.clauses.iter().any(|name| clause.name == name)
        };
        let clauses = of_role().filter(chosen).collect();

        let scratch = tempfile::Builder::new().prefix("rapidbyte-conformance-").tempdir();
        let scratch = scratch.map_err(SuiteError::Scratch)?;
        let path = options.fixture.clone().or_else(|| candidate.fixture.clone());
        let (mut fixture, folder) = match &path {
            Some(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                (host.open_fixture(path, scratch.path())?, folder.unwrap_or(Path::new(".")).to_owned())
            }
            None => (Fixture::empty(), PathBuf::from(".")),
        };
        for (key, value) in &options.config {
            fixture.set(key, value);
        }
        let places = Places { folder: &folder, scratch: scratch.path() };
        let subject = Subject::load(host, &candidate, fixture, places, options.seed, progress)?;
        Ok(Suite { host, candidate, subject, clauses, options: options.clone(), _scratch: scratch })
    }

    /// How many clauses will be checked.
    pub fn clause_count(&self) -> usize {
        self.clauses.len()
    }

    /// Name and version of the connector.
    pub fn connector(&self) -> String {
        self.candidate.manifest.id()
    }

    /// Checks every clause, whatever became of those before it.
    pub async fn run(&self, observe: &mut dyn FnMut(Progress<'_>)) -> Report {
        let began = Instant::now();
        let started_at = jiff::Timestamp::now().to_string();
        let mut outcomes = Vec::new();
        for (index, clause) in self.clauses.iter().copied().enumerate() {
            observe(Progress::Started { clause, index, count: self.clauses.len() });
            let outcome = self.check(clause).await;
            observe(Progress::Finished { outcome: &outcome });
            outcomes.push(outcome);
        }
        let mut report = Report {
            connector: self.connector(),
            role: self.candidate.manifest.role.as_str(),
            component: self.candidate.component.display().to_string(),
            digest: self.candidate.digest.clone(),
            suite_version: SUITE_VERSION,
            seed: self.options.seed,
            network: self.host.network_word(),
            partial: !self.options.clauses.is_empty(),
            passed: false,
            started_at,
            seconds: began.elapsed().as_secs_f64(),
            outcomes,
        };
        report.passed = report.passed();
        report
    }

    async fn check(&self, clause: &'static Clause) -> Outcome {
        let began = Instant::now();
        let (mut expected, mut found) = (None, None);
        let exemptions = &self.candidate.manifest.conformance.exempt;
        let verdict = match exemptions.iter().find(|exemption| exemption.clause == clause.name) {
            Some(exemption) => Verdict::Exempt(exemption.reason.clone()),
            None => match tokio::time::timeout(CLAUSE_DURATION_MAX, (clause.check)(&self.subject)).await {
                Ok(Ok(())) => Verdict::Passed,
                // A connector's words, on their way to files and terminals.
                Ok(Err(Finding::Broken(breach))) => {
                    let clean = |text: String| self.host.redactor().redact(&text).into_owned();
                    (expected, found) = (breach.expected.map(clean), breach.found.map(clean));
                    Verdict::Failed(clean(breach.message))
                }
                Ok(Err(Finding::NotApplicable(reason))) => Verdict::NotApplicable(reason),
                Err(_) => {
                    Verdict::Failed(format!("it hangs: no end after {} s", CLAUSE_DURATION_MAX.as_secs()))
                }
            },
        };
        let hint = matches!(verdict, Verdict::Failed(_)).then_some(clause.hint);
        Outcome {
            clause: clause.name,
            severity: clause.severity,
            verdict,
            expected,
            found,
            hint,
            seconds: began.elapsed().as_secs_f64(),
        }
    }
}
