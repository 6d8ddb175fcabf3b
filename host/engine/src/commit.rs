//! The commit protocol's book-keeping: which checkpoints were stamped, which the destination confirmed, what the state
//! knows. One [`Ledger`] a task.
//!
//! A confirmation counts only for a checkpoint that was handed to the destination and is newer than the last confirmed
//! one; then it is saved, together with the run's counters, before the destination's call returns.
//! Refuses to know: channels, frames, instances.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use rapidbyte_core::dead_letter::DeadLetters;
use rapidbyte_core::limits::{CHECKPOINT_ID_MAX, CHECKPOINTS_UNCONFIRMED_MAX};
use rapidbyte_core::ports::{RunCounters, SavedCheckpoint, StateStore, TaskKey};
use rapidbyte_core::{CheckpointEvent, CheckpointKind, ConnectorError, Cursor};

use crate::error::Fault;
use crate::resume::{Receipt, Start};

/// What all tasks of a stream's run have moved: the state keeps the sum.
#[derive(Debug, Default)]
pub(crate) struct StreamTotals(Mutex<BTreeMap<u32, RunCounters>>);

impl StreamTotals {
    /// Takes over how far a partition is, and answers the sum over all.
    fn publish(&self, partition: u32, counters: RunCounters) -> RunCounters {
        let mut parts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        parts.insert(partition, counters);
        let mut sum = RunCounters::default();
        parts.values().for_each(|part| sum.add(part));
        sum
    }

    /// How far a partition was when its last attempt ended.
    pub fn of(&self, partition: u32) -> RunCounters {
        let parts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        parts.get(&partition).copied().unwrap_or_default()
    }

    pub fn sum(&self) -> RunCounters {
        let parts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut sum = RunCounters::default();
        parts.values().for_each(|part| sum.add(part));
        sum
    }
}

/// The book of one attempt at a task.
pub(crate) struct Ledger {
    key: TaskKey,
    run_id: i64,
    state: Arc<dyn StateStore>,
    totals: Arc<StreamTotals>,
    /// What earlier attempts have moved.
    before: RunCounters,
    book: Mutex<Book>,
    /// One confirmation at a time, in order.
    confirming: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Book {
    receipt: ReceiptDesk,
    next_id: u64,
    /// Stamped and not yet confirmed, by id.
    open: BTreeMap<u64, Entry>,
    stamped: Option<u64>,
    confirmed: Option<u64>,
    /// The newest checkpoint that the state knows.
    committed: Option<SavedCheckpoint>,
    counters: RunCounters,
    saves: u64,
    records_skipped: u64,
    records_dead: u64,
    /// Of both, the ones that the destination was handed and did not write.
    records_refused: u64,
}

#[derive(Debug, Default)]
enum ReceiptDesk {
    /// The destination prepares.
    #[default]
    Open,
    /// It has reported.
    Taken(Receipt),
    /// It has asked for the stream.
    Closed,
}

#[derive(Debug, Clone)]
struct Entry {
    cursor: Option<Cursor>,
    complete: bool,
    /// Totals of what was handed to the destination before this checkpoint.
    delivered: Totals,
}

/// Records and bytes that passed a point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub records: u64,
    pub bytes: u64,
}

/// What the state was told.
pub(crate) struct Saved {
    pub checkpoint: SavedCheckpoint,
    pub counters: RunCounters,
}

