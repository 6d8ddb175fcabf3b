//! From operations, as a document writes them, to a chain of stages over the schema of a stream.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::datasource::TableProvider;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use rapidbyte_core::ConnectorError;
use rapidbyte_core::sql::{Operation, Operations, Rule, Rules, RunningOperations, SqlPlanner, SqlProblem};
use rapidbyte_core::sql_type;

use crate::engine::{
    self, Spill, compile, df_schema, on_planning_stack, plain, plan_expression, refuse_volatile,
};
use crate::problem::{self, Problem, planning, unknown_column};
use crate::rules;
use crate::select::{self, INPUT};
use crate::steps::{Cast, Source, Step};
use crate::text::{self, Resolver};
use crate::whole::{self, Whole};

/// Plans operations and rules with DataFusion.
#[derive(Debug, Clone, Copy, Default)]
pub struct Planner;

impl SqlPlanner for Planner {
    fn operations(
        &self,
        input: &SchemaRef,
        operations: &[Operation],
        memory_bytes_max: u64,
    ) -> Result<Arc<dyn Operations>, SqlProblem> {
        let planned = on_planning_stack(|| Chain::plan(input, operations, memory_bytes_max));
        Ok(Arc::new(planned.map_err(|problem| problem.at(0, None))??))
    }

    fn rules(&self, input: &SchemaRef, rules: &[Rule]) -> Result<Arc<dyn Rules>, SqlProblem> {
        let planned = on_planning_stack(|| rules::plan(input, rules));
        Ok(Arc::new(planned.map_err(|problem| problem.at(0, None))??))
    }
}

#[derive(Clone)]
enum Stage {
    Step(Step),
    Whole(Arc<Whole>),
}

/// Planned operations: steps over a batch, and queries over all of them.
struct Chain {
    input: SchemaRef,
    schema: SchemaRef,
    stages: Vec<Stage>,
    memory_bytes_max: u64,
}

