//! What we publish, in the hands of others: `skopeo` carries it, `openssl` and npm's `@sigstore/verify` verify it, and what
//! `@sigstore/sign` signs is verified by us. Debian's registry has passwords and no referrers API.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::oci::Manifest;
use rapidbyte_packages::reference::RegistryRef;
use rapidbyte_packages::registry::{self, Registry};
use rapidbyte_publish::{Publication, push};
use rapidbyte_registry::{Credentials, ServerOptions, ServerRegistry};
use rapidbyte_signing::{PrivateKey, PublicKey, bundle, simple};
use rapidbyte_trust::{Policy, Subject, gather, judge};
use registry_fixtures::{DockerRegistry, PASSWORD, USER};
use support::{REPOSITORY, publication};

fn connect(server: &DockerRegistry) -> ServerRegistry {
    let credentials = Some(Credentials::new(USER, PASSWORD));
    ServerRegistry::new(&server.host(), &ServerOptions { credentials, ..ServerOptions::default() }).unwrap()
}

async fn publish(registry: &dyn Registry, publication: &Publication) {
    push(registry, REPOSITORY, publication, &mut |_| {}).await.unwrap();
}

/// Judges a package by one key.
async fn signer_of(registry: &dyn Registry, publication: &Publication, key: &PublicKey) -> String {
    let place: RegistryRef = "oci://registry.example/acme".parse().unwrap();
    let layer = &publication.package.blobs[1].descriptor;
    let subject = Subject {
        registry: &place,
        repository: REPOSITORY,
        manifest: publication.digest(),
        component: layer.digest,
    };
    let evidence = gather(registry, REPOSITORY, &publication.digest()).await.unwrap();
    let mut policy = Policy::of_key(key.clone());
    policy.require_conformance();
    let trusted = judge(&policy, &subject, &evidence).unwrap_or_else(|refusal| panic!("{refusal}"));
    trusted.signer().unwrap().to_string()
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// The packages that npm itself is made of: they are where npm is, and need no network.
fn npm_packages() -> PathBuf {
    let root = run(Command::new("npm").args(["root", "--global"]));
    let folder = PathBuf::from(String::from_utf8(root.stdout).unwrap().trim()).join("npm/node_modules");
    assert!(folder.join("@sigstore/verify").is_dir(), "npm is made of @sigstore/verify");
    folder
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_passwords_and_without_referrers_keeps_all_of_it() {
    let server = DockerRegistry::start(true).unwrap();
    let key = PrivateKey::generate().unwrap();
    let versions = ["1.0.0", "1.0.1", "1.0.2", "1.0.3"];
    // Side by side into one repository, each with several referrers.
    let pushes = versions.map(|version| {
        let (registry, publication) = (connect(&server), publication(version, Some(&key)));
        tokio::spawn(async move {
            publish(&registry, &publication).await;
            publication
        })
    });
    let registry = connect(&server);
    for push in pushes {
        let publication = push.await.unwrap();
        let referrers = registry.referrers(REPOSITORY, &publication.digest()).await.unwrap();
        assert_eq!(referrers.len(), publication.referrers.len(), "{}", publication.version);
        let signer = signer_of(&registry, &publication, &key.public()).await;
        assert_eq!(signer, format!("key {}", key.public().fingerprint()));
    }
    let tags = registry.tags(REPOSITORY).await.unwrap();
    assert!(versions.iter().all(|version| tags.iter().any(|tag| tag == version)), "{tags:?}");
}

#[tokio::test]
async fn skopeo_carries_it_from_a_server_to_a_folder() {
    let server = DockerRegistry::start(true).unwrap();
    let one = publication("1.0.0", None);
    publish(&connect(&server), &one).await;
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join(REPOSITORY);
    fs::create_dir_all(layout.parent().unwrap()).unwrap();
    let policy = folder.path().join("policy.json");
    fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    run(Command::new("skopeo")
        .arg("--policy")
        .arg(&policy)
        .args(["copy", "--src-tls-verify=false", "--src-creds", &format!("{USER}:{PASSWORD}")])
        .arg(format!("docker://{}/{REPOSITORY}:1.0.0", server.host()))
        .arg(format!("oci:{}:1.0.0", layout.display())));
    let copied = FolderRegistry::new(folder.path());
    let found = copied.resolve(REPOSITORY, "1.0.0").await.unwrap().unwrap();
    assert_eq!(found.digest, one.digest(), "not a byte of the manifest has changed");
    let layer = &one.package.blobs[1];
    let component = registry::blob(&copied, REPOSITORY, &layer.descriptor, 1 << 20).await.unwrap();
    assert_eq!(component, layer.bytes);
}

#[tokio::test]
async fn openssl_verifies_the_older_signature() {
    let folder = tempfile::tempdir().unwrap();
    let registry = FolderRegistry::new(folder.path().join("registry"));
    let key = PrivateKey::generate().unwrap();
    let one = publication("1.0.0", Some(&key));
    publish(&registry, &one).await;
    let tag = simple::tag(&one.digest());
    let found = registry.resolve(REPOSITORY, &tag).await.unwrap().unwrap();
    let manifest = registry::manifest(&registry, REPOSITORY, &found.digest).await.unwrap();
    let layer = Manifest::read(&manifest).unwrap().layers.remove(0);
    let payload = registry.blob_path(REPOSITORY, &layer.digest);
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let signature = STANDARD.decode(&layer.annotations[simple::SIGNATURE_ANNOTATION]).unwrap();
    let signature = write("signature", &signature);
    let verify = |key: &PrivateKey| {
        let public = write("key.pub", key.public().to_pem().as_bytes());
        let mut command = Command::new("openssl");
        command
            .args(["dgst", "-sha256", "-verify"])
            .arg(public)
            .arg("-signature")
            .arg(&signature)
            .arg(&payload);
        command.output().unwrap().status.success()
    };
    assert!(verify(&key));
    assert!(!verify(&PrivateKey::generate().unwrap()));
}

#[tokio::test]
async fn our_bundles_are_verified_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let key = PrivateKey::generate().unwrap();
    let one = publication("1.0.0", Some(&key));
    let verify = |bundle: &[u8], key: &PrivateKey| {
        let (bundle_path, key_path) = (folder.path().join("bundle.json"), folder.path().join("key.pub"));
        fs::write(&bundle_path, bundle).unwrap();
        fs::write(&key_path, key.public().to_pem()).unwrap();
        let mut command = Command::new("node");
        command.arg(script("verify.mjs")).arg(npm_packages()).arg(bundle_path).arg(key_path);
        command.output().unwrap()
    };
    let signature = one.referrers.iter().find(|item| item.what == "signature").unwrap();
    let bytes = &signature.blobs[1].bytes;
    let output = verify(bytes, &key);
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), one.digest().hex(), "{complained}");
    assert!(!verify(bytes, &PrivateKey::generate().unwrap()).status.success());
    let mut flipped = bytes.to_vec();
    let at = String::from_utf8_lossy(bytes).find("\"payload\":\"").unwrap() + 40;
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    assert!(!verify(&flipped, &key).status.success());
}

#[tokio::test]
async fn the_bundles_of_others_are_verified_by_us() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle_path, key_path) = (folder.path().join("bundle.json"), folder.path().join("key.pub"));
    let one = publication("1.0.0", None);
    run(Command::new("node")
        .arg(script("sign.mjs"))
        .arg(npm_packages())
        .arg(one.digest().hex())
        .args([&bundle_path, &key_path]));
    let (bytes, key) = (fs::read(&bundle_path).unwrap(), fs::read_to_string(&key_path).unwrap());
    let key = PublicKey::from_pem(&key).unwrap();
    bundle::verify(&key, &one.digest(), bundle::SIGN_PREDICATE, &bytes).unwrap();
    let claim = bundle::claim(&bytes).unwrap();
    assert_eq!((claim.about, claim.key), (Some(one.digest()), Some(key.fingerprint())));
    let other = PrivateKey::generate().unwrap().public();
    let error = bundle::verify(&other, &one.digest(), bundle::SIGN_PREDICATE, &bytes).unwrap_err();
    assert_eq!(error.code(), "signature_key");
}
