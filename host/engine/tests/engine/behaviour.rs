//! One sentence of the commit protocol a test.

use rapidbyte_core::ports::{RunStatus, StateStore, TaskKey};
use rapidbyte_core::{Cursor, CursorValue, DataErrorPolicy, ErrorCategory, SyncMode, WriteMode};
use rapidbyte_engine::Origin;

use crate::support::connectors::Mischief;
use crate::support::strike::Strike;
use crate::support::world::{Receipt, Row, rows, sorted};
use crate::support::{Stage, code, only, stream};

const STREAM: &str = "orders";

fn stage(sync_mode: SyncMode, mode: WriteMode) -> Stage {
    let stage = Stage::new(vec![stream(STREAM, sync_mode, mode)]);
    stage.world.set_source(STREAM, rows(10));
    stage
}

fn append() -> Stage {
    stage(SyncMode::Incremental, WriteMode::Append)
}

fn mischievous(mischief: Mischief) -> Stage {
    let mut stage = append();
    stage.behaviour.mischief = mischief;
    if mischief == Mischief::SourceEndsWithoutLastCheckpoint {
        // Ten rows, three a batch: one batch more than a checkpoint covers.
        stage.behaviour.checkpoint_batches = 3;
    }
    if matches!(
        mischief,
        Mischief::TransformEndsEarly
            | Mischief::TransformKeepsCheckpoints
            | Mischief::TransformForwardsUnknown
    ) {
        stage = stage.with_transforms(1);
    }
    stage
}

