//! The decision, case by case.

use rapidbyte_core::ports::TaskKey;
use rapidbyte_core::{CursorSpec, DataErrorPolicy, Limits, Partition, Policies, WritePlan};

use super::*;

fn task(sync_mode: SyncMode, mode: WriteMode) -> Task {
    let limits = Limits {
        max_batch_bytes: 1,
        max_record_bytes: 1,
        max_inflight_batches: 1,
        checkpoint_interval_bytes: 1,
        checkpoint_interval_rows: 1,
        checkpoint_interval_seconds: 1,
    };
    Task {
        key: TaskKey { pipeline: "p".into(), stream: "s".into(), partition: 0 },
        partition: Partition::WHOLE,
        sync_mode,
        cursor: (sync_mode == SyncMode::Incremental)
            .then(|| CursorSpec { field: "at".into(), tie_breaker: Vec::new() }),
        columns: Vec::new(),
        filter: None,
        write: WritePlan { mode, primary_key: Vec::new(), update_columns: Vec::new() },
        policies: Policies::default(),
        on_error: DataErrorPolicy::Fail,
        limits,
        stream_columns: vec!["id".into(), "at".into()],
        source_schema: Default::default(),
        transforms: Vec::new(),
        contract: None,
        split: None,
        unknown_before: false,
        snapshot: None,
        estimated_rows: None,
    }
}

fn cursor(value: i64) -> Option<Cursor> {
    Some(Cursor { field: "at".into(), value: CursorValue::Int64(value) })
}

fn receipt(id: u64, value: i64) -> Receipt {
    Receipt { id, cursor: cursor(value), complete: false }
}

fn saved(id: u64, value: i64) -> SavedCheckpoint {
    SavedCheckpoint { id, cursor: cursor(value), complete: false, reset: false, saved_at: 7 }
}

struct Case {
    task: Task,
    transactional: bool,
    receipt: Option<Receipt>,
    saved: Option<SavedCheckpoint>,
    shape: Option<Shape>,
}

impl Case {
    fn new(sync_mode: SyncMode, mode: WriteMode) -> Self {
        Case { task: task(sync_mode, mode), transactional: true, receipt: None, saved: None, shape: None }
    }

    fn receipt(mut self, receipt: Receipt) -> Self {
        self.receipt = Some(receipt);
        self
    }

    fn saved(mut self, saved: SavedCheckpoint) -> Self {
        self.saved = Some(saved);
        self
    }

    fn untransactional(mut self) -> Self {
        self.transactional = false;
        self
    }

    fn decide(&self) -> Result<Start, ConnectorError> {
        decide(&Known {
            task: &self.task,
            transactional: self.transactional,
            receipt: self.receipt.as_ref(),
            saved: self.saved.as_ref(),
            shape: self.shape.as_ref(),
        })
    }

    /// Position, reply and the newest id; nothing worth a warning.
    fn quiet(&self) -> (Option<i64>, CheckpointReply, u64) {
        let start = self.decide().unwrap();
        assert!(start.warnings.is_empty(), "{:?}", start.warnings);
        outcome(&start)
    }

    fn warned(&self) -> (Option<i64>, CheckpointReply, u64) {
        let start = self.decide().unwrap();
        assert_eq!(start.warnings.len(), 1, "{:?}", start.warnings);
        outcome(&start)
    }
}

fn outcome(start: &Start) -> (Option<i64>, CheckpointReply, u64) {
    let position = start.position.as_ref().map(|cursor| match cursor.value {
        CursorValue::Int64(value) => value,
        ref other => panic!("{other:?}"),
    });
    (position, start.reply, start.last_id)
}

use CheckpointReply::{Restart, Resume};

fn incremental() -> Case {
    Case::new(SyncMode::Incremental, WriteMode::Append)
}

fn full() -> Case {
    Case::new(SyncMode::FullRefresh, WriteMode::Append)
}

