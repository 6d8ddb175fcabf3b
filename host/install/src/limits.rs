//! Bounds of what the operator's files and strangers' programs may make us take in.

/// `config.toml`, Docker's `config.json`. Both are written by people.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// A CA file: system bundles are below 300 KB.
pub const CA_BYTES_MAX: u64 = 4 << 20;
/// What a credential helper says. Tokens of cloud registries are a few KB.
pub const HELPER_ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Packages that are downloaded side by side: more share the same line.
pub const DOWNLOADS_MAX: usize = 8;
/// More hosts than this in a manifest are worth a second look.
pub const HOSTS_USUAL_MAX: usize = 10;
/// A bundle unpacked: a hundred of the largest connectors.
pub const BUNDLE_BYTES_MAX: u64 = 8 << 30;
/// Files in a bundle: ten or so for each package with its statements.
pub const BUNDLE_FILES_MAX: usize = 100_000;
