//! Signatures by somebody's identity in place of a key: a bundle with a certificate that a trusted authority gave to whoever could log
//! in as that identity for some minutes, and proof that a trusted public log has the signature. All of it is verified here without
//! a network, against a trusted root that the user has; both issuer and subject of the identity are always asked for.
//!
//! What is verified is `sigstore-verify`'s work; the arithmetic is `ring`'s.

use std::fmt;
use std::sync::Arc;

use rapidbyte_packages::digest::Digest;
use ring::digest::{Context, SHA256, SHA384, SHA512};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use sigstore_crypto::{
    CryptoProvider, Error as CryptoError, HashContext, SigningScheme, install_default_provider,
};
use sigstore_trust_root::TrustedRoot;
use sigstore_types::{Bundle, HashAlgorithm, Sha256Hash};
use sigstore_verify::{Error as VerifyError, VerificationPolicy, Verifier};

use crate::SignatureError;
use crate::bundle::{self, Statement};
use crate::limits::ROOT_BYTES_MAX;

const FORM: &str = "keyless bundle";

/// Whom a certificate must be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where they logged in: `https://token.ci.example`.
    pub issuer: String,
    /// Who they are there, exactly: an address, or a workflow's URI.
    pub subject: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.subject, self.issuer)
    }
}

/// The authorities and logs that are believed: a `trusted_root.json` of Sigstore's.
#[derive(Clone)]
pub struct Root(Arc<Verifier>);

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Root")
    }
}

/// Why a text is no trusted root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no trusted root (`trusted_root.json`): {message}")]
pub struct BadRoot {
    message: String,
}

impl Root {
    pub fn from_json(text: &str) -> Result<Self, BadRoot> {
        // Whoever was here before has installed the same.
        let _ = install_default_provider(&Ring);
        let bad = |message: String| BadRoot { message };
        if text.len() > ROOT_BYTES_MAX {
            return Err(bad("it is too long".to_owned()));
        }
        let root = TrustedRoot::from_json(text).map_err(|error| bad(error.to_string()))?;
        let verifier = Verifier::new(&root).map_err(|error| bad(error.to_string()))?;
        Ok(Root(Arc::new(verifier)))
    }
}

/// The statement in a bundle, if this identity signed it and it is about this and of this kind.
pub fn verify(
    root: &Root,
    identity: &Identity,
    about: &Digest,
    predicate_type: &str,
    bytes: &[u8],
) -> Result<Statement, SignatureError> {
    let malformed = |message: String| SignatureError::Malformed { form: FORM, message };
    // The bounds and the shape are those of every bundle; what the statement says counts once it is verified.
    let statement = bundle::statement(bytes)?;
    let text = std::str::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
    let parsed = Bundle::from_json(text).map_err(|error| malformed(error.to_string()))?;
    let policy = VerificationPolicy::new(identity.subject.clone(), identity.issuer.clone());
    let artifact = Sha256Hash::new(*about.bytes());
    root.0.verify(artifact, &parsed, &policy).map_err(|error| match error {
        VerifyError::IdentityMismatch { actual, .. } => SignatureError::Identity {
            form: FORM,
            found: actual.map_or_else(|| "nobody".to_owned(), |actual| plain(actual.as_str())),
        },
        VerifyError::IssuerMismatch { actual, .. } => SignatureError::Identity {
            form: FORM,
            found: plain(&actual.unwrap_or_else(|| "no issuer".to_owned())),
        },
        VerifyError::ArtifactMismatch(_) => statement.other_subject(FORM, about),
        error => SignatureError::Unproven { form: FORM, message: plain(&error.to_string()) },
    })?;
    statement.must_be(FORM, about, predicate_type)
}

/// A stranger's words for a message.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The arithmetic. What of it `ring` does not have is refused.
#[derive(Debug)]
struct Ring;

struct RingHash(Context);

impl HashContext for RingHash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, CryptoError> {
        let algorithm = match algorithm {
            HashAlgorithm::Sha2256 => &SHA256,
            HashAlgorithm::Sha2384 => &SHA384,
            HashAlgorithm::Sha2512 => &SHA512,
            other => return Err(CryptoError::UnsupportedAlgorithm(other.to_string())),
        };
        Ok(Box::new(RingHash(Context::new(algorithm))))
    }

    fn verify_raw(
        &self,
        scheme: SigningScheme,
        public_key: &[u8],
        data: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        let algorithm: &'static dyn VerificationAlgorithm = match scheme {
            SigningScheme::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
            SigningScheme::EcdsaP256Sha384 => &ECDSA_P256_SHA384_ASN1,
            SigningScheme::EcdsaP384Sha256 => &ECDSA_P384_SHA256_ASN1,
            SigningScheme::EcdsaP384Sha384 => &ECDSA_P384_SHA384_ASN1,
            SigningScheme::Ed25519 => &ED25519,
            SigningScheme::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
            SigningScheme::RsaPssSha384 => &RSA_PSS_2048_8192_SHA384,
            SigningScheme::RsaPssSha512 => &RSA_PSS_2048_8192_SHA512,
            SigningScheme::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            SigningScheme::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            SigningScheme::RsaPkcs1Sha512 => &RSA_PKCS1_2048_8192_SHA512,
            other => return Err(CryptoError::UnsupportedAlgorithm(other.name().to_owned())),
        };
        UnparsedPublicKey::new(algorithm, public_key)
            .verify(data, signature)
            .map_err(|_| CryptoError::Verification(format!("{} signature invalid", scheme.name())))
    }

    /// Statements are signed as they are; signatures over digests are of bundles that are none of ours.
    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        _: &[u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<(), CryptoError> {
        Err(CryptoError::UnsupportedAlgorithm(format!("{} over a digest", scheme.name())))
    }
}
