//! What every backend does with runs, checkpoints and connector state.

use rapidbyte_core::contract::{CursorValue, StateScope};
use rapidbyte_core::limits::RESET_ID_STEP;
use rapidbyte_core::ports::{RunFilter, RunStatus, StateError, state_scope_name, task_scope_name};
use rapidbyte_state::transfer::{Record, Running};

use crate::support::{Backend, checkpoint, counters, key, mark, said};

pub async fn every_cursor_type_comes_back_as_it_was(backend: &Backend) {
    let values = [
        CursorValue::Int64(i64::MIN),
        CursorValue::Utf8("ünïcode 'quoted' \0".into()),
        CursorValue::TimestampMillis(-1),
        CursorValue::TimestampMicros(i64::MAX),
        CursorValue::Decimal("12345678901234567890.123456789".into()),
        CursorValue::Json(r#"{"a":[1,null]}"#.into()),
        CursorValue::Lsn(u64::MAX),
    ];
    let store = backend.open().await;
    let other = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    for (index, value) in values.into_iter().enumerate() {
        let saved = checkpoint(index as u64 + 1, value);
        store.save_checkpoint(run, &key("s"), &saved, counters(1)).await.unwrap();
        assert_eq!(store.last_checkpoint(&key("s")).await.unwrap(), Some(saved.clone()));
        assert_eq!(other.last_checkpoint(&key("s")).await.unwrap(), Some(saved), "seen by others at once");
    }
}

pub async fn a_checkpoint_must_be_newer(backend: &Backend) {
    let store = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    let save = |id| {
        let store = store.clone();
        async move { store.save_checkpoint(run, &key("s"), &mark(id), counters(id.min(6))).await }
    };
    save(5).await.unwrap();
    assert!(said(&save(5).await.unwrap_err()).contains("not newer than the saved 5"));
    assert!(said(&save(4).await.unwrap_err()).contains("not newer"));
    assert!(said(&save(0).await.unwrap_err()).contains("not newer"));
    save(6).await.unwrap();
    assert!(said(&save(u64::MAX).await.unwrap_err()).contains("out of range"));
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap().unwrap().id, 6);
    let record = &store.runs(Some("p"), 1).await.unwrap()[0];
    assert_eq!(
        (record.status, record.counters),
        (RunStatus::Running, counters(6)),
        "counters go with the checkpoint"
    );
}

pub async fn checkpoints_are_kept_within_bounds(backend: &Backend) {
    let store = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    for id in 1..=40 {
        store.save_checkpoint(run, &key("s"), &mark(id), counters(0)).await.unwrap();
    }
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap().unwrap().id, 40);
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let mut kept = Vec::new();
    let (exported, ()) = tokio::join!(store.export(Running::Allowed, sender), async {
        while let Some(record) = receiver.recv().await {
            if let Record::Checkpoint(checkpoint) = record {
                kept.push(checkpoint.id);
            }
        }
    });
    exported.unwrap();
    assert_eq!(kept, (9..=40).collect::<Vec<_>>());
}

pub async fn one_run_of_a_stream_at_a_time(backend: &Backend) {
    let store = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    let other = store.begin_run("p", "t").await.unwrap();
    let busy = store.begin_run("p", "s").await.unwrap_err();
    assert!(
        matches!(&busy, StateError::Busy { stream, holder, .. } if stream == "s" && holder == "this very process")
    );

    let second = backend.open().await;
    let busy = second.begin_run("p", "s").await.unwrap_err();
    let me = format!("process {}", std::process::id());
    assert!(matches!(&busy, StateError::Busy { holder, .. } if holder.starts_with(&me)), "{busy}");
    assert!(matches!(second.reset("p", None).await, Err(StateError::Busy { .. })));
    assert!(matches!(second.reset("p", Some("s")).await, Err(StateError::Busy { .. })));
    second.reset("p", Some("free")).await.unwrap();

    store.finish_run(run, RunStatus::Succeeded, counters(3), None).await.unwrap();
    let again = second.begin_run("p", "s").await.unwrap();
    assert!(again > run);
    let error = store.finish_run(again, RunStatus::Failed, counters(0), None).await.unwrap_err();
    assert!(said(&error).contains("not this process's"), "{error}");
    let error = store.save_checkpoint(run, &key("s"), &mark(1), counters(0)).await;
    assert!(said(&error.unwrap_err()).contains("succeeded"));

    drop(store);
    let taken = second.begin_run("p", "t").await.unwrap();
    let runs = second.runs(Some("p"), 10).await.unwrap();
    let status = |id| runs.iter().find(|run| run.run_id == id).map(|run| run.status);
    assert_eq!(status(other), Some(RunStatus::Crashed), "its store is gone");
    assert_eq!(status(taken), Some(RunStatus::Running));
    assert_eq!(status(run), Some(RunStatus::Succeeded));
}

