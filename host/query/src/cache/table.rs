//! A cached stream as a table: its files read side by side, each with the columns and types of the newest.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute::cast_with_options;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::DataFusionError;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::CacheError;
use super::manifest::{DataFile, Manifest, io};
use crate::limits::{QUERY_PARTITIONS_MAX, ROWS_PER_BATCH};
use crate::steps::STRICT;

/// The place of a row among all that were cached: what came later is greater. Only views of ours read it.
pub(crate) const ORDER: &str = "__rapidbyte_order";
/// Rows that the order leaves room for in a file; a file ends at a checkpoint, which is a million rows by default.
const ORDER_ROW_BITS: u32 = 36;

#[derive(Clone)]
struct CachedFile {
    path: PathBuf,
    number: u64,
    metadata: ArrowReaderMetadata,
}

pub(crate) struct CachedTable {
    /// Columns of the stream, and the order behind them.
    schema: SchemaRef,
    files: Vec<CachedFile>,
}

impl fmt::Debug for CachedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CachedTable({} files)", self.files.len())
    }
}

impl CachedTable {
    pub fn open(folder: &Path, manifest: &Manifest) -> Result<Self, CacheError> {
        let open = |file: &DataFile| {
            let path = file.path(folder);
            let reader = File::open(&path).map_err(io(&path))?;
            let metadata = ArrowReaderMetadata::load(&reader, ArrowReaderOptions::new())
                .map_err(|error| CacheError::Damaged { path: path.clone(), message: error.to_string() })?;
            Ok(CachedFile { path, number: file.number, metadata })
        };
        let files = manifest.files.iter().map(open).collect::<Result<Vec<_>, CacheError>>()?;
        let schema = Arc::new(merged(&files));
        Ok(CachedTable { schema, files })
    }

    /// The columns of the stream.
    pub fn columns(&self) -> impl Iterator<Item = &Field> {
        self.schema.fields().iter().map(Arc::as_ref).filter(|it| it.name() != ORDER)
    }
}

/// Every column that a file has, as the newest file that has it; NULL where a file does not.
fn merged(files: &[CachedFile]) -> Schema {
    let mut fields: Vec<Field> = Vec::new();
    for file in files.iter().rev() {
        for field in file.metadata.schema().fields() {
            if !fields.iter().any(|it| it.name() == field.name()) {
                fields.push(field.as_ref().clone());
            }
        }
    }
    for field in &mut fields {
        let everywhere = files.iter().all(|file| {
            file.metadata.schema().field_with_name(field.name()).is_ok_and(|it| !it.is_nullable())
        });
        *field = field.clone().with_nullable(!everywhere);
    }
    fields.push(Field::new(ORDER, DataType::Int64, false));
    Schema::new(fields)
}

#[async_trait]
impl TableProvider for CachedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let parts = self.files.len().clamp(1, QUERY_PARTITIONS_MAX);
        let mut groups = vec![Vec::new(); parts];
        for (at, file) in self.files.iter().enumerate() {
            groups[at % parts].push(file.clone());
        }
        let partitions = groups.into_iter().map(|files| {
            Arc::new(Files { schema: Arc::clone(&schema), files, limit }) as Arc<dyn PartitionStream>
        });
        let plan =
            StreamingTableExec::try_new(Arc::clone(&schema), partitions.collect(), None, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// Files that are read one after the other.
struct Files {
    schema: SchemaRef,
    files: Vec<CachedFile>,
    limit: Option<usize>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Files({})", self.files.len())
    }
}

impl PartitionStream for Files {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 2);
        let sender = builder.tx();
        let (schema, files, limit) = (Arc::clone(&self.schema), self.files.clone(), self.limit);
        builder.spawn_blocking(move || {
            for file in &files {
                for batch in read(file, &schema, limit)? {
                    // Nobody wants more.
                    if sender.blocking_send(batch).is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        });
        builder.build()
    }
}

fn read(
    file: &CachedFile,
    schema: &SchemaRef,
    limit: Option<usize>,
) -> Result<impl Iterator<Item = Result<RecordBatch, DataFusionError>>, DataFusionError> {
    let wanted: Vec<usize> =
        schema.fields().iter().filter_map(|it| file.metadata.schema().index_of(it.name()).ok()).collect();
    let mask = ProjectionMask::roots(file.metadata.parquet_schema(), wanted);
    let mut builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(File::open(&file.path)?, file.metadata.clone())
            .with_projection(mask)
            .with_batch_size(ROWS_PER_BATCH);
    if let Some(limit) = limit {
        builder = builder.with_limit(limit);
    }
    let damaged = |message: String| DataFusionError::Execution(message);
    let path = file.path.display().to_string();
    let reader =
        builder.build().map_err(|error| damaged(format!("the cached file `{path}` is damaged: {error}")))?;
    let first = (file.number << ORDER_ROW_BITS) as i64;
    let schema = Arc::clone(schema);
    let mut before = 0i64;
    Ok(reader.map(move |batch| {
        let batch =
            batch.map_err(|error| damaged(format!("the cached file `{path}` is damaged: {error}")))?;
        let rows = batch.num_rows();
        let from = first + before;
        before += rows as i64;
        let columns = schema.fields().iter().map(|field| column(&batch, field, from));
        let columns = columns.collect::<Result<Vec<_>, DataFusionError>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &rows)?)
    }))
}

fn column(batch: &RecordBatch, field: &Field, from: i64) -> Result<ArrayRef, DataFusionError> {
    let rows = batch.num_rows();
    if field.name() == ORDER {
        return Ok(Arc::new(Int64Array::from_iter_values(from..from + rows as i64)));
    }
    match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        Some(column) => cast_with_options(column, field.data_type(), &STRICT).map_err(|error| {
            DataFusionError::Execution(format!("column `{}` had another type before: {error}", field.name()))
        }),
        None => Ok(new_null_array(field.data_type(), rows)),
    }
}
