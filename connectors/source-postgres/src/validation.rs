//! What `rapidbyte check` asks: can this configuration connect, and may it read? Moves nothing.

use rapidbyte_postgres::Session;
use rapidbyte_sdk::prelude::*;
use tokio_postgres::types::Type;

use crate::catalog::{get, query};
use crate::config::Config;
use crate::limits::SERVER_VERSION_NUM_MIN;
use crate::plan::list;

const SCHEMAS: &str = "\
SELECT wanted, n.oid IS NOT NULL, coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false) \
FROM unnest($1::text[]) wanted LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = wanted";

/// Readable, unreadable (by name), under row security for this user (by name).
const RIGHTS: &str = "\
SELECT c.relname::text, \
    pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT'), \
    pg_catalog.row_security_active(c.oid) \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition \
ORDER BY 1";

const SERVER: &str = "\
SELECT current_setting('server_version'), current_setting('server_encoding'), pg_catalog.pg_is_in_recovery()";

pub(crate) async fn validate(config: &Config) -> Result<ValidationReport, ConnectorError> {
    let session = Session::open(&config.connect_options()).await?;
    refuse_old_server(&session)?;
    let report = check(&session, config).await?;
    session.close().await;
    Ok(report)
}

/// The catalogs of older servers do not answer our questions.
pub(crate) fn refuse_old_server(session: &Session) -> Result<(), ConnectorError> {
    let version = session.server_version_num();
    if version >= SERVER_VERSION_NUM_MIN {
        return Ok(());
    }
    let message = format!(
        "{} is PostgreSQL {}; this connector needs {} or newer",
        session.endpoint(),
        version / 10_000,
        SERVER_VERSION_NUM_MIN / 10_000
    );
    Err(ConnectorError::config("host", message).with_code("server_too_old"))
}

async fn check(session: &Session, config: &Config) -> Result<ValidationReport, ConnectorError> {
    let endpoint = session.endpoint();
    let server = query(session, SERVER, &[]).await?;
    let Some(server) = server.first() else {
        return Err(ConnectorError::internal("protocol_error", "the server did not say what it is"));
    };
    let version: String = get(session, server, 0)?;
    let schemas = config.all_schemas();
    for row in query(session, SCHEMAS, &[(&schemas, Type::TEXT_ARRAY)]).await? {
        let schema: &str = get(session, &row, 0)?;
        if !get::<bool>(session, &row, 1)? {
            return Ok(ValidationReport::failed(format!("{endpoint} has no schema `{schema}`")));
        }
        if !get::<bool>(session, &row, 2)? {
            return Ok(ValidationReport::failed(format!(
                "user `{user}` may not use schema `{schema}` at {endpoint}: grant it with \
                 `GRANT USAGE ON SCHEMA \"{schema}\" TO \"{user}\"`",
                user = config.user
            )));
        }
    }
    let rights = query(session, RIGHTS, &[(&schemas, Type::TEXT_ARRAY)]).await?;
    let mut unreadable: Vec<&str> = Vec::new();
    let mut secured: Vec<&str> = Vec::new();
    for row in &rights {
        if !get::<bool>(session, row, 1)? {
            unreadable.push(get(session, row, 0)?);
        } else if get::<bool>(session, row, 2)? {
            secured.push(get(session, row, 0)?);
        }
    }
    let readable = rights.len() - unreadable.len();
    let message =
        format!("connected to {endpoint}, PostgreSQL {version}, {readable} tables and views to read");
    let mut report = ValidationReport::success(message);
    if rights.is_empty() {
        report = report.with_warning(format!("there are no tables in {}", list(schemas.iter().copied())));
    }
    if !unreadable.is_empty() {
        let names = list(unreadable.into_iter());
        report = report.with_warning(format!("user `{}` may not read {names}: grant SELECT", config.user));
    }
    if !secured.is_empty() {
        let names = list(secured.into_iter());
        report =
            report.with_warning(format!("row security hides rows from user `{}` in {names}", config.user));
    }
    if get::<&str>(session, server, 1)? == "SQL_ASCII" {
        let warning = "the database has no encoding (SQL_ASCII): text that is not UTF-8 will be refused";
        report = report.with_warning(warning);
    }
    if get::<bool>(session, server, 2)? {
        let warning = "the server is a standby: long reads may be cancelled by conflicts with recovery";
        report = report.with_warning(warning);
    }
    Ok(report)
}
