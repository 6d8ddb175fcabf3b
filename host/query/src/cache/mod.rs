//! The local cache: what was synced, as Parquet files that people can ask with SQL.
//!
//! ```text
//! <cache>/<pipeline>/<stream>/stream.json     what counts, replaced as a whole
//! <cache>/<pipeline>/<stream>/00000001.parquet
//! ```
//!
//! A file counts once `stream.json` names it. Every file carries the checkpoint up to which it goes, so that a reading that is
//! resumed from an older checkpoint drops what it will read again: the cache has each row as often as the destination.
//!
//! Refuses to know: when a run commits, and how the destination merges what it is sent.

mod manifest;
pub(crate) mod table;
mod writer;

use std::path::PathBuf;

pub use manifest::CacheMode;
pub(crate) use manifest::{Manifest, find};
pub use writer::{CacheWriter, StreamCache};

/// Why the cache cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("the cache at `{path}` cannot be used: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    /// A file of it is not what it should be.
    #[error("the cached file `{path}` is damaged: {message}")]
    Damaged { path: PathBuf, message: String },
    #[error("the cache at `{path}` was written by a newer version")]
    TooNew { path: PathBuf },
    /// Parquet has no form for it.
    #[error("stream `{stream}` cannot be cached: {message}")]
    Unsupported { stream: String, message: String },
    #[error("the name `{name}` is too long for a folder of the cache")]
    NameTooLong { name: String },
    /// The key is what the newest version of a row is found by.
    #[error("stream `{stream}` is kept by its key, and has no column `{column}`")]
    NoKey { stream: String, column: String },
}

impl CacheError {
    pub fn code(&self) -> &'static str {
        match self {
            CacheError::Io { .. } => "cache_unavailable",
            CacheError::Damaged { .. } => "cache_damaged",
            CacheError::TooNew { .. } => "cache_too_new",
            CacheError::Unsupported { .. } => "cache_unsupported_type",
            CacheError::NameTooLong { .. } => "cache_name_too_long",
            CacheError::NoKey { .. } => "cache_no_key",
        }
    }
}