pub async fn of_many_at_once_exactly_one_wins(backend: &Backend) {
    // Opening at once, too: the tables are made by one of them.
    let mut racing = tokio::task::JoinSet::new();
    let stores: Vec<_> = {
        let first = backend.open();
        let (a, b, c, d, e) =
            tokio::join!(first, backend.open(), backend.open(), backend.open(), backend.open());
        vec![a, b, c, d, e]
    };
    for store in stores {
        racing.spawn(async move { (store.begin_run("p", "s").await, store) });
    }
    let answers = racing.join_all().await;
    let won = answers.iter().filter(|(answer, _)| answer.is_ok()).count();
    let busy = answers.iter().filter(|(answer, _)| matches!(answer, Err(StateError::Busy { .. }))).count();
    assert_eq!((won, busy), (1, 4), "{:?}", answers.iter().map(|(answer, _)| answer).collect::<Vec<_>>());
}

pub async fn a_run_finishes_once_and_with_a_final_status(backend: &Backend) {
    let store = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    assert!(store.finish_run(run, RunStatus::Running, counters(0), None).await.is_err());
    let long = "ü\0".repeat(10_000);
    store.finish_run(run, RunStatus::Failed, counters(9), Some(&long)).await.unwrap();
    assert!(store.finish_run(run, RunStatus::Failed, counters(9), None).await.is_err());
    let gone = store.finish_run(999, RunStatus::Failed, counters(9), None).await.unwrap_err();
    assert!(said(&gone).contains("gone"));
    let record = &store.runs(None, 5).await.unwrap()[0];
    assert_eq!((record.status, record.counters), (RunStatus::Failed, counters(9)));
    let error = record.error.as_ref().unwrap();
    assert!(record.finished_at.is_some() && error.starts_with('ü') && error.chars().count() < 5000);
}

pub async fn a_reset_outweighs_every_receipt_there_can_be(backend: &Backend) {
    let store = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    store.save_checkpoint(run, &key("s"), &mark(7), counters(0)).await.unwrap();
    store.finish_run(run, RunStatus::Succeeded, counters(0), None).await.unwrap();
    let stream = state_scope_name(StateScope::Stream, &key("s"), "");
    let task = task_scope_name(&key("s"));
    let other = state_scope_name(StateScope::Stream, &key("other"), "");
    let connector = state_scope_name(StateScope::ConnectorInstance, &key("s"), "source");
    for scope in [&stream, &task, &other, &connector] {
        store.put(scope, "k", b"v").await.unwrap();
    }
    assert_eq!(store.reset("p", Some("s")).await.unwrap(), [key("s")]);
    let saved = store.last_checkpoint(&key("s")).await.unwrap().unwrap();
    assert_eq!((saved.id, saved.reset, saved.cursor, saved.complete), (7 + RESET_ID_STEP, true, None, false));
    assert_eq!(store.get(&stream, "k").await.unwrap(), None);
    assert_eq!(store.get(&task, "k").await.unwrap(), None);
    assert!(store.get(&other, "k").await.unwrap().is_some());
    assert!(store.get(&connector, "k").await.unwrap().is_some());

    // Again: what a run may have committed in between is covered too.
    store.reset("p", Some("s")).await.unwrap();
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap().unwrap().id, 7 + 2 * RESET_ID_STEP);
    // A stream that state knows nothing of (the state was lost) is reset by name.
    assert_eq!(store.reset("p", Some("lost")).await.unwrap(), [key("lost")]);
    assert!(store.last_checkpoint(&key("lost")).await.unwrap().unwrap().reset);
    assert_eq!(store.reset("p", None).await.unwrap(), [key("lost"), key("s")]);
    assert_eq!(store.get(&connector, "k").await.unwrap(), None, "the whole pipeline starts over");
    assert_eq!(store.reset("unknown", None).await.unwrap(), []);

    let run = store.begin_run("p", "s").await.unwrap();
    let next = mark(7 + 3 * RESET_ID_STEP + 1);
    store.save_checkpoint(run, &key("s"), &next, counters(0)).await.unwrap();
    assert_eq!(store.last_checkpoint(&key("s")).await.unwrap(), Some(next));
}

