//! Several sessions that write one stream: partitions of a replace, of an append and of an upsert, at once and broken off
//! at every step; and tables that others alter meanwhile.

use std::time::Duration;

use dest_postgres::DestPostgres;
use rapidbyte_sdk::prelude::*;
use rapidbyte_sdk::testing::{TestHost, block_on};

use crate::evolve::USUAL;
use crate::harness::{Database, cursor, people, people_stream};

const COUNT: u32 = 4;
/// Checkpoints of a partition; the last is the one behind its end.
const STEPS: i64 = 3;

fn partition(index: u32, floor: u64, mode: WriteMode) -> StreamContext {
    let mut context = people_stream(mode);
    context.partition = Partition { index, count: COUNT, floor, ..Partition::WHOLE };
    context.policies = USUAL;
    context
}

/// The row of one step of a partition.
fn id(index: u32, step: i64) -> i64 {
    i64::from(index) * 100 + step
}

fn expected() -> Vec<String> {
    let mut rows: Vec<String> = (0..COUNT)
        .flat_map(|index| (0..STEPS).map(move |step| format!("({},new)", id(index, step))))
        .collect();
    rows.sort();
    rows
}

/// Feeds the steps from `from` on, up to but without `until`; the end, too, if that is the last.
fn feed(host: &TestHost, index: u32, from: i64, until: i64) {
    for step in from..until {
        host.feed_batch(&people(&[(id(index, step), "new")]));
        if step + 1 < STEPS {
            host.feed_checkpoint(cursor(step));
        } else {
            host.feed_end();
        }
    }
}

/// Id of a partition's receipt behind `floor`, and whether it is complete.
fn receipt(database: &Database, index: u32, floor: u64) -> (u64, bool) {
    if database.query("SELECT to_regclass('raw._rapidbyte_receipts') IS NULL") == "t" {
        return (floor, false);
    }
    let found = database.query(&format!(
        "SELECT checkpoint_id, complete FROM raw._rapidbyte_receipts WHERE partition_index = {index} AND checkpoint_id > {floor}"
    ));
    match found.split_once('|') {
        Some((id, complete)) => (id.parse().unwrap(), complete == "t"),
        None => (floor, false),
    }
}

/// Runs a partition from where its receipt stands.
fn resume(database: &Database, index: u32, floor: u64, mode: WriteMode) {
    let (last_id, complete) = receipt(database, index, floor);
    if complete {
        return;
    }
    let (result, _) = database.write_behind(last_id, &partition(index, floor, mode), |host| {
        feed(host, index, (last_id - floor) as i64, STEPS);
    });
    result.unwrap();
}

fn old_table(database: &Database) {
    database.clear();
    database.run("CREATE SCHEMA raw; CREATE TABLE raw.people (id int8 NOT NULL PRIMARY KEY, name text); INSERT INTO raw.people VALUES (-1, 'old')");
}

/// All partitions side by side; answers their results.
fn together(database: &Database, floor: u64, mode: WriteMode) -> Vec<Result<RunSummary, ConnectorError>> {
    block_on(async {
        let running: Vec<_> = (0..COUNT)
            .map(|index| {
                let host = TestHost::new();
                host.set_last_checkpoint_id(floor);
                feed(&host, index, 0, STEPS);
                let config = database.config();
                tokio::task::spawn_local(async move {
                    let mut session = host.destination::<DestPostgres>(config).await?;
                    session.run(RunRequest::write(partition(index, floor, mode))).await
                })
            })
            .collect();
        let mut results = Vec::new();
        for run in running {
            results.push(run.await.unwrap());
        }
        results
    })
}

#[test]
fn partitions_side_by_side_write_the_whole_stream() {
    let database = Database::new();
    for mode in [WriteMode::Append, WriteMode::Upsert, WriteMode::Replace] {
        // Without a schema, so that all of them make what is missing.
        database.clear();
        for floor in [0, 10, 20] {
            for result in together(&database, floor, mode) {
                result.unwrap_or_else(|error| panic!("{mode}: {error:?}"));
            }
            let mut rows = database.rows("raw.people");
            if mode == WriteMode::Append {
                assert_eq!(rows.len(), expected().len() * (floor as usize / 10 + 1), "{mode}");
                rows.dedup();
            }
            assert_eq!(rows, expected(), "{mode}");
            assert_eq!(database.leftovers(), "", "{mode}");
            assert_eq!(database.query("SELECT count(*) FROM raw._rapidbyte_receipts WHERE complete"), "4");
        }
    }
}