fn key() -> TaskKey {
    TaskKey { pipeline: "p".into(), stream: STREAM.into(), partition: 0 }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn counts_what_was_read_and_what_was_committed() {
    let stage = stage(SyncMode::FullRefresh, WriteMode::Replace).with_transforms(1);
    let stage = {
        let mut stage = stage;
        stage.behaviour.drops_odd = true;
        stage
    };
    let report = stage.run();
    let stream = only(&report);
    assert_eq!(stream.status, RunStatus::Succeeded);
    assert_eq!((stream.counters.records_read, stream.counters.records_written), (10, 5));
    assert!(stream.counters.bytes_read >= stream.counters.bytes_written && stream.counters.bytes_written > 0);
    assert_eq!(stream.checkpoints, 3, "two of the source, one behind the last frame");
    assert_eq!(stream.guest_bytes_peak, 3000);
    assert!(!stream.resumed && stream.started && stream.warnings.is_empty());
    let run = &block_on(stage.store().runs(None, 1)).unwrap()[0];
    assert_eq!((run.status, run.counters), (RunStatus::Succeeded, stream.counters));
}

#[test]
fn a_second_incremental_run_moves_only_what_is_new() {
    let stage = append();
    let outcome = stage.process(Strike::Never, 0);
    let told = [
        "orders started resuming=false",
        "orders saved 1",
        "orders saved 2",
        "orders saved 3",
        "orders succeeded",
    ];
    assert_eq!(outcome.events, told);
    let mut more = rows(10);
    more.push(Row { id: 11, seq: 11, value: 0 });
    stage.world.set_source(STREAM, more.clone());
    let report = stage.run();
    assert_eq!(only(&report).counters.records_read, 1);
    assert!(only(&report).resumed);
    let report = stage.run();
    assert_eq!(only(&report).counters.records_read, 0);
    assert_eq!(only(&report).checkpoints, 1, "it was complete again");
    assert_eq!(sorted(stage.world.table(STREAM).rows), more);
}

#[test]
fn an_empty_stream_is_complete_too() {
    let stage = stage(SyncMode::FullRefresh, WriteMode::Replace);
    stage.run();
    assert_eq!(stage.world.table(STREAM).rows.len(), 10);
    stage.world.set_source(STREAM, Vec::new());
    stage.run();
    assert_eq!(stage.world.table(STREAM).rows, [], "replaced by nothing");
    assert_eq!(stage.world.table(STREAM).completed, 2);
}

#[test]
fn a_lost_state_is_learned_again_from_the_receipt() {
    let stage = append();
    stage.run();
    let before = block_on(stage.store().last_checkpoint(&key())).unwrap().unwrap();
    stage.lose_state();
    let report = stage.run();
    assert_eq!(only(&report).counters.records_read, 0);
    let after = block_on(stage.store().last_checkpoint(&key())).unwrap().unwrap();
    assert_eq!(after.cursor, before.cursor);
    assert_eq!(after.id, before.id + 1, "ids go on");
}

#[test]
fn a_reset_outweighs_the_receipt() {
    let stage = stage(SyncMode::Incremental, WriteMode::Upsert);
    stage.run();
    block_on(stage.store().reset("p", Some(STREAM))).unwrap();
    let report = stage.run();
    assert_eq!(only(&report).counters.records_read, 10);
    assert!(!only(&report).resumed);
    assert_eq!(sorted(stage.world.table(STREAM).rows), rows(10));
    assert_eq!(only(&stage.run()).counters.records_read, 0, "and only once");
}

#[test]
fn a_reset_outweighs_even_a_receipt_that_the_state_never_saw() {
    let stage = stage(SyncMode::Incremental, WriteMode::Upsert);
    stage.run();
    let receipt = stage.world.table(STREAM).receipt.unwrap();
    block_on(stage.store().reset("p", Some(STREAM))).unwrap();
    // The process had died between the commit and the state's write, before the reset.
    stage.world.edit(STREAM, |table| table.receipt = Some(Receipt { id: receipt.id + 3, ..receipt }));
    assert_eq!(only(&stage.run()).counters.records_read, 10);
}

#[test]
fn a_destination_restored_from_a_backup_is_continued_where_it_stands() {
    let stage = append();
    stage.run();
    let backup = stage.world.table(STREAM);
    let mut more = rows(20);
    stage.world.set_source(STREAM, more.clone());
    stage.run();
    stage.world.edit(STREAM, |table| *table = backup);
    let report = stage.run();
    assert_eq!(only(&report).counters.records_read, 10, "what the backup lacks");
    assert!(only(&report).warnings[0].contains("restored or exchanged"), "{report:?}");
    assert_eq!(sorted(stage.world.table(STREAM).rows), sorted(std::mem::take(&mut more)));
}

#[test]
fn a_dropped_destination_is_filled_again_only_where_nothing_can_repeat() {
    let upsert = stage(SyncMode::Incremental, WriteMode::Upsert);
    upsert.run();
    upsert.world.edit(STREAM, |table| *table = Default::default());
    let report = upsert.run();
    assert_eq!(only(&report).counters.records_read, 10);
    assert!(only(&report).warnings[0].contains("no receipt"), "{report:?}");

    let stage = append();
    stage.run();
    stage.world.edit(STREAM, |table| *table = Default::default());
    let report = stage.run();
    assert_eq!(code(&report), "receipt_missing");
    let fault = only(&report).error.as_ref().unwrap();
    assert_eq!((fault.origin, fault.error.category), (Origin::Engine, ErrorCategory::Config));
    assert!(fault.error.details.as_ref().unwrap().contains("state reset"));
    assert_eq!(stage.world.table(STREAM).commits, 0, "nothing was moved");
    block_on(stage.store().reset("p", Some(STREAM))).unwrap();
    assert_eq!(only(&stage.run()).status, RunStatus::Succeeded);
    assert_eq!(sorted(stage.world.table(STREAM).rows), rows(10));
}

#[test]
fn another_cursor_field_is_not_continued_by_the_old_value() {
    for lose_state in [false, true] {
        let mut stage = append();
        stage.run();
        if lose_state {
            stage.lose_state();
        }
        let mut by_id = stream(STREAM, SyncMode::Incremental, WriteMode::Append);
        by_id.cursor.as_mut().unwrap().field = "id".into();
        stage.spec.streams = rapidbyte_engine::Selection::Listed(vec![by_id.clone()]);
        assert_eq!(code(&stage.run()), "cursor_changed");
        by_id.write.mode = WriteMode::Upsert;
        by_id.write.primary_key = vec!["id".into()];
        stage.spec.streams = rapidbyte_engine::Selection::Listed(vec![by_id]);
        let report = stage.run();
        assert_eq!(only(&report).counters.records_read, 10);
        assert!(only(&report).warnings[0].contains("starting over"), "{report:?}");
    }
}

/// Killed at any point after the cursor field was changed, the stream is still never continued by the old value.
#[test]
fn another_cursor_field_is_not_continued_after_a_kill_either() {
    let changed = || {
        let mut stage = stage(SyncMode::Incremental, WriteMode::Upsert);
        stage.run();
        // Every row changes; by `id`, all of them are below the old cursor.
        stage.world.set_source(
            STREAM,
            rows(10).iter().map(|row| Row { seq: row.seq + 10, value: -1, ..*row }).collect(),
        );
        let mut by_id = stream(STREAM, SyncMode::Incremental, WriteMode::Upsert);
        by_id.cursor.as_mut().unwrap().field = "id".into();
        stage.spec.streams = rapidbyte_engine::Selection::Listed(vec![by_id]);
        stage
    };
    let steps = changed().process(Strike::Never, 0).steps;
    for at in 1..=steps {
        let stage = changed();
        drop(stage.process(Strike::Kill(at), 0));
        assert_eq!(only(&stage.run()).status, RunStatus::Succeeded);
        let table = sorted(stage.world.table(STREAM).rows);
        assert_eq!(table, sorted(stage.world.source(STREAM)), "killed at {at}");
    }
}

#[test]
fn a_reset_drops_what_is_staged() {
    let mut stage = stage(SyncMode::FullRefresh, WriteMode::Replace);
    stage.behaviour.mischief = Mischief::DestinationFailsAtSecondCheckpoint;
    stage.run();
    assert_eq!(stage.world.table(STREAM).staged.len(), 6);
    block_on(stage.store().reset("p", Some(STREAM))).unwrap();
    stage.behaviour.mischief = Mischief::None;
    let report = stage.run();
    assert_eq!(only(&report).counters.records_read, 10);
    assert_eq!(sorted(stage.world.table(STREAM).rows), rows(10));
}

#[test]
fn a_run_that_is_dropped_gives_its_claim_back() {
    let stage = append();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let cancellation = rapidbyte_engine::Cancellation::new();
        let striker =
            std::sync::Arc::new(crate::support::strike::Striker::new(Strike::Never, 0, cancellation.clone()));
        let store = std::sync::Arc::new(stage.store());
        let ports = crate::support::ports(store.clone(), std::sync::Arc::new(Deaf), cancellation);
        let connectors = stage.connectors(&striker);
        let plan =
            rapidbyte_engine::plan(&stage.spec, &connectors, &ports, &Default::default()).await.unwrap();
        let mut running = Box::pin(rapidbyte_engine::run(plan, &connectors, &ports));
        let claimed = async {
            while store.runs(None, 1).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut running => panic!("it was to be dropped in the middle"),
            () = claimed => drop(running),
        }
        // A bound in turns, not in time: a claim that is never given back must fail the test, not hang it.
        for _ in 0..10_000 {
            if store.runs(None, 1).await.unwrap()[0].status != RunStatus::Running {
                break;
            }
        }
        assert!(store.begin_run("p", STREAM).await.is_ok());
    });
}

