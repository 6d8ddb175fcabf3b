//! Work that is broken off: one stream, read, written or passed under a plan of faults, gone on with as the engine would, and
//! judged by what there is in the end. What the faults are is the host's; which ones are worth striking is decided here.

use std::collections::BTreeMap;
use std::sync::Arc;

use rapidbyte_host::core::channel::Event;
use rapidbyte_host::core::{
    CatalogStream, CommitState, ConnectorError, ConnectorRole, CursorValue, ErrorCategory, WriteMode,
};
use rapidbyte_host::wasm::faults::{Fault, FaultKind, FaultPlan, Import};

use crate::clause::{Check, Finding, broken, mismatch, not_applicable, said};
use crate::drive::{Feed, ReadPlan, WritePlan};
use crate::limits::{CHECKPOINTS_AIM, FAULT_RUN_DURATION_MAX};
use crate::recorder::Answer;
use crate::rows::{Row, difference, rows_of, rows_of_batch};
use crate::sample;
use crate::subject::{Bent, Marks, Subject};

/// How often a host's import was called.
pub type Calls = BTreeMap<Import, u64>;

/// A piece of work that can be broken off, with what it comes to when nothing goes wrong.
pub struct Work {
    kind: Kind,
    /// What the run without faults called.
    pub calls: Calls,
    /// When that was, and when each of its checkpoints was gone on from, by its cursor. For cassettes.
    whole_marks: Marks,
    rest_marks: BTreeMap<String, Marks>,
}

enum Kind {
    Read { stream: Box<CatalogStream>, cursor_field: Option<String>, whole: Vec<Row> },
    Write { mode: WriteMode, transactional: bool },
    Pass { whole: Vec<Row> },
}

/// How a run under faults ended: its error, and what was made of the work nevertheless.
struct Ended {
    error: Option<ConnectorError>,
    checked: Check,
}

impl Work {
    /// All that a connector of this role does with one stream, done once without faults: that counts its calls.
    pub async fn of(subject: &Subject<'_>) -> Result<Vec<Work>, Finding> {
        let kinds = match subject.role() {
            ConnectorRole::Source => vec![readable(subject).await?],
            ConnectorRole::Destination => {
                let transactional = subject.info().await?.capabilities.transactional;
                let modes = subject.manifest.write_modes.iter().copied();
                // Appending shows every row that is lost or doubled, replacing every one that is seen too early.
                let telling = [WriteMode::Append, WriteMode::Replace];
                let mut chosen: Vec<WriteMode> = modes.filter(|mode| telling.contains(mode)).collect();
                if chosen.is_empty() {
                    chosen.push(subject.any_mode());
                }
                chosen.into_iter().map(|mode| Kind::Write { mode, transactional }).collect()
            }
            ConnectorRole::Transform => {
                let whole = subject.transform(&sample::schema(), &feed(0)?).await?.0.rows()?;
                vec![Kind::Pass { whole }]
            }
        };
        let mut works = Vec::new();
        for kind in kinds {
            let mut work = Work::new(kind);
            let counting = Arc::new(FaultPlan::default());
            let (counted, marks) = subject.marked(work.strike(subject, counting.clone())).await;
            counted?;
            (work.calls, work.whole_marks) = (counting.calls(), marks);
            if subject.uses_cassettes() {
                work.mark_rests(subject).await?;
            }
            works.push(work);
        }
        Ok(works)
    }

    fn new(kind: Kind) -> Self {
        Work { kind, calls: Calls::new(), whole_marks: Marks::default(), rest_marks: BTreeMap::new() }
    }

    /// Goes on from every checkpoint once, so that a recording has it whatever checkpoint a fault will strike behind.
    async fn mark_rests(&mut self, subject: &Subject<'_>) -> Result<(), Finding> {
        match &self.kind {
            Kind::Read { stream, cursor_field, whole } => {
                let plan = |position| plan_of(stream, cursor_field.as_deref(), position, whole.len());
                let run = subject.read(&plan(None)).await?;
                let cursors = run
                    .checkpoints()
                    .filter_map(|it| it.cursor.as_ref())
                    .map(|cursor| Some(cursor.value.clone()));
                let positions: Vec<Option<CursorValue>> = std::iter::once(None).chain(cursors).collect();
                for position in positions {
                    let key = place(position.as_ref());
                    let (rest, marks) = subject.marked(subject.read(&plan(position))).await;
                    rest?;
                    self.rest_marks.insert(key, marks);
                }
                Ok(())
            }
            _ if subject.entered("tcp-connect") => not_applicable(
                "what it writes differs from run to run, which no recording has; test without `--record` and `--replay`",
            ),
            _ => Ok(()),
        }
    }

