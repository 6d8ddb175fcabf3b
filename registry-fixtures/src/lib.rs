//! Registries for tests: Debian's `docker-registry`, which is the worst that a user may have (no referrers API, passwords in a
//! file), and a server that misbehaves as it is told. Both listen on loopback and end with their value.

mod debian;
mod rogue;
mod sigstore;

pub use debian::{DockerRegistry, PASSWORD, USER};
pub use rogue::{Answer, RogueRegistry};
pub use sigstore::Authority;
