//! Nothing lost, nothing twice, whatever is combined: runs are killed with SIGKILL at seeded points in every combination of
//! how streams are read (as one or in partitions), where the state lies (SQLite or PostgreSQL) and whether records are
//! refused on the way (dead letters), run again until they end, and judged by content.
//!
//! The points that an undisturbed run passes are pinned by a snapshot for each combination: one that is not reached any more
//! fails here, and does not silently shrink what is tried. `RAPIDBYTE_CRASH_SEED=<seed>` replays.

mod support;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use support::components;
use support::random::Random;
use xtask::postgres::{Durability, PASSWORD, Server, USER};

/// Kills in each of the eight combinations; 512 in all.
const KILLS: usize = 64;
const ROWS: u32 = 600;
/// The records that the destination refuses, where records are refused.
const REFUSED: &str = "abs(id) % 50 = 7";

#[derive(Clone, Copy)]
struct Shape {
    partitioned: bool,
    state_in_postgres: bool,
    dead_letters: bool,
}

impl Shape {
    fn name(self) -> String {
        format!(
            "{}_{}_{}",
            if self.partitioned { "partitions" } else { "whole" },
            if self.state_in_postgres { "postgres" } else { "sqlite" },
            if self.dead_letters { "letters" } else { "clean" }
        )
    }

    fn streams(self) -> serde_json::Value {
        if self.partitioned {
            let split = |name: &str, mode: &str| {
                let mut stream = serde_json::json!({
                    "name": name, "sync_mode": "full_refresh", "write_mode": mode, "partition_key": "id", "partitions": 3,
                });
                if mode == "upsert" {
                    stream["primary_key"] = serde_json::json!(["id"]);
                }
                stream
            };
            return serde_json::json!([
                split("events", "append"),
                split("accounts", "upsert"),
                split("rates", "replace")
            ]);
        }
        serde_json::json!([
            { "name": "events", "sync_mode": "incremental", "cursor_field": "id", "write_mode": "append" },
            { "name": "accounts", "sync_mode": "incremental", "cursor_field": "touched", "write_mode": "upsert", "primary_key": ["id"] },
            { "name": "rates", "sync_mode": "full_refresh", "write_mode": "replace" },
        ])
    }
}

