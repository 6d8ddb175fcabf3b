//! Logging in and out: credentials are held against the registry before they are kept where Docker keeps them.

use rapidbyte_packages::reference::{BadReference, RegistryRef};
use rapidbyte_registry::Credentials;

use crate::docker::Kept;
use crate::error::InstallError;
use crate::registries::Registries;

impl Registries {
    /// The server of a registry, for which credentials are kept.
    pub fn host_of(&self, registry: &RegistryRef) -> Result<String, InstallError> {
        match self.locate(registry)?.place {
            RegistryRef::Oci { host, .. } => Ok(host),
            place => Err(BadReference {
                text: place.to_string(),
                why: "is a folder, which asks for no credentials".to_owned(),
                hint: "credentials are for servers: `rapidbyte registry login registry.example`".to_owned(),
            }
            .into()),
        }
    }

    /// Keeps credentials that the registry accepts.
    pub async fn log_in(
        &self,
        registry: &RegistryRef,
        user: &str,
        password: &str,
    ) -> Result<Kept, InstallError> {
        let host = self.host_of(registry)?;
        let settings = self.locate(registry)?;
        let server = self.server(&host, &settings, Some(Credentials::new(user, password)))?;
        server.log_in().await?;
        Ok(self.docker().store(&host, user, password)?)
    }

    /// Forgets credentials; answers whether there were any.
    pub fn log_out(&self, registry: &RegistryRef) -> Result<bool, InstallError> {
        Ok(self.docker().erase(&self.host_of(registry)?)?)
    }
}
