//! `rapidbyte registry index` and `rapidbyte connector yank`: the index of a registry made anew, or with one version withdrawn.

use jiff::{SignedDuration, Timestamp};
use rapidbyte_install::Place;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::index::PackageIndex;
use rapidbyte_packages::reference::{PackageName, RegistryRef};
use rapidbyte_publish::Step;
use rapidbyte_publish::index::{self, IndexingError, LeftOut};
use rapidbyte_signing::PrivateKey;
use rapidbyte_trust::{IndexError, Policy, open_index};
use semver::Version;

use crate::error::HostError;
use crate::settings::Host;

/// What the new index is to be.
#[derive(Debug, Clone)]
pub struct IndexOptions {
    pub registry: RegistryRef,
    /// Packages to look for besides those that the registry lists or its index has.
    pub names: Vec<PackageName>,
    pub valid_for: SignedDuration,
    /// Whether to forget what the present index knows.
    pub anew: bool,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct IndexReport {
    /// Where it is, as people write it.
    pub registry: String,
    pub digest: Digest,
    pub index: PackageIndex,
    pub left_out: Vec<LeftOut>,
}

/// A version to be withdrawn, or given back.
#[derive(Debug, Clone)]
pub struct YankOptions {
    pub registry: RegistryRef,
    pub name: PackageName,
    pub version: Version,
    pub undo: bool,
    pub valid_for: SignedDuration,
}

/// A registry whose index is at hand.
struct Desk {
    place: Place,
    located: RegistryRef,
    namespace: String,
    reference: String,
}

impl Host {
    /// Makes the index of a registry anew from what is there.
    pub async fn index_registry(
        &self,
        options: IndexOptions,
        key: Option<&PrivateKey>,
        observe: &mut (dyn FnMut(Step<'_>) + Send),
    ) -> Result<IndexReport, HostError> {
        let desk = self.desk(&options.registry).await?;
        let before = match options.anew {
            true => None,
            false => self.present_index(&desk, key).await?,
        };
        let now = Timestamp::now();
        let registry = desk.place.registry.as_ref();
        let expires_at = now.saturating_add(options.valid_for).unwrap_or(Timestamp::MAX);
        let (index, left_out) =
            index::build(registry, &desk.namespace, before.as_ref(), &options.names, now, expires_at).await?;
        let digest = desk.push(&index, key, observe).await?;
        Ok(IndexReport { registry: desk.place.source.clone(), digest, index, left_out })
    }

    /// Withdraws a version, or takes that back; none where that changes nothing.
    pub async fn yank(
        &self,
        options: YankOptions,
        key: Option<&PrivateKey>,
        observe: &mut (dyn FnMut(Step<'_>) + Send),
    ) -> Result<Option<Digest>, HostError> {
        let desk = self.desk(&options.registry).await?;
        let Some(mut index) = self.present_index(&desk, key).await? else {
            return Err(HostError::Index(IndexError::Missing { registry: desk.place.source.clone() }));
        };
        if !index::yank(&mut index, options.name.as_str(), &options.version, !options.undo)? {
            return Ok(None);
        }
        index.built_at = Timestamp::now();
        index.expires_at = index.built_at.saturating_add(options.valid_for).unwrap_or(Timestamp::MAX);
        Ok(Some(desk.push(&index, key, observe).await?))
    }

    async fn desk(&self, registry: &RegistryRef) -> Result<Desk, HostError> {
        let registries = &self.installer()?.registries;
        let located = registries.locate(registry)?.place;
        let place = registries.connect(registry).await?;
        let (namespace, above) = match &located {
            RegistryRef::Oci { host, namespace } => (namespace.clone(), format!("{host}/")),
            RegistryRef::Dir(_) | RegistryRef::Alias(_) => (String::new(), String::new()),
        };
        let reference = format!("{above}{}", rapidbyte_packages::index::repository(&namespace));
        Ok(Desk { place, located, namespace, reference })
    }

    /// The index that is there, however old, if it is signed by the key at hand or by somebody whom the user trusts: what it says
    /// is signed again.
    async fn present_index(
        &self,
        desk: &Desk,
        key: Option<&PrivateKey>,
    ) -> Result<Option<PackageIndex>, HostError> {
        let users = self.installer()?.registries.settings().policy()?;
        let ours = key.map(|key| Policy::of_key(key.public()));
        let registry = desk.place.registry.as_ref();
        let mut last = None;
        for policy in ours.iter().chain([&users]) {
            match open_index(registry, &desk.located, policy, Timestamp::MIN, None).await {
                Ok(opened) => return Ok(Some(opened.index)),
                Err(IndexError::Missing { .. }) => return Ok(None),
                Err(error) => last = Some(error),
            }
        }
        last.map_or(Ok(None), |error| Err(HostError::Index(error)))
    }
}

impl Desk {
    async fn push(
        &self,
        index: &PackageIndex,
        key: Option<&PrivateKey>,
        observe: &mut (dyn FnMut(Step<'_>) + Send),
    ) -> Result<Digest, IndexingError> {
        let registry = self.place.registry.as_ref();
        let pushed =
            index::push_index(registry, &self.namespace, &self.reference, index, key, observe).await?;
        Ok(pushed.digest)
    }
}