/// A problem and the key of the operation that has it.
type Planned<T> = Result<T, (Option<&'static str>, Problem)>;

fn on(key: &'static str) -> impl Fn(Problem) -> (Option<&'static str>, Problem) {
    move |problem| (Some(key), problem)
}

impl Chain {
    fn plan(input: &SchemaRef, operations: &[Operation], memory_bytes_max: u64) -> Result<Chain, SqlProblem> {
        let mut chain = Chain {
            input: Arc::clone(input),
            schema: Arc::clone(input),
            stages: Vec::new(),
            memory_bytes_max,
        };
        for (index, operation) in operations.iter().enumerate() {
            chain.add(index, operation).map_err(|(key, problem)| problem.at(index, key))?;
        }
        Ok(chain)
    }

    fn add(&mut self, index: usize, operation: &Operation) -> Planned<()> {
        let place = index + 1;
        match operation {
            Operation::RenameColumn { from, to } => self.rename(from, to),
            Operation::AddColumn { name, expression } => {
                self.add_column(format!("operation {place}, `add_column` `{name}`"), name, expression)
            }
            Operation::CastColumn { column, to } => {
                self.cast(format!("operation {place}, `cast_column` `{column}`"), column, to)
            }
            Operation::DropColumns { columns } => self.drop_columns(columns),
            Operation::Filter { predicate } => self.filter(format!("operation {place}, `filter`"), predicate),
            Operation::Sql { query } => self.sql(place, query),
        }
    }

    fn find(&self, name: &str) -> Result<usize, Problem> {
        self.schema.index_of(name).map_err(|_| unknown_column(name, self.names()))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|it| it.name().as_str())
    }

    fn refuse_taken(&self, name: &str) -> Result<(), Problem> {
        if name.is_empty() {
            return Err(Problem::new("empty_name", "a column needs a name"));
        }
        match self.schema.index_of(name) {
            Ok(_) => Err(Problem::new("duplicate_column", format!("there is a column `{name}` already"))
                .hint("choose another name, or drop that column before")),
            Err(_) => Ok(()),
        }
    }

    fn project(&mut self, fields: Vec<FieldRef>, columns: Vec<Source>) {
        self.schema = Arc::new(Schema::new(fields).with_metadata(self.schema.metadata().clone()));
        self.stages.push(Stage::Step(Step::Project { schema: Arc::clone(&self.schema), columns }));
    }

    fn all(&self) -> (Vec<FieldRef>, Vec<Source>) {
        let fields = self.schema.fields().iter().cloned().collect::<Vec<_>>();
        let columns = (0..fields.len()).map(Source::Keep).collect();
        (fields, columns)
    }

    fn rename(&mut self, from: &str, to: &str) -> Planned<()> {
        let column = self.find(from).map_err(on("from"))?;
        if from == to {
            return Ok(());
        }
        self.refuse_taken(to).map_err(on("to"))?;
        let (mut fields, columns) = self.all();
        fields[column] = Arc::new(fields[column].as_ref().clone().with_name(to));
        self.project(fields, columns);
        Ok(())
    }

    fn drop_columns(&mut self, names: &[String]) -> Planned<()> {
        let mut dropped = HashSet::new();
        for name in names {
            dropped.insert(self.find(name).map_err(on("columns"))?);
        }
        if dropped.len() == self.schema.fields().len() {
            return Err(on("columns")(Problem::new("no_columns", "no column would be left")));
        }
        let kept = self.schema.fields().iter().enumerate().filter(|(at, _)| !dropped.contains(at));
        let (fields, columns) = kept.map(|(at, field)| (Arc::clone(field), Source::Keep(at))).unzip();
        self.project(fields, columns);
        Ok(())
    }

    fn expression(&self, sql: &str) -> Result<Arc<dyn PhysicalExpr>, Problem> {
        let mut expression = text::expression(sql)?;
        let columns: Vec<String> = self.names().map(str::to_owned).collect();
        let tables = vec![INPUT.to_owned()];
        Resolver { columns: &columns, aliases: Vec::new(), tables }.apply(&mut expression)?;
        plan_expression(&state()?, expression, &df_schema(&self.schema)?)
    }

    fn add_column(&mut self, what: String, name: &str, expression: &str) -> Planned<()> {
        self.refuse_taken(name).map_err(on("name"))?;
        let expression = self.expression(expression).map_err(on("expression"))?;
        let (field, source) = computed(&self.schema, name, what, expression).map_err(on("expression"))?;
        let (mut fields, mut columns) = self.all();
        fields.push(field);
        columns.push(source);
        self.project(fields, columns);
        Ok(())
    }

    fn cast(&mut self, what: String, name: &str, to: &str) -> Planned<()> {
        let column = self.find(name).map_err(on("column"))?;
        let data_type = sql_type::parse(to)
            .map_err(|error| on("to")(Problem::new("unknown_type", error.message).hint(error.hint)))?;
        let (mut fields, mut columns) = self.all();
        let field = &fields[column];
        let has_meaning = field.metadata().keys().any(|it| it.starts_with("ARROW:extension:"));
        if *field.data_type() == data_type && !has_meaning {
            return Ok(());
        }
        let is_bare = !to.contains('(');
        let cast = Cast::plan(field.data_type(), &data_type, is_bare).ok_or_else(|| {
            let message =
                format!("column `{name}` is `{}`, which cannot be cast to `{data_type}`", field.data_type());
            on("to")(
                Problem::new("cast_unsupported", message)
                    .hint("compute it with `add_column` or `sql` instead"),
            )
        })?;
        // What the column was before, by its metadata, it is no longer.
        fields[column] = Arc::new(Field::new(name, data_type, field.is_nullable()));
        columns[column] = Source::Cast { what, column, cast };
        self.project(fields, columns);
        Ok(())
    }

    fn filter(&mut self, what: String, predicate: &str) -> Planned<()> {
        let predicate = self.expression(predicate).map_err(on("predicate"))?;
        refuse_not_boolean(&predicate, &self.schema).map_err(on("predicate"))?;
        self.stages.push(Stage::Step(Step::Filter { what, predicate }));
        Ok(())
    }

    fn sql(&mut self, place: usize, sql: &str) -> Planned<()> {
        self.query(place, sql).map_err(on("query"))
    }

    fn query(&mut self, place: usize, sql: &str) -> Result<(), Problem> {
        let query = select::prepare(sql, &self.schema)?;
        let state = state()?;
        let table = Arc::new(whole::input_table(&self.schema)?) as Arc<dyn TableProvider>;
        state
            .schema_for_ref(INPUT)
            .and_then(|it| it.register_table(INPUT.to_owned(), table))
            .map_err(|error| planning(&error))?;
        let statement = DfStatement::Statement(Box::new(Statement::Query(Box::new(query))));
        let plan = futures::executor::block_on(state.statement_to_plan(statement))
            .map_err(|error| one_table(&error))?;
        refuse_volatile(&plan)?;
        let mut seen = HashSet::new();
        if let Some(twice) = plan.schema().fields().iter().find(|it| !seen.insert(it.name().clone())) {
            return Err(problem::duplicate(twice.name()));
        }
        if let Some((predicate, results)) = by_batch(&plan) {
            return self.select(place, &state, predicate, results);
        }
        let whole = Whole::plan(format!("operation {place}, `sql`"), state, plan)?;
        self.schema = Arc::clone(whole.schema());
        self.stages.push(Stage::Whole(Arc::new(whole)));
        Ok(())
    }

    /// A query that answers batch by batch.
    fn select(
        &mut self,
        place: usize,
        state: &SessionState,
        predicate: Option<Expr>,
        results: Vec<(String, Expr)>,
    ) -> Result<(), Problem> {
        let schema = df_schema(&self.schema)?;
        let compiled = |expression| {
            let expression = unqualified(expression).map_err(|error| planning(&error))?;
            compile(state, expression, &schema).map_err(|error| planning(&error))
        };
        if let Some(predicate) = predicate {
            let predicate = compiled(predicate)?;
            refuse_not_boolean(&predicate, &self.schema)?;
            self.stages.push(Stage::Step(Step::Filter {
                what: format!("operation {place}, `sql` `WHERE`"),
                predicate,
            }));
        }
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for (name, expression) in results {
            let what = format!("operation {place}, `sql` `{name}`");
            let (field, source) = computed(&self.schema, &name, what, compiled(expression)?)?;
            fields.push(field);
            columns.push(source);
        }
        self.project(fields, columns);
        Ok(())
    }
}

