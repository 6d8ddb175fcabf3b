//! What a run does about failures: retries, the circuit breaker, dead letters, partitions, and what the host does to records
//! on their way. Whatever happens, the destination holds exactly what it has to.

use rapidbyte_core::dead_letter::DeadLetterFilter;
use rapidbyte_core::ports::{RunStatus, StateStore};
use rapidbyte_core::sql::{Operation, Rule};
use rapidbyte_core::{DataErrorPolicy, SyncMode, WriteMode};
use rapidbyte_engine::{
    Backoff, BreakerPolicy, ContractRule, ContractSpec, OnViolation, RequiredColumn, RetryPolicy, RunReport,
    StreamSpec, TransformKind, TransformSpec,
};

use crate::support::connectors::Mischief;
use crate::support::strike::{Ends, Random, Strike};
use crate::support::world::{Row, from_frame, rows, sorted};
use crate::support::{Stage, code, only, stream};

const STREAM: &str = "orders";

fn stage(sync_mode: SyncMode, mode: WriteMode, count: i64) -> Stage {
    of(stream(STREAM, sync_mode, mode), count)
}

fn of(stream: StreamSpec, count: i64) -> Stage {
    let stage = Stage::new(vec![stream]);
    stage.world.set_source(STREAM, rows(count));
    stage
}

fn retrying(attempts: u32) -> RetryPolicy {
    RetryPolicy {
        max_attempts: attempts,
        backoff: Backoff::Exponential,
        initial_delay_ms: 1000,
        max_delay_ms: 60_000,
        jitter: true,
        retryable_errors: Vec::new(),
    }
}

fn assert_exact(stage: &Stage, context: &str) {
    assert_eq!(sorted(stage.world.table(STREAM).rows), sorted(stage.world.source(STREAM)), "{context}");
}

/// The records of all settled dead letters.
fn dead(stage: &Stage) -> Vec<Row> {
    let filter = DeadLetterFilter { pipeline: "p".into(), stream: None };
    let store = stage.store();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let letters = runtime.block_on(store.dead_letters(&filter, 0, 10_000)).unwrap();
    let mut rows = Vec::new();
    for stored in letters {
        let frame = rapidbyte_core::Frame::from_checked(
            stored.letters.frame.clone(),
            stored.letters.errors.len() as u64,
        );
        let found = from_frame(&frame);
        assert_eq!(found.len(), stored.letters.errors.len(), "a reason for every record");
        rows.extend(found);
    }
    sorted(rows)
}

// ---- Retries ------------------------------------------------------------------------------------

#[test]
fn a_task_goes_on_from_its_last_commit_until_its_attempts_are_used_up() {
    let mut stage = stage(SyncMode::Incremental, WriteMode::Append, 20);
    stage.behaviour.mischief = Mischief::SourceFails(3);
    stage.spec.retry = retrying(4);
    let report = stage.run();
    assert_eq!(only(&report).status, RunStatus::Succeeded, "{report:?}");
    assert_eq!(only(&report).retries, 3);
    assert_exact(&stage, "retried");
    assert_eq!(only(&report).counters.records_written, 20, "each record counts once");

    let mut stage = self::stage(SyncMode::FullRefresh, WriteMode::Replace, 20);
    stage.behaviour.ordered = false;
    stage.behaviour.mischief = Mischief::SourceFails(100);
    stage.spec.retry = retrying(3);
    let report = stage.run();
    assert_eq!((code(&report), only(&report).retries), ("reset", 2));
    assert!(stage.world.table(STREAM).rows.is_empty());
}

#[test]
fn who_gets_on_is_not_stuck() {
    // Fails behind every batch, commits one each time: far more failures than attempts.
    let mut stage = stage(SyncMode::Incremental, WriteMode::Append, 40);
    stage.behaviour.checkpoint_batches = 1;
    stage.behaviour.batch_rows = 2;
    stage.behaviour.mischief = Mischief::SourceFails(u64::MAX);
    stage.spec.retry = retrying(3);
    let report = stage.run();
    let rows = stage.world.table(STREAM).rows.len();
    assert!(rows == 0 || only(&report).retries >= 2, "{report:?}");
}

