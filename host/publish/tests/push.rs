//! Pushing to registries that break off at any request, to those that have the version, and what is found afterwards.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::oci::{Descriptor, Manifest};
use rapidbyte_packages::package;
use rapidbyte_packages::reference::RegistryRef;
use rapidbyte_packages::registry::{self, Registry, RegistryError, Sink, Tag};
use rapidbyte_publish::{Step, push};
use rapidbyte_signing::{PrivateKey, bundle};
use rapidbyte_trust::{Policy, Subject, gather, judge};
use support::{REFERENCE, REPOSITORY, publication};

/// A registry that dies after so many requests.
struct Dying<'a> {
    registry: &'a FolderRegistry,
    requests_left: AtomicUsize,
}

impl Dying<'_> {
    fn live(&self) -> Result<(), RegistryError> {
        let left =
            self.requests_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| RegistryError::Unreachable {
            registry: self.name().to_owned(),
            message: "it died".to_owned(),
        })
    }
}

#[async_trait]
impl Registry for Dying<'_> {
    fn name(&self) -> &str {
        self.registry.name()
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, RegistryError> {
        self.live()?;
        self.registry.tags(repository).await
    }

    async fn resolve(&self, repository: &str, tag: &str) -> Result<Option<Descriptor>, RegistryError> {
        self.live()?;
        self.registry.resolve(repository, tag).await
    }

    async fn manifest_bytes(&self, repository: &str, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        self.live()?;
        self.registry.manifest_bytes(repository, digest).await
    }

    async fn blob_bytes(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        sink: &mut Sink<'_>,
    ) -> Result<(), RegistryError> {
        self.live()?;
        self.registry.blob_bytes(repository, descriptor, sink).await
    }

    async fn referrers(&self, repository: &str, subject: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        self.live()?;
        self.registry.referrers(repository, subject).await
    }

    async fn has_blob(&self, repository: &str, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        self.live()?;
        self.registry.has_blob(repository, descriptor).await
    }

    async fn put_blob(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        self.live()?;
        self.registry.put_blob(repository, descriptor, bytes).await
    }

    async fn put_manifest(
        &self,
        repository: &str,
        tag: Option<Tag<'_>>,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Descriptor, RegistryError> {
        self.live()?;
        self.registry.put_manifest(repository, tag, media_type, bytes).await
    }
}

/// The package by its version, judged and described as an installation would.
async fn installable(registry: &FolderRegistry, root: &std::path::Path, key: &PrivateKey) {
    let found = registry.resolve(REPOSITORY, "1.0.0").await.unwrap().expect("the version is there");
    let bytes = registry::manifest(registry, REPOSITORY, &found.digest).await.unwrap();
    let manifest = package::open_manifest(&bytes, &found.digest).unwrap();
    let config = registry::blob(registry, REPOSITORY, &manifest.config, 1 << 20).await.unwrap();
    let described = package::describe(found.digest, &manifest, &config).unwrap();
    let component = registry::blob(registry, REPOSITORY, &described.layer, 1 << 20).await.unwrap();
    assert_eq!(component, b"\0asm component 1.0.0");
    let place = RegistryRef::Dir(root.to_owned());
    let subject = Subject {
        registry: &place,
        repository: REPOSITORY,
        manifest: found.digest,
        component: described.layer.digest,
    };
    let evidence = gather(registry, REPOSITORY, &found.digest).await.unwrap();
    let mut policy = Policy::of_key(key.public());
    policy.require_conformance();
    let trusted = judge(&policy, &subject, &evidence).unwrap();
    assert!(trusted.is_certified() && trusted.signer().is_some());
    assert!(evidence.has_simple_signature(&key.public(), &found.digest));
}

