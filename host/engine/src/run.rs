//! Runs a plan: its streams side by side, as many as memory and `parallelism` allow. What happens to one stream is no
//! other's business: a failed stream stops nobody, and a finished one is never run again because another failed.

use std::sync::Arc;
use std::time::Instant;

use rapidbyte_core::profile::RunProfile;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::breaker::Breaker;
use crate::error::{Fault, Origin};
use crate::plan::{RunPlan, Task};
use crate::report::{RunReport, StreamReport};
use crate::spec::{Connectors, Ports};
use crate::stream::{RunShared, run_stream};

/// Runs a plan to its end. Errors are in the report, each with its stream. Dropping the future ends everything at once.
pub async fn run(plan: RunPlan, connectors: &Connectors, ports: &Ports) -> RunReport {
    let began = Instant::now();
    let breaker = Arc::new(Breaker::new(plan.breaker));
    let mut warnings = plan.warnings;
    let mut reports: Vec<StreamReport> = plan.tasks.iter().map(StreamReport::unstarted).collect();
    let refused = match breaker.check(&plan.pipeline, &*ports.state).await {
        Ok(refused) => refused.map(|error| Fault::new(Origin::Engine, "engine", error)),
        Err(error) => Some(Fault::state(&error)),
    };
    if let Some(fault) = refused {
        reports.iter_mut().for_each(|report| report.fail(fault.clone()));
    } else {
        let shared = RunShared {
            memory: plan.memory,
            connectors: connectors.clone(),
            ports: ports.clone(),
            retry: plan.retry,
            breaker: breaker.clone(),
            permits: Arc::new(Semaphore::new(plan.memory.tasks_max.max(1) as usize)),
        };
        side_by_side(plan.tasks, shared, &mut reports).await;
        if let Err(error) = breaker.save(&plan.pipeline, &*ports.state).await {
            warnings.push(format!("the open circuit breaker could not be remembered: {error}"));
        }
    }
    let profiles = reports.iter_mut().flat_map(|report| report.profiles.drain(..)).collect();
    RunReport {
        profile: RunProfile::new(began, began.elapsed(), profiles),
        pipeline: plan.pipeline,
        streams: reports,
        warnings,
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        memory: plan.memory,
    }
}

async fn side_by_side(tasks: Vec<Task>, shared: RunShared, reports: &mut [StreamReport]) {
    let mut running = JoinSet::new();
    let mut places = std::collections::HashMap::new();
    for (index, task) in tasks.into_iter().enumerate() {
        let handle = running.spawn(run_stream(task, shared.clone()));
        places.insert(handle.id(), index);
    }
    while let Some(ended) = running.join_next_with_id().await {
        let id = ended.as_ref().map_or_else(|error| error.id(), |(id, _)| *id);
        let Some(place) = places.get(&id).and_then(|index| reports.get_mut(*index)) else { continue };
        match ended {
            Ok((_, report)) => *place = report,
            Err(error) => place.fail_engine(error.to_string()),
        }
    }
}
