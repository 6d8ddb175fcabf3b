//! Ctrl-C and SIGTERM: the first ends a run at its next checkpoint, the second at once; the next run goes on from there.

mod support;

use serde_json::json;
use support::held::{Held, ROWS};

/// One signal while the destination is held up: the run ends at a checkpoint, before the stream's end.
fn ends_at_a_checkpoint(signal: &str, code: i32) {
    let held = Held::new(|_| json!({}));
    let lock = held.lock();
    let mut running = held.project.rapidbyte(["run", "pipeline.yaml", "--format", "json"]).start();
    held.wait_until_blocked();
    running.signal(signal);
    running.wait_until_it_says("Stopping");
    drop(lock);
    let outcome = running.wait().expect(code);
    let report: serde_json::Value = serde_json::from_str(&outcome.json()).unwrap();
    assert_eq!(report["status"], "stopped", "{report}");
    let written = report["streams"][0]["records_written"].as_u64().unwrap();
    assert!(written < u64::from(ROWS), "it went on to the end: {report}");
    held.run_to_the_end();
    held.assert_equal();
}

#[test]
fn the_first_interrupt_ends_at_a_checkpoint() {
    ends_at_a_checkpoint("-INT", 130);
}

#[test]
fn the_first_terminate_ends_at_a_checkpoint() {
    ends_at_a_checkpoint("-TERM", 143);
}

#[test]
fn the_second_interrupt_ends_at_once() {
    let held = Held::new(|_| json!({}));
    let lock = held.lock();
    let mut running = held.project.rapidbyte(["run", "pipeline.yaml"]).start();
    held.wait_until_blocked();
    running.signal("-INT");
    running.wait_until_it_says("Stopping");
    running.signal("-INT");
    // The lock is still held: nothing but ending at once could end it.
    let outcome = running.wait().expect(130);
    assert!(outcome.stderr.contains("the next run continues"), "{}", outcome.stderr);
    drop(lock);
    held.run_to_the_end();
    held.assert_equal();
}

#[test]
fn two_runs_of_one_stream_do_not_meet() {
    let held = Held::new(|_| json!({}));
    let lock = held.lock();
    let running = held.project.rapidbyte(["run", "pipeline.yaml"]).start();
    held.wait_until_blocked();
    let second = held.project.rapidbyte(["run", "pipeline.yaml"]).filter(r"process \d+", "process [PID]");
    assert_outcome!("busy", second.filter(r"by .*\n", "by [HOLDER]\n").run().expect(8));
    drop(lock);
    running.wait().expect(0);
    held.assert_equal();
}
