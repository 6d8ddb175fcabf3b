//! `rapidbyte.lock`: which package a project has decided for, by digest, and what was reviewed when it did. Written by `connectors
//! add` and by runs that resolve something new; honoured by everything. Meant to be committed and read by people: one table per
//! package, in order of their names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::blob;
use crate::capabilities::{Capability, CapabilitySet};
use crate::digest::Digest;
use crate::limits::LOCK_BYTES_MAX;

pub const LOCK_FILE_NAME: &str = "rapidbyte.lock";
/// Of the file's format.
const FORMAT: u32 = 1;
const HEADER: &str = "# Written by rapidbyte: which connectors this project uses, by digest, and what they may reach.\n\
                      # Commit it. `rapidbyte connectors update` changes it.\n\n";

/// One package that was decided for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    pub name: String,
    pub version: Version,
    /// `oci://…` or `dir:…`.
    pub source: String,
    pub manifest: Digest,
    /// Of the component.
    pub layer: Digest,
    /// `rapidbyte:connector/source@4.0.0`.
    pub world: String,
    /// None: it need not be signed by the policy of its registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// What was reviewed.
    #[serde(default, skip_serializing_if = "CapabilitySet::is_empty")]
    pub capabilities: CapabilitySet,
}

/// How a package differs from the one that was decided for, where somebody has to look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widening {
    /// What it may reach in addition.
    pub capabilities: Vec<Capability>,
    /// Who had signed, and who has now.
    pub signer: Option<(Option<String>, Option<String>)>,
}

impl Locked {
    /// What `next` reaches beyond this one, and whether another signed it; none if neither.
    pub fn widening(&self, next: &Locked) -> Option<Widening> {
        let capabilities: Vec<Capability> =
            next.capabilities.widened_from(&self.capabilities).into_iter().cloned().collect();
        // Somebody where nobody was is no reason to worry.
        let changed = self.signer.is_some() && self.signer != next.signer;
        let signer = changed.then(|| (self.signer.clone(), next.signer.clone()));
        (!capabilities.is_empty() || signer.is_some()).then_some(Widening { capabilities, signer })
    }
}

/// All packages that were decided for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    packages: Vec<Locked>,
}

/// The file's shape.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, rename = "package", skip_serializing_if = "Vec::is_empty")]
    packages: Vec<Locked>,
}

/// Why the lock cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot use `{}`", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{}` is not right: {message}", path.display())]
    Malformed { path: PathBuf, message: String },
    #[error("`{}` is of format {found}, this version of rapidbyte knows up to {FORMAT}", path.display())]
    TooNew { path: PathBuf, found: u32 },
}

impl LockError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            LockError::Io { .. } => "lock",
            LockError::Malformed { .. } => "lock_malformed",
            LockError::TooNew { .. } => "lock_too_new",
        }
    }
}