struct Deaf;

impl rapidbyte_core::ports::Observer for Deaf {
    fn observe(&self, _: rapidbyte_core::ports::RunEvent<'_>) {}
}

#[test]
fn tasks_wait_for_their_turn() {
    let names = ["a", "b", "c"];
    let mut stage =
        Stage::new(names.map(|name| stream(name, SyncMode::FullRefresh, WriteMode::Append)).to_vec());
    for name in names {
        stage.world.set_source(name, rows(5));
    }
    stage.spec.resources.parallelism = 1;
    let events = stage.process(Strike::Never, 3).events;
    let turns: Vec<&str> =
        events.iter().filter(|event| !event.contains("saved")).map(|event| &event[..1]).collect();
    assert_eq!(turns, ["a", "a", "b", "b", "c", "c"], "{events:?}");

    stage.spec.resources.parallelism = 3;
    let events = stage.process(Strike::Never, 3).events;
    let started = events.iter().take_while(|event| event.contains("started")).count();
    assert_eq!(started, 3, "side by side: {events:?}");
}

/// On real threads, many times: whatever the order, every stream is exact.
#[test]
fn streams_side_by_side_on_threads_are_exact() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let modes = [WriteMode::Append, WriteMode::Replace, WriteMode::Upsert];
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    for round in 0..20 {
        let streams = names.iter().enumerate();
        let streams = streams.map(|(n, name)| stream(name, SyncMode::FullRefresh, modes[n % 3])).collect();
        let mut stage = Stage::new(streams).with_transforms(round % 2);
        stage.behaviour.batch_rows = 1 + round;
        for name in names {
            stage.world.set_source(name, rows(200));
        }
        let report = runtime.block_on(async {
            let cancellation = rapidbyte_engine::Cancellation::new();
            let striker =
                crate::support::strike::Striker::new(Strike::Never, round as u64, cancellation.clone());
            let striker = std::sync::Arc::new(striker);
            let store = std::sync::Arc::new(stage.store());
            let ports = crate::support::ports(store, std::sync::Arc::new(Deaf), cancellation);
            let connectors = stage.connectors(&striker);
            let plan =
                rapidbyte_engine::plan(&stage.spec, &connectors, &ports, &Default::default()).await.unwrap();
            rapidbyte_engine::run(plan, &connectors, &ports).await
        });
        assert_eq!(report.status(), RunStatus::Succeeded, "{report:?}");
        for name in names {
            assert_eq!(sorted(stage.world.table(name).rows), rows(200), "{name}, round {round}");
        }
    }
}

