//! SQL over streams and over what was synced: the only room that knows DataFusion.
//!
//! [`Planner`] plans a pipeline's host transforms and the rules of its contracts over the schema of a stream. `steps` are what
//! answers batch by batch, `whole` what needs the whole stream; `text` reads SQL within bounds, `select` says which queries a
//! stream that passes once can answer, `engine` sets DataFusion up, `problem` puts its errors into words.
//!
//! [`StreamCache`] keeps what was synced as Parquet, [`QuerySession`] asks it, [`write()`] writes the answers.
//!
//! Refuses to know: documents, connectors, state, the terminal.

mod cache;
mod engine;
pub mod limits;
mod output;
mod planner;
mod problem;
mod rules;
mod select;
mod session;
mod steps;
mod text;
mod whole;

pub use cache::{CacheError, CacheMode, CacheWriter, StreamCache};
pub use output::{OutputFormat, Written, write};
pub use planner::Planner;
pub use session::{ColumnInfo, QueryError, QuerySession, Rows, TableInfo};
