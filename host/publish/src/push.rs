//! The order of a push: blobs before the manifest that names them, the package by its digest before what refers to it, and the
//! version tag when all of it is there. Whoever resolves a version sees all of it or nothing, wherever a push breaks off; the next
//! attempt sends what is missing.

use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::oci::{Descriptor, EMPTY_BLOB, EMPTY_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Manifest};
use rapidbyte_packages::reference::tag_of;
use rapidbyte_packages::registry::{self, Registry, RegistryError, Tag};
use rapidbyte_signing::simple::{self, Signed};
use rapidbyte_trust::{Evidence, gather};

use crate::publication::{Item, Publication};

/// What the signature in the older of cosign's forms is called.
pub const OLDER_SIGNATURE: &str = "older signature";

/// What happens to a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// It is being sent.
    Sending { what: &'a str, bytes: u64 },
    /// It was there already.
    Present { what: &'a str, bytes: u64 },
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub digest: Digest,
    /// Bytes that were sent, and bytes that were there.
    pub sent_bytes: u64,
    pub present_bytes: u64,
}

/// Why a version is not there after all.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// `same` is unknown where nothing has been packed yet.
    #[error("`{name}@{version}` is published already{}", match same {
        Some(true) => ", as exactly this",
        Some(false) => ", as something else",
        None => "",
    })]
    VersionExists { name: String, version: String, found: Digest, same: Option<bool> },
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl PushError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            PushError::VersionExists { .. } => "version_exists",
            PushError::Registry(error) => error.code(),
        }
    }
}

/// Refuses a version that is there.
pub async fn must_be_new(
    registry: &dyn Registry,
    repository: &str,
    name: &str,
    version: &str,
    digest: Option<&Digest>,
) -> Result<(), PushError> {
    match registry.resolve(repository, &tag_of(version)).await? {
        None => Ok(()),
        Some(found) => Err(PushError::VersionExists {
            name: name.to_owned(),
            version: version.to_owned(),
            same: digest.map(|digest| *digest == found.digest),
            found: found.digest,
        }),
    }
}

/// Pushes a version.
pub async fn push(
    registry: &dyn Registry,
    repository: &str,
    publication: &Publication,
    observe: &mut (dyn FnMut(Step<'_>) + Send),
) -> Result<Pushed, PushError> {
    let digest = publication.digest();
    let (name, version) = (&publication.name, &publication.version);
    must_be_new(registry, repository, name, version, Some(&digest)).await?;
    let mut push = Push::new(registry, repository, observe);
    push.item(&publication.package).await?;
    // What an attempt before this one has said already.
    let evidence = match &publication.signature {
        Some(_) => gather(registry, repository, &digest).await?,
        None => Evidence::none(),
    };
    for item in &publication.referrers {
        let said = publication
            .signature
            .as_ref()
            .zip(item.statement.as_ref())
            .is_some_and(|(signature, (kind, about))| evidence.has_statement(&signature.by, about, kind));
        match said {
            true => push.present(&item.what, item.descriptor.size),
            false => push.item(item).await?,
        }
    }
    if let Some(signature) = &publication.signature {
        match evidence.has_simple_signature(&signature.by, &digest) {
            true => push.present(OLDER_SIGNATURE, signature.signed.layer.size),
            false => push.sign_simply(&digest, &signature.signed).await?,
        }
    }
    let tag = tag_of(version);
    let tag = Some(Tag { name: &tag, moves: false });
    let package = &publication.package;
    match registry.put_manifest(repository, tag, MANIFEST_MEDIA_TYPE, &package.manifest).await {
        Ok(_) => {}
        Err(RegistryError::TagTaken { found, .. }) => {
            let (name, version) = (name.clone(), version.clone());
            return Err(PushError::VersionExists { name, version, found, same: Some(found == digest) });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Pushed { digest, sent_bytes: push.sent_bytes, present_bytes: push.present_bytes })
}

/// One push under way.
pub(crate) struct Push<'a> {
    registry: &'a dyn Registry,
    repository: &'a str,
    observe: &'a mut (dyn FnMut(Step<'_>) + Send),
    sent_bytes: u64,
    present_bytes: u64,
}

impl<'a> Push<'a> {
    pub(crate) fn new(
        registry: &'a dyn Registry,
        repository: &'a str,
        observe: &'a mut (dyn FnMut(Step<'_>) + Send),
    ) -> Self {
        Push { registry, repository, observe, sent_bytes: 0, present_bytes: 0 }
    }

    fn present(&mut self, what: &str, bytes: u64) {
        self.present_bytes += bytes;
        (self.observe)(Step::Present { what, bytes });
    }

    async fn blob(&mut self, what: &str, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        if self.registry.has_blob(self.repository, descriptor).await? {
            self.present(what, descriptor.size);
            return Ok(());
        }
        (self.observe)(Step::Sending { what, bytes: descriptor.size });
        self.registry.put_blob(self.repository, descriptor, bytes).await?;
        self.sent_bytes += descriptor.size;
        Ok(())
    }

    /// A manifest under its digest alone, after its blobs.
    pub(crate) async fn item(&mut self, item: &Item) -> Result<(), RegistryError> {
        for blob in &item.blobs {
            self.blob(&item.what, &blob.descriptor, &blob.bytes).await?;
        }
        self.registry.put_manifest(self.repository, None, MANIFEST_MEDIA_TYPE, &item.manifest).await?;
        self.sent_bytes += item.descriptor.size;
        Ok(())
    }

    /// Adds the older form of the signature to those that others may have put there.
    pub(crate) async fn sign_simply(
        &mut self,
        digest: &Digest,
        signed: &Signed,
    ) -> Result<(), RegistryError> {
        let tag = simple::tag(digest);
        let mut layers = match self.registry.resolve(self.repository, &tag).await? {
            None => Vec::new(),
            Some(there) => {
                let bytes = registry::manifest(self.registry, self.repository, &there.digest).await?;
                // What cannot be read was no signature.
                Manifest::read(&bytes).map(|manifest| manifest.layers).unwrap_or_default()
            }
        };
        layers.push(signed.layer.clone());
        let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
        self.blob(OLDER_SIGNATURE, &config, EMPTY_BLOB).await?;
        self.blob(OLDER_SIGNATURE, &signed.layer, &signed.payload).await?;
        let bytes = Manifest::new(simple::PAYLOAD_MEDIA_TYPE, config, layers).bytes();
        let tag = Some(Tag { name: &tag, moves: true });
        self.registry.put_manifest(self.repository, tag, MANIFEST_MEDIA_TYPE, &bytes).await?;
        self.sent_bytes += bytes.len() as u64;
        Ok(())
    }
}
