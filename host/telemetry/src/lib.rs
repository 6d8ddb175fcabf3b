//! Telemetry: a run's events as OpenTelemetry traces, metrics and logs over OTLP (HTTP, protobuf), and a run's profile as
//! text and as a page.
//!
//! Owns everything that knows OpenTelemetry. The engine reports [`RunEvent`](rapidbyte_core::ports::RunEvent)s to an
//! observer; [`RunObserver`] is one that passes them on and tells the exporters. Refuses to know: the environment, files,
//! the terminal, how a run is executed.
//!
//! # Map
//!
//! | module | owns |
//! | --- | --- |
//! | [`config`] | the standard variables and the user's settings → what is exported where |
//! | `client` | HTTP requests with a bounded time |
//! | `export` | queues, batches, what was not delivered, the last flush |
//! | `observer` | spans and measurements from a run's events |
//! | [`metrics`] | every metric: name, unit, attributes |
//! | `logs` | `tracing` events and connectors' lines as log records |
//! | [`profile`] | a run's profile as text and as a self-contained page |
//! | [`webhook`] | one message to one address |
//!
//! # Invariants
//!
//! - Without an endpoint nothing is made: no thread, no queue, no client.
//! - A collector that is slow, down or refuses never slows or fails a run: queues are bounded, what does not fit is dropped
//!   and counted, the last flush has a time limit.
//! - Every text passes the redactor before it is queued.

mod client;
pub mod config;
mod export;
pub mod limits;
mod logs;
pub mod metrics;
mod observer;
pub mod profile;
pub mod webhook;

pub use config::{Config, ConfigError, Endpoint};
pub use export::{Telemetry, TelemetryError, Undelivered};
pub use logs::LogLayer;
pub use metrics::{MemoryProbe, ProcessMemory};
pub use observer::{RunObserver, RunOutcome};
