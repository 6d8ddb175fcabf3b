//! Kills, failures, cancellations and lost state, at every point and at seeded ones: whatever happens, when a run has
//! ended well the destination holds the source's rows exactly.

use rapidbyte_core::ports::RunStatus;
use rapidbyte_core::{SyncMode, WriteMode};

use crate::support::strike::{Ends, Random, Strike};
use crate::support::world::{Row, rows, sorted};
use crate::support::{Stage, only, stream};

const STREAM: &str = "orders";
/// More runs than this to get done means that no progress is made.
const ATTEMPTS_MAX: u32 = 200;

/// What the destination must hold now.
fn expected(stage: &Stage, sync_mode: SyncMode, mode: WriteMode) -> Vec<Row> {
    let mut rows = stage.world.source(STREAM);
    if stage.behaviour.drops_odd && !stage.spec.transforms.is_empty() {
        rows.retain(|row| row.id % 2 == 0);
    }
    match (sync_mode, mode) {
        // Every full refresh that came to its end appends all rows once.
        (SyncMode::FullRefresh, WriteMode::Append) => {
            let completed = stage.world.table(STREAM).completed as usize;
            sorted(rows.repeat(completed))
        }
        (_, WriteMode::Upsert | WriteMode::Merge) => {
            let mut newest = std::collections::BTreeMap::new();
            for row in rows {
                newest.insert(row.id, row);
            }
            newest.into_values().collect()
        }
        _ => sorted(rows),
    }
}

fn assert_exact(stage: &Stage, sync_mode: SyncMode, mode: WriteMode, context: &str) {
    let found = sorted(stage.world.table(STREAM).rows);
    assert_eq!(found, expected(stage, sync_mode, mode), "{context}");
}

/// A table under `replace` is all or nothing to its readers, at any time.
fn assert_never_half_replaced(stage: &Stage, mode: WriteMode, context: &str) {
    let table = stage.world.table(STREAM);
    if mode == WriteMode::Replace && table.completed == 0 {
        assert!(table.rows.is_empty(), "{context}");
    }
}

/// Every point of a short run, in every combination of modes: kill there, run again.
fn at_every_point(
    sync_mode: SyncMode,
    mode: WriteMode,
    ordered: bool,
    transforms: usize,
    strike: fn(u64) -> Strike,
) {
    let fresh = || {
        let mut stage = Stage::new(vec![stream(STREAM, sync_mode, mode)]).with_transforms(transforms);
        stage.behaviour.ordered = ordered;
        stage.world.set_source(STREAM, rows(10));
        stage
    };
    let steps = fresh().process(Strike::Never, 1).steps;
    assert!(steps > 40, "{steps} points are suspiciously few");
    for lose_state in [false, true] {
        for at in 1..=steps {
            let context =
                format!("{sync_mode} {mode} ordered={ordered} {:?} lose_state={lose_state}", strike(at));
            let stage = fresh();
            drop(stage.process(strike(at), 1));
            assert_never_half_replaced(&stage, mode, &context);
            if lose_state {
                stage.lose_state();
            }
            let outcome = stage.process(Strike::Never, 2);
            let report = outcome.report();
            assert_eq!(only(&report).status, RunStatus::Succeeded, "{context}: {report:?}");
            assert_exact(&stage, sync_mode, mode, &context);
        }
    }
}

#[test]
fn killed_at_every_point() {
    for mode in [WriteMode::Append, WriteMode::Replace, WriteMode::Upsert] {
        at_every_point(SyncMode::FullRefresh, mode, true, 0, Strike::Kill);
        at_every_point(SyncMode::FullRefresh, mode, false, 0, Strike::Kill);
    }
    for mode in [WriteMode::Append, WriteMode::Upsert, WriteMode::Merge] {
        at_every_point(SyncMode::Incremental, mode, true, 1, Strike::Kill);
    }
}

#[test]
fn failed_at_every_point() {
    at_every_point(SyncMode::FullRefresh, WriteMode::Append, true, 1, Strike::Fail);
    at_every_point(SyncMode::FullRefresh, WriteMode::Replace, false, 0, Strike::Fail);
    at_every_point(SyncMode::Incremental, WriteMode::Append, true, 0, Strike::Fail);
}

#[test]
fn stopped_at_every_point() {
    at_every_point(SyncMode::FullRefresh, WriteMode::Append, true, 0, Strike::Cancel);
    at_every_point(SyncMode::FullRefresh, WriteMode::Append, false, 0, Strike::Cancel);
    at_every_point(SyncMode::Incremental, WriteMode::Append, true, 1, Strike::Cancel);
    at_every_point(SyncMode::Incremental, WriteMode::Append, true, 0, Strike::Abort);
}

