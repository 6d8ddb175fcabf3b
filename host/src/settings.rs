//! What the caller decides once (folders, environment, process start) and the long-lived parts made of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rapidbyte_core::redact::Redactor;
use rapidbyte_install::{GlobalSettings, Installer};

use crate::cassettes::Cassettes;
use crate::error::HostError;

/// Marks a workspace: state lies in its `.rapidbyte` folder.
pub const WORKSPACE_FILE: &str = "rapidbyte.toml";
const STATE_FOLDER: &str = ".rapidbyte";
const STATE_FILE: &str = "state.db";

/// Looks up an environment variable. The host reads the environment through this alone.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the host is told by its embedder.
#[derive(Clone)]
pub struct Settings {
    /// The user's folder, `~/.rapidbyte`: compiled code, and state outside of workspaces.
    pub home: PathBuf,
    pub environment: Environment,
    /// Registers what must never be shown; the embedder passes its own output through it.
    pub redactor: Redactor,
    pub packages: PackageSettings,
}

/// Where packages come from.
#[derive(Clone, Default)]
pub struct PackageSettings {
    /// The user's `config.toml`.
    pub global: GlobalSettings,
    /// Docker's folder, with the credentials for registries: `~/.docker`.
    pub docker: PathBuf,
}

/// The embedded runtime. Making one costs nothing; the compiler's engine is made when first needed.
pub struct Host {
    pub(crate) settings: Settings,
    engine: OnceLock<Arc<rapidbyte_wasm::Engine>>,
    pub(crate) cassettes: OnceLock<Cassettes>,
    pub(crate) installer: OnceLock<Installer>,
}

impl Host {
    pub fn new(settings: Settings) -> Self {
        Host { settings, engine: OnceLock::new(), cassettes: OnceLock::new(), installer: OnceLock::new() }
    }

    /// The Wasm engine with its cache of compiled code.
    pub(crate) fn engine(&self) -> Result<Arc<rapidbyte_wasm::Engine>, HostError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine.clone());
        }
        let options = rapidbyte_wasm::EngineOptions {
            cache_dir: Some(self.settings.home.join("cache").join("compiled")),
            ..Default::default()
        };
        let engine = rapidbyte_wasm::Engine::new(options).map_err(HostError::Engine)?;
        Ok(self.engine.get_or_init(|| Arc::new(engine)).clone())
    }

    /// Where the state of a document lies that does not say: in the workspace that holds it, else in the user's folder.
    pub fn default_state_path(&self, document: &Path) -> PathBuf {
        let folder = document.parent().unwrap_or(Path::new("."));
        match folder.ancestors().find(|folder| folder.join(WORKSPACE_FILE).is_file()) {
            Some(workspace) => workspace.join(STATE_FOLDER).join(STATE_FILE),
            None => self.settings.home.join(STATE_FILE),
        }
    }
}
