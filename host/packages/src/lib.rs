//! Packages: what they are called, what they are made of, where they lie on this machine, and which of them a project has
//! decided for. Everything here works without a network; a registry is the port [`registry::Registry`], of which the folder
//! ([`folder`]) is the one that lives here.
//!
//! Refuses to know: HTTP, signatures, how a component is run.

pub mod blob;
pub mod capabilities;
pub mod digest;
pub mod folder;
pub mod index;
pub mod limits;
pub mod lock;
pub mod native;
pub mod oci;
pub mod package;
pub mod reference;
pub mod registry;
pub mod store;
