//! What the world does to a run: disks that are full, connections that are cut, a destination that stands still, clocks that
//! jump, another machine that runs the same. Nothing is lost, nothing is there twice, and what went wrong is said.

mod support;

use serde_json::{Value, json};
use support::clock::Clock;
use support::disk::Disk;
use support::held::{Held, ROWS};
use support::proxy::Proxy;
use support::random::Random;
use support::{Outcome, Project, components};
use xtask::postgres::{PASSWORD, Server, USER};

const MIB: u64 = 1 << 20;

fn run(project: &Project) -> support::Invocation {
    project.rapidbyte(["run", "pipeline.yaml", "--format", "json"])
}

fn report(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.json()).unwrap()
}

/// One attempt: what is tried again would fail again.
fn once(mut more: Value) -> Value {
    more["errors"] = json!({ "retry": { "max_attempts": 1 } });
    more
}

#[test]
fn a_destination_without_room_is_named_and_filled_later() {
    let disk = Disk::new(64 * MIB);
    let held = Held::new(|_| once(json!({})));
    let place = disk.path("tablespace");
    std::fs::create_dir(&place).unwrap();
    held.server.give(&place).unwrap();
    let tablespace = format!("CREATE TABLESPACE small LOCATION '{}'", place.display());
    held.server.sql("postgres", &tablespace).unwrap();
    held.server.sql("dst", "ALTER TABLE rows SET TABLESPACE small").unwrap();
    disk.fill(256 << 10);
    let outcome = run(&held.project).run();
    assert_eq!(outcome.status.code(), Some(6), "{}", outcome.text());
    assert!(outcome.stderr.contains("No space left on device"), "{}", outcome.text());
    let written = report(&outcome)["streams"][0]["records_written"].as_u64().unwrap();
    assert!(0 < written && written < u64::from(ROWS), "{}", outcome.text());
    disk.free();
    held.run_to_the_end();
    held.assert_equal();
}

