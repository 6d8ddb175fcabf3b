//! A table that others may write and alter at the same time: noticed by its shape, altered as planned under a lock that is
//! waited for in short turns, and told in the log.

use std::time::Duration;

use rapidbyte_postgres::Session;
use rapidbyte_postgres::identifier::{QualifiedName, quote_literal};
use rapidbyte_sdk::prelude::*;
use tokio_postgres::SimpleQueryMessage;

use crate::catalog::{self, scalar};
use crate::column::Column;
use crate::evolve::{self, Change};
use crate::names::Task;
use crate::replace::lock_exclusively;

/// Tells changes, one line each.
pub fn log<'a>(ctx: &Context, table: &QualifiedName, changes: impl Iterator<Item = &'a Change>) {
    for change in changes {
        let axis = change.axis.to_string();
        let sql = change.alteration.as_ref().map(|alteration| format!("ALTER TABLE {table} {alteration}"));
        let mut fields: Vec<(&str, FieldValue)> = vec![
            ("event", "schema_change".into()),
            ("axis", axis.as_str().into()),
            ("table", table.name.as_str().into()),
            ("column", change.column.as_str().into()),
            ("action", change.action.as_str().into()),
        ];
        let optional =
            [("from", &change.from), ("to", &change.to), ("sql", &sql), ("reason", &change.reason)];
        for (name, value) in optional {
            if let Some(value) = value {
                fields.push((name, value.as_str().into()));
            }
        }
        ctx.log().info("the stream's schema is not the table's", &fields);
    }
}

/// SQL that answers a fingerprint of the table's columns.
fn shape_sql(task: &Task) -> String {
    format!(
        "SELECT md5(string_agg(ROW(a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated, a.atthasdef, \
         a.attcollation)::text, ',' ORDER BY a.attnum)) FROM pg_attribute a \
         WHERE a.attrelid = {}::regclass AND a.attnum > 0 AND NOT a.attisdropped",
        quote_literal(&task.table.to_string())
    )
}

/// A fingerprint of the table's columns.
pub async fn shape(session: &Session, task: &Task) -> Result<String, ConnectorError> {
    let found: Option<String> =
        scalar(session, "looking at the table's columns", &shape_sql(task), &[]).await?;
    Ok(found.unwrap_or_default())
}

/// A table that is written to, as its writer knows it.
#[derive(Debug)]
pub struct Known {
    /// The stream's columns as they come.
    pub stream: Vec<Column>,
    pub key: Vec<String>,
    pub policies: Policies,
    /// Fingerprint of the columns that rows were last written to.
    pub shape: String,
    /// The table is still to be altered.
    pub pending: bool,
    pub lock_wait: Duration,
}

impl Known {
    /// Makes sure, within the transaction that writes, that nobody alters the table any more and that rows still go in as
    /// planned. `begin`: SQL that goes before, in the same round trip.
    pub async fn check(
        &mut self,
        session: &Session,
        task: &Task,
        columns: &[Column],
        begin: &str,
    ) -> Result<(), ConnectorError> {
        let doing = "looking at the table's columns";
        let lock = format!("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE", task.table);
        let sql = format!("{begin}{lock}; {}", shape_sql(task));
        let answers =
            session.client().simple_query(&sql).await.map_err(|error| session.error(doing, &error))?;
        let found = answers.iter().rev().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        if found == Some(self.shape.as_str()) {
            return Ok(());
        }
        self.shape = found.unwrap_or_default().to_owned();
        let plan = self.plan(session, task).await?;
        if plan.loads_like(columns) && plan.alter_sql(&task.table).is_none() {
            Ok(())
        } else {
            Err(changed(task))
        }
    }

    /// Alters the table, within the transaction of the rows that need it, and answers what was altered: nothing, if
    /// another session has done the same meanwhile.
    pub async fn evolve(
        &mut self,
        session: &Session,
        task: &Task,
        columns: &[Column],
    ) -> Result<Vec<Change>, ConnectorError> {
        let doing = "altering the table";
        // The weak lock waits for another session that alters the same; it is given back before the strong one is taken,
        // or two sessions would wait for each other.
        let weak = format!("SAVEPOINT evolve; LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE", task.table);
        session.execute(doing, &weak).await?;
        let mut plan = self.plan(session, task).await?;
        let mut altered = Vec::new();
        if plan.alter_sql(&task.table).is_some() {
            session.execute(doing, "ROLLBACK TO SAVEPOINT evolve").await?;
            lock_exclusively(session, task, self.lock_wait, "altered").await?;
            plan = self.plan(session, task).await?;
        }
        if !plan.loads_like(columns) {
            return Err(changed(task));
        }
        if let Some(sql) = plan.alter_sql(&task.table) {
            session.execute(doing, &sql).await?;
            altered = plan.alterations();
        }
        session.execute(doing, "RELEASE SAVEPOINT evolve").await?;
        self.shape = shape(session, task).await?;
        self.pending = false;
        Ok(altered)
    }

    async fn plan(&self, session: &Session, task: &Task) -> Result<evolve::Plan, ConnectorError> {
        let what = format!("table {}", task.table);
        let Some(table) = catalog::table(session, &task.table).await? else {
            return Err(changed(task));
        };
        let plan = evolve::plan(&self.stream, &self.key, &table, &self.policies, &what)?;
        match plan.refusal(&what) {
            Some(refusal) => Err(refusal),
            None => Ok(plan),
        }
    }
}

/// The next attempt looks at the table anew.
fn changed(task: &Task) -> ConnectorError {
    ConnectorError::transient_db(
        "table_changed",
        format!("table {} was altered while rows were being written into it", task.table),
    )
    .with_commit_state(CommitState::BeforeCommit)
}
