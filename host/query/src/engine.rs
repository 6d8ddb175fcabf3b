//! DataFusion set up the way Rapidbyte wants SQL: names as they are written, timestamps in microseconds, decimal numbers exact,
//! casts that fail instead of giving NULL, one partition, memory from a pool.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast::{self, ExprWithAlias};
use rapidbyte_core::sql_type;

use crate::limits::{PLANNING_STACK_BYTES, ROWS_PER_BATCH};
use crate::problem::{Problem, planning, sentence};

/// SQL's type names mean here what they mean everywhere in a document.
#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>, DataFusionError> {
        let name = match sql_type {
            // A precision counts digits, which is what `Timestamp(3)` says.
            ast::DataType::Timestamp(digits, zone) => match (digits, zone) {
                (None, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => "timestamptz".to_owned(),
                (None, _) => "timestamp".to_owned(),
                (Some(digits), ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => {
                    format!("timestamp({digits}, UTC)")
                }
                (Some(digits), _) => format!("timestamp({digits})"),
            },
            other => other.to_string(),
        };
        match (sql_type::parse(&name), sql_type) {
            (Ok(data_type), _) => Ok(Some(Arc::new(Field::new("", data_type, true)))),
            (
                Err(unknown),
                ast::DataType::Custom(..)
                | ast::DataType::Timestamp(..)
                | ast::DataType::Int8(_)
                | ast::DataType::Time(..),
            ) => Err(DataFusionError::Plan(format!("{}; {}", unknown.message, unknown.hint))),
            // Types with parts, which SQL writes in its own ways.
            (Err(_), _) => Ok(None),
        }
    }
}

/// Where a plan may put what does not fit its memory.
pub(crate) enum Spill {
    Never,
    To(std::path::PathBuf),
}

pub(crate) fn greedy(memory_bytes_max: u64) -> Arc<dyn MemoryPool> {
    Arc::new(GreedyMemoryPool::new(usize::try_from(memory_bytes_max).unwrap_or(usize::MAX)))
}

/// What is planned and run shares a state: its catalog, functions, and the moment that `now()` gives.
pub(crate) fn state(
    pool: Arc<dyn MemoryPool>,
    spill: Spill,
    partitions: usize,
) -> Result<SessionState, Problem> {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(ROWS_PER_BATCH)
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.enable_ident_normalization = false;
    options.execution.time_zone = Some("UTC".to_owned());
    options.sql_parser.map_string_types_to_utf8view = false;
    let disk = match spill {
        Spill::Never => DiskManagerMode::Disabled,
        Spill::To(folder) => DiskManagerMode::Directories(vec![folder]),
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
        .build_arc()
        .map_err(|error| planning(&error))?;
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_type_planner(Arc::new(Types))
        .build();
    // Whole microseconds: what timestamps have wherever they are written to.
    let now: DateTime<Utc> =
        DateTime::from_timestamp_micros(Utc::now().timestamp_micros()).unwrap_or_default();
    state.execution_props_mut().query_execution_start_time = Some(now);
    Ok(state)
}

/// Plans on a thread whose stack holds every expression within the limits, and which takes a panic of the planner with it.
pub(crate) fn on_planning_stack<T: Send>(plan: impl FnOnce() -> T + Send) -> Result<T, Problem> {
    let failed = |message: String| Problem::new("sql_internal", message);
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("sql-planning".to_owned())
            .stack_size(PLANNING_STACK_BYTES)
            .spawn_scoped(scope, plan)
            .map_err(|error| failed(format!("a thread for planning cannot be started: {error}")))?
            .join()
            .map_err(|_| failed("planning this SQL panicked, which is a defect of the SQL engine".to_owned()))
    })
}

/// An expression over the columns of a schema, ready to be evaluated.
pub(crate) fn plan_expression(
    state: &SessionState,
    expression: ast::Expr,
    schema: &DFSchema,
) -> Result<Arc<dyn PhysicalExpr>, Problem> {
    let expression = state
        .create_logical_expr_from_sql_expr(ExprWithAlias { expr: expression, alias: None }, schema)
        .map_err(|error| planning(&error))?;
    refuse_in_row(&expression)?;
    compile(state, expression, schema).map_err(|error| planning(&error))
}

/// A planned expression made ready: types coerced, constants folded, arithmetic checked.
pub(crate) fn compile(
    state: &SessionState,
    expression: Expr,
    schema: &DFSchema,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let expression = simplifier.simplify(simplifier.coerce(expression, schema)?)?;
    checked(state.create_physical_expr(expression, schema)?)
}

/// Integers that do not fit are an error, where DataFusion would let them wrap around.
fn checked(expression: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let expression = expression.transform_up(|it| {
        let Some(binary) = it.downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(it)) };
        if !matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply) {
            return Ok(Transformed::no(it));
        }
        Ok(Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true)) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(expression.data)
}

/// What an expression over one row cannot be.
pub(crate) fn refuse_in_row(expression: &Expr) -> Result<(), Problem> {
    let mut problem = None;
    let visited = expression.apply(|it| {
        problem = match it {
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) => Some(
                Problem::new("sql_aggregate", format!("`{it}` needs more than one row"))
                    .hint("aggregate with the operation `sql`: SELECT … FROM input GROUP BY …"),
            ),
            Expr::Placeholder(_) | Expr::ScalarVariable(..) => {
                Some(Problem::new("sql_unsupported", format!("`{it}` has no value here")))
            }
            it if it.is_volatile_node() => Some(volatile(it)),
            _ => None,
        };
        Ok(if problem.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (problem, visited) {
        (Some(problem), _) => Err(problem),
        (None, Err(error)) => Err(planning(&error)),
        (None, Ok(_)) => Ok(()),
    }
}

fn volatile(expression: &Expr) -> Problem {
    let name = match expression {
        Expr::ScalarFunction(function) => function.name().to_owned(),
        other => other.to_string(),
    };
    Problem::new("sql_nondeterministic", format!("`{name}` gives another value every time"))
        .hint("rows that are read again after a failure have to come out the same")
}

/// Refuses a plan that does not give the same for the same rows.
pub(crate) fn refuse_volatile(plan: &LogicalPlan) -> Result<(), Problem> {
    let mut problem = None;
    let visited = plan.apply(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|it| {
                if it.is_volatile_node() {
                    problem = Some(volatile(it));
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    match (problem, visited) {
        (Some(problem), _) => Err(problem),
        (None, Err(error)) => Err(planning(&error)),
        (None, Ok(_)) => Ok(()),
    }
}

/// Types that only the SQL engine uses inside, as the types that connectors know.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values),
        other => other.clone(),
    }
}

pub(crate) fn df_schema(schema: &datafusion::arrow::datatypes::Schema) -> Result<DFSchema, Problem> {
    DFSchema::try_from(schema.clone()).map_err(|error| {
        Problem::new("sql_invalid", format!("the stream's columns: {}", sentence(&error.message())))
    })
}
