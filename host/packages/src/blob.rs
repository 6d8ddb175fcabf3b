//! Bytes on their way in: to a temporary file, counted and hashed as they come, and kept only when they are exactly what was
//! announced. Nothing longer than announced is ever written, so a registry that never stops sending fills no disk.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::digest::{Digest, Hasher};
use crate::oci::Descriptor;

/// Why bytes were not kept.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("it sends more than the {announced} bytes that were announced for `{digest}`")]
    TooLong { digest: Digest, announced: u64 },
    #[error("it sent {received} bytes of the {announced} that were announced for `{digest}`")]
    TooShort { digest: Digest, announced: u64, received: u64 },
    #[error("what it sent for `{expected}` is `{found}`")]
    Digest { expected: Digest, found: Digest },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl BlobError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            BlobError::TooLong { .. } => "blob_too_long",
            BlobError::TooShort { .. } => "blob_too_short",
            BlobError::Digest { .. } => "blob_digest",
            BlobError::Write { source, .. } => match source.kind() {
                // A quota and a limit on files are a disk that is full for us.
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    "disk_full"
                }
                _ => "file",
            },
        }
    }
}

/// A blob that is being received.
pub struct Incoming {
    file: NamedTempFile,
    expected: Descriptor,
    received: u64,
    hasher: Hasher,
}

impl Incoming {
    /// Begins one in `folder`, which must be on the disk where it is to be kept.
    pub fn new(folder: &Path, expected: &Descriptor) -> Result<Self, BlobError> {
        let failed = |source| BlobError::Write { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let file = tempfile::Builder::new().prefix(".incoming-").tempfile_in(folder).map_err(failed)?;
        Ok(Incoming { file, expected: expected.clone(), received: 0, hasher: Hasher::default() })
    }

    /// Takes the next bytes.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), BlobError> {
        self.received += chunk.len() as u64;
        if self.received > self.expected.size {
            return Err(BlobError::TooLong { digest: self.expected.digest, announced: self.expected.size });
        }
        self.hasher.update(chunk);
        self.file.write_all(chunk).map_err(|source| self.failed(source))
    }

    /// Keeps it under `path`, if it is what was announced; over what is there, in one step.
    pub fn keep(self, path: &Path) -> Result<(), BlobError> {
        let Descriptor { digest, size, .. } = self.expected;
        if self.received < size {
            return Err(BlobError::TooShort { digest, announced: size, received: self.received });
        }
        let found = self.hasher.finish();
        if found != digest {
            return Err(BlobError::Digest { expected: digest, found });
        }
        let failed = |source| BlobError::Write { path: path.to_owned(), source };
        // What a name stands for is on the disk before the name is.
        self.file.as_file().sync_all().map_err(failed)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        self.file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> BlobError {
        BlobError::Write { path: self.file.path().to_owned(), source }
    }
}

/// Keeps bytes at hand under `path`.
pub fn keep(folder: &Path, path: &Path, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), BlobError> {
    let mut incoming = Incoming::new(folder, descriptor)?;
    incoming.write(bytes)?;
    incoming.keep(path)
}

/// Writes a document in one step: readers see the old one or the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".replacing-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leftovers(folder: &Path) -> usize {
        fs::read_dir(folder).map_or(0, |entries| entries.count())
    }

    #[test]
    fn only_what_was_announced_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept/blob");
        let descriptor = Descriptor::of("application/wasm", b"component");
        let receive = |chunks: &[&[u8]]| {
            let mut incoming = Incoming::new(folder.path(), &descriptor)?;
            for chunk in chunks {
                incoming.write(chunk)?;
            }
            incoming.keep(&path)
        };
        assert_eq!(receive(&[b"compo"]).unwrap_err().code(), "blob_too_short");
        assert_eq!(receive(&[b"component", b"!"]).unwrap_err().code(), "blob_too_long");
        assert_eq!(receive(&[b"komponent"]).unwrap_err().code(), "blob_digest");
        assert_eq!(leftovers(folder.path()), 0);
        receive(&[b"compo", b"", b"nent"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"component");
    }

    #[test]
    fn a_document_is_replaced_in_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in/rapidbyte.lock");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(leftovers(&folder.path().join("in")), 1);
    }
}
