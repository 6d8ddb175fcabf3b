//! Ctrl-C and SIGTERM: the first ends a run at its next checkpoint, the second at once; the next run goes on from there.

mod support;

use std::process::{Child, Stdio};

use serde_json::json;
use support::{Project, components};
use xtask::postgres::{Durability, PASSWORD, Server, USER};

/// Rows that fill every channel many times over: a source that reads them cannot be at its end while nobody takes them.
const ROWS: u32 = 6_000;
const ROW_BYTES: u32 = 10_000;

struct Setup {
    server: Server,
    project: Project,
}

/// A session that holds a lock until it is dropped.
struct Lock<'a> {
    server: &'a Server,
    session: Child,
}

impl Setup {
    /// A destination table that exists, and a source that is far ahead of it.
    fn new() -> Self {
        let server = Server::start(Durability::Relaxed).unwrap();
        server.sql("postgres", "CREATE DATABASE src").unwrap();
        server.sql("postgres", "CREATE DATABASE dst").unwrap();
        server
            .sql(
                "src",
                "CREATE TABLE rows (id int PRIMARY KEY, value text); INSERT INTO rows VALUES (0, 'first')",
            )
            .unwrap();
        let setup = Setup { server, project: Project::new() };
        let connection = |database: &str| json!({ "host": setup.server.host(), "port": setup.server.port(), "user": USER, "password": PASSWORD, "database": database });
        let document = json!({
            "version": "1.0",
            "pipeline": "interrupted",
            "source": {
                "use": components().join("source-postgres.wasm"),
                "config": connection("src"),
                "streams": [{ "name": "rows", "sync_mode": "incremental", "cursor_field": "id" }],
            },
            "destination": { "use": components().join("dest-postgres.wasm"), "config": connection("dst"), "write_mode": "append" },
            "resources": { "checkpoint_interval_rows": 100 },
        });
        setup.project.write("pipeline.yaml", document.to_string());
        setup.run_to_the_end();
        setup
            .server
            .sql(
                "src",
                &format!(
                    "INSERT INTO rows SELECT i, repeat('x', {ROW_BYTES}) FROM generate_series(1, {ROWS}) i"
                ),
            )
            .unwrap();
        setup
    }

    fn run_to_the_end(&self) {
        self.project.rapidbyte(["run", "pipeline.yaml"]).run().expect(0);
    }

    /// Keeps everybody from writing to the destination.
    fn lock(&self) -> Lock<'_> {
        let mut psql = self.server.program("psql");
        psql.args([
            "--no-psqlrc",
            "--dbname",
            "dst",
            "--command",
            "BEGIN; LOCK TABLE rows IN SHARE MODE; SELECT pg_sleep(3600)",
        ]);
        let session = psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.wait_until("SELECT count(*) FROM pg_locks WHERE relation = 'rows'::regclass AND mode = 'ShareLock' AND granted");
        Lock { server: &self.server, session }
    }

    /// Until the destination stands at the lock.
    fn wait_until_blocked(&self) {
        self.wait_until("SELECT count(*) FROM pg_locks WHERE relation = 'rows'::regclass AND NOT granted");
    }

    fn wait_until(&self, query: &str) {
        while self.server.sql("dst", query).unwrap() == "0" {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    fn assert_equal(&self) {
        let content = "SELECT count(*), count(DISTINCT id), sum(length(value)) FROM rows";
        assert_eq!(self.server.sql("dst", content).unwrap(), self.server.sql("src", content).unwrap());
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)%' AND pid <> pg_backend_pid()";
        let _ = self.server.sql("dst", sql);
        let _ = self.session.wait();
    }
}

/// One signal while the destination is held up: the run ends at a checkpoint, before the stream's end.
fn ends_at_a_checkpoint(signal: &str, code: i32) {
    let setup = Setup::new();
    let lock = setup.lock();
    let mut running = setup.project.rapidbyte(["run", "pipeline.yaml", "--format", "json"]).start();
    setup.wait_until_blocked();
    running.signal(signal);
    running.wait_until_it_says("Stopping");
    drop(lock);
    let outcome = running.wait().expect(code);
    let report: serde_json::Value = serde_json::from_str(&outcome.json()).unwrap();
    assert_eq!(report["status"], "stopped", "{report}");
    let written = report["streams"][0]["records_written"].as_u64().unwrap();
    assert!(written < u64::from(ROWS), "it went on to the end: {report}");
    setup.run_to_the_end();
    setup.assert_equal();
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
    let setup = Setup::new();
    let lock = setup.lock();
    let mut running = setup.project.rapidbyte(["run", "pipeline.yaml"]).start();
    setup.wait_until_blocked();
    running.signal("-INT");
    running.wait_until_it_says("Stopping");
    running.signal("-INT");
    // The lock is still held: nothing but ending at once could end it.
    let outcome = running.wait().expect(130);
    assert!(outcome.stderr.contains("the next run continues"), "{}", outcome.stderr);
    drop(lock);
    setup.run_to_the_end();
    setup.assert_equal();
}

#[test]
fn two_runs_of_one_stream_do_not_meet() {
    let setup = Setup::new();
    let lock = setup.lock();
    let running = setup.project.rapidbyte(["run", "pipeline.yaml"]).start();
    setup.wait_until_blocked();
    let second = setup.project.rapidbyte(["run", "pipeline.yaml"]).filter(r"process \d+", "process [PID]");
    assert_outcome!("busy", second.filter(r"by .*\n", "by [HOLDER]\n").run().expect(8));
    drop(lock);
    running.wait().expect(0);
    setup.assert_equal();
}
