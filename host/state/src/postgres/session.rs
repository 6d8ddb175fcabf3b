//! One connection with its settings and prepared statements, and what its failures mean.
//!
//! Refuses to know: what the statements are for, and whether a lost connection is made again.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Mutex, PoisonError};

use rapidbyte_core::ports::StateError;
use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::Server;
use crate::limits::*;

/// Why something could not be done on a connection.
#[derive(Debug)]
pub enum Fault {
    /// The connection is gone, or the server cannot serve for a moment: worth another attempt on a new connection.
    Lost(String),
    /// The transaction was in another's way and was undone: worth another attempt.
    Conflict(String),
    /// Another attempt would end the same.
    Refused(StateError),
}

/// An open connection.
pub struct Session {
    client: Client,
    server: Server,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// True once the connection has ended.
    ended: watch::Receiver<bool>,
}

pub type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    /// Connects and prepares the session. A session that never ends by itself is asked for with `patient`.
    pub async fn open(server: &Server, patient: bool) -> Result<Self, Fault> {
        let connecting = server.address.config.connect(server.tls.clone());
        let (client, connection) = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(connect_fault(server, &error)),
            Err(_) => {
                return Err(Fault::Lost(format!(
                    "the server did not answer within {} s",
                    CONNECT_TIMEOUT.as_secs()
                )));
            }
        };
        let (end, ended) = watch::channel(false);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a connection to the state's server ended");
            }
            let _ = end.send(true);
        });
        let session = Session { client, server: server.clone(), statements: Mutex::default(), ended };
        session.prepare(patient).await?;
        Ok(session)
    }

    async fn prepare(&self, patient: bool) -> Result<(), Fault> {
        let statement_timeout = if patient { 0 } else { STATEMENT_TIMEOUT.as_millis() };
        let idle_timeout = if patient { 0 } else { IDLE_IN_TRANSACTION_TIMEOUT.as_millis() };
        let settings = format!(
            "SET search_path TO \"{}\";
             SET statement_timeout = {statement_timeout};
             SET lock_timeout = {};
             SET idle_in_transaction_session_timeout = {idle_timeout};
             SET tcp_keepalives_idle = {};
             SET tcp_keepalives_interval = {};
             SET tcp_keepalives_count = {};
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
            self.server.address.schema,
            LOCK_TIMEOUT.as_millis(),
            KEEPALIVE_IDLE.as_secs(),
            KEEPALIVE_INTERVAL.as_secs(),
            KEEPALIVE_RETRIES,
        );
        self.batch(&settings).await
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn is_ended(&self) -> bool {
        *self.ended.borrow() || self.client.is_closed()
    }

    /// Returns once the connection has ended.
    pub async fn wait_ended(&self) {
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    pub async fn batch(&self, sql: &str) -> Result<(), Fault> {
        self.client.batch_execute(sql).await.map_err(|error| self.fault(&error))
    }

    pub async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, Fault> {
        let statement = self.statement(sql).await?;
        self.client.execute(&statement, parameters).await.map_err(|error| self.fault(&error))
    }

    pub async fn rows(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Fault> {
        let statement = self.statement(sql).await?;
        self.client.query(&statement, parameters).await.map_err(|error| self.fault(&error))
    }

    pub async fn row(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Option<Row>, Fault> {
        let statement = self.statement(sql).await?;
        self.client.query_opt(&statement, parameters).await.map_err(|error| self.fault(&error))
    }

    /// The only row of a query that always has one.
    pub async fn one(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Row, Fault> {
        let statement = self.statement(sql).await?;
        self.client.query_one(&statement, parameters).await.map_err(|error| self.fault(&error))
    }

    /// Rows as they come, however many.
    pub async fn stream(&self, sql: &'static str) -> Result<tokio_postgres::RowStream, Fault> {
        let none: [&(dyn ToSql + Sync); 0] = [];
        self.client.query_raw(sql, none).await.map_err(|error| self.fault(&error))
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, Fault> {
        if let Some(statement) = self.cache().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await.map_err(|error| self.fault(&error))?;
        self.cache().insert(sql, statement.clone());
        Ok(statement)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A refusal of ours, not the server's.
    pub fn refuse(&self, message: impl Into<String>) -> Fault {
        Fault::Refused(self.server.unavailable(message))
    }

    pub fn fault(&self, error: &tokio_postgres::Error) -> Fault {
        if self.is_ended() || error.is_closed() {
            return Fault::Lost(explain(&self.server, error));
        }
        fault(&self.server, error)
    }
}

fn connect_fault(server: &Server, error: &tokio_postgres::Error) -> Fault {
    match error.code() {
        // Nobody listens, a name that does not resolve: it may be a restart.
        None if is_io(error) => Fault::Lost(explain(server, error)),
        // Starting up or shutting down; another client's place becomes free.
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => Fault::Lost(explain(server, error)),
        _ => fault(server, error),
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        // A certificate that is not believed is an `io::Error`, too, and stays what it is.
        if cause.is::<rustls::Error>() {
            return false;
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            let inner = io.get_ref();
            return !inner.is_some_and(|inner| inner.is::<rustls::Error>());
        }
        source = cause.source();
    }
    false
}

fn fault(server: &Server, error: &tokio_postgres::Error) -> Fault {
    let text = explain(server, error);
    match error.code() {
        Some(code) if is_passing(code) => Fault::Lost(text),
        Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => {
            Fault::Conflict(text)
        }
        None if is_io(error) => Fault::Lost(text),
        _ => Fault::Refused(server.unavailable(text)),
    }
}

/// The server goes away or comes back, or has closed the session.
fn is_passing(code: &SqlState) -> bool {
    code.code().starts_with("08")
        || [
            &SqlState::ADMIN_SHUTDOWN,
            &SqlState::CRASH_SHUTDOWN,
            &SqlState::CANNOT_CONNECT_NOW,
            &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ]
        .contains(&code)
}

/// What went wrong, with the next step, and without secrets.
fn explain(server: &Server, error: &tokio_postgres::Error) -> String {
    let mut text = match error.as_db_error() {
        Some(refusal) => format!("{} ({})", refusal.message(), refusal.code().code()),
        None => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                let said = cause.to_string();
                if !text.contains(&said) {
                    text = format!("{text}: {said}");
                }
                source = cause.source();
            }
            text
        }
    };
    let next = error.code().and_then(|code| match code.code() {
        "28P01" | "28000" => {
            Some("check user and password in `state.connection`, and the server's `pg_hba.conf`")
        }
        "3D000" => Some("create the database, or name another one in `state.connection`"),
        "42501" => Some("the user needs the rights that `docs/state.md` lists"),
        "25006" => Some("name the primary server, or add `target_session_attrs=read-write`"),
        "53100" => Some("free some space on the server and run again: what was committed before is safe"),
        "53300" => Some("let the server take more connections, or run less at once"),
        "55P03" | "57014" => Some("another session keeps the state locked for too long; find out which one"),
        _ => None,
    });
    if let Some(next) = next {
        text = format!("{text}; {next}");
    }
    server.address.redact(&text)
}
