//! Where a stream goes on: the decision between the destination's receipt and the saved state, as one pure function.
//!
//! - A transactional destination's receipt was committed with its data, so it is the truth about what the destination
//!   holds: newer than the state (the process died between commit and save, or the state was lost), it is adopted; older
//!   (the destination was restored from a backup), it is followed as well, with a warning.
//! - A destination without transactions knows less than the state: the newer of the two counts.
//! - A user's reset outweighs every receipt that is not newer than it.
//! - A state without a receipt of a transactional destination means that the destination's data is gone, or that it is
//!   another destination. Going on behind the cursor would lose what came before. So the stream starts over where that
//!   repeats nothing (`replace`, `upsert`, `merge`, every full refresh) and is refused where it might (`append`).
//! - A full refresh that was read to its end starts over; one that was not continues if it has a cursor. An incremental
//!   stream continues behind its cursor.
//! - Ids go on above everything that was ever seen, so they are monotone for ever.
//!
//! Refuses to know: how receipts and state are stored. A receipt is what a guest claims: nothing here trusts its range.

use rapidbyte_core::limits::{CHECKPOINT_ID_MAX, CURSOR_BYTES_MAX};
use rapidbyte_core::ports::SavedCheckpoint;
use rapidbyte_core::{
    CheckpointReply, ConnectorError, Cursor, CursorValue, ErrorCategory, Partition, SyncMode, WriteMode,
};
use serde::{Deserialize, Serialize};

use crate::plan::Task;

/// What a destination reports as its last commit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Receipt {
    pub id: u64,
    pub cursor: Option<Cursor>,
    pub complete: bool,
}

/// How a stream is read, remembered from run to run: a cursor of one kind of reading means nothing to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub sync_mode: SyncMode,
    pub cursor_field: Option<String>,
    /// Of the reading in partitions that it was part of; 0: it was read as one.
    #[serde(default)]
    pub floor: u64,
    /// Nothing came out before the end, so a cursor from before says nothing about what did.
    #[serde(default)]
    pub aggregated: bool,
    /// Checkpoints up to this id are of an earlier shape. What a destination still holds of them is not continued.
    pub after: u64,
}

impl Shape {
    fn of(task: &Task, after: u64) -> Self {
        Shape {
            sync_mode: task.sync_mode,
            cursor_field: task.cursor.as_ref().map(|cursor| cursor.field.clone()),
            floor: task.partition.floor,
            aggregated: task.aggregates(),
            after,
        }
    }

    fn reads_like(&self, other: &Shape) -> bool {
        self.sync_mode == other.sync_mode
            && self.cursor_field == other.cursor_field
            && self.floor == other.floor
            && self.aggregated == other.aggregated
    }

    fn describe(&self) -> String {
        let how = if self.floor > 0 { " in partitions" } else { "" };
        let what = if self.aggregated { ", aggregated" } else { "" };
        match &self.cursor_field {
            Some(field) => format!("{} by `{field}`{how}{what}", self.sync_mode),
            None => format!("{}{how}{what}", self.sync_mode),
        }
    }
}

/// Everything the decision depends on.
pub(crate) struct Known<'a> {
    pub task: &'a Task,
    /// The destination commits receipts with its data.
    pub transactional: bool,
    pub receipt: Option<&'a Receipt>,
    pub saved: Option<&'a SavedCheckpoint>,
    /// How the stream was read before. None: nobody knows.
    pub shape: Option<&'a Shape>,
}

/// How a stream starts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Start {
    /// The source continues behind this. None: from the beginning.
    pub position: Option<Cursor>,
    /// What the destination is answered to its receipt.
    pub reply: CheckpointReply,
    /// The newest id ever seen; the next is above it.
    pub last_id: u64,
    /// What the destination has committed and the state does not know yet.
    pub adopt: Option<SavedCheckpoint>,
    /// The newest commit that both know.
    pub committed: Option<SavedCheckpoint>,
    /// A partition that is committed to its end: there is nothing left to do.
    pub done: bool,
    /// How the stream is read from here on; to be remembered before anything is read.
    pub shape: Shape,
    pub warnings: Vec<String>,
}