/// Where there is one table, only results can be called the same.
fn one_table(error: &DataFusionError) -> Problem {
    if let DataFusionError::SchemaError(schema, _) = error.find_root()
        && let SchemaError::AmbiguousReference { field } = schema.as_ref()
    {
        return problem::duplicate(&field.name);
    }
    planning(error)
}

fn state() -> Result<SessionState, Problem> {
    // What a run may keep is in the run's own pool.
    engine::state(engine::greedy(u64::MAX), Spill::Never, 1)
}

pub(crate) fn refuse_not_boolean(
    expression: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
) -> Result<(), Problem> {
    match expression.data_type(schema).map_err(|error| planning(&error))? {
        DataType::Boolean => Ok(()),
        other => Err(Problem::new("not_boolean", format!("this is `{other}`, neither true nor false"))
            .hint("compare it: `column > 0`, `column IS NOT NULL`")),
    }
}

/// A result: a plain column keeps all that its field says, whatever is computed is what its type says.
fn computed(
    schema: &SchemaRef,
    name: &str,
    what: String,
    expression: Arc<dyn PhysicalExpr>,
) -> Result<(FieldRef, Source), Problem> {
    if let Some(column) = expression.downcast_ref::<Column>() {
        let field = schema.field(column.index()).clone().with_name(name);
        return Ok((Arc::new(field), Source::Keep(column.index())));
    }
    let data_type = plain(&expression.data_type(schema).map_err(|error| planning(&error))?);
    if data_type == DataType::Null {
        return Err(Problem::new("sql_type", format!("`{name}` is NULL of no type"))
            .hint("say which: `CAST(NULL AS TEXT)`"));
    }
    let nullable = expression.nullable(schema).map_err(|error| planning(&error))?;
    let field = Field::new(name, data_type.clone(), nullable);
    Ok((Arc::new(field), Source::Compute { what, expression, data_type }))
}

