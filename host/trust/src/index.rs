//! Opening a registry's index: it is judged like a package, and it may be neither too old nor older than one that was seen
//! before. Otherwise whoever answers for a registry could hide a version, or that one was withdrawn, by keeping it back.

use jiff::Timestamp;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::index::{self, BadIndex, PackageIndex};
use rapidbyte_packages::limits::INDEX_BYTES_MAX;
use rapidbyte_packages::oci::{Malformed, Manifest};
use rapidbyte_packages::reference::RegistryRef;
use rapidbyte_packages::registry::{self, Registry, RegistryError};

use crate::evidence::{Evidence, gather};
use crate::judge::{Subject, Trusted, judge};
use crate::policy::Policy;
use crate::refusal::Refusal;

/// An index that may be gone by.
#[derive(Debug, Clone)]
pub struct OpenedIndex {
    pub index: PackageIndex,
    /// Of its manifest.
    pub digest: Digest,
    pub trusted: Trusted,
}

/// Why an index cannot be gone by.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("`{registry}` has no index")]
    Missing { registry: String },
    #[error(transparent)]
    Registry(RegistryError),
    #[error("the index of `{registry}` came damaged: {message}")]
    Damaged { registry: String, message: String },
    #[error("the index of `{registry}` is not right: {message}")]
    Malformed { registry: String, message: String },
    #[error("the index of `{registry}` is not trusted")]
    Untrusted { registry: String, source: Refusal },
    #[error("the index of `{registry}` was good until {expires_at}")]
    Stale { registry: String, expires_at: Timestamp },
    #[error("the index of `{registry}` is of {built_at}, and one of {seen} was seen before")]
    RolledBack { registry: String, built_at: Timestamp, seen: Timestamp },
}

impl IndexError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            IndexError::Missing { .. } => "index_missing",
            IndexError::Registry(error) => error.code(),
            IndexError::Damaged { .. } => "index_damaged",
            IndexError::Malformed { .. } => "index_malformed",
            IndexError::Untrusted { source, .. } => source.code(),
            IndexError::Stale { .. } => "index_stale",
            IndexError::RolledBack { .. } => "index_rolled_back",
        }
    }

    /// The next step.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            IndexError::Missing { .. } | IndexError::Stale { .. } => {
                "whoever publishes there makes it with `rapidbyte registry index`"
            }
            IndexError::Damaged { .. } => "try again; if it stays so, the registry's storage is damaged",
            IndexError::Untrusted { source, .. } => source.hint(),
            IndexError::RolledBack { .. } => {
                "somebody may be keeping the newer one back: tell who runs the registry"
            }
            IndexError::Registry(_) | IndexError::Malformed { .. } => return None,
        })
    }
}

/// Fetches, judges and reads the index of a registry. `place` is the registry with its namespace, aliases resolved; `seen` is when
/// the newest one was built that was seen there before.
pub async fn open_index(
    registry: &dyn Registry,
    place: &RegistryRef,
    policy: &Policy,
    now: Timestamp,
    seen: Option<Timestamp>,
) -> Result<OpenedIndex, IndexError> {
    let name = place.to_string();
    let repository = index::repository(namespace(place));
    let failed = |error: RegistryError| match error {
        RegistryError::Blob { source, .. } => {
            IndexError::Damaged { registry: name.clone(), message: source.to_string() }
        }
        error => IndexError::Registry(error),
    };
    let malformed = |message: String| IndexError::Malformed { registry: name.clone(), message };
    let Some(found) = registry.resolve(&repository, index::TAG).await.map_err(IndexError::Registry)? else {
        return Err(IndexError::Missing { registry: name });
    };
    let bytes = registry::manifest(registry, &repository, &found.digest).await.map_err(failed)?;
    let manifest = Manifest::read(&bytes).map_err(|error: Malformed| malformed(error.to_string()))?;
    let layer = match manifest.layers.as_slice() {
        [layer] if layer.media_type == index::ARTIFACT_TYPE => layer.clone(),
        _ => return Err(malformed(format!("it is no `{}`", index::ARTIFACT_TYPE))),
    };
    let subject =
        Subject { registry: place, repository: &repository, manifest: found.digest, component: layer.digest };
    // Nobody certifies an index.
    let policy = policy.without_conformance();
    let evidence = match policy.asks_for_evidence(&subject) {
        true => gather(registry, &repository, &found.digest).await.map_err(IndexError::Registry)?,
        false => Evidence::none(),
    };
    let trusted = judge(&policy, &subject, &evidence)
        .map_err(|source| IndexError::Untrusted { registry: name.clone(), source })?;
    let bytes = registry::blob(registry, &repository, &layer, INDEX_BYTES_MAX).await.map_err(failed)?;
    let index = PackageIndex::read(&bytes).map_err(|error: BadIndex| malformed(error.to_string()))?;
    if let Some(seen) = seen.filter(|seen| index.built_at < *seen) {
        return Err(IndexError::RolledBack { registry: name, built_at: index.built_at, seen });
    }
    if index.expires_at < now {
        return Err(IndexError::Stale { registry: name, expires_at: index.expires_at });
    }
    Ok(OpenedIndex { index, digest: found.digest, trusted })
}

/// What lies before the names of a registry's packages.
fn namespace(place: &RegistryRef) -> &str {
    match place {
        RegistryRef::Oci { namespace, .. } => namespace,
        RegistryRef::Dir(_) | RegistryRef::Alias(_) => "",
    }
}
