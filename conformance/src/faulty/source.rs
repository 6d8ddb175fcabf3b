//! A stream that is read, broken off, and gone on with behind the last checkpoint.

use std::sync::Arc;

use rapidbyte_host::core::channel::Event;
use rapidbyte_host::core::{CatalogStream, CursorValue};
use rapidbyte_host::wasm::faults::FaultPlan;

use super::{Ended, Kind, Work, must_be};
use crate::clause::Finding;
use crate::drive::ReadPlan;
use crate::limits::CHECKPOINTS_AIM;
use crate::rows::{Row, rows_of};
use crate::subject::{Bent, Subject};

/// The stream to read: the first that can be gone on with, else the first.
pub(super) async fn readable(subject: &Subject<'_>) -> Result<Kind, Finding> {
    let (stream, cursor_field) = match subject.incremental_streams().await {
        Ok(mut streams) if !streams.is_empty() => {
            let (stream, field) = streams.swap_remove(0);
            (stream, Some(field))
        }
        _ => {
            let mut streams = subject.streams().await?;
            (streams.swap_remove(0), None)
        }
    };
    let whole = subject.read(&plan_of(&stream, cursor_field.as_deref(), None, 0)).await?.rows()?;
    Ok(Kind::Read { stream: Box::new(stream), cursor_field, whole })
}

pub(super) fn plan_of(
    stream: &CatalogStream,
    field: Option<&str>,
    position: Option<CursorValue>,
    rows: usize,
) -> ReadPlan {
    let mut plan = match field {
        Some(field) => ReadPlan::incremental(stream, field, position),
        None => ReadPlan::full(stream),
    };
    if rows > 0 {
        plan.limits.checkpoint_interval_rows = (rows as u64 / CHECKPOINTS_AIM).max(1);
    }
    plan
}

/// Where a run begins, in words.
pub(super) fn place(position: Option<&CursorValue>) -> String {
    position.map_or("the beginning".to_owned(), |at| format!("`{}`", at.value_text()))
}

impl Work {
    pub(super) async fn read(
        &self,
        subject: &Subject<'_>,
        stream: &CatalogStream,
        field: Option<&str>,
        whole: &[Row],
        faults: Arc<FaultPlan>,
    ) -> Result<Ended, Finding> {
        // The run that counts is the one to record.
        let network = if self.calls.is_empty() { None } else { subject.again(&self.whole_marks)? };
        let bent = Bent { faults: Some(faults), network };
        let plan = ReadPlan { bent, ..plan_of(stream, field, None, whole.len()) };
        let (events, error) = match subject.read(&plan).await {
            Ok(run) => (run.events, run.result.err()),
            Err(error) => (Vec::new(), Some(error)),
        };
        let (mut saved, mut pending, mut position) = (Vec::new(), Vec::new(), None);
        for event in &events {
            match event {
                Event::Frame(frame) => pending.extend(rows_of([frame])?),
                // What has no cursor cannot be gone on with.
                Event::Checkpoint(checkpoint) => {
                    if let Some(cursor) = &checkpoint.cursor {
                        saved.append(&mut pending);
                        position = Some(cursor.value.clone());
                    }
                }
                Event::DeadLetters(_) | Event::End => {}
            }
        }
        if error.is_none() {
            saved.append(&mut pending);
            let checked = must_be(whole, &saved, "it ends with success and not with the stream's rows");
            return Ok(Ended { error, checked });
        }
        let at = place(position.as_ref());
        let network = match self.rest_marks.get(&at) {
            Some(marks) => subject.again(marks)?,
            None => None,
        };
        let bent = Bent { faults: None, network };
        let rest = subject
            .read(&ReadPlan { bent, ..plan_of(stream, field, position, whole.len()) })
            .await?
            .rows()?;
        saved.extend(rest);
        let checked =
            must_be(whole, &saved, &format!("gone on with from {at}, it does not come to the stream's rows"));
        Ok(Ended { error, checked })
    }
}
