//! From what a registry is called to something that answers: aliases of the settings, servers with their certificates and
//! credentials, folders. Each is connected to once.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::reference::{PackageRef, RegistryRef};
use rapidbyte_packages::registry::Registry;
use rapidbyte_pipeline::suggest;
use rapidbyte_registry::{Credentials, ServerOptions, ServerRegistry};

use crate::docker::DockerConfig;
use crate::error::InstallError;
use crate::limits::CA_BYTES_MAX;
use crate::settings::{GlobalSettings, RegistrySettings};

/// A registry that can be asked.
#[derive(Clone)]
pub struct Place {
    pub registry: Arc<dyn Registry>,
    /// What locks and the store call it: `oci://registry.example/acme`, `dir:/srv/registry`.
    pub source: String,
    namespace: String,
}

impl Place {
    /// Somewhere else than in the settings: what a bundle holds, under the name of where it is from.
    pub fn new(registry: Arc<dyn Registry>, source: String, namespace: String) -> Self {
        Place { registry, source, namespace }
    }

    /// Where a package lies in it.
    pub fn repository(&self, name: &str) -> String {
        match self.namespace.is_empty() {
            true => name.to_owned(),
            false => format!("{}/{name}", self.namespace),
        }
    }
}

/// All that the settings know, and whatever else is named in full.
pub struct Registries {
    settings: GlobalSettings,
    docker: DockerConfig,
    connected: Mutex<HashMap<RegistryRef, Place>>,
}

impl Registries {
    pub fn new(settings: GlobalSettings, docker: DockerConfig) -> Self {
        Registries { settings, docker, connected: Mutex::default() }
    }

    pub fn settings(&self) -> &GlobalSettings {
        &self.settings
    }

    pub fn docker(&self) -> &DockerConfig {
        &self.docker
    }

    /// The registry of a package: its own, or the default one.
    pub fn of_package(&self, package: &PackageRef) -> Result<RegistryRef, InstallError> {
        match (&package.registry, &self.settings.default_registry) {
            (Some(registry), _) => Ok(registry.clone()),
            (None, Some(default)) => Ok(RegistryRef::Alias(default.clone())),
            (None, None) => Err(InstallError::NoDefaultRegistry { name: package.name.to_string() }),
        }
    }

    /// The server or folder that a reference stands for, with its settings. One that is named in full is looked for among
    /// the settings by its server, for its certificates.
    pub fn locate(&self, registry: &RegistryRef) -> Result<RegistrySettings, InstallError> {
        let bare =
            |place: &RegistryRef| RegistrySettings { place: place.clone(), ca: None, plain_http: None };
        match registry {
            RegistryRef::Alias(alias) => self.settings.registries.get(alias).cloned().ok_or_else(|| {
                let known = || self.settings.registries.keys().map(String::as_str);
                InstallError::UnknownAlias {
                    alias: alias.clone(),
                    suggestion: suggest(alias, known()).map(str::to_owned),
                    known: known().map(str::to_owned).collect(),
                }
            }),
            RegistryRef::Oci { host, .. } => {
                let same = |known: &&RegistrySettings| matches!(&known.place, RegistryRef::Oci { host: known, .. } if known == host);
                let known = self.settings.registries.values().find(same);
                let (ca, plain_http) =
                    known.map_or((None, None), |known| (known.ca.clone(), known.plain_http));
                Ok(RegistrySettings { place: registry.clone(), ca, plain_http })
            }
            RegistryRef::Dir(_) => Ok(bare(registry)),
        }
    }

    /// What locks and the store call a registry.
    pub fn source_of(&self, registry: &RegistryRef) -> Result<String, InstallError> {
        Ok(self.locate(registry)?.place.to_string())
    }

    /// What people call the registry of a lock or the store: its alias if it has one.
    pub fn shown(&self, source: &str) -> String {
        let alias = self.settings.registries.iter().find(|(_, known)| known.place.to_string() == source);
        alias.map_or_else(|| source.to_owned(), |(alias, _)| alias.clone())
    }

    /// Connects to a registry, with the credentials that Docker has for it.
    pub async fn connect(&self, registry: &RegistryRef) -> Result<Place, InstallError> {
        let located = self.locate(registry)?;
        let known =
            self.connected.lock().unwrap_or_else(PoisonError::into_inner).get(&located.place).cloned();
        if let Some(place) = known {
            return Ok(place);
        }
        let source = located.place.to_string();
        let place = match &located.place {
            RegistryRef::Dir(path) => Place::new(Arc::new(FolderRegistry::new(path)), source, String::new()),
            RegistryRef::Oci { host, namespace } => {
                let (docker, server) = (self.docker.clone(), host.clone());
                // A program may have to be asked, and that a person.
                let asked = tokio::task::spawn_blocking(move || docker.credentials(&server)).await;
                let credentials = match asked {
                    Ok(credentials) => credentials?,
                    Err(error) => std::panic::resume_unwind(
                        error.try_into_panic().unwrap_or_else(|error| Box::new(error.to_string())),
                    ),
                };
                let server = self.server(host, &located, credentials)?;
                Place::new(Arc::new(server), source, namespace.clone())
            }
            // Settings and `locate` leave none of these.
            RegistryRef::Alias(alias) => {
                return Err(InstallError::UnknownAlias {
                    alias: alias.clone(),
                    known: vec![],
                    suggestion: None,
                });
            }
        };
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        connected.insert(located.place, place.clone());
        Ok(place)
    }

    /// Connects to a registry by the name that a lock or the store has for it.
    pub async fn connect_source(&self, source: &str) -> Result<Place, InstallError> {
        self.connect(&source.parse()?).await
    }

    /// A server with these credentials, as its settings say.
    pub fn server(
        &self,
        host: &str,
        settings: &RegistrySettings,
        credentials: Option<Credentials>,
    ) -> Result<ServerRegistry, InstallError> {
        let roots_pem = settings.ca.as_deref().map(read_ca).transpose()?;
        let options = ServerOptions { credentials, roots_pem, plain_http: settings.plain_http };
        Ok(ServerRegistry::new(host, &options)?)
    }
}

fn read_ca(path: &Path) -> Result<String, InstallError> {
    let failed = |source| InstallError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    fs::File::open(path).map_err(failed)?.take(CA_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}