#[test]
fn the_first_error_is_the_cause_and_the_others_are_not_heard() {
    let origins = [
        (Mischief::SourceFailsBehindFirstBatch, Origin::Source, "reset"),
        (Mischief::SourcePanics, Origin::Source, "panicked"),
        (Mischief::SourceCursorIsNotJson, Origin::Source, "cursor_invalid"),
        (Mischief::SourceMakesOtherColumns, Origin::Source, "schema_mismatch"),
        (Mischief::SourceEndsWithoutLastCheckpoint, Origin::Source, "records_without_checkpoint"),
        (Mischief::TransformEndsEarly, Origin::Transform(0), "ended_early"),
        (Mischief::TransformForwardsUnknown, Origin::Transform(0), "checkpoint_unknown"),
        (Mischief::TransformKeepsCheckpoints, Origin::Transform(0), "checkpoint_kept"),
        (Mischief::DestinationFailsAtOnce, Origin::Destination, "password"),
        (Mischief::DestinationFailsAtSecondCheckpoint, Origin::Destination, "overflow"),
        (Mischief::DestinationEndsEarly, Origin::Destination, "ended_early"),
        (Mischief::DestinationNeverConfirms, Origin::Destination, "destination_did_not_commit"),
        (Mischief::DestinationConfirmsUnknown, Origin::Destination, "checkpoint_unknown"),
        (Mischief::DestinationConfirmsAhead, Origin::Destination, "checkpoint_unknown"),
        (Mischief::DestinationConfirmsTwice, Origin::Destination, "checkpoint_not_newer"),
        (Mischief::DestinationReportsLate, Origin::Destination, "receipt_late"),
        (Mischief::DestinationReportsImpossible, Origin::Destination, "receipt_invalid"),
        (Mischief::DestinationFillsState, Origin::Destination, "state_too_large"),
    ];
    for (mischief, origin, code) in origins {
        for seed in 0..8 {
            let stage = mischievous(mischief);
            let report = stage.process(Strike::Never, seed).report();
            let stream = only(&report);
            assert_eq!(stream.status, RunStatus::Failed, "{mischief:?}");
            let fault = stream.error.as_ref().unwrap();
            assert_eq!((fault.origin, fault.error.code.as_str()), (origin, code), "{mischief:?}: {fault}");
            let run = &block_on(stage.store().runs(None, 1)).unwrap()[0];
            assert_eq!(run.status, RunStatus::Failed);
            assert!(run.error.as_ref().unwrap().contains(&fault.error.message));
        }
    }
}

