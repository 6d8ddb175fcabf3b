//! Rules over the values of single columns: each a predicate over `value`, evaluated over the column alone.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::Expr;
use rapidbyte_core::ConnectorError;
use rapidbyte_core::sql::{Rule, Rules, SqlProblem};

use crate::engine::{self, Spill, df_schema, plan_expression};
use crate::planner::refuse_not_boolean;
use crate::problem::{self, Problem, unknown_column};
use crate::text::{self, Resolver};

/// What the column is called in a check.
const VALUE: &str = "value";

struct PlannedRule {
    what: String,
    column: usize,
    schema: SchemaRef,
    holds: Arc<dyn PhysicalExpr>,
}

pub(crate) struct PlannedRules(Vec<PlannedRule>);

pub(crate) fn plan(input: &SchemaRef, rules: &[Rule]) -> Result<PlannedRules, SqlProblem> {
    let planned = rules.iter().enumerate().map(|(index, rule)| {
        let column = input.index_of(&rule.column).map_err(|_| {
            let names = input.fields().iter().map(|it| it.name().as_str());
            unknown_column(&rule.column, names).at(index, Some("column"))
        })?;
        let schema: SchemaRef = Arc::new(Schema::new(vec![input.field(column).clone().with_name(VALUE)]));
        let holds = check(&schema, rule).map_err(|problem| problem.at(index, Some("check")))?;
        let what = format!("the rule `{}` of column `{}`", rule.check, rule.column);
        Ok(PlannedRule { what, column, schema, holds })
    });
    planned.collect::<Result<Vec<_>, _>>().map(PlannedRules)
}

fn check(schema: &SchemaRef, rule: &Rule) -> Result<Arc<dyn PhysicalExpr>, Problem> {
    let mut expression = text::expression(&rule.check)?;
    let columns = [VALUE.to_owned()];
    Resolver { columns: &columns, aliases: Vec::new(), tables: Vec::new() }.apply(&mut expression).map_err(
        |mut problem| {
            if problem.code == "unknown_column" {
                problem.hint =
                    Some(format!("a check sees one column, as `value`: `{}`", with_value(&rule.check, rule)));
            }
            problem
        },
    )?;
    if let Expr::Value(_) = expression {
        return Err(
            Problem::new("rule_constant", "the check says nothing of `value`").hint("write `value >= 0`")
        );
    }
    let state = engine::state(engine::greedy(u64::MAX), Spill::Never, 1)?;
    let holds = plan_expression(&state, expression, &df_schema(schema)?)?;
    refuse_not_boolean(&holds, schema)?;
    Ok(holds)
}

/// The check as it was probably meant, where it names its own column.
fn with_value(check: &str, rule: &Rule) -> String {
    if check.contains(&rule.column) { check.replace(&rule.column, VALUE) } else { "value >= 0".to_owned() }
}

impl Rules for PlannedRules {
    fn violations(&self, batch: &RecordBatch) -> Result<Vec<BooleanArray>, ConnectorError> {
        self.0.iter().map(|rule| rule.violations(batch)).collect()
    }
}

impl PlannedRule {
    fn violations(&self, batch: &RecordBatch) -> Result<BooleanArray, ConnectorError> {
        let column = batch.columns().get(self.column);
        let column = column.filter(|it| it.data_type() == self.schema.field(0).data_type());
        let column = column.ok_or_else(|| {
            ConnectorError::new(
                rapidbyte_core::ErrorCategory::Schema,
                "schema_changed",
                format!("{}: a batch has other columns than the stream for which it was planned", self.what),
            )
        })?;
        let values = RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::clone(column)])
            .map_err(|error| problem::internal(&self.what, &error.to_string()))?;
        let holds = self
            .holds
            .evaluate(&values)
            .and_then(|it| it.into_array(batch.num_rows()))
            .map_err(|error| problem::evaluation(&self.what, &error))?;
        let holds = holds
            .as_boolean_opt()
            .ok_or_else(|| problem::internal(&self.what, "the check is not boolean"))?;
        Ok(BooleanArray::new(violated(holds), None))
    }
}

/// False and known.
fn violated(holds: &BooleanArray) -> BooleanBuffer {
    let wrong = !holds.values();
    match holds.nulls() {
        Some(known) => &wrong & known.inner(),
        None => wrong,
    }
}
