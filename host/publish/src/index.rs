//! Building a registry's index and putting it there: from the index that is there, the repositories that the registry lists (not
//! every server does) and the names that somebody gives. What an index knows of a version (since when, whether it was withdrawn)
//! goes into the next one.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rapidbyte_packages::index::{self, ARTIFACT_TYPE, Entry, PackageIndex, Release, TAG};
use rapidbyte_packages::limits::CONFIG_BYTES_MAX;
use rapidbyte_packages::oci::{Descriptor, EMPTY_BLOB, EMPTY_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Manifest};
use rapidbyte_packages::package::{self, BadPackage, Described};
use rapidbyte_packages::reference::PackageName;
use rapidbyte_packages::registry::{self, Registry, RegistryError, Tag};
use rapidbyte_signing::bundle::{self, Statement};
use rapidbyte_signing::{KeyError, PrivateKey, simple};
use semver::Version;
use serde_json::json;

use crate::publication::{Blob, Item, said};
use crate::push::{Push, Step};

/// How long an index is good if nobody says so: a week of holidays may pass before somebody signs another.
pub const VALID_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A version that is in the registry and does not get into its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Name and tag.
    pub what: String,
    pub why: String,
}

/// Why no index is made.
#[derive(Debug, thiserror::Error)]
pub enum IndexingError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the index has no `{name}@{version}`")]
    NoRelease { name: String, version: Version },
}

impl IndexingError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            IndexingError::Registry(error) => error.code(),
            IndexingError::Key(error) => error.code(),
            IndexingError::NoRelease { .. } => "index_no_release",
        }
    }
}

