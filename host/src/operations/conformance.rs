//! What `rapidbyte connector test` needs of the host: a component with its manifest, the fixture beside it, and what it is
//! granted by the fixture's config. The clauses themselves live in `rapidbyte-conformance`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rapidbyte_core::grants::Grants;
use rapidbyte_core::redact::Redactor;
use rapidbyte_pipeline::fixture::FIXTURE_FILE_NAME;
use rapidbyte_pipeline::{Config, ConfigSchema, DocumentErrors, Fixture, Manifest, SourceFile, decode};
use rapidbyte_wasm::{LoadOptions, WasmConnector, component};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::connector::agreement;
use crate::connector::build::{self, BuildProgress};
use crate::connector::grants::{Granted, grant};
use crate::connector::load::read_manifest;
use crate::error::HostError;
use crate::settings::{Environment, Host};

/// Names a folder that lives as long as the suite runs; fixtures may use it as `${RAPIDBYTE_SCRATCH}`.
pub const SCRATCH_VARIABLE: &str = "RAPIDBYTE_SCRATCH";

/// A connector to be judged.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub manifest: Manifest,
    pub component: PathBuf,
    /// SHA-256 of the component in hexadecimal.
    pub digest: String,
    /// Where its fixture lies, if it has one.
    pub fixture: Option<PathBuf>,
    /// How long Cargo, or another language's own tool, took of building it.
    pub tool_time: Duration,
}

/// A config as a connector gets it, with what it may reach.
#[derive(Clone)]
pub struct Equipment {
    pub config: Value,
    pub grants: Grants,
    /// What no log, error or metric may contain.
    pub secrets: Vec<String>,
    /// JSON pointers of the secrets in the config.
    pub secret_pointers: Vec<String>,
}

impl Host {
    /// The connector at `path`: a crate's folder, which is built, or a component. Blocks.
    pub fn candidate(&self, path: &Path, progress: &mut dyn BuildProgress) -> Result<Candidate, HostError> {
        let (manifest, component, tool_time) = match path.is_dir() {
            true => {
                let built = build::build(path, false, progress)?;
                (built.manifest, built.component, built.tool_time)
            }
            false => (read_manifest(path)?, path.to_owned(), Duration::ZERO),
        };
        let bytes = std::fs::read(&component)
            .map_err(|source| HostError::Read { path: component.clone(), source })?;
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let fixture = Some(folder.join(FIXTURE_FILE_NAME)).filter(|path| path.is_file());
        Ok(Candidate { manifest, component, digest, fixture, tool_time })
    }

    /// Reads a fixture. `scratch` is what `${RAPIDBYTE_SCRATCH}` stands for in it.
    pub fn open_fixture(&self, path: &Path, scratch: &Path) -> Result<Fixture, HostError> {
        let bytes =
            std::fs::read(path).map_err(|source| HostError::Read { path: path.to_owned(), source })?;
        let name = path.display().to_string();
        let environment = with_scratch(&self.settings.environment, scratch);
        decode(&bytes, &name)
            .and_then(|text| Fixture::from_yaml(text, &name, &|variable| environment(variable)))
            .map_err(HostError::Document)
    }

    /// Holds a config against the manifest's schema and computes what it grants. Paths are relative to `folder`; `scratch` is
    /// no secret, though it comes as if from the environment.
    pub fn equip(
        &self,
        manifest: &Manifest,
        config: &Config,
        file: &Arc<SourceFile>,
        folder: &Path,
        scratch: &Path,
    ) -> Result<Equipment, HostError> {
        let document = |errors| HostError::Document(DocumentErrors::new(file.clone(), errors));
        let empty = ConfigSchema::empty();
        let schema = manifest.config_schema.as_ref().unwrap_or(&empty);
        let mut checked = config.check(schema, &manifest.name).map_err(document)?;
        let scratch = scratch.display().to_string();
        checked.secrets.retain(|secret| *secret != scratch);
        for secret in &checked.secrets {
            self.settings.redactor.register(secret);
        }
        let Granted { grants, config } =
            grant(manifest, config, &checked, folder, &self.settings.environment).map_err(document)?;
        Ok(Equipment { config, grants, secrets: checked.secrets, secret_pointers: checked.secret_pointers })
    }

    /// Loads a connector whose words are *not* redacted, so that a secret in them can be seen. It may stand still for as
    /// long as its manifest says, but no longer than `idle_max`. Blocks.
    pub fn load_unredacted(
        &self,
        manifest: &Manifest,
        component: &Path,
        grants: Grants,
        idle_max: Duration,
    ) -> Result<WasmConnector, HostError> {
        let options = LoadOptions {
            id: manifest.id(),
            grants,
            memory_bytes_max: manifest.limits.memory_bytes,
            idle_timeout: Duration::from_millis(manifest.limits.timeout_ms).min(idle_max),
            redactor: Redactor::default(),
        };
        let connector = self
            .engine()?
            .load(component, options)
            .map_err(|error| HostError::Component { path: component.to_owned(), error })?;
        Ok(match self.network() {
            Some(network) => connector.with_network(network),
            None => connector,
        })
    }

    /// What a component and a manifest say differently; none if they agree.
    pub fn disagreement(&self, manifest: &Manifest, component: &Path) -> Result<Option<String>, HostError> {
        let bytes = std::fs::read(component)
            .map_err(|source| HostError::Read { path: component.to_owned(), source })?;
        let broken = |error| HostError::Component { path: component.to_owned(), error };
        let inspection = component::inspect(&bytes).map_err(broken)?;
        let functions = component::host_functions(&bytes).map_err(broken)?;
        let judged = agreement::complete(manifest.clone(), &inspection, component)
            .and_then(|manifest| agreement::capabilities(&manifest, &functions, component));
        match judged {
            Ok(_) => Ok(None),
            Err(HostError::Disagree { what, .. }) => Ok(Some(what)),
            Err(error) => Err(error),
        }
    }

    /// Masks what the fixtures of this host call secret.
    pub fn redactor(&self) -> &Redactor {
        &self.settings.redactor
    }
}

fn with_scratch(environment: &Environment, scratch: &Path) -> Environment {
    let (environment, scratch) = (environment.clone(), scratch.display().to_string());
    Arc::new(move |name| match name {
        SCRATCH_VARIABLE => Some(scratch.clone()),
        name => environment(name),
    })
}
