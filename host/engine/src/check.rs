//! Everything that can be known before anything is moved: configurations, connections, rights, schemas, keys, state. The
//! errors are those that a real run would give.

use std::sync::Arc;

use rapidbyte_core::channel::{Bounds, Event, channel};
use rapidbyte_core::ports::RunRecord;
use rapidbyte_core::*;
use serde::Serialize;

use crate::error::{Fault, Origin, PlanError, Problem, state_error};
use crate::instance::{Opened, open};
use crate::plan::{PlanOptions, RunPlan, Task, resolve};
use crate::spec::{Connectors, PipelineSpec, Plugged, Ports};
use crate::survey::{Survey, ask, catalog_of, quiet_io};

/// What a check found, item by item.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    pub pipeline: String,
    pub items: Vec<CheckItem>,
    /// The newest run of the pipeline.
    pub last_run: Option<RunRecord>,
    /// What a run would do, if nothing is wrong.
    #[serde(skip)]
    pub plan: Option<RunPlan>,
}

impl CheckReport {
    /// The worst of all items.
    pub fn status(&self) -> CheckStatus {
        self.items.iter().map(|item| item.status).max().unwrap_or(CheckStatus::Ok)
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct CheckItem {
    pub subject: CheckSubject,
    pub status: CheckStatus,
    /// One sentence.
    pub message: String,
    pub hint: Option<String>,
    /// The connector's or the state's error.
    pub error: Option<ConnectorError>,
    /// What is wrong with the pipeline, with where the document says it.
    pub problem: Option<Problem>,
}

/// Ordered from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Ok,
    Warn,
    Fail,
}

/// What an item is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum CheckSubject {
    /// By name and version.
    Source(String),
    Transform(String),
    Destination(String),
    Stream(String),
    /// The pipeline as a whole.
    Pipeline(String),
    /// By location.
    State(String),
}

impl CheckItem {
    fn new(subject: CheckSubject, status: CheckStatus, message: impl Into<String>) -> Self {
        CheckItem { subject, status, message: message.into(), hint: None, error: None, problem: None }
    }

    fn failed(subject: CheckSubject, error: ConnectorError) -> Self {
        CheckItem { error: Some(error.clone()), ..CheckItem::new(subject, CheckStatus::Fail, error.message) }
    }
}

/// Does everything that a run would do but move data.
pub async fn check(
    spec: &PipelineSpec,
    connectors: &Connectors,
    ports: &Ports,
    options: &PlanOptions,
) -> CheckReport {
    let mut report =
        CheckReport { pipeline: spec.name.clone(), items: Vec::new(), last_run: None, plan: None };
    let items = &mut report.items;
    let (source, destination) = tokio::join!(
        check_source(spec, &connectors.source, ports),
        validate(spec, &connectors.destination, ConnectorRole::Destination, ports),
    );
    let (source_item, found) = source;
    items.push(source_item);
    for transform in connectors.transforms.iter().flatten() {
        items.push(validate(spec, transform, ConnectorRole::Transform, ports).await.0);
    }
    let (destination_item, destination) = destination;
    items.push(destination_item);

    if let (Some((source, catalog)), Some(destination)) = (found, destination) {
        let survey = Survey { catalog, source, destination };
        match resolve(spec, connectors, ports, options, &survey).await {
            Ok(plan) => {
                let pipeline = CheckSubject::Pipeline(spec.name.clone());
                items.extend(
                    plan.warnings
                        .iter()
                        .map(|warning| CheckItem::new(pipeline.clone(), CheckStatus::Warn, warning)),
                );
                for task in &plan.tasks {
                    items.push(check_task(task, &plan, connectors, ports).await);
                }
                report.plan = Some(plan);
            }
            Err(error) => items.extend(plan_items(spec, error)),
        }
    }
    let (item, last_run) = check_state(spec, ports).await;
    report.items.push(item);
    report.last_run = last_run;
    report
}

