//! The suite over a recording: with the server gone the same clauses end alike, faults included.

use rapidbyte_conformance::{Options, Suite, Verdict};
use xtask::postgres::Shutdown;

use crate::connectors::{SEED, options, server, variables};
use crate::support::{Quiet, host, runtime};

#[test]
fn what_was_recorded_is_replayed_with_faults_and_without_a_server() {
    let mut server = server();
    server.sql("postgres", SEED).unwrap_or_else(|error| panic!("{error:#}"));
    let variables = variables(&server);
    let clauses = [
        "config-valid",
        "validate-honest",
        "resume-every-checkpoint",
        "faults-each-import",
        "faults-combined",
    ];
    let options =
        Options { clauses: clauses.map(str::to_owned).to_vec(), seed: 11, ..options("source-postgres") };
    let cassettes = tempfile::tempdir().expect("a folder");
    let run = |record: bool| {
        let host = host(&variables);
        let chosen = match record {
            true => host.record_network(cassettes.path()),
            false => host.replay_network(cassettes.path()),
        };
        chosen.unwrap_or_else(|error| panic!("{error:?}"));
        let suite = Suite::prepare(&host, &options, &mut Quiet).unwrap_or_else(|error| panic!("{error:?}"));
        let report = runtime().block_on(suite.run(&mut |_| {}));
        for outcome in &report.outcomes {
            assert_eq!(outcome.verdict, Verdict::Passed, "{}: {:?}", outcome.clause, outcome.found);
        }
        assert_eq!(report.network, if record { "recorded" } else { "replayed" });
        host.as_recorded().unwrap_or_else(|error| panic!("{error}"));
    };
    run(true);
    server.stop(Shutdown::Fast).unwrap_or_else(|error| panic!("{error:#}"));
    run(false);
}
