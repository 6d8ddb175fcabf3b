//! The packages that a pipeline names, on this machine before anything is loaded: by the project's lock, fetched where they are
//! missing. Wires [`rapidbyte_install`] to what only WebAssembly can tell.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rapidbyte_install::{
    DockerConfig, Inspect, InstallError, Installer, Progress, Project, Registries, Resolution,
};
use rapidbyte_packages::package::ComponentFacts;
use rapidbyte_packages::reference::{BadReference, PackageRef};
use rapidbyte_packages::store::Store;
use rapidbyte_pipeline::{ConnectorLocation, ConnectorRef, Diagnostic};
use rapidbyte_wasm::component;

use crate::error::HostError;
use crate::operations::document::Document;
use crate::settings::Host;

/// Where installed packages lie in the user's folder.
const STORE_FOLDER: &str = "plugins";
/// What writers of locks hold meanwhile.
const GUARDS_FOLDER: &str = "locks";
/// What was seen of registries' indexes.
const INDEXES_FOLDER: &str = "indexes";

/// What a caller decides about a pipeline's packages.
#[derive(Clone)]
pub struct PackageOptions {
    /// Nothing but what the lock has.
    pub locked: bool,
    /// Nothing but what is on this machine.
    pub offline: bool,
    pub progress: Arc<dyn Progress>,
}

/// Where the packages of a pipeline are.
#[derive(Default)]
pub struct Provided {
    /// By what `use` says.
    components: HashMap<String, PathBuf>,
}

impl Provided {
    /// The component of a `use` that names a package.
    pub fn component(&self, location: &ConnectorLocation) -> Option<&Path> {
        match location {
            ConnectorLocation::Package(text) => self.components.get(text).map(PathBuf::as_path),
            _ => None,
        }
    }
}

/// Looks into components with Wasmtime's parser.
struct WasmInspect;

impl Inspect for WasmInspect {
    fn facts(&self, bytes: &[u8]) -> Result<ComponentFacts, String> {
        let inspection = component::inspect(bytes).map_err(|error| error.to_string())?;
        let manifest_json = inspection.manifest_json.ok_or("it carries no manifest")?;
        Ok(ComponentFacts { imports: inspection.imports, exports: inspection.exports, manifest_json })
    }
}

impl Host {
    /// Installs packages into the user's folder.
    pub fn installer(&self) -> Result<&Installer, HostError> {
        if let Some(installer) = self.installer.get() {
            return Ok(installer);
        }
        let packages = &self.settings.packages;
        let registries = Registries::new(packages.global.clone(), DockerConfig::new(&packages.docker));
        let store = Store::new(self.settings.home.join(STORE_FOLDER));
        let installer = Installer::new(
            registries,
            store,
            self.settings.home.join(INDEXES_FOLDER),
            Arc::new(WasmInspect),
        )?;
        Ok(self.installer.get_or_init(|| installer))
    }

    /// The project that a folder belongs to, with its lock.
    pub fn project(&self, folder: &Path) -> Project {
        Project::of(folder, &self.settings.home.join(GUARDS_FOLDER))
    }

    /// Puts every package that is named on this machine.
    pub(crate) async fn provide<'d>(
        &self,
        document: &'d Document,
        connectors: impl IntoIterator<Item = &'d ConnectorRef>,
        options: &PackageOptions,
    ) -> Result<Provided, HostError> {
        let mut texts: Vec<&str> = Vec::new();
        let mut wanted: Vec<PackageRef> = Vec::new();
        for connector in connectors {
            let ConnectorLocation::Package(text) = &connector.location.value else { continue };
            if !texts.contains(&text.as_str()) {
                wanted.push(text.parse().map_err(|bad| bad_use(document, connector, bad))?);
                texts.push(text);
            }
        }
        if wanted.is_empty() {
            return Ok(Provided::default());
        }
        let installer = self.installer()?;
        let how = Resolution { locked: options.locked, offline: options.offline, update: false };
        let project = self.project(document.folder());
        let providing = installer.provide(&project, &wanted, how, options.progress.as_ref());
        let installed = providing.await.map_err(|error| no_package(document, &texts, error))?;
        let paths = installed.iter().map(|installed| installer.store.blob_path(&installed.layer));
        Ok(Provided { components: texts.into_iter().map(str::to_owned).zip(paths).collect() })
    }
}

/// A `use` that is neither a path nor a package, at its place.
fn bad_use(document: &Document, connector: &ConnectorRef, bad: BadReference) -> HostError {
    let pipeline = &document.pipeline;
    let span = connector.location.span;
    // What came from the environment is not shown.
    let message = match pipeline.file.slice(span).contains("${") {
        true => "`use` names neither a path nor a package".to_owned(),
        false => bad.to_string(),
    };
    let help = looks_like_path(document, connector.location.text()).unwrap_or(bad.hint);
    HostError::Document(pipeline.error(Diagnostic::error("bad_reference", span, message).help(help)))
}

/// Says so where a path was meant.
fn no_package(document: &Document, texts: &[&str], error: InstallError) -> HostError {
    let name = match &error {
        InstallError::UnknownAlias { alias, .. } => alias,
        InstallError::NoDefaultRegistry { name } => name,
        _ => return error.into(),
    };
    let meant = texts.iter().find(|text| text.starts_with(name.as_str()));
    let Some(help) = meant.and_then(|text| looks_like_path(document, text)) else { return error.into() };
    let pipeline = &document.pipeline;
    let named =
        pipeline.connectors().find(|connector| meant.is_some_and(|text| connector.location.text() == *text));
    let span = named.map_or(pipeline.source.connector.location.span, |connector| connector.location.span);
    let message = error.to_string();
    HostError::Document(pipeline.error(Diagnostic::error("registry_unknown", span, message).help(help)))
}

fn looks_like_path(document: &Document, text: &str) -> Option<String> {
    let is_there = document.folder().join(text).exists();
    is_there.then(|| format!("for a folder or a `.wasm` file, write the path with `./`: `./{text}`"))
}
