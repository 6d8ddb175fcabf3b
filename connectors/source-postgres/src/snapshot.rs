//! The one moment a stream is read at: opening the snapshot, planning in it, and refusing what would be lost in the
//! plan's order.

use rapidbyte_postgres::Session;
use rapidbyte_sdk::prelude::*;
use tokio_postgres::types::Type;

use crate::catalog::{self, Column, Relation};
use crate::config::Config;
use crate::filter;
use crate::plan::{self, Order, Plan};
use crate::query;

/// Opens the snapshot, or the one that the stream names, and plans the read in it.
pub(crate) async fn open(
    session: &Session,
    config: &Config,
    request: &RunRequest,
) -> Result<(Relation, Plan), ConnectorError> {
    let stream = request.stream()?;
    begin(session, stream).await?;
    let relation = catalog::find(session, config, &stream.name).await?;
    let table_bytes = table_bytes(session, &relation).await?;
    let plan = plan::plan(&relation, stream, config.full_refresh_order, table_bytes)?;
    if plan.filter.is_some() {
        probe(session, &relation, &stream.name, plan.filter.as_deref()).await?;
    }
    if !request.dry_run {
        refuse_nulls(session, &relation, &plan, &stream.name).await?;
    }
    Ok((relation, plan))
}

async fn begin(session: &Session, stream: &StreamContext) -> Result<(), ConnectorError> {
    session.execute("starting a snapshot", query::BEGIN).await?;
    let Some(snapshot) = &stream.snapshot else { return Ok(()) };
    let imported = session.client().batch_execute(&query::import(snapshot)).await;
    imported.map_err(|error| {
        let gone = error.as_db_error().is_some_and(|error| {
            // No such snapshot (older and newer servers' words for it), and its holder has just gone.
            matches!(error.code().code(), "22023" | "42704" | "55000")
        });
        if !gone {
            return session.error("taking over a snapshot", &error);
        }
        ConnectorError::transient_db(
            "snapshot_gone",
            format!(
                "stream `{}`: {} no longer holds the snapshot `{snapshot}`: the session that opened it has ended",
                stream.name,
                session.endpoint()
            ),
        )
    })
}

/// Has the server parse and plan the predicate, and lock the relation.
pub(crate) async fn probe(
    session: &Session,
    relation: &Relation,
    stream: &str,
    predicate: Option<&str>,
) -> Result<(), ConnectorError> {
    let probed = session.client().batch_execute(&query::probe(relation, predicate)).await;
    probed.map_err(|error| filter::server_error(session, stream, predicate, &error))
}

/// Does all but read: the server parses and plans the query.
pub(crate) async fn dry_run(
    session: &Session,
    relation: &Relation,
    plan: &Plan,
) -> Result<(), ConnectorError> {
    for part in plan.parts(relation) {
        let sql = query::select(relation, plan, *part, plan.position.as_ref(), Some(0));
        session.execute("preparing the query", &sql).await?;
    }
    close(session).await
}

/// Size of the table with what it keeps out of line, by its files: right even where it was never analysed.
async fn table_bytes(session: &Session, relation: &Relation) -> Result<u64, ConnectorError> {
    let sql = "SELECT coalesce(sum(pg_catalog.pg_table_size(relid)), pg_catalog.pg_table_size($1), 0)::int8 \
        FROM pg_catalog.pg_partition_tree($1)";
    let rows = catalog::query(session, sql, &[(&relation.oid, Type::OID)]).await?;
    let bytes: Option<i64> = rows.first().map(|row| catalog::get(session, row, 0)).transpose()?.flatten();
    Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
}

/// Records that an order can't place would be lost: those without a cursor where there is no tie-breaker to order
/// them by, and those without a tie-breaker.
async fn refuse_nulls(
    session: &Session,
    relation: &Relation,
    plan: &Plan,
    stream: &str,
) -> Result<(), ConnectorError> {
    let Order::Cursor { cursor, ties, .. } = &plan.order else { return Ok(()) };
    let cursor = plan.column(relation, *cursor);
    if ties.is_empty() {
        let remedy =
            "give the stream a `tie_breaker` (or the table a primary key), or filter them out in a view";
        return refuse_null(session, relation, plan, (cursor, None), stream, remedy).await;
    }
    for tie in ties {
        let tie = plan.column(relation, *tie);
        let remedy = "choose a `tie_breaker` that always has a value";
        refuse_null(session, relation, plan, (tie, Some(cursor)), stream, remedy).await?;
    }
    Ok(())
}

async fn refuse_null(
    session: &Session,
    relation: &Relation,
    plan: &Plan,
    (column, cursor): (&Column, Option<&Column>),
    stream: &str,
    remedy: &str,
) -> Result<(), ConnectorError> {
    if column.not_null {
        return Ok(());
    }
    let rows = catalog::query(session, &query::count_nulls(relation, plan, column, cursor), &[]).await?;
    let count: i64 = rows.first().map(|row| catalog::get(session, row, 0)).transpose()?.unwrap_or(0);
    if count == 0 {
        return Ok(());
    }
    let name = &column.name;
    Err(ConnectorError::data(
        "null_cursor",
        format!(
            "stream `{stream}`: {count} records have no value in `{name}` and would never be read: {remedy}"
        ),
    )
    .with_scope(ErrorScope::PerStream)
    .with_details(serde_json::json!({ "stream": stream, "column": name, "records": count })))
}

pub(crate) async fn close(session: &Session) -> Result<(), ConnectorError> {
    session.execute("ending the snapshot", query::END).await
}
