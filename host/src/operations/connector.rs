//! `rapidbyte connector build`: a crate becomes a component, and the component code for this machine and others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rapidbyte_wasm::composition::{self, Composition};
use rapidbyte_wasm::{LoadOptions, NativeTarget};

use crate::connector::build::{self, BuildProgress, BuiltConnector};
use crate::error::HostError;
use crate::settings::Host;

/// What is to be built.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// The crate's folder.
    pub folder: PathBuf,
    /// Cargo's dev profile instead of its release profile.
    pub debug: bool,
    /// Platforms to compile for besides this one.
    pub targets: Vec<NativeTarget>,
    /// Whether to say what the component is made of.
    pub composition: bool,
}

/// What was built.
#[derive(Debug, Clone)]
pub struct BuildReport {
    pub built: BuiltConnector,
    /// The code compiled for this machine, where there is a cache to keep it in.
    pub code: Option<PathBuf>,
    pub code_bytes: Option<u64>,
    /// How long that took. None: it was there.
    pub compiled_in: Option<Duration>,
    /// The code for other platforms, in the order that was asked for.
    pub native: Vec<NativeFile>,
    pub composition: Option<Composition>,
}

/// Code for a platform, beside the component: `source-jira.aarch64-apple-darwin.cwasm`.
#[derive(Debug, Clone)]
pub struct NativeFile {
    pub target: NativeTarget,
    pub path: PathBuf,
    pub bytes: u64,
    /// How long compiling took. None: it was compiled before.
    pub compiled_in: Option<Duration>,
}

impl Host {
    /// Builds a connector crate and compiles it into the cache so that its first run starts at once. Blocks.
    pub fn build_connector(
        &self,
        options: &BuildOptions,
        progress: &mut dyn BuildProgress,
    ) -> Result<BuildReport, HostError> {
        let built = build::build(&options.folder, options.debug, progress)?;
        let broken = |error| HostError::Component { path: built.component.clone(), error };
        let load = LoadOptions {
            id: built.manifest.id(),
            grants: Default::default(),
            memory_bytes_max: built.manifest.limits.memory_bytes,
            idle_timeout: Duration::from_millis(built.manifest.limits.timeout_ms),
            redactor: self.settings.redactor.clone(),
        };
        let loaded = self.engine()?.load(&built.component, load).map_err(broken)?;
        let native = self.compile_for(&built.component, &options.targets)?;
        let composition = match options.composition {
            true => {
                let read = |source| HostError::Read { path: built.component.clone(), source };
                let bytes = std::fs::read(&built.component).map_err(read)?;
                Some(composition::composition(&bytes).map_err(broken)?)
            }
            false => None,
        };
        let cache = loaded.cache();
        // Kept as a favour: where it cannot be, the next run compiles again.
        let code_bytes = cache.path.as_ref().and_then(|path| Some(std::fs::metadata(path).ok()?.len()));
        Ok(BuildReport {
            code: cache.path.clone().filter(|_| code_bytes.is_some()),
            code_bytes,
            compiled_in: cache.compiled_in,
            native,
            composition,
            built,
        })
    }

    fn compile_for(&self, component: &Path, targets: &[NativeTarget]) -> Result<Vec<NativeFile>, HostError> {
        let mut files: Vec<NativeFile> = Vec::with_capacity(targets.len());
        for &target in targets {
            if files.iter().any(|file| file.target == target) {
                continue;
            }
            let code = self
                .engine()?
                .compile_for(component, target)
                .map_err(|error| HostError::Component { path: component.to_owned(), error })?;
            let path = component.with_extension(format!("{target}.cwasm"));
            build::write_if_changed(&path, &code.bytes)?;
            let (bytes, compiled_in) = (code.bytes.len() as u64, code.compiled_in);
            files.push(NativeFile { target, path, bytes, compiled_in });
        }
        Ok(files)
    }
}