#[test]
fn what_is_not_retryable_fails_at_once() {
    let mut stage = stage(SyncMode::Incremental, WriteMode::Append, 20);
    stage.behaviour.mischief = Mischief::DestinationFailsAtOnce;
    stage.spec.retry = retrying(5);
    let report = stage.run();
    assert_eq!((code(&report), only(&report).retries), ("password", 0));
}

#[test]
fn a_request_to_end_is_not_kept_waiting_by_a_retry() {
    let mut stage = stage(SyncMode::Incremental, WriteMode::Append, 20);
    stage.behaviour.mischief = Mischief::SourceFails(u64::MAX);
    stage.spec.retry = RetryPolicy { initial_delay_ms: 3_600_000, max_delay_ms: 3_600_000, ..retrying(10) };
    let steps = stage.process(Strike::Never, 1).steps;
    for at in (steps.saturating_sub(20)..steps).rev() {
        let fresh = {
            let mut stage = self::stage(SyncMode::Incremental, WriteMode::Append, 20);
            stage.behaviour.mischief = Mischief::SourceFails(u64::MAX);
            stage.spec.retry = stage_retry();
            stage
        };
        let report = fresh.process(Strike::Cancel(at.max(1)), 1).report();
        assert_ne!(only(&report).status, RunStatus::Succeeded, "{at}");
    }
}

fn stage_retry() -> RetryPolicy {
    RetryPolicy { initial_delay_ms: 3_600_000, max_delay_ms: 3_600_000, ..retrying(2) }
}

// ---- The circuit breaker ------------------------------------------------------------------------

#[test]
fn too_many_refused_records_open_the_circuit_breaker_for_this_run_and_the_next() {
    let mut stage =
        of(StreamSpec { policies: skip(), ..stream(STREAM, SyncMode::Incremental, WriteMode::Append) }, 60);
    stage.behaviour.mischief = Mischief::DestinationRefusesRecords;
    stage.spec.breaker =
        Some(BreakerPolicy { error_threshold: Some(10), error_rate: None, cooldown_ms: 3_600_000 });
    let report = stage.run();
    assert_eq!(code(&report), "circuit_open");
    let written = stage.world.table(STREAM).rows.len();
    assert!(written < 30, "{written}");
    stage.behaviour.mischief = Mischief::None;
    let report = stage.run();
    assert_eq!(code(&report), "circuit_open");
    assert_eq!(stage.world.table(STREAM).rows.len(), written, "nothing was moved");
    // Whoever takes the breaker out of the document has decided.
    stage.spec.breaker = None;
    assert_eq!(only(&stage.run()).status, RunStatus::Succeeded);
}

fn skip() -> rapidbyte_core::Policies {
    rapidbyte_core::Policies { on_data_error: DataErrorPolicy::Skip, ..Default::default() }
}

fn dlq() -> rapidbyte_core::Policies {
    rapidbyte_core::Policies { on_data_error: DataErrorPolicy::Dlq, ..Default::default() }
}

// ---- Dead letters -------------------------------------------------------------------------------

