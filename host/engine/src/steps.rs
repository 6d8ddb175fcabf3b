//! What the host does to a stream between two connectors: operations, then the contract. Batch by batch; a record that
//! does not fit is found by halving its batch, never by walking through all of them.
//! Refuses to know: channels, checkpoints, how an expression is evaluated.

use std::sync::Arc;

use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use rapidbyte_core::frame::decode_schema;
use rapidbyte_core::sql::{Rule, Rules, RunningOperations};
use rapidbyte_core::*;
use serde::Serialize;

use crate::error::Origin;
use crate::limits::{SAMPLE_BYTES_MAX, SAMPLES_MAX};
use crate::memory::MemoryPlan;
use crate::plan::{ContractPlan, RuleAction, StepKind, Task};
use crate::spec::Ports;

/// What the host does on one link.
pub(crate) struct HostSteps {
    steps: Vec<Step>,
    policy: DataErrorPolicy,
}

enum Step {
    Operations { origin: Origin, running: Box<dyn RunningOperations>, stateless: bool },
    Contract(ContractStep),
}

struct ContractStep {
    not_null: Vec<(usize, RuleAction)>,
    rules: Arc<dyn Rules>,
    actions: Vec<RuleAction>,
    /// One for each of `not_null`, then one for each rule.
    tally: Vec<Violation>,
    columns: Vec<usize>,
}

/// How often a stream's records broke one rule of its contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    pub column: String,
    /// The rule as the contract writes it: `value >= 0`, `not null`.
    pub rule: String,
    pub action: RuleAction,
    pub records: u64,
    /// A few of the values.
    pub samples: Vec<String>,
}

/// Records that were refused on the way, with why.
pub(crate) struct Refused {
    /// `transform:0`, `contract`.
    pub origin: String,
    pub records: RecordBatch,
    pub errors: Vec<RecordError>,
}

/// What a step made of a batch.
#[derive(Default)]
pub(crate) struct Passed {
    pub batches: Vec<RecordBatch>,
    pub refused: Vec<Refused>,
}

/// What is wrong, and whose it is.
pub(crate) type StepResult<T> = Result<T, (Origin, ConnectorError)>;

impl HostSteps {
    /// The steps of each link of a task, first to last; none where the host only hands on.
    pub fn of_links(task: &Task, ports: &Ports, memory: &MemoryPlan) -> StepResult<Vec<Option<HostSteps>>> {
        let engine = |error| (Origin::Engine, error);
        let mut links: Vec<Vec<Step>> = vec![Vec::new()];
        let mut schema = task.source_schema.clone();
        for step in &task.transforms {
            match &step.kind {
                StepKind::Connector => links.push(Vec::new()),
                StepKind::Operations { list, stateless } => {
                    let origin = step.index.map_or(Origin::Engine, Origin::Transform);
                    let input = decode_schema(&schema).map_err(engine)?;
                    let planned = ports
                        .sql
                        .operations(&Arc::new(input), list, memory.guest_bytes_max)
                        .map_err(|problem| (origin, planning(problem.code, problem.message)))?;
                    let running = planned.start();
                    if let Some(link) = links.last_mut() {
                        link.push(Step::Operations { origin, running, stateless: *stateless });
                    }
                }
            }
            schema = step.schema.clone();
        }
        if let (Some(contract), Some(link)) = (&task.contract, links.last_mut()) {
            link.push(Step::Contract(ContractStep::new(contract, &schema, ports)?));
        }
        let policy = task.on_error;
        let steps = links.into_iter().map(|steps| (!steps.is_empty()).then_some(HostSteps { steps, policy }));
        Ok(steps.collect())
    }

    /// Passes a batch through all steps.
    pub async fn push(&mut self, batch: RecordBatch) -> StepResult<Passed> {
        let mut passed = Passed { batches: vec![batch], refused: Vec::new() };
        self.pass(0, &mut passed).await?;
        Ok(passed)
    }

