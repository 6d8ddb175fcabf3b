//! Before the first row: schema, receipts, types, table and key are looked at, and created where they are missing. The
//! same code judges a dry run, in a transaction that may not write. A table that is there is never altered here: that is
//! for the transaction of the first rows that need it.

use std::collections::HashSet;

use rapidbyte_postgres::Session;
use rapidbyte_postgres::identifier::{QualifiedName, quote, quote_list};
use rapidbyte_postgres::types::Enumeration;
use rapidbyte_sdk::prelude::*;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::alter;
use crate::catalog::{self, Table};
use crate::column::{self, Column};
use crate::evolve::{self, Action, Plan};
use crate::names::{RECEIPTS, Task};
use crate::receipt;

/// The target as the writer needs it.
#[derive(Debug)]
pub struct Target {
    /// The stream's columns as they come.
    pub stream: Vec<Column>,
    /// How they go into the table, and what that changes.
    pub plan: Plan,
    /// The table as it is now. None: a replace will make it, or a dry run found none.
    pub table: Option<Table>,
    /// The table's columns, to notice when others alter it.
    pub shape: String,
}

/// Looks at the target and, if `apply`, creates what is missing.
pub async fn prepare(
    ctx: &Context,
    session: &Session,
    task: &Task,
    stream: &StreamContext,
    apply: bool,
) -> Result<Target, ConnectorError> {
    let plan = stream.write_plan()?;
    let columns = column::columns(&stream.name, &stream.schema, &task.table.schema)?;
    let key = check_plan(stream, plan, &columns)?;
    let access = if apply { "WRITE" } else { "ONLY" };
    session
        .execute(
            "beginning to prepare",
            &format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ {access}; SELECT pg_advisory_xact_lock({}); \
                 SELECT set_config('search_path', quote_ident({}) || ', ' || current_setting('search_path'), false)",
                task.schema_lock_key(),
                rapidbyte_postgres::identifier::quote_literal(&task.table.schema),
            ),
        )
        .await?;
    schema_and_receipts(session, task, apply).await?;
    let target = table(ctx, session, task, stream, key, columns, apply).await?;
    session.execute("ending the preparation", "COMMIT").await?;
    Ok(target)
}

/// The key that rows are merged by; none for append and replace.
fn check_plan<'a>(
    stream: &StreamContext,
    plan: &'a WritePlan,
    columns: &[Column],
) -> Result<&'a [String], ConnectorError> {
    if plan.mode == WriteMode::Replace && stream.sync_mode != SyncMode::FullRefresh {
        return Err(ConnectorError::config(
            "write_mode",
            format!(
                "`replace` would leave stream `{}` with its newest records only; use `full_refresh` with it, or another \
                 write mode",
                stream.name
            ),
        ));
    }
    if !matches!(plan.mode, WriteMode::Upsert | WriteMode::Merge) {
        return Ok(&[]);
    }
    let known = |name: &String| columns.iter().any(|column| column.name == *name);
    if plan.primary_key.is_empty() {
        return Err(ConnectorError::config("primary_key", format!("`{}` needs a key", plan.mode)));
    }
    for name in &plan.primary_key {
        if !known(name) {
            return Err(ConnectorError::config(
                "primary_key",
                format!("stream `{}` has no column `{name}`", stream.name),
            ));
        }
    }
    let unique: HashSet<&String> = plan.primary_key.iter().collect();
    if unique.len() < plan.primary_key.len() {
        return Err(ConnectorError::config("primary_key", "a column is named twice"));
    }
    for name in &plan.update_columns {
        if !known(name) || plan.primary_key.contains(name) {
            return Err(ConnectorError::config(
                "update_columns",
                format!("`{name}` is not a column of stream `{}` outside its key", stream.name),
            ));
        }
    }
    Ok(&plan.primary_key)
}