/// Kills at every point of a run that refuses half of the records: each is a dead letter once, or written once.
fn exact_with_dead_letters(sync_mode: SyncMode, mode: WriteMode, mischief: Mischief, partitions: u32) {
    let fresh = || {
        let mut stage = of(
            StreamSpec { policies: dlq(), on_error: DataErrorPolicy::Dlq, ..stream(STREAM, sync_mode, mode) },
            12,
        );
        stage.behaviour.mischief = mischief;
        stage.behaviour.partitions = partitions;
        stage
    };
    let steps = fresh().process(Strike::Never, 1).steps;
    for at in 1..=steps {
        let context = format!("{sync_mode} {mode} {mischief:?} partitions={partitions} killed at {at}");
        let stage = fresh();
        let first = stage.process(Strike::Kill(at), 1);
        if matches!(first.ends, Ends::Killed) {
            let report = stage.process(Strike::Never, 2).report();
            assert_eq!(only(&report).status, RunStatus::Succeeded, "{context}: {report:?}");
        }
        let (odd, even): (Vec<Row>, Vec<Row>) = rows(12).into_iter().partition(|row| row.id % 2 == 1);
        let completed = stage.world.table(STREAM).completed.max(1) as usize;
        let found = sorted(stage.world.table(STREAM).rows);
        match (sync_mode, mode) {
            (SyncMode::Incremental, _) => {
                assert_eq!(found, even, "{context}");
                assert_eq!(dead(&stage), odd, "{context}");
            }
            (_, WriteMode::Append) => {
                assert_eq!(found, sorted(even.repeat(completed)), "{context}");
                assert_eq!(dead(&stage), sorted(odd.repeat(completed)), "{context}");
            }
            _ => assert_eq!(found, even, "{context}"),
        }
    }
}

#[test]
fn each_refused_record_is_a_dead_letter_once() {
    for mischief in [Mischief::DestinationRefusesRecords, Mischief::SourceRefusesRecords] {
        exact_with_dead_letters(SyncMode::Incremental, WriteMode::Append, mischief, 0);
        exact_with_dead_letters(SyncMode::FullRefresh, WriteMode::Append, mischief, 0);
        exact_with_dead_letters(SyncMode::FullRefresh, WriteMode::Append, mischief, 3);
        exact_with_dead_letters(SyncMode::FullRefresh, WriteMode::Replace, mischief, 3);
    }
}

#[test]
fn the_policy_decides_what_becomes_of_refused_records() {
    let run = |policies, on_error, mischief| {
        let stream =
            StreamSpec { policies, on_error, ..stream(STREAM, SyncMode::Incremental, WriteMode::Append) };
        let mut stage = of(stream, 12);
        stage.behaviour.mischief = mischief;
        let report = stage.run();
        (stage, report)
    };
    let fail = rapidbyte_core::Policies::default();
    let (stage, report) = run(fail, DataErrorPolicy::Dlq, Mischief::DestinationRefusesRecords);
    assert_eq!(code(&report), "odd");
    assert!(dead(&stage).is_empty());
    let (_, report) = run(dlq(), DataErrorPolicy::Fail, Mischief::SourceRefusesRecords);
    assert_eq!(code(&report), "odd", "the source's records have their own policy");
    let (stage, report) = run(skip(), DataErrorPolicy::Fail, Mischief::DestinationRefusesRecords);
    assert_eq!((only(&report).records_skipped, only(&report).records_dead_lettered), (6, 0));
    assert!(dead(&stage).is_empty());
    let (_, report) = run(dlq(), DataErrorPolicy::Fail, Mischief::DestinationRefusesRecords);
    assert_eq!((only(&report).records_skipped, only(&report).records_dead_lettered), (0, 6));
    assert_eq!(only(&report).counters.records_written, 6);
}

// ---- Partitions ---------------------------------------------------------------------------------

fn partitioned(mode: WriteMode, ordered: bool, count: i64) -> Stage {
    let mut stage =
        of(StreamSpec { partitions: Some(3), ..stream(STREAM, SyncMode::FullRefresh, mode) }, count);
    stage.behaviour.partitions = 3;
    stage.behaviour.ordered = ordered;
    stage
}

#[test]
fn partitions_together_are_the_stream() {
    for mode in [WriteMode::Append, WriteMode::Replace, WriteMode::Upsert] {
        for ordered in [true, false] {
            let stage = partitioned(mode, ordered, 30);
            let report = stage.run();
            assert_eq!(
                (only(&report).status, only(&report).partitions),
                (RunStatus::Succeeded, 3),
                "{report:?}"
            );
            assert_eq!(only(&report).counters.records_written, 30);
            assert_exact(&stage, &format!("{mode} {ordered}"));
            // Again, with fewer records: a new reading, in which no receipt of the old one counts.
            stage.world.set_source(STREAM, rows(20));
            let report = stage.run();
            assert_eq!(only(&report).status, RunStatus::Succeeded, "{report:?}");
            let found = stage.world.table(STREAM).rows.len();
            assert_eq!(
                found,
                match mode {
                    WriteMode::Append => 50,
                    WriteMode::Replace => 20,
                    _ => 30,
                }
            );
        }
    }
}

