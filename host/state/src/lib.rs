//! Where cursors, runs and connector state live: the adapters of the `StateStore` port.
//!
//! - [`sqlite`]: one file in a workspace or in the user's folder; the default.
//! - [`postgres`]: a schema in a PostgreSQL server; for several machines.
//! - [`holder`]: who holds a claim, and whether that process still lives.
//! - [`transfer`]: whole states out, in, and from one backend to the other.
//! - `errors_json`: the errors of dead letters as text.
//! - `schema`: the tables and their versioned migrations.
//!
//! Refuses to know: what a pipeline is, when a checkpoint is due, what a cursor means.

mod clock;
mod errors_json;
pub mod holder;
mod limits;
pub mod postgres;
mod schema;
pub mod sqlite;
mod text;
pub mod transfer;

pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;
pub use transfer::Store;
