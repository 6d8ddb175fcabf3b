//! What the pipeline says about this source.

use std::time::Duration;

use rapidbyte_postgres::config::{default_connect_timeout, default_port, default_schema};
use rapidbyte_postgres::types::NumericMode;
use rapidbyte_postgres::{ConnectOptions, SslMode};
use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

use crate::limits::PARTITION_BYTES_MIN_DEFAULT;

/// In which order a full refresh reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ConfigSchema)]
#[serde(rename_all = "snake_case")]
pub enum FullRefreshOrder {
    /// By primary key when the table is large, so that a broken read continues; else as the table lies, which is
    /// faster.
    #[default]
    Auto,
    /// By primary key, where there is one.
    Always,
    /// As the table lies. A broken read starts again.
    Never,
}

/// Where to read from, and how.
// Has no `Debug`, so that the password can't be logged.
#[derive(Clone, Deserialize, ConfigSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Host name or address of the server.
    pub host: String,
    /// Port of the server.
    #[config(default = 5432)]
    #[serde(default = "default_port")]
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// The user's password.
    #[config(secret)]
    #[serde(default)]
    pub password: Option<String>,
    /// Database to read from.
    pub database: String,
    /// Schema whose tables are named without it.
    #[config(default = "public")]
    #[serde(default = "default_schema")]
    pub schema: String,
    /// More schemas to offer tables of; their streams are named `schema.table`.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// Encryption and whom to trust, with libpq's meanings.
    #[config(default = "prefer")]
    #[serde(default)]
    pub sslmode: SslMode,
    /// PEM text of the certificates to trust instead of the system's.
    #[serde(default)]
    pub ssl_root_cert: Option<String>,
    /// Name the server shows for the connection.
    #[config(default = "rapidbyte")]
    #[serde(default = "default_application_name")]
    pub application_name: String,
    /// How to carry `numeric`: as exact text, or as decimals where the column's precision allows.
    #[config(default = "text")]
    #[serde(default)]
    pub numeric: NumericMode,
    /// In which order a full refresh reads.
    #[config(default = "auto")]
    #[serde(default)]
    pub full_refresh_order: FullRefreshOrder,
    /// Size in bytes from which a part of a stream is worth a reader of its own. Does not hold where the stream names a
    /// `partition_key`.
    #[config(default = 33554432)]
    #[serde(default = "default_partition_bytes_min")]
    pub partition_bytes_min: u64,
    /// Seconds to wait for the server to accept the connection.
    #[config(default = 30)]
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: u32,
}

fn default_application_name() -> String {
    "rapidbyte".to_owned()
}

fn default_partition_bytes_min() -> u64 {
    PARTITION_BYTES_MIN_DEFAULT
}

impl Config {
    /// Refuses what could never work, naming the field.
    ///
    /// # Errors
    /// A `config` error.
    pub fn check(&self) -> Result<(), ConnectorError> {
        self.connect_options().check()?;
        if self.schema.is_empty() {
            return Err(ConnectorError::config("schema", "must not be empty"));
        }
        if self.schemas.iter().any(String::is_empty) {
            return Err(ConnectorError::config("schemas", "must not contain an empty name"));
        }
        Ok(())
    }

    #[must_use]
    pub fn connect_options(&self) -> ConnectOptions {
        ConnectOptions {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            password: self.password.clone(),
            database: self.database.clone(),
            sslmode: self.sslmode,
            ssl_root_cert: self.ssl_root_cert.clone(),
            application_name: self.application_name.clone(),
            connect_timeout: Duration::from_secs(self.connect_timeout.into()),
        }
    }

    /// The default schema and the others, each once.
    #[must_use]
    pub fn all_schemas(&self) -> Vec<&str> {
        let mut schemas = vec![self.schema.as_str()];
        for schema in &self.schemas {
            if !schemas.contains(&schema.as_str()) {
                schemas.push(schema);
            }
        }
        schemas
    }
}
