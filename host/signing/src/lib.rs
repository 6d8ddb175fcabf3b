//! Signatures over packages, in the two forms that cosign writes and reads: the Sigstore bundle ([`bundle`]) and the older simple
//! signing payload ([`simple`]), by a key on the NIST curve P-256 ([`key`]) or, in a bundle, by an identity ([`keyless`]). Whoever is trusted is the policy's business;
//! here it is only told whether a signature is one.

pub mod bundle;
pub mod key;
pub mod keyless;
pub mod limits;
pub mod simple;

pub use key::{KeyError, PrivateKey, PublicKey};

/// Why a signature is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the {form} is not what it should be: {message}")]
    Malformed { form: &'static str, message: String },
    #[error("the {form} is about `{found}`, not about `{expected}`")]
    Subject { form: &'static str, expected: String, found: String },
    #[error("the {form} was not made by the key {key}")]
    Key { form: &'static str, key: String },
    #[error("the {form} was made by `{found}`")]
    Identity { found: String, form: &'static str },
    /// It is by somebody, but nothing proves by whom.
    #[error("the {form} proves nothing: {message}")]
    Unproven { form: &'static str, message: String },
    #[error("the {form} says `{found}`, which is no signature of a package")]
    Kind { form: &'static str, found: String },
}

impl SignatureError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            SignatureError::Malformed { .. } => "signature_malformed",
            SignatureError::Subject { .. } => "signature_subject",
            SignatureError::Key { .. } => "signature_key",
            SignatureError::Identity { .. } => "signature_identity",
            SignatureError::Unproven { .. } => "signature_unproven",
            SignatureError::Kind { .. } => "signature_kind",
        }
    }
}