#[test]
fn a_table_that_changes_is_changed_by_one_and_taken_by_all() {
    let database = Database::new();
    for mode in [WriteMode::Append, WriteMode::Upsert, WriteMode::Replace] {
        database.clear();
        database.run(
            "CREATE SCHEMA raw; CREATE TABLE raw.people (id int4 NOT NULL PRIMARY KEY, gone text NOT NULL); \
             INSERT INTO raw.people VALUES (-1, 'old')",
        );
        for result in together(&database, 0, mode) {
            result.unwrap_or_else(|error| panic!("{mode}: {error:?}"));
        }
        assert_eq!(database.query("SELECT pg_typeof(id) FROM raw.people LIMIT 1"), "bigint", "{mode}");
        let mut found =
            database.query("SELECT (id, name)::text FROM raw.people WHERE id >= 0 AND gone IS NULL");
        let mut rows: Vec<&str> = found.lines().collect();
        rows.sort_unstable();
        assert_eq!(rows, expected(), "{mode}");
        found = database.query("SELECT count(*) FROM raw.people WHERE id = -1");
        assert_eq!(found, if mode == WriteMode::Replace { "0" } else { "1" }, "{mode}");
    }
}

#[test]
fn a_partition_that_dies_at_any_step_goes_on_behind_its_receipt() {
    let database = Database::new();
    for mode in [WriteMode::Replace, WriteMode::Append, WriteMode::Upsert] {
        for victim in [0, COUNT - 1] {
            for step in 0..STEPS {
                for after_commit in [false, true] {
                    let label =
                        format!("{mode}, partition {victim}, step {step}, after commit: {after_commit}");
                    old_table(&database);
                    // The others come before or behind the one that dies.
                    for index in (0..COUNT).filter(|index| *index < victim) {
                        resume(&database, index, 0, mode);
                    }
                    let (result, _) = database.write(&partition(victim, 0, mode), |host| {
                        feed(host, victim, 0, step + i64::from(after_commit));
                        if !after_commit {
                            host.feed_batch(&people(&[(id(victim, step), "lost")]));
                        }
                        if step + 1 < STEPS || !after_commit {
                            host.feed_failure();
                        }
                    });
                    let finished = after_commit && step + 1 == STEPS;
                    assert_eq!(result.is_ok(), finished, "{label}");
                    let swapped = finished && victim == COUNT - 1;
                    if mode == WriteMode::Replace && !swapped {
                        assert_eq!(database.rows("raw.people"), ["(-1,old)"], "{label}");
                    }
                    for index in 0..COUNT {
                        resume(&database, index, 0, mode);
                    }
                    let mut rows = expected();
                    if mode != WriteMode::Replace {
                        rows.push("(-1,old)".to_owned());
                        rows.sort();
                    }
                    assert_eq!(database.rows("raw.people"), rows, "{label}");
                    assert_eq!(database.leftovers(), "", "{label}");
                }
            }
        }
    }
}

#[test]
fn readers_see_the_old_table_until_the_last_partition_ends() {
    let database = Database::new();
    old_table(&database);
    for index in [2, 0, 3] {
        resume(&database, index, 5, WriteMode::Replace);
        assert_eq!(database.rows("raw.people"), ["(-1,old)"]);
    }
    resume(&database, 1, 5, WriteMode::Replace);
    assert_eq!(database.rows("raw.people"), expected());
    // Its receipt says that it is done; whoever asks again is told so and changes nothing.
    let (last_id, _) = receipt(&database, 1, 5);
    let (result, host) = database.write_behind(last_id, &partition(1, 5, WriteMode::Replace), |host| {
        host.feed_end_of_stopped_source();
    });
    assert_eq!(result.unwrap().write.unwrap().records, 0);
    assert!(host.receipts()[0].complete);
    assert_eq!(database.rows("raw.people"), expected());
}