    /// Does the work under a plan, then what is left of it without; answers whether any fault struck.
    pub async fn strike(&self, subject: &Subject<'_>, plan: Arc<FaultPlan>) -> Result<bool, Finding> {
        let outcome = tokio::time::timeout(FAULT_RUN_DURATION_MAX, self.end(subject, plan.clone())).await;
        let at = || match plan.to_string() {
            plan if plan.is_empty() => format!("{} without faults", self.words()),
            faults => format!("{} with `{faults}`", self.words()),
        };
        let Ok(ended) = outcome else {
            let seconds = FAULT_RUN_DURATION_MAX.as_secs();
            return mismatch(
                at(),
                "an end: an error, or success",
                format!("it hangs, for more than {seconds} s"),
            );
        };
        let placed = |finding: Finding| match finding {
            Finding::Broken(mut breach) => {
                breach.message = format!("{}: {}", at(), breach.message);
                Finding::Broken(breach)
            }
            other => other,
        };
        let ended = ended.map_err(placed)?;
        judge(&plan.fired(), ended.error.as_ref()).map_err(placed)?;
        ended.checked.map_err(placed)?;
        Ok(!plan.fired().is_empty())
    }

    fn words(&self) -> String {
        match &self.kind {
            Kind::Read { stream, .. } => format!("reading `{}`", stream.name),
            Kind::Write { mode, .. } => format!("writing by `{mode}`"),
            Kind::Pass { .. } => "passing rows".to_owned(),
        }
    }

    async fn end(&self, subject: &Subject<'_>, plan: Arc<FaultPlan>) -> Result<Ended, Finding> {
        match &self.kind {
            Kind::Read { stream, cursor_field, whole } => {
                self.read(subject, stream, cursor_field.as_deref(), whole, plan).await
            }
            Kind::Write { mode: WriteMode::Replace, .. } => replace(subject, plan).await,
            Kind::Write { mode, transactional } => write(subject, *mode, *transactional, plan).await,
            Kind::Pass { whole } => pass(subject, whole, plan).await,
        }
    }
}

/// Faults one by one: of each import that was called its first call, one in the middle and the last, in every way that it
/// can go wrong.
pub fn each(calls: &Calls) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (import, count) in calls {
        let mut picked = vec![1, count.div_ceil(2), *count];
        picked.dedup();
        for call in picked {
            // What the import cannot have is not made.
            faults.extend(import.kinds().into_iter().filter_map(|kind| Fault::new(*import, call, kind).ok()));
        }
    }
    faults
}

/// What a connector may answer when a call has gone wrong so.
enum Expected {
    /// It must not notice.
    Success,
    /// An error that a retry may mend.
    Transient,
    /// What the host answered, handed on.
    Category(ErrorCategory),
    /// It was ended; the host speaks for it.
    Gone,
}

fn expected(fault: &Fault) -> Expected {
    match (fault.kind(), fault.import()) {
        (FaultKind::Delay { .. }, _) => Expected::Success,
        // A write of all bytes that is cut short is a connection that broke.
        (FaultKind::CutShort { .. }, Import::TcpWrite) => Expected::Transient,
        (FaultKind::CutShort { .. }, _) => Expected::Success,
        (FaultKind::Reset, _) | (FaultKind::Refuse, Import::TcpConnect) => Expected::Transient,
        (FaultKind::Refuse, _) => Expected::Category(ErrorCategory::Permission),
        (FaultKind::HostError, _) => Expected::Category(ErrorCategory::Internal),
        (FaultKind::Trap | FaultKind::Kill, _) => Expected::Gone,
    }
}

impl Expected {
    fn allows(&self, error: &ConnectorError) -> bool {
        use ErrorCategory::{TransientDb, TransientNetwork};
        match self {
            Expected::Success => false,
            Expected::Transient => {
                matches!(error.category, TransientNetwork | TransientDb) && error.retryable
            }
            Expected::Category(category) => error.category == *category && !error.retryable,
            Expected::Gone => matches!(error.code.as_str(), "guest_trapped" | "killed"),
        }
    }

    fn words(&self) -> String {
        match self {
            Expected::Success => "success: a slow or short call is no failure".to_owned(),
            Expected::Transient => "a retryable `transient-network` or `transient-db` error".to_owned(),
            Expected::Category(category) => format!("the host's own `{category}` error, not retryable"),
            Expected::Gone => "the host's word that it was ended".to_owned(),
        }
    }
}

/// Whether an error is one of those that the faults that struck can have. No error is always well: what came of the work
/// is judged by itself.
fn judge(struck: &[Fault], error: Option<&ConnectorError>) -> Check {
    let Some(error) = error else { return Ok(()) };
    if struck.iter().any(|fault| expected(fault).allows(error)) {
        return Ok(());
    }
    if error.code == "guest_trapped" {
        return mismatch("it traps instead of answering with an error", "an error, or success", said(error));
    }
    // The last one that can end a run is what an author will look for.
    let telling = struck.iter().rev().map(expected);
    let told = telling.into_iter().max_by_key(|expected| !matches!(expected, Expected::Success));
    let told = told.map_or("success: nothing went wrong".to_owned(), |expected| expected.words());
    mismatch("the error says something else than what went wrong", told, said(error))
}

// ---- Sources --------------------------------------------------------------------------------------

