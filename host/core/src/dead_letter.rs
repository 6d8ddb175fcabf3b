//! Dead letters: records that could not go on, with what was wrong with each. They are kept in the state first, *pending*,
//! and *settled* by the checkpoint that covers them in the checkpoint's own transaction, so that each is there exactly once.
//!
//! Refuses to know: where dead letters go afterwards, and who decides that a record is one.

use bytes::Bytes;

use crate::contract::RecordError;
use crate::ports::TaskKey;

/// Records that one place of a task refused together.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetters {
    /// Who refused them: `source`, `transform:0`, `contract`, `destination`.
    pub origin: String,
    /// Its name and version: `source-postgres@1.0.0`.
    pub connector: String,
    /// The newest checkpoint known to lie before these records: any saved checkpoint with a greater id settles them.
    pub after: u64,
    /// An Arrow IPC stream with one batch: the records.
    pub frame: Bytes,
    /// At least one for every record; `row` is its index in the frame.
    pub errors: Vec<RecordError>,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
}

/// Settled dead letters, as the state keeps them.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDeadLetters {
    /// In the order of settlement, never used twice: whoever has read up to an id misses nothing by going on behind it.
    pub id: i64,
    pub key: TaskKey,
    pub run_id: i64,
    pub letters: DeadLetters,
}

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterFilter {
    pub pipeline: String,
    /// None: of every stream.
    pub stream: Option<String>,
}

/// How many dead letters there are of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterGroup {
    pub pipeline: String,
    pub stream: String,
    pub origin: String,
    pub code: String,
    /// Records with this code. One with several codes counts in several groups.
    pub records: u64,
    /// Milliseconds since the epoch.
    pub first_at: i64,
    pub last_at: i64,
}
