//! The older of cosign's forms: a small JSON payload that names the manifest's digest, and the signature over its bytes. Lies
//! under the tag `sha256-<hex>.sig` of the package's repository.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::oci::Descriptor;
use serde::{Deserialize, Serialize};

use crate::SignatureError;
use crate::key::{KeyError, PrivateKey, PublicKey};
use crate::limits::SIGNATURE_BYTES_MAX;

pub const PAYLOAD_MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Of the layer with the payload: the signature in base64.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
const TYPE: &str = "cosign container image signature";
const FORM: &str = "simple signature";

#[derive(Serialize, Deserialize)]
struct Payload {
    critical: Critical,
    #[serde(default)]
    optional: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Serialize, Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

/// The tag under which the signatures of a manifest lie.
pub fn tag(manifest: &Digest) -> String {
    format!("sha256-{}.sig", manifest.hex())
}

/// A payload with the layer that carries it and its signature.
#[derive(Debug, Clone)]
pub struct Signed {
    pub payload: Vec<u8>,
    pub layer: Descriptor,
}

/// Signs a manifest that lies in `reference` (`registry.example/acme/source-jira`).
pub fn sign(key: &PrivateKey, reference: &str, manifest: &Digest) -> Result<Signed, KeyError> {
    let payload = Payload {
        critical: Critical {
            identity: Identity { reference: reference.to_owned() },
            image: Image { digest: *manifest },
            kind: TYPE.to_owned(),
        },
        optional: None,
    };
    // A tree of texts always serialises.
    let payload = serde_json::to_vec(&payload).unwrap_or_default();
    let mut layer = Descriptor::of(PAYLOAD_MEDIA_TYPE, &payload);
    layer.annotations.insert(SIGNATURE_ANNOTATION.to_owned(), STANDARD.encode(key.sign(&payload)?));
    Ok(Signed { payload, layer })
}

/// Reads which manifest a payload says it is about; believes nothing.
pub fn claim(payload: &[u8]) -> Result<Digest, SignatureError> {
    let malformed = |message: String| SignatureError::Malformed { form: FORM, message };
    if payload.len() > SIGNATURE_BYTES_MAX {
        return Err(malformed("it is too long".to_owned()));
    }
    let payload: Payload = serde_json::from_slice(payload).map_err(|error| malformed(error.to_string()))?;
    Ok(payload.critical.image.digest)
}

/// Whether the key signed this very manifest. `layer` is the payload's descriptor, whose digest has been held against it.
pub fn verify(
    key: &PublicKey,
    manifest: &Digest,
    payload: &[u8],
    layer: &Descriptor,
) -> Result<(), SignatureError> {
    let malformed = |message: String| SignatureError::Malformed { form: FORM, message };
    if payload.len() > SIGNATURE_BYTES_MAX {
        return Err(malformed("it is too long".to_owned()));
    }
    let signature = layer
        .annotations
        .get(SIGNATURE_ANNOTATION)
        .ok_or_else(|| malformed(format!("the annotation `{SIGNATURE_ANNOTATION}` is missing")))?;
    let signature = STANDARD.decode(signature).map_err(|error| malformed(error.to_string()))?;
    if !key.verifies(payload, &signature) {
        return Err(SignatureError::Key { form: FORM, key: key.fingerprint() });
    }
    // Only now is the payload somebody's word.
    let payload: Payload = serde_json::from_slice(payload).map_err(|error| malformed(error.to_string()))?;
    if payload.critical.kind != TYPE {
        return Err(SignatureError::Kind { form: FORM, found: payload.critical.kind });
    }
    let found = payload.critical.image.digest;
    if found != *manifest {
        return Err(SignatureError::Subject {
            form: FORM,
            expected: manifest.to_string(),
            found: found.to_string(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_and_the_manifest_that_it_was_made_for_fit() {
        let key = PrivateKey::generate().unwrap();
        let manifest = Digest::of(b"manifest");
        let signed = sign(&key, "registry.example/acme/source-a", &manifest).unwrap();
        verify(&key.public(), &manifest, &signed.payload, &signed.layer).unwrap();

        let other = PrivateKey::generate().unwrap().public();
        let code = |result: Result<(), SignatureError>| result.unwrap_err().code();
        assert_eq!(code(verify(&other, &manifest, &signed.payload, &signed.layer)), "signature_key");
        // A signature of another version, replayed.
        let replayed = Digest::of(b"another manifest");
        assert_eq!(
            code(verify(&key.public(), &replayed, &signed.payload, &signed.layer)),
            "signature_subject"
        );
        let mut flipped = signed.payload.clone();
        flipped[40] ^= 1;
        assert_eq!(code(verify(&key.public(), &manifest, &flipped, &signed.layer)), "signature_key");
        let bare = Descriptor::of(PAYLOAD_MEDIA_TYPE, &signed.payload);
        assert_eq!(code(verify(&key.public(), &manifest, &signed.payload, &bare)), "signature_malformed");
        // Signed, but something else.
        let text =
            String::from_utf8(signed.payload.clone()).unwrap().replace(TYPE, "atomic container signature");
        let mut layer = Descriptor::of(PAYLOAD_MEDIA_TYPE, text.as_bytes());
        let signature = STANDARD.encode(key.sign(text.as_bytes()).unwrap());
        layer.annotations.insert(SIGNATURE_ANNOTATION.to_owned(), signature);
        assert_eq!(code(verify(&key.public(), &manifest, text.as_bytes(), &layer)), "signature_kind");
    }

    #[test]
    fn the_payload_is_what_cosign_writes() {
        let key = PrivateKey::generate().unwrap();
        let manifest = Digest::of(b"");
        let signed = sign(&key, "registry.example/acme/source-a", &manifest).unwrap();
        let expected = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"registry.example/acme/source-a"}},"image":{{"docker-manifest-digest":"{manifest}"}},"type":"cosign container image signature"}},"optional":null}}"#
        );
        assert_eq!(String::from_utf8(signed.payload).unwrap(), expected);
        assert!(tag(&manifest).starts_with("sha256-e3b0c442") && tag(&manifest).ends_with(".sig"));
    }
}