/// Predicate and named results.
type ByBatch = (Option<Expr>, Vec<(String, Expr)>);

/// Those of a plan that projects and filters and does nothing else.
fn by_batch(plan: &LogicalPlan) -> Option<ByBatch> {
    let LogicalPlan::Projection(projection) = plan else { return None };
    let (predicate, input) = match projection.input.as_ref() {
        LogicalPlan::Filter(filter) => (Some(filter.predicate.clone()), filter.input.as_ref()),
        input => (None, input),
    };
    if !matches!(input, LogicalPlan::TableScan(_)) {
        return None;
    }
    let names = projection.schema.fields().iter().map(|it| it.name().clone());
    Some((predicate, names.zip(projection.expr.iter().cloned()).collect()))
}

/// The same expression over columns without a table.
fn unqualified(expression: Expr) -> Result<Expr, DataFusionError> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let expression = expression.transform_up(|it| {
        Ok(match it {
            Expr::Column(mut column) if column.relation.is_some() => {
                column.relation = None;
                Transformed::yes(Expr::Column(column))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(expression.data.unalias())
}

impl Operations for Chain {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn is_stateless(&self) -> bool {
        self.stages.iter().all(|it| matches!(it, Stage::Step(_)))
    }

    fn start(&self) -> Box<dyn RunningOperations> {
        let pool: Arc<dyn MemoryPool> = engine::greedy(self.memory_bytes_max);
        let stages = self.stages.iter().map(|stage| match stage {
            Stage::Step(step) => RunningStage::Step(step.clone()),
            Stage::Whole(whole) => RunningStage::Whole(whole.start(&pool)),
        });
        Box::new(RunningChain { input: Arc::clone(&self.input), stages: stages.collect() })
    }
}

enum RunningStage {
    Step(Step),
    Whole(whole::Running),
}

struct RunningChain {
    input: SchemaRef,
    stages: Vec<RunningStage>,
}

impl RunningChain {
    /// Takes a batch through the stages from one on; none comes out where a stage keeps it.
    async fn through(
        stages: &mut [RunningStage],
        mut batch: RecordBatch,
    ) -> Result<Option<RecordBatch>, ConnectorError> {
        for stage in stages {
            if batch.num_rows() == 0 {
                return Ok(None);
            }
            match stage {
                RunningStage::Step(step) => batch = step.apply(&batch)?,
                RunningStage::Whole(running) => {
                    running.push(batch).await?;
                    return Ok(None);
                }
            }
        }
        Ok((batch.num_rows() > 0).then_some(batch))
    }
}

#[async_trait]
impl RunningOperations for RunningChain {
    async fn push(&mut self, batch: RecordBatch) -> Result<Vec<RecordBatch>, ConnectorError> {
        let found = batch.schema();
        let planned = self.input.fields().iter().map(|it| (it.name(), it.data_type()));
        if !planned.eq(found.fields().iter().map(|it| (it.name(), it.data_type()))) {
            return Err(ConnectorError::new(
                rapidbyte_core::ErrorCategory::Schema,
                "schema_changed",
                "a batch has other columns than the stream for which its operations were planned",
            ));
        }
        Ok(Self::through(&mut self.stages, batch).await?.into_iter().collect())
    }

    async fn finish(&mut self) -> Result<Vec<RecordBatch>, ConnectorError> {
        let mut results = Vec::new();
        for at in 0..self.stages.len() {
            let (passed, behind) = self.stages.split_at_mut(at + 1);
            if let Some(RunningStage::Whole(running)) = passed.last_mut() {
                // Nothing can have passed a query over the whole stream before it has ended.
                for batch in running.finish().await? {
                    results.extend(Self::through(behind, batch).await?);
                }
            }
        }
        Ok(results)
    }
}
