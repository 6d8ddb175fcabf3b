//! What `source-postgres` and `dest-postgres` share: connecting, error mapping, names, the type mapping and the
//! binary COPY format. Knows nothing of streams, cursors or write modes.
//!
//! ```text
//! config      what a connection needs, and `sslmode`
//! connect     a session: tokio-postgres over the host's sockets, TLS, settings that make text forms exact
//! wire        the socket between tokio-postgres and the host; hands COPY rows out without a copy per row
//! errors      SQLSTATE and I/O failures → `ConnectorError`
//! identifier  quoting of names and literals; stream names
//! types       PostgreSQL type ↔ Arrow field, with the metadata that makes it lossless
//! decode      binary COPY → Arrow builders (hot path)
//! encode      Arrow → binary COPY (hot path)
//! limits      every bound, with where it comes from
//! testing     a throwaway server for tests (feature `testing`, native only)
//! ```

pub mod config;
pub mod connect;
pub mod decode;
pub mod encode;
pub mod errors;
pub mod identifier;
pub mod limits;
pub mod types;
pub mod wire;

#[cfg(all(any(test, feature = "testing"), not(target_family = "wasm")))]
pub mod testing;

pub use config::{ConnectOptions, SslMode};
pub use connect::Session;
pub use errors::Endpoint;
