//! Whole states on the move: out to a document, in from one, from one backend to another. The document is JSON in lines,
//! described in `docs/state.md`, so that any number of dead letters passes through a bounded memory and a document that
//! was cut off is recognised.
//!
//! Refuses to know: how a backend keeps what is moved.

use std::io::{BufRead, Read, Write};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rapidbyte_core::contract::{Cursor, CursorValue, RecordError};
use rapidbyte_core::dead_letter::DeadLetters;
use rapidbyte_core::ports::{
    RunCounters, RunRecord, RunStatus, SavedCheckpoint, StateError, StateStore, TaskKey,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::mpsc;

use crate::limits::{EXPORT_LINE_BYTES_MAX, TRANSFER_RECORDS_WAITING_MAX};

/// The version of the document that this program writes, and the newest that it reads.
pub const DOCUMENT_VERSION: u32 = 1;

/// A backend whose content can be moved as a whole.
#[async_trait]
pub trait Store: StateStore {
    /// Sends everything, as of one moment, and [`Record::End`] behind it. Ends early without an error where nobody
    /// receives any more.
    async fn export(&self, running: Running, out: mpsc::Sender<Record>) -> Result<(), StateError>;

    /// Takes everything up to [`Record::End`], in one transaction: all of it, or nothing where the records end before.
    /// Refused while a live process runs anything.
    async fn import(
        &self,
        existing: Existing,
        records: mpsc::Receiver<Record>,
    ) -> Result<Totals, TransferError>;
}

/// What to do about runs in an exported state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// They go on; the export shows them as crashed, which is what they are to whoever imports it.
    Allowed,
    /// Refuse to export, and let none begin before the export ends.
    Refused,
}

/// What to do about a state that is imported into and holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Kept,
    Overwritten,
}

