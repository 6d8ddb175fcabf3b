//! Whole states on the move.

use std::io::{BufReader, Cursor, Write};
use std::sync::{Arc, Mutex};

use rapidbyte_core::contract::CursorValue;
use rapidbyte_core::dead_letter::DeadLetterFilter;
use rapidbyte_core::ports::{RunRecord, RunStatus, SavedPosition, StateError, TaskKey};
use rapidbyte_state::Store;
use rapidbyte_state::transfer::{Existing, Totals, TransferError, export, import, migrate};

use crate::support::{Backend, checkpoint, counters, key, letters, mark};

/// A document in memory.
#[derive(Clone, Default)]
struct Document(Arc<Mutex<Vec<u8>>>);

impl Document {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Document {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn exported(store: &dyn Store) -> String {
    let document = Document::default();
    export(store, document.clone()).await.unwrap();
    document.text()
}

async fn imported(store: &dyn Store, existing: Existing, text: &str) -> Result<Totals, TransferError> {
    import(store, existing, BufReader::new(Cursor::new(text.as_bytes().to_vec()))).await
}

/// A state with something of everything: finished runs, cursors of awkward types, a reset, values, dead letters settled,
/// pending and forgotten.
async fn fill(store: &dyn Store) {
    let run = store.begin_run("p", "s").await.unwrap();
    let awkward =
        [CursorValue::Utf8("\0 \"ü\"".into()), CursorValue::Lsn(u64::MAX), CursorValue::Int64(i64::MIN)];
    for (id, value) in (1..).zip(awkward) {
        store.save_checkpoint(run, &key("s"), &checkpoint(id, value), counters(id)).await.unwrap();
    }
    let partition = TaskKey { partition: 3, ..key("s") };
    store.save_checkpoint(run, &partition, &mark(1), counters(9)).await.unwrap();
    for name in ["kept", "forgotten", "pending"] {
        store
            .add_dead_letters(run, &partition, &letters(if name == "pending" { 2 } else { 1 }, name))
            .await
            .unwrap();
    }
    store.save_checkpoint(run, &partition, &mark(2), counters(9)).await.unwrap();
    let filter = DeadLetterFilter { pipeline: "p".into(), stream: None };
    let settled = store.dead_letters(&filter, 0, 10).await.unwrap();
    store.forget_dead_letters(&[settled[1].id]).await.unwrap();
    store.put(r#"["pipeline","p"]"#, "token", b"\0\xff binary").await.unwrap();
    store.finish_run(run, RunStatus::Failed, counters(9), Some("it \"failed\"\nbadly")).await.unwrap();
    store.reset("other", Some("gone")).await.unwrap();
}

async fn content(store: &dyn Store) -> (Vec<SavedPosition>, Vec<RunRecord>, Option<Vec<u8>>) {
    (
        store.positions(None).await.unwrap(),
        store.runs(None, 100).await.unwrap(),
        store.get(r#"["pipeline","p"]"#, "token").await.unwrap(),
    )
}

/// Without its first line, which says when and where.
fn body(document: &str) -> &str {
    document.split_once('\n').unwrap().1
}

pub async fn a_state_survives_its_document(backend: &Backend) {
    let from = backend.open().await;
    fill(&*from).await;
    let document = exported(&*from).await;
    let there = backend.another();
    let to = there.open().await;
    let totals = imported(&*to, Existing::Kept, &document).await.unwrap();
    assert_eq!((totals.runs, totals.values, totals.dead_letters), (1, 1, 2));
    assert_eq!(content(&*to).await, content(&*from).await);
    assert_eq!(body(&exported(&*to).await), body(&document));

    // What was pending is settled there as it would have been here; no number is given out twice.
    let run = to.begin_run("p", "s").await.unwrap();
    assert!(run > from.runs(None, 1).await.unwrap()[0].run_id);
    to.resolve_dead_letters(&TaskKey { partition: 3, ..key("s") }, Some(3)).await.unwrap();
    let filter = DeadLetterFilter { pipeline: "p".into(), stream: None };
    let settled = to.dead_letters(&filter, 0, 10).await.unwrap();
    assert_eq!(settled.iter().map(|letters| letters.id).collect::<Vec<_>>(), [1, 3], "2 was forgotten");
    assert_eq!(settled[1].letters, letters(2, "pending"));
}

pub async fn a_document_that_is_cut_off_changes_nothing(backend: &Backend) {
    let from = backend.open().await;
    fill(&*from).await;
    let document = exported(&*from).await;
    let before = content(&*from).await;
    for (cut, _) in document.match_indices('\n') {
        if cut + 1 == document.len() {
            break;
        }
        let error = imported(&*from, Existing::Overwritten, &document[..=cut]).await.unwrap_err();
        assert!(error.to_string().contains("cut off"), "{error}");
    }
    let halved = &document[..document.len() - 20];
    assert!(imported(&*from, Existing::Overwritten, halved).await.is_err());
    assert_eq!(content(&*from).await, before);
}

pub async fn what_is_not_a_document_is_refused_by_line(backend: &Backend) {
    let store = backend.open().await;
    let header = r#"{"rapidbyte_state":{"version":1,"location":"x","exported_at":1}}"#;
    let cursor = r#"{"checkpoint":{"pipeline":"p","stream":"s","partition":0,"id":1,"run_id":null,"cursor":{"field":"f","type":"int64","value":"secret"},"complete":false,"reset":false,"saved_at":1}}"#;
    for (text, line, wanted) in [
        ("hello\n".to_owned(), 1, "not an exported state"),
        (
            r#"{"end":{"runs":0,"checkpoints":0,"values":0,"dead_letters":0}}"#.to_owned(),
            1,
            "not an exported state",
        ),
        (header.replace(":1,", ":2,"), 1, "version 2"),
        (format!("{header}\n{{\"run\":{{\"token\":\"secret\"}}}}\n"), 2, "makes no sense"),
        (format!("{header}\n{cursor}\n"), 2, "not a cursor of type `int64`"),
        (format!("{header}\n{header}\n"), 2, "two documents"),
        (
            format!("{header}\n{}\n", r#"{"end":{"runs":1,"checkpoints":0,"values":0,"dead_letters":0}}"#),
            2,
            "as many records",
        ),
    ] {
        let error = imported(&*store, Existing::Kept, &text).await.unwrap_err();
        let TransferError::Document { line: at, message } = &error else { panic!("{error}") };
        assert!(*at == line && message.contains(wanted), "{text}: {error}");
    }
    assert_eq!(content(&*store).await, (vec![], vec![], None));
}

pub async fn nothing_is_overwritten_unasked(backend: &Backend) {
    let (from, there) = (backend.open().await, backend.another());
    fill(&*from).await;
    let document = exported(&*from).await;
    let to = there.open().await;
    let run = to.begin_run("mine", "s").await.unwrap();
    to.finish_run(run, RunStatus::Succeeded, counters(0), None).await.unwrap();
    let error = imported(&*to, Existing::Kept, &document).await.unwrap_err();
    assert!(matches!(error, TransferError::NotEmpty { .. }), "{error}");
    assert_eq!(to.runs(None, 10).await.unwrap()[0].pipeline, "mine");
    imported(&*to, Existing::Overwritten, &document).await.unwrap();
    assert_eq!(content(&*to).await, content(&*from).await);
}

pub async fn both_backends_are_migrated_to_each_other(backend: &Backend) {
    let from = backend.open().await;
    fill(&*from).await;
    let there = backend.other_kind();
    let to = there.open().await;
    let totals = migrate(&*from, &*to, Existing::Kept).await.unwrap();
    assert_eq!((totals.runs, totals.dead_letters), (1, 2));
    assert_eq!(body(&exported(&*to).await), body(&exported(&*from).await));
    let error = migrate(&*from, &*to, Existing::Kept).await.unwrap_err();
    assert!(matches!(error, TransferError::NotEmpty { .. }), "{error}");
    let error = migrate(&*from, &*from, Existing::Overwritten).await.unwrap_err();
    assert!(matches!(error, TransferError::Same { .. }), "{error}");
}

pub async fn nothing_moves_while_something_runs(backend: &Backend) {
    let (from, there) = (backend.open().await, backend.another());
    let to = there.open().await;
    let busy = |error: TransferError| matches!(error, TransferError::State(StateError::Busy { .. }));
    let run = from.begin_run("p", "s").await.unwrap();
    assert!(busy(migrate(&*from, &*to, Existing::Kept).await.unwrap_err()));
    let document = exported(&*from).await;
    assert!(busy(imported(&*from, Existing::Overwritten, &document).await.unwrap_err()));
    from.finish_run(run, RunStatus::Succeeded, counters(0), None).await.unwrap();
    let there_too = to.begin_run("p", "s").await.unwrap();
    assert!(busy(migrate(&*from, &*to, Existing::Overwritten).await.unwrap_err()));
    to.finish_run(there_too, RunStatus::Succeeded, counters(0), None).await.unwrap();
    migrate(&*from, &*to, Existing::Overwritten).await.unwrap();
    assert_eq!(content(&*to).await, content(&*from).await);
}

pub async fn an_export_shows_what_runs_as_crashed(backend: &Backend) {
    let (from, there) = (backend.open().await, backend.another());
    let run = from.begin_run("p", "s").await.unwrap();
    let document = exported(&*from).await;
    from.finish_run(run, RunStatus::Succeeded, counters(0), None).await.unwrap();
    let to = there.open().await;
    imported(&*to, Existing::Kept, &document).await.unwrap();
    let shown = &to.runs(None, 1).await.unwrap()[0];
    assert_eq!((shown.run_id, shown.status), (run, RunStatus::Crashed));
    to.begin_run("p", "s").await.unwrap();
}