/// Decides how a stream starts. An error is for the user or the destination's author; nothing has been moved yet.
pub(crate) fn decide(known: &Known<'_>) -> Result<Start, ConnectorError> {
    let task = known.task;
    if let Some(receipt) = known.receipt {
        check_receipt(receipt)?;
    }
    let mut warnings = Vec::new();
    // What lies at or below the floor belongs to an earlier reading of the stream.
    let floor = task.partition.floor;
    let saved_id = known.saved.map_or(0, |saved| saved.id);
    let last_id = saved_id.max(known.receipt.map_or(0, |receipt| receipt.id)).max(floor);
    let reset = known.saved.is_some_and(|saved| saved.reset);
    let saved = known.saved.filter(|saved| !saved.reset && saved.id > floor);
    let receipt = known.receipt.filter(|receipt| receipt.id > floor && (!reset || receipt.id > saved_id));
    let from_receipt = |receipt: &Receipt| SavedCheckpoint {
        id: receipt.id,
        cursor: receipt.cursor.clone(),
        complete: receipt.complete,
        reset: false,
        saved_at: 0,
    };

    let mut adopt = None;
    let base = match (receipt, saved) {
        (None, None) => None,
        (Some(receipt), _) if receipt.id > saved_id => {
            adopt = Some(from_receipt(receipt));
            adopt.clone()
        }
        (Some(receipt), Some(saved)) if known.transactional => {
            if receipt.id < saved.id {
                warnings.push(format!(
                    "the destination stands at checkpoint {}, the state at {}: the destination was restored or exchanged; \
                     continuing where the destination stands",
                    receipt.id, saved.id
                ));
            }
            Some(from_receipt(receipt))
        }
        (None, Some(saved)) if known.transactional => without_receipt(task, saved, &mut warnings)?,
        (_, saved) => saved.cloned(),
    };
    if task.unknown_before {
        refuse_forgotten(task, known.receipt.filter(|receipt| receipt.id <= floor))?;
    }
    let base = match base {
        Some(base) => same_reading(known, base, &mut warnings)?,
        None => None,
    };
    let shape = match (&base, known.shape) {
        (Some(_), Some(before)) => before.clone(),
        (Some(_), None) => Shape::of(task, 0),
        (None, _) => Shape::of(task, last_id),
    };

    let done = floor > 0 && base.as_ref().is_some_and(|base| base.complete);
    let resume = base.as_ref().is_some_and(|base| {
        base.cursor.is_some() && (task.sync_mode != SyncMode::FullRefresh || !base.complete)
    });
    let position = if resume { base.as_ref().and_then(|base| base.cursor.clone()) } else { None };
    let reply = if resume || done { CheckpointReply::Resume } else { CheckpointReply::Restart };
    Ok(Start { position, reply, last_id, adopt, committed: base, done, shape, warnings })
}

/// Writing everything again changes nothing.
fn repeats_nothing(task: &Task) -> bool {
    match task.write.mode {
        WriteMode::Replace | WriteMode::Upsert | WriteMode::Merge => true,
        WriteMode::Append => false,
    }
}

fn without_receipt(
    task: &Task,
    saved: &SavedCheckpoint,
    warnings: &mut Vec<String>,
) -> Result<Option<SavedCheckpoint>, ConnectorError> {
    // A full refresh that ended starts over anyway; what has no cursor starts from the beginning anyway.
    let Some(cursor) =
        saved.cursor.as_ref().filter(|_| task.sync_mode != SyncMode::FullRefresh || !saved.complete)
    else {
        return Ok(None);
    };
    let facts = format!(
        "the state has stream `{}` at checkpoint {} (`{}` = {}), but the destination has no receipt of it: its data was \
         removed, or it is another destination",
        task.key.stream, saved.id, cursor.field, cursor.value
    );
    if task.sync_mode == SyncMode::FullRefresh || repeats_nothing(task) {
        warnings.push(format!("{facts}; starting over"));
        return Ok(None);
    }
    Err(refuse_continuation(task, "receipt_missing", facts))
}

/// Leaves a base alone if it was read as this run reads, and otherwise starts over where that repeats nothing.
fn same_reading(
    known: &Known<'_>,
    base: SavedCheckpoint,
    warnings: &mut Vec<String>,
) -> Result<Option<SavedCheckpoint>, ConnectorError> {
    let task = known.task;
    let now = Shape::of(task, 0);
    let difference = match known.shape {
        // Of an earlier shape than the one remembered: the run that changed it died before it had committed anything.
        Some(before) if base.id <= before.after => Some("in another way".to_owned()),
        Some(before) if !before.reads_like(&now) => Some(before.describe()),
        Some(_) => None,
        None if task.partition.floor == 0 && is_of_partition(base.cursor.as_ref()) => {
            // Of one partition, and the state that knew of the others is lost.
            refuse_forgotten(task, known.receipt)?;
            Some("in partitions".to_owned())
        }
        None => other_cursor_field(task, base.cursor.as_ref()).map(|field| format!("by `{field}`")),
    };
    let Some(before) = difference else { return Ok(Some(base)) };
    if task.sync_mode == SyncMode::FullRefresh {
        if !base.complete && base.cursor.is_some() {
            warnings.push(format!(
                "the stream was read {before} before and is read {} now; starting over",
                now.describe()
            ));
        }
        return Ok(None);
    }
    let facts = format!(
        "stream `{}` was read {before} before and is to be read {} now",
        task.key.stream,
        now.describe()
    );
    if repeats_nothing(task) {
        warnings.push(format!("{facts}; starting over"));
        return Ok(None);
    }
    Err(refuse_continuation(task, "cursor_changed", facts))
}

