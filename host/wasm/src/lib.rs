//! The sandbox: connectors as WebAssembly components under Wasmtime, behind the ports of `rapidbyte-core`.
//!
//! Owns: compiling and caching code ([`Engine`]), reading what a component says about itself ([`component`]), the grants'
//! enforcement, all of `host-io`. Refuses to know: pipelines, tasks, state backends, the terminal.
//!
//! ```no_run
//! # async fn example(io: rapidbyte_core::ports::InstanceIo) -> Result<(), Box<dyn std::error::Error>> {
//! use rapidbyte_core::ports::Connector;
//! use rapidbyte_wasm::{Engine, EngineOptions, LoadOptions};
//!
//! let engine = Engine::new(EngineOptions { cache_dir: Some("/home/me/.cache/rapidbyte".into()), ..Default::default() })?;
//! let connector = engine.load(
//!     "connectors/source_file.wasm".as_ref(),
//!     LoadOptions {
//!         id: "source-file@0.1.0".into(),
//!         grants: Default::default(),
//!         memory_bytes_max: 256 << 20,
//!         idle_timeout: std::time::Duration::from_secs(3600),
//!         redactor: Default::default(),
//!     },
//! )?;
//! let mut instance = connector.start(io).await?;
//! instance.open(r#"{"path": "/data"}"#).await?;
//! # Ok(()) }
//! ```
//!
//! # Map
//!
//! | module | owns |
//! | --- | --- |
//! | `engine` | Wasmtime's settings, the epoch's clock, loading, precompiling |
//! | `cache` | compiled code on disk |
//! | [`component`] | role, imports, exports, manifest and config schema from bytes |
//! | [`composition`] | what a component is made of, in bytes |
//! | `target` | code for other platforms |
//! | `connector`, `instance` | the ports `Connector` and `Instance` |
//! | `fault` | from traps and time-outs to errors |
//! | [`faults`] | what a test makes go wrong at an import |
//! | `activity` | the idle clock |
//! | `sandbox` | WASI |
//! | `store` | what the host keeps for one instance, memory and table limits |
//! | `imports/` | `host-io`, by kind of service |
//! | [`network`] | access check, resolution, sockets, TLS, cassettes |
//! | `wash`, `report` | texts of guests: cut, redacted, rate-limited |
//! | `bindings`, `convert` | the contract's records in Wasmtime's form and ours |
//!
//! # Invariants
//!
//! - A guest reaches nothing but `imports` and the WASI of `sandbox`; every way out is checked in `network`.
//! - Every size a guest can name is capped before anything is allocated for it.
//! - Dropping a call's future stops the guest at its next wait or epoch tick; after that, and after a trap, the instance
//!   answers `instance_poisoned` and nothing else.
//! - Loading blocks (compiling takes a second or more); running never holds a thread.

mod activity;
mod bindings;
mod cache;
pub mod component;
pub mod composition;
mod connector;
mod convert;
mod engine;
mod fault;
pub mod faults;
mod imports;
mod instance;
pub mod limits;
pub mod network;
mod report;
mod sandbox;
mod store;
mod target;
mod wash;

pub use component::{ComponentError, Inspection};
pub use connector::WasmConnector;
pub use engine::{CacheUse, Engine, EngineOptions, LoadOptions, Precompiled};
pub use imports::json_lines;
pub use instance::WasmInstance;
pub use network::{Network, Resolver, SystemResolver};
pub use target::{NativeCode, NativeTarget};