async fn schema_and_receipts(session: &Session, task: &Task, apply: bool) -> Result<(), ConnectorError> {
    let schema = &task.table.schema;
    if !catalog::schema_exists(session, schema).await? {
        if apply {
            session.execute("creating the schema", &format!("CREATE SCHEMA {}", quote(schema))).await?;
        } else {
            may(
                session,
                "has_database_privilege(current_database(), 'CREATE')",
                &format!("create schema `{schema}`: it needs CREATE on the database"),
            )
            .await?;
            return Ok(());
        }
    }
    if !catalog::relation_exists(session, &QualifiedName::new(schema, RECEIPTS)).await? {
        if apply {
            session.execute("creating the table of receipts", &receipt::create_sql(task)).await?;
        } else {
            may_create_in(session, schema).await?;
        }
    }
    Ok(())
}

/// Enum types are created, any other type of one's own must be there.
async fn types(
    session: &Session,
    task: &Task,
    columns: &[Column],
    apply: bool,
) -> Result<(), ConnectorError> {
    let schema = &task.table.schema;
    let mut seen: Vec<&Enumeration> = Vec::new();
    for column in columns {
        if let Some(enumeration) = &column.enumeration {
            if let Some(twin) = seen.iter().find(|other| other.name == enumeration.name) {
                if twin.labels != enumeration.labels {
                    return Err(enum_error(
                        column,
                        "another column has an enum of this name with other labels",
                    ));
                }
                continue;
            }
            seen.push(enumeration);
            match catalog::enum_labels(session, schema, &enumeration.name).await? {
                Some(Some(labels)) => {
                    if let Some(difference) = evolve::label_difference(enumeration, &labels) {
                        return Err(enum_error(column, &format!("in schema `{schema}`, {difference}")));
                    }
                }
                Some(None) => {
                    let message =
                        format!("schema `{schema}` has a type `{}` that is no enum", enumeration.name);
                    return Err(enum_error(column, &message));
                }
                None if apply => {
                    let labels =
                        enumeration.labels.iter().map(|l| rapidbyte_postgres::identifier::quote_literal(l));
                    let sql = format!(
                        "CREATE TYPE {} AS ENUM ({})",
                        QualifiedName::new(schema, &enumeration.name),
                        labels.collect::<Vec<_>>().join(", ")
                    );
                    session.execute("creating an enum type", &sql).await?;
                }
                None => {}
            }
        } else if column.cast && !catalog::type_exists(session, &column.type_name).await? {
            return Err(ConnectorError::schema(
                "unknown_type",
                format!(
                    "column `{}` has the type `{}`, which this database does not have: create it there, or convert the \
                     column in a transform",
                    column.name, column.type_name
                ),
            ));
        }
    }
    Ok(())
}

fn enum_error(column: &Column, message: &str) -> ConnectorError {
    ConnectorError::schema("enum_mismatch", format!("column `{}`: {message}", column.name))
}

async fn table(
    ctx: &Context,
    session: &Session,
    task: &Task,
    stream: &StreamContext,
    key: &[String],
    columns: Vec<Column>,
    apply: bool,
) -> Result<Target, ConnectorError> {
    let mode = stream.write_plan()?.mode;
    let what = format!("table {}", task.table);
    let Some(mut table) = catalog::table(session, &task.table).await? else {
        types(session, task, &columns, apply).await?;
        let (mut plan, mut created) = (Plan { columns: columns.clone(), changes: Vec::new() }, None);
        let mut shape = String::new();
        if apply && mode != WriteMode::Replace {
            session.execute("creating the target table", &create_table(&task.table, &columns, key)).await?;
            let table = catalog::table(session, &task.table).await?.ok_or_else(|| {
                ConnectorError::internal(
                    "table_vanished",
                    format!("{what} is not there after it was created"),
                )
            })?;
            plan = evolve::plan(&columns, key, &table, &stream.policies, &what)?;
            if let Some(refusal) = plan.refusal(&what) {
                return Err(refusal);
            }
            shape = alter::shape(session, task).await?;
            created = Some(table);
        }
        return Ok(Target { stream: columns, plan, table: created, shape });
    };
    let plan = evolve::plan(&columns, key, &table, &stream.policies, &what)?;
    // What is done to the table is told when it is done.
    let now = plan
        .changes
        .iter()
        .filter(|change| !apply || change.alteration.is_none() || change.action == Action::Refuse);
    alter::log(ctx, &task.table, now);
    if let Some(refusal) = plan.refusal(&what) {
        return Err(refusal);
    }
    types(session, task, &plan.columns, apply).await?;
    if !key.is_empty() && !table.has_key(key) {
        if !table.owned {
            return Err(ConnectorError::permission(
                "no_unique_index",
                format!(
                    "{what} has no unique index over ({}) and only its owner may create one, which `{mode}` needs",
                    quote_list(key)
                ),
            ));
        }
        if apply {
            create_key(session, task, key, &what).await?;
            table.keys.push(key.to_vec());
        }
    }
    let mut shape = String::new();
    if apply {
        shape = alter::shape(session, task).await?;
    } else {
        may_write(session, &table, mode, &what).await?;
    }
    Ok(Target { stream: columns, plan, table: Some(table), shape })
}

