//! The judgement: a policy, a package, the evidence about it. What comes out is either [`Trusted`], which nobody else can make,
//! or the reason why not.

use std::fmt;

use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::reference::RegistryRef;
use rapidbyte_signing::bundle::Statement;
use rapidbyte_signing::keyless::Identity;
use rapidbyte_signing::{PublicKey, SignatureError, bundle, keyless, simple};
use serde_json::Value;

use crate::config::Level;
use crate::evidence::{Evidence, Simple};
use crate::policy::{Policy, Rule};
use crate::refusal::Refusal;

/// Of the conformance suite's statement, <https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md>.
pub const CERTIFICATE_PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// With aliases resolved and folders as absolute paths.
    pub registry: &'a RegistryRef,
    /// On the registry, with its namespace: `acme/source-jira`.
    pub repository: &'a str,
    /// The package's digest: what signatures are about.
    pub manifest: Digest,
    /// The digest of its component: what certificates of conformance are about.
    pub component: Digest,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.registry {
            RegistryRef::Oci { host, .. } => write!(f, "oci://{host}/{}", self.repository),
            other => write!(f, "{other}/{}", self.repository),
        }
    }
}

/// Who stands for a package. Its text is what locks keep.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signer {
    Key {
        /// `SHA256:…`.
        fingerprint: String,
    },
    Identity(Identity),
}

impl Signer {
    pub(crate) fn key(key: &PublicKey) -> Self {
        Signer::Key { fingerprint: key.fingerprint() }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signer::Key { fingerprint } => write!(f, "key {fingerprint}"),
            Signer::Identity(identity) => write!(f, "identity {identity}"),
        }
    }
}

/// The permission to install or run a package, unsigned ones included. Only this module makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    manifest: Digest,
    signers: Vec<Signer>,
    warning: Option<Refusal>,
    certified: bool,
}

impl Trusted {
    /// What it is a permission for.
    pub fn manifest(&self) -> &Digest {
        &self.manifest
    }

    /// Who stands for it: the first in the policy's order. None: it is permitted without.
    pub fn signer(&self) -> Option<&Signer> {
        self.signers.first()
    }

    /// Everybody trusted who stands for it.
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// Why it would be refused if signatures were required.
    pub fn warning(&self) -> Option<&Refusal> {
        self.warning.as_ref()
    }

    /// Whether a certificate of conformance was asked for and found good.
    pub fn is_certified(&self) -> bool {
        self.certified
    }
}