    /// What was held back, once nothing follows.
    pub async fn finish(&mut self) -> StepResult<Passed> {
        let mut all = Passed::default();
        for index in 0..self.steps.len() {
            let Step::Operations { origin, running, .. } = &mut self.steps[index] else { continue };
            let origin = *origin;
            let batches = running.finish().await.map_err(|error| (origin, error))?;
            let mut passed = Passed { batches, refused: Vec::new() };
            self.pass(index + 1, &mut passed).await?;
            all.batches.append(&mut passed.batches);
            all.refused.append(&mut passed.refused);
        }
        Ok(all)
    }

    /// How often the contract was broken so far.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.steps.iter().flat_map(|step| match step {
            Step::Contract(contract) => contract.tally.as_slice(),
            Step::Operations { .. } => &[],
        })
    }

    async fn pass(&mut self, first: usize, passed: &mut Passed) -> StepResult<()> {
        let policy = self.policy;
        for step in &mut self.steps[first..] {
            let mut out = Vec::with_capacity(passed.batches.len());
            for batch in std::mem::take(&mut passed.batches) {
                match step {
                    Step::Contract(contract) => {
                        out.extend(contract.push(batch, policy, &mut passed.refused)?);
                    }
                    Step::Operations { origin, running, stateless } => {
                        let isolate = *stateless && policy != DataErrorPolicy::Fail;
                        let refused = &mut passed.refused;
                        out.extend(operate(*origin, &mut **running, batch, isolate, refused).await?);
                    }
                }
            }
            out.retain(|batch| batch.num_rows() > 0);
            passed.batches = out;
        }
        Ok(())
    }
}

fn planning(code: &str, message: String) -> ConnectorError {
    ConnectorError::new(ErrorCategory::Config, code, message)
}

/// Passes a batch through operations; takes it apart around records that they refuse.
async fn operate(
    origin: Origin,
    running: &mut dyn RunningOperations,
    batch: RecordBatch,
    isolate: bool,
    refused: &mut Vec<Refused>,
) -> StepResult<Vec<RecordBatch>> {
    let fault = |error| (origin, error);
    if !isolate {
        return running.push(batch).await.map_err(fault);
    }
    let mut out = Vec::new();
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    // The newest part last, so that records keep their order.
    let mut parts = vec![(0, batch.num_rows())];
    while let Some((from, len)) = parts.pop() {
        match running.push(batch.slice(from, len)).await {
            Ok(batches) => out.extend(batches),
            Err(error) if error.category == ErrorCategory::Data && len == 1 => {
                let row = u32::try_from(rows.len()).unwrap_or(u32::MAX);
                errors.push(RecordError { row, code: error.code, message: error.message });
                rows.push(batch.slice(from, 1));
            }
            Err(error) if error.category == ErrorCategory::Data => {
                let half = len / 2;
                parts.push((from + half, len - half));
                parts.push((from, half));
            }
            Err(error) => return Err(fault(error)),
        }
    }
    if !rows.is_empty() {
        let origin = match origin {
            Origin::Transform(index) => format!("transform:{index}"),
            _ => "filter".to_owned(),
        };
        refused.push(Refused { origin, records: join(&batch, &rows).map_err(fault)?, errors });
        if let Some(first) = out.first() {
            out = vec![join(&first.clone(), &out).map_err(fault)?];
        }
    }
    Ok(out)
}

fn join(like: &RecordBatch, parts: &[RecordBatch]) -> Result<RecordBatch, ConnectorError> {
    concat_batches(&like.schema(), parts).map_err(arrow)
}

fn arrow(error: arrow_schema::ArrowError) -> ConnectorError {
    ConnectorError::internal("arrow", error.to_string())
}

impl ContractStep {
    fn new(plan: &ContractPlan, schema: &ArrowSchemaIpc, ports: &Ports) -> StepResult<Self> {
        let engine = |error| (Origin::Engine, error);
        let schema = decode_schema(schema).map_err(engine)?;
        let index = |column: &str| {
            schema.index_of(column).map_err(|error| engine(planning("unknown_column", error.to_string())))
        };
        let tally = |column: &str, rule: &str, action| Violation {
            column: column.to_owned(),
            rule: rule.to_owned(),
            action,
            records: 0,
            samples: Vec::new(),
        };
        let (mut not_null, mut columns, mut tallies) = (Vec::new(), Vec::new(), Vec::new());
        for (column, action) in &plan.not_null {
            not_null.push((index(column)?, *action));
            columns.push(index(column)?);
            tallies.push(tally(column, "not null", *action));
        }
        for (rule, action) in &plan.rules {
            columns.push(index(&rule.column)?);
            tallies.push(tally(&rule.column, &rule.check, *action));
        }
        let rules: Vec<Rule> = plan.rules.iter().map(|(rule, _)| rule.clone()).collect();
        let rules = ports
            .sql
            .rules(&Arc::new(schema), &rules)
            .map_err(|problem| engine(planning(problem.code, problem.message)))?;
        let actions = plan.rules.iter().map(|(_, action)| *action).collect();
        Ok(ContractStep { not_null, rules, actions, tally: tallies, columns })
    }

