//! Compiled code in a registry: taken from who is trusted with it, for this component, platform and engine, and from nobody else.

mod support;

use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::reference::RegistryRef;
use rapidbyte_publish::{Publication, push};
use rapidbyte_signing::PrivateKey;
use rapidbyte_trust::{
    Places, Platform, Policy, RuleConfig, Subject, TrustConfig, TrustedNative, fetch_native,
};
use support::{REPOSITORY, publication};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const ENGINE: &str = "engine-1";

/// A policy of a folder, with a key for packages and perhaps one for code.
fn policy(folder: &std::path::Path, key: &PrivateKey, native: Option<&PrivateKey>) -> Policy {
    let rule = RuleConfig {
        registry: format!("dir:{}", folder.display()),
        namespace: None,
        level: rapidbyte_trust::Level::Require,
        keys: vec![key.public().to_pem()],
        identities: Vec::new(),
        native_keys: native.iter().map(|key| key.public().to_pem()).collect(),
        require_conformance: false,
    };
    let config = TrustConfig { level: None, trusted_root: None, rules: vec![rule] };
    Policy::resolve(&config, &Places { folder, aliases: &|_| None, official: None }).unwrap()
}

async fn fetch(
    folder: &std::path::Path,
    policy: &Policy,
    publication: &Publication,
    target: &str,
    engine: &str,
) -> Option<TrustedNative> {
    let place = RegistryRef::Dir(folder.to_owned());
    let subject = Subject {
        registry: &place,
        repository: REPOSITORY,
        manifest: publication.digest(),
        component: publication.package.blobs[1].descriptor.digest,
    };
    let platform = Platform { target: target.to_owned(), engine: engine.to_owned() };
    fetch_native(&FolderRegistry::new(folder), policy, &subject, &platform).await.unwrap()
}

#[tokio::test]
async fn only_code_of_a_key_that_is_trusted_with_code_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let registry = FolderRegistry::new(path);
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let one = publication("1.0.0", Some(&key));
    push(&registry, REPOSITORY, &one, &mut |_| {}).await.unwrap();
    let trusting = policy(path, &key, Some(&key));
    let taken = fetch(path, &trusting, &one, TARGET, ENGINE).await.unwrap();
    assert_eq!(taken.code(), b"native code");
    assert_eq!(taken.signer().to_string(), format!("key {}", key.public().fingerprint()));
    // Who signs packages need not be trusted with code.
    assert_eq!(fetch(path, &policy(path, &key, None), &one, TARGET, ENGINE).await, None);
    assert_eq!(fetch(path, &policy(path, &key, Some(&other)), &one, TARGET, ENGINE).await, None);
    // Of another engine or platform.
    assert_eq!(fetch(path, &trusting, &one, TARGET, "engine-2").await, None);
    assert_eq!(fetch(path, &trusting, &one, "aarch64-apple-darwin", ENGINE).await, None);
    // The statement about one version's code says nothing of another's.
    let two = publication("1.1.0", None);
    push(&registry, REPOSITORY, &two, &mut |_| {}).await.unwrap();
    assert_eq!(fetch(path, &trusting, &two, TARGET, ENGINE).await, None);
    let statement = one.referrers.iter().find(|item| item.what.starts_with("signature of the code")).unwrap();
    let mut manifest = rapidbyte_packages::oci::Manifest::read(&statement.manifest).unwrap();
    manifest.subject = Some(two.package.descriptor.clone());
    use rapidbyte_packages::registry::Registry;
    registry
        .put_manifest(REPOSITORY, None, &statement.descriptor.media_type, &manifest.bytes())
        .await
        .unwrap();
    assert_eq!(fetch(path, &trusting, &two, TARGET, ENGINE).await, None);
}
