//! A stream's way from source to destination: what each transform, in a connector or in the host, makes of it, and what
//! the stream's contract demands of the result.
//! Refuses to know: the source, the destination, how anything is evaluated.

use std::sync::Arc;

use rapidbyte_core::frame::{decode_schema, encode_schema};
use rapidbyte_core::sql::{Operation, Rule, SqlProblem};
use rapidbyte_core::*;

use super::{ContractPlan, RuleAction, StepKind, Task, TransformStep};
use crate::error::{Fault, Origin, Place, Problem};
use crate::instance::{Opened, open};
use crate::memory::MemoryPlan;
use crate::schema::{column_names, repeated, suggestion};
use crate::spec::{Connectors, ContractSpec, OnViolation, PipelineSpec, Ports, TransformKind};
use crate::survey::quiet_io;

pub(super) enum PassError {
    Fault(Fault),
    Problem(Box<Problem>),
}

/// Follows a stream through its transforms.
pub(super) async fn pass(
    task: &mut Task,
    spec: &PipelineSpec,
    indices: &[usize],
    host_filter: Option<&str>,
    connectors: &Connectors,
    ports: &Ports,
    memory: &MemoryPlan,
) -> Result<(), PassError> {
    if let Some(predicate) = host_filter {
        let filter = [Operation::Filter { predicate: predicate.to_owned() }];
        operations(task, None, &filter, ports, memory)?;
    }
    for &index in indices {
        match &spec.transforms[index].kind {
            TransformKind::Operations(list) => operations(task, Some(index), list, ports, memory)?,
            TransformKind::Connector => connector(task, index, connectors, ports, memory).await?,
        }
    }
    Ok(())
}

/// Plans operations in the host.
fn operations(
    task: &mut Task,
    index: Option<usize>,
    list: &[Operation],
    ports: &Ports,
    memory: &MemoryPlan,
) -> Result<(), PassError> {
    let input = decode_schema(task.final_schema())
        .map_err(|error| PassError::Fault(Fault::new(Origin::Engine, "engine", error)))?;
    let planned = ports
        .sql
        .operations(&Arc::new(input), list, memory.guest_bytes_max)
        .map_err(|problem| PassError::Problem(Box::new(operation_problem(task, index, problem))))?;
    if !planned.is_stateless() && task.sync_mode != SyncMode::FullRefresh {
        let place = Place::Operation { transform: index, operation: 0, key: None };
        let message = format!(
            "stream `{}` is {}: an aggregation would only see what is new in each run",
            task.key.stream, task.sync_mode
        );
        let problem = Problem::new(&task.key.stream, place, "aggregation_of_increments", message)
            .hint("read it by `full_refresh`, or aggregate in the destination");
        return Err(PassError::Problem(Box::new(problem)));
    }
    let schema = encode_schema(&planned.schema())
        .map_err(|error| PassError::Fault(Fault::new(Origin::Engine, "engine", error)))?;
    let kind = StepKind::Operations { list: list.to_vec(), stateless: planned.is_stateless() };
    task.transforms.push(TransformStep { index, kind, schema });
    Ok(())
}

fn operation_problem(task: &Task, index: Option<usize>, problem: SqlProblem) -> Problem {
    let place = match index {
        None => Place::Filter,
        Some(_) => Place::Operation { transform: index, operation: problem.index, key: problem.key },
    };
    Problem::new(&task.key.stream, place, problem.code, problem.message).maybe_hint(problem.hint)
}

