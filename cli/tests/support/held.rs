//! A run that can be held where one likes: a source far ahead of its destination, and a lock that keeps everybody from
//! writing to that.

use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use xtask::postgres::{Durability, PASSWORD, Server, USER};

use super::Project;

/// Rows that fill every channel many times over: a source that reads them cannot be at its end while nobody takes them.
pub const ROWS: u32 = 6_000;
const ROW_BYTES: u32 = 10_000;

pub struct Held {
    pub server: Server,
    pub project: Project,
}

/// A session that holds a lock until it is dropped.
pub struct Lock<'a> {
    server: &'a Server,
    session: Child,
}

impl Held {
    /// A destination table that exists, and a source that is far ahead of it; `more` of the document's keys, which are said
    /// once the server is known.
    pub fn new(more: impl FnOnce(&Server) -> Value) -> Self {
        let server = Server::start(Durability::Relaxed).unwrap();
        server.sql("postgres", "CREATE DATABASE src").unwrap();
        server.sql("postgres", "CREATE DATABASE dst").unwrap();
        let rows = "CREATE TABLE rows (id int PRIMARY KEY, value text); INSERT INTO rows VALUES (0, 'first')";
        server.sql("src", rows).unwrap();
        let connection = |database: &str| json!({ "host": server.host(), "port": server.port(), "user": USER, "password": PASSWORD, "database": database });
        let mut document = json!({
            "version": "1.0",
            "pipeline": "held",
            "source": {
                "use": super::components().join("source-postgres.wasm"),
                "config": connection("src"),
                "streams": [{ "name": "rows", "sync_mode": "incremental", "cursor_field": "id" }],
            },
            "destination": {
                "use": super::components().join("dest-postgres.wasm"), "config": connection("dst"), "write_mode": "append",
            },
            "resources": { "checkpoint_interval_rows": 100 },
        });
        let keys = document.as_object_mut().expect("a mapping");
        keys.extend(more(&server).as_object().expect("a mapping").clone());
        let held = Held { server, project: Project::new() };
        held.project.write("pipeline.yaml", document.to_string());
        held.run_to_the_end();
        held.add(1, ROWS, ROW_BYTES);
        held
    }

    /// A state in the same server, in a schema of its own.
    pub fn state_in_postgres(server: &Server) -> Value {
        let (host, port) = (server.host(), server.port());
        let connection = format!("postgres://{USER}:{PASSWORD}@{host}:{port}/dst?sslmode=disable");
        json!({ "state": { "backend": "postgres", "connection": connection } })
    }

    /// Puts rows with these numbers into the source.
    pub fn add(&self, first: u32, last: u32, bytes: u32) {
        let sql = format!(
            "INSERT INTO rows SELECT i, repeat('x', {bytes}) FROM generate_series({first}, {last}) i"
        );
        self.server.sql("src", &sql).unwrap();
    }

    pub fn run_to_the_end(&self) {
        self.project.rapidbyte(["run", "pipeline.yaml"]).run().expect(0);
    }

    /// Keeps everybody from writing to the destination.
    pub fn lock(&self) -> Lock<'_> {
        let mut psql = self.server.program("psql");
        let sql = "BEGIN; LOCK TABLE rows IN SHARE MODE; SELECT pg_sleep(3600)";
        psql.args(["--no-psqlrc", "--dbname", "dst", "--command", sql]);
        let session = psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.wait_until("SELECT count(*) FROM pg_locks WHERE relation = 'rows'::regclass AND mode = 'ShareLock' AND granted");
        Lock { server: &self.server, session }
    }

    /// Until the destination stands at the lock.
    pub fn wait_until_blocked(&self) {
        self.wait_until("SELECT count(*) FROM pg_locks WHERE relation = 'rows'::regclass AND NOT granted");
    }

    /// Until a question to the destination's database is answered by something else than 0.
    pub fn wait_until(&self, query: &str) {
        while self.server.sql("dst", query).unwrap() == "0" {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn assert_equal(&self) {
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
