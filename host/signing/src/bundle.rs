//! The newer of cosign's forms: a Sigstore bundle with a DSSE envelope around an in-toto statement. Lies as a referrer of the
//! package's manifest. The same envelope carries every other statement about a package (conformance, provenance), told apart by
//! the predicate's type.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rapidbyte_packages::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::SignatureError;
use crate::key::{KeyError, PrivateKey, PublicKey};
use crate::limits::SIGNATURE_BYTES_MAX;

pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Says of a package that somebody stands for it.
pub const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const FORM: &str = "bundle";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterial {
    /// None: it is keyless, with a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<KeyHint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tlog_entries: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct KeyHint {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Serialize, Deserialize)]
struct EnvelopeSignature {
    sig: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    keyid: String,
}

/// What is said, and about what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    pub predicate_type: String,
    #[serde(default)]
    pub predicate: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    digest: SubjectDigest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SubjectDigest {
    #[serde(default)]
    sha256: String,
}

impl Statement {
    /// A statement about the manifest or component with this digest.
    pub fn new(about: &Digest, predicate_type: &str, predicate: Value) -> Self {
        Statement {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![Subject { name: String::new(), digest: SubjectDigest { sha256: about.hex() } }],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// Holds what somebody has said against what they were asked for.
    pub(crate) fn must_be(
        self,
        form: &'static str,
        about: &Digest,
        predicate_type: &str,
    ) -> Result<Self, SignatureError> {
        if self.kind != STATEMENT_TYPE {
            return Err(SignatureError::Kind { form, found: self.kind });
        }
        if self.predicate_type != predicate_type {
            return Err(SignatureError::Kind { form, found: self.predicate_type });
        }
        match self.subject.as_slice() {
            [subject] if subject.digest.sha256 == about.hex() => Ok(self),
            _ => Err(self.other_subject(form, about)),
        }
    }

    /// It is about something else.
    pub(crate) fn other_subject(&self, form: &'static str, about: &Digest) -> SignatureError {
        let found: Vec<&str> = self.subject.iter().map(|subject| subject.digest.sha256.as_str()).collect();
        SignatureError::Subject { form, expected: about.hex(), found: found.join(", ") }
    }
}

/// What a bundle says before anybody has verified it: for choosing which to look at, and for saying what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub predicate_type: String,
    /// The one thing that it is about, if it is one.
    pub about: Option<Digest>,
    /// The fingerprint of the key that it names.
    pub key: Option<String>,
    /// Whether it has a certificate in place of a key.
    pub keyless: bool,
}

/// Reads what a bundle says of itself; believes nothing.
pub fn claim(bundle: &[u8]) -> Result<Claim, SignatureError> {
    let bundle = open(bundle)?;
    let payload = decode(&bundle.dsse_envelope.payload)?;
    let statement: Statement = serde_json::from_slice(&payload).map_err(|error| malformed(&error))?;
    let about = match statement.subject.as_slice() {
        [subject] => format!("sha256:{}", subject.digest.sha256).parse().ok(),
        _ => None,
    };
    let keyless = bundle.verification_material.certificate.is_some();
    let hint = bundle.verification_material.public_key.map(|key| key.hint);
    let key = hint.filter(|hint| STANDARD.decode(hint).is_ok_and(|bytes| bytes.len() == 32));
    Ok(Claim {
        predicate_type: statement.predicate_type,
        about,
        key: key.map(|hint| format!("SHA256:{}", hint.trim_end_matches('='))),
        keyless,
    })
}

fn malformed(error: &dyn std::fmt::Display) -> SignatureError {
    SignatureError::Malformed { form: FORM, message: error.to_string() }
}

fn decode(text: &str) -> Result<Vec<u8>, SignatureError> {
    STANDARD.decode(text).map_err(|error| malformed(&error))
}

fn open(bundle: &[u8]) -> Result<Bundle, SignatureError> {
    if bundle.len() > SIGNATURE_BYTES_MAX {
        return Err(malformed(&"it is too long"));
    }
    let bundle: Bundle = serde_json::from_slice(bundle).map_err(|error| malformed(&error))?;
    if bundle.media_type != MEDIA_TYPE {
        let found: String = bundle.media_type.chars().filter(|c| !c.is_control()).take(120).collect();
        return Err(malformed(&format_args!("it is a `{found}`")));
    }
    Ok(bundle)
}

/// The statement of a bundle that nobody has verified yet.
pub(crate) fn statement(bundle: &[u8]) -> Result<Statement, SignatureError> {
    let payload = decode(&open(bundle)?.dsse_envelope.payload)?;
    serde_json::from_slice(&payload).map_err(|error| malformed(&error))
}

/// Signs a statement; answers the bundle's bytes.
pub fn sign(key: &PrivateKey, statement: &Statement) -> Result<Vec<u8>, KeyError> {
    // A tree of texts and numbers always serialises.
    let payload = serde_json::to_vec(statement).unwrap_or_default();
    let signature = key.sign(&pre_authentication(PAYLOAD_TYPE, &payload))?;
    let bundle = Bundle {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: VerificationMaterial {
            public_key: Some(KeyHint { hint: key.public().hint() }),
            certificate: None,
            tlog_entries: Vec::new(),
        },
        dsse_envelope: Envelope {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![EnvelopeSignature { sig: STANDARD.encode(signature), keyid: String::new() }],
        },
    };
    Ok(serde_json::to_vec(&bundle).unwrap_or_default())
}

/// The statement in a bundle, if the key signed it and it is about this and of this kind.
pub fn verify(
    key: &PublicKey,
    about: &Digest,
    predicate_type: &str,
    bundle: &[u8],
) -> Result<Statement, SignatureError> {
    let envelope = open(bundle)?.dsse_envelope;
    let payload = decode(&envelope.payload)?;
    // One signature: with several, some of which fit, nobody could say who stands for it.
    let [signature] = envelope.signatures.as_slice() else {
        return Err(malformed(&format_args!("it has {} signatures", envelope.signatures.len())));
    };
    let message = pre_authentication(&envelope.payload_type, &payload);
    if !key.verifies(&message, &decode(&signature.sig)?) {
        return Err(SignatureError::Key { form: FORM, key: key.fingerprint() });
    }
    // Only now is the statement somebody's word.
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(SignatureError::Kind { form: FORM, found: envelope.payload_type });
    }
    let statement: Statement = serde_json::from_slice(&payload).map_err(|error| malformed(&error))?;
    statement.must_be(FORM, about, predicate_type)
}

/// The bytes that a DSSE signature is over.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_about_this_by_this_key_counts() {
        let key = PrivateKey::generate().unwrap();
        let about = Digest::of(b"manifest");
        let statement = Statement::new(&about, SIGN_PREDICATE, serde_json::json!({}));
        let bundle = sign(&key, &statement).unwrap();
        assert_eq!(verify(&key.public(), &about, SIGN_PREDICATE, &bundle).unwrap(), statement);

        let code = |key: &PublicKey, about: &Digest, kind: &str, bundle: &[u8]| {
            verify(key, about, kind, bundle).unwrap_err().code()
        };
        let public = key.public();
        let other = PrivateKey::generate().unwrap().public();
        assert_eq!(code(&other, &about, SIGN_PREDICATE, &bundle), "signature_key");
        assert_eq!(code(&public, &Digest::of(b"another"), SIGN_PREDICATE, &bundle), "signature_subject");
        assert_eq!(
            code(&public, &about, "https://in-toto.io/attestation/test-result/v0.1", &bundle),
            "signature_kind"
        );
        assert_eq!(code(&public, &about, SIGN_PREDICATE, b"{}"), "signature_malformed");
        // Another payload under the same signature.
        let mut changed: Value = serde_json::from_slice(&bundle).unwrap();
        let forged = Statement::new(&Digest::of(b"another"), SIGN_PREDICATE, Value::Null);
        changed["dsseEnvelope"]["payload"] = STANDARD.encode(serde_json::to_vec(&forged).unwrap()).into();
        let forged = serde_json::to_vec(&changed).unwrap();
        assert_eq!(code(&public, &Digest::of(b"another"), SIGN_PREDICATE, &forged), "signature_key");
        // The right payload under another type.
        let text = String::from_utf8(bundle.clone()).unwrap();
        assert_eq!(
            code(&public, &about, SIGN_PREDICATE, text.replace(PAYLOAD_TYPE, "text/plain").as_bytes()),
            "signature_key"
        );
        let mut twice: Value = serde_json::from_slice(&bundle).unwrap();
        let signature = twice["dsseEnvelope"]["signatures"][0].clone();
        twice["dsseEnvelope"]["signatures"].as_array_mut().unwrap().push(signature);
        assert_eq!(
            code(&public, &about, SIGN_PREDICATE, &serde_json::to_vec(&twice).unwrap()),
            "signature_malformed"
        );
        let claimed = claim(&bundle).unwrap();
        assert_eq!(claimed.about, Some(about));
        assert_eq!(
            (claimed.key, claimed.predicate_type),
            (Some(public.fingerprint()), SIGN_PREDICATE.to_owned())
        );
        let newer = text.replace("v0.3", "v0.9");
        assert_eq!(code(&public, &about, SIGN_PREDICATE, newer.as_bytes()), "signature_malformed");
    }

    #[test]
    fn the_signed_bytes_are_those_of_the_specification() {
        assert_eq!(
            pre_authentication("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