/// What the engine puts behind the name of a cursor's field where it is the cursor of a partition, so that a receipt says
/// so even to a state that has forgotten everything: `id [2/8]`.
pub(crate) fn partition_mark(partition: &Partition) -> String {
    format!(" [{}/{}]", u64::from(partition.index) + 1, partition.count)
}

fn is_of_partition(cursor: Option<&Cursor>) -> bool {
    cursor.is_some_and(|cursor| cursor.field.ends_with(']') && cursor.field.contains(" ["))
}

/// An append that stands half-way at the destination, and of which the state does not know how far its other half is.
fn refuse_forgotten(task: &Task, receipt: Option<&Receipt>) -> Result<(), ConnectorError> {
    let Some(receipt) = receipt.filter(|_| !repeats_nothing(task)) else { return Ok(()) };
    let of_partition = is_of_partition(receipt.cursor.as_ref());
    if receipt.complete && !of_partition {
        return Ok(());
    }
    let how = if of_partition { "in partitions" } else { "as one" };
    let facts = format!(
        "the destination has a receipt of stream `{}`, which was read {how}, and the state knows nothing of it: the state was \
         lost or exchanged",
        task.key.stream
    );
    let mut error = refuse_continuation(task, "receipt_unplanned", facts);
    if !of_partition {
        let hint = "`partitions: 1` for the stream lets it go on where it stands; or empty the table and use `state reset`";
        error.details = Some(serde_json::json!({ "hint": hint }).to_string());
    }
    Err(error)
}

/// The columns of a cursor that is over columns of this stream, but not over the one this run continues by. Cursors that
/// are over something else (files, pages) are the source's own affair.
fn other_cursor_field(task: &Task, cursor: Option<&Cursor>) -> Option<String> {
    let (cursor, spec) = (cursor?, task.cursor.as_ref()?);
    let mut names = cursor.field.split(',').map(str::trim);
    let columns = names.clone().all(|name| task.stream_columns.iter().any(|column| column == name));
    (columns && !names.any(|name| name == spec.field)).then(|| cursor.field.clone())
}

fn refuse_continuation(task: &Task, code: &str, facts: String) -> ConnectorError {
    let mut error = ConnectorError::new(
        ErrorCategory::Config,
        code,
        format!("{facts}; going on could lose or repeat records, so nothing was moved"),
    );
    let hint = format!(
        "`rapidbyte state reset PIPELINE --stream {}` lets it start over; records that are in the destination all the same \
         would be appended again",
        task.key.stream
    );
    error.details = Some(serde_json::json!({ "hint": hint }).to_string());
    error
}

fn check_receipt(receipt: &Receipt) -> Result<(), ConnectorError> {
    if receipt.id == 0 || receipt.id > CHECKPOINT_ID_MAX {
        let message =
            format!("the destination reported a receipt with the impossible checkpoint id {}", receipt.id);
        return Err(ConnectorError::internal("receipt_invalid", message));
    }
    match &receipt.cursor {
        Some(cursor) => check_cursor(cursor).map_err(|what| {
            ConnectorError::internal("receipt_invalid", format!("the destination's receipt {what}"))
        }),
        None => Ok(()),
    }
}

/// Holds a cursor from a guest against its type; what is wrong with it, if anything.
pub(crate) fn check_cursor(cursor: &Cursor) -> Result<(), String> {
    let text = match &cursor.value {
        CursorValue::Utf8(text) | CursorValue::Decimal(text) | CursorValue::Json(text) => text.as_str(),
        CursorValue::Int64(_)
        | CursorValue::TimestampMillis(_)
        | CursorValue::TimestampMicros(_)
        | CursorValue::Lsn(_) => "",
    };
    if text.len() + cursor.field.len() > CURSOR_BYTES_MAX {
        return Err(format!(
            "has a cursor of {} bytes, the limit is {CURSOR_BYTES_MAX}",
            text.len() + cursor.field.len()
        ));
    }
    match &cursor.value {
        CursorValue::Json(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() => {
            Err("has a json cursor that is not JSON".to_owned())
        }
        CursorValue::Decimal(text) if !is_decimal(text) => {
            Err("has a decimal cursor that is not a number".to_owned())
        }
        _ => Ok(()),
    }
}

/// Decimal text as PostgreSQL and others write it: sign, digits, point, exponent; or one of the three special values.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(digits, "NaN" | "Infinity")
        || (digits.bytes().any(|byte| byte.is_ascii_digit())
            && digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')))
}

#[cfg(test)]
mod tests;
