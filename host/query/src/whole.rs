//! A query whose answer needs the whole stream: aggregation, order, distinct rows, windows. Runs beside the stream, bounded by
//! a memory pool, and gives everything at the end.

use std::fmt;
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::cast_with_options;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, stream};
use rapidbyte_core::ConnectorError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::{on_planning_stack, plain};
use crate::problem::{self, Problem, planning};
use crate::steps::STRICT;

/// The stream as a table that can be read once, by the run whose context carries the inlet.
struct Input {
    schema: SchemaRef,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("input")
    }
}

struct Inlet(Mutex<Option<mpsc::Receiver<RecordBatch>>>);

impl PartitionStream for Input {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let receiver = context
            .session_config()
            .get_extension::<Inlet>()
            .and_then(|inlet| inlet.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        let schema = Arc::clone(&self.schema);
        let batches = match receiver {
            Some(receiver) => stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|batch| (Ok(batch), receiver))
            })
            .left_stream(),
            None => {
                let twice = DataFusionError::Plan("the stream would be read twice".to_owned());
                stream::once(async move { Err(twice) }).right_stream()
            }
        };
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

/// The stream as DataFusion's catalog has it.
pub(crate) fn input_table(schema: &SchemaRef) -> Result<StreamingTable, Problem> {
    let partition = Arc::new(Input { schema: Arc::clone(schema) });
    StreamingTable::try_new(Arc::clone(schema), vec![partition]).map_err(|error| planning(&error))
}

/// A planned query over a whole stream.
#[derive(Clone)]
pub(crate) struct Whole {
    what: String,
    state: SessionState,
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl Whole {
    /// Plans to the end, so that what DataFusion cannot do is said before anything moves.
    pub fn plan(what: String, state: SessionState, plan: LogicalPlan) -> Result<Whole, Problem> {
        let physical = physical(&state, &plan).map_err(|error| planning(&error))?;
        let found = physical.schema();
        let fields = found.fields().iter().map(|field| {
            let data_type = plain(field.data_type());
            if data_type == *field.data_type() {
                return Arc::clone(field);
            }
            Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
        });
        let schema =
            Arc::new(Schema::new(fields.collect::<Vec<_>>()).with_metadata(found.metadata().clone()));
        Ok(Whole { what, state, plan, schema })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn start(&self, pool: &Arc<dyn MemoryPool>) -> Running {
        let (sender, receiver) = mpsc::channel(1);
        let task = tokio::spawn(run(self.clone(), Arc::clone(pool), receiver));
        Running { sender: Some(sender), task: Some(task), result: None }
    }
}

/// Built anew for every run: plans remember what they have seen.
fn physical(state: &SessionState, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let planned = on_planning_stack(|| futures::executor::block_on(state.create_physical_plan(plan)));
    planned.unwrap_or_else(|problem| Err(DataFusionError::Internal(problem.message)))
}

async fn run(
    whole: Whole,
    pool: Arc<dyn MemoryPool>,
    receiver: mpsc::Receiver<RecordBatch>,
) -> Result<Vec<RecordBatch>, ConnectorError> {
    let Whole { what, state, plan, schema } = whole;
    let failed = |error: DataFusionError| {
        let mut error = problem::evaluation(&what, &error);
        // What it has seen is gone: no part of a batch can be tried again.
        error.scope = rapidbyte_core::ErrorScope::PerStream;
        error
    };
    let inlet = Inlet(Mutex::new(Some(receiver)));
    let config = state.config().clone().with_extension(Arc::new(inlet));
    let runtime =
        datafusion::execution::runtime_env::RuntimeEnvBuilder::from_runtime_env(state.runtime_env())
            .with_memory_pool(Arc::clone(&pool))
            .build_arc()
            .map_err(failed)?;
    let context = TaskContext::from(&state).with_session_config(config).with_runtime(runtime);
    let kept = MemoryConsumer::new("results").register(&pool);
    let plan = physical(&state, &plan).map_err(failed)?;
    let mut batches = datafusion::physical_plan::execute_stream(plan, Arc::new(context)).map_err(failed)?;
    let mut results = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(failed)?;
        if batch.num_rows() == 0 {
            continue;
        }
        kept.try_grow(batch.get_array_memory_size()).map_err(failed)?;
        let columns = batch.columns().iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| cast_with_options(column, field.data_type(), &STRICT));
        let columns =
            columns.collect::<Result<Vec<_>, _>>().map_err(|error| problem::arrow(&what, &error))?;
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)
            .map_err(|error| problem::internal(&what, &error.to_string()))?;
        results.push(batch);
    }
    Ok(results)
}

/// A query that takes batches.
pub(crate) struct Running {
    sender: Option<mpsc::Sender<RecordBatch>>,
    task: Option<JoinHandle<Result<Vec<RecordBatch>, ConnectorError>>>,
    result: Option<Result<Vec<RecordBatch>, ConnectorError>>,
}

impl Running {
    pub async fn push(&mut self, batch: RecordBatch) -> Result<(), ConnectorError> {
        if let Some(sender) = &self.sender
            && sender.send(batch).await.is_ok()
        {
            return Ok(());
        }
        // The query takes no more: it has failed, or has all that it wants.
        match self.join().await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.clone()),
        }
    }

    pub async fn finish(&mut self) -> Result<Vec<RecordBatch>, ConnectorError> {
        self.join().await.clone()
    }

    async fn join(&mut self) -> &Result<Vec<RecordBatch>, ConnectorError> {
        self.sender = None;
        if let Some(task) = &mut self.task {
            let ended = task.await.unwrap_or_else(|error| Err(problem::internal("sql", &error.to_string())));
            self.task = None;
            self.result = Some(ended);
        }
        self.result.get_or_insert_with(|| Ok(Vec::new()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
