//! Every bound of what comes from a registry, in one place. Sizes are in bytes.

/// A manifest, an index, a tag list. Registries refuse to take more than 4 MiB of a manifest.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// The config blob, which carries our manifest with its schema.
pub const CONFIG_BYTES_MAX: u64 = 2 << 20;
/// A signature, a certificate, a statement.
pub const STATEMENT_BYTES_MAX: u64 = 4 << 20;
/// Tags of one repository; referrers of one manifest.
pub const ENTRIES_MAX: usize = 10_000;
/// A component: what the host loads at most.
pub const COMPONENT_BYTES_MAX: u64 = rapidbyte_core::limits::COMPONENT_BYTES_MAX;
/// `rapidbyte.lock`.
pub const LOCK_BYTES_MAX: u64 = 8 << 20;
/// A name of a package.
pub const NAME_CHARS_MAX: usize = 64;
/// A repository's path with its namespace.
pub const REPOSITORY_CHARS_MAX: usize = 255;
/// The index of a namespace: ten thousand versions have about 2 MB.
pub const INDEX_BYTES_MAX: u64 = 16 << 20;
/// A package's description in lists.
pub const DESCRIPTION_CHARS_MAX: usize = 300;
