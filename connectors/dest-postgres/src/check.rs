//! `validate`: whether a run could connect and write, without a stream in hand. Changes nothing.

use rapidbyte_postgres::Session;
use rapidbyte_sdk::prelude::*;

use crate::catalog;
use crate::config::Config;
use crate::prepare::{may, may_create_in};

pub async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
    config.check()?;
    let session = Session::open(&config.connect_options()).await?;
    let report = rights(&session, config).await;
    session.close().await;
    report
}

async fn rights(session: &Session, config: &Config) -> Result<ValidationReport, ConnectorError> {
    let schema = &config.schema;
    let found = if catalog::schema_exists(session, schema).await? {
        may_create_in(session, schema).await?;
        "exists"
    } else {
        may(
            session,
            "has_database_privilege(current_database(), 'CREATE')",
            &format!("create schema `{schema}`: it needs CREATE on the database"),
        )
        .await?;
        "will be created"
    };
    let mut report =
        ValidationReport::success(format!("connected to {}, schema `{schema}` {found}", session.endpoint()));
    let temporary: bool = catalog::scalar(
        session,
        "looking at rights",
        "SELECT has_database_privilege(current_database(), 'TEMPORARY')",
        &[],
    )
    .await?;
    if !temporary {
        report = report.with_warning(
            "the role may not create temporary tables, which `upsert`, `merge` and columns in text form need: grant it \
             TEMPORARY on the database",
        );
    }
    let standby: bool =
        catalog::scalar(session, "looking at the server", "SELECT pg_is_in_recovery()", &[]).await?;
    if standby {
        return Err(ConnectorError::config(
            "host",
            format!("{} is a standby, which can't be written to", session.endpoint()),
        ));
    }
    Ok(report)
}
