//! The Rapidbyte SDK: what connector authors write against. A connector is an async struct that implements one role;
//! `#[connector]` turns it into a WebAssembly component, and the in-memory host of [`testing`] runs the same code natively.
//!
//! ```no_run
//! use rapidbyte_sdk::prelude::*;
//!
//! #[derive(serde::Deserialize, ConfigSchema)]
//! pub struct Config {
//!     /// Server to connect to.
//!     host: String,
//!     #[config(default = 5432)]
//!     port: u16,
//!     #[config(secret)]
//!     password: Option<String>,
//! }
//!
//! #[connector(source)]
//! pub struct SourceExample {
//!     config: Config,
//! }
//!
//! impl Source for SourceExample {
//!     type Config = Config;
//!
//!     async fn open(config: Config) -> Result<(Self, OpenInfo), ConnectorError> {
//!         let capabilities = Capabilities { full_refresh: true, ..Capabilities::default() };
//!         Ok((SourceExample { config }, OpenInfo::new(connector_id!(), capabilities)))
//!     }
//!
//!     async fn run(&mut self, ctx: &Context, request: RunRequest) -> Result<RunSummary, ConnectorError> {
//!         ctx.log().info("reading", &[("host", self.config.host.as_str().into())]);
//!         Ok(RunSummary::read(ctx.read_summary()))
//!     }
//! }
//! ```
//!
//! # Map
//!
//! | module | owns |
//! | --- | --- |
//! | [`traits`](Source) | the roles: [`Source`], [`Destination`], [`Transform`] |
//! | [`context`] | [`Context`]: batches, checkpoints, state, telemetry, cancellation |
//! | [`types`] | the contract's records: [`RunRequest`], [`StreamContext`], [`RunSummary`], … |
//! | [`error`] | [`ConnectorError`] and its constructors |
//! | [`net`] | [`HostTcpStream`] |
//! | `http` | an HTTP client for REST connectors (feature `http`) |
//! | [`schema`], [`config`] | [`ConfigSchema`] and the check of a configuration against it |
//! | [`batch`] | frames: Arrow IPC with reused buffers |
//! | [`bisect`] | which records of a batch a system refuses, in few attempts |
//! | [`testing`] | the in-memory host (native only) |
//! | `wasm` | bindings, exports and the guest's executor (component only) |
//! | `native` | the same backend over tokio and the test host |
//!
//! Inside `run` everything of tokio that needs neither threads nor sockets of its own works: `spawn`, `spawn_local`,
//! `select!`, `time`, `sync`. Calls that open a connection, change TLS or touch state stop the connector's other tasks
//! until the host has answered; reading, writing, emitting and waiting do not.

// The generated code names the SDK as connectors see it.
extern crate self as rapidbyte_sdk;

pub mod batch;
pub mod bisect;
pub mod config;
pub mod context;
pub mod error;
mod events;
#[cfg(feature = "http")]
pub mod http;
pub mod limits;
pub mod net;
mod role;
pub mod schema;
mod traits;
pub mod types;

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(not(target_family = "wasm"))]
use native as backend;
#[cfg(target_family = "wasm")]
use wasm as backend;

pub use context::{Context, Event, Log, State};
pub use error::{BackoffClass, CommitState, ConnectorError, ErrorCategory, ErrorScope};
pub use net::{HostTcpStream, TlsInfo, TlsOptions, TlsVerification};
pub use rapidbyte_sdk_macros::{ConfigSchema, connector};
pub use schema::{ConfigSchema, NoConfig};
pub use traits::{Destination, Source, Transform};
pub use types::*;

/// The Arrow crates that the SDK's API speaks, so that a connector cannot end up with another version.
pub mod arrow {
    pub use arrow_array as array;
    pub use arrow_buffer as buffer;
    pub use arrow_ipc as ipc;
    pub use arrow_schema as schema;
}

/// Everything a connector usually needs: `use rapidbyte_sdk::prelude::*;`
pub mod prelude {
    pub use crate::context::{Context, Event, Log, State};
    pub use crate::error::{BackoffClass, CommitState, ConnectorError, ErrorCategory, ErrorScope};
    pub use crate::net::{HostTcpStream, TlsInfo, TlsOptions, TlsVerification};
    pub use crate::schema::NoConfig;
    pub use crate::traits::{Destination, Source, Transform};
    pub use crate::types::*;
    pub use crate::{ConfigSchema, connector, connector_id};
}

/// Name and version of the calling crate, as [`OpenInfo`] wants them: `source-example@0.1.0`.
#[macro_export]
macro_rules! connector_id {
    () => {
        concat!(env!("CARGO_PKG_NAME"), "@", env!("CARGO_PKG_VERSION"))
    };
}

/// What the code that `#[connector]` and `#[derive(ConfigSchema)]` generate refers to. Not for authors.
#[doc(hidden)]
pub mod __private {
    pub use crate::role::{DestinationRole, Role, SourceRole, TransformRole};
    pub use crate::schema;
    #[cfg(target_family = "wasm")]
    pub use crate::wasm::{bindings, export};
    #[cfg(target_family = "wasm")]
    pub use wit_bindgen;
}

/// The examples of the page about the SDK are tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/sdk.md")]
mod page {}