#[tokio::test]
async fn a_push_that_breaks_off_shows_nothing_and_is_gone_on_with() {
    let key = PrivateKey::generate().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let registry = FolderRegistry::new(folder.path());
    let mut broken = 0;
    // Each attempt gets one request further than the one before.
    for requests in 0.. {
        let dying = Dying { registry: &registry, requests_left: AtomicUsize::new(requests) };
        // Signed anew each time, as a new process would.
        let publication = publication("1.0.0", Some(&key));
        match push(&dying, REPOSITORY, &publication, &mut |_| {}).await {
            Ok(pushed) => {
                assert_eq!(pushed.digest, publication.digest());
                break;
            }
            Err(error) => {
                assert_eq!(error.code(), "registry_unreachable");
                assert_eq!(registry.resolve(REPOSITORY, "1.0.0").await.unwrap(), None, "after {requests}");
                broken += 1;
            }
        }
    }
    assert!(broken > 20, "a push has many requests, {broken} broke");
    installable(&registry, folder.path(), &key).await;
    // What one attempt has said is not said again by the next.
    let digest = publication("1.0.0", None).digest();
    let referrers = registry.referrers(REPOSITORY, &digest).await.unwrap();
    let bundles = referrers.iter().filter(|it| it.artifact_type.as_deref() == Some(bundle::MEDIA_TYPE));
    assert_eq!(bundles.count(), 4, "provenance, certificate, code, signature: {referrers:#?}");
}

#[tokio::test]
async fn a_version_is_published_once() {
    let folder = tempfile::tempdir().unwrap();
    let registry = FolderRegistry::new(folder.path());
    let publish = async |publication| push(&registry, REPOSITORY, publication, &mut |_| {}).await;
    let one = publication("1.0.0", None);
    publish(&one).await.unwrap();
    let error = publish(&one).await.unwrap_err();
    assert_eq!(error.code(), "version_exists");
    assert_eq!(error.to_string(), "`source-a@1.0.0` is published already, as exactly this");
    let mut parts = support::parts("1.0.0");
    parts.component = bytes::Bytes::from_static(b"\0asm another");
    let other = rapidbyte_publish::Publication::new(parts, REFERENCE, None).unwrap();
    let error = publish(&other).await.unwrap_err();
    assert_eq!(error.to_string(), "`source-a@1.0.0` is published already, as something else");
    publish(&publication("1.1.0", None)).await.unwrap();
}

#[tokio::test]
async fn what_is_there_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let registry = FolderRegistry::new(folder.path());
    let one = publication("1.0.0", None);
    for blob in one.items().flat_map(|item| &item.blobs) {
        registry.put_blob(REPOSITORY, &blob.descriptor, &blob.bytes).await.unwrap();
    }
    let mut sent = Vec::new();
    let mut observe = |step: Step<'_>| {
        if let Step::Sending { what, .. } = step {
            sent.push(what.to_owned());
        }
    };
    let pushed = push(&registry, REPOSITORY, &one, &mut observe).await.unwrap();
    assert_eq!(sent, Vec::<String>::new());
    assert!(pushed.present_bytes > 0);
}

#[tokio::test]
async fn the_layout_is_the_one_that_other_tools_take() {
    let one = publication("1.0.0", None);
    let manifest = Manifest::read(&one.package.manifest).unwrap();
    assert_eq!(manifest.artifact_type.as_deref(), Some("application/vnd.rapidbyte.connector.v1+json"));
    assert_eq!(manifest.config.media_type, "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest.layers.len(), 1);
    assert_eq!(manifest.layers[0].media_type, "application/wasm");
    assert_eq!(manifest.layers[0].annotations["org.opencontainers.image.title"], "source-a.wasm");
    assert_eq!(manifest.subject, None);
    // Everything else refers to it.
    let referrers: Vec<Manifest> =
        one.referrers.iter().map(|item| Manifest::read(&item.manifest).unwrap()).collect();
    assert_eq!(referrers.len(), 4);
    for referrer in referrers {
        assert_eq!(referrer.subject.unwrap().digest, one.digest());
        assert_eq!(referrer.layers.len(), 1);
    }
    // The same parts make the same package, byte for byte.
    assert_eq!(publication("1.0.0", None).digest(), one.digest());
}
