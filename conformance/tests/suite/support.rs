//! A host for tests, and a way to run the suite over a folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rapidbyte_conformance::{Options, Report, Suite, Verdict};
use rapidbyte_host::connector::build::BuildProgress;
use rapidbyte_host::{Host, Settings};

/// Builds without a word; what a compiler says is shown when the build fails.
pub struct Quiet;

impl BuildProgress for Quiet {
    fn installing_target(&mut self, _: &str) {}
    fn compiling(&mut self, _: &str, _: &Path) {}
    fn cargo_line(&mut self, line: &str) {
        println!("{line}");
    }
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_owned()
}

/// A host with these variables; compiled code is shared by all tests.
pub fn host(variables: &[(&str, String)]) -> Host {
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Host::new(Settings {
        home: Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"),
        environment: Arc::new(move |name| variables.get(name).cloned()),
        redactor: Default::default(),
        packages: Default::default(),
    })
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads")
}

/// Runs the suite over a first-party connector.
pub fn run(host: &Host, options: &Options) -> Report {
    let suite = Suite::prepare(host, options, &mut Quiet).unwrap_or_else(|error| panic!("{error:?}"));
    runtime().block_on(suite.run(&mut |_| {}))
}

/// Every clause passed; only the named ones had nothing to look at.
pub fn assert_passes(report: &Report, not_applicable: &[&str]) {
    for outcome in &report.outcomes {
        println!("{:>8.3}s {} {:?}", outcome.seconds, outcome.clause, outcome.verdict);
        for (word, text) in [("expected", &outcome.expected), ("found", &outcome.found)] {
            text.iter().for_each(|text| println!("          {word}: {text}"));
        }
    }
    let skipped: Vec<&str> = report
        .outcomes
        .iter()
        .filter(|outcome| matches!(outcome.verdict, Verdict::NotApplicable(_)))
        .map(|outcome| outcome.clause)
        .collect();
    assert_eq!(report.failed(), Vec::<&str>::new(), "of {}", report.connector);
    assert_eq!(skipped, not_applicable, "what a connector is not asked must be known");
}
