//! What a connection needs, from a connector's config. The connectors own their config structs; this owns the parts
//! that mean the same in both.

use std::time::Duration;

use rapidbyte_sdk::prelude::*;
use serde::Deserialize;

use crate::limits::{CONNECT_TIMEOUT_SECONDS_DEFAULT, CONNECT_TIMEOUT_SECONDS_MAX};

/// How the connection is encrypted and whom it trusts, with libpq's names and meanings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ConfigSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server can.
    #[default]
    Prefer,
    /// Encrypted; the certificate is checked only against `ssl_root_cert`, if that is given.
    Require,
    /// Encrypted, and the certificate comes from a trusted authority.
    VerifyCa,
    /// Encrypted, from a trusted authority, and for this very host name.
    VerifyFull,
}

/// Everything [`crate::Session::open`] needs. Has no `Debug`, so that the password can't be logged.
#[derive(Clone)]
pub struct ConnectOptions {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    pub sslmode: SslMode,
    /// PEM certificates to trust instead of the system's.
    pub ssl_root_cert: Option<String>,
    pub application_name: String,
    pub connect_timeout: Duration,
}

impl ConnectOptions {
    /// Refuses what could never connect, naming the field.
    ///
    /// # Errors
    /// A `config` error.
    pub fn check(&self) -> Result<(), ConnectorError> {
        for (field, value) in [("host", &self.host), ("user", &self.user), ("database", &self.database)] {
            if value.is_empty() {
                return Err(ConnectorError::config(field, "must not be empty"));
            }
            if value.contains('\0') {
                return Err(ConnectorError::config(field, "contains a zero byte"));
            }
        }
        if self.host.starts_with('/') {
            return Err(ConnectorError::config(
                "host",
                "a path: unix sockets can't be reached from the sandbox, give a host name or an address",
            ));
        }
        if self.port == 0 {
            return Err(ConnectorError::config("port", "0 is no port: PostgreSQL's usual port is 5432"));
        }
        let seconds_max = u64::from(CONNECT_TIMEOUT_SECONDS_MAX);
        if self.connect_timeout.is_zero() || self.connect_timeout.as_secs() > seconds_max {
            return Err(ConnectorError::config(
                "connect_timeout",
                format!("must be from 1 to {seconds_max} seconds"),
            ));
        }
        if let Some(pem) = &self.ssl_root_cert
            && !pem.contains("-----BEGIN CERTIFICATE-----")
        {
            return Err(ConnectorError::config(
                "ssl_root_cert",
                "not PEM text: give the certificate itself, not the path of a file",
            ));
        }
        Ok(())
    }
}

/// For `#[serde(default = …)]` in the connectors' configs.
#[must_use]
pub fn default_port() -> u16 {
    5432
}

#[must_use]
pub fn default_schema() -> String {
    "public".to_owned()
}

#[must_use]
pub fn default_connect_timeout() -> u32 {
    CONNECT_TIMEOUT_SECONDS_DEFAULT
}
