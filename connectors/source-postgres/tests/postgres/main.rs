//! `source-postgres` natively against a real server.

mod copy;
mod discovery;
mod failures;
mod full_refresh;
mod harness;
mod incremental;
mod tls;
mod types;
