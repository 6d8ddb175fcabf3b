//! Compiled code from a registry. It runs outside of the sandbox's guarantees, so a package's signature says nothing of it: it is
//! loaded only if a key that is trusted for this very thing has said that it is the code of this component for this platform and
//! this engine. Everything else is compiled here, without a word: it is never an error.

use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::native::{ARTIFACT_TYPE, ENGINE, LAYER_MEDIA_TYPE, PREDICATE_TYPE, TARGET};
use rapidbyte_packages::oci::{Descriptor, Manifest};
use rapidbyte_packages::registry::{self, Registry, RegistryError};
use rapidbyte_signing::bundle;
use serde_json::Value;

use crate::evidence::{Evidence, gather};
use crate::judge::{Signer, Subject};
use crate::limits::{NATIVE_BYTES_MAX, REFERRERS_MAX};
use crate::policy::Policy;

/// What a machine takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Rust's name of it.
    pub target: String,
    /// The engine, as it names itself for that platform.
    pub engine: String,
}

/// Compiled code that may be loaded. Only this module makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedNative {
    code: Vec<u8>,
    component: Digest,
    signer: Signer,
}

impl TrustedNative {
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// What it is the code of.
    pub fn component(&self) -> &Digest {
        &self.component
    }

    /// Who says so.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }
}

/// Fetches the code of a component for this platform; none where there is none that may be loaded.
pub async fn fetch_native(
    registry: &dyn Registry,
    policy: &Policy,
    subject: &Subject<'_>,
    platform: &Platform,
) -> Result<Option<TrustedNative>, RegistryError> {
    // Nobody is asked for what nobody is trusted with.
    if !policy.trusts_code(subject) {
        return Ok(None);
    }
    let Some(layer) = offered(registry, subject, platform).await? else { return Ok(None) };
    let evidence = gather(registry, subject.repository, &subject.manifest).await?;
    let Some(signer) = judge_native(policy, subject, &evidence, &layer.digest, platform) else {
        return Ok(None);
    };
    let code = registry::blob(registry, subject.repository, &layer, NATIVE_BYTES_MAX).await?;
    Ok(Some(TrustedNative { code, component: subject.component, signer }))
}

/// The code that is offered for a platform, by what its manifest says.
async fn offered(
    registry: &dyn Registry,
    subject: &Subject<'_>,
    platform: &Platform,
) -> Result<Option<Descriptor>, RegistryError> {
    let referrers = registry.referrers(subject.repository, &subject.manifest).await?;
    let code = referrers.iter().filter(|it| it.artifact_type.as_deref() == Some(ARTIFACT_TYPE));
    for descriptor in code.take(REFERRERS_MAX) {
        let bytes = registry::manifest(registry, subject.repository, &descriptor.digest).await?;
        let Ok(manifest) = Manifest::read(&bytes) else { continue };
        let says = |key: &str, value: &str| manifest.annotations.get(key).is_some_and(|said| said == value);
        if !says(TARGET, &platform.target) || !says(ENGINE, &platform.engine) {
            continue;
        }
        if let [layer] = manifest.layers.as_slice()
            && layer.media_type == LAYER_MEDIA_TYPE
        {
            return Ok(Some(layer.clone()));
        }
    }
    Ok(None)
}

/// Who has said that this is the code of the component for this platform, of those who are trusted with that.
fn judge_native(
    policy: &Policy,
    subject: &Subject<'_>,
    evidence: &Evidence,
    code: &Digest,
    platform: &Platform,
) -> Option<Signer> {
    let rule = policy.rule(subject);
    rule.native_keys.iter().find_map(|key| {
        evidence.bundles.iter().find_map(|bytes| {
            let statement = bundle::verify(key, code, PREDICATE_TYPE, bytes).ok()?;
            let says = |pointer: &str, value: &str| {
                statement.predicate.pointer(pointer).and_then(Value::as_str) == Some(value)
            };
            let fits = says("/component/sha256", &subject.component.hex())
                && says("/target", &platform.target)
                && says("/engine", &platform.engine);
            fits.then(|| Signer::key(key))
        })
    })
}
