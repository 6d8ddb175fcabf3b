//! What went wrong at the server or on the way there, as the contract's one error record. Never repeats a password,
//! nor values of rows: the server's `DETAIL` is left out, because it quotes them.

use std::error::Error as _;
use std::fmt;

use rapidbyte_sdk::prelude::*;
use serde_json::json;
use tokio_postgres::error::DbError;

/// Where a session is connected to, for messages: `host:port/database`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub database: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}/{}", self.host, self.port, self.database)
    }
}

impl Endpoint {
    /// `doing`: what was being done, as in "`reading stream `orders``".
    #[must_use]
    pub fn error(&self, doing: &str, error: &tokio_postgres::Error) -> ConnectorError {
        if let Some(database) = error.as_db_error() {
            return self.database_error(doing, database);
        }
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(connector) = cause.downcast_ref::<ConnectorError>() {
                return connector.clone();
            }
            if let Some(io) = cause.downcast_ref::<std::io::Error>() {
                return self.io_error(doing, io);
            }
            source = cause.source();
        }
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        let text = error.to_string();
        if error.is_closed() {
            return self.closed(doing);
        }
        // The kinds of tokio-postgres' errors are private; their texts are what there is.
        if cause == "password missing" {
            return ConnectorError::auth(
                "password_missing",
                format!("{doing}: {self} asks for a password and none is configured: set `password`"),
            );
        }
        if text.contains("authentication") {
            return ConnectorError::auth(
                "authentication_failed",
                format!("{doing}: authentication at {self} failed: {cause}"),
            );
        }
        if cause == "server does not support TLS" {
            return ConnectorError::config(
                "sslmode",
                format!("{doing}: {self} does not speak TLS: switch it on there, or set `sslmode: prefer`"),
            )
            .with_code("tls_unsupported");
        }
        ConnectorError::internal("protocol_error", format!("{doing}: {self}: {text}: {cause}"))
    }

    /// The connection failed below the protocol.
    #[must_use]
    pub fn io_error(&self, doing: &str, error: &std::io::Error) -> ConnectorError {
        let mut source = error.get_ref().map(|cause| cause as &(dyn std::error::Error + 'static));
        while let Some(cause) = source {
            if let Some(connector) = cause.downcast_ref::<ConnectorError>() {
                return connector.clone();
            }
            source = cause.source();
        }
        ConnectorError::transient_network(
            "connection_failed",
            format!("{doing}: the connection to {self} failed: {error}"),
        )
    }

    /// The server went away without a word.
    #[must_use]
    pub fn closed(&self, doing: &str) -> ConnectorError {
        ConnectorError::transient_network(
            "connection_closed",
            format!("{doing}: {self} closed the connection; its log may say why"),
        )
    }

    /// An error the server reported.
    #[must_use]
    pub fn database_error(&self, doing: &str, error: &DbError) -> ConnectorError {
        let sqlstate = error.code().code();
        let class = Class::of(sqlstate);
        let step = next_step(sqlstate).unwrap_or_default();
        let message = format!("{doing}: {self}: {} ({sqlstate}){step}", error.message());
        let code = code(sqlstate);
        let mapped = match class {
            Class::Auth => ConnectorError::auth(code, message),
            Class::Permission => ConnectorError::permission(code, message),
            Class::TransientNetwork => ConnectorError::transient_network(code, message),
            Class::TransientDatabase => ConnectorError::transient_db(code, message),
            Class::Data => ConnectorError::data(code, message),
            Class::Schema => ConnectorError::schema(code, message),
            Class::Config => ConnectorError::config("database", message).with_code(code),
            Class::Internal => ConnectorError::internal(code, message),
        };
        let mut details = json!({
            "sqlstate": sqlstate, "endpoint": self.to_string(), "server_message": error.message(),
        });
        for (name, value) in [
            ("schema", error.schema()),
            ("table", error.table()),
            ("column", error.column()),
            ("data_type", error.datatype()),
            ("constraint", error.constraint()),
            ("hint", error.hint()),
        ] {
            if let Some(value) = value {
                details[name] = value.into();
            }
        }
        mapped.with_details(details)
    }
}

/// Who must act on a SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Auth,
    Permission,
    Config,
    TransientNetwork,
    TransientDatabase,
    Data,
    Schema,
    Internal,
}

