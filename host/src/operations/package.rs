//! What `rapidbyte connectors` needs of WebAssembly: installed components compiled for this machine before they are needed.

use std::time::Duration;

use rapidbyte_packages::store::Installed;
use rapidbyte_wasm::LoadOptions;

use crate::connector::load::read_manifest;
use crate::error::HostError;
use crate::settings::Host;

/// What compiling came to.
#[derive(Debug, Clone)]
pub struct CompiledPackage {
    pub code_bytes: Option<u64>,
    /// None: it was compiled before.
    pub compiled_in: Option<Duration>,
}

impl Host {
    /// Compiles an installed package into the cache, so that its first run starts at once. Blocks.
    pub fn compile_package(&self, installed: &Installed) -> Result<CompiledPackage, HostError> {
        let component = self.installer()?.store.blob_path(&installed.layer);
        let manifest = read_manifest(&component)?;
        let options = LoadOptions {
            id: manifest.id(),
            grants: Default::default(),
            memory_bytes_max: manifest.limits.memory_bytes,
            idle_timeout: Duration::from_millis(manifest.limits.timeout_ms),
            redactor: self.settings.redactor.clone(),
        };
        let loaded = self
            .engine()?
            .load(&component, options)
            .map_err(|error| HostError::Component { path: component.clone(), error })?;
        let cache = loaded.cache();
        let code_bytes = cache.path.as_ref().and_then(|path| Some(std::fs::metadata(path).ok()?.len()));
        Ok(CompiledPackage { code_bytes, compiled_in: cache.compiled_in })
    }
}