pub async fn positions_are_the_newest_of_each_task(backend: &Backend) {
    let store = backend.open().await;
    for stream in ["b", "a", "B"] {
        let run = store.begin_run("p", stream).await.unwrap();
        for id in 1..=3 {
            store.save_checkpoint(run, &key(stream), &mark(id), counters(0)).await.unwrap();
        }
    }
    let positions = store.positions(Some("p")).await.unwrap();
    let shown: Vec<_> = positions.iter().map(|p| (p.key.stream.as_str(), p.checkpoint.id)).collect();
    assert_eq!(shown, [("B", 3), ("a", 3), ("b", 3)]);
    assert_eq!(positions[1].checkpoint, mark(3));
    assert_eq!(store.positions(None).await.unwrap().len(), 3);
    assert!(store.positions(Some("q")).await.unwrap().is_empty());
}

pub async fn connector_state_swaps_only_what_it_expects(backend: &Backend) {
    let store = backend.open().await;
    assert_eq!(store.get("x", "k").await.unwrap(), None);
    assert!(!store.compare_and_swap("x", "k", Some(b"1"), b"2").await.unwrap());
    assert!(store.compare_and_swap("x", "k", None, b"1").await.unwrap());
    assert!(!store.compare_and_swap("x", "k", None, b"2").await.unwrap());
    assert!(store.compare_and_swap("x", "k", Some(b"1"), b"\0\xff").await.unwrap());
    assert_eq!(store.get("x", "k").await.unwrap().unwrap(), b"\0\xff");
    assert_eq!(store.get("y", "k").await.unwrap(), None, "scopes are apart");
    store.put("x", "k", b"").await.unwrap();
    assert_eq!(store.get("x", "k").await.unwrap().unwrap(), b"");
}

pub async fn history_is_filtered(backend: &Backend) {
    let store = backend.open().await;
    for (pipeline, stream, status) in [
        ("p", "s", RunStatus::Succeeded),
        ("p", "s", RunStatus::Failed),
        ("p", "t", RunStatus::Failed),
        ("q", "s", RunStatus::Failed),
    ] {
        let run = store.begin_run(pipeline, stream).await.unwrap();
        store.finish_run(run, status, counters(0), None).await.unwrap();
    }
    store.begin_run("q", "t").await.unwrap();
    let found = |pipeline: Option<&str>, stream: Option<&str>, status, limit| {
        let filter =
            RunFilter { pipeline: pipeline.map(str::to_owned), stream: stream.map(str::to_owned), status };
        let store = store.clone();
        async move {
            let runs = store.history(&filter, limit).await.unwrap();
            runs.into_iter().map(|run| run.run_id).collect::<Vec<_>>()
        }
    };
    let all = found(None, None, None, 10).await;
    assert!(all.len() == 5 && all.is_sorted_by(|a, b| a > b), "{all:?}");
    assert_eq!(found(None, None, None, 2).await, all[..2]);
    assert_eq!(found(Some("p"), Some("s"), None, 10).await, all[3..]);
    assert_eq!(found(None, None, Some(RunStatus::Failed), 10).await, all[1..4]);
    assert_eq!(found(Some("q"), None, Some(RunStatus::Running), 10).await, all[..1]);
    assert_eq!(found(Some("none"), None, None, 10).await, [0; 0]);
}
