//! Keyless bundles against an authority of the tests' own: who signed, where they logged in, about what, and that each proof in the
//! bundle is needed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rapidbyte_packages::digest::Digest;
use rapidbyte_signing::bundle::{SIGN_PREDICATE, Statement};
use rapidbyte_signing::keyless::{Identity, Root, verify};
use registry_fixtures::Authority;
use serde_json::{Value, json};

const ISSUER: &str = "https://token.ci.example";
const SUBJECT: &str = "https://git.example/acme/source-a/release.yml@refs/heads/main";

fn identity(issuer: &str, subject: &str) -> Identity {
    Identity { issuer: issuer.to_owned(), subject: subject.to_owned() }
}

fn signed(authority: &Authority, about: &Digest) -> Vec<u8> {
    let statement = Statement::new(about, SIGN_PREDICATE, json!({}));
    authority.sign(ISSUER, SUBJECT, &serde_json::to_vec(&statement).unwrap()).unwrap()
}

#[test]
fn only_the_pinned_identity_about_this_under_the_trusted_root_counts() {
    let authority = Authority::new().unwrap();
    let root = Root::from_json(&authority.trusted_root()).unwrap();
    let about = Digest::of(b"manifest");
    let bundle = signed(&authority, &about);
    let ours = identity(ISSUER, SUBJECT);
    let statement = verify(&root, &ours, &about, SIGN_PREDICATE, &bundle).unwrap();
    assert_eq!(statement, Statement::new(&about, SIGN_PREDICATE, json!({})));

    let code = |root: &Root, identity: &Identity, about: &Digest, kind: &str, bundle: &[u8]| {
        verify(root, identity, about, kind, bundle).unwrap_err().code()
    };
    let fork = identity(ISSUER, &format!("{SUBJECT}-fork"));
    assert_eq!(code(&root, &fork, &about, SIGN_PREDICATE, &bundle), "signature_identity");
    let elsewhere = identity("https://login.example", SUBJECT);
    assert_eq!(code(&root, &elsewhere, &about, SIGN_PREDICATE, &bundle), "signature_identity");
    let other = Digest::of(b"another");
    assert_eq!(code(&root, &ours, &other, SIGN_PREDICATE, &bundle), "signature_subject");
    assert_eq!(code(&root, &ours, &about, "https://slsa.dev/provenance/v1", &bundle), "signature_kind");
    assert_eq!(code(&root, &ours, &about, SIGN_PREDICATE, b"{}"), "signature_malformed");
    let stranger = Root::from_json(&Authority::new().unwrap().trusted_root()).unwrap();
    assert_eq!(code(&stranger, &ours, &about, SIGN_PREDICATE, &bundle), "signature_unproven");
    assert!(Root::from_json("{}").is_err());
}

#[test]
fn no_proof_of_a_bundle_can_be_left_out_or_changed() {
    let authority = Authority::new().unwrap();
    let root = Root::from_json(&authority.trusted_root()).unwrap();
    let about = Digest::of(b"manifest");
    let bundle: Value = serde_json::from_slice(&signed(&authority, &about)).unwrap();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut changed = bundle.clone();
        change(&mut changed);
        assert_ne!(changed, bundle, "the test changes something");
        let bytes = serde_json::to_vec(&changed).unwrap();
        let verdict = verify(&root, &identity(ISSUER, SUBJECT), &about, SIGN_PREDICATE, &bytes);
        assert!(verdict.is_err(), "{changed}");
    };
    let flip = |value: &mut Value| {
        let mut bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        *value = STANDARD.encode(bytes).into();
    };
    let entry = "/verificationMaterial/tlogEntries/0";
    for place in [
        "/dsseEnvelope/signatures/0/sig",
        "/dsseEnvelope/payload",
        "/verificationMaterial/certificate/rawBytes",
        &format!("{entry}/inclusionPromise/signedEntryTimestamp"),
        &format!("{entry}/inclusionProof/rootHash"),
        &format!("{entry}/canonicalizedBody"),
        &format!("{entry}/logId/keyId"),
    ] {
        refused(&|bundle| flip(bundle.pointer_mut(place).unwrap_or_else(|| panic!("{place}"))));
    }
    // An hour later the promise does not hold, and before its certificate it could not have been signed.
    for time in ["1748739600", "1000000000"] {
        refused(&|bundle| *bundle.pointer_mut(&format!("{entry}/integratedTime")).unwrap() = time.into());
    }
    refused(&|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([]));
    refused(&|bundle| {
        bundle.pointer_mut(entry).unwrap().as_object_mut().unwrap().remove("inclusionProof");
    });
    // Somebody else's entry in the log.
    let other: Value = serde_json::from_slice(&signed(&authority, &Digest::of(b"another"))).unwrap();
    refused(&|bundle| {
        bundle["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"].clone();
    });
}