#[test]
fn two_receipts_are_one_too_many() {
    let mut stage = append();
    stage.run();
    stage.behaviour.mischief = Mischief::DestinationReportsTwoReceipts;
    assert_eq!(code(&stage.run()), "receipt_twice");
}

#[test]
fn what_was_committed_before_an_error_is_not_read_again() {
    let mut stage = mischievous(Mischief::DestinationFailsAtSecondCheckpoint);
    assert_eq!(code(&stage.run()), "overflow");
    assert_eq!(stage.world.table(STREAM).rows.len(), 6);
    stage.behaviour.mischief = Mischief::None;
    assert_eq!(only(&stage.run()).counters.records_read, 4);
    assert_eq!(sorted(stage.world.table(STREAM).rows), rows(10));
}

#[test]
fn a_failed_replace_leaves_the_old_rows() {
    let mut stage = stage(SyncMode::FullRefresh, WriteMode::Replace);
    stage.run();
    let old = stage.world.table(STREAM).rows;
    stage.world.set_source(STREAM, rows(30));
    stage.behaviour.mischief = Mischief::DestinationFailsAtSecondCheckpoint;
    assert_eq!(code(&stage.run()), "overflow");
    assert_eq!(stage.world.table(STREAM).rows, old);
    stage.behaviour.mischief = Mischief::None;
    let report = stage.run();
    assert!(only(&report).resumed, "what was staged is kept");
    assert_eq!(only(&report).counters.records_read, 24);
    assert_eq!(sorted(stage.world.table(STREAM).rows), rows(30));
}

#[test]
fn an_error_of_one_stream_stops_no_other() {
    let names = ["a", "b", "c", "d", "e"];
    let stage = Stage::new(names.map(|name| stream(name, SyncMode::Incremental, WriteMode::Append)).to_vec());
    for name in names {
        stage.world.set_source(name, rows(10));
    }
    // The state says that `c` was written; the destination knows nothing of it.
    stage.run();
    stage.world.edit("c", |table| *table = Default::default());
    for name in names {
        stage.world.set_source(name, rows(15));
    }
    let report = stage.run();
    assert_eq!(report.status(), RunStatus::Failed);
    for stream in &report.streams {
        let status = if stream.stream == "c" { RunStatus::Failed } else { RunStatus::Succeeded };
        assert_eq!(stream.status, status, "{stream:?}");
    }
    assert_eq!(report.counters().records_written, 20);
}

#[test]
fn a_close_that_fails_does_not_undo_what_is_committed() {
    let stage = mischievous(Mischief::CloseFails);
    let report = stage.run();
    assert_eq!(only(&report).status, RunStatus::Succeeded);
    assert!(only(&report).warnings.iter().any(|warning| warning.contains("did not close cleanly")));
}

#[test]
fn refused_records_follow_the_policy() {
    let mut stage = mischievous(Mischief::DestinationRefusesRecords);
    let report = stage.run();
    assert_eq!(code(&report), "odd");
    assert_eq!(only(&report).error.as_ref().unwrap().error.category, ErrorCategory::Data);

    let rapidbyte_engine::Selection::Listed(streams) = &mut stage.spec.streams else { panic!("all streams") };
    streams[0].policies.on_data_error = DataErrorPolicy::Skip;
    let report = stage.run();
    let stream = only(&report);
    assert_eq!(stream.status, RunStatus::Succeeded);
    assert_eq!((stream.records_skipped, stream.counters.records_written), (5, 5));
    assert!(stage.world.table(STREAM).rows.iter().all(|row| row.id % 2 == 0));
}

