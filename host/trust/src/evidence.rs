//! What a registry offers as evidence about one package: bundles among its referrers, and signatures in the older form under the
//! tag `sha256-….sig`. All of it is a stranger's, fetched within bounds; nothing here believes any of it. What cannot be used
//! is kept as a remark and stops nothing: whoever may push could otherwise make a package unusable by adding rubbish to it.

use std::collections::BTreeMap;

use futures::StreamExt;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::oci::{Descriptor, Manifest, VERSION};
use rapidbyte_packages::registry::{self, Registry, RegistryError};
use rapidbyte_signing::{PublicKey, bundle, simple};

use crate::limits::{
    CONCURRENT_REQUESTS_MAX, OTHER_SUBJECTS_MAX, REFERRERS_MAX, SIGNATURE_BYTES_MAX, SIMPLE_SIGNATURES_MAX,
};

/// A signature in the older form.
#[derive(Debug, Clone)]
pub(crate) struct Simple {
    pub payload: Vec<u8>,
    pub layer: Descriptor,
}

/// Something that was offered and could not be had as it was described.
#[derive(Debug, Clone)]
pub(crate) struct Unusable {
    /// It came with other bytes than its digest says.
    pub damaged: bool,
    pub message: String,
}

/// Everything that was offered about one package.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub(crate) bundles: Vec<Vec<u8>>,
    pub(crate) simple: Vec<Simple>,
    pub(crate) unusable: Vec<Unusable>,
    /// Other packages of the same repository that something here is about, and their versions.
    pub(crate) others: BTreeMap<Digest, String>,
    /// How much more was offered than is looked at.
    pub(crate) ignored: usize,
}

impl Evidence {
    /// Where nobody asks for any.
    pub fn none() -> Self {
        Evidence::default()
    }

    /// Whether this key has said something of this kind about this already.
    pub fn has_statement(&self, key: &PublicKey, about: &Digest, predicate_type: &str) -> bool {
        self.bundles.iter().any(|bytes| bundle::verify(key, about, predicate_type, bytes).is_ok())
    }

    /// Whether this key has signed this in the older form already.
    pub fn has_simple_signature(&self, key: &PublicKey, about: &Digest) -> bool {
        self.simple.iter().any(|it| simple::verify(key, about, &it.payload, &it.layer).is_ok())
    }

    /// How much was offered beyond what is looked at.
    pub fn ignored(&self) -> usize {
        self.ignored
    }
}

/// Asks a registry for the evidence about a manifest. Fails only where the registry cannot be spoken to.
pub async fn gather(
    registry: &dyn Registry,
    repository: &str,
    manifest: &Digest,
) -> Result<Evidence, RegistryError> {
    let mut evidence = Evidence::default();
    let referrers = registry.referrers(repository, manifest).await?;
    let mut bundles: Vec<Descriptor> = referrers.into_iter().filter(may_be_bundle).collect();
    // The same ones whatever the order of an answer.
    bundles.sort_by_key(|descriptor| descriptor.digest);
    evidence.ignored += bundles.len().saturating_sub(REFERRERS_MAX);
    bundles.truncate(REFERRERS_MAX);
    let fetched: Vec<_> = futures::stream::iter(bundles)
        .map(|descriptor| async move { bundle_of(registry, repository, &descriptor).await })
        .buffered(CONCURRENT_REQUESTS_MAX)
        .collect()
        .await;
    for bundle in fetched {
        match usable(bundle)? {
            Ok(bytes) => evidence.bundles.push(bytes),
            Err(unusable) => evidence.unusable.push(unusable),
        }
    }
    if let Some(signatures) = registry.resolve(repository, &simple::tag(manifest)).await? {
        gather_simple(registry, repository, &signatures, &mut evidence).await?;
    }
    look_up_others(registry, repository, manifest, &mut evidence).await?;
    Ok(evidence)
}

/// Registries without the referrers API may say nothing of types.
fn may_be_bundle(descriptor: &Descriptor) -> bool {
    descriptor.artifact_type.as_deref().is_none_or(|kind| kind == bundle::MEDIA_TYPE)
}

