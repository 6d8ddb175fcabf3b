//! Connector state: values under a scope and a key.

use async_trait::async_trait;

use super::claims;
use super::session::{Fault, Session};
use super::transaction::Operation;

pub struct Get {
    pub scope: String,
    pub key: String,
}

#[async_trait]
impl Operation for Get {
    type Answer = Option<Vec<u8>>;

    async fn run(&self, session: &Session) -> Result<Option<Vec<u8>>, Fault> {
        let row = session
            .row("SELECT value FROM connector_state WHERE scope = $1 AND key = $2", &[&self.scope, &self.key])
            .await?;
        Ok(row.map(|row| row.get(0)))
    }
}

pub struct Put {
    pub scope: String,
    pub key: String,
    pub value: Vec<u8>,
}

#[async_trait]
impl Operation for Put {
    type Answer = ();

    async fn run(&self, session: &Session) -> Result<(), Fault> {
        let named = Named::of(&self.scope);
        named.check(session).await?;
        store(session, &self.scope, &self.key, &self.value).await
    }
}

pub struct CompareAndSwap {
    pub scope: String,
    pub key: String,
    pub expected: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

#[async_trait]
impl Operation for CompareAndSwap {
    type Answer = bool;

    async fn run(&self, session: &Session) -> Result<bool, Fault> {
        let named = Named::of(&self.scope);
        named.check(session).await?;
        let changed = match &self.expected {
            None => {
                session
                    .execute(
                        "INSERT INTO connector_state (scope, key, value, pipeline, stream, updated_at)
                         VALUES ($1, $2, $3, $4, $5, extract(epoch FROM clock_timestamp())::bigint)
                         ON CONFLICT (scope, key) DO NOTHING",
                        &[&self.scope, &self.key, &self.value, &named.pipeline, &named.stream],
                    )
                    .await?
            }
            Some(expected) => {
                session
                    .execute(
                        "UPDATE connector_state
                         SET value = $3, updated_at = extract(epoch FROM clock_timestamp())::bigint
                         WHERE scope = $1 AND key = $2 AND value = $4",
                        &[&self.scope, &self.key, &self.value, expected],
                    )
                    .await?
            }
        };
        Ok(changed == 1)
    }
}

pub async fn store(session: &Session, scope: &str, key: &str, value: &[u8]) -> Result<(), Fault> {
    let named = Named::of(scope);
    session
        .execute(
            "INSERT INTO connector_state (scope, key, value, pipeline, stream, updated_at)
             VALUES ($1, $2, $3, $4, $5, extract(epoch FROM clock_timestamp())::bigint)
             ON CONFLICT (scope, key) DO UPDATE
                 SET value = $3, updated_at = extract(epoch FROM clock_timestamp())::bigint",
            &[&scope, &key, &value, &named.pipeline, &named.stream],
        )
        .await?;
    Ok(())
}

/// What a scope's name names; see `state_scope_name` in the ports.
#[derive(Default)]
struct Named {
    pipeline: Option<String>,
    stream: Option<String>,
}

impl Named {
    fn of(scope: &str) -> Self {
        let Ok(parts) = serde_json::from_str::<Vec<serde_json::Value>>(scope) else {
            return Named::default();
        };
        let text = |index: usize| parts.get(index).and_then(|part| part.as_str()).map(str::to_owned);
        let stream = if text(0).as_deref() == Some("stream") { text(2) } else { None };
        Named { pipeline: text(1), stream }
    }

    /// What belongs to a stream is written by its running sync, where there is one.
    async fn check(&self, session: &Session) -> Result<(), Fault> {
        match (&self.pipeline, &self.stream) {
            (Some(pipeline), Some(stream)) => claims::not_anothers(session, pipeline, stream).await,
            _ => Ok(()),
        }
    }
}
