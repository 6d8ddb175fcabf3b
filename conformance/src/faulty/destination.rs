//! A stream that is written, broken off, looked at, and gone on with by the receipt.

use std::sync::Arc;

use rapidbyte_host::core::WriteMode;
use rapidbyte_host::wasm::faults::FaultPlan;

use super::Ended;
use super::judge::commit_state;
use crate::clause::{Check, Finding, broken, mismatch, said};
use crate::drive::{Feed, WritePlan};
use crate::recorder::Answer;
use crate::rows::{Row, difference, rows_of_batch};
use crate::sample;
use crate::subject::Subject;

/// Rows of the checkpoints that are written and passed.
const PIECES: [&[i64]; 3] = [&[1, 2], &[3], &[4, 5, 6]];

/// Pieces with their checkpoints, from the `from`-th on.
pub(super) fn feed(from: usize) -> Result<Vec<Feed>, Finding> {
    let mut feed = Vec::new();
    for ids in &PIECES[from..] {
        feed.extend([Feed::Batch(sample::batch(ids, 0)?), Feed::Checkpoint]);
    }
    Ok(feed)
}

/// The rows of the first pieces.
fn rows_until(pieces: usize) -> Result<Vec<Row>, Finding> {
    let mut rows = Vec::new();
    for ids in &PIECES[..pieces] {
        rows.extend(rows_of_batch(&sample::batch(ids, 0)?)?);
    }
    Ok(rows)
}

pub(super) async fn write(
    subject: &Subject<'_>,
    mode: WriteMode,
    transactional: bool,
    faults: Arc<FaultPlan>,
) -> Result<Ended, Finding> {
    let plan = WritePlan::new(subject, "faults", sample::schema(), mode);
    let run = subject.write(&WritePlan { faults: Some(faults), ..plan.clone() }, &feed(0)?).await?;
    let (error, confirmed) = (run.result.err(), run.confirmed.len().min(PIECES.len()));
    let visible = subject.visible(&plan).await?.unwrap_or_default();
    if !transactional {
        return Ok(Ended { error, checked: at_least_once(subject, &plan, &visible, confirmed).await });
    }
    let mut committed = None;
    for pieces in (0..=PIECES.len()).rev() {
        if difference(&rows_until(pieces)?, &visible).is_none() {
            committed = Some(pieces);
            break;
        }
    }
    let Some(committed) = committed else {
        let difference = difference(&rows_until(confirmed)?, &visible).unwrap_or_default();
        let checked =
            mismatch("rows of a part of a checkpoint are visible", "whole checkpoints only", difference);
        return Ok(Ended { error, checked });
    };
    let checked = async {
        if committed < confirmed || (error.is_none() && committed < PIECES.len()) {
            let expected = if error.is_none() { PIECES.len() } else { confirmed };
            return mismatch(
                "what was reported as committed is not there",
                format!("the rows of {expected} checkpoints"),
                format!("those of {committed}"),
            );
        }
        commit_state(error.as_ref(), committed, confirmed)?;
        let resumed = subject.write(&plan, &feed(committed)?).await?;
        if let Err(error) = &resumed.result {
            return mismatch("the run that goes on fails", "success", said(error));
        }
        let reported = resumed.receipts.last().map(|receipt| receipt.id);
        let last = committed.checked_sub(1).and_then(|last| run.handed.get(last).copied());
        if reported != last {
            return mismatch(
                "the run that goes on reports another receipt than the one its rows are of",
                last.map_or("none".to_owned(), |id| format!("checkpoint {id}")),
                reported.map_or("none".to_owned(), |id| format!("checkpoint {id}")),
            );
        }
        subject.must_show(&plan, &rows_until(PIECES.len())?, "after going on").await
    };
    let checked = checked.await;
    Ok(Ended { error, checked })
}

/// Without receipts a run goes on behind the last checkpoint that was confirmed: nothing is lost, rows may come twice.
async fn at_least_once(subject: &Subject<'_>, plan: &WritePlan, visible: &[Row], confirmed: usize) -> Check {
    let missing =
        |expected: &[Row], found: &[Row]| expected.iter().filter(|row| !found.contains(row)).count();
    let lost = missing(&rows_until(confirmed)?, visible);
    if lost > 0 {
        return broken(format!("{lost} rows before a checkpoint that was confirmed are not there"));
    }
    subject.write_all(plan, &feed(confirmed)?).await?;
    let all = rows_until(PIECES.len())?;
    let found = subject.visible(plan).await?.unwrap_or_default();
    let (lost, foreign) = (missing(&all, &found), missing(&found, &all));
    match (lost, foreign) {
        (0, 0) => Ok(()),
        _ => mismatch(
            "after going on",
            "every row at least once and no other",
            format!("{lost} are missing, {foreign} are others"),
        ),
    }
}

pub(super) async fn replace(subject: &Subject<'_>, faults: Arc<FaultPlan>) -> Result<Ended, Finding> {
    let plan = WritePlan::new(subject, "faults", sample::schema(), WriteMode::Replace);
    let old = sample::batch(&[90, 91], 1)?;
    subject.write_all(&plan, &[Feed::Batch(old.clone()), Feed::Complete]).await?;
    // The pipeline is another one: it has no receipt of the table yet.
    let plan = WritePlan { pipeline: subject.fresh_name("pipeline"), ..plan };
    let mut whole = feed(0)?;
    whole.push(Feed::Complete);
    let run = subject.write(&WritePlan { faults: Some(faults), ..plan.clone() }, &whole).await?;
    let (old, new) = (rows_of_batch(&old)?, rows_until(PIECES.len())?);
    let error = run.result.err();
    let done = run.handed.last().is_some_and(|last| run.confirmed.contains(last)) || error.is_none();
    let visible = subject.visible(&plan).await?.unwrap_or_default();
    let checked = async {
        let is_old = difference(&old, &visible).is_none();
        match difference(&new, &visible) {
            None => {}
            Some(_) if is_old && !done => {}
            Some(difference) => {
                let expected = if done { "the new rows" } else { "the old rows, or the new ones, whole" };
                return mismatch("something else than one of both is visible", expected, difference);
            }
        }
        let resumed = subject.write_answering(&plan, &whole, Answer::Restart).await?;
        if let Err(error) = &resumed.result {
            return mismatch("the run that starts over fails", "success", said(error));
        }
        subject.must_show(&plan, &new, "after starting over").await
    };
    let checked = checked.await;
    Ok(Ended { error, checked })
}
