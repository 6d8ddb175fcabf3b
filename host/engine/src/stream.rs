//! One stream of a run: claims it, reads it as one task or in partitions, tries again what failed, and closes it. What
//! happens to one partition stops no other, and a finished one is never read again because another failed.
//!
//! Refuses to know: other streams, and what happens within an attempt (`task.rs`).

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rapidbyte_core::ports::{RunCounters, RunEvent, RunStatus, TaskKey};
use rapidbyte_core::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::breaker::Breaker;
use crate::cancel::CancelLevel;
use crate::error::{Fault, Origin};
use crate::memory::MemoryPlan;
use crate::partition::{Moment, Reading};
use crate::plan::Task;
use crate::report::StreamReport;
use crate::retry::RetryPolicy;
use crate::spec::{Connectors, Ports};
use crate::task::{Surroundings, attempt};

/// What the streams of a run share.
#[derive(Clone)]
pub(crate) struct RunShared {
    pub memory: MemoryPlan,
    pub connectors: Connectors,
    pub ports: Ports,
    pub retry: RetryPolicy,
    pub breaker: Arc<Breaker>,
    /// One for each task that runs.
    pub permits: Arc<Semaphore>,
}

impl RunShared {
    /// Waits for its turn; none if the run is to end meanwhile.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = self.ports.cancellation.wait(CancelLevel::Stop) => None,
            permit = self.permits.clone().acquire_owned() => permit.ok(),
        }
    }
}

/// Runs one stream. Always answers a report; nothing of the stream is left when it does.
pub(crate) async fn run_stream(task: Task, run: RunShared) -> StreamReport {
    let mut report = StreamReport::unstarted(&task);
    let Some(permit) = run.turn().await else { return report };
    let began = Instant::now();
    let ports = run.ports.clone();
    let key = task.key.clone();
    report.started = true;
    ports.reached("engine.claim.before");
    let mut claim = match Claim::take(&ports, &key).await {
        Ok(claim) => claim,
        Err(fault) => {
            report.fail(fault);
            return finished(report, &ports, &key, began);
        }
    };
    ports.reached("engine.claim.after");
    let around = Surroundings {
        memory: run.memory,
        connectors: run.connectors.clone(),
        ports: ports.clone(),
        run_id: claim.run_id,
        totals: Arc::default(),
        breaker: run.breaker.clone(),
        copy: Arc::default(),
        continues: false,
        probe: false,
    };

    match Reading::open(&task, &around).await {
        Ok(Some(reading)) => partitions(task, reading, &run, &around, permit, &mut report).await,
        Ok(None) => attempts(task, None, &run, &around, &mut report).await,
        Err(fault) => report.fail(fault),
    }

    let copy = around.copy.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(copy) = copy.filter(|_| report.status == RunStatus::Succeeded)
        && let Err(error) = copy.complete()
    {
        report.warnings.push(format!("the local copy is not complete: {error}"));
    }
    ports.reached("engine.finish.before");
    let error = report.error.as_ref().map(|fault| ports.redactor.redact(&fault.to_string()).into_owned());
    claim.held = false;
    let finish = ports.state.finish_run(claim.run_id, report.status, report.counters, error.as_deref());
    if let Err(error) = finish.await {
        // What was committed is committed and saved; only the row of history stays open until this process ends.
        report.warnings.push(format!("the run's row could not be closed: {error}"));
    }
    ports.reached("engine.finish.after");
    finished(report, &ports, &key, began)
}

fn finished(mut report: StreamReport, ports: &Ports, key: &TaskKey, began: Instant) -> StreamReport {
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    ports.observer.observe(RunEvent::StreamFinished {
        key,
        status: report.status,
        counters: report.counters,
        error: report.error.as_ref().map(|fault| &*fault.error),
    });
    report
}

/// Reads a stream's partitions side by side, each a task of its own.
async fn partitions(
    task: Task,
    mut reading: Reading,
    run: &RunShared,
    around: &Surroundings,
    permit: OwnedSemaphorePermit,
    report: &mut StreamReport,
) {
    let tasks = reading.tasks(&task);
    report.partitions = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
    report.status = RunStatus::Succeeded;
    // Each takes its own turn; who holds one while waiting for others may wait for ever.
    drop(permit);
    let moment = reading.moment();
    let around = &Surroundings { continues: reading.continues(), ..around.clone() };
    if reading.is_cautious(&task)
        && let Some(refused) = probe(&tasks, &moment, run, around).await
    {
        let _ = reading.close(false, around).await;
        return report.merge(refused);
    }
    let mut running = JoinSet::new();
    for task in tasks {
        let (run, around, moment) = (run.clone(), around.clone(), moment.clone());
        running.spawn(async move {
            let mut report = StreamReport::unstarted(&task);
            if let Some(_permit) = run.turn().await {
                attempts(task, Some(&moment), &run, &around, &mut report).await;
            }
            report
        });
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(part) => report.merge(part),
            Err(error) => report.fail_engine(error.to_string()),
        }
    }
    if let Err(fault) = reading.close(report.status == RunStatus::Succeeded, around).await
        && report.error.is_none()
    {
        report.fail(fault);
    }
}