#[test]
fn a_stream_that_another_process_runs_is_left_alone() {
    let stage = append();
    let store = stage.store();
    let run = block_on(store.begin_run("p", STREAM)).unwrap();
    let report = stage.run();
    assert_eq!(code(&report), "stream_busy");
    assert_eq!(only(&report).error.as_ref().unwrap().origin, Origin::State);
    assert_eq!(stage.world.table(STREAM).commits, 0);
    assert!(block_on(store.runs(None, 1)).unwrap()[0].run_id == run, "its row is untouched");
}

#[test]
fn asked_to_stop_it_ends_at_the_next_checkpoint_even_if_the_source_does_not_listen() {
    let mut stage = append();
    stage.world.set_source(STREAM, rows(300));
    stage.behaviour.listens = false;
    let steps = stage.process(Strike::Never, 1).steps;
    let mut stage = append();
    stage.world.set_source(STREAM, rows(300));
    stage.behaviour.listens = false;
    let outcome = stage.process(Strike::Cancel(steps / 2), 1);
    let report = outcome.report();
    let stream = only(&report);
    assert_eq!(stream.status, RunStatus::Stopped);
    assert!(stream.error.is_none());
    assert!(stream.counters.records_written > 0 && stream.counters.records_written < 300, "{stream:?}");
    assert_eq!(stage.world.table(STREAM).rows.len() as u64, stream.counters.records_written);
    assert_eq!(stage.world.table(STREAM).completed, 0, "it is not complete");
    let run = &block_on(stage.store().runs(None, 1)).unwrap()[0];
    assert_eq!(run.status, RunStatus::Stopped);
}

#[test]
fn a_source_that_never_answers_is_interrupted_after_the_grace() {
    let mut stage = append();
    stage.behaviour.mischief = Mischief::SourceStuck;
    stage.behaviour.checkpoint_batches = 1;
    let stuck = stage.process(Strike::Cancel(30), 1).report();
    let stream = only(&stuck);
    assert_eq!(stream.status, RunStatus::Stopped);
    stage.behaviour.mischief = Mischief::None;
    assert_eq!(only(&stage.run()).status, RunStatus::Succeeded, "its claim is free");
    assert_eq!(sorted(stage.world.table(STREAM).rows), rows(10));
}

#[test]
fn a_saved_cursor_of_another_type_reaches_the_source_as_it_was() {
    // The receipt is a guest's word: its cursor is handed on typed, or refused.
    let stage = append();
    let cursor = |value| Some(Cursor { field: "seq".into(), value });
    stage.world.edit(STREAM, |table| {
        table.receipt =
            Some(Receipt { id: 5, cursor: cursor(CursorValue::Decimal("1;drop".into())), complete: false });
        table.newest_id = 5;
    });
    assert_eq!(code(&stage.run()), "receipt_invalid");
    stage.world.edit(STREAM, |table| {
        table.receipt = Some(Receipt { id: 5, cursor: cursor(CursorValue::Int64(4)), complete: false });
    });
    assert_eq!(only(&stage.run()).counters.records_read, 6);
}

#[test]
fn answers_what_every_stage_did_with_its_time() {
    use rapidbyte_core::profile::StageKind::{Destination, Host, Source, Transform};
    let report = append().with_transforms(1).run();
    let [task] = report.profile.tasks.as_slice() else { panic!("one task: {:?}", report.profile) };
    assert_eq!(task.key, key());
    let kinds: Vec<_> = task.stages.iter().map(|stage| stage.kind).collect();
    assert_eq!(kinds, [Source, Host, Transform, Host, Destination], "in the order in which data passes them");
    for stage in &task.stages {
        assert_eq!((stage.records, stage.bytes > 0), (10, true), "{stage:?}");
        let parts = stage.busy_ms
            + stage.waiting_for_input_ms
            + stage.waiting_for_output_ms
            + stage.waiting_for_remote_ms;
        assert!(parts <= stage.wall_ms && stage.wall_ms <= task.wall_ms, "{stage:?}");
    }
    assert!(!report.profile.held_back_by.is_empty());

    let failed = mischievous(Mischief::TransformEndsEarly).run();
    assert_eq!(failed.profile.tasks[0].stages.len(), 5, "a failed task has a profile, too");
}