/// How much was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    pub runs: u64,
    pub checkpoints: u64,
    pub values: u64,
    /// Batches of them.
    pub dead_letters: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    State(#[from] StateError),
    /// The state holds something already.
    #[error("the state at `{location}` is not empty")]
    NotEmpty { location: String },
    /// Both ends are the same.
    #[error("the state at `{location}` cannot be migrated to itself")]
    Same { location: String },
    /// The document is not one of ours, or damaged.
    #[error("line {line}: {message}")]
    Document { line: u64, message: String },
    #[error("cannot write the document: {0}")]
    Write(#[source] std::io::Error),
}

/// One line of the document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The first line.
    RapidbyteState(Header),
    Run(ExportedRun),
    Checkpoint(ExportedCheckpoint),
    Value(ExportedValue),
    DeadLetters(ExportedLetters),
    Sequence(ExportedSequence),
    /// The last line, with what lies before it.
    End(Totals),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub version: u32,
    /// Which state it was, without secrets.
    pub location: String,
    /// Seconds since the epoch.
    pub exported_at: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedRun {
    pub id: i64,
    pub pipeline: String,
    pub stream: String,
    pub status: RunStatus,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub records_read: u64,
    pub records_written: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub error: Option<String>,
}

impl ExportedRun {
    /// A run that is going on is one that crashed, to whoever imports it.
    pub fn of(run: RunRecord, now: i64) -> Self {
        let running = run.status == RunStatus::Running;
        let RunCounters { records_read, records_written, bytes_read, bytes_written } = run.counters;
        ExportedRun {
            id: run.run_id,
            pipeline: run.pipeline,
            stream: run.stream,
            status: if running { RunStatus::Crashed } else { run.status },
            started_at: run.started_at,
            finished_at: if running { Some(now) } else { run.finished_at },
            records_read,
            records_written,
            bytes_read,
            bytes_written,
            error: if running {
                Some("was running when the state was exported".to_owned())
            } else {
                run.error
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedCheckpoint {
    pub pipeline: String,
    pub stream: String,
    pub partition: u32,
    pub id: u64,
    pub run_id: Option<i64>,
    pub cursor: Option<ExportedCursor>,
    pub complete: bool,
    pub reset: bool,
    pub saved_at: i64,
}

/// Type and value as words, so that no reader of JSON rounds a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedCursor {
    pub field: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
}

impl ExportedCheckpoint {
    pub fn of(key: TaskKey, run_id: Option<i64>, checkpoint: SavedCheckpoint) -> Self {
        let cursor = checkpoint.cursor.map(|cursor| ExportedCursor {
            kind: cursor.value.type_name().to_owned(),
            value: cursor.value.value_text().to_string(),
            field: cursor.field,
        });
        ExportedCheckpoint {
            pipeline: key.pipeline,
            stream: key.stream,
            partition: key.partition,
            id: checkpoint.id,
            run_id,
            cursor,
            complete: checkpoint.complete,
            reset: checkpoint.reset,
            saved_at: checkpoint.saved_at,
        }
    }

    /// The checkpoint as the state keeps it; a message where its cursor makes no sense.
    pub fn saved(&self) -> Result<(TaskKey, SavedCheckpoint), String> {
        let cursor = match &self.cursor {
            None => None,
            Some(ExportedCursor { field, kind, value }) => {
                let value = CursorValue::from_parts(kind, value)
                    .ok_or_else(|| format!("`{value}` is not a cursor of type `{kind}`"))?;
                Some(Cursor { field: field.clone(), value })
            }
        };
        let key = TaskKey {
            pipeline: self.pipeline.clone(),
            stream: self.stream.clone(),
            partition: self.partition,
        };
        let (id, complete, reset, saved_at) = (self.id, self.complete, self.reset, self.saved_at);
        Ok((key, SavedCheckpoint { id, cursor, complete, reset, saved_at }))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedValue {
    pub scope: String,
    pub key: String,
    pub value: Base64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedLetters {
    /// None: pending.
    pub id: Option<i64>,
    pub pipeline: String,
    pub stream: String,
    pub partition: u32,
    pub run_id: i64,
    pub origin: String,
    pub connector: String,
    pub after: u64,
    /// Milliseconds since the epoch.
    pub occurred_at: i64,
    pub errors: Vec<ExportedError>,
    pub frame: Base64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedError {
    pub row: u32,
    pub code: String,
    pub message: String,
}

impl ExportedLetters {
    pub fn of(id: Option<i64>, key: TaskKey, run_id: i64, letters: DeadLetters) -> Self {
        let error =
            |error: RecordError| ExportedError { row: error.row, code: error.code, message: error.message };
        ExportedLetters {
            id,
            pipeline: key.pipeline,
            stream: key.stream,
            partition: key.partition,
            run_id,
            origin: letters.origin,
            connector: letters.connector,
            after: letters.after,
            occurred_at: letters.occurred_at,
            errors: letters.errors.into_iter().map(error).collect(),
            frame: Base64(letters.frame.into()),
        }
    }

    pub fn letters(self) -> (Option<i64>, TaskKey, i64, DeadLetters) {
        let error =
            |error: ExportedError| RecordError { row: error.row, code: error.code, message: error.message };
        let key = TaskKey { pipeline: self.pipeline, stream: self.stream, partition: self.partition };
        let letters = DeadLetters {
            origin: self.origin,
            connector: self.connector,
            after: self.after,
            frame: self.frame.0.into(),
            errors: self.errors.into_iter().map(error).collect(),
            occurred_at: self.occurred_at,
        };
        (self.id, key, self.run_id, letters)
    }
}

/// A number that was given out and must not be given out again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedSequence {
    pub name: String,
    pub value: i64,
}

/// Bytes, base64 in the document.
#[derive(Debug, Clone, PartialEq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Base64).map_err(serde::de::Error::custom)
    }
}

/// Writes the whole state as a document. Runs may go on.
pub async fn export(store: &dyn Store, out: impl Write + Send + 'static) -> Result<Totals, TransferError> {
    let (sender, receiver) = mpsc::channel(TRANSFER_RECORDS_WAITING_MAX);
    let header =
        Header { version: DOCUMENT_VERSION, location: store.location(), exported_at: crate::clock::now() };
    let writing = tokio::task::spawn_blocking(move || write_document(header, receiver, out));
    let (exported, written) = futures::join!(store.export(Running::Allowed, sender), writing);
    exported?;
    written.unwrap_or_else(|error| Err(TransferError::Write(std::io::Error::other(error))))
}

fn write_document(
    header: Header,
    mut records: mpsc::Receiver<Record>,
    out: impl Write,
) -> Result<Totals, TransferError> {
    let mut out = std::io::BufWriter::new(out);
    let mut line = |record: &Record| {
        serde_json::to_writer(&mut out, record).map_err(std::io::Error::from)?;
        out.write_all(b"\n")
    };
    line(&Record::RapidbyteState(header)).map_err(TransferError::Write)?;
    let mut totals = Totals::default();
    while let Some(record) = records.blocking_recv() {
        line(&record).map_err(TransferError::Write)?;
        if let Record::End(end) = record {
            totals = end;
        }
    }
    out.flush().map_err(TransferError::Write)?;
    Ok(totals)
}

/// Reads a document into a state.
pub async fn import(
    store: &dyn Store,
    existing: Existing,
    document: impl BufRead + Send + 'static,
) -> Result<Totals, TransferError> {
    let (sender, receiver) = mpsc::channel(TRANSFER_RECORDS_WAITING_MAX);
    let reading = tokio::task::spawn_blocking(move || read_document(document, sender));
    let (read, imported) = futures::join!(reading, store.import(existing, receiver));
    match read {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) => imported,
        Err(error) => Err(TransferError::Document { line: 0, message: error.to_string() }),
    }
}

fn read_document(mut document: impl BufRead, records: mpsc::Sender<Record>) -> Result<(), TransferError> {
    let mut text = Vec::new();
    let mut counted = Totals::default();
    for number in 1.. {
        let wrong = |message: String| TransferError::Document { line: number, message };
        text.clear();
        let limited = &mut (&mut document).take(EXPORT_LINE_BYTES_MAX);
        let length = limited.read_until(b'\n', &mut text).map_err(|error| wrong(error.to_string()))?;
        if length == 0 {
            return Err(wrong("the document is cut off: it has no `end`".to_owned()));
        }
        let record: Record = serde_json::from_slice(&text).map_err(|error| match number {
            1 => wrong("this is not an exported state".to_owned()),
            // Behind the value is where the value was cut off; its text may be personal data.
            _ => wrong(format!("the record makes no sense at column {}", error.column())),
        })?;
        match (&record, number) {
            (Record::RapidbyteState(header), 1) if header.version > DOCUMENT_VERSION => {
                let version = header.version;
                return Err(wrong(format!(
                    "the document has version {version}, this version of rapidbyte knows up to {DOCUMENT_VERSION}"
                )));
            }
            (Record::RapidbyteState(_), 1) => continue,
            (_, 1) => return Err(wrong("this is not an exported state".to_owned())),
            (Record::RapidbyteState(_), _) => return Err(wrong("there are two documents in one".to_owned())),
            (Record::Run(_), _) => counted.runs += 1,
            (Record::Checkpoint(checkpoint), _) => {
                checkpoint.saved().map_err(wrong)?;
                counted.checkpoints += 1;
            }
            (Record::Value(_), _) => counted.values += 1,
            (Record::DeadLetters(_), _) => counted.dead_letters += 1,
            (Record::Sequence(_), _) => {}
            (Record::End(totals), _) if *totals != counted => {
                return Err(wrong("the document does not hold as many records as it says".to_owned()));
            }
            (Record::End(_), _) => {
                let _ = records.blocking_send(record);
                return Ok(());
            }
        }
        if records.blocking_send(record).is_err() {
            // The import ended before; it says why.
            return Ok(());
        }
    }
    Ok(())
}

/// Copies the whole state from one backend to another. Refused while anything runs in either.
pub async fn migrate(from: &dyn Store, to: &dyn Store, existing: Existing) -> Result<Totals, TransferError> {
    if from.location() == to.location() {
        return Err(TransferError::Same { location: from.location() });
    }
    let (sender, receiver) = mpsc::channel(TRANSFER_RECORDS_WAITING_MAX);
    let (exported, imported) =
        futures::join!(from.export(Running::Refused, sender), to.import(existing, receiver));
    exported?;
    imported
}

/// For a backend: the records ended before [`Record::End`].
pub(crate) fn ended_early(location: String) -> TransferError {
    TransferError::State(StateError::Unavailable {
        location,
        message: "the records ended early; nothing was imported".to_owned(),
    })
}