    /// Counts what breaks a rule, and drops what must not go on.
    fn push(
        &mut self,
        batch: RecordBatch,
        policy: DataErrorPolicy,
        refused: &mut Vec<Refused>,
    ) -> StepResult<Option<RecordBatch>> {
        let engine = |error| (Origin::Engine, error);
        let nulls = self.not_null.iter().map(|(column, action)| {
            let array = batch.column(*column);
            let mask = BooleanArray::from_iter((0..array.len()).map(|row| Some(array.is_null(row))));
            (mask, *action)
        });
        let masks = self.rules.violations(&batch).map_err(engine)?;
        let masks: Vec<(BooleanArray, RuleAction)> =
            nulls.chain(masks.into_iter().zip(self.actions.iter().copied())).collect();
        let mut dropped: Vec<Option<usize>> = Vec::new();
        for (index, (mask, action)) in masks.iter().enumerate() {
            let broken = mask.true_count();
            if broken == 0 {
                continue;
            }
            let tally = &mut self.tally[index];
            tally.records += broken as u64;
            let rows = (0..mask.len()).filter(|row| mask.is_valid(*row) && mask.value(*row));
            for row in rows.clone().take(SAMPLES_MAX - tally.samples.len()) {
                tally.samples.push(shown(&batch, self.columns[index], row));
            }
            match action {
                RuleAction::Fail => return Err(engine(violated(tally))),
                RuleAction::Warn => {}
                RuleAction::DropRow => {
                    dropped.resize(batch.num_rows(), None);
                    rows.for_each(|row| dropped[row] = dropped[row].or(Some(index)));
                }
            }
        }
        if dropped.is_empty() {
            return Ok(Some(batch));
        }
        let select = |keep: bool| {
            let mask = BooleanArray::from_iter(dropped.iter().map(|rule| Some(rule.is_none() == keep)));
            filter_record_batch(&batch, &mask).map_err(|error| engine(arrow(error)))
        };
        if policy == DataErrorPolicy::Dlq {
            let errors = dropped.iter().flatten().enumerate().map(|(row, rule)| {
                let Violation { column, rule, .. } = &self.tally[*rule];
                RecordError {
                    row: u32::try_from(row).unwrap_or(u32::MAX),
                    code: "contract_violated".to_owned(),
                    message: format!("`{column}` breaks the contract: {rule}"),
                }
            });
            refused.push(Refused {
                origin: "contract".to_owned(),
                errors: errors.collect(),
                records: select(false)?,
            });
        }
        Ok(Some(select(true)?))
    }
}

fn violated(violation: &Violation) -> ConnectorError {
    let Violation { column, rule, samples, .. } = violation;
    let sample = samples.first().map_or("", String::as_str);
    let message =
        format!("column `{column}` breaks the contract `{rule}`: the first value that does is {sample}");
    let mut error = ConnectorError::new(ErrorCategory::Data, "contract_violated", message);
    error.scope = ErrorScope::PerRecord;
    error
}

/// A value for a person, cut where it is long.
fn shown(batch: &RecordBatch, column: usize, row: usize) -> String {
    let array = batch.column(column);
    if array.is_null(row) {
        return "NULL".to_owned();
    }
    let options = FormatOptions::default();
    let mut text = match ArrayFormatter::try_new(array.as_ref(), &options) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(error) => error.to_string(),
    };
    if text.len() > SAMPLE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SAMPLE_BYTES_MAX));
        text.push('…');
    }
    text
}
