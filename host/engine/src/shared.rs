//! What everything in a running task shares: its book, its first error, its warnings. Routes what connectors report to
//! the ledger and to the observer.
//! Refuses to know: who runs when.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use rapidbyte_core::dead_letter::DeadLetters;
use rapidbyte_core::ports::{RunEvent, SavedCheckpoint};
use rapidbyte_core::*;
use tokio::sync::watch;

use crate::breaker::Breaker;
use crate::commit::{Ledger, Refusal, StreamTotals};
use crate::error::{Fault, Origin};
use crate::limits::WARNINGS_MAX;
use crate::plan::Task;
use crate::profile::StageClock;
use crate::resume::{Known, Receipt, Shape, Start, decide};
use crate::spec::Ports;
use crate::steps::Violation;

/// What everything in a task shares.
pub(crate) struct TaskShared {
    pub task: Task,
    pub ports: Ports,
    pub ledger: Ledger,
    pub clock: StageClock,
    saved: Option<SavedCheckpoint>,
    /// How the stream was read before.
    pub shape: Option<Shape>,
    /// Known once the destination is open.
    pub transactional: OnceLock<bool>,
    /// Known once the destination is ready.
    pub start: OnceLock<Start>,
    failure: watch::Sender<Option<Fault>>,
    names: Vec<(Origin, String)>,
    source_complete: AtomicBool,
    source_stopped: AtomicBool,
    guest_bytes_peak: AtomicU64,
    warnings: Mutex<Vec<String>>,
    violations: Mutex<Vec<Violation>>,
    breaker: Arc<Breaker>,
}

/// What an attempt at a task begins with.
pub(crate) struct Beginning {
    pub run_id: i64,
    pub saved: Option<SavedCheckpoint>,
    /// How the stream was read before.
    pub shape: Option<Shape>,
    pub names: Vec<(Origin, String)>,
    pub totals: Arc<StreamTotals>,
    pub breaker: Arc<Breaker>,
}

impl TaskShared {
    pub fn new(task: Task, ports: Ports, beginning: Beginning) -> Self {
        let Beginning { run_id, saved, shape, names, totals, breaker } = beginning;
        TaskShared {
            ledger: Ledger::new(task.key.clone(), run_id, ports.state.clone(), totals),
            clock: StageClock::new(),
            task,
            ports,
            saved,
            shape,
            transactional: OnceLock::new(),
            start: OnceLock::new(),
            failure: watch::Sender::new(None),
            names,
            source_complete: AtomicBool::new(false),
            source_stopped: AtomicBool::new(false),
            guest_bytes_peak: AtomicU64::new(0),
            warnings: Mutex::default(),
            violations: Mutex::default(),
            breaker,
        }
    }

    /// Notes an error with where it began. Only the first counts.
    pub fn fail(&self, origin: Origin, error: ConnectorError) {
        let named = self.names.iter().any(|(of, _)| *of == origin);
        let by = if named { self.name_of(origin).to_owned() } else { origin.to_string() };
        self.fail_with(Fault::new(origin, by, error));
    }

    /// Name and version of the connector in a place.
    pub fn name_of(&self, origin: Origin) -> &str {
        self.names.iter().find(|(of, _)| *of == origin).map_or("engine", |(_, name)| name)
    }

    /// Records were refused, and the policy goes on without them.
    fn records_failed(&self, connector: &str, records: u64) {
        let key = &self.task.key;
        self.ports.observer.observe(RunEvent::RecordsFailed { key, connector, records });
    }

