//! `source-postgres` natively against a real server.

mod copy;
mod discovery;
mod failures;
mod filter;
mod full_refresh;
mod harness;
mod incremental;
mod partitions;
mod tls;
mod types;