/// Looks at everything that is there.
pub async fn build(
    registry: &dyn Registry,
    namespace: &str,
    before: Option<&PackageIndex>,
    named: &[PackageName],
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(PackageIndex, Vec<LeftOut>), IndexingError> {
    let mut names: Vec<String> = named.iter().map(ToString::to_string).collect();
    names.extend(before.iter().flat_map(|index| &index.packages).map(|entry| entry.name.clone()));
    names.extend(listed(registry, namespace).await?);
    names.sort();
    names.dedup();
    let (mut entries, mut left_out) = (Vec::new(), Vec::new());
    for name in names {
        let known = before.and_then(|index| index.find(&name));
        entries.extend(entry(registry, namespace, &name, known, now, &mut left_out).await?);
    }
    Ok((PackageIndex::new(now, expires_at, entries), left_out))
}

/// Packages right below the namespace, where the registry tells.
async fn listed(registry: &dyn Registry, namespace: &str) -> Result<Vec<String>, RegistryError> {
    let all = registry.repositories().await?.unwrap_or_default();
    let below = all.iter().filter_map(|repository| match namespace.is_empty() {
        true => Some(repository.as_str()),
        false => repository.strip_prefix(namespace)?.strip_prefix('/'),
    });
    let names = below.filter(|name| name.parse::<PackageName>().is_ok() && *name != index::REPOSITORY);
    Ok(names.map(str::to_owned).collect())
}

/// One package with its versions; none if it has none.
async fn entry(
    registry: &dyn Registry,
    namespace: &str,
    name: &str,
    known: Option<&Entry>,
    now: Timestamp,
    left_out: &mut Vec<LeftOut>,
) -> Result<Option<Entry>, RegistryError> {
    let repository = match namespace.is_empty() {
        true => name.to_owned(),
        false => format!("{namespace}/{name}"),
    };
    let mut versions: Vec<Release> = Vec::new();
    let mut newest: Option<(Version, Described)> = None;
    for tag in registry.tags(&repository).await? {
        let Ok(version) = tag.replace('_', "+").parse::<Version>() else { continue };
        let Some(found) = registry.resolve(&repository, &tag).await? else { continue };
        let described = match describe(registry, &repository, &found, name, &version).await? {
            Ok(described) => described,
            Err(bad) => {
                left_out.push(LeftOut { what: format!("{name}@{tag}"), why: bad.to_string() });
                continue;
            }
        };
        let before = known.and_then(|known| known.release(&version));
        versions.push(Release {
            published_at: before.map_or(now, |before| before.published_at),
            yanked: before.is_some_and(|before| before.yanked),
            digest: found.digest,
            version: version.clone(),
        });
        if newest.as_ref().is_none_or(|(other, _)| *other < version) {
            newest = Some((version, described));
        }
    }
    Ok(newest.map(|(_, described)| Entry {
        name: name.to_owned(),
        role: described.manifest.role,
        description: described.manifest.description.clone(),
        versions,
    }))
}

/// What a version says of itself, or why it is no package of that name.
async fn describe(
    registry: &dyn Registry,
    repository: &str,
    found: &Descriptor,
    name: &str,
    version: &Version,
) -> Result<Result<Described, BadPackage>, RegistryError> {
    let bytes = registry::manifest(registry, repository, &found.digest).await?;
    let manifest = match package::open_manifest(&bytes, &found.digest) {
        Ok(manifest) => manifest,
        Err(bad) => return Ok(Err(bad)),
    };
    let config = registry::blob(registry, repository, &manifest.config, CONFIG_BYTES_MAX).await?;
    let described = package::describe(found.digest, &manifest, &config);
    Ok(described.and_then(|described| described.must_be(name, Some(version)).map(|()| described)))
}

/// Withdraws a version, or takes that back. Answers whether that changes anything.
pub fn yank(
    index: &mut PackageIndex,
    name: &str,
    version: &Version,
    yanked: bool,
) -> Result<bool, IndexingError> {
    let entry = index.packages.iter_mut().find(|entry| entry.name == name);
    let release = entry.and_then(|entry| entry.versions.iter_mut().find(|it| it.version == *version));
    let Some(release) = release else {
        return Err(IndexingError::NoRelease { name: name.to_owned(), version: version.clone() });
    };
    Ok(std::mem::replace(&mut release.yanked, yanked) != yanked)
}

/// Puts an index there: signed where there is a key, and under its tag when all of that is there. `reference` is what the older
/// form of signatures calls the place.
pub async fn push_index(
    registry: &dyn Registry,
    namespace: &str,
    reference: &str,
    index: &PackageIndex,
    key: Option<&PrivateKey>,
    observe: &mut (dyn FnMut(Step<'_>) + Send),
) -> Result<Descriptor, IndexingError> {
    let repository = index::repository(namespace);
    let content = Bytes::from(index.bytes());
    let layer = Descriptor::of(ARTIFACT_TYPE, &content);
    let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
    let manifest = Bytes::from(Manifest::new(ARTIFACT_TYPE, config.clone(), vec![layer.clone()]).bytes());
    let descriptor = Descriptor::of(MANIFEST_MEDIA_TYPE, &manifest);
    let item = Item {
        what: "index".to_owned(),
        manifest: manifest.clone(),
        descriptor: descriptor.clone(),
        blobs: vec![
            Blob { descriptor: config, bytes: Bytes::from_static(EMPTY_BLOB) },
            Blob { descriptor: layer, bytes: content },
        ],
        statement: None,
    };
    let mut push = Push::new(registry, &repository, observe);
    push.item(&item).await?;
    if let Some(key) = key {
        let digest = descriptor.digest;
        let statement = Statement::new(&digest, bundle::SIGN_PREDICATE, json!({}));
        push.item(&said("signature", &statement, &digest, &descriptor, Some(key))?).await?;
        let signed = simple::sign(key, reference, &digest)?;
        push.sign_simply(&digest, &signed).await?;
    }
    let tag = Some(Tag { name: TAG, moves: true });
    registry.put_manifest(&repository, tag, MANIFEST_MEDIA_TYPE, &manifest).await?;
    Ok(descriptor)
}
