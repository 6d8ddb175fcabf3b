//! SQL in the host as the engine sees it: operations over the batches of a stream and rules over its columns, planned once
//! and run batch by batch. Adapters implement the port (`query`).
//!
//! Refuses to know: how SQL is parsed and planned, what happens with a violation, and where in a document an operation stands.

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::ConnectorError;

/// One host transform, as the document writes it. Expressions are SQL over the columns that the operation before it gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    /// The column keeps its place, type and metadata.
    RenameColumn {
        from: String,
        to: String,
    },
    /// The column comes last.
    AddColumn {
        name: String,
        expression: String,
    },
    /// `to` is the name of a type as Arrow or SQL writes it: `Timestamp`, `Utf8`, `Int64`, `DECIMAL(18,2)`.
    CastColumn {
        column: String,
        to: String,
    },
    DropColumns {
        columns: Vec<String>,
    },
    /// Keeps the rows for which the predicate is true.
    Filter {
        predicate: String,
    },
    /// `SELECT … FROM input`
    Sql {
        query: String,
    },
}

/// A check that every value of a column has to hold: SQL over `value`. True or NULL holds, false is a violation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub column: String,
    pub check: String,
}

/// Why operations or rules cannot be planned over a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlProblem {
    /// Place of the operation (rule) in the list.
    pub index: usize,
    /// The key in it that is wrong: `expression`, `predicate`, `query`, `check`, `column`, `columns`, `from`, `name`, `to`.
    pub key: Option<&'static str>,
    pub code: &'static str,
    pub message: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
}

/// Plans SQL over the schema of a stream. Called once a stream, never per batch.
pub trait SqlPlanner: Send + Sync {
    /// `memory_bytes_max` bounds what operations that cannot answer batch by batch may keep, for all of them together.
    fn operations(
        &self,
        input: &SchemaRef,
        operations: &[Operation],
        memory_bytes_max: u64,
    ) -> Result<Arc<dyn Operations>, SqlProblem>;

    fn rules(&self, input: &SchemaRef, rules: &[Rule]) -> Result<Arc<dyn Rules>, SqlProblem>;
}

/// Planned operations of one stream.
pub trait Operations: Send + Sync {
    /// What comes out. Columns that no operation computes keep their fields as they are, extension types and metadata
    /// included.
    fn schema(&self) -> SchemaRef;

    /// Whether each batch gives its rows on its own. An aggregation does not: it gives all at the end.
    fn is_stateless(&self) -> bool;

    fn start(&self) -> Box<dyn RunningOperations>;
}

/// One run of planned operations over a stream.
#[async_trait]
pub trait RunningOperations: Send {
    /// What the batch gives by now, empty batches left out. A value that does not fit is an error of category data, after
    /// which stateless operations can be pushed parts of the same batch.
    async fn push(&mut self, batch: RecordBatch) -> Result<Vec<RecordBatch>, ConnectorError>;

    /// What is left when the stream has ended.
    async fn finish(&mut self) -> Result<Vec<RecordBatch>, ConnectorError>;
}

/// Planned rules of one stream.
pub trait Rules: Send + Sync {
    /// One mask a rule, without nulls: true where the row violates it.
    fn violations(&self, batch: &RecordBatch) -> Result<Vec<BooleanArray>, ConnectorError>;
}