/// The stream to read: the first that can be gone on with, else the first.
async fn readable(subject: &Subject<'_>) -> Result<Kind, Finding> {
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

fn plan_of(
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
fn place(position: Option<&CursorValue>) -> String {
    position.map_or("the beginning".to_owned(), |at| format!("`{}`", at.value_text()))
}

impl Work {
    async fn read(
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
                Event::End => {}
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

fn must_be(expected: &[Row], found: &[Row], message: &str) -> Check {
    match difference(expected, found) {
        None => Ok(()),
        Some(difference) => mismatch(message, format!("{} rows, each once", expected.len()), difference),
    }
}

// ---- Destinations ---------------------------------------------------------------------------------

/// Rows of the checkpoints that are written and passed.
const PIECES: [&[i64]; 3] = [&[1, 2], &[3], &[4, 5, 6]];

/// Pieces with their checkpoints, from the `from`-th on.
fn feed(from: usize) -> Result<Vec<Feed>, Finding> {
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

async fn write(
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

/// Whether what an error says of the commit is what can be seen of it.
fn commit_state(error: Option<&ConnectorError>, committed: usize, confirmed: usize) -> Check {
    let Some(error) = error.filter(|error| !Expected::Gone.allows(error)) else { return Ok(()) };
    let seen =
        format!("rows of {committed} checkpoints are visible, {confirmed} were reported; {}", said(error));
    match error.commit {
        Some(CommitState::BeforeCommit) | None if committed > confirmed => mismatch(
            "the error does not say that a commit took place",
            "`commit` is `after-commit-confirmed`, or `after-commit-unknown`",
            seen,
        ),
        Some(CommitState::AfterCommitConfirmed) if committed == 0 => {
            mismatch("the error says that a commit took place", "`commit` is `before-commit`", seen)
        }
        _ => Ok(()),
    }
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

async fn replace(subject: &Subject<'_>, faults: Arc<FaultPlan>) -> Result<Ended, Finding> {
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

// ---- Transforms -----------------------------------------------------------------------------------

async fn pass(subject: &Subject<'_>, whole: &[Row], faults: Arc<FaultPlan>) -> Result<Ended, Finding> {
    let (run, handed) = subject.transform_with(&sample::schema(), &feed(0)?, Some(faults)).await?;
    let (mut saved, mut pending, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    for event in &run.events {
        match event {
            Event::Frame(frame) => pending.extend(rows_of([frame])?),
            Event::Checkpoint(checkpoint) => {
                passed.push(checkpoint.id);
                saved.append(&mut pending);
            }
            Event::End => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_the_middle_and_the_last_call_are_struck_in_every_way() {
        let calls = Calls::from([(Import::TcpTryRead, 9), (Import::Cancelled, 1)]);
        let faults: Vec<String> = each(&calls).iter().map(ToString::to_string).collect();
        for call in [1, 5, 9] {
            for kind in ["refuse", "delay:20", "cut-short:1", "reset", "host-error", "trap", "kill"] {
                assert!(faults.contains(&format!("tcp-try-read#{call}={kind}")), "{call} {kind}");
            }
        }
        assert_eq!(faults.iter().filter(|fault| fault.starts_with("cancelled")).count(), 3);
        assert_eq!(faults.len(), 3 * 7 + 3);
    }

    #[test]
    fn an_error_has_to_be_what_one_of_the_faults_makes() {
        let fault = |text: &str| {
            let plan = text.split(',').map(|text| {
                let (place, kind) = text.split_once('=').unwrap();
                let kind = match kind {
                    "reset" => FaultKind::Reset,
                    "refuse" => FaultKind::Refuse,
                    "kill" => FaultKind::Kill,
                    _ => FaultKind::Delay { ms: 1 },
                };
                Fault::new(Import::parse(place).unwrap(), 1, kind).unwrap()
            });
            plan.collect::<Vec<_>>()
        };
        let lost = ConnectorError::new(ErrorCategory::TransientNetwork, "connection_reset", "lost");
        let refused = ConnectorError::new(ErrorCategory::Permission, "refused", "refused");
        assert!(judge(&fault("tcp-read=reset"), Some(&lost)).is_ok());
        assert!(judge(&fault("tcp-read=refuse"), Some(&refused)).is_ok());
        assert!(judge(&fault("tcp-read=refuse"), Some(&lost)).is_err(), "a retry cannot mend it");
        assert!(judge(&fault("wait=delay,tcp-read=refuse"), Some(&refused)).is_ok());
        assert!(judge(&fault("wait=delay"), Some(&lost)).is_err(), "slow is no failure");
        assert!(judge(&[], Some(&lost)).is_err());
        assert!(judge(&fault("tcp-read=reset"), None).is_ok());
        let panicked = ConnectorError::internal("guest_trapped", "unwrap on an error");
        assert!(judge(&fault("tcp-read=reset"), Some(&panicked)).is_err());
        assert!(judge(&fault("tcp-read=kill"), Some(&ConnectorError::internal("killed", ""))).is_ok());
    }
}
