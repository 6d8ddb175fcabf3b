//! Rows that are passed, broken off, and gone on with behind the last checkpoint that came out.

use std::sync::Arc;

use rapidbyte_host::core::channel::Event;
use rapidbyte_host::wasm::faults::FaultPlan;

use super::destination::feed;
use super::{Ended, must_be};
use crate::clause::{Finding, mismatch};
use crate::rows::{Row, rows_of};
use crate::sample;
use crate::subject::Subject;

pub(super) async fn pass(
    subject: &Subject<'_>,
    whole: &[Row],
    faults: Arc<FaultPlan>,
) -> Result<Ended, Finding> {
    let (run, handed) = subject.transform_with(&sample::schema(), &feed(0)?, Some(faults)).await?;
    let (mut saved, mut pending, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    for event in &run.events {
        match event {
            Event::Frame(frame) => pending.extend(rows_of([frame])?),
            Event::Checkpoint(checkpoint) => {
                passed.push(checkpoint.id);
                saved.append(&mut pending);
            }
            Event::DeadLetters(_) | Event::End => {}
        }
    }
    let error = run.result.err();
    let checked = async {
        if !handed.starts_with(&passed) {
            return mismatch(
                "checkpoints",
                format!("{handed:?}, or the first of them"),
                format!("{passed:?}"),
            );
        }
        if error.is_none() {
            saved.append(&mut pending);
        } else {
            saved.extend(subject.transform(&sample::schema(), &feed(passed.len())?).await?.0.rows()?);
        }
        must_be(whole, &saved, "it does not come to the same rows")
    };
    let checked = checked.await;
    Ok(Ended { error, checked })
}
