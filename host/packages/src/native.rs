//! What compiled code of a component is called beside a package: a referrer of its manifest, one for each platform, with the
//! engine that it is for. The package's signature says nothing of it; a statement of its own does.

/// Of the referrer.
pub const ARTIFACT_TYPE: &str = "application/vnd.rapidbyte.native-code.v1";
/// Of its one layer: a Wasmtime artifact.
pub const LAYER_MEDIA_TYPE: &str = "application/vnd.rapidbyte.native-code.v1+cwasm";
/// Annotation: Rust's name of the platform.
pub const TARGET: &str = "dev.rapidbyte.native.target";
/// Annotation: the engine that alone takes it.
pub const ENGINE: &str = "dev.rapidbyte.native.engine";
/// Of the statement that somebody stands for compiled code, whose digest is its subject.
pub const PREDICATE_TYPE: &str = "https://github.com/rapidbyte/rapidbyte/native-code/v1";