async fn may_write(
    session: &Session,
    table: &Table,
    mode: WriteMode,
    what: &str,
) -> Result<(), ConnectorError> {
    let relation = format!("{}::oid", table.oid);
    let rights: &[&str] = match mode {
        WriteMode::Append => &["INSERT"],
        WriteMode::Upsert | WriteMode::Merge => &["INSERT", "UPDATE", "SELECT"],
        WriteMode::Replace if table.owned => &[],
        WriteMode::Replace => &["INSERT", "DELETE"],
    };
    for right in rights {
        let condition = format!("has_table_privilege({relation}, '{right}')");
        may(session, &condition, &format!("write {what}: it needs {right} on it")).await?;
    }
    Ok(())
}

async fn create_key(
    session: &Session,
    task: &Task,
    key: &[String],
    what: &str,
) -> Result<(), ConnectorError> {
    let sql =
        format!("CREATE UNIQUE INDEX {} ON {} ({})", quote(&task.key_index()), task.table, quote_list(key));
    match session.client().batch_execute(&sql).await {
        Ok(()) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Err(ConnectorError::schema(
            "duplicate_keys",
            format!(
                "{what} has no unique index over ({}) and none can be made, because rows of equal key are in it",
                quote_list(key)
            ),
        )),
        Err(error) => Err(session.error("creating a unique index over the key", &error)),
    }
}

/// SQL that creates a table for the stream.
pub fn create_table(name: &QualifiedName, columns: &[Column], key: &[String]) -> String {
    let mut parts: Vec<String> = columns
        .iter()
        .map(|column| {
            let not_null = if column.not_null || key.contains(&column.name) { " NOT NULL" } else { "" };
            format!("{} {}{not_null}", quote(&column.name), column.type_name)
        })
        .collect();
    if !key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", quote_list(key)));
    }
    format!("CREATE TABLE {name} ({})", parts.join(", "))
}

/// A permission error unless the server says that the role may.
pub async fn may(session: &Session, condition: &str, what: &str) -> Result<(), ConnectorError> {
    if catalog::scalar(session, "looking at rights", &format!("SELECT {condition}"), &[]).await? {
        return Ok(());
    }
    let role: String =
        catalog::scalar(session, "looking at rights", "SELECT current_user::text", &[]).await?;
    Err(ConnectorError::permission("permission_denied", format!("role `{role}` may not {what}")))
}

/// That tables can be created in an existing schema.
pub async fn may_create_in(session: &Session, schema: &str) -> Result<(), ConnectorError> {
    let allowed: bool = catalog::scalar(
        session,
        "looking at rights",
        "SELECT has_schema_privilege($1, 'CREATE') AND has_schema_privilege($1, 'USAGE')",
        &[(&schema, Type::TEXT)],
    )
    .await?;
    if allowed {
        return Ok(());
    }
    may(session, "false", &format!("create tables in schema `{schema}`: it needs CREATE and USAGE on it"))
        .await
}
