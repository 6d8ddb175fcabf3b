//! What is installed on this machine: components by digest, and beside them which name, version and registry they were installed
//! as. Many processes may use one store: everything is written to a temporary name and renamed, installing holds the store
//! shared and cleaning up holds it alone, so nothing is removed that is being installed.
//!
//! ```text
//! plugins/
//!   blobs/sha256/<hex>                 manifests, configs, components
//!   packages/<registry>/<name>/<version>.json   what was installed as that
//!   .lock
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::blob::{self, BlobError, Incoming};
use crate::capabilities::CapabilitySet;
use crate::digest::{Digest, Hasher};
use crate::oci::Descriptor;

const BLOBS: &str = "blobs/sha256";
const PACKAGES: &str = "packages";
const LOCK_FILE: &str = ".lock";
const RECORD_EXTENSION: &str = "json";

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    pub name: String,
    pub version: Version,
    pub role: String,
    pub description: String,
    /// `oci://…` or `dir:…`.
    pub registry: String,
    pub repository: String,
    /// Of the manifest: the package's identity.
    pub manifest: Digest,
    pub config: Digest,
    /// Of the component.
    pub layer: Digest,
    pub component_bytes: u64,
    pub capabilities: CapabilitySet,
    /// Who signed it, as the policy found; none where nobody was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// RFC 3339.
    pub installed_at: String,
}

impl Installed {
    /// `source-jira@1.2.0`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the store: `{}`", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{}` in the store is damaged: {message}", path.display())]
    Damaged { path: PathBuf, message: String },
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl StoreError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            StoreError::Io { .. } => "store",
            StoreError::Damaged { .. } => "store_damaged",
            StoreError::Blob(error) => error.code(),
        }
    }
}

/// What cleaning up removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cleaned {
    pub blobs: u64,
    pub bytes: u64,
}

/// How a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Whole,
    Missing,
    Damaged,
}

/// The folder of everything that is installed.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// While one is held, nothing is cleaned up.
#[derive(Debug)]
pub struct Installing {
    _lock: File,
}

impl Store {
    /// The store in `root`, which is made when something is installed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Store { root: root.into() }
    }

    /// Where a blob lies, or will.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(BLOBS).join(digest.hex())
    }

    /// Says that something is going to be installed; waits for whoever cleans up.
    pub fn begin(&self) -> Result<Installing, StoreError> {
        let lock = self.open_lock()?;
        lock.lock_shared().map_err(|source| self.io(LOCK_FILE, source))?;
        Ok(Installing { _lock: lock })
    }

    /// Begins a blob.
    pub fn receive(&self, _: &Installing, descriptor: &Descriptor) -> Result<Incoming, StoreError> {
        Ok(Incoming::new(&self.root.join(BLOBS), descriptor)?)
    }

    /// Keeps a blob at hand.
    pub fn keep(&self, _: &Installing, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), StoreError> {
        Ok(blob::keep(&self.root.join(BLOBS), &self.blob_path(&descriptor.digest), descriptor, bytes)?)
    }

    /// Whether a blob is here and whole. One that is not what its name says is removed: it is fetched again.
    pub fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.condition(digest)? == Condition::Whole)
    }

    /// How a blob is, read to its end. A damaged one is removed.
    pub fn condition(&self, digest: &Digest) -> Result<Condition, StoreError> {
        let path = self.blob_path(digest);
        let failed = |source| StoreError::Io { path: path.clone(), source };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Condition::Missing),
            Err(error) => return Err(failed(error)),
        };
        let mut hasher = Hasher::default();
        io::copy(&mut file, &mut HashWriter(&mut hasher)).map_err(failed)?;
        if hasher.finish() == *digest {
            return Ok(Condition::Whole);
        }
        self.discard(digest)?;
        Ok(Condition::Damaged)
    }

    /// A small blob; none where it is missing or damaged. A damaged one is removed.
    pub fn read(&self, digest: &Digest, bytes_max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.blob_path(digest);
        let failed = |source| StoreError::Io { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes).map_err(failed)?;
        if Digest::of(&bytes) == *digest {
            return Ok(Some(bytes));
        }
        self.discard(digest)?;
        Ok(None)
    }

    /// Removes a blob that is not what it should be.
    pub fn discard(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        tracing::warn!(path = %path.display(), "a damaged file in the store is removed");
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::Io { path, source }),
            _ => Ok(()),
        }
    }

    /// Records what was installed, when its blobs are here.
    pub fn record(&self, _: &Installing, installed: &Installed) -> Result<(), StoreError> {
        let path = self.record_path(&installed.registry, &installed.name, &installed.version);
        // A tree of texts and numbers always serialises.
        let bytes = serde_json::to_vec_pretty(installed).unwrap_or_default();
        blob::replace(&path, &bytes).map_err(|source| StoreError::Io { path, source })
    }

    /// Everything that is installed, by name and version. A record that cannot be read is an error that names it.
    pub fn installed(&self) -> Result<Vec<Installed>, StoreError> {
        let mut all = Vec::new();
        self.read_records(&self.root.join(PACKAGES), &mut all)?;
        all.sort_by(|one: &Installed, two| {
            (&one.name, &one.version, &one.registry).cmp(&(&two.name, &two.version, &two.registry))
        });
        Ok(all)
    }

    fn read_records(&self, folder: &Path, all: &mut Vec<Installed>) -> Result<(), StoreError> {
        let failed = |source| StoreError::Io { path: folder.to_owned(), source };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                self.read_records(&path, all)?;
            } else if path.extension().is_some_and(|extension| extension == RECORD_EXTENSION) {
                let bytes =
                    fs::read(&path).map_err(|source| StoreError::Io { path: path.clone(), source })?;
                let record = serde_json::from_slice(&bytes)
                    .map_err(|error| StoreError::Damaged { path, message: error.to_string() })?;
                all.push(record);
            }
        }
        Ok(())
    }

    /// Forgets that something is installed; answers whether it was. Its blobs stay until they are cleaned up.
    pub fn remove(&self, installed: &Installed) -> Result<bool, StoreError> {
        let path = self.record_path(&installed.registry, &installed.name, &installed.version);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    /// Removes the blobs that nothing installed stands on, and what installs that died have left.
    pub fn clean(&self) -> Result<Cleaned, StoreError> {
        let lock = self.open_lock()?;
        lock.lock().map_err(|source| self.io(LOCK_FILE, source))?;
        let needed: BTreeSet<String> = self
            .installed()?
            .iter()
            .flat_map(|installed| [installed.manifest, installed.config, installed.layer])
            .map(|digest| digest.hex())
            .collect();
        let folder = self.root.join(BLOBS);
        let failed = |source| StoreError::Io { path: folder.clone(), source };
        let mut cleaned = Cleaned::default();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(cleaned),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_str().is_some_and(|name| needed.contains(name)) {
                continue;
            }
            cleaned.bytes += entry.metadata().map_err(failed)?.len();
            cleaned.blobs += 1;
            fs::remove_file(entry.path()).map_err(failed)?;
        }
        Ok(cleaned)
    }

    fn open_lock(&self) -> Result<File, StoreError> {
        let open = || {
            fs::create_dir_all(&self.root)?;
            File::options().create(true).truncate(false).write(true).open(self.root.join(LOCK_FILE))
        };
        open().map_err(|source| self.io(LOCK_FILE, source))
    }

    fn record_path(&self, registry: &str, name: &str, version: &Version) -> PathBuf {
        let folder = self.root.join(PACKAGES).join(file_name(registry)).join(file_name(name));
        folder.join(format!("{version}.{RECORD_EXTENSION}"))
    }

    fn io(&self, file: &str, source: io::Error) -> StoreError {
        StoreError::Io { path: self.root.join(file), source }
    }
}

