//! The façade of the embedded runtime: everything that the command line does is one call here, with an options struct in
//! and a report out. It wires the adapters to the engine's ports and refuses to know arguments, colours and terminals.
//!
//! The rooms, each a crate of its own, arrows pointing down:
//!
//! | room | owns |
//! | --- | --- |
//! | [`engine`] | plan, tasks, the pump, the commit protocol; sees the world only through ports |
//! | [`wasm`] | Wasmtime: bindings, imports, sandbox, compiled-code cache |
//! | [`state`] | cursors, runs and connector state in SQLite |
//! | [`pipeline`] | text to checked pipeline documents and manifests; no I/O |
//! | [`install`] | the operator's side of packages: registries by alias, credentials, what to install, what to look at, the lock |
//! | [`packages`] | names, OCI documents, the package, folders as registries, the store, the lock's format |
//! | [`registry`] | registries that are servers, and the embedded one |
//! | [`signing`] | keys and signatures in cosign's forms |
//! | [`publish`] | what belongs to a version of a package, and the order in which it is pushed |
//! | [`telemetry`] | a run's events over OTLP, a run's profile for people |
//! | [`scaffold`] | new connector projects, and the SDK that travels in the binary |
//! | [`core`] | the contract's records, errors, limits, channel and the ports themselves |
//!
//! Here: [`connector`] takes a connector from its folder to something that can be started, `provision` the packages that a
//! pipeline names, `project` the settings that hold for it, [`hooks`] the commands around its run, `publishing` what is known of a project that is published, [`operations`] are the
//! commands, [`settings`] is all that the caller decides. Read `host/core/src/ports.rs` next, then
//! `host/engine/src/pump.rs`.

mod cassettes;
pub mod connector;
mod copies;
pub mod error;
pub mod hooks;
mod letters;
mod notify;
pub mod operations;
mod project;
mod provision;
mod publishing;
pub mod settings;

pub use rapidbyte_core as core;
pub use rapidbyte_engine as engine;
pub use rapidbyte_install as install;
pub use rapidbyte_packages as packages;
pub use rapidbyte_pipeline as pipeline;
pub use rapidbyte_publish as publish;
pub use rapidbyte_query as query;
pub use rapidbyte_registry as registry;
pub use rapidbyte_scaffold as scaffold;
pub use rapidbyte_signing as signing;
pub use rapidbyte_state as state;
pub use rapidbyte_telemetry as telemetry;
pub use rapidbyte_wasm as wasm;

pub use error::HostError;
pub use provision::PackageOptions;
pub use settings::{Host, PackageSettings, Settings};
