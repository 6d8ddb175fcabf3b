//! Why a package is not trusted: one variant, with a code of its own, for each thing that can be wrong, because what to do next
//! differs. A damaged signature is fetched again, a replayed one is an attack, a wrong key is a question to the publisher.

/// Why a package is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("`{package}` is not signed")]
    Unsigned { package: String },
    #[error("`{package}` must be signed, and nobody is trusted for `{scope}`")]
    NobodyTrusted { package: String, scope: String },
    #[error("`{package}` is signed, but not by a key that is trusted for `{scope}`{}", hint_of(made_by))]
    WrongKey { package: String, scope: String, made_by: Vec<String> },
    #[error("`{package}` is signed by `{found}`, who is not trusted for `{scope}`")]
    WrongIdentity { package: String, scope: String, found: String },
    #[error("`{package}` is signed without a key, and nothing proves by whom: {message}")]
    Unproven { package: String, message: String },
    #[error("a trusted signature lies with `{package}` and is about something else, `{found}`")]
    WrongSubject { package: String, found: String },
    #[error("the signature that lies with `{package}` is that of another version, `{version}`")]
    Replayed { package: String, version: String },
    #[error("what lies with `{package}` as its signature is none: {message}")]
    Malformed { package: String, message: String },
    #[error("the signature of `{package}` came damaged: {message}")]
    Damaged { package: String, message: String },
    #[error(
        "a key that is trusted for `{scope}` has signed something about `{package}`, but no signature of it: {found}"
    )]
    WrongKind { package: String, scope: String, found: String },
    #[error("`{package}` has no certificate of conformance")]
    NotCertified { package: String },
    #[error(
        "the certificate of conformance of `{package}` is not signed by a key that is trusted for `{scope}`"
    )]
    CertificateKey { package: String, scope: String },
    #[error(
        "the certificate of conformance that lies with `{package}` is about another component, `{found}`"
    )]
    CertificateSubject { package: String, found: String },
    #[error("the certificate of conformance of `{package}` is not what it should be: {message}")]
    CertificateMalformed { package: String, message: String },
    #[error("the certificate of conformance of `{package}` says that it {result}")]
    CertificateFailed { package: String, result: String },
    #[error(
        "`{package}` was installed when `{signer}` was trusted, who is not trusted any more for `{scope}`"
    )]
    SignerNotTrusted { package: String, signer: String, scope: String },
    #[error("`{package}` was installed unsigned, and must be signed now")]
    InstalledUnsigned { package: String },
}

fn hint_of(made_by: &[String]) -> String {
    match made_by {
        [] => String::new(),
        hints => format!(" (it names {})", hints.join(", ")),
    }
}

impl Refusal {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Unsigned { .. } => "trust_unsigned",
            Refusal::NobodyTrusted { .. } => "trust_nobody",
            Refusal::WrongKey { .. } => "trust_wrong_key",
            Refusal::WrongIdentity { .. } => "trust_wrong_identity",
            Refusal::Unproven { .. } => "trust_unproven",
            Refusal::WrongSubject { .. } => "trust_wrong_subject",
            Refusal::Replayed { .. } => "trust_replayed",
            Refusal::Malformed { .. } => "trust_signature_malformed",
            Refusal::Damaged { .. } => "trust_signature_damaged",
            Refusal::WrongKind { .. } => "trust_wrong_kind",
            Refusal::NotCertified { .. } => "certificate_missing",
            Refusal::CertificateKey { .. } => "certificate_wrong_key",
            Refusal::CertificateSubject { .. } => "certificate_wrong_subject",
            Refusal::CertificateMalformed { .. } => "certificate_malformed",
            Refusal::CertificateFailed { .. } => "certificate_failed",
            Refusal::SignerNotTrusted { .. } => "trust_signer_not_trusted",
            Refusal::InstalledUnsigned { .. } => "trust_installed_unsigned",
        }
    }

    /// The next step.
    pub fn hint(&self) -> &'static str {
        match self {
            Refusal::Unsigned { .. } | Refusal::InstalledUnsigned { .. } => {
                "ask its publisher to sign it, or lower the `level` of its registry under `[trust]` in config.toml"
            }
            Refusal::NobodyTrusted { .. } => {
                "name its publisher's public key or identity in a `[[trust.rule]]` of config.toml"
            }
            Refusal::WrongKey { .. } | Refusal::CertificateKey { .. } | Refusal::SignerNotTrusted { .. } => {
                "find out from its publisher whether the key has changed before you name another in config.toml"
            }
            Refusal::WrongSubject { .. } | Refusal::Replayed { .. } | Refusal::CertificateSubject { .. } => {
                "somebody has put it there who could write to the registry: tell its publisher"
            }
            Refusal::WrongIdentity { .. } => {
                "find out from its publisher who signs its releases before you name somebody in config.toml"
            }
            Refusal::Unproven { .. } => {
                "check that `trusted-root` names the authority that its publisher uses"
            }
            Refusal::Damaged { .. } => "try again; if it stays so, the registry's storage is damaged",
            Refusal::Malformed { .. }
            | Refusal::WrongKind { .. }
            | Refusal::CertificateMalformed { .. }
            | Refusal::NotCertified { .. }
            | Refusal::CertificateFailed { .. } => {
                "ask its publisher to publish it with `rapidbyte connector publish`"
            }
        }
    }

    /// Which of several reasons tells most: a trusted key's word about something else more than a stranger's.
    pub(crate) fn weight(&self) -> u8 {
        match self {
            Refusal::Replayed { .. } => 6,
            Refusal::WrongSubject { .. } | Refusal::CertificateSubject { .. } => 5,
            Refusal::WrongKind { .. } | Refusal::CertificateFailed { .. } => 4,
            Refusal::WrongIdentity { .. } => 4,
            Refusal::WrongKey { .. } | Refusal::CertificateKey { .. } | Refusal::Unproven { .. } => 3,
            Refusal::Damaged { .. } => 2,
            Refusal::Malformed { .. } | Refusal::CertificateMalformed { .. } => 1,
            _ => 0,
        }
    }
}
