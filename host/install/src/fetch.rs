//! From candidates to what is installed: components side by side into the store, each held against its digest and against what
//! its package claimed before it was there. What fails half way leaves what was installed before, and nothing else.

use futures::{StreamExt, TryStreamExt};
use rapidbyte_packages::oci::{Descriptor, MANIFEST_MEDIA_TYPE};
use rapidbyte_packages::registry;
use rapidbyte_packages::store::{Condition, Installed, Installing};

use crate::error::InstallError;
use crate::limits::DOWNLOADS_MAX;
use crate::resolve::Candidate;
use crate::{Inspect, Installer};

/// Is told how far downloads are.
pub trait Progress: Send + Sync {
    /// A component is going to be downloaded.
    fn began(&self, id: &str, bytes: u64);
    /// So many more bytes of it are here.
    fn received(&self, id: &str, bytes: u64);
    /// It is here, and what it should be.
    fn finished(&self, id: &str);
    /// Why it would be refused if signatures were required.
    fn warned(&self, id: &str, why: &str);
}

impl Installer {
    /// Installs packages: fetches what is not here yet and records them all. Whoever calls has had them looked at.
    pub async fn fetch(
        &self,
        candidates: &[Candidate],
        offline: bool,
        progress: &dyn Progress,
    ) -> Result<Vec<Installed>, InstallError> {
        let installing = self.store.begin()?;
        let fetching = futures::stream::iter(candidates)
            .map(|candidate| self.fetch_one(candidate, offline, &installing, progress))
            .buffered(DOWNLOADS_MAX);
        let installed: Vec<Installed> = fetching.try_collect().await?;
        for one in &installed {
            self.store.record(&installing, one)?;
        }
        Ok(installed)
    }

    async fn fetch_one(
        &self,
        candidate: &Candidate,
        offline: bool,
        installing: &Installing,
        progress: &dyn Progress,
    ) -> Result<Installed, InstallError> {
        let described = &candidate.described;
        let layer = &described.layer;
        if let Some(warning) = candidate.trusted.warning() {
            progress.warned(&candidate.id(), &warning.to_string());
        }
        let manifest = Descriptor::of(MANIFEST_MEDIA_TYPE, &candidate.manifest_bytes);
        let condition = self.store.condition(&layer.digest)?;
        if condition != Condition::Whole {
            if offline {
                return Err(match condition {
                    Condition::Damaged => InstallError::Damaged { id: candidate.id() },
                    _ => InstallError::Offline { what: candidate.id() },
                });
            }
            self.download(candidate, installing, progress).await?;
        }
        self.store.keep(installing, &manifest, &candidate.manifest_bytes)?;
        self.store.keep(installing, &candidate.manifest.config, &candidate.config_bytes)?;
        let about = &described.manifest;
        Ok(Installed {
            name: about.name.clone(),
            version: about.version.clone(),
            role: about.role.to_string(),
            description: about.description.clone(),
            registry: candidate.source.clone(),
            repository: candidate.repository.clone(),
            manifest: described.digest,
            config: candidate.manifest.config.digest,
            layer: layer.digest,
            component_bytes: layer.size,
            capabilities: described.capabilities.clone(),
            signer: candidate.signer.clone(),
            installed_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        })
    }

    async fn download(
        &self,
        candidate: &Candidate,
        installing: &Installing,
        progress: &dyn Progress,
    ) -> Result<(), InstallError> {
        let place = match &candidate.place {
            Some(place) => place.clone(),
            None => self.registries.connect_source(&candidate.source).await?,
        };
        let (id, layer) = (candidate.id(), &candidate.described.layer);
        progress.began(&id, layer.size);
        let incoming = self.store.receive(installing, layer)?;
        let path = self.store.blob_path(&layer.digest);
        let mut count = |bytes| progress.received(&id, bytes);
        registry::fetch(place.registry.as_ref(), &candidate.repository, layer, incoming, &path, &mut count)
            .await?;
        if let Err(error) = self.must_fit(candidate) {
            // What nobody may run is not kept.
            self.store.discard(&layer.digest)?;
            return Err(error);
        }
        progress.finished(&id);
        Ok(())
    }

    /// Holds what a package claimed, and what was therefore agreed to, against its component.
    pub fn must_fit(&self, candidate: &Candidate) -> Result<(), InstallError> {
        let path = self.store.blob_path(&candidate.described.layer.digest);
        let bytes = std::fs::read(&path).map_err(|source| InstallError::Read { path, source })?;
        let inspect: &dyn Inspect = self.inspect.as_ref();
        let facts = inspect.facts(&bytes).map_err(|message| InstallError::Component {
            id: candidate.id(),
            registry: candidate.source.clone(),
            message,
        })?;
        candidate.described.must_fit(&facts).map_err(|source| InstallError::Package {
            id: candidate.id(),
            registry: candidate.source.clone(),
            source: Box::new(source),
        })
    }
}
