//! Compiled code from a registry, taken in place of compiling where somebody who is trusted with that vouches for it.

use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::reference::RegistryRef;
use rapidbyte_packages::store::Installed;
use rapidbyte_trust::{Platform, Subject, fetch_native};

use crate::error::HostError;
use crate::settings::Host;

impl Host {
    /// Takes the registry's code of an installed package for this very machine; answers who vouches for it. None where there is no
    /// such code, nobody is trusted with it, or it does not fit: then it is compiled here.
    pub async fn adopt_native(&self, installed: &Installed) -> Result<Option<String>, HostError> {
        let installer = self.installer()?;
        let policy = installer.registries.settings().policy()?;
        let Ok(registry) = installed.registry.parse::<RegistryRef>() else { return Ok(None) };
        let subject = Subject {
            registry: &registry,
            repository: &installed.repository,
            manifest: installed.manifest,
            component: installed.layer,
        };
        if !policy.trusts_code(&subject) {
            return Ok(None);
        }
        let engine = self.engine()?;
        let Some((target, name)) = engine.platform() else { return Ok(None) };
        let platform = Platform { target: target.triple().to_owned(), engine: name };
        let place = installer.registries.connect(&registry).await?;
        let native = match fetch_native(place.registry.as_ref(), &policy, &subject, &platform).await {
            Ok(native) => native,
            Err(error) => {
                tracing::warn!(%error, "the registry's compiled code cannot be had");
                None
            }
        };
        let Some(native) = native else { return Ok(None) };
        let path = installer.store.blob_path(&installed.layer);
        let component = std::fs::read(&path).map_err(|source| HostError::Read { path, source })?;
        if Digest::of(&component) != *native.component() {
            return Ok(None);
        }
        // SAFETY: a key that the user trusts with compiled code says that this is the code of this component.
        let adopted = unsafe { engine.adopt(&component, native.code()) };
        Ok(adopted.then(|| native.signer().to_string()))
    }
}
