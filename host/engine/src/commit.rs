//! The commit protocol's book-keeping: which checkpoints were stamped, which the destination confirmed, what the state
//! knows. One [`Ledger`] a task.
//!
//! A confirmation counts only for a checkpoint that was handed to the destination and is newer than the last confirmed
//! one; then it is saved, together with the run's counters, before the destination's call returns.
//! Refuses to know: channels, frames, instances.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use rapidbyte_core::limits::{CHECKPOINT_ID_MAX, CHECKPOINTS_UNCONFIRMED_MAX};
use rapidbyte_core::ports::{RunCounters, SavedCheckpoint, StateStore, TaskKey};
use rapidbyte_core::{CheckpointEvent, CheckpointKind, ConnectorError, Cursor};

use crate::error::Fault;
use crate::resume::{Receipt, Start};

/// The book of one task.
pub(crate) struct Ledger {
    key: TaskKey,
    run_id: i64,
    state: Arc<dyn StateStore>,
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
    /// Of those, the ones that the destination was handed and did not write.
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
    pub fn new(key: TaskKey, run_id: i64, state: Arc<dyn StateStore>) -> Self {
        Ledger { key, run_id, state, book: Mutex::default(), confirming: tokio::sync::Mutex::default() }
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
            let saved =
                self.state.save_checkpoint(self.run_id, &self.key, &adopt, RunCounters::default()).await;
            saved.map_err(|error| Fault::state(&error))?;
        }
        let mut book = self.book();
        book.next_id = start.last_id + 1;
        book.committed = start.committed.clone();
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

    /// Counts refused records that the policy lets pass over.
    pub fn skip(&self, records: u64, by_destination: bool) {
        let mut book = self.book();
        book.records_skipped += records;
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
            counters.records_written = entry.delivered.records.saturating_sub(book.records_refused);
            counters.bytes_written = entry.delivered.bytes;
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
        let saved = self.state.save_checkpoint(self.run_id, &self.key, &checkpoint, counters).await;
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

    pub fn counters(&self) -> RunCounters {
        self.book().counters
    }

    pub fn records_skipped(&self) -> u64 {
        self.book().records_skipped
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

/// Seconds since the epoch.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