fn subject(role: ConnectorRole, plugged: &Plugged) -> CheckSubject {
    let id = plugged.connector.id().to_owned();
    match role {
        ConnectorRole::Source => CheckSubject::Source(id),
        ConnectorRole::Transform => CheckSubject::Transform(id),
        ConnectorRole::Destination => CheckSubject::Destination(id),
    }
}

/// Opens and validates a connector; it stays open for more questions.
async fn opened(
    spec: &PipelineSpec,
    plugged: &Plugged,
    role: ConnectorRole,
    ports: &Ports,
) -> (CheckItem, Option<Opened>) {
    let subject = subject(role, plugged);
    let mut opened = match ask(&spec.name, plugged, role, &spec.resources, ports).await {
        Ok(opened) => opened,
        Err(fault) => return (CheckItem::failed(subject, *fault.error), None),
    };
    let report = match opened.instance.validate().await {
        Ok(report) => report,
        Err(error) => return (CheckItem::failed(subject, error), None),
    };
    let status = match report.status {
        ValidationStatus::Failed => CheckStatus::Fail,
        ValidationStatus::Success if report.warnings.is_empty() => CheckStatus::Ok,
        ValidationStatus::Success | ValidationStatus::Warning => CheckStatus::Warn,
    };
    let message = std::iter::once(report.message).chain(report.warnings).collect::<Vec<_>>().join("; ");
    let usable = status != CheckStatus::Fail;
    (CheckItem::new(subject, status, message), usable.then_some(opened))
}

async fn validate(
    spec: &PipelineSpec,
    plugged: &Plugged,
    role: ConnectorRole,
    ports: &Ports,
) -> (CheckItem, Option<OpenInfo>) {
    let (item, opened) = opened(spec, plugged, role, ports).await;
    let Some(Opened { mut instance, info }) = opened else { return (item, None) };
    let _ = instance.close().await;
    (item, Some(info))
}

async fn check_source(
    spec: &PipelineSpec,
    plugged: &Plugged,
    ports: &Ports,
) -> (CheckItem, Option<(OpenInfo, Catalog)>) {
    let (mut item, opened) = opened(spec, plugged, ConnectorRole::Source, ports).await;
    let Some(Opened { mut instance, info }) = opened else { return (item, None) };
    match catalog_of(&mut *instance).await {
        Ok(catalog) => {
            let _ = instance.close().await;
            let count = catalog.streams.len();
            item.message =
                format!("{}, {count} stream{} available", item.message, if count == 1 { "" } else { "s" });
            (item, Some((info, catalog)))
        }
        Err(error) => (CheckItem::failed(item.subject, error), None),
    }
}

fn plan_items(spec: &PipelineSpec, error: PlanError) -> Vec<CheckItem> {
    let pipeline = || CheckSubject::Pipeline(spec.name.clone());
    match error {
        PlanError::Cancelled => vec![CheckItem::new(pipeline(), CheckStatus::Fail, error.to_string())],
        PlanError::Connector(Fault { origin, by, error }) => {
            let subject = match origin {
                Origin::Source => CheckSubject::Source(by),
                Origin::Transform(_) => CheckSubject::Transform(by),
                Origin::Destination => CheckSubject::Destination(by),
                Origin::State | Origin::Engine => pipeline(),
            };
            vec![CheckItem::failed(subject, *error)]
        }
        PlanError::Refused(problems) => problems
            .into_iter()
            .map(|problem| {
                let subject = problem.stream.clone().map_or_else(pipeline, CheckSubject::Stream);
                CheckItem {
                    hint: problem.hint.clone(),
                    problem: Some(problem.clone()),
                    ..CheckItem::new(subject, CheckStatus::Fail, problem.message)
                }
            })
            .collect(),
    }
}

