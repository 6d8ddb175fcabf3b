//! Nothing lost, nothing twice: real Postgres to Postgres runs are killed with SIGKILL at many seeded points, run again until
//! they end, and the destination must then hold exactly the source's rows, by content.
//!
//! A kill point is a place the run passes (an import of a guest, a turning point of the engine) and how many times it
//! has been passed. The points and their counts are enumerated by an undisturbed run, so that no list here can go stale.
//! A failure prints the seed and the point that replay it: `RAPIDBYTE_CRASH_SEED=<seed> cargo test --test crash`.

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use support::components;
use support::random::Random;
use xtask::postgres::{Durability, PASSWORD, Server, Shutdown, USER};

/// Rows each stream starts with; with checkpoints 250 rows apart a run makes dozens of commits.
const ROWS: u32 = 2_000;
const CHECKPOINT_ROWS: u32 = 250;
/// How often one case may be killed before it is let through.
const KILLS_PER_CASE: u64 = 3;

/// One source, one destination, one pipeline over them.
struct Case<'a> {
    server: &'a RefCell<Server>,
    name: String,
    folder: tempfile::TempDir,
}

impl<'a> Case<'a> {
    fn new(server: &'a RefCell<Server>, name: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let case = Case { server, name, folder };
        for side in ["src", "dst"] {
            server.borrow().sql("postgres", &format!("CREATE DATABASE {}", case.database(side))).unwrap();
        }
        case.source(&format!(
            "CREATE TABLE events (id bigint PRIMARY KEY, kind text, amount numeric(12,2), at timestamptz);
             CREATE TABLE accounts (id int PRIMARY KEY, name text, touched timestamptz NOT NULL);
             CREATE TABLE rates (code text PRIMARY KEY, rate double precision);
             INSERT INTO events SELECT i, 'kind ' || i % 5, i / 7.0, timestamptz '2024-01-01' + i * interval '1 minute' FROM generate_series(1, {ROWS}) i;
             INSERT INTO accounts SELECT i, 'account ' || i, timestamptz '2024-01-01' + i * interval '1 second' FROM generate_series(1, {ROWS}) i;
             INSERT INTO rates SELECT 'r' || i, i * 0.5 FROM generate_series(1, {ROWS}) i;"
        ));
        let connection = |side: &str| {
            serde_json::json!({
                "host": server.borrow().host(), "port": server.borrow().port(), "user": USER, "password": PASSWORD,
                "database": case.database(side), "full_refresh_order": "always",
            })
        };
        let mut destination = connection("dst");
        destination.as_object_mut().unwrap().remove("full_refresh_order");
        let document = serde_json::json!({
            "version": "1.0",
            "pipeline": "crash",
            "source": {
                "use": components().join("source-postgres.wasm"),
                "config": connection("src"),
                "streams": [
                    { "name": "events", "sync_mode": "incremental", "cursor_field": "id", "write_mode": "append" },
                    { "name": "accounts", "sync_mode": "incremental", "cursor_field": "touched", "write_mode": "upsert", "primary_key": ["id"] },
                    { "name": "rates", "sync_mode": "full_refresh", "write_mode": "replace" },
                ],
            },
            "destination": { "use": components().join("dest-postgres.wasm"), "config": destination, "write_mode": "append" },
            "resources": { "checkpoint_interval_rows": CHECKPOINT_ROWS },
            "state": { "backend": "sqlite", "path": "state/state.db" },
        });
        std::fs::write(case.pipeline(), serde_json::to_string_pretty(&document).unwrap()).unwrap();
        case
    }

    fn database(&self, side: &str) -> String {
        format!("{}_{side}", self.name)
    }

    fn pipeline(&self) -> PathBuf {
        self.folder.path().join("pipeline.yaml")
    }

    fn source(&self, sql: &str) {
        self.server.borrow().sql(&self.database("src"), sql).unwrap();
    }

    /// What the source's users do between two syncs: new rows everywhere, changed ones where the mode follows changes.
    fn change_source(&self) {
        self.source(
            "INSERT INTO events SELECT max(id) + i, 'later', i, now() FROM events, generate_series(1, 700) i GROUP BY i;
             UPDATE accounts SET name = name || '!', touched = now() + id * interval '1 ms' WHERE id % 3 = 0;
             INSERT INTO accounts SELECT 100000 + i, 'new', now() + interval '1 hour' + i * interval '1 ms' FROM generate_series(1, 300) i;
             DELETE FROM rates WHERE code LIKE '%7';
             UPDATE rates SET rate = -rate WHERE code LIKE '%3';",
        );
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

    fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Runs with a kill point; answers whether it was killed there.
    fn run_killed_at(&self, point: &str) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let output = self.command().env("RAPIDBYTE_KILL_AT", point).output().unwrap();
        match output.status.signal() {
            Some(9) => true,
            _ => {
                assert!(output.status.success(), "{}: {}", point, String::from_utf8_lossy(&output.stderr));
                false
            }
        }
    }

