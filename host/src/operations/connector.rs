//! `rapidbyte connector build`: a crate becomes a component, and the component code for this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rapidbyte_wasm::LoadOptions;

use crate::connector::build::{self, BuildProgress, BuiltConnector};
use crate::error::HostError;
use crate::settings::Host;

/// What was built.
#[derive(Debug, Clone)]
pub struct BuildReport {
    pub built: BuiltConnector,
    /// The code compiled for this machine, where there is a cache to keep it in.
    pub code: Option<PathBuf>,
    pub code_bytes: Option<u64>,
    /// How long that took. None: it was there.
    pub compiled_in: Option<Duration>,
}

impl Host {
    /// Builds the connector crate in `folder`, with Cargo's dev profile if `debug`, and compiles it into the cache so that its
    /// first run starts at once. Blocks.
    pub fn build_connector(
        &self,
        folder: &Path,
        debug: bool,
        progress: &mut dyn BuildProgress,
    ) -> Result<BuildReport, HostError> {
        let built = build::build(folder, debug, progress)?;
        let options = LoadOptions {
            id: built.manifest.id(),
            grants: Default::default(),
            memory_bytes_max: built.manifest.limits.memory_bytes,
            idle_timeout: Duration::from_millis(built.manifest.limits.timeout_ms),
            redactor: self.settings.redactor.clone(),
        };
        let loaded = self
            .engine()?
            .load(&built.component, options)
            .map_err(|error| HostError::Component { path: built.component.clone(), error })?;
        let cache = loaded.cache();
        // Kept as a favour: where it cannot be, the next run compiles again.
        let code_bytes = cache.path.as_ref().and_then(|path| Some(std::fs::metadata(path).ok()?.len()));
        Ok(BuildReport {
            code: cache.path.clone().filter(|_| code_bytes.is_some()),
            code_bytes,
            compiled_in: cache.compiled_in,
            built,
        })
    }
}