impl Lock {
    /// Reads it; empty where there is none.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::default()),
            Err(error) => return Err(failed(error)),
            Ok(metadata) if metadata.len() > LOCK_BYTES_MAX => {
                let message = format!("it has {} bytes, at most {LOCK_BYTES_MAX} are read", metadata.len());
                return Err(LockError::Malformed { path: path.to_owned(), message });
            }
            Ok(_) => {}
        }
        Self::parse(&fs::read_to_string(path).map_err(failed)?, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, LockError> {
        #[derive(Deserialize)]
        struct Format {
            version: u32,
        }
        let malformed = |message: String| LockError::Malformed { path: path.to_owned(), message };
        let unreadable = |error: toml::de::Error| malformed(error.to_string().trim_end().to_owned());
        // The format first: a newer one may have any keys.
        let Format { version } = toml::from_str(text).map_err(unreadable)?;
        if version > FORMAT {
            return Err(LockError::TooNew { path: path.to_owned(), found: version });
        }
        let document: Document = toml::from_str(text).map_err(unreadable)?;
        let mut lock = Lock::default();
        for package in document.packages {
            if let Some(other) = lock.find(&package.name, Some(&package.source)) {
                let twice = format!("`{}` from `{}` is in it twice", other.name, other.source);
                return Err(malformed(twice));
            }
            lock.set(package);
        }
        Ok(lock)
    }

    /// Its text: the same packages always give the same.
    pub fn text(&self) -> String {
        let document = Document { version: FORMAT, packages: self.packages.clone() };
        // A tree of texts and numbers always serialises.
        format!("{HEADER}{}", toml::to_string(&document).unwrap_or_default())
    }

    /// Writes it in one step; leaves an equal file alone.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let text = self.text();
        if fs::read_to_string(path).is_ok_and(|present| present == text) {
            return Ok(());
        }
        blob::replace(path, text.as_bytes()).map_err(|source| LockError::Io { path: path.to_owned(), source })
    }

    pub fn packages(&self) -> &[Locked] {
        &self.packages
    }

    /// The package of this name, from this registry where one is given.
    pub fn find(&self, name: &str, source: Option<&str>) -> Option<&Locked> {
        self.packages
            .iter()
            .find(|package| package.name == name && source.is_none_or(|source| source == package.source))
    }

    /// Decides for a package, in place of the one of its name and registry.
    pub fn set(&mut self, package: Locked) {
        self.packages.retain(|other| (&other.name, &other.source) != (&package.name, &package.source));
        self.packages.push(package);
        self.packages.sort_by(|one, two| (&one.name, &one.source).cmp(&(&two.name, &two.source)));
    }

    /// Forgets a package; answers whether it was there.
    pub fn remove(&mut self, name: &str, source: Option<&str>) -> bool {
        let before = self.packages.len();
        self.packages
            .retain(|package| package.name != name || source.is_some_and(|source| source != package.source));
        self.packages.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str) -> Locked {
        Locked {
            name: name.to_owned(),
            version: Version::new(1, 2, 0),
            source: "oci://registry.example/acme".to_owned(),
            manifest: Digest::of(name.as_bytes()),
            layer: Digest::of(b"layer"),
            world: "rapidbyte:connector/source@4.0.0".to_owned(),
            signer: Some("key SHA256:abc".to_owned()),
            capabilities: serde_json::from_str(r#"["state read","environment TOKEN"]"#).unwrap(),
        }
    }

    #[test]
    fn a_lock_is_read_as_it_is_written_and_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE_NAME);
        assert_eq!(Lock::read(&path).unwrap(), Lock::default());
        let mut lock = Lock::default();
        lock.set(locked("source-b"));
        lock.set(locked("source-a"));
        lock.set(Locked { version: Version::new(2, 0, 0), ..locked("source-b") });
        lock.write(&path).unwrap();
        let read = Lock::read(&path).unwrap();
        assert_eq!(read, lock);
        let names: Vec<String> =
            read.packages().iter().map(|it| format!("{}@{}", it.name, it.version)).collect();
        assert_eq!(names, ["source-a@1.2.0", "source-b@2.0.0"]);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("[[package]]\nname = \"source-a\"\nversion = \"1.2.0\"\n"), "{text}");
        assert!(lock.remove("source-a", None) && !lock.remove("source-a", None));
    }

    #[test]
    fn what_is_not_right_says_where() {
        let refused = |text: &str| Lock::parse(text, Path::new("rapidbyte.lock")).unwrap_err();
        assert_eq!(refused("version = 2\nnew = 1\n").code(), "lock_too_new");
        assert_eq!(refused("").code(), "lock_malformed");
        assert_eq!(refused("version = 1\npackages = 3\n").code(), "lock_malformed");
        let mut lock = Lock::default();
        lock.set(locked("source-a"));
        let text = lock.text();
        let (_, table) = text.split_once("[[package]]").unwrap();
        assert!(refused(&format!("{text}[[package]]{table}")).to_string().contains("twice"));
        assert!(refused(&text.replace("sha256:", "sha1:")).to_string().contains("sha1:"));
        assert!(refused("<<<<<<< HEAD\nversion = 1\n").to_string().contains("rapidbyte.lock"));
    }

    #[test]
    fn reaching_further_or_another_signer_is_a_widening() {
        let before = locked("source-a");
        let version = Version::new(1, 3, 0);
        assert_eq!(before.widening(&Locked { version: version.clone(), ..before.clone() }), None);
        let capabilities: CapabilitySet = serde_json::from_str(r#"["state read","state write"]"#).unwrap();
        let wider = before.widening(&Locked { capabilities, ..before.clone() }).unwrap();
        assert_eq!(wider.capabilities.iter().map(ToString::to_string).collect::<Vec<_>>(), ["state write"]);
        assert_eq!(wider.signer, None);
        let other = before.widening(&Locked { signer: None, ..before.clone() }).unwrap();
        assert_eq!(other.signer, Some((Some("key SHA256:abc".to_owned()), None)));
        assert_eq!(Locked { signer: None, ..before.clone() }.widening(&before), None);
    }
}
