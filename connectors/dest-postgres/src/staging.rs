//! The table that a replace fills: made like the old one, kept while the reading lasts, dropped when another begins. One
//! session fills it, or as many as the stream has partitions; these agree under a lock.

use std::time::Duration;

use rapidbyte_postgres::Session;
use rapidbyte_postgres::identifier::{QualifiedName, quote_literal};
use rapidbyte_sdk::prelude::*;
use tokio_postgres::types::Type;

use crate::catalog::{self, Table, get, query};
use crate::column::Column;
use crate::evolve::{self, Plan};
use crate::names::Task;
use crate::prepare::create_table;
use crate::receipt;
use crate::replace::unique_indexes_sql;

/// Whether the staging table is made in the image of the old one: of one's own table, that is, but not of one with an
/// identity column, which is never exchanged and would be copied without what fills that column.
fn is_like(table: &Table) -> bool {
    table.owned && table.kind == "r" && !table.columns.iter().any(|column| column.identity)
}

/// SQL that creates the staging table. The old table is the model, with its defaults and checks, altered as `plan` says.
/// Its indexes are built when all rows are in; the unique ones at once if `refuses`, so that a row is refused when it comes.
pub async fn create_sql(
    session: &Session,
    task: &Task,
    table: Option<&Table>,
    plan: &Plan,
    refuses: bool,
) -> Result<String, ConnectorError> {
    let staging = task.staging();
    let create = match table {
        Some(table) if is_like(table) => {
            let alter = plan.alter_sql(&staging).map_or_else(String::new, |sql| format!("; {sql}"));
            let unique =
                if refuses { unique_indexes_sql(session, task, table).await? } else { String::new() };
            format!("{}{alter}{unique}", like_sql(&staging, &task.table))
        }
        _ => create_table(&staging, &plan.columns, &[]),
    };
    let comment = format!(
        "Rapidbyte: pipeline {}, stream {}: not finished replacing {}",
        task.pipeline, task.stream, task.table
    );
    Ok(format!("{create}; COMMENT ON TABLE {staging} IS {}", quote_literal(&comment)))
}

pub fn like_sql(copy: &QualifiedName, table: &QualifiedName) -> String {
    format!("CREATE TABLE {copy} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)")
}

/// Staging tables of the stream, of this reading and of earlier ones.
async fn all(session: &Session, task: &Task) -> Result<Vec<QualifiedName>, ConnectorError> {
    let (schema, family) = (&task.table.schema, task.staging_family());
    let rows = query(
        session,
        "looking for staging tables",
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relkind = 'r' AND (c.relname = $2 OR starts_with(c.relname::text, $2 || '_'))",
        &[(schema, Type::TEXT), (&family, Type::TEXT)],
    )
    .await?;
    rows.iter().map(|row| Ok(QualifiedName::new(schema, get::<String>(row, 0)?))).collect()
}

/// Whether a reading of the stream, this or an earlier one, has staged anything.
pub async fn any(session: &Session, task: &Task) -> Result<bool, ConnectorError> {
    Ok(!all(session, task).await?.is_empty())
}

/// Whether this reading's table is there.
pub async fn exists(session: &Session, task: &Task) -> Result<bool, ConnectorError> {
    catalog::relation_exists(session, &task.staging()).await
}

/// Drops what any reading has staged.
pub async fn drop_all(session: &Session, task: &Task) -> Result<(), ConnectorError> {
    for staging in all(session, task).await? {
        let sql = format!("DROP TABLE IF EXISTS {staging}");
        session.execute("dropping what is staged", &sql).await?;
    }
    Ok(())
}

/// Makes the table that the partitions of this reading share, unless one of them has. Committed at once: the others do
/// not wait until the first has read its part.
pub async fn share(
    session: &Session,
    task: &Task,
    create_sql: &str,
    wait: Duration,
) -> Result<(), ConnectorError> {
    let doing = "agreeing on the staging table";
    // A session of an earlier reading may still be at what it has staged.
    let lock = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {}; \
         SELECT pg_advisory_xact_lock({})",
        wait.as_millis(),
        task.staging_lock_key()
    );
    session.execute(doing, &lock).await?;
    if !exists(session, task).await? {
        if receipt::of_reading(session, task).await?.partitions > 0 {
            return Err(lost(task));
        }
        drop_all(session, task).await?;
        session.execute("creating the staging table", create_sql).await?;
    }
    session.execute(doing, "COMMIT").await
}

/// Within the open transaction and behind the receipt of a partition's last checkpoint: whether all others have theirs, so
/// that the staged rows are the whole stream. Only one session finds that.
pub async fn is_whole(session: &Session, task: &Task) -> Result<bool, ConnectorError> {
    Ok(receipt::of_reading(session, task).await?.complete == i64::from(task.partitions))
}

/// Makes sessions that finish a partition do so one after the other, until the open transaction ends. Taken before the
/// receipt is written: whoever comes second sees the first one's.
pub async fn take_turns(session: &Session, task: &Task) -> Result<(), ConnectorError> {
    let sql = format!("SELECT pg_advisory_xact_lock({})", task.staging_lock_key());
    session.execute("waiting for the other partitions to commit", &sql).await
}

/// What should be staged is not there.
pub fn lost(task: &Task) -> ConnectorError {
    ConnectorError::schema(
        "staging_lost",
        format!(
            "stream `{}` is to continue an unfinished replace of {}, but what was staged for it is not in this database; \
             start the stream over with `rapidbyte state reset`",
            task.stream, task.table
        ),
    )
}

/// How rows of this stream go into the staging table that is there already.
pub async fn fit(
    session: &Session,
    task: &Task,
    stream: &[Column],
    policies: &Policies,
) -> Result<Vec<Column>, ConnectorError> {
    let staging = task.staging();
    let what = format!("table {staging}, which an unfinished replace left,");
    let Some(table) = catalog::table(session, &staging).await? else {
        return Err(lost(task));
    };
    let plan = evolve::plan(stream, &[], &table, policies, &what)?;
    if let Some(refusal) = plan.refusal(&what) {
        return Err(refusal);
    }
    if plan.alter_sql(&staging).is_some() {
        return Err(ConnectorError::schema(
            "staging_outdated",
            format!(
                "{what} was made before the stream's columns changed; start the stream over with `rapidbyte state reset`"
            ),
        ));
    }
    Ok(plan.columns)
}