#[test]
fn nothing_known_begins_at_the_beginning() {
    assert_eq!(incremental().quiet(), (None, Restart, 0));
    assert_eq!(full().quiet(), (None, Restart, 0));
}

#[test]
fn the_receipt_is_the_truth_of_a_transactional_destination() {
    let newer = incremental().receipt(receipt(9, 90)).saved(saved(8, 80));
    assert_eq!(newer.quiet(), (Some(90), Resume, 9));
    let adopt = newer.decide().unwrap().adopt.unwrap();
    assert_eq!((adopt.id, adopt.cursor, adopt.reset), (9, cursor(90), false));

    let equal = incremental().receipt(receipt(9, 90)).saved(saved(9, 90));
    assert_eq!(equal.quiet(), (Some(90), Resume, 9));
    assert_eq!(equal.decide().unwrap().adopt, None);

    let lost = incremental().receipt(receipt(9, 90));
    assert_eq!(lost.quiet(), (Some(90), Resume, 9));
    assert!(lost.decide().unwrap().adopt.is_some());

    let restored = incremental().receipt(receipt(5, 50)).saved(saved(9, 90));
    assert_eq!(restored.warned(), (Some(50), Resume, 9), "ids go on above both");
    assert_eq!(restored.decide().unwrap().adopt, None, "the state never goes back");
}

#[test]
fn without_transactions_the_newer_counts() {
    assert_eq!(incremental().untransactional().saved(saved(9, 90)).quiet(), (Some(90), Resume, 9));
    assert_eq!(
        incremental().untransactional().saved(saved(9, 90)).receipt(receipt(5, 50)).quiet(),
        (Some(90), Resume, 9)
    );
    assert_eq!(
        incremental().untransactional().saved(saved(5, 50)).receipt(receipt(9, 90)).quiet(),
        (Some(90), Resume, 9)
    );
}

#[test]
fn a_missing_receipt_starts_over_or_is_refused() {
    let error = incremental().saved(saved(9, 90)).decide().unwrap_err();
    assert_eq!((error.code.as_str(), error.category), ("receipt_missing", ErrorCategory::Config));
    assert!(!error.retryable);
    for mode in [WriteMode::Upsert, WriteMode::Merge] {
        assert_eq!(Case::new(SyncMode::Incremental, mode).saved(saved(9, 90)).warned(), (None, Restart, 9));
    }
    assert_eq!(full().saved(saved(9, 90)).warned(), (None, Restart, 9));
    let complete = SavedCheckpoint { complete: true, ..saved(9, 90) };
    assert_eq!(full().saved(complete).quiet(), (None, Restart, 9), "it would start over anyway");
    let empty = SavedCheckpoint { cursor: None, complete: true, ..saved(9, 0) };
    assert_eq!(incremental().saved(empty).quiet(), (None, Restart, 9), "nothing was ever read");
}

#[test]
fn a_full_refresh_continues_only_what_was_not_finished() {
    assert_eq!(full().receipt(receipt(3, 30)).quiet(), (Some(30), Resume, 3));
    assert_eq!(full().receipt(Receipt { complete: true, ..receipt(3, 30) }).quiet(), (None, Restart, 3));
    assert_eq!(full().receipt(Receipt { cursor: None, ..receipt(3, 30) }).quiet(), (None, Restart, 3));
    assert_eq!(
        incremental().receipt(Receipt { complete: true, ..receipt(3, 30) }).quiet(),
        (Some(30), Resume, 3)
    );
    assert_eq!(incremental().receipt(Receipt { cursor: None, ..receipt(3, 30) }).quiet(), (None, Restart, 3));
}

