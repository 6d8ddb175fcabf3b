//! Publishing: what belongs to a version of a package, and how it gets to a registry so that nobody ever sees half of it.
//!
//! | module | owns |
//! | --- | --- |
//! | [`publication`] | everything that is pushed for one version, before a byte of it is sent |
//! | [`mod@push`] | the order: blobs, the package by its digest, what refers to it, and its version tag last |
//! | [`index`] | the document that says what a registry has, and its way there |
//! | [`sbom`] | the bill of materials, as CycloneDX |
//! | [`provenance`] | what it was built of and how, as SLSA |
//!
//! Refuses to know: how a component is built or judged, HTTP, where keys and passwords come from.

pub mod index;
pub mod provenance;
pub mod publication;
pub mod push;
pub mod sbom;

pub use publication::{Native, Parts, Publication};
pub use push::{PushError, Pushed, Step, push};
