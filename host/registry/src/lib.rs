//! Registries that are servers: the OCI distribution protocol over HTTPS. One room for each thing a stranger's server can do to
//! us: [`client`] sends requests, bounds answers, follows redirects only where they may lead and tries again what may help;
//! [`auth`] answers challenges; [`server`] is the port of [`rapidbyte_packages::registry`] on top of both. [`serve`] is the
//! other end: the embedded registry over a folder.
//!
//! Refuses to know: what a package is, who is trusted.

pub mod auth;
pub mod client;
pub mod limits;
pub mod serve;
pub mod server;

pub use auth::Credentials;
pub use serve::RegistryServer;
pub use server::{ServerOptions, ServerRegistry};