/// One seeded history: runs that are struck again and again, with state and receipts lost and rows added in between.
fn history(seed: u64) {
    let mut random = Random::new(seed);
    let (sync_mode, mode) = match random.below(6) {
        0 => (SyncMode::FullRefresh, WriteMode::Append),
        1 => (SyncMode::FullRefresh, WriteMode::Replace),
        2 => (SyncMode::FullRefresh, WriteMode::Upsert),
        3 => (SyncMode::Incremental, WriteMode::Append),
        4 => (SyncMode::Incremental, WriteMode::Merge),
        _ => (SyncMode::Incremental, WriteMode::Upsert),
    };
    let mut stage =
        Stage::new(vec![stream(STREAM, sync_mode, mode)]).with_transforms(random.below(3) as usize);
    stage.behaviour.ordered = sync_mode == SyncMode::Incremental || !random.one_in(3);
    stage.behaviour.listens = !random.one_in(3);
    stage.behaviour.batch_rows = 1 + random.below(6) as usize;
    stage.behaviour.checkpoint_batches = 1 + random.below(3) as usize;
    stage.behaviour.commit_every = 1 + random.below(3);
    stage.behaviour.drops_odd = random.one_in(3);
    let mut all = rows(random.below(40) as i64);
    stage.world.set_source(STREAM, all.clone());

    for round in 0..3 {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let context = format!(
                "seed {seed}, round {round}, attempt {attempts}: {sync_mode} {mode} {:?}",
                stage.behaviour
            );
            assert!(attempts < ATTEMPTS_MAX, "no progress: {context}");
            let at = 1 + random.below(160);
            let strike = match random.below(8) {
                0..4 => Strike::Kill(at),
                4 => Strike::Fail(at),
                5 => Strike::Cancel(at),
                6 => Strike::Abort(at),
                _ => Strike::Never,
            };
            let outcome = stage.process(strike, random.next());
            assert_never_half_replaced(&stage, mode, &context);
            if let Ends::Report(report) = &outcome.ends {
                let stream = only(report);
                if let Some(fault) = &stream.error {
                    assert!(fault.error.message.contains("struck"), "{fault}: {context}");
                }
                if stream.status == RunStatus::Succeeded {
                    assert_exact(&stage, sync_mode, mode, &context);
                    break;
                }
            }
            if random.one_in(5) {
                stage.lose_state();
            }
            // A lost receipt is only forgiven where writing again changes nothing.
            if random.one_in(8) && matches!(mode, WriteMode::Upsert | WriteMode::Merge | WriteMode::Replace) {
                stage.world.edit(STREAM, |table| {
                    table.receipt = None;
                    table.newest_id = 0;
                });
            }
        }
        if sync_mode == SyncMode::Incremental {
            let last = all.last().map_or(0, |row| row.seq);
            for n in 1..=random.below(20) as i64 {
                // Under a key, some are changes of known rows.
                let change = mode != WriteMode::Append && !all.is_empty() && random.one_in(2);
                let id = if change { all[random.below(all.len() as u64) as usize].id } else { last + n };
                all.push(Row { id, seq: last + n, value: random.below(1000) as i64 });
            }
            stage.world.set_source(STREAM, all.clone());
        }
    }
}

#[test]
fn seeded_histories() {
    let seeds = match std::env::var("RAPIDBYTE_SEED") {
        Ok(seed) => vec![seed.parse().expect("RAPIDBYTE_SEED is a number")],
        Err(_) => (0..400).collect::<Vec<u64>>(),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| history(seed)) {
            eprintln!("replay with RAPIDBYTE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Without transactions nothing is lost; what was written behind the last saved checkpoint may be there twice.
#[test]
fn a_destination_without_transactions_is_at_least_once() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut stage = Stage::new(vec![stream(STREAM, SyncMode::Incremental, WriteMode::Append)]);
        stage.behaviour.transactional = false;
        stage.world.set_source(STREAM, rows(20));
        loop {
            let outcome = stage.process(Strike::Kill(1 + random.below(150)), random.next());
            // Nothing remembers the ids that were written behind the state's back.
            stage.world.edit(STREAM, |table| table.newest_id = 0);
            if let Ends::Report(report) = outcome.ends {
                assert_eq!(only(&report).status, RunStatus::Succeeded, "seed {seed}");
                assert!(
                    report.warnings.iter().any(|warning| warning.contains("at least once")),
                    "{report:?}"
                );
                break;
            }
        }
        let found = stage.world.table(STREAM).rows;
        for row in rows(20) {
            assert!(found.contains(&row), "seed {seed}: {row:?} is lost");
        }
    }
}