/// Asks a connector what it makes of the stream.
async fn connector(
    task: &mut Task,
    index: usize,
    connectors: &Connectors,
    ports: &Ports,
    memory: &MemoryPlan,
) -> Result<(), PassError> {
    let origin = Origin::Transform(index);
    let Some(plugged) = connectors.transform(index) else {
        let error = ConnectorError::internal("plan_mismatch", "the connectors are not those of the pipeline");
        return Err(PassError::Fault(Fault::new(Origin::Engine, "engine", error)));
    };
    let fault = |error| PassError::Fault(Fault::new(origin, plugged.connector.id(), error));
    let io = quiet_io(plugged, task.key.clone(), true, task.limits, memory.guest_bytes_max, ports);
    let Opened { mut instance, .. } = open(plugged, ConnectorRole::Transform, io).await.map_err(fault)?;
    let context = task.context(task.final_schema().clone());
    let request =
        RunRequest { stream: Some(context), phase: RunPhase::Discover, dry_run: false, max_records: None };
    let summary = instance.run(request).await.map_err(|error| {
        let message =
            format!("`{}` cannot take stream `{}`: {error}", plugged.connector.id(), task.key.stream);
        let problem = Problem::new(&task.key.stream, Place::Transform(index), "transform_refused", message);
        PassError::Problem(Box::new(problem))
    })?;
    let streams = summary.catalog.map(|catalog| catalog.streams).unwrap_or_default();
    let [made] = <[CatalogStream; 1]>::try_from(streams).map_err(|streams| {
        let message = format!("answered {} streams to one", streams.len());
        fault(ConnectorError::internal("transform_catalog", message))
    })?;
    let columns = column_names(&made.schema).map_err(fault)?;
    if let Some(column) = repeated(&columns) {
        let message = format!("`{}` makes column `{column}` twice", plugged.connector.id());
        let problem = Problem::new(&task.key.stream, Place::Transform(index), "repeated_column", message);
        return Err(PassError::Problem(Box::new(problem)));
    }
    let _ = instance.close().await;
    task.transforms.push(TransformStep {
        index: Some(index),
        kind: StepKind::Connector,
        schema: made.schema,
    });
    Ok(())
}

/// Holds a stream's contract against what arrives at the destination.
pub(super) fn contract(
    task: &mut Task,
    contract: &ContractSpec,
    ports: &Ports,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    let name = task.key.stream.clone();
    let schema = match decode_schema(task.final_schema()) {
        Ok(schema) => Arc::new(schema),
        Err(error) => {
            problems.push(Problem::new(&name, Place::Stream, "schema_unreadable", error.to_string()));
            return;
        }
    };
    let mut plan = ContractPlan { index: contract.index, ..ContractPlan::default() };
    let mut broken = |place: Place, code: &'static str, message: String, hint: Option<String>| {
        if contract.on_violation == OnViolation::Warn {
            warnings.push(message);
        } else {
            problems.push(Problem::new(&name, place, code, message).maybe_hint(hint));
        }
    };
    for (index, column) in contract.required.iter().enumerate() {
        let place = Place::RequiredColumn { contract: contract.index, column: index };
        let Ok(field) = schema.field_with_name(&column.name) else {
            let hint =
                suggestion("columns", &column.name, schema.fields().iter().map(|it| it.name().as_str()));
            let message = format!(
                "the contract of stream `{name}` requires column `{}`, which does not arrive",
                column.name
            );
            broken(place, "contract_column_missing", message, hint);
            continue;
        };
        if let Some(wanted) = &column.data_type
            && !crate::schema::is_type(wanted, field.data_type())
        {
            let message = format!(
                "the contract of stream `{name}` requires column `{}` to be {wanted}, it arrives as {}",
                column.name,
                field.data_type()
            );
            broken(
                place,
                "contract_type",
                message,
                Some("cast it with `cast_column`, or change the contract".to_owned()),
            );
            continue;
        }
        if column.nullable == Some(false) && field.is_nullable() {
            plan.not_null.push((column.name.clone(), contract.on_violation.into()));
        }
    }
    for rule in &contract.rules {
        plan.rules.push((rule.rule.clone(), rule.on_violation.into()));
    }
    let rules: Vec<Rule> = plan.rules.iter().map(|(rule, _)| rule.clone()).collect();
    if let Err(problem) = ports.sql.rules(&schema, &rules) {
        let place = Place::ContractRule { contract: contract.index, rule: problem.index, key: problem.key };
        problems.push(Problem::new(&name, place, problem.code, problem.message).maybe_hint(problem.hint));
    }
    if !plan.rules.is_empty() || !plan.not_null.is_empty() {
        task.contract = Some(plan);
    }
}

impl From<OnViolation> for RuleAction {
    fn from(on_violation: OnViolation) -> Self {
        match on_violation {
            OnViolation::Fail => RuleAction::Fail,
            OnViolation::Warn => RuleAction::Warn,
            OnViolation::DropRow => RuleAction::DropRow,
        }
    }
}