/// Lets the destination say of each partition where it stands before any is read: an append that stands half-way and that
/// the state knows nothing of is refused before something is written twice. Answers the partition that is refused.
async fn probe(
    tasks: &[Task],
    moment: &Moment,
    run: &RunShared,
    around: &Surroundings,
) -> Option<StreamReport> {
    let around = Surroundings { probe: true, ..around.clone() };
    for task in tasks {
        let mut report = StreamReport::unstarted(task);
        if let Some(_permit) = run.turn().await {
            attempts(task.clone(), Some(moment), run, &around, &mut report).await;
        }
        if report.status != RunStatus::Succeeded {
            return Some(report);
        }
    }
    None
}

/// Tries a task until it succeeds, is to end, or the policy has no more attempts for it.
async fn attempts(
    task: Task,
    moment: Option<&Moment>,
    run: &RunShared,
    around: &Surroundings,
    report: &mut StreamReport,
) {
    let mut failures = 0;
    loop {
        let mut task = task.clone();
        if let Some(moment) = moment {
            match moment.name(around).await {
                Ok(name) => task.snapshot = name,
                Err(fault) => return report.fail(fault),
            }
        }
        let snapshot = task.snapshot.clone();
        let committed = attempt(task, around, report).await;
        let cancelled = run.ports.cancellation.is_requested();
        let Some(fault) = report.error.clone().filter(|_| report.status == RunStatus::Failed && !cancelled)
        else {
            return;
        };
        // Whoever gets on is not stuck: only failures in a row count.
        failures = if committed { 1 } else { failures + 1 };
        run.breaker.count_failed();
        if let Some(error) = run.breaker.error() {
            report.warnings.push(format!("the last error before the circuit breaker opened: {fault}"));
            return report.fail(Fault::new(Origin::Engine, "engine", error));
        }
        let Some(delay) = run.retry.next(&fault.error, failures) else { return };
        report.retries += 1;
        say_retry(run, &fault, failures, delay, &report.stream);
        run.ports.reached("engine.retry");
        tokio::select! {
            biased;
            () = run.ports.cancellation.wait(CancelLevel::Stop) => return,
            () = tokio::time::sleep(delay) => {}
        }
        if let Some(moment) = moment
            && fault.error.code == SNAPSHOT_GONE
        {
            moment.renew(snapshot).await;
        }
    }
}

/// The code by which a source says that the moment it was to read at is not held open any more.
const SNAPSHOT_GONE: &str = "snapshot_gone";

fn say_retry(run: &RunShared, fault: &Fault, failures: u32, delay: Duration, stream: &str) {
    let (seconds, next, attempts) = (delay.as_secs_f64(), failures + 1, run.retry.max_attempts);
    let event = LogEvent {
        level: LogLevel::Warn,
        message: format!("{fault}; trying again in {seconds:.1} s (attempt {next} of {attempts})"),
        fields: vec![("stream".to_owned(), FieldValue::Text(stream.to_owned()))],
    };
    run.ports.observer.observe(RunEvent::Log { key: None, connector: "engine", event: &event });
}

/// The claim on a stream. Frees it if the stream's future is dropped in the middle.
struct Claim {
    ports: Ports,
    run_id: i64,
    held: bool,
}

impl Claim {
    async fn take(ports: &Ports, key: &TaskKey) -> Result<Self, Fault> {
        let (ports, key) = (ports.clone(), key.clone());
        // A task of its own: if nobody waits for the answer any more, the claim is dropped and freed all the same.
        let taking = tokio::spawn(async move {
            match ports.state.begin_run(&key.pipeline, &key.stream).await {
                Ok(run_id) => Ok(Claim { ports, run_id, held: true }),
                Err(error) => Err(Fault::state(&error)),
            }
        });
        match taking.await {
            Ok(taken) => taken,
            Err(error) => {
                let error = ConnectorError::internal("task_ended", error.to_string());
                Err(Fault::new(Origin::Engine, "engine", error))
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let (state, run_id) = (self.ports.state.clone(), self.run_id);
        // Without a runtime the process is ending, which frees the claim as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let dropped = Some("the caller dropped the run");
                let _ = state.finish_run(run_id, RunStatus::Stopped, RunCounters::default(), dropped).await;
            });
        }
    }
}
