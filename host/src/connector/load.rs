//! From what a pipeline says (`use`, `config`) to a connector that can be started: built if it is a crate, described by
//! its manifest, its config checked, its grants computed, its code loaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rapidbyte_engine::Plugged;
use rapidbyte_pipeline::{
    ConfigSchema, ConnectorLocation, ConnectorRef, Diagnostic, DocumentErrors, Manifest, Pipeline,
};
use rapidbyte_wasm::{Engine, LoadOptions, Network};

use super::build::{self, BuildProgress};
use super::grants::{Granted, grant};
use super::section;
use crate::error::HostError;
use crate::provision::Provided;
use crate::settings::Host;

/// A connector ready to be started, with what it was granted.
pub struct Loaded {
    pub manifest: Manifest,
    pub component: PathBuf,
    pub plugged: Plugged,
    /// The config with secrets masked.
    pub masked_config: serde_json::Value,
    pub grants: rapidbyte_core::grants::Grants,
    /// How long its code took to be there.
    pub took: Duration,
    /// The code was compiled before.
    pub cached: bool,
}

/// Makes the component of a `use` and reads its manifest. Crates are built, files are taken as they are, packages have been
/// provided.
pub fn resolve(
    connector: &ConnectorRef,
    folder: &Path,
    pipeline: &Pipeline,
    provided: &Provided,
    progress: &mut dyn BuildProgress,
) -> Result<(Manifest, PathBuf), HostError> {
    let path = match provided.component(&connector.location) {
        Some(component) => component.to_owned(),
        // Collecting drops the `.` in the middle: messages name the path as one would type it.
        None => folder.join(connector.location.text()).components().collect(),
    };
    let missing = || {
        HostError::Document(
            pipeline.error(
                Diagnostic::error(
                    "connector_not_found",
                    connector.location.span,
                    format!("there is nothing at `{}`", path.display()),
                )
                .help("paths are relative to the pipeline document"),
            ),
        )
    };
    if !path.exists() {
        return Err(missing());
    }
    let (manifest, component) = match connector.location.value {
        ConnectorLocation::Crate(_) => {
            let built = build::build(&path, false, progress)?;
            (built.manifest, built.component)
        }
        ConnectorLocation::Wasm(_) | ConnectorLocation::Package(_) => (read_manifest(&path)?, path),
    };
    if manifest.role != connector.role {
        let message = format!("`{}` is a {}, not a {}", manifest.name, manifest.role, connector.role);
        return Err(HostError::Document(pipeline.error(Diagnostic::error(
            "connector_role",
            connector.location.span,
            message,
        ))));
    }
    Ok((manifest, component))
}

/// The manifest that a component file carries.
pub fn read_manifest(component: &Path) -> Result<Manifest, HostError> {
    let read = |source| HostError::Read { path: component.to_owned(), source };
    match section::manifest_of(component).map_err(read)? {
        Some(json) => Manifest::from_json(&json, &format!("the manifest in {}", component.display()))
            .map_err(HostError::Document),
        None => Err(HostError::NotDescribed { path: component.to_owned() }),
    }
}

/// A connector that is checked and granted but whose code is not loaded yet.
pub struct Prepared {
    manifest: Manifest,
    component: PathBuf,
    config_json: String,
    masked_config: serde_json::Value,
    options: LoadOptions,
    /// Instead of the engine's own.
    network: Option<Arc<dyn Network>>,
}

impl Prepared {
    /// Starts loading the code on a thread of its own: where nothing is cached it is compiled, which takes a second.
    pub fn load(self, engine: &Arc<Engine>) -> impl Future<Output = Result<Loaded, HostError>> + use<> {
        let Prepared { manifest, component, config_json, masked_config, options, network } = self;
        let grants = options.grants.clone();
        let (engine, path) = (engine.clone(), component.clone());
        let loading = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            engine.load(&path, options).map(|wasm| (wasm, began.elapsed()))
        });
        async move {
            match loading.await {
                Ok(Ok((wasm, took))) => {
                    let cached = wasm.cache().hit;
                    let wasm = match network {
                        Some(network) => wasm.with_network(network),
                        None => wasm,
                    };
                    let plugged = Plugged::new(Arc::new(wasm), config_json);
                    Ok(Loaded { manifest, component, plugged, masked_config, grants, took, cached })
                }
                Ok(Err(error)) => Err(HostError::Component { path: component, error }),
                Err(error) => std::panic::resume_unwind(
                    error.try_into_panic().unwrap_or_else(|error| Box::new(error.to_string())),
                ),
            }
        }
    }
}

impl Host {
    /// Makes one connector of a pipeline ready to be loaded.
    pub(crate) fn prepare(
        &self,
        connector: &ConnectorRef,
        pipeline: &Pipeline,
        folder: &Path,
        provided: &Provided,
        progress: &mut dyn BuildProgress,
    ) -> Result<Prepared, HostError> {
        let (manifest, component) = resolve(connector, folder, pipeline, provided, progress)?;
        let document = |errors| HostError::Document(DocumentErrors::new(pipeline.file.clone(), errors));
        let empty = ConfigSchema::empty();
        let schema = manifest.config_schema.as_ref().unwrap_or(&empty);
        let checked = connector.config.check(schema, &connector.place).map_err(document)?;
        for secret in &checked.secrets {
            self.settings.redactor.register(secret);
        }
        let Granted { grants, config } =
            grant(&manifest, &connector.config, &checked, folder, &self.settings.environment)
                .map_err(document)?;
        let options = LoadOptions {
            id: manifest.id(),
            grants,
            memory_bytes_max: manifest.limits.memory_bytes,
            idle_timeout: Duration::from_millis(manifest.limits.timeout_ms),
            redactor: self.settings.redactor.clone(),
        };
        Ok(Prepared {
            manifest,
            component,
            config_json: config.to_string(),
            masked_config: checked.masked,
            options,
            network: self.network(),
        })
    }
}
