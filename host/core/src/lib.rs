//! What every room of the host shares: the contract's records in Rust, the one error record, the limits, the
//! byte-bounded channel and the ports (traits) through which the engine sees everything else.
//!
//! Refuses to know: Wasm, how SQL is planned, YAML, files, the network, the terminal.

pub mod channel;
pub mod contract;
pub mod copy;
pub mod dead_letter;
pub mod error;
pub mod frame;
pub mod grants;
pub mod limits;
pub mod ports;
pub mod profile;
pub mod redact;
pub mod sql;
pub mod sql_type;
pub mod telemetry;
pub mod waiting;

pub use contract::*;
pub use error::{BackoffClass, CommitState, ConnectorError, ErrorCategory, ErrorScope};
pub use frame::Frame;
