//! Where cursors, runs and connector state live: the adapters of the `StateStore` port.
//!
//! - [`sqlite`]: one file in a workspace or in the user's folder; the default.
//! - [`holder`]: who holds a claim, and whether that process still lives.
//! - `errors_json`: the errors of dead letters as text.
//! - `schema`: the tables and their versioned migrations.
//!
//! Refuses to know: what a pipeline is, when a checkpoint is due, what a cursor means.

mod errors_json;
pub mod holder;
mod limits;
mod schema;
pub mod sqlite;

pub use sqlite::SqliteStore;