/// A text as the name of one file or folder: what is neither letter, digit, dash nor dot is written by its number.
fn file_name(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let mut name = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            byte if plain(byte) || (byte == b'.' && index > 0) => name.push(char::from(byte)),
            byte => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

struct HashWriter<'a>(&'a mut Hasher);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(name: &str, version: &str, content: &[u8]) -> Installed {
        Installed {
            name: name.to_owned(),
            version: version.parse().unwrap(),
            role: "source".to_owned(),
            description: "A".to_owned(),
            registry: "oci://registry.example:5000/acme".to_owned(),
            repository: format!("acme/{name}"),
            manifest: Digest::of(content),
            config: Digest::of(b"config"),
            layer: Digest::of(b"layer"),
            component_bytes: 5,
            capabilities: CapabilitySet::default(),
            signer: None,
            installed_at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn what_is_installed_is_listed_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("plugins"));
        assert_eq!(store.installed().unwrap(), []);
        let (one, two) = (installed("source-a", "1.10.0", b"1"), installed("source-a", "1.2.0", b"2"));
        let installing = store.begin().unwrap();
        store.record(&installing, &one).unwrap();
        store.record(&installing, &two).unwrap();
        assert_eq!(store.installed().unwrap(), [two.clone(), one.clone()]);
        assert!(store.remove(&two).unwrap());
        assert!(!store.remove(&two).unwrap());
        assert_eq!(store.installed().unwrap(), [one]);
    }

    #[test]
    fn cleaning_keeps_what_something_stands_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("plugins"));
        let kept = installed("source-a", "1.0.0", b"manifest");
        {
            let installing = store.begin().unwrap();
            for bytes in [b"manifest".as_slice(), b"config", b"layer", b"rubbish"] {
                store.keep(&installing, &Descriptor::of("x", bytes), bytes).unwrap();
            }
            fs::write(store.root.join(BLOBS).join(".incoming-dead"), b"half").unwrap();
            store.record(&installing, &kept).unwrap();
        }
        assert_eq!(store.clean().unwrap(), Cleaned { blobs: 2, bytes: 11 });
        assert!(store.has(&Digest::of(b"layer")).unwrap());
        assert!(!store.has(&Digest::of(b"rubbish")).unwrap());
        store.remove(&kept).unwrap();
        assert_eq!(store.clean().unwrap().blobs, 3);
    }

    #[test]
    fn a_damaged_blob_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let installing = store.begin().unwrap();
        store.keep(&installing, &Descriptor::of("x", b"layer"), b"layer").unwrap();
        let digest = Digest::of(b"layer");
        assert!(store.has(&digest).unwrap());
        fs::write(store.blob_path(&digest), b"lawyer").unwrap();
        assert!(!store.has(&digest).unwrap());
        assert!(!store.blob_path(&digest).exists());
        fs::create_dir_all(folder.path().join("packages/x")).unwrap();
        fs::write(folder.path().join("packages/x/1.0.0.json"), b"{").unwrap();
        let error = store.installed().unwrap_err();
        assert_eq!(error.code(), "store_damaged");
        assert!(error.to_string().contains("1.0.0.json"), "{error}");
    }

    #[test]
    fn nothing_leaves_the_folder_by_its_name() {
        assert_eq!(file_name("oci://h:5000/acme"), "oci%3a%2f%2fh%3a5000%2facme");
        assert_eq!(file_name(".."), "%2e.");
        assert_eq!(file_name("dir:../x"), "dir%3a..%2fx");
    }
}
