//! The index of a registry: made of what is there, opened by who trusts its key, and every way in which it is not to be gone by.

mod support;

use jiff::{SignedDuration, Timestamp};
use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::index::{self as document, PackageIndex};
use rapidbyte_packages::oci::Manifest;
use rapidbyte_packages::reference::RegistryRef;
use rapidbyte_packages::registry::{self, Registry, Tag};
use rapidbyte_publish::index::{build, push_index, yank};
use rapidbyte_publish::push;
use rapidbyte_signing::PrivateKey;
use rapidbyte_trust::{IndexError, OpenedIndex, Policy, open_index};
use semver::Version;
use support::publication;

const VALID_FOR: SignedDuration = SignedDuration::from_hours(24);

/// A folder registry with two versions of a package in it.
struct Shop {
    folder: tempfile::TempDir,
    registry: FolderRegistry,
    key: PrivateKey,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = FolderRegistry::new(folder.path());
        for version in ["0.9.0", "1.0.0"] {
            push(&registry, "source-a", &publication(version, None), &mut |_| {}).await.unwrap();
        }
        Shop { folder, registry, key: PrivateKey::generate().unwrap() }
    }

    fn place(&self) -> RegistryRef {
        RegistryRef::Dir(self.folder.path().to_owned())
    }

    async fn index(&self, before: Option<&PackageIndex>, now: Timestamp, key: &PrivateKey) -> PackageIndex {
        let expires_at = now.checked_add(VALID_FOR).unwrap();
        let (index, left_out) = build(&self.registry, "", before, &[], now, expires_at).await.unwrap();
        assert_eq!(left_out, []);
        self.put(&index, key).await;
        index
    }

    async fn put(&self, index: &PackageIndex, key: &PrivateKey) {
        push_index(&self.registry, "", "rapidbyte-index", index, Some(key), &mut |_| {}).await.unwrap();
    }

    async fn opened(&self, now: Timestamp, seen: Option<Timestamp>) -> Result<OpenedIndex, IndexError> {
        let policy = Policy::of_key(self.key.public());
        open_index(&self.registry, &self.place(), &policy, now, seen).await
    }

    async fn refused(&self, now: Timestamp, seen: Option<Timestamp>) -> &'static str {
        self.opened(now, seen).await.unwrap_err().code()
    }
}

fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn what_is_there_is_in_it_and_what_it_knew_stays() {
    let shop = Shop::open().await;
    assert_eq!(shop.refused(noon(), None).await, "index_missing");
    let mut first = shop.index(None, noon(), &shop.key).await;
    let opened = shop.opened(noon(), None).await.unwrap();
    assert_eq!(opened.index, first);
    assert!(opened.trusted.signer().is_some());
    let entry = first.find("source-a").unwrap();
    assert_eq!((entry.description.as_str(), entry.versions.len()), ("A", 2));
    let there = shop.registry.resolve("source-a", "1.0.0").await.unwrap().unwrap();
    assert_eq!(entry.newest().unwrap().digest, there.digest);

    let version = Version::new(1, 0, 0);
    assert!(yank(&mut first, "source-a", &version, true).unwrap());
    assert!(!yank(&mut first, "source-a", &version, true).unwrap());
    let unknown = yank(&mut first, "source-b", &version, true).unwrap_err();
    assert_eq!(unknown.code(), "index_no_release");
    push(&shop.registry, "source-a", &publication("1.1.0", None), &mut |_| {}).await.unwrap();
    let later = noon().checked_add(SignedDuration::from_hours(5)).unwrap();
    let second = shop.index(Some(&first), later, &shop.key).await;
    let release = |version: &str| second.release("source-a", &version.parse().unwrap()).unwrap().clone();
    assert!(release("1.0.0").yanked && !release("1.1.0").yanked);
    assert_eq!((release("1.0.0").published_at, release("1.1.0").published_at), (noon(), later));
    assert_eq!(second.find("source-a").unwrap().newest().unwrap().version, Version::new(1, 1, 0));
    assert_eq!(shop.opened(later, Some(noon())).await.unwrap().index, second);
}

#[tokio::test]
async fn what_claims_to_be_another_package_is_left_out() {
    let shop = Shop::open().await;
    // A version under a tag, and a name, that are not its own.
    let there = shop.registry.resolve("source-a", "1.0.0").await.unwrap().unwrap();
    let bytes = registry::manifest(&shop.registry, "source-a", &there.digest).await.unwrap();
    let tag = Some(Tag { name: "2.0.0", moves: false });
    shop.registry.put_manifest("source-a", tag, &there.media_type, &bytes).await.unwrap();
    push(&shop.registry, "source-b", &publication("1.0.0", None), &mut |_| {}).await.unwrap();
    let (index, left_out) = build(&shop.registry, "", None, &[], noon(), noon()).await.unwrap();
    let what: Vec<&str> = left_out.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(what, ["source-a@2.0.0", "source-b@1.0.0"]);
    assert_eq!(index.packages.len(), 1);
}

#[tokio::test]
async fn old_rolled_back_damaged_and_foreign_ones_are_told_apart() {
    let shop = Shop::open().await;
    let index = shop.index(None, noon(), &shop.key).await;
    let after = |hours| noon().checked_add(SignedDuration::from_hours(hours)).unwrap();
    assert!(shop.opened(after(23), Some(noon())).await.is_ok());
    assert_eq!(shop.refused(after(25), None).await, "index_stale");
    assert_eq!(shop.refused(after(1), Some(after(1))).await, "index_rolled_back");

    let found = shop.registry.resolve(document::REPOSITORY, document::TAG).await.unwrap().unwrap();
    let manifest = registry::manifest(&shop.registry, document::REPOSITORY, &found.digest).await.unwrap();
    let layer = Manifest::read(&manifest).unwrap().layers.remove(0);
    let path = shop.registry.blob_path(document::REPOSITORY, &layer.digest);
    let mut flipped = index.bytes();
    flipped[30] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    assert_eq!(shop.refused(after(1), None).await, "index_damaged");
    let manifest_path = shop.registry.blob_path(document::REPOSITORY, &found.digest);
    let mut flipped = manifest.clone();
    flipped[30] ^= 1;
    std::fs::write(&manifest_path, &flipped).unwrap();
    assert_eq!(shop.refused(after(1), None).await, "index_damaged");
    std::fs::write(&manifest_path, &manifest).unwrap();

    let stranger = PrivateKey::generate().unwrap();
    let foreign = PackageIndex::new(after(2), after(9), Vec::new());
    shop.put(&foreign, &stranger).await;
    assert_eq!(shop.refused(after(2), None).await, "trust_wrong_key");
    // A package's manifest is no index, whoever has signed it.
    let there = shop.registry.resolve("source-a", "1.0.0").await.unwrap().unwrap();
    let bytes = registry::manifest(&shop.registry, "source-a", &there.digest).await.unwrap();
    let tag = Some(Tag { name: document::TAG, moves: true });
    shop.registry.put_manifest(document::REPOSITORY, tag, &there.media_type, &bytes).await.unwrap();
    assert_eq!(shop.refused(after(2), None).await, "index_malformed");
}