#[test]
fn a_small_stream_or_one_that_must_not_is_read_as_one() {
    let stage = partitioned(WriteMode::Append, true, 1);
    assert_eq!(only(&stage.run()).partitions, 1);
    let mut stage = partitioned(WriteMode::Append, true, 30);
    let rapidbyte_engine::Selection::Listed(streams) = &mut stage.spec.streams else { panic!() };
    streams[0].partitions = Some(1);
    assert_eq!(only(&stage.run()).partitions, 1);
    assert_exact(&stage, "as one");
    // Unasked, only as far as each part still takes large records.
    let mut stage = self::stage(SyncMode::FullRefresh, WriteMode::Append, 30);
    stage.behaviour.partitions = 8;
    let report = stage.run();
    assert_eq!(only(&report).partitions, 2, "{report:?}");
    assert!(report.memory.record_bytes_max >= 8 << 20, "{report:?}");
    stage.spec.resources.max_memory_bytes = 128 << 20;
    assert_eq!(only(&stage.run()).partitions, 1);
    let mut stage = partitioned(WriteMode::Append, true, 30);
    stage.behaviour.transactional = false;
    assert_eq!(only(&stage.run()).partitions, 1, "without receipts nothing puts the partitions together");
}

/// Kill, cancel and fail at every point of a partitioned run, with and without the state's loss.
fn partitions_struck(mode: WriteMode, ordered: bool, strike: fn(u64) -> Strike) {
    let steps = partitioned(mode, ordered, 9).process(Strike::Never, 1).steps;
    for lose_state in [false, true] {
        for at in 1..=steps {
            let context = format!("{mode} ordered={ordered} {:?} lose_state={lose_state}", strike(at));
            let stage = partitioned(mode, ordered, 9);
            drop(stage.process(strike(at), 1));
            let half = stage.world.table(STREAM);
            if mode == WriteMode::Replace && half.completed == 0 {
                assert!(half.rows.is_empty(), "{context}: readers see a half");
            }
            if lose_state {
                stage.lose_state();
            }
            let report = stage.process(Strike::Never, 2).report();
            let again = only(&report);
            if mode == WriteMode::Append && lose_state && again.status == RunStatus::Failed {
                // Nobody knows what the others have: refused before anything is written twice.
                assert_eq!(code(&report), "receipt_unplanned", "{context}");
                assert_eq!(stage.world.table(STREAM).rows, half.rows, "{context}");
                continue;
            }
            assert_eq!(again.status, RunStatus::Succeeded, "{context}: {report:?}");
            let found = sorted(stage.world.table(STREAM).rows);
            let expected = match mode {
                WriteMode::Append => rows(9).repeat(stage.world.table(STREAM).completed as usize),
                _ => rows(9),
            };
            assert_eq!(found, sorted(expected), "{context}");
        }
    }
}

#[test]
fn partitions_killed_at_every_point() {
    partitions_struck(WriteMode::Append, true, Strike::Kill);
    partitions_struck(WriteMode::Append, false, Strike::Kill);
    partitions_struck(WriteMode::Replace, true, Strike::Kill);
    partitions_struck(WriteMode::Replace, false, Strike::Kill);
    partitions_struck(WriteMode::Upsert, true, Strike::Kill);
}

#[test]
fn partitions_failed_and_stopped_at_every_point() {
    partitions_struck(WriteMode::Append, true, Strike::Fail);
    partitions_struck(WriteMode::Replace, false, Strike::Fail);
    partitions_struck(WriteMode::Append, true, Strike::Cancel);
    partitions_struck(WriteMode::Replace, true, Strike::Abort);
}