/// Runs both ends of a task dry: the destination with the schema that would arrive, the source from where it would go on.
async fn check_task(task: &Task, plan: &RunPlan, connectors: &Connectors, ports: &Ports) -> CheckItem {
    let subject = CheckSubject::Stream(task.key.stream.clone());
    let position = match ports.state.last_checkpoint(&task.key).await {
        Ok(saved) => saved
            .filter(|saved| !saved.reset && (task.sync_mode != SyncMode::FullRefresh || !saved.complete))
            .and_then(|saved| saved.cursor),
        Err(error) => return CheckItem::failed(subject, state_error(&error)),
    };
    let position = position.map(|cursor| cursor.value);
    let destination =
        dry_run(task, plan, &connectors.destination, Origin::Destination, task.destination_context(), ports);
    let source = StreamContext { position: position.clone(), ..task.source_context() };
    let source = dry_run(task, plan, &connectors.source, Origin::Source, source, ports);
    let (destination, source) = tokio::join!(destination, source);
    if let Err(fault) = destination.and(source) {
        return CheckItem { message: fault.to_string(), ..CheckItem::failed(subject, *fault.error) };
    }
    let columns = crate::schema::column_names(task.final_schema()).map_or(0, |columns| columns.len());
    let from = position.map_or_else(String::new, |value| format!(", continues behind {value}"));
    let message = format!("{} → {}, {columns} columns{from}", task.sync_mode, task.write.mode);
    CheckItem::new(subject, CheckStatus::Ok, message)
}

/// One connector's dry run. Whatever it emits all the same is thrown away.
async fn dry_run(
    task: &Task,
    plan: &RunPlan,
    plugged: &Plugged,
    origin: Origin,
    context: StreamContext,
    ports: &Ports,
) -> Result<(), Fault> {
    let (role, phase) = match origin {
        Origin::Source => (ConnectorRole::Source, RunPhase::Read),
        _ => (ConnectorRole::Destination, RunPhase::Write),
    };
    let fault = |error| Fault::new(origin, plugged.connector.id(), error);
    let bounds = Bounds { bytes_max: 1, frames_max: 1 };
    let (outlet, mut thrown) = channel(bounds);
    let (empty, inlet) = channel(bounds);
    let _ = empty.finish();
    let guest_bytes_max = plan.memory.guest_bytes_max;
    let mut io = quiet_io(plugged, task.key.clone(), true, task.limits, guest_bytes_max, ports);
    match role {
        ConnectorRole::Source => io.outlet = Some(Arc::new(outlet)),
        ConnectorRole::Destination | ConnectorRole::Transform => {
            drop(outlet);
            io.inlet = Some(inlet);
        }
    }
    let Opened { mut instance, .. } = open(plugged, role, io).await.map_err(fault)?;
    let request = RunRequest { stream: Some(context), phase, dry_run: true, max_records: None };
    let throw_away = async {
        while let Ok(Event::Frame(_) | Event::Checkpoint(_)) = thrown.recv().await {}
        std::future::pending::<std::convert::Infallible>().await
    };
    let ran = tokio::select! {
        ran = instance.run(request) => ran,
        never = throw_away => match never {},
    };
    ran.map_err(fault)?;
    let _ = instance.close().await;
    Ok(())
}

async fn check_state(spec: &PipelineSpec, ports: &Ports) -> (CheckItem, Option<RunRecord>) {
    let subject = CheckSubject::State(ports.state.location());
    let positions = ports.state.positions(Some(&spec.name)).await;
    let runs = ports.state.runs(Some(&spec.name), 1).await;
    match (positions, runs) {
        (Ok(positions), Ok(runs)) => {
            let message = match positions.iter().filter(|position| !position.checkpoint.reset).count() {
                0 => "no saved positions".to_owned(),
                1 => "1 saved position".to_owned(),
                count => format!("{count} saved positions"),
            };
            (CheckItem::new(subject, CheckStatus::Ok, message), runs.into_iter().next())
        }
        (Err(error), _) | (_, Err(error)) => (CheckItem::failed(subject, state_error(&error)), None),
    }
}