#[test]
fn a_reset_outweighs_what_is_not_newer() {
    let reset = SavedCheckpoint { cursor: None, reset: true, ..saved(100, 0) };
    assert_eq!(incremental().saved(reset.clone()).quiet(), (None, Restart, 100));
    assert_eq!(incremental().saved(reset.clone()).receipt(receipt(99, 1)).quiet(), (None, Restart, 100));
    assert_eq!(incremental().saved(reset.clone()).receipt(receipt(100, 1)).quiet(), (None, Restart, 100));
    assert_eq!(incremental().saved(reset.clone()).receipt(receipt(101, 1)).quiet(), (Some(1), Resume, 101));
    assert_eq!(incremental().untransactional().saved(reset).quiet(), (None, Restart, 100));
}

#[test]
fn another_reading_is_not_continued_not_even_after_a_crash() {
    let before = |field: &str, after| {
        Some(Shape {
            sync_mode: SyncMode::Incremental,
            cursor_field: Some(field.into()),
            floor: 0,
            aggregated: false,
            after,
        })
    };
    let mut upsert =
        Case::new(SyncMode::Incremental, WriteMode::Upsert).receipt(receipt(9, 90)).saved(saved(9, 90));
    upsert.shape = before("at", 0);
    assert_eq!(upsert.quiet(), (Some(90), Resume, 9));
    upsert.shape = before("id", 0);
    assert_eq!(upsert.warned(), (None, Restart, 9));
    // The run that started over remembered its shape and died before its first commit.
    upsert.shape = Some(upsert.decide().unwrap().shape);
    assert_eq!(upsert.shape, before("at", 9));
    assert_eq!(upsert.warned(), (None, Restart, 9));
    // It committed: what is newer is of the new shape.
    upsert.receipt = Some(receipt(10, 5));
    assert_eq!(upsert.quiet(), (Some(5), Resume, 10));

    let mut append = incremental().receipt(receipt(9, 90)).saved(saved(9, 90));
    append.shape = before("id", 0);
    assert_eq!(append.decide().unwrap_err().code, "cursor_changed");
    append.shape = Some(Shape {
        sync_mode: SyncMode::FullRefresh,
        cursor_field: None,
        floor: 0,
        aggregated: false,
        after: 0,
    });
    assert_eq!(append.decide().unwrap_err().code, "cursor_changed");

    let mut refreshed = full().receipt(receipt(9, 90));
    refreshed.shape = before("at", 0);
    assert_eq!(refreshed.warned(), (None, Restart, 9));
}

#[test]
fn without_a_memory_the_cursor_itself_tells_its_columns() {
    let by = |field: &str| {
        let cursor = Some(Cursor { field: field.into(), value: CursorValue::Json("[1,2]".into()) });
        incremental().receipt(Receipt { cursor, ..receipt(3, 0) }).decide().map(|start| start.reply)
    };
    assert_eq!(by("at"), Ok(Resume));
    assert_eq!(by("at, id"), Ok(Resume));
    assert_eq!(by("file"), Ok(Resume), "not over columns: the source's own affair");
    assert_eq!(by("id").unwrap_err().code, "cursor_changed");
}

#[test]
fn a_receipt_is_a_guests_word() {
    for id in [0, CHECKPOINT_ID_MAX + 1, u64::MAX] {
        assert_eq!(incremental().receipt(receipt(id, 1)).decide().unwrap_err().code, "receipt_invalid");
    }
    let values = [
        CursorValue::Json("{".into()),
        CursorValue::Decimal("1; DROP TABLE x".into()),
        CursorValue::Decimal(String::new()),
        CursorValue::Utf8("x".repeat(CURSOR_BYTES_MAX + 1)),
    ];
    for value in values {
        let cursor = Some(Cursor { field: "at".into(), value });
        let error = incremental().receipt(Receipt { cursor, ..receipt(1, 1) }).decide().unwrap_err();
        assert_eq!(error.code, "receipt_invalid");
    }
    for text in ["-1.5e-3", "NaN", "-Infinity", "0"] {
        let cursor = Some(Cursor { field: "at".into(), value: CursorValue::Decimal(text.into()) });
        assert!(incremental().receipt(Receipt { cursor, ..receipt(1, 1) }).decide().is_ok(), "{text}");
    }
}