async fn bundle_of(
    registry: &dyn Registry,
    repository: &str,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, RegistryError> {
    let bytes = registry::manifest(registry, repository, &descriptor.digest).await?;
    let odd = |error| RegistryError::malformed(registry, "a signature's manifest", &error);
    let manifest = Manifest::read(&bytes).map_err(odd)?;
    let kind = |layer: &&Descriptor| layer.media_type == bundle::MEDIA_TYPE;
    match manifest.layers.iter().find(kind) {
        Some(layer) => registry::blob(registry, repository, layer, SIGNATURE_BYTES_MAX).await,
        None => Err(RegistryError::Malformed {
            registry: registry.name().to_owned(),
            what: "a signature's manifest",
            message: format!("it has no layer `{}`", bundle::MEDIA_TYPE),
        }),
    }
}

async fn gather_simple(
    registry: &dyn Registry,
    repository: &str,
    signatures: &Descriptor,
    evidence: &mut Evidence,
) -> Result<(), RegistryError> {
    let manifest = async {
        let bytes = registry::manifest(registry, repository, &signatures.digest).await?;
        let odd = |error| RegistryError::malformed(registry, "the signatures' manifest", &error);
        Manifest::read(&bytes).map_err(odd)
    };
    let manifest = match usable(manifest.await)? {
        Ok(manifest) => manifest,
        Err(unusable) => {
            evidence.unusable.push(unusable);
            return Ok(());
        }
    };
    let mut layers = manifest.layers;
    layers.retain(|layer| layer.media_type == simple::PAYLOAD_MEDIA_TYPE);
    evidence.ignored += layers.len().saturating_sub(SIMPLE_SIGNATURES_MAX);
    layers.truncate(SIMPLE_SIGNATURES_MAX);
    let fetched: Vec<_> = futures::stream::iter(layers)
        .map(|layer| async move {
            let payload = registry::blob(registry, repository, &layer, SIGNATURE_BYTES_MAX).await;
            (layer, payload)
        })
        .buffered(CONCURRENT_REQUESTS_MAX)
        .collect()
        .await;
    for (layer, payload) in fetched {
        match usable(payload)? {
            Ok(payload) => evidence.simple.push(Simple { payload, layer }),
            Err(unusable) => evidence.unusable.push(unusable),
        }
    }
    Ok(())
}

/// Finds out of what is about something else whether that is another version of the same package: then it was replayed.
async fn look_up_others(
    registry: &dyn Registry,
    repository: &str,
    manifest: &Digest,
    evidence: &mut Evidence,
) -> Result<(), RegistryError> {
    let claimed_by_bundles = evidence.bundles.iter().filter_map(|bytes| {
        let claim = bundle::claim(bytes).ok()?;
        (claim.predicate_type == bundle::SIGN_PREDICATE).then_some(claim.about?)
    });
    let claimed_by_simple = evidence.simple.iter().filter_map(|simple| simple::claim(&simple.payload).ok());
    let mut others: Vec<Digest> = claimed_by_bundles.chain(claimed_by_simple).collect();
    others.retain(|other| other != manifest);
    others.sort();
    others.dedup();
    for other in others.into_iter().take(OTHER_SUBJECTS_MAX) {
        let Ok(bytes) = usable(registry::manifest(registry, repository, &other).await)? else { continue };
        let Ok(found) = Manifest::read(&bytes) else { continue };
        if let Some(version) = found.annotations.get(VERSION) {
            evidence.others.insert(other, version.chars().filter(|c| !c.is_control()).take(64).collect());
        }
    }
    Ok(())
}

/// Tells what cannot be used from a registry that cannot be spoken to.
fn usable<T>(result: Result<T, RegistryError>) -> Result<Result<T, Unusable>, RegistryError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error @ (RegistryError::Blob { .. } | RegistryError::NotFound { .. })) => {
            let damaged = matches!(error, RegistryError::Blob { .. });
            Ok(Err(Unusable { damaged, message: error.to_string() }))
        }
        Err(error @ RegistryError::Malformed { .. }) => {
            Ok(Err(Unusable { damaged: false, message: error.to_string() }))
        }
        Err(error) => Err(error),
    }
}
