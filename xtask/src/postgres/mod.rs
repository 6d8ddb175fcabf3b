//! PostgreSQL for tests and benchmarks: finds the server's programs ([`binaries`]) and runs throw-away servers
//! ([`Server`]). Never touches a server that it did not start.

pub mod binaries;
mod server;

pub use server::{Durability, PASSWORD, Server, Shutdown, USER};
