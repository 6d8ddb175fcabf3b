//! Runs a plan: its tasks side by side, as many as memory and `parallelism` allow. What happens to one task is no
//! other's business: a failed stream stops nobody, and a finished one is never run again because another failed.

use std::sync::Arc;
use std::time::Instant;

use rapidbyte_core::profile::RunProfile;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cancel::CancelLevel;
use crate::plan::RunPlan;
use crate::report::{RunReport, StreamReport};
use crate::spec::{Connectors, Ports};
use crate::task::run_task;

/// Runs a plan to its end. Errors are in the report, each with its stream. Dropping the future ends everything at once.
pub async fn run(plan: RunPlan, connectors: &Connectors, ports: &Ports) -> RunReport {
    let began = Instant::now();
    let permits = Arc::new(Semaphore::new(plan.memory.tasks_max.max(1) as usize));
    let mut reports: Vec<StreamReport> = plan.tasks.iter().map(StreamReport::unstarted).collect();
    let mut running = JoinSet::new();
    let mut places = std::collections::HashMap::new();
    for (index, task) in plan.tasks.into_iter().enumerate() {
        let (connectors, ports, permits) = (connectors.clone(), ports.clone(), permits.clone());
        let memory = plan.memory;
        let handle = running.spawn(async move {
            let permit = tokio::select! {
                biased;
                () = ports.cancellation.wait(CancelLevel::Stop) => return None,
                permit = permits.acquire_owned() => permit,
            };
            let report = run_task(task, memory, connectors, ports, began).await;
            drop(permit);
            Some(report)
        });
        places.insert(handle.id(), index);
    }
    while let Some(ended) = running.join_next_with_id().await {
        match ended {
            Ok((id, Some(report))) => {
                if let Some(place) = places.get(&id).and_then(|index| reports.get_mut(*index)) {
                    *place = report;
                }
            }
            Ok((_, None)) => {}
            Err(error) => {
                if let Some(place) = places.get(&error.id()).and_then(|index| reports.get_mut(*index)) {
                    place.fail_engine(error.to_string());
                }
            }
        }
    }
    let profiles = reports.iter_mut().filter_map(|report| report.profile.take()).collect();
    RunReport {
        profile: RunProfile::new(began.elapsed(), profiles),
        pipeline: plan.pipeline,
        streams: reports,
        warnings: plan.warnings,
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        memory: plan.memory,
    }
}