    fn run_to_the_end(&self, context: &str) {
        let output = self.run();
        assert!(output.status.success(), "{context}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn forget_state(&self) {
        let state = self.folder.path().join("state");
        if state.exists() {
            std::fs::remove_dir_all(state).unwrap();
        }
    }

    /// The destination's rows are the source's, each as often.
    fn assert_equal(&self, context: &str) {
        for table in ["events", "accounts", "rates"] {
            let content = |side: &str| {
                let sql = format!(
                    "SELECT count(*) || ' rows, ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\")), '-') FROM {table} t"
                );
                self.server.borrow().sql(&self.database(side), &sql).unwrap()
            };
            assert_eq!(content("dst"), content("src"), "{context}: `{table}` differs");
        }
    }
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for side in ["src", "dst"] {
                let _ = self
                    .server
                    .borrow()
                    .sql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.database(side)));
            }
        }
    }
}

/// How often an undisturbed first sync passes each point.
fn enumerate(server: &RefCell<Server>) -> BTreeMap<String, u64> {
    let case = Case::new(server, "enumerate".to_owned());
    let trace = case.folder.path().join("points");
    let output = case.command().env("RAPIDBYTE_TRACE_POINTS", &trace).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    case.assert_equal("undisturbed");
    std::fs::read_to_string(trace)
        .unwrap()
        .lines()
        .map(|line| {
            let (point, count) = line.rsplit_once(' ').expect("a point and its count");
            (point.to_owned(), count.parse().unwrap())
        })
        .collect()
}

fn seed() -> u64 {
    std::env::var("RAPIDBYTE_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121)
}

/// Every named point is a victim at its first, its last and a random pass.
fn victims(points: &BTreeMap<String, u64>, random: &mut Random) -> Vec<String> {
    let mut victims = Vec::new();
    for (point, count) in points {
        let mut passes = vec![1, *count, 1 + random.below(*count)];
        passes.sort_unstable();
        passes.dedup();
        victims.extend(passes.into_iter().map(|pass| format!("{point}#{pass}")));
    }
    victims
}

/// Kills at `victim`, then at up to two more random points, then lets it end; twice, with changes in between.
fn torture(
    server: &RefCell<Server>,
    points: &BTreeMap<String, u64>,
    index: usize,
    victim: &str,
    lose_state: bool,
    random: &mut Random,
) -> bool {
    let case = Case::new(server, format!("case{index}{}", if lose_state { "_stateless" } else { "" }));
    let names: Vec<&String> = points.keys().collect();
    let mut context = format!("seed {}, killed at", seed());
    let mut killed_once = false;
    for sync in 0..2 {
        let mut point = victim.to_owned();
        for _ in 0..=random.below(KILLS_PER_CASE) {
            let killed = case.run_killed_at(&point);
            context.push_str(&format!(" {point}{}", if killed { "" } else { " (not reached)" }));
            killed_once |= killed;
            if lose_state {
                case.forget_state();
            }
            let name = names[random.below(names.len() as u64) as usize];
            point = format!("{name}#{}", 1 + random.below(points[name]));
        }
        case.run_to_the_end(&context);
        case.assert_equal(&context);
        if sync == 0 {
            case.change_source();
            context.push_str("; after changes at");
        }
    }
    killed_once
}

fn torture_all(lose_state: bool) {
    let server = RefCell::new(Server::start(Durability::Relaxed).unwrap());
    let points = enumerate(&server);
    for needed in [
        "engine.state-write.before",
        "engine.state-write.after",
        "destination.tcp-try-write",
        "destination.telemetry-checkpoint",
        "source.telemetry-checkpoint",
    ] {
        assert!(points.contains_key(needed), "the run never passes `{needed}`: {points:?}");
    }
    let mut random = Random::new(seed());
    let mut victims = victims(&points, &mut random);
    if lose_state {
        // The same machinery; half of the points are enough to see that a receipt alone suffices.
        victims.retain(|_| random.below(2) == 0);
    }
    let mut killed = 0;
    for (index, victim) in victims.iter().enumerate() {
        killed += u32::from(torture(&server, &points, index, victim, lose_state, &mut random));
    }
    println!("{killed} of {} cases were killed", victims.len());
    assert!(
        killed as usize * 10 >= victims.len() * 8,
        "only {killed} of {} cases were killed",
        victims.len()
    );
}

#[test]
fn killed_anywhere_and_run_again_the_rows_are_exact() {
    torture_all(false);
}

#[test]
fn killed_anywhere_with_the_state_lost_the_rows_are_exact() {
    torture_all(true);
}

#[test]
fn the_server_crashing_in_the_middle_loses_and_repeats_nothing() {
    let server = RefCell::new(Server::start(Durability::Relaxed).unwrap());
    let mut random = Random::new(seed());
    for round in 0..6 {
        let case = Case::new(&server, format!("restart{round}"));
        let mut child = case.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Until some commits are in, which is seen in the destination and not waited for by the clock.
        let enough = 1 + random.below(4);
        loop {
            let receipts = server
                .borrow()
                .sql(&case.database("dst"), "SELECT coalesce(max(checkpoint_id), 0) FROM _rapidbyte_receipts")
                .ok()
                .and_then(|count| count.parse::<u64>().ok())
                .unwrap_or(0);
            if receipts >= enough || child.try_wait().unwrap().is_some() {
                break;
            }
        }
        server.borrow_mut().restart(Shutdown::Immediate).unwrap();
        // Whether it noticed or had ended before: both are right, what counts is what the next run finds.
        let _ = child.wait().unwrap();
        case.run_to_the_end(&format!("round {round}"));
        case.assert_equal(&format!("round {round}"));
    }
}
