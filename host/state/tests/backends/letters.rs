//! What every backend does with dead letters: pending, settled, counted, forgotten, each there exactly once.

use rapidbyte_core::contract::RecordError;
use rapidbyte_core::dead_letter::{DeadLetterFilter, StoredDeadLetters};
use rapidbyte_core::ports::{RunStatus, StateError, TaskKey};
use rapidbyte_state::Store;

use crate::support::{Backend, counters, key, letters, mark};

async fn settled(store: &dyn Store, stream: Option<&str>) -> Vec<StoredDeadLetters> {
    let filter = DeadLetterFilter { pipeline: "p".into(), stream: stream.map(str::to_owned) };
    store.dead_letters(&filter, 0, 1000).await.unwrap()
}

fn frames(stored: &[StoredDeadLetters]) -> Vec<String> {
    let name = |stored: &StoredDeadLetters| {
        let text = String::from_utf8(stored.letters.frame.to_vec()).unwrap();
        text.trim_start_matches("\0frame of ").trim_end_matches('\u{fffd}').to_owned()
    };
    stored.iter().map(name).collect()
}

pub async fn settled_by_the_checkpoint_that_covers_them(backend: &Backend) {
    let store = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    let partition = TaskKey { partition: 1, ..key("s") };
    store.add_dead_letters(run, &key("s"), &letters(0, "first")).await.unwrap();
    store.add_dead_letters(run, &partition, &letters(0, "another partition's")).await.unwrap();
    store.add_dead_letters(run, &key("s"), &letters(3, "behind three")).await.unwrap();
    assert_eq!(settled(&*store, None).await, [], "nothing is committed yet");

    store.save_checkpoint(run, &key("s"), &mark(3), counters(0)).await.unwrap();
    let seen = settled(&*store, Some("s")).await;
    assert_eq!(frames(&seen), ["first"], "what lies behind the checkpoint is not covered by it");
    assert_eq!((seen[0].run_id, &seen[0].key), (run, &key("s")));
    assert_eq!(seen[0].letters, letters(0, "first"));

    // A checkpoint that is refused settles nothing.
    assert!(store.save_checkpoint(run, &key("s"), &mark(3), counters(0)).await.is_err());
    assert_eq!(settled(&*store, None).await.len(), 1);
    store.save_checkpoint(run, &key("s"), &mark(4), counters(0)).await.unwrap();
    store.save_checkpoint(run, &partition, &mark(1), counters(0)).await.unwrap();
    assert_eq!(frames(&settled(&*store, None).await), ["first", "behind three", "another partition's"]);
    assert_eq!(settled(&*store, Some("t")).await, []);
}

pub async fn resolved_at_the_start_of_a_task(backend: &Backend) {
    let store = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    for (after, name) in [(0, "a"), (1, "b"), (2, "c")] {
        store.add_dead_letters(run, &key("s"), &letters(after, name)).await.unwrap();
    }
    // The process dies; the destination had committed checkpoint 2, and state does not know.
    drop(store);
    let store = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    store.resolve_dead_letters(&key("s"), Some(2)).await.unwrap();
    assert_eq!(frames(&settled(&*store, None).await), ["a", "b"], "`c` lies behind 2 and is read again");
    store.save_checkpoint(run, &key("s"), &mark(3), counters(0)).await.unwrap();
    assert_eq!(settled(&*store, None).await.len(), 2, "what was dropped does not come back");

    store.add_dead_letters(run, &key("s"), &letters(3, "d")).await.unwrap();
    store.resolve_dead_letters(&key("s"), None).await.unwrap();
    store.save_checkpoint(run, &key("s"), &mark(4), counters(0)).await.unwrap();
    assert_eq!(settled(&*store, None).await.len(), 2, "without a commit nothing is settled");
}