#[test]
fn a_lost_moment_is_opened_again() {
    let mut stage = partitioned(WriteMode::Replace, true, 30);
    stage.behaviour.mischief = Mischief::SourceLosesMoment;
    stage.spec.retry = retrying(3);
    let report = stage.run();
    assert_eq!(only(&report).status, RunStatus::Succeeded, "{report:?}");
    assert!(only(&report).retries >= 3, "every partition lost it");
    assert_exact(&stage, "moment");
    assert_eq!(
        stage.world.lock().moments.load(std::sync::atomic::Ordering::Relaxed),
        2,
        "one new one for all"
    );
}

#[test]
fn reading_as_one_after_an_unfinished_reading_in_partitions_loses_nothing() {
    for lose_state in [false, true] {
        for seed in 0..40 {
            let mut stage = partitioned(WriteMode::Replace, true, 30);
            let steps = partitioned(WriteMode::Replace, true, 30).process(Strike::Never, seed).steps;
            drop(stage.process(Strike::Kill(1 + Random::new(seed).below(steps)), seed));
            if lose_state {
                stage.lose_state();
            }
            stage.behaviour.partitions = 0;
            let rapidbyte_engine::Selection::Listed(streams) = &mut stage.spec.streams else { panic!() };
            streams[0].partitions = None;
            let report = stage.run();
            assert_eq!(only(&report).status, RunStatus::Succeeded, "{report:?}");
            assert_exact(&stage, &format!("seed {seed} lose_state={lose_state}"));
        }
    }
}

// ---- What the host does on the way --------------------------------------------------------------

fn operations(list: Vec<Operation>) -> TransformSpec {
    TransformSpec { stream: None, kind: TransformKind::Operations(list) }
}

fn filter(predicate: &str) -> Operation {
    Operation::Filter { predicate: predicate.into() }
}

#[test]
fn operations_run_between_connectors_in_the_documents_order() {
    let mut stage = stage(SyncMode::Incremental, WriteMode::Append, 20);
    stage.spec.transforms = vec![operations(vec![filter("even")]), TransformSpec::default()];
    let report = stage.run();
    assert_eq!(only(&report).status, RunStatus::Succeeded, "{report:?}");
    let even: Vec<Row> = rows(20).into_iter().filter(|row| row.id % 2 == 0).collect();
    assert_eq!(sorted(stage.world.table(STREAM).rows), even);
    assert_eq!(only(&report).counters.records_read, 20);
    assert_eq!(only(&report).counters.records_written, 10);
}

#[test]
fn a_filter_that_the_source_cannot_apply_is_the_hosts() {
    let stage = of(
        StreamSpec {
            filter: Some("even".into()),
            ..stream(STREAM, SyncMode::Incremental, WriteMode::Append)
        },
        20,
    );
    stage.run();
    assert_eq!(stage.world.table(STREAM).rows.len(), 10);
}

#[test]
fn a_record_that_an_operation_refuses_is_found_in_its_batch() {
    for (on_error, written) in
        [(DataErrorPolicy::Dlq, 19), (DataErrorPolicy::Skip, 19), (DataErrorPolicy::Fail, 0)]
    {
        let stream = StreamSpec { on_error, ..stream(STREAM, SyncMode::Incremental, WriteMode::Append) };
        let mut stage = of(stream, 20);
        stage.behaviour.batch_rows = 20;
        stage.spec.transforms = vec![operations(vec![filter("not 7")])];
        let report = stage.run();
        let found = sorted(stage.world.table(STREAM).rows);
        assert_eq!(found.len(), written, "{on_error}");
        match on_error {
            DataErrorPolicy::Fail => assert_eq!(code(&report), "cast"),
            DataErrorPolicy::Dlq => {
                assert_eq!(dead(&stage).iter().map(|row| row.id).collect::<Vec<_>>(), [7])
            }
            DataErrorPolicy::Skip => assert_eq!(only(&report).records_skipped, 1),
        }
        if written > 0 {
            assert_eq!(found, rows(20).into_iter().filter(|row| row.id != 7).collect::<Vec<_>>());
        }
    }
}

