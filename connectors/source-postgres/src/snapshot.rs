//! The one moment a stream is read at: opening the snapshot, planning in it, and refusing what would be lost in the
//! plan's order.

use rapidbyte_postgres::Session;
use rapidbyte_sdk::prelude::*;
use tokio_postgres::types::Type;

use crate::catalog::{self, Column, Relation};
use crate::config::Config;
use crate::plan::{self, Order, Plan};
use crate::position::Position;
use crate::query;

/// Opens the snapshot and plans the read in it.
pub(crate) async fn open(
    session: &Session,
    config: &Config,
    request: &RunRequest,
) -> Result<(Relation, Plan), ConnectorError> {
    let stream = request.stream()?;
    session.execute("starting a snapshot", query::BEGIN).await?;
    let relation = catalog::find(session, config, &stream.name).await?;
    let table_bytes = table_bytes(session, &relation).await?;
    let plan = plan::plan(&relation, stream, config.full_refresh_order, table_bytes)?;
    if !request.dry_run {
        refuse_nulls(session, &relation, &plan, &stream.name).await?;
    }
    Ok((relation, plan))
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
    let position = plan.position.as_ref();
    if ties.is_empty() {
        let remedy =
            "give the stream a `tie_breaker` (or the table a primary key), or filter them out in a view";
        return refuse_null(session, relation, cursor, None, stream, remedy).await;
    }
    for tie in ties {
        let tie = plan.column(relation, *tie);
        let remedy = "choose a `tie_breaker` that always has a value";
        refuse_null(session, relation, tie, Some((cursor, position)), stream, remedy).await?;
    }
    Ok(())
}

async fn refuse_null(
    session: &Session,
    relation: &Relation,
    column: &Column,
    cursor: Option<(&Column, Option<&Position>)>,
    stream: &str,
    remedy: &str,
) -> Result<(), ConnectorError> {
    if column.not_null {
        return Ok(());
    }
    let rows = catalog::query(session, &query::count_nulls(relation, column, cursor), &[]).await?;
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