impl Ledger {
    pub fn new(key: TaskKey, run_id: i64, state: Arc<dyn StateStore>, totals: Arc<StreamTotals>) -> Self {
        let before = totals.of(key.partition);
        let book = Mutex::new(Book { counters: before, ..Book::default() });
        Ledger { key, run_id, state, totals, before, book, confirming: tokio::sync::Mutex::default() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    // ---- Start --------------------------------------------------------------------------------

    /// Notes the destination's receipt. Only once, and only before it asks for the stream.
    pub fn note_receipt(&self, receipt: Receipt) -> Result<(), ConnectorError> {
        let mut book = self.book();
        match book.receipt {
            ReceiptDesk::Open => {
                book.receipt = ReceiptDesk::Taken(receipt);
                Ok(())
            }
            ReceiptDesk::Taken(_) => {
                Err(ConnectorError::internal("receipt_twice", "the destination reported two receipts"))
            }
            ReceiptDesk::Closed => Err(ConnectorError::internal(
                "receipt_late",
                "the destination reported a receipt after it had asked for the stream",
            )),
        }
    }

    /// From here on no receipt is taken; answers the one there is.
    pub fn close_receipts(&self) -> Option<Receipt> {
        match std::mem::replace(&mut self.book().receipt, ReceiptDesk::Closed) {
            ReceiptDesk::Taken(receipt) => Some(receipt),
            ReceiptDesk::Open | ReceiptDesk::Closed => None,
        }
    }

    /// Begins where `start` says: saves what the destination has committed and the state does not know yet.
    pub async fn begin(&self, start: &Start) -> Result<(), Fault> {
        if let Some(adopt) = &start.adopt {
            let adopt = SavedCheckpoint { saved_at: now(), ..adopt.clone() };
            let saved = self.state.save_checkpoint(self.run_id, &self.key, &adopt, self.totals.sum()).await;
            saved.map_err(|error| Fault::state(&error))?;
        }
        // Dead letters of what was not committed come again with their records.
        let committed = start.committed.as_ref().map(|committed| committed.id);
        let resolved = self.state.resolve_dead_letters(&self.key, committed).await;
        resolved.map_err(|error| Fault::state(&error))?;
        let mut book = self.book();
        book.next_id = start.last_id + 1;
        book.committed = start.committed.clone();
        if start.done {
            book.confirmed = committed;
        }
        Ok(())
    }

    // ---- Stream -------------------------------------------------------------------------------

    /// Counts what left the source.
    pub fn read(&self, records: u64, bytes: u64) -> RunCounters {
        let mut book = self.book();
        book.counters.records_read += records;
        book.counters.bytes_read += bytes;
        book.counters
    }

    /// Gives the next id to a checkpoint of the source. None: so many are unconfirmed that this one is left out; what it
    /// covers belongs to the next one. The `complete` one is never left out.
    pub fn stamp(&self, cursor: Option<Cursor>, complete: bool) -> Result<Option<u64>, ConnectorError> {
        let mut book = self.book();
        if !complete && book.open.len() >= CHECKPOINTS_UNCONFIRMED_MAX {
            return Ok(None);
        }
        let id = book.next_id;
        if id == 0 || id > CHECKPOINT_ID_MAX {
            return Err(ConnectorError::internal(
                "checkpoint_id",
                format!("there is no checkpoint id after {id}"),
            ));
        }
        book.next_id = id + 1;
        book.stamped = Some(id);
        book.open.insert(id, Entry { cursor, complete, delivered: Totals::default() });
        Ok(Some(id))
    }

    /// The newest id that was given to a checkpoint, by this attempt or before.
    pub fn newest_id(&self) -> u64 {
        self.book().next_id.saturating_sub(1)
    }

    /// The newest id that the destination has confirmed, to this attempt or before.
    pub fn confirmed_id(&self) -> u64 {
        let book = self.book();
        book.confirmed.or(book.committed.as_ref().map(|committed| committed.id)).unwrap_or(0)
    }

    /// Keeps refused records until the checkpoint that covers them.
    pub async fn add_dead_letters(&self, letters: &DeadLetters) -> Result<(), Fault> {
        let added = self.state.add_dead_letters(self.run_id, &self.key, letters).await;
        added.map_err(|error| Fault::state(&error))
    }

    /// The cursor of a stamped checkpoint and whether it ends the stream; none if there is no such checkpoint.
    pub fn entry(&self, id: u64) -> Option<(Option<Cursor>, bool)> {
        self.book().open.get(&id).map(|entry| (entry.cursor.clone(), entry.complete))
    }

    /// Notes what was handed to the destination before checkpoint `id`.
    pub fn delivered(&self, id: u64, totals: Totals) {
        if let Some(entry) = self.book().open.get_mut(&id) {
            entry.delivered = totals;
        }
    }

    /// Counts refused records that the policy lets pass over, or that became dead letters.
    pub fn refuse(&self, records: u64, by_destination: bool, dead: bool) {
        let mut book = self.book();
        if dead {
            book.records_dead += records;
        } else {
            book.records_skipped += records;
        }
        if by_destination {
            book.records_refused += records;
        }
    }

    // ---- Confirmation -------------------------------------------------------------------------

    /// The destination says that everything before `id` is committed; `taken` is the newest checkpoint it was handed.
    /// `before` is called at the last instant before the state is written.
    pub async fn confirm(
        &self,
        id: u64,
        taken: Option<u64>,
        before: impl FnOnce(),
    ) -> Result<Saved, Refusal> {
        let _in_order = self.confirming.lock().await;
        let (checkpoint, counters) = {
            let book = self.book();
            let refuse =
                |code: &str, what: String| Refusal::Destination(ConnectorError::internal(code, what));
            if let Some(confirmed) = book.confirmed
                && id <= confirmed
            {
                return Err(refuse(
                    "checkpoint_not_newer",
                    format!("the destination confirmed checkpoint {id} after {confirmed}"),
                ));
            }
            let entry = book.open.get(&id).filter(|_| taken.is_some_and(|taken| id <= taken));
            let Some(entry) = entry else {
                return Err(refuse(
                    "checkpoint_unknown",
                    format!("the destination confirmed checkpoint {id}, which it was not given"),
                ));
            };
            let mut counters = book.counters;
            let delivered = entry.delivered.records.saturating_sub(book.records_refused);
            counters.records_written = self.before.records_written + delivered;
            counters.bytes_written = self.before.bytes_written + entry.delivered.bytes;
            let checkpoint = SavedCheckpoint {
                id,
                cursor: entry.cursor.clone(),
                complete: entry.complete,
                reset: false,
                saved_at: now(),
            };
            (checkpoint, counters)
        };
        before();
        let sum = self.totals.publish(self.key.partition, counters);
        let saved = self.state.save_checkpoint(self.run_id, &self.key, &checkpoint, sum).await;
        saved.map_err(|error| Refusal::State(Fault::state(&error)))?;
        let mut book = self.book();
        book.open = book.open.split_off(&(id + 1));
        book.confirmed = Some(id);
        book.committed = Some(checkpoint.clone());
        book.counters.records_written = counters.records_written;
        book.counters.bytes_written = counters.bytes_written;
        book.saves += 1;
        Ok(Saved { checkpoint, counters: book.counters })
    }

    /// The newest checkpoint that was stamped and never confirmed.
    pub fn unconfirmed(&self) -> Option<u64> {
        let book = self.book();
        book.stamped.filter(|stamped| book.confirmed != Some(*stamped))
    }

    /// The end of the stream is committed and saved.
    pub fn is_complete(&self) -> bool {
        let book = self.book();
        book.confirmed.is_some() && book.committed.as_ref().is_some_and(|committed| committed.complete)
    }

    /// The newest checkpoint that the state knows, as the contract has it.
    pub fn committed(&self) -> Option<CheckpointEvent> {
        self.book().committed.as_ref().map(|committed| CheckpointEvent {
            kind: CheckpointKind::Destination,
            stream: self.key.stream.clone(),
            id: committed.id,
            cursor: committed.cursor.clone(),
            records: 0,
            bytes: 0,
            complete: committed.complete,
        })
    }

    /// What this attempt and those before it have moved; from here on it counts for the stream.
    pub fn close(&self) -> RunCounters {
        let counters = self.book().counters;
        self.totals.publish(self.key.partition, counters);
        counters
    }

    pub fn records_skipped(&self) -> u64 {
        self.book().records_skipped
    }

    pub fn records_dead(&self) -> u64 {
        self.book().records_dead
    }

    /// How many checkpoints were saved.
    pub fn saves(&self) -> u64 {
        self.book().saves
    }
}

/// Why a confirmation was not taken.
pub(crate) enum Refusal {
    /// The destination is wrong.
    Destination(ConnectorError),
    /// The data is committed; the state cannot be written. The receipt tells the next run.
    State(Fault),
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Seconds since the epoch.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use rapidbyte_core::CursorValue;
    use rapidbyte_state::SqliteStore;

    use super::*;

    struct Desk {
        ledger: Ledger,
        store: SqliteStore,
        _folder: tempfile::TempDir,
    }

    async fn desk(last_id: u64) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
        let key = TaskKey { pipeline: "p".into(), stream: "s".into(), partition: 0 };
        let run_id = store.begin_run("p", "s").await.unwrap();
        let ledger = Ledger::new(key, run_id, Arc::new(store.clone()), Arc::default());
        ledger.book().next_id = last_id + 1;
        Desk { ledger, store, _folder: folder }
    }

    fn cursor(value: i64) -> Option<Cursor> {
        Some(Cursor { field: "at".into(), value: CursorValue::Int64(value) })
    }

    impl Desk {
        async fn confirm(&self, id: u64, taken: Option<u64>) -> Result<Saved, String> {
            match self.ledger.confirm(id, taken, || {}).await {
                Ok(saved) => Ok(saved),
                Err(Refusal::Destination(error)) => Err(error.code),
                Err(Refusal::State(fault)) => Err(fault.error.code),
            }
        }

        async fn saved_id(&self) -> Option<u64> {
            self.store.last_checkpoint(&self.ledger.key).await.unwrap().map(|saved| saved.id)
        }
    }

    #[tokio::test]
    async fn only_what_was_handed_over_can_be_confirmed() {
        let desk = desk(4).await;
        for value in 1..=3 {
            assert_eq!(desk.ledger.stamp(cursor(value), false).unwrap(), Some(4 + value as u64));
        }
        assert_eq!(desk.confirm(5, None).await.err().unwrap(), "checkpoint_unknown");
        assert_eq!(
            desk.confirm(6, Some(5)).await.err().unwrap(),
            "checkpoint_unknown",
            "stamped, not handed over"
        );
        assert_eq!(desk.confirm(4, Some(6)).await.err().unwrap(), "checkpoint_unknown", "of an earlier run");
        assert_eq!(desk.saved_id().await, None, "nothing was saved");
        desk.confirm(6, Some(6)).await.unwrap();
        assert_eq!(desk.confirm(6, Some(6)).await.err().unwrap(), "checkpoint_not_newer");
        assert_eq!(desk.confirm(5, Some(6)).await.err().unwrap(), "checkpoint_not_newer");
        assert_eq!(desk.saved_id().await, Some(6));
        assert_eq!(desk.ledger.unconfirmed(), Some(7));
        desk.confirm(7, Some(7)).await.unwrap();
        assert_eq!(desk.ledger.unconfirmed(), None);
        assert!(!desk.ledger.is_complete());
        assert_eq!(desk.ledger.committed().unwrap().cursor, cursor(3));
    }

    #[tokio::test]
    async fn written_is_what_came_before_the_confirmed_checkpoint() {
        let desk = desk(0).await;
        desk.ledger.read(30, 3000);
        for (id, records) in [(1, 10), (2, 25)] {
            desk.ledger.stamp(cursor(0), id == 2).unwrap();
            desk.ledger.delivered(id, Totals { records, bytes: records * 100 });
        }
        let counters = desk.confirm(1, Some(2)).await.unwrap().counters;
        assert_eq!((counters.records_read, counters.records_written, counters.bytes_written), (30, 10, 1000));
        desk.ledger.refuse(3, true, false);
        desk.ledger.refuse(2, false, false);
        let counters = desk.confirm(2, Some(2)).await.unwrap().counters;
        assert_eq!((counters.records_written, desk.ledger.records_skipped()), (22, 5));
        assert!(desk.ledger.is_complete());
    }

    #[tokio::test]
    async fn a_crowd_of_unconfirmed_checkpoints_is_thinned_but_never_the_last_one() {
        let desk = desk(0).await;
        for _ in 0..CHECKPOINTS_UNCONFIRMED_MAX {
            assert!(desk.ledger.stamp(cursor(1), false).unwrap().is_some());
        }
        assert_eq!(desk.ledger.stamp(cursor(2), false).unwrap(), None);
        let last = desk.ledger.stamp(cursor(3), true).unwrap().unwrap();
        desk.confirm(last, Some(last)).await.unwrap();
        assert!(desk.ledger.is_complete());
        assert!(desk.ledger.stamp(cursor(4), false).unwrap().is_some(), "there is room again");
    }

    #[tokio::test]
    async fn ids_do_not_wrap() {
        let desk = desk(CHECKPOINT_ID_MAX).await;
        assert_eq!(desk.ledger.stamp(None, true).unwrap_err().code, "checkpoint_id");
    }

    #[tokio::test]
    async fn a_state_that_cannot_be_written_is_the_error_and_nothing_counts_as_saved() {
        let desk = desk(0).await;
        desk.ledger.stamp(cursor(1), false).unwrap();
        let run_id = desk.ledger.run_id;
        let finished = desk.store.finish_run(
            run_id,
            rapidbyte_core::ports::RunStatus::Failed,
            RunCounters::default(),
            None,
        );
        finished.await.unwrap();
        assert_eq!(desk.confirm(1, Some(1)).await.err().unwrap(), "state_unavailable");
        assert_eq!((desk.ledger.saves(), desk.ledger.committed()), (0, None));
    }

    #[test]
    fn a_receipt_is_taken_once_and_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("state.db")).unwrap();
        let key = TaskKey { pipeline: "p".into(), stream: "s".into(), partition: 0 };
        let ledger = Ledger::new(key, 1, Arc::new(store), Arc::default());
        let receipt = Receipt { id: 1, cursor: None, complete: false };
        ledger.note_receipt(receipt.clone()).unwrap();
        assert_eq!(ledger.note_receipt(receipt.clone()).unwrap_err().code, "receipt_twice");
        assert_eq!(ledger.close_receipts(), Some(receipt.clone()));
        assert_eq!(ledger.note_receipt(receipt).unwrap_err().code, "receipt_late");
        assert_eq!(ledger.close_receipts(), None);
    }
}
