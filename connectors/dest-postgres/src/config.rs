//! The configuration of `dest-postgres`. Owns names, defaults and their documentation; connecting is the shared crate's.

use std::time::Duration;

use rapidbyte_postgres::config::{default_connect_timeout, default_port, default_schema};
use rapidbyte_postgres::{ConnectOptions, SslMode};
use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

use crate::limits::{LOCK_WAIT_SECONDS_DEFAULT, LOCK_WAIT_SECONDS_MAX};
use crate::names;

/// What a pipeline says under `destination.config`.
#[derive(Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name or address of the server.
    pub host: String,
    /// Port of the server.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Role to connect as.
    pub user: String,
    /// Password of the role. Not needed where the server trusts the connection.
    #[config(secret)]
    pub password: Option<String>,
    /// Database to connect to.
    pub database: String,
    /// Schema of the target tables. Created if it is missing.
    #[serde(default = "default_schema")]
    pub schema: String,
    /// How the connection is encrypted and whom it trusts: libpq's `sslmode`.
    #[serde(default)]
    pub sslmode: SslMode,
    /// PEM certificates to trust instead of the system's. The text itself, not a path.
    pub ssl_root_cert: Option<String>,
    /// Seconds to wait for a connection.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: u32,
    /// Seconds to wait for another session that writes the same stream into the same table, such as one left behind by
    /// a killed process.
    #[serde(default = "default_lock_wait")]
    pub lock_wait_seconds: u32,
}

fn default_lock_wait() -> u32 {
    LOCK_WAIT_SECONDS_DEFAULT
}

impl Config {
    /// Refuses what could never work, naming the field.
    pub fn check(&self) -> Result<(), ConnectorError> {
        self.connect_options().check()?;
        if let Some(fault) = names::fault(&self.schema) {
            return Err(ConnectorError::config("schema", format!("schema name `{}` {fault}", self.schema)));
        }
        if self.schema.starts_with("pg_") || self.schema == "information_schema" {
            return Err(ConnectorError::config(
                "schema",
                format!("`{}` belongs to the server, choose a schema of your own", self.schema),
            ));
        }
        if self.lock_wait_seconds == 0 || self.lock_wait_seconds > LOCK_WAIT_SECONDS_MAX {
            return Err(ConnectorError::config(
                "lock_wait_seconds",
                format!("must be from 1 to {LOCK_WAIT_SECONDS_MAX}"),
            ));
        }
        Ok(())
    }

    pub fn connect_options(&self) -> ConnectOptions {
        ConnectOptions {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            password: self.password.clone(),
            database: self.database.clone(),
            sslmode: self.sslmode,
            ssl_root_cert: self.ssl_root_cert.clone(),
            application_name: "rapidbyte dest-postgres".to_owned(),
            connect_timeout: Duration::from_secs(u64::from(self.connect_timeout)),
        }
    }
}
