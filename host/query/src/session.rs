//! Asking the cache: its streams as tables, read only, in bounded memory.
//!
//! A stream is a table by its name (`invoices`), by its pipeline and name where several pipelines have it
//! (`billing.invoices`), or by the last part of its name where that is enough (`users` for `public.users`).

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::ViewTable;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, Query, Statement, TableAlias, TableFactor, VisitMut, VisitorMut,
};
use futures::StreamExt;

use crate::cache::table::{CachedTable, ORDER};
use crate::cache::{self, CacheError, CacheMode};
use crate::engine::{self, Spill, on_planning_stack};
use crate::limits::QUERY_PARTITIONS_MAX;
use crate::problem::{Problem, closest, evaluation, planning, quoted};
use crate::text::{self, Recase};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The SQL is wrong.
    #[error("{message}")]
    Sql { code: &'static str, message: String, hint: Option<String> },
    /// A value met an expression that cannot take it, or memory was not enough.
    #[error("{message}")]
    Failed { code: String, message: String },
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Where the result is written to.
    #[error("the result cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

impl QueryError {
    pub fn code(&self) -> &str {
        match self {
            QueryError::Sql { code, .. } => code,
            QueryError::Failed { code, .. } => code,
            QueryError::Cache(error) => error.code(),
            QueryError::Output(_) => "output_failed",
        }
    }

    pub fn hint(&self) -> Option<&str> {
        match self {
            QueryError::Sql { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}

impl From<Problem> for QueryError {
    fn from(problem: Problem) -> Self {
        QueryError::Sql { code: problem.code, message: problem.message, hint: problem.hint }
    }
}

/// A cached stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    pub pipeline: String,
    pub stream: String,
    pub mode: CacheMode,
    /// Rows in its files; of a stream kept by key the versions of a row are counted each.
    pub records: u64,
    pub bytes: u64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

/// A column of a cached stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    pub name: String,
    /// As Arrow names it.
    pub data_type: String,
    pub nullable: bool,
}

struct Table {
    info: TableInfo,
    columns: Vec<ColumnInfo>,
    provider: Arc<dyn TableProvider>,
}

/// The cache as it is when it is opened.
pub struct QuerySession {
    state: SessionState,
    tables: Vec<(TableInfo, Vec<ColumnInfo>)>,
    /// What does not fit memory while a query runs; gone with the session.
    _spill: tempfile::TempDir,
}

impl QuerySession {
    pub fn open(folder: &Path, memory_bytes_max: u64) -> Result<QuerySession, QueryError> {
        let spill = tempfile::Builder::new().prefix("rapidbyte-query-").tempdir()?;
        let pool = FairSpillPool::new(usize::try_from(memory_bytes_max).unwrap_or(usize::MAX));
        let state = engine::state(Arc::new(pool), Spill::To(spill.path().to_owned()), QUERY_PARTITIONS_MAX)?;
        let mut tables = Vec::new();
        for (folder, manifest) in cache::find(folder)? {
            if manifest.files.is_empty() {
                continue;
            }
            let table = table(&state, &folder, manifest)?;
            register(&state, &table)?;
            tables.push((table.info, table.columns));
        }
        Ok(QuerySession { state, tables, _spill: spill })
    }

    /// Every stream that can be asked, ordered by pipeline and name.
    pub fn tables(&self) -> impl Iterator<Item = &TableInfo> {
        self.tables.iter().map(|(info, _)| info)
    }

    /// The columns of a table, named as in a query.
    pub fn describe(&self, name: &str) -> Result<(&TableInfo, &[ColumnInfo]), QueryError> {
        let (info, columns) = &self.tables[self.resolve(name)?];
        Ok((info, columns))
    }

    /// Runs one `SELECT`.
    pub async fn query(&self, sql: &str) -> Result<Rows, QueryError> {
        let plan = on_planning_stack(|| -> Result<_, Problem> {
            let query = self.prepared(sql)?;
            let statement = DfStatement::Statement(Box::new(Statement::Query(Box::new(query))));
            let planned = async {
                let plan = self.state.statement_to_plan(statement).await?;
                self.state.create_physical_plan(&plan).await
            };
            futures::executor::block_on(planned).map_err(|error| planning(&error))
        })??;
        let stream =
            datafusion::physical_plan::execute_stream(plan, self.state.task_ctx()).map_err(failed)?;
        Ok(Rows { stream })
    }

    fn prepared(&self, sql: &str) -> Result<Query, Problem> {
        let mut query = text::query(sql)?;
        let mut tables = Tables { session: self, within: Vec::new(), used: Vec::new() };
        if let ControlFlow::Break(problem) = query.visit(&mut tables) {
            return Err(problem);
        }
        let columns = tables.used.iter().flat_map(|at| &self.tables[*at].1);
        let mut columns: Vec<String> = columns.map(|it| it.name.clone()).collect();
        columns.sort();
        columns.dedup();
        let ControlFlow::Continue(()) = query.visit(&mut Recase { columns: &columns });
        Ok(query)
    }

    fn resolve(&self, name: &str) -> Result<usize, Problem> {
        let full = |info: &TableInfo| format!("{}.{}", info.pipeline, info.stream);
        let infos = || self.tables.iter().map(|(info, _)| info).enumerate();
        let ways: [&dyn Fn(&TableInfo) -> bool; 5] = [
            &|it| full(it) == name,
            &|it| it.stream == name,
            &|it| full(it).eq_ignore_ascii_case(name),
            &|it| it.stream.eq_ignore_ascii_case(name),
            &|it| it.stream.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case(name)),
        ];
        for way in ways {
            let found: Vec<(usize, &TableInfo)> = infos().filter(|(_, it)| way(it)).collect();
            match found.as_slice() {
                [] => {}
                [(at, _)] => return Ok(*at),
                several => {
                    let names: Vec<String> = several.iter().map(|(_, it)| full(it)).collect();
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    return Err(Problem::new("ambiguous_table", format!("`{name}` could be several tables"))
                        .hint(format!("write one of {}", quoted(&names))));
                }
            }
        }
        let problem = Problem::new("unknown_table", format!("there is no table `{name}` in the cache"));
        let known: Vec<String> = infos().flat_map(|(_, it)| [it.stream.clone(), full(it)]).collect();
        Err(match closest(name, known.iter().map(String::as_str)) {
            Some(close) => problem.hint(format!("did you mean `{close}`?")),
            None if known.is_empty() => {
                problem.hint("a stream is cached by a pipeline with `cache: { enabled: true }`")
            }
            None => {
                let known: Vec<&str> =
                    self.tables.iter().map(|(it, _)| it.stream.as_str()).take(20).collect();
                problem.hint(format!("the tables are {}", quoted(&known)))
            }
        })
    }
}

fn failed(error: DataFusionError) -> QueryError {
    let error = evaluation("query", &error);
    if error.code == "out_of_memory" {
        let message =
            "the query needs more memory than it may use; give it more, or ask for fewer rows at once";
        return QueryError::Failed { code: error.code, message: message.to_owned() };
    }
    QueryError::Failed { code: error.code, message: error.message }
}

fn table(state: &SessionState, folder: &Path, manifest: cache::Manifest) -> Result<Table, QueryError> {
    let cached = CachedTable::open(folder, &manifest)?;
    let columns = cached.columns().map(|it| ColumnInfo {
        name: it.name().clone(),
        data_type: it.data_type().to_string(),
        nullable: it.is_nullable(),
    });
    let columns: Vec<ColumnInfo> = columns.collect();
    let key = match &manifest.mode {
        CacheMode::Upsert { key } => key.as_slice(),
        CacheMode::Append | CacheMode::Replace => &[],
    };
    let provider = view(state, Arc::new(cached), &columns, key)?;
    let info = TableInfo {
        records: manifest.files.iter().map(|it| it.records).sum(),
        bytes: manifest.files.iter().map(|it| it.bytes).sum(),
        pipeline: manifest.pipeline,
        stream: manifest.stream,
        mode: manifest.mode,
        updated_at: manifest.updated_at,
    };
    Ok(Table { info, columns, provider })
}

const SCRATCH: &str = "__rapidbyte_cached";

/// The columns of the stream, and with a key the newest row of each.
fn view(
    state: &SessionState,
    cached: Arc<CachedTable>,
    columns: &[ColumnInfo],
    key: &[String],
) -> Result<Arc<dyn TableProvider>, Problem> {
    let name = |it: &str| format!("\"{}\"", it.replace('"', "\"\""));
    let list = |names: &mut dyn Iterator<Item = &str>| names.map(name).collect::<Vec<_>>().join(", ");
    let all = list(&mut columns.iter().map(|it| it.name.as_str()));
    let sql = if key.is_empty() {
        format!("SELECT {all} FROM {SCRATCH}")
    } else {
        let key = list(&mut key.iter().map(String::as_str));
        format!(
            "SELECT {all} FROM (SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {ORDER} DESC) AS __rapidbyte_nth \
             FROM {SCRATCH}) AS versions WHERE __rapidbyte_nth = 1"
        )
    };
    on_planning_stack(|| {
        let query = text::query(&sql)?;
        let schema = state.schema_for_ref(SCRATCH).map_err(|error| planning(&error))?;
        schema.register_table(SCRATCH.to_owned(), cached).map_err(|error| planning(&error))?;
        let statement = DfStatement::Statement(Box::new(Statement::Query(Box::new(query))));
        let plan = futures::executor::block_on(state.statement_to_plan(statement))
            .map_err(|error| planning(&error))?;
        schema.deregister_table(SCRATCH).map_err(|error| planning(&error))?;
        Ok(Arc::new(ViewTable::new(plan, None)) as Arc<dyn TableProvider>)
    })?
}

fn register(state: &SessionState, table: &Table) -> Result<(), Problem> {
    let wrong = |error: DataFusionError| planning(&error);
    let catalog_name = &state.config_options().catalog.default_catalog;
    let catalog = state
        .catalog_list()
        .catalog(catalog_name)
        .ok_or_else(|| Problem::new("sql_internal", "there is no catalog"))?;
    let schema = match catalog.schema(&table.info.pipeline) {
        Some(schema) => schema,
        None => {
            let schema: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
            catalog.register_schema(&table.info.pipeline, Arc::clone(&schema)).map_err(wrong)?;
            schema
        }
    };
    schema.register_table(table.info.stream.clone(), Arc::clone(&table.provider)).map_err(wrong)?;
    Ok(())
}

/// Turns every table of a query into one of the cache, and refuses whatever else can be read from.
struct Tables<'a> {
    session: &'a QuerySession,
    /// Names of `WITH` that hold here.
    within: Vec<String>,
    used: Vec<usize>,
}

impl Tables<'_> {
    fn resolve(&mut self, factor: &mut TableFactor) -> Result<(), Problem> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let parts: Option<Vec<Ident>> = name.0.iter().map(|it| it.as_ident().cloned()).collect();
                let parts =
                    parts.ok_or_else(|| Problem::new("sql_table", format!("`{name}` is no table")))?;
                let written = parts.iter().map(|it| it.value.as_str()).collect::<Vec<_>>().join(".");
                if parts.len() == 1 && self.within.contains(&written) {
                    return Ok(());
                }
                let at = self.session.resolve(&written)?;
                let info = &self.session.tables[at].0;
                self.used.push(at);
                let quote = |it: &str| ObjectNamePart::Identifier(Ident::with_quote('"', it));
                *name = ObjectName(vec![quote(&info.pipeline), quote(&info.stream)]);
                if alias.is_none()
                    && let Some(called) = parts.last()
                {
                    // Columns are named by what the query calls the table.
                    *alias = Some(TableAlias {
                        explicit: true,
                        name: Ident::with_quote('"', &called.value),
                        columns: Vec::new(),
                        at: None,
                    });
                }
                Ok(())
            }
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } | TableFactor::UNNEST { .. } => {
                Ok(())
            }
            other => Err(Problem::new("sql_table", format!("`{other}` is no table of the cache"))),
        }
    }
}

impl VisitorMut for Tables<'_> {
    type Break = Problem;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Problem> {
        if let Some(with) = &query.with {
            self.within.extend(with.cte_tables.iter().map(|it| it.alias.name.value.clone()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Problem> {
        match self.resolve(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(problem) => ControlFlow::Break(problem),
        }
    }
}

/// The answer to a question, batch by batch.
pub struct Rows {
    stream: SendableRecordBatchStream,
}

impl Rows {
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    pub async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        self.stream.next().await.map(|batch| batch.map_err(failed))
    }
}
