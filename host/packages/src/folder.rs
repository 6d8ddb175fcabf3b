//! A registry that is a folder (`dir:PATH`): one OCI image layout for each repository, which `skopeo` reads and writes as it is
//! (`oci:PATH/acme/source-jira:1.2.0`). For tests, air gaps and whoever has no server.
//!
//! Blobs and manifests are written to temporary names and renamed; `index.json` changes under a lock. A writer that dies leaves
//! what was there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::blob;
use crate::digest::Digest;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::oci::{Annotations, Descriptor, Index, Manifest, REF_NAME};
use crate::registry::{Registry, RegistryError, Sink, Tag};

const LAYOUT_FILE: &str = "oci-layout";
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_FILE: &str = "index.json";
const BLOBS: &str = "blobs/sha256";
const LOCK_FILE: &str = ".lock";
/// Read from a file at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// A folder of image layouts.
#[derive(Debug, Clone)]
pub struct FolderRegistry {
    name: String,
    root: PathBuf,
}

impl FolderRegistry {
    /// The registry in `root`, which is made when something is put there.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        FolderRegistry { name: format!("dir:{}", root.display()), root }
    }

    /// Every repository, by name.
    pub fn repositories(&self) -> Result<Vec<String>, RegistryError> {
        let mut found = Vec::new();
        self.search(&self.root, &mut found).map_err(|source| self.failed(source))?;
        found.sort();
        Ok(found)
    }

    fn search(&self, folder: &Path, found: &mut Vec<String>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        if folder.join(LAYOUT_FILE).is_file() {
            let path = folder.strip_prefix(&self.root).unwrap_or(folder);
            found.extend(path.to_str().map(|path| path.replace(std::path::MAIN_SEPARATOR, "/")));
            return Ok(());
        }
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.search(&entry.path(), found)?;
            }
        }
        Ok(())
    }

    fn repository(&self, repository: &str) -> PathBuf {
        self.root.join(repository)
    }

    /// Where a blob or a manifest lies, or would.
    pub fn blob_path(&self, repository: &str, digest: &Digest) -> PathBuf {
        self.repository(repository).join(BLOBS).join(digest.hex())
    }

    fn failed(&self, source: io::Error) -> RegistryError {
        RegistryError::Folder { registry: self.name.clone(), source }
    }

    fn missing(&self, what: String) -> RegistryError {
        RegistryError::NotFound { registry: self.name.clone(), what }
    }

    /// What the layout lists; nothing where there is none.
    fn index(&self, repository: &str) -> Result<Index, RegistryError> {
        let path = self.repository(repository).join(INDEX_FILE);
        match read_bounded(&path, MANIFEST_BYTES_MAX) {
            Ok(bytes) => {
                Index::read(&bytes).map_err(|error| RegistryError::malformed(self, "an index", &error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Index::new(Vec::new())),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Changes what the layout lists, one writer at a time.
    fn change_index(
        &self,
        repository: &str,
        change: impl FnOnce(&mut Index) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let folder = self.repository(repository);
        let lock = || {
            fs::create_dir_all(&folder)?;
            let file =
                File::options().create(true).truncate(false).write(true).open(folder.join(LOCK_FILE))?;
            file.lock()?;
            if !folder.join(LAYOUT_FILE).is_file() {
                blob::replace(&folder.join(LAYOUT_FILE), LAYOUT)?;
            }
            Ok(file)
        };
        // Let go of when it is closed, also by a death.
        let _lock = lock().map_err(|source| self.failed(source))?;
        let mut index = self.index(repository)?;
        change(&mut index)?;
        blob::replace(&folder.join(INDEX_FILE), &index.bytes()).map_err(|source| self.failed(source))
    }
}

#[async_trait]
impl Registry for FolderRegistry {
    fn name(&self) -> &str {
        &self.name
    }

    async fn repositories(&self) -> Result<Option<Vec<String>>, RegistryError> {
        FolderRegistry::repositories(self).map(Some)
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, RegistryError> {
        let index = self.index(repository)?;
        Ok(index.manifests.iter().filter_map(|entry| entry.annotations.get(REF_NAME).cloned()).collect())
    }

    async fn resolve(&self, repository: &str, tag: &str) -> Result<Option<Descriptor>, RegistryError> {
        let index = self.index(repository)?;
        Ok(index.manifests.into_iter().find(|entry| is_tagged(entry, tag)))
    }

    async fn manifest_bytes(&self, repository: &str, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        match read_bounded(&self.blob_path(repository, digest), MANIFEST_BYTES_MAX + 1) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.missing(format!("{repository}@{digest}")))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn blob_bytes(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        sink: &mut Sink<'_>,
    ) -> Result<(), RegistryError> {
        let mut file = match File::open(self.blob_path(repository, &descriptor.digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.missing(format!("{repository}@{}", descriptor.digest)));
            }
            Err(error) => return Err(self.failed(error)),
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(read) => sink(&chunk[..read])
                    .map_err(|source| RegistryError::Blob { registry: self.name.clone(), source })?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
            // Others get their turn between the pieces.
            tokio::task::yield_now().await;
        }
    }

    async fn referrers(&self, repository: &str, subject: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        let mut found = Vec::new();
        for entry in self.index(repository)?.manifests {
            let Ok(bytes) = self.manifest_bytes(repository, &entry.digest).await else { continue };
            // What is no manifest refers to nothing.
            let Ok(manifest) = Manifest::read(&bytes) else { continue };
            if manifest.subject.is_some_and(|about| about.digest == *subject) {
                found.push(Descriptor {
                    artifact_type: manifest.artifact_type,
                    annotations: manifest.annotations,
                    ..entry
                });
            }
        }
        Ok(found)
    }

    async fn has_blob(&self, repository: &str, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        let there = fs::metadata(self.blob_path(repository, &descriptor.digest));
        Ok(there.is_ok_and(|there| there.len() == descriptor.size))
    }

    async fn put_blob(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let path = self.blob_path(repository, &descriptor.digest);
        let folder = self.repository(repository).join(BLOBS);
        blob::keep(&folder, &path, descriptor, bytes)
            .map_err(|source| RegistryError::Blob { registry: self.name.clone(), source })
    }

    async fn put_manifest(
        &self,
        repository: &str,
        tag: Option<Tag<'_>>,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Descriptor, RegistryError> {
        let mut entry = Descriptor::of(media_type, bytes);
        self.put_blob(repository, &entry, bytes).await?;
        entry.artifact_type = Manifest::read(bytes).ok().and_then(|manifest| manifest.artifact_type);
        self.change_index(repository, |index| {
            let Some(tag) = tag else {
                if !index.manifests.iter().any(|other| other.digest == entry.digest) {
                    index.manifests.push(entry.clone());
                }
                return Ok(());
            };
            if let Some(taken) = index.manifests.iter().find(|other| is_tagged(other, tag.name))
                && taken.digest != entry.digest
                && !tag.moves
            {
                return Err(RegistryError::TagTaken {
                    registry: self.name.clone(),
                    repository: repository.to_owned(),
                    tag: tag.name.to_owned(),
                    found: taken.digest,
                });
            }
            index.manifests.retain(|other| !is_tagged(other, tag.name));
            let annotations = Annotations::from([(REF_NAME.to_owned(), tag.name.to_owned())]);
            index.manifests.push(Descriptor { annotations, ..entry.clone() });
            Ok(())
        })?;
        Ok(entry)
    }
}

fn is_tagged(entry: &Descriptor, tag: &str) -> bool {
    entry.annotations.get(REF_NAME).is_some_and(|name| name == tag)
}

/// A whole file, or its first `bytes_max` bytes: whoever reads them holds them against a digest.
fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{EMPTY_BLOB, EMPTY_MEDIA_TYPE, MANIFEST_MEDIA_TYPE};
    use crate::registry;

    const REPOSITORY: &str = "acme/source-a";

    async fn put(
        registry: &FolderRegistry,
        tag: &str,
        subject: Option<Descriptor>,
        moves: bool,
    ) -> Result<Descriptor, RegistryError> {
        let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
        registry.put_blob(REPOSITORY, &config, EMPTY_BLOB).await?;
        let mut manifest = Manifest::new("application/x", config, vec![]);
        manifest.annotations.insert("tag".to_owned(), format!("{tag}{moves}"));
        manifest.subject = subject;
        let name = (!tag.is_empty()).then_some(Tag { name: tag, moves });
        registry.put_manifest(REPOSITORY, name, MANIFEST_MEDIA_TYPE, &manifest.bytes()).await
    }

    #[tokio::test]
    async fn what_is_put_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let registry = FolderRegistry::new(folder.path());
        assert_eq!(registry.tags(REPOSITORY).await.unwrap(), Vec::<String>::new());
        assert_eq!(registry.resolve(REPOSITORY, "1.0.0").await.unwrap(), None);
        let one = put(&registry, "1.0.0", None, false).await.unwrap();
        put(&registry, "1.1.0", None, false).await.unwrap();
        let about = put(&registry, "", Some(one.clone()), false).await.unwrap();
        assert_eq!(registry.tags(REPOSITORY).await.unwrap(), ["1.0.0", "1.1.0"]);
        assert_eq!(registry.resolve(REPOSITORY, "1.0.0").await.unwrap().unwrap().digest, one.digest);
        let referrers = registry.referrers(REPOSITORY, &one.digest).await.unwrap();
        assert_eq!(referrers.len(), 1);
        assert_eq!(referrers[0].digest, about.digest);
        assert_eq!(referrers[0].artifact_type.as_deref(), Some("application/x"));
        assert_eq!(registry.repositories().unwrap(), [REPOSITORY]);
        let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
        assert_eq!(registry::blob(&registry, REPOSITORY, &config, 10).await.unwrap(), EMPTY_BLOB);
        assert!(registry.has_blob(REPOSITORY, &config).await.unwrap());
    }

    #[tokio::test]
    async fn a_version_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let registry = FolderRegistry::new(folder.path());
        let one = put(&registry, "1.0.0", None, false).await.unwrap();
        // The same again is what is there.
        put(&registry, "1.0.0", None, false).await.unwrap();
        let subject = Some(one.clone());
        assert_eq!(
            put(&registry, "1.0.0", subject.clone(), false).await.unwrap_err().code(),
            "version_exists"
        );
        assert_eq!(registry.resolve(REPOSITORY, "1.0.0").await.unwrap().unwrap().digest, one.digest);
        let moved = put(&registry, "1.0.0", subject, true).await.unwrap();
        assert_eq!(registry.resolve(REPOSITORY, "1.0.0").await.unwrap().unwrap().digest, moved.digest);
    }

    #[tokio::test]
    async fn what_was_changed_on_the_disk_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let registry = FolderRegistry::new(folder.path());
        let one = put(&registry, "1.0.0", None, false).await.unwrap();
        let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
        fs::write(registry.blob_path(REPOSITORY, &config.digest), b"[]").unwrap();
        let error = registry::blob(&registry, REPOSITORY, &config, 10).await.unwrap_err();
        assert_eq!(error.code(), "blob_digest");
        fs::write(registry.blob_path(REPOSITORY, &config.digest), b"{ }").unwrap();
        assert_eq!(
            registry::blob(&registry, REPOSITORY, &config, 10).await.unwrap_err().code(),
            "blob_too_long"
        );
        assert_eq!(
            registry::blob(&registry, REPOSITORY, &config, 1).await.unwrap_err().code(),
            "blob_too_long"
        );
        fs::write(registry.blob_path(REPOSITORY, &one.digest), b"{}").unwrap();
        assert_eq!(
            registry::manifest(&registry, REPOSITORY, &one.digest).await.unwrap_err().code(),
            "blob_digest"
        );
        fs::remove_file(registry.blob_path(REPOSITORY, &one.digest)).unwrap();
        let error = registry::manifest(&registry, REPOSITORY, &one.digest).await.unwrap_err();
        assert_eq!(error.code(), "registry_not_found");
        fs::write(registry.repository(REPOSITORY).join(INDEX_FILE), b"{").unwrap();
        assert_eq!(registry.tags(REPOSITORY).await.unwrap_err().code(), "registry_malformed");
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let registry = FolderRegistry::new(folder.path());
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    for number in 0..5 {
                        runtime
                            .block_on(put(&registry, &format!("{writer}.{number}.0"), None, false))
                            .unwrap();
                    }
                });
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let registry = FolderRegistry::new(folder.path());
        assert_eq!(runtime.block_on(registry.tags(REPOSITORY)).unwrap().len(), 40);
    }
}