/// One source that stays, and one destination with its state that are made anew for every case.
struct Bench<'a> {
    server: &'a Server,
    shape: Shape,
    folder: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn new(server: &'a Server, shape: Shape) -> Self {
        let bench = Bench { server, shape, folder: tempfile::tempdir().unwrap() };
        server.sql("postgres", "CREATE DATABASE src").unwrap();
        server.sql("postgres", "CREATE DATABASE dst").unwrap();
        bench.sql("src", &format!(
            "CREATE TABLE events (id bigint PRIMARY KEY, kind text, amount numeric(12,2), at timestamptz);
             CREATE TABLE accounts (id int PRIMARY KEY, name text, touched timestamptz NOT NULL);
             CREATE TABLE rates (id int PRIMARY KEY, rate double precision);
             INSERT INTO events SELECT i, 'kind ' || i % 5, i / 7.0, timestamptz '2024-01-01' + i * interval '1 minute' FROM generate_series(-{ROWS} / 2, {ROWS} / 2) i;
             INSERT INTO accounts SELECT i, 'account ' || i, timestamptz '2024-01-01' + i * interval '1 second' FROM generate_series(1, {ROWS}) i;
             INSERT INTO rates SELECT i, i * 0.5 FROM generate_series(1, {ROWS}) i;
             ANALYZE"
        ));
        bench.write_document();
        bench
    }

    fn sql(&self, database: &str, sql: &str) -> String {
        self.server.sql(database, sql).unwrap()
    }

    fn write_document(&self) {
        let (host, port) = (self.server.host(), self.server.port());
        let connection = |database: &str| serde_json::json!({ "host": host, "port": port, "user": USER, "password": PASSWORD, "database": database });
        let mut source = connection("src");
        source["full_refresh_order"] = "always".into();
        let mut destination = serde_json::json!({
            "use": components().join("dest-postgres.wasm"), "config": connection("dst"), "write_mode": "append",
        });
        if self.shape.dead_letters {
            destination["on_data_error"] = "dlq".into();
            destination["dlq_table"] = "dead".into();
        }
        let state = match self.shape.state_in_postgres {
            false => serde_json::json!({ "backend": "sqlite", "path": "state/state.db" }),
            true => serde_json::json!({
                "backend": "postgres",
                "connection": format!("postgres://{USER}:{PASSWORD}@{host}:{port}/dst?sslmode=disable"),
            }),
        };
        let document = serde_json::json!({
            "version": "1.0",
            "pipeline": "matrix",
            "source": { "use": components().join("source-postgres.wasm"), "config": source, "streams": self.shape.streams() },
            "destination": destination,
            "resources": { "checkpoint_interval_rows": 100 },
            "errors": { "retry": { "max_attempts": 1 } },
            "state": state,
        });
        std::fs::write(self.pipeline(), serde_json::to_string_pretty(&document).unwrap()).unwrap();
    }

    fn pipeline(&self) -> PathBuf {
        self.folder.path().join("pipeline.yaml")
    }

    /// An empty destination and a state that knows nothing.
    fn begin(&self) {
        self.sql(
            "dst",
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS rapidbyte CASCADE; \
             CREATE TABLE events (id bigint, kind text, amount numeric(12,2), at timestamptz); \
             CREATE TABLE accounts (id int PRIMARY KEY, name text, touched timestamptz);",
        );
        if self.shape.dead_letters {
            let refuse = |table: &str| format!("ALTER TABLE {table} ADD CHECK (NOT ({REFUSED}));");
            self.sql("dst", &(refuse("events") + &refuse("accounts")));
        }
        let state = self.folder.path().join("state");
        if state.exists() {
            std::fs::remove_dir_all(state).unwrap();
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rapidbyte"));
        command
            .args(["run", "--quiet"])
            .arg(self.pipeline())
            .env("RAPIDBYTE_HOME", support::home())
            .env_remove("RAPIDBYTE_KILL_AT")
            .stdin(Stdio::null());
        command
    }

    /// A process that was killed is dead at once; that its server has noticed takes a moment more.
    fn output(&self, mut command: Command) -> Output {
        loop {
            let output = command.output().unwrap();
            if !String::from_utf8_lossy(&output.stderr).contains("is being run by") {
                return output;
            }
        }
    }

    fn run(&self, context: &str) {
        let output = self.output(self.command());
        assert!(output.status.success(), "{context}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Answers whether it was killed there.
    fn run_killed_at(&self, point: &str) -> bool {
        let mut command = self.command();
        command.env("RAPIDBYTE_KILL_AT", point);
        let output = self.output(command);
        if output.status.signal() == Some(9) {
            return true;
        }
        assert!(output.status.success(), "{point}: {}", String::from_utf8_lossy(&output.stderr));
        false
    }

    fn judge(&self, context: &str) {
        let keep = |table: &str| match self.shape.dead_letters && table != "rates" {
            true => format!("SELECT t FROM {table} t WHERE NOT ({REFUSED})"),
            false => format!("SELECT t FROM {table} t"),
        };
        // Of each record, how often: a full refresh that was appended and came to its end twice has all of them twice.
        let rows = |database: &str, query: &str| {
            let sql = format!(
                "SELECT count(*) || ' different, ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\")), '-') \
                 FROM (SELECT DISTINCT t::text t FROM ({query}) q) d"
            );
            self.sql(database, &sql)
        };
        let often = |query: &str| {
            self.sql("dst", &format!("SELECT coalesce(string_agg(DISTINCT n::text, ','), '0') FROM (SELECT count(*) n FROM ({query}) q GROUP BY t::text) d"))
        };
        for table in ["events", "accounts", "rates"] {
            assert_eq!(
                rows("dst", &format!("SELECT t FROM {table} t")),
                rows("src", &keep(table)),
                "{context}: `{table}` differs"
            );
            let times = often(&format!("SELECT t FROM {table} t"));
            match self.shape.partitioned && table == "events" {
                true => {
                    assert!(is_of_whole_readings(&times), "{context}: records of `{table}` {times} times")
                }
                false => assert_eq!(times, "1", "{context}: records of `{table}`"),
            }
        }
        if self.shape.dead_letters {
            for table in ["events", "accounts"] {
                let letters = format!("SELECT record::json->>'id' t FROM dead WHERE stream = '{table}'");
                let refused = self.sql("src", &format!("SELECT count(*) FROM {table} WHERE {REFUSED}"));
                let found = self.sql("dst", &format!("SELECT count(DISTINCT t) FROM ({letters}) q"));
                assert_eq!(found, refused, "{context}: dead letters of `{table}`");
                let times = often(&letters);
                let whole = times == "1" || self.shape.partitioned && is_of_whole_readings(&times);
                assert!(whole, "{context}: dead letters {times} times");
            }
        }
    }

    /// How often an undisturbed run passes each point.
    fn points(&self) -> BTreeMap<String, u64> {
        self.begin();
        let trace = self.folder.path().join("points");
        let output = self.command().env("RAPIDBYTE_TRACE_POINTS", &trace).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.judge("undisturbed");
        let text = std::fs::read_to_string(trace).unwrap();
        let point = |line: &str| {
            let (point, count) = line.rsplit_once(' ').expect("a point and its count");
            (point.to_owned(), count.parse().unwrap())
        };
        text.lines().map(point).collect()
    }
}

/// All of the same number: one for each reading that came to its end, of which there are as many as runs at most.
fn is_of_whole_readings(times: &str) -> bool {
    matches!(times, "1" | "2" | "3")
}

fn torture(shape: Shape) {
    let server = Server::start(Durability::Relaxed).unwrap();
    let bench = Bench::new(&server, shape);
    let points = bench.points();
    let names: Vec<&str> = points.keys().map(String::as_str).collect();
    insta::assert_snapshot!(format!("points_{}", shape.name()), names.join("\n"));

    let seed =
        std::env::var("RAPIDBYTE_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let mut random = Random::new(seed);
    let mut killed = 0;
    for case in 0..KILLS {
        // Every point in turn, at a random pass.
        let name = names[case % names.len()];
        let point = format!("{name}#{}", 1 + random.below(points[name]));
        let context = format!("seed {seed}, {}, killed at {point}", shape.name());
        bench.begin();
        killed += usize::from(bench.run_killed_at(&point));
        // Now and then again, somewhere else on the way back.
        if random.below(3) == 0 {
            let name = names[random.below(names.len() as u64) as usize];
            bench.run_killed_at(&format!("{name}#{}", 1 + random.below(points[name])));
        }
        bench.run(&context);
        bench.judge(&context);
    }
    assert!(killed * 10 >= KILLS * 8, "only {killed} of {KILLS} cases were killed");
}

macro_rules! matrix {
    ($($name:ident: $partitioned:literal $postgres:literal $letters:literal;)*) => {
        $(#[test]
        fn $name() {
            torture(Shape { partitioned: $partitioned, state_in_postgres: $postgres, dead_letters: $letters });
        })*
    };
}

matrix! {
    whole_sqlite_clean: false false false;
    whole_sqlite_letters: false false true;
    whole_postgres_clean: false true false;
    whole_postgres_letters: false true true;
    partitions_sqlite_clean: true false false;
    partitions_sqlite_letters: true false true;
    partitions_postgres_clean: true true false;
    partitions_postgres_letters: true true true;
}
