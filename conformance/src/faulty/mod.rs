//! Work that is broken off: one stream, read, written or passed under a plan of faults, gone on with as the engine would, and
//! judged by what there is in the end. What the faults are is the host's; which ones are worth striking is decided here.

mod destination;
mod judge;
mod source;
mod transform;

use std::collections::BTreeMap;
use std::sync::Arc;

use rapidbyte_host::core::{CatalogStream, ConnectorError, ConnectorRole, CursorValue, WriteMode};
use rapidbyte_host::wasm::faults::{Fault, FaultPlan, Import};

use crate::clause::{Check, Finding, mismatch, not_applicable};
use crate::limits::FAULT_RUN_DURATION_MAX;
use crate::rows::{Row, difference};
use crate::sample;
use crate::subject::{Marks, Subject};

use destination::{feed, replace, write};
use judge::judge;
use source::{place, plan_of, readable};
use transform::pass;

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

/// The rows are these, each as often.
fn must_be(expected: &[Row], found: &[Row], message: &str) -> Check {
    match difference(expected, found) {
        None => Ok(()),
        Some(difference) => mismatch(message, format!("{} rows, each once", expected.len()), difference),
    }
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
}
