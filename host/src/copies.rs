//! The local cache as the engine's port for copies, and where it lies. What a cache is, `query` knows.

use std::path::PathBuf;
use std::sync::Arc;

use rapidbyte_core::copy::{CopyKeeper, CopyWriter, StreamCopy};
use rapidbyte_core::{ConnectorError, ErrorCategory, WriteMode, WritePlan};
use rapidbyte_query::{CacheError, CacheMode, CacheWriter, StreamCache};

use crate::operations::document::Document;
use crate::settings::{Host, WORKSPACE_FILE};

const FOLDER: &str = "cache";
/// In the user's folder, beside compiled code.
const USER_FOLDER: &str = "streams";

/// Keeps copies in a folder.
struct Keeper {
    folder: PathBuf,
}

struct Kept(StreamCache);

struct Filling(CacheWriter);

impl Host {
    /// Where a document's streams are cached.
    pub fn cache_path(&self, document: &Document) -> PathBuf {
        if let Some(path) = &document.pipeline.cache.path {
            return document.folder().join(&path.value);
        }
        self.default_cache_path(document.folder())
    }

    /// Where streams are cached whose document does not say: in the workspace that holds a folder, else in the user's.
    pub fn default_cache_path(&self, folder: &std::path::Path) -> PathBuf {
        match folder.ancestors().find(|folder| folder.join(WORKSPACE_FILE).is_file()) {
            Some(workspace) => workspace.join(".rapidbyte").join(FOLDER),
            None => self.settings.home.join(FOLDER).join(USER_FOLDER),
        }
    }

    pub(crate) fn copies(&self, document: &Document) -> Option<Arc<dyn CopyKeeper>> {
        let cache = &document.pipeline.cache;
        cache.enabled.then(|| Arc::new(Keeper { folder: self.cache_path(document) }) as Arc<dyn CopyKeeper>)
    }
}

fn failed(error: CacheError) -> ConnectorError {
    let category = match error {
        CacheError::NameTooLong { .. } => ErrorCategory::Config,
        CacheError::Unsupported { .. } | CacheError::NoKey { .. } => ErrorCategory::Schema,
        CacheError::Io { .. } | CacheError::Damaged { .. } | CacheError::TooNew { .. } => {
            ErrorCategory::Internal
        }
    };
    ConnectorError::new(category, error.code(), error.to_string())
}

impl CopyKeeper for Keeper {
    fn open(
        &self,
        pipeline: &str,
        stream: &str,
        write: &WritePlan,
        resuming: bool,
    ) -> Result<Arc<dyn StreamCopy>, ConnectorError> {
        let mode = match write.mode {
            WriteMode::Append => CacheMode::Append,
            WriteMode::Replace => CacheMode::Replace,
            WriteMode::Upsert | WriteMode::Merge => CacheMode::Upsert { key: write.primary_key.clone() },
        };
        let cache = StreamCache::open(&self.folder, pipeline, stream, mode, resuming).map_err(failed)?;
        Ok(Arc::new(Kept(cache)))
    }
}

impl StreamCopy for Kept {
    fn writer(&self, partition: u32, committed: Option<u64>) -> Result<Box<dyn CopyWriter>, ConnectorError> {
        Ok(Box::new(Filling(self.0.writer(partition, committed).map_err(failed)?)))
    }

    fn complete(&self) -> Result<(), ConnectorError> {
        self.0.complete().map_err(failed)
    }
}

impl CopyWriter for Filling {
    fn append(&mut self, batch: &arrow_array::RecordBatch) -> Result<(), ConnectorError> {
        self.0.append(batch).map_err(failed)
    }

    fn commit(&mut self, checkpoint: u64) -> Result<(), ConnectorError> {
        self.0.commit(checkpoint).map_err(failed)
    }
}