/// Numbers of the rows in the destination's files.
fn ids_in_files(disk: &Disk) -> Vec<u32> {
    let files = std::fs::read_dir(disk.path("out/rows")).unwrap().map(|entry| entry.unwrap().path());
    let lines = files.flat_map(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    });
    let mut ids: Vec<u32> = lines.map(|row| row["id"].as_u64().unwrap().try_into().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn files_without_room_are_named_and_written_later() {
    let disk = Disk::new(128 * MIB);
    let held = Held::new(|_| {
        once(json!({ "destination": {
            "use": components().join("dest-file.wasm"),
            "config": { "path": disk.path("out"), "format": "jsonl" },
            "write_mode": "append",
        }}))
    });
    disk.fill(20 * MIB);
    let outcome = run(&held.project).run();
    assert_eq!(outcome.status.code(), Some(5), "{}", outcome.text());
    // The contract's file system says no more than that it failed.
    let said = &outcome.stderr;
    assert!(said.contains("cannot write") && said.contains("the disk may be full"), "{}", outcome.text());
    let found = ids_in_files(&disk).len();
    assert!(1 < found && found < ROWS as usize, "{found} rows: {}", outcome.text());
    disk.free();
    held.run_to_the_end();
    assert!(ids_in_files(&disk).into_iter().eq(0..=ROWS));
}

#[test]
fn a_state_without_room_is_named_and_caught_up_with() {
    let disk = Disk::new(16 * MIB);
    let held =
        Held::new(|_| once(json!({ "state": { "backend": "sqlite", "path": disk.path("state.db") } })));
    // Room for some checkpoints, and for none.
    for room in [64 << 10, 0] {
        disk.fill(room);
        let outcome = run(&held.project).run();
        assert!(!outcome.status.success(), "{room}: {}", outcome.text());
        let said = &outcome.stderr;
        assert!(said.contains("state") && said.contains("disk is full"), "{room}: {}", outcome.text());
        disk.free();
    }
    held.run_to_the_end();
    held.assert_equal();
}

#[test]
fn a_cache_without_room_is_named_and_caught_up_with() {
    let disk = Disk::new(32 * MIB);
    let held = Held::new(|_| once(json!({ "cache": { "enabled": true, "path": disk.path("cache") } })));
    disk.fill(128 << 10);
    let outcome = run(&held.project).run();
    assert_eq!(outcome.status.code(), Some(4), "{}", outcome.text());
    let said = &outcome.stderr;
    assert!(said.contains("cache") && said.contains("No space left on device"), "{}", outcome.text());
    disk.free();
    held.run_to_the_end();
    held.assert_equal();
    let cache = disk.path("cache").display().to_string();
    let counted = held.project.rapidbyte([
        "query",
        "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM rows",
        "--cache",
        &cache,
        "--format",
        "csv",
    ]);
    assert_eq!(counted.run().expect(0).stdout, format!("n,ids\n{0},{0}\n", ROWS + 1));
}

#[test]
fn connections_cut_anywhere_are_made_again() {
    let seed = std::env::var("RAPIDBYTE_CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut random = Random::new(seed.unwrap_or(20_261_121));
    let mut held = None;
    let (mut cut, mut retries) = (0, 0);
    for case in 0..16 {
        let held: &Held = held.get_or_insert_with(|| Held::new(|_| json!({})));
        let server = &held.server;
        let mut cuts = |largest: u64| (0..4).map(|_| random.below(largest)).collect::<Vec<_>>();
        let proxies = [cuts(2 * MIB), cuts(2 * MIB)].map(|after| Proxy::start(server.port(), after));
        let connection = |proxy: &Proxy, database: &str| json!({ "host": server.host(), "port": proxy.port, "user": USER, "password": PASSWORD, "database": database });
        let partitioned = case % 2 == 1;
        let stream = match partitioned {
            false => json!({ "name": "rows", "sync_mode": "incremental", "cursor_field": "id" }),
            true => {
                json!({ "name": "rows", "sync_mode": "full_refresh", "write_mode": "replace", "partition_key": "id", "partitions": 3 })
            }
        };
        let document = json!({
            "version": "1.0",
            "pipeline": format!("cut-{case}"),
            "source": {
                "use": components().join("source-postgres.wasm"),
                "config": connection(&proxies[0], "src"),
                "streams": [stream],
            },
            "destination": {
                "use": components().join("dest-postgres.wasm"),
                "config": connection(&proxies[1], "dst"),
                "write_mode": "append",
            },
            "resources": { "checkpoint_interval_rows": 200 },
            "errors": { "retry": { "max_attempts": 50, "backoff": "fixed", "initial_delay": "1ms", "max_delay": "1ms" } },
        });
        held.project.write("cut.yaml", document.to_string());
        server.sql("dst", "DROP TABLE rows").unwrap();
        // Before anything is moved nothing is tried again; a person would.
        for attempt in 0.. {
            let outcome = held.project.rapidbyte(["run", "cut.yaml", "--format", "json"]).run();
            if outcome.status.success() {
                let streams = report(&outcome)["streams"].clone();
                retries += streams[0]["retries"].as_u64().unwrap();
                break;
            }
            assert!(attempt < 10, "case {case}: {}", outcome.text());
            let said = &outcome.stderr;
            let named = said.contains("connection") || said.contains("127.0.0.1");
            assert!(named, "case {case}: {}", outcome.text());
        }
        held.assert_equal();
        cut += proxies.iter().map(Proxy::cut).sum::<usize>();
    }
    assert!(cut >= 32 && retries >= 16, "only {cut} connections were cut, {retries} attempts repeated");
}

/// Kilobytes that a process had at most.
fn peak_kilobytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_destination_that_stands_still_holds_the_source_and_no_memory() {
    const MEMORY: u64 = 192 * MIB;
    let held = Held::new(|_| json!({ "resources": { "max_memory": "192mb" } }));
    // More than twice the memory that there is.
    held.add(ROWS + 1, ROWS + 4500, 100_000);
    let lock = held.lock();
    let running = run(&held.project).start();
    held.wait_until_blocked();
    // The source's server stands at a socket that nobody reads from.
    held.wait_until(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = 'src' AND wait_event = 'ClientWrite'",
    );
    let peak = peak_kilobytes(running.id()) << 10;
    assert!(peak < MEMORY, "{peak} bytes");
    drop(lock);
    let outcome = running.wait().expect(0);
    let peak = report(&outcome)["memory_peak_bytes"].as_u64().unwrap();
    assert!(peak < MEMORY, "{peak} bytes");
    held.assert_equal();
}

#[test]
fn clocks_that_jump_change_nothing() {
    let states: [fn(&Server) -> Value; 2] = [|_| json!({}), Held::state_in_postgres];
    for state in states {
        let held = Held::new(state);
        let clock = Clock::new(&held.project);
        let lock = held.lock();
        let running = clock.given_to(run(&held.project)).start();
        held.wait_until_blocked();
        clock.set("-400d");
        // Whatever its clock says, a run that is going on is not taken for dead.
        clock.given_to(run(&held.project)).run().expect(8);
        clock.set("+400d");
        clock.given_to(run(&held.project)).run().expect(8);
        drop(lock);
        let seconds = report(&running.wait().expect(0))["seconds"].as_f64().unwrap();
        assert!((0.0..3600.0).contains(&seconds), "{seconds} s");
        held.assert_equal();
        // Ahead, then behind: each goes on where the other ended.
        for (offset, first) in [("+400d", ROWS + 1), ("-400d", ROWS + 101), ("+0d", ROWS + 201)] {
            held.add(first, first + 99, 10);
            clock.set(offset);
            let outcome = clock.given_to(run(&held.project)).run().expect(0);
            assert_eq!(
                report(&outcome)["streams"][0]["records_written"],
                100,
                "{offset}: {}",
                outcome.text()
            );
        }
        held.assert_equal();
    }
}

#[test]
fn two_machines_with_one_state_do_not_meet() {
    let held = Held::new(Held::state_in_postgres);
    // Another home and another folder: nothing but the state is common.
    let other = Project::new();
    other.write("pipeline.yaml", std::fs::read(held.project.path("pipeline.yaml")).unwrap());
    let lock = held.lock();
    let first = run(&held.project).start();
    held.wait_until_blocked();
    let refused = other.rapidbyte(["run", "pipeline.yaml"]).run().expect(8);
    let (process, said) = (first.id().to_string(), &refused.stderr);
    assert!(said.contains("`rows`") && said.contains("is being run by") && said.contains(&process), "{said}");

    // The first machine dies in the middle; its claim goes with it, and the second goes on where the first stood.
    first.signal("-KILL");
    drop(lock);
    first.wait();
    // That its server has noticed takes a moment.
    let outcome = loop {
        let outcome = run(&other).run();
        if outcome.status.code() != Some(8) {
            break outcome.expect(0);
        }
    };
    held.assert_equal();
    let written = report(&outcome)["streams"][0]["records_written"].as_u64().unwrap();
    assert!(0 < written && written <= u64::from(ROWS), "{}", outcome.text());

    // Both see one history, and neither finds anything new.
    let runs = |project: &Project| {
        let listed = project.rapidbyte(["state", "runs", "pipeline.yaml", "--format", "json"]);
        listed.run().expect(0).stdout
    };
    let history = runs(&held.project);
    assert_eq!(history, runs(&other));
    assert!(history.contains("crashed"), "{history}");
    let nothing = run(&held.project).run().expect(0);
    assert_eq!(report(&nothing)["streams"][0]["records_written"], 0);
}

#[test]
fn machines_take_turns_and_repeat_nothing() {
    let held = Held::new(Held::state_in_postgres);
    held.run_to_the_end();
    let other = Project::new();
    other.write("pipeline.yaml", std::fs::read(held.project.path("pipeline.yaml")).unwrap());
    let machines = [&other, &held.project];
    for turn in 0..4 {
        let first = ROWS + 1 + turn * 50;
        held.add(first, first + 49, 10);
        // Both at once: one of them does it, the other is refused or finds nothing left.
        let running = machines.map(|machine| run(machine).start());
        let mut written = 0;
        for running in running {
            let outcome = running.wait();
            match outcome.status.code() {
                Some(8) => {}
                Some(0) => written += report(&outcome)["streams"][0]["records_written"].as_u64().unwrap(),
                _ => panic!("{}", outcome.text()),
            }
        }
        assert_eq!(written, 50, "turn {turn}");
        held.assert_equal();
    }
}