impl Class {
    /// By the code where one code differs from its class, else by the class.
    #[must_use]
    pub fn of(sqlstate: &str) -> Self {
        match sqlstate {
            "42501" => return Self::Permission,
            // The database or the schema of the config does not exist.
            "3D000" | "3F000" => return Self::Config,
            // The transaction was chosen to fail, or a lock was not to be had: again later.
            "40001" | "40P01" | "40003" | "55P03" | "55006" | "55000" | "25P03" | "25P04" => {
                return Self::TransientDatabase;
            }
            // Query cancelled (a time-out of the server's), shut down, crashed, starting.
            "57014" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => return Self::TransientDatabase,
            // What a trigger or a function raises is about the row that it saw.
            "P0001" => return Self::Data,
            // The binary form of another type: the encoder and the table disagree, no value is to blame.
            "22P03" => return Self::Internal,
            // Statement too complex, too many columns: repeating won't help.
            "54000" | "54001" | "54011" | "54023" => return Self::Schema,
            _ => {}
        }
        match sqlstate.get(..2).unwrap_or_default() {
            "08" => Self::TransientNetwork,
            "28" => Self::Auth,
            // Out of resources (disk, memory, connections), and errors of the system below.
            "53" | "58" => Self::TransientDatabase,
            // Bad values, broken constraints.
            "22" | "23" | "21" | "44" => Self::Data,
            // Names, types and syntax.
            "42" | "0A" | "2B" => Self::Schema,
            _ => Self::Internal,
        }
    }
}

/// A stable code: a name for what users meet often, else the SQLSTATE.
fn code(sqlstate: &str) -> String {
    let name = match sqlstate {
        "28P01" => "password_refused",
        "28000" => "login_refused",
        "42501" => "permission_denied",
        "3D000" => "database_missing",
        "3F000" => "schema_missing",
        "42P01" => "relation_missing",
        "42703" => "column_missing",
        "42804" => "type_mismatch",
        "40001" => "serialization_failure",
        "40P01" => "deadlock",
        "53300" => "too_many_connections",
        "57P01" => "server_shutdown",
        "57P03" => "server_starting",
        "57014" => "query_cancelled",
        "22021" => "value_not_utf8",
        "55P03" => "lock_not_available",
        "23505" => "unique_violation",
        "23502" => "not_null_violation",
        "23503" => "foreign_key_violation",
        "23514" => "check_violation",
        other => return format!("sqlstate_{}", other.to_ascii_lowercase()),
    };
    name.to_owned()
}

/// What to do about it, behind a semicolon.
fn next_step(sqlstate: &str) -> Option<&'static str> {
    Some(match sqlstate {
        "28P01" => "; check `user` and `password`",
        "28000" => "; check `user`, `sslmode` and the server's `pg_hba.conf`",
        "42501" => "; grant the user the right",
        "3D000" => "; check `database`",
        "3F000" => "; check `schema`",
        "42P01" | "42703" => "; run `rapidbyte schema discover` to see what there is",
        "22021" => "; the database has no encoding of its own (SQL_ASCII) and holds text that is not UTF-8",
        "53300" => "; lower `parallelism` or raise the server's `max_connections`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_say_who_must_act() {
        for (sqlstate, class) in [
            ("28P01", Class::Auth),
            ("42501", Class::Permission),
            ("40001", Class::TransientDatabase),
            ("40P01", Class::TransientDatabase),
            ("57P01", Class::TransientDatabase),
            ("57P03", Class::TransientDatabase),
            ("53300", Class::TransientDatabase),
            ("08006", Class::TransientNetwork),
            ("42P01", Class::Schema),
            ("42703", Class::Schema),
            ("22003", Class::Data),
            ("23505", Class::Data),
            ("3D000", Class::Config),
            ("XX000", Class::Internal),
            ("", Class::Internal),
        ] {
            assert_eq!(Class::of(sqlstate), class, "{sqlstate}");
        }
    }
}