    /// A batch was handed to the connector behind its producer.
    pub fn batch_moved(&self, producer: Origin, records: u64, bytes: u64, began: Instant) {
        let behind = self.names.iter().skip_while(|(of, _)| *of != producer).nth(1);
        self.ports.observer.observe(RunEvent::BatchMoved {
            key: &self.task.key,
            from: self.name_of(producer),
            to: behind.map_or("engine", |(_, name)| name),
            records,
            bytes,
            duration_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
    }

    pub fn fail_with(&self, fault: Fault) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(fault);
            } else {
                tracing::debug!(%fault, "a consequence of the first error");
            }
            first
        });
    }

    pub fn failure(&self) -> Option<Fault> {
        self.failure.borrow().clone()
    }

    pub async fn failed(&self) {
        let mut failure = self.failure.subscribe();
        // The sender is part of `self`, so this cannot fail.
        let _ = failure.wait_for(Option::is_some).await;
    }

    pub fn warn(&self, warning: String) {
        tracing::warn!(stream = self.task.key.stream, "{warning}");
        let mut warnings = self.warnings();
        if warnings.len() < WARNINGS_MAX {
            warnings.push(warning);
        }
    }

    /// What there is to know about the run.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings())
    }

    fn warnings(&self) -> MutexGuard<'_, Vec<String>> {
        self.warnings.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The newest checkpoint id that there was when the attempt began.
    pub fn first_id(&self) -> u64 {
        self.start.get().map_or(0, |start| start.last_id)
    }

    pub fn add_violations<'a>(&self, violations: impl Iterator<Item = &'a Violation>) {
        let mut all = self.violations.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.extend(violations.cloned());
    }

    pub fn take_violations(&self) -> Vec<Violation> {
        std::mem::take(&mut *self.violations.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// The source has read everything.
    pub fn complete_source(&self) {
        self.source_complete.store(true, Ordering::Release);
    }

    pub fn source_complete(&self) -> bool {
        self.source_complete.load(Ordering::Acquire)
    }

    /// The stream ends at this checkpoint; what the source says from now on does not matter.
    pub fn stop_source(&self) {
        self.source_stopped.store(true, Ordering::Release);
    }

    pub fn is_source_stopped(&self) -> bool {
        self.source_stopped.load(Ordering::Acquire)
    }

    /// Counts what left the source. Refused once the run's circuit breaker is open.
    pub fn count_read(&self, records: u64, bytes: u64) -> Result<(), ConnectorError> {
        let counters = self.ledger.read(records, bytes);
        self.breaker.count_read(records);
        self.ports.observer.observe(RunEvent::Progress { key: &self.task.key, counters });
        self.breaker.error().map_or(Ok(()), Err)
    }

    pub fn committed(&self) -> Option<CheckpointEvent> {
        self.ledger.committed()
    }

    /// Takes the destination's receipt and answers how the stream goes on.
    pub fn take_receipt(&self, event: CheckpointEvent) -> Result<CheckpointReply, ConnectorError> {
        let receipt = Receipt { id: event.id, cursor: event.cursor, complete: event.complete };
        let decided = self.ledger.note_receipt(receipt.clone()).and_then(|()| self.decide(Some(&receipt)));
        match decided {
            Ok(start) => {
                self.ports.reached("engine.receipt");
                Ok(start.reply)
            }
            Err(error) => {
                self.fail(decision_origin(&error), error.clone());
                Err(error)
            }
        }
    }

    pub fn decide(&self, receipt: Option<&Receipt>) -> Result<Start, ConnectorError> {
        decide(&Known {
            task: &self.task,
            transactional: self.transactional.get().copied().unwrap_or(false),
            receipt,
            saved: self.saved.as_ref(),
            shape: self.shape.as_ref(),
        })
    }

    /// Saves what the destination has confirmed.
    pub async fn confirm(&self, id: u64, taken: Option<u64>) -> Result<(), ConnectorError> {
        let before = || self.ports.reached("engine.state-write.before");
        match self.ledger.confirm(id, taken, before).await {
            Ok(saved) => {
                self.ports.reached("engine.state-write.after");
                let key = &self.task.key;
                self.ports.observer.observe(RunEvent::CheckpointSaved { key, checkpoint: &saved.checkpoint });
                self.ports.observer.observe(RunEvent::Progress { key, counters: saved.counters });
                Ok(())
            }
            Err(Refusal::Destination(error)) => {
                self.fail(Origin::Destination, error.clone());
                Err(error)
            }
            Err(Refusal::State(fault)) => {
                let mut error = ConnectorError::clone(&fault.error);
                error.commit = Some(CommitState::AfterCommitConfirmed);
                self.fail_with(fault);
                Err(error)
            }
        }
    }

    /// Applies the data-error policy to refused records.
    pub async fn refuse(&self, letters: DeadLetters, by_destination: bool) -> Result<(), ConnectorError> {
        let records = letters.errors.len() as u64;
        let policy = if by_destination { self.task.policies.on_data_error } else { self.task.on_error };
        let dead = match policy {
            DataErrorPolicy::Fail => return Err(refusal(&letters.errors)),
            DataErrorPolicy::Skip => false,
            DataErrorPolicy::Dlq => true,
        };
        self.breaker.count_refused(records);
        self.records_failed(&letters.connector, records);
        if dead {
            let mut letters = letters;
            for error in &mut letters.errors {
                error.message = self.ports.redactor.redact(&error.message).into_owned();
            }
            let mut bytes = letters.frame.to_vec();
            self.ports.redactor.mask_bytes(&mut bytes);
            letters.frame = bytes.into();
            self.ports.reached("engine.dead-letters.before");
            if let Err(fault) = self.ledger.add_dead_letters(&letters).await {
                let error = ConnectorError::clone(&fault.error);
                self.fail_with(fault);
                return Err(error);
            }
            self.ports.reached("engine.dead-letters.after");
        }
        self.ledger.refuse(records, by_destination, dead);
        self.breaker.error().map_or(Ok(()), Err)
    }

    pub fn saw_memory(&self, bytes: u64) {
        self.guest_bytes_peak.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn guest_bytes_peak(&self) -> u64 {
        self.guest_bytes_peak.load(Ordering::Relaxed)
    }
}

/// What a stream ends with whose policy lets no record be refused.
pub(crate) fn refusal(errors: &[RecordError]) -> ConnectorError {
    let first = errors.first();
    let code = first.map_or("data_error", |error| error.code.as_str());
    let message = first.map_or("records were refused", |error| error.message.as_str());
    let mut error = ConnectorError::new(ErrorCategory::Data, code, message);
    error.scope = ErrorScope::PerRecord;
    error
}

/// Whose error a failed decision is: an impossible receipt is the destination's, the rest concerns the user.
pub(crate) fn decision_origin(error: &ConnectorError) -> Origin {
    if error.category == ErrorCategory::Internal { Origin::Destination } else { Origin::Engine }
}
