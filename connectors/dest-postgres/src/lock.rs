//! One writer per task: a session-level advisory lock, taken before the receipt is read. A process killed with -9 may
//! have left a server session that is still committing; its receipt counts, so it must have ended first.

use std::time::Duration;

use rapidbyte_postgres::Session;
use rapidbyte_sdk::prelude::*;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::catalog::{get, query};
use crate::limits::{KEEPALIVE_COUNT, KEEPALIVE_IDLE_SECONDS, KEEPALIVE_INTERVAL_SECONDS};
use crate::names::Task;

/// Takes the task's lock, waiting for its holder to go. It is held until the session ends.
pub async fn acquire(session: &Session, task: &Task, wait: Duration) -> Result<(), ConnectorError> {
    let key = task.lock_key();
    // A machine that loses power says no goodbye: the server is to ask, so that its lock is not held for hours.
    let settings = format!(
        "SET tcp_keepalives_idle = {KEEPALIVE_IDLE_SECONDS}; SET tcp_keepalives_interval = {KEEPALIVE_INTERVAL_SECONDS}; \
         SET tcp_keepalives_count = {KEEPALIVE_COUNT}; SET lock_timeout = {}",
        wait.as_millis()
    );
    session.execute("bounding the wait for the lock", &settings).await?;
    match session.client().batch_execute(&format!("SELECT pg_advisory_lock({key})")).await {
        Ok(()) => session.execute("lifting the bound", "SET lock_timeout = 0").await,
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            let holder = match holder(session, key).await? {
                Some(pid) => format!("the server session with pid {pid} holds it"),
                None => "its holder has gone just now".to_owned(),
            };
            Err(ConnectorError::transient_db(
                "stream_locked",
                format!(
                    "stream `{}` of pipeline `{}` is being written into {} by another session: its lock was not free \
                     within {} s, {holder}",
                    task.stream,
                    task.pipeline,
                    task.table,
                    wait.as_secs()
                ),
            )
            .with_backoff(BackoffClass::Slow)
            .with_commit_state(CommitState::BeforeCommit))
        }
        Err(error) => Err(session.error("taking the stream's lock", &error)),
    }
}

async fn holder(session: &Session, key: i64) -> Result<Option<i32>, ConnectorError> {
    let rows = query(
        session,
        "looking for the holder of the lock",
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND (classid::int8 << 32) | objid::int8 = $1",
        &[(&key, Type::INT8)],
    )
    .await?;
    rows.first().map(|row| get(row, 0)).transpose()
}