#[test]
fn an_aggregation_gives_all_at_the_end_and_starts_over_after_a_crash() {
    let fresh = |transforms: Vec<TransformSpec>| {
        let mut stage = stage(SyncMode::FullRefresh, WriteMode::Replace, 10);
        stage.spec.transforms = transforms;
        stage
    };
    let last = || operations(vec![Operation::Sql { query: "last".into() }]);
    for transforms in
        [vec![last()], vec![TransformSpec::default(), last()], vec![last(), TransformSpec::default()]]
    {
        let steps = fresh(transforms.clone()).process(Strike::Never, 1).steps;
        for at in 1..=steps {
            let stage = fresh(transforms.clone());
            drop(stage.process(Strike::Kill(at), 1));
            let report = stage.process(Strike::Never, 2).report();
            assert_eq!(only(&report).status, RunStatus::Succeeded, "killed at {at}: {report:?}");
            assert_eq!(stage.world.table(STREAM).rows, rows(10)[9..], "killed at {at}");
        }
    }
    let mut stage = self::stage(SyncMode::Incremental, WriteMode::Append, 10);
    stage.spec.transforms = vec![last()];
    match stage.process(Strike::Never, 1).ends {
        Ends::Refused(error) => assert!(error.to_string().contains("aggregation"), "{error}"),
        _ => panic!("an aggregation of increments was planned"),
    }
}

fn contract(on_violation: OnViolation) -> ContractSpec {
    ContractSpec {
        index: 0,
        stream: STREAM.into(),
        required: vec![RequiredColumn {
            name: "id".into(),
            data_type: Some("Int64".into()),
            nullable: Some(false),
        }],
        rules: vec![ContractRule {
            rule: Rule { column: "value".into(), check: "value < 180".into() },
            on_violation,
        }],
        on_violation,
    }
}

fn under_contract(on_violation: OnViolation, on_error: DataErrorPolicy) -> (Stage, RunReport) {
    let stream = StreamSpec { on_error, ..stream(STREAM, SyncMode::Incremental, WriteMode::Append) };
    let mut stage = of(stream, 20);
    stage.spec.contracts = vec![contract(on_violation)];
    let report = stage.run();
    (stage, report)
}

#[test]
fn a_contract_fails_warns_or_drops() {
    let (stage, report) = under_contract(OnViolation::Fail, DataErrorPolicy::Dlq);
    assert_eq!(code(&report), "contract_violated");
    assert!(stage.world.table(STREAM).rows.iter().all(|row| row.value < 180));
    let (stage, report) = under_contract(OnViolation::Warn, DataErrorPolicy::Fail);
    assert_eq!(stage.world.table(STREAM).rows.len(), 20);
    let violation = &only(&report).violations[0];
    assert_eq!((violation.records, violation.column.as_str()), (3, "value"));
    assert_eq!(violation.samples, ["180", "190", "200"]);
    let (stage, report) = under_contract(OnViolation::DropRow, DataErrorPolicy::Fail);
    assert_eq!((stage.world.table(STREAM).rows.len(), only(&report).violations[0].records), (17, 3));
    assert!(dead(&stage).is_empty());
    let (stage, _) = under_contract(OnViolation::DropRow, DataErrorPolicy::Dlq);
    assert_eq!(dead(&stage).iter().map(|row| row.id).collect::<Vec<_>>(), [18, 19, 20]);
}

#[test]
fn a_contract_is_held_against_the_schema_before_anything_moves() {
    let mut asked = contract(OnViolation::Fail);
    asked.required[0].data_type = Some("Utf8".into());
    asked.required.push(RequiredColumn { name: "valeu".into(), data_type: None, nullable: None });
    let mut stage = stage(SyncMode::Incremental, WriteMode::Append, 5);
    stage.spec.contracts = vec![asked];
    let Ends::Refused(error) = stage.process(Strike::Never, 1).ends else { panic!("it was planned") };
    assert_eq!(
        error.to_string(),
        "the contract of stream `orders` requires column `id` to be Utf8, it arrives as Int64; the contract of stream \
         `orders` requires column `valeu`, which does not arrive"
    );
}