pub async fn numbered_in_the_order_of_settlement(backend: &Backend) {
    let store = backend.open().await;
    let slow = store.begin_run("p", "slow").await.unwrap();
    let quick = store.begin_run("p", "quick").await.unwrap();
    store.add_dead_letters(slow, &key("slow"), &letters(0, "added first")).await.unwrap();
    store.add_dead_letters(quick, &key("quick"), &letters(0, "settled first")).await.unwrap();
    store.save_checkpoint(quick, &key("quick"), &mark(1), counters(0)).await.unwrap();
    let read = settled(&*store, None).await;
    assert_eq!(frames(&read), ["settled first"]);
    store.save_checkpoint(slow, &key("slow"), &mark(1), counters(0)).await.unwrap();
    // Whoever goes on behind what was read misses nothing.
    let filter = DeadLetterFilter { pipeline: "p".into(), stream: None };
    let next = store.dead_letters(&filter, read[0].id, 10).await.unwrap();
    assert_eq!(frames(&next), ["added first"]);

    // Not even where the newest was forgotten before.
    store.forget_dead_letters(&[next[0].id]).await.unwrap();
    store.add_dead_letters(slow, &key("slow"), &letters(1, "after that")).await.unwrap();
    store.save_checkpoint(slow, &key("slow"), &mark(2), counters(0)).await.unwrap();
    let last = store.dead_letters(&filter, next[0].id, 10).await.unwrap();
    assert_eq!(frames(&last), ["after that"]);
    assert_eq!(store.dead_letters(&filter, 0, 1).await.unwrap().len(), 1, "at most so many");
}

pub async fn counted_listed_and_forgotten(backend: &Backend) {
    let store = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    let error = |row, code: &str| RecordError { row, code: code.into(), message: "no".into() };
    let mut first = letters(0, "x");
    first.errors = vec![error(0, "a"), error(0, "b"), error(1, "a"), error(1, "a")];
    let mut second = letters(0, "y");
    second.errors = vec![error(0, "a")];
    second.occurred_at = first.occurred_at + 5;
    let mut third = letters(0, "z");
    third.origin = "contract".into();
    for letters in [&first, &second, &third] {
        store.add_dead_letters(run, &key("s"), letters).await.unwrap();
    }
    assert_eq!(store.dead_letter_groups(None).await.unwrap(), [], "pending ones are not counted");
    store.save_checkpoint(run, &key("s"), &mark(1), counters(0)).await.unwrap();
    let groups = store.dead_letter_groups(Some("p")).await.unwrap();
    let shown: Vec<_> = groups.iter().map(|g| (g.origin.as_str(), g.code.as_str(), g.records)).collect();
    assert_eq!(shown, [("contract", "22P02", 1), ("destination", "a", 3), ("destination", "b", 1)]);
    assert_eq!(groups[1].last_at - groups[1].first_at, 5);
    assert_eq!(store.dead_letter_groups(None).await.unwrap(), groups);
    assert_eq!(store.dead_letter_groups(Some("q")).await.unwrap(), []);

    let all = settled(&*store, None).await;
    store.forget_dead_letters(&[all[0].id, all[1].id, 999]).await.unwrap();
    assert_eq!(frames(&settled(&*store, None).await), ["z"]);
    assert_eq!(store.dead_letter_groups(None).await.unwrap().len(), 1);
}

pub async fn a_reset_drops_what_is_pending(backend: &Backend) {
    let store = backend.open().await;
    let run = store.begin_run("p", "s").await.unwrap();
    store.add_dead_letters(run, &key("s"), &letters(0, "settled")).await.unwrap();
    store.save_checkpoint(run, &key("s"), &mark(1), counters(0)).await.unwrap();
    store.add_dead_letters(run, &key("s"), &letters(1, "pending")).await.unwrap();
    store.finish_run(run, RunStatus::Failed, counters(0), None).await.unwrap();
    store.reset("p", Some("s")).await.unwrap();
    let run = store.begin_run("p", "s").await.unwrap();
    store.save_checkpoint(run, &key("s"), &mark(1 << 40), counters(0)).await.unwrap();
    assert_eq!(frames(&settled(&*store, None).await), ["settled"]);
}

pub async fn only_whoever_runs_the_stream_may_touch_them(backend: &Backend) {
    let (store, other) = (backend.open().await, backend.open().await);
    let run = store.begin_run("p", "s").await.unwrap();
    store.add_dead_letters(run, &key("s"), &letters(0, "a")).await.unwrap();
    assert!(other.add_dead_letters(run, &key("s"), &letters(0, "b")).await.is_err());
    let refused = other.resolve_dead_letters(&key("s"), None).await.unwrap_err();
    assert!(matches!(refused, StateError::TakenOver { .. }), "{refused}");
    store.save_checkpoint(run, &key("s"), &mark(1), counters(0)).await.unwrap();
    assert_eq!(frames(&settled(&*store, None).await), ["a"]);
}