/// Decides whether a package may be installed.
pub fn judge(policy: &Policy, subject: &Subject<'_>, evidence: &Evidence) -> Result<Trusted, Refusal> {
    let rule = policy.rule(subject);
    let (signers, warning) = match rule.level {
        Level::Off => (Vec::new(), None),
        Level::Require => (signers(policy, rule, subject, evidence)?, None),
        Level::Warn => match signers(policy, rule, subject, evidence) {
            Ok(signers) => (signers, None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        },
    };
    let certified = policy.asks_for_conformance(subject);
    if certified {
        must_be_certified(policy, rule, subject, evidence)?;
    }
    Ok(Trusted { manifest: subject.manifest, signers, warning, certified })
}

/// Decides whether what was installed earlier may still run, by the signer that was found then. Certificates were judged then.
pub fn judge_installed(
    policy: &Policy,
    subject: &Subject<'_>,
    signer: Option<&str>,
) -> Result<Trusted, Refusal> {
    let rule = policy.rule(subject);
    let identities = rule.identities.iter().cloned().map(Signer::Identity);
    let mut trusted = rule.keys.iter().map(Signer::key).chain(identities);
    let found = signer.and_then(|signer| trusted.find(|trusted| trusted.to_string() == signer));
    let refusal = match (&found, signer) {
        (Some(_), _) => None,
        (None, Some(signer)) => Some(Refusal::SignerNotTrusted {
            package: subject.to_string(),
            signer: signer.to_owned(),
            scope: rule.place(),
        }),
        (None, None) => Some(Refusal::InstalledUnsigned { package: subject.to_string() }),
    };
    let warning = match (rule.level, refusal) {
        (Level::Require, Some(refusal)) => return Err(refusal),
        (Level::Off, _) => None,
        (_, refusal) => refusal,
    };
    let signers = found.into_iter().collect();
    Ok(Trusted { manifest: subject.manifest, signers, warning, certified: false })
}

/// Everybody trusted who signed it, or the reason that tells most.
fn signers(
    policy: &Policy,
    rule: &Rule,
    subject: &Subject<'_>,
    evidence: &Evidence,
) -> Result<Vec<Signer>, Refusal> {
    let package = || subject.to_string();
    if rule.trusts_nobody() {
        return Err(Refusal::NobodyTrusted { package: package(), scope: rule.place() });
    }
    let mut found = Vec::new();
    let mut against: Vec<Refusal> = Vec::new();
    for key in &rule.keys {
        let by_bundle =
            |bytes: &Vec<u8>| bundle::verify(key, &subject.manifest, bundle::SIGN_PREDICATE, bytes).map(drop);
        let by_simple =
            |it: &Simple| simple::verify(key, &subject.manifest, &it.payload, &it.layer).map(drop);
        let offered = evidence.bundles.iter().filter(|bytes| is_signature(bytes)).map(by_bundle);
        let mut signed = false;
        for verdict in offered.chain(evidence.simple.iter().map(by_simple)) {
            match verdict {
                Ok(()) => signed = true,
                Err(error) => against.push(refusal(&error, rule, subject, evidence)),
            }
        }
        if signed {
            found.push(Signer::key(key));
        }
    }
    for identity in &rule.identities {
        let mut signed = false;
        for bytes in evidence.bundles.iter().filter(|bytes| is_signature(bytes) && is_keyless(bytes)) {
            match by_identity(policy, identity, &subject.manifest, bundle::SIGN_PREDICATE, bytes) {
                Ok(_) => signed = true,
                Err(error) => against.push(refusal(&error, rule, subject, evidence)),
            }
        }
        if signed {
            found.push(Signer::Identity(identity.clone()));
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    against.extend(evidence.unusable.iter().map(|unusable| match unusable.damaged {
        true => Refusal::Damaged { package: package(), message: unusable.message.clone() },
        false => Refusal::Malformed { package: package(), message: unusable.message.clone() },
    }));
    let unsigned = Refusal::Unsigned { package: package() };
    Err(against.into_iter().max_by_key(Refusal::weight).unwrap_or(unsigned))
}

/// Whether a bundle is there to say that somebody stands for the package. What cannot be read is looked at to say why.
fn is_signature(bytes: &[u8]) -> bool {
    bundle::claim(bytes).map_or(true, |claim| claim.predicate_type == bundle::SIGN_PREDICATE)
}

/// Whether a bundle has a certificate in place of a key.
fn is_keyless(bytes: &[u8]) -> bool {
    bundle::claim(bytes).is_ok_and(|claim| claim.keyless)
}

fn by_identity(
    policy: &Policy,
    identity: &Identity,
    about: &Digest,
    predicate_type: &str,
    bytes: &[u8],
) -> Result<Statement, SignatureError> {
    match &policy.root {
        Some(root) => keyless::verify(root, identity, about, predicate_type, bytes),
        // A policy that names identities has a root; without one nothing is proved.
        None => Err(SignatureError::Unproven {
            form: "keyless bundle",
            message: "there is no trusted root".to_owned(),
        }),
    }
}

/// What a signature that is none comes to.
fn refusal(error: &SignatureError, rule: &Rule, subject: &Subject<'_>, evidence: &Evidence) -> Refusal {
    let (package, scope) = (subject.to_string(), rule.place());
    match error {
        SignatureError::Malformed { .. } => Refusal::Malformed { package, message: error.to_string() },
        SignatureError::Identity { found, .. } => {
            Refusal::WrongIdentity { package, scope, found: found.clone() }
        }
        SignatureError::Unproven { .. } => Refusal::Unproven { package, message: error.to_string() },
        SignatureError::Kind { found, .. } => Refusal::WrongKind { package, scope, found: found.clone() },
        SignatureError::Key { .. } => Refusal::WrongKey { package, scope, made_by: made_by(evidence) },
        SignatureError::Subject { found, .. } => {
            let digest = found.parse().or_else(|_| format!("sha256:{found}").parse::<Digest>());
            let other = digest.ok().and_then(|digest| evidence.others.get(&digest));
            match other {
                Some(version) => Refusal::Replayed { package, version: version.clone() },
                None => Refusal::WrongSubject { package, found: found.clone() },
            }
        }
    }
}

/// The keys that the bundles say they were made with.
fn made_by(evidence: &Evidence) -> Vec<String> {
    let hints = evidence.bundles.iter().filter_map(|bytes| bundle::claim(bytes).ok()?.key);
    let mut hints: Vec<String> = hints.collect();
    hints.sort();
    hints.dedup();
    hints
}

/// Holds a package to the certificate of the conformance suite, signed by whoever is trusted for the package itself.
fn must_be_certified(
    policy: &Policy,
    rule: &Rule,
    subject: &Subject<'_>,
    evidence: &Evidence,
) -> Result<(), Refusal> {
    let (package, scope) = (subject.to_string(), rule.place());
    let mut against = vec![Refusal::NotCertified { package: package.clone() }];
    let is_certificate = |bytes: &&Vec<u8>| {
        bundle::claim(bytes).is_ok_and(|claim| claim.predicate_type == CERTIFICATE_PREDICATE)
    };
    for bytes in evidence.bundles.iter().filter(is_certificate) {
        // Nobody's word as long as no key fits.
        against.push(Refusal::CertificateKey { package: package.clone(), scope: scope.clone() });
        let by_keys =
            rule.keys.iter().map(|key| bundle::verify(key, &subject.component, CERTIFICATE_PREDICATE, bytes));
        let identities = rule.identities.iter().filter(|_| is_keyless(bytes));
        let by_identities =
            identities.map(|it| by_identity(policy, it, &subject.component, CERTIFICATE_PREDICATE, bytes));
        for verdict in by_keys.chain(by_identities) {
            let package = package.clone();
            match verdict {
                Ok(statement) => match shortcoming(&statement.predicate) {
                    None => return Ok(()),
                    Some(result) => against.push(Refusal::CertificateFailed { package, result }),
                },
                Err(SignatureError::Key { .. } | SignatureError::Identity { .. }) => {}
                Err(SignatureError::Subject { found, .. }) => {
                    against.push(Refusal::CertificateSubject { package, found });
                }
                Err(error) => {
                    against.push(Refusal::CertificateMalformed { package, message: error.to_string() })
                }
            }
        }
    }
    let most = against.into_iter().max_by_key(Refusal::weight);
    Err(most.unwrap_or(Refusal::NotCertified { package }))
}

/// What a certificate says against its connector; none if the suite was passed as a whole.
fn shortcoming(predicate: &Value) -> Option<String> {
    let partial = predicate.pointer("/configuration/0/annotations/partial").and_then(Value::as_bool);
    match (predicate.get("result").and_then(Value::as_str), partial) {
        (Some("PASSED" | "WARNED"), Some(false)) => None,
        (Some("PASSED" | "WARNED"), Some(true)) => Some("passed chosen clauses only".to_owned()),
        (Some("FAILED"), _) => Some("failed".to_owned()),
        _ => Some("has no result".to_owned()),
    }
}

#[cfg(test)]
mod tests;