#[test]
fn another_reading_forgets_what_the_one_before_has_staged() {
    let database = Database::new();
    old_table(&database);
    for index in 0..3 {
        resume(&database, index, 0, WriteMode::Replace);
    }
    assert_ne!(database.leftovers(), "");
    for result in together(&database, 50, WriteMode::Replace) {
        result.unwrap();
    }
    assert_eq!(database.rows("raw.people"), expected());
    // The host is told of the receipt of an earlier reading, and this one begins all the same.
    let (result, host) = database.write_behind(80, &partition(0, 80, WriteMode::Replace), |host| {
        feed(host, 0, 0, STEPS);
    });
    result.unwrap();
    assert_eq!(host.receipts().iter().map(|receipt| receipt.id).collect::<Vec<_>>(), [53]);
    assert_eq!(database.rows("raw.people"), expected());
    for index in 1..COUNT {
        resume(&database, index, 80, WriteMode::Replace);
    }
    assert_eq!(database.leftovers(), "");
    // And so does a reading in one part.
    resume(&database, 0, 100, WriteMode::Replace);
    assert_ne!(database.leftovers(), "");
    let mut whole = people_stream(WriteMode::Replace);
    whole.partition.floor = 200;
    let (result, _) = database.write_behind(200, &whole, |host| {
        host.feed_batch(&people(&[(7, "whole")]));
        host.feed_end();
    });
    result.unwrap();
    assert_eq!(database.rows("raw.people"), ["(7,whole)"]);
    assert_eq!(database.leftovers(), "");
}

#[test]
fn parts_that_are_lost_are_not_taken_for_done() {
    let database = Database::new();
    old_table(&database);
    resume(&database, 0, 0, WriteMode::Replace);
    let staging = database.leftovers();
    // To start over with one part would leave its rows in twice.
    let (result, _) = database.write_behind(3, &partition(0, 0, WriteMode::Replace), |host| {
        host.set_continuation(Continuation::Restart);
        host.feed_end();
    });
    assert_eq!(result.unwrap_err().code, "partition_restarted");
    database.run(&format!("DROP TABLE raw.{staging}"));
    let (result, _) = database.write(&partition(1, 0, WriteMode::Replace), |host| feed(host, 1, 0, STEPS));
    assert_eq!(result.unwrap_err().code, "staging_lost");
    assert_eq!(database.rows("raw.people"), ["(-1,old)"]);
}

/// Writes a step, lets `meanwhile` happen between two checkpoints, and goes on.
fn with_others(
    database: &Database,
    mode: WriteMode,
    policies: Policies,
    meanwhile: &str,
) -> Result<RunSummary, ConnectorError> {
    block_on(async {
        let host = TestHost::new();
        let mut context = people_stream(mode);
        context.policies = policies;
        let running = tokio::task::spawn_local({
            let (host, config) = (host.clone(), database.config());
            async move {
                let mut session = host.destination::<DestPostgres>(config).await?;
                session.run(RunRequest::write(context)).await
            }
        });
        host.feed_batch(&people(&[(1, "a")]));
        host.feed_checkpoint(cursor(1));
        while host.committed_checkpoints().is_empty() {
            assert!(!running.is_finished(), "the run ended before its first checkpoint");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        database.run(meanwhile);
        host.feed_batch(&people(&[(2, "b")]));
        host.feed_end();
        running.await.unwrap()
    })
}

#[test]
fn a_table_that_others_alter_is_looked_at_anew() {
    let database = Database::new();
    let dlq = Policies { on_data_error: DataErrorPolicy::Dlq, ..USUAL };
    for mode in [WriteMode::Append, WriteMode::Upsert] {
        for policies in [USUAL, dlq] {
            // A column more does not concern the rows.
            old_table(&database);
            with_others(&database, mode, policies, "ALTER TABLE raw.people ADD COLUMN more int").unwrap();
            assert_eq!(database.rows("raw.people"), ["(-1,old,)", "(1,a,)", "(2,b,)"], "{mode}");

            // Another type does: the next attempt converts to it.
            old_table(&database);
            let error = with_others(
                &database,
                mode,
                policies,
                "ALTER TABLE raw.people ALTER name TYPE varchar(1) USING left(name, 1)",
            );
            let error = error.unwrap_err();
            assert_eq!((error.code.as_str(), error.retryable), ("table_changed", true), "{mode}: {error:?}");
            assert_eq!(error.commit, Some(CommitState::BeforeCommit));
            let mut context = people_stream(mode);
            context.policies = policies;
            let (result, _) = database.write_behind(1, &context, |host| {
                host.feed_batch(&people(&[(2, "longer")]));
                host.feed_end();
            });
            result.unwrap();
            assert_eq!(database.rows("raw.people"), ["(-1,o)", "(1,a)", "(2,longer)"], "{mode}");
        }
    }
}
