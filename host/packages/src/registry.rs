//! The port behind every registry: what is asked of one, whether it is a server or a folder. Everything it answers is a
//! stranger's word; what has a digest is held against it by whoever asks, or here in [`manifest`] and [`blob`].

use async_trait::async_trait;

use crate::blob::{BlobError, Incoming};
use crate::digest::Digest;
use crate::limits::MANIFEST_BYTES_MAX;
use crate::oci::{Descriptor, Malformed};

/// Takes the next bytes of a blob.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), BlobError> + Send + 'a;

/// A tag to be set.
#[derive(Debug, Clone, Copy)]
pub struct Tag<'a> {
    pub name: &'a str,
    /// Whether it may stand for something else already.
    pub moves: bool,
}

/// Somewhere that packages lie. Repositories are paths such as `acme/source-jira`.
#[async_trait]
pub trait Registry: Send + Sync {
    /// What it is called in messages: `oci://registry.example/acme`, `dir:./registry`.
    fn name(&self) -> &str;

    /// Every repository, in no order; none where the registry does not tell, as most servers do not.
    async fn repositories(&self) -> Result<Option<Vec<String>>, RegistryError> {
        Ok(None)
    }

    /// All tags, in no order. Empty where there is no such repository.
    async fn tags(&self, repository: &str) -> Result<Vec<String>, RegistryError>;

    /// What a tag stands for; none where there is no such tag.
    async fn resolve(&self, repository: &str, tag: &str) -> Result<Option<Descriptor>, RegistryError>;

    /// The bytes of a manifest, at most [`MANIFEST_BYTES_MAX`] of them, unchecked.
    async fn manifest_bytes(&self, repository: &str, digest: &Digest) -> Result<Vec<u8>, RegistryError>;

    /// Hands over a blob piece by piece, unchecked.
    async fn blob_bytes(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        sink: &mut Sink<'_>,
    ) -> Result<(), RegistryError>;

    /// Manifests that are about this one.
    async fn referrers(&self, repository: &str, subject: &Digest) -> Result<Vec<Descriptor>, RegistryError>;

    /// Whether a blob is there already.
    async fn has_blob(&self, repository: &str, descriptor: &Descriptor) -> Result<bool, RegistryError>;

    /// Stores a blob; again is no error.
    async fn put_blob(
        &self,
        repository: &str,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), RegistryError>;

    /// Stores a manifest whose blobs are there, under a tag where one is given. Where it is about another manifest, that one's
    /// referrers have it afterwards.
    async fn put_manifest(
        &self,
        repository: &str,
        tag: Option<Tag<'_>>,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Descriptor, RegistryError>;
}

/// What goes wrong with a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("`{registry}` has no `{what}`")]
    NotFound { registry: String, what: String },
    #[error("`{registry}` cannot be reached: {message}")]
    Unreachable { registry: String, message: String },
    #[error("`{registry}` does not accept the credentials: {message}")]
    Unauthorized { registry: String, message: String },
    #[error("`{registry}` refuses: {message}")]
    Refused { registry: String, message: String },
    #[error("`{registry}` answers {what} that makes no sense: {message}")]
    Malformed { registry: String, what: &'static str, message: String },
    #[error("`{registry}` sent something else than was asked for: {source}")]
    Blob { registry: String, source: BlobError },
    #[error("`{registry}` has `{repository}:{tag}` already, as `{found}`")]
    TagTaken { registry: String, repository: String, tag: String, found: Digest },
    #[error("cannot use the folder `{registry}`: {source}")]
    Folder { registry: String, source: std::io::Error },
}

impl RegistryError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            RegistryError::NotFound { .. } => "registry_not_found",
            RegistryError::Unreachable { .. } => "registry_unreachable",
            RegistryError::Unauthorized { .. } => "registry_unauthorized",
            RegistryError::Refused { .. } => "registry_refused",
            RegistryError::Malformed { .. } => "registry_malformed",
            RegistryError::Blob { source, .. } => source.code(),
            RegistryError::TagTaken { .. } => "version_exists",
            RegistryError::Folder { .. } => "registry_folder",
        }
    }

    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            RegistryError::Unreachable { .. } => true,
            RegistryError::Blob { source, .. } => matches!(source, BlobError::TooShort { .. }),
            _ => false,
        }
    }

    /// A document of it that could not be read.
    pub fn malformed(registry: &dyn Registry, what: &'static str, error: &Malformed) -> Self {
        RegistryError::Malformed { registry: registry.name().to_owned(), what, message: error.to_string() }
    }
}

/// A manifest, which is what its digest says.
pub async fn manifest(
    registry: &dyn Registry,
    repository: &str,
    digest: &Digest,
) -> Result<Vec<u8>, RegistryError> {
    let blob = |source| RegistryError::Blob { registry: registry.name().to_owned(), source };
    let bytes = registry.manifest_bytes(repository, digest).await?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(blob(BlobError::TooLong { digest: *digest, announced: MANIFEST_BYTES_MAX }));
    }
    let found = Digest::of(&bytes);
    if found != *digest {
        return Err(blob(BlobError::Digest { expected: *digest, found }));
    }
    Ok(bytes)
}

/// A small blob in memory, which is what its descriptor says. `bytes_max` bounds what a descriptor may announce.
pub async fn blob(
    registry: &dyn Registry,
    repository: &str,
    descriptor: &Descriptor,
    bytes_max: u64,
) -> Result<Vec<u8>, RegistryError> {
    let failed = |source| RegistryError::Blob { registry: registry.name().to_owned(), source };
    let Descriptor { digest, size, .. } = *descriptor;
    let too_long = || BlobError::TooLong { digest, announced: size.min(bytes_max) };
    if size > bytes_max {
        return Err(failed(too_long()));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    let mut sink = |chunk: &[u8]| {
        if (bytes.len() + chunk.len()) as u64 > size {
            return Err(too_long());
        }
        bytes.extend_from_slice(chunk);
        Ok(())
    };
    registry.blob_bytes(repository, descriptor, &mut sink).await?;
    if (bytes.len() as u64) < size {
        return Err(failed(BlobError::TooShort { digest, announced: size, received: bytes.len() as u64 }));
    }
    let found = Digest::of(&bytes);
    if found != digest {
        return Err(failed(BlobError::Digest { expected: digest, found }));
    }
    Ok(bytes)
}

/// Receives a blob to its place on the disk, telling how far it is.
pub async fn fetch(
    registry: &dyn Registry,
    repository: &str,
    descriptor: &Descriptor,
    mut incoming: Incoming,
    path: &std::path::Path,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(), RegistryError> {
    let mut sink = |chunk: &[u8]| {
        incoming.write(chunk)?;
        progress(chunk.len() as u64);
        Ok(())
    };
    registry.blob_bytes(repository, descriptor, &mut sink).await?;
    incoming.keep(path).map_err(|source| RegistryError::Blob { registry: registry.name().to_owned(), source })
}
