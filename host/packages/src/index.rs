//! The index of a registry: one document that says which packages there are, of which versions, since when, and which of them are
//! not to be chosen any more. Registries cannot search, so this is what searching and listing go by. It is an artifact like any
//! other, signed like a package; here is only what stands in it.

use jiff::Timestamp;
use rapidbyte_core::ConnectorRole;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::limits::{DESCRIPTION_CHARS_MAX, ENTRIES_MAX, INDEX_BYTES_MAX};
use crate::reference::PackageName;

/// Where it lies in a registry's namespace, beside the packages.
pub const REPOSITORY: &str = "rapidbyte-index";
/// The tag that moves to each newer one.
pub const TAG: &str = "latest";
pub const ARTIFACT_TYPE: &str = "application/vnd.rapidbyte.index.v1+json";
const FORMAT: u32 = 1;

/// The repository of the index of a namespace, which may be empty.
pub fn repository(namespace: &str) -> String {
    match namespace.is_empty() {
        true => REPOSITORY.to_owned(),
        false => format!("{namespace}/{REPOSITORY}"),
    }
}

/// One version of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub version: Version,
    /// Of the package's manifest.
    pub digest: Digest,
    /// When an index named it first.
    pub published_at: Timestamp,
    /// Not to be chosen any more; whoever has it locked keeps it.
    #[serde(default)]
    pub yanked: bool,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    pub role: ConnectorRole,
    /// Of its newest version.
    pub description: String,
    /// The oldest first.
    pub versions: Vec<Release>,
}

impl Entry {
    /// The newest version that may be chosen and is no pre-release; else the newest that may be chosen.
    pub fn newest(&self) -> Option<&Release> {
        let choosable = || self.versions.iter().filter(|release| !release.yanked);
        let newest = |releases: &mut dyn Iterator<Item = &'_ Release>| -> Option<Version> {
            releases.map(|release| release.version.clone()).max()
        };
        let version = newest(&mut choosable().filter(|release| release.version.pre.is_empty()))
            .or_else(|| newest(&mut choosable()))?;
        self.release(&version)
    }

    pub fn release(&self, version: &Version) -> Option<&Release> {
        self.versions.iter().find(|release| release.version == *version)
    }
}

/// All packages of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageIndex {
    format: u32,
    pub built_at: Timestamp,
    /// Later than this it may not be all, and somebody may be keeping a newer one back.
    pub expires_at: Timestamp,
    /// By name.
    pub packages: Vec<Entry>,
}

/// Why bytes are no index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadIndex {
    #[error("it has {bytes} bytes, at most {INDEX_BYTES_MAX} are read")]
    TooLarge { bytes: usize },
    #[error("it is not the JSON that it should be: {0}")]
    Json(String),
    #[error("it is of format {found}, this version of rapidbyte knows {FORMAT}")]
    Format { found: u32 },
    #[error("{0}")]
    Content(String),
}

impl PackageIndex {
    /// An index of these, sorted.
    pub fn new(built_at: Timestamp, expires_at: Timestamp, mut packages: Vec<Entry>) -> Self {
        for package in &mut packages {
            package.versions.sort_by(|one, two| one.version.cmp(&two.version));
        }
        packages.sort_by(|one, two| one.name.cmp(&two.name));
        PackageIndex { format: FORMAT, built_at, expires_at, packages }
    }

    pub fn read(bytes: &[u8]) -> Result<Self, BadIndex> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        if bytes.len() as u64 > INDEX_BYTES_MAX {
            return Err(BadIndex::TooLarge { bytes: bytes.len() });
        }
        let json = |error: serde_json::Error| BadIndex::Json(error.to_string());
        // The format first: a newer one may look otherwise.
        let Format { format } = serde_json::from_slice(bytes).map_err(json)?;
        if format != FORMAT {
            return Err(BadIndex::Format { found: format });
        }
        let mut index: PackageIndex = serde_json::from_slice(bytes).map_err(json)?;
        index.check()?;
        Ok(index)
    }

    fn check(&mut self) -> Result<(), BadIndex> {
        let content = |text: String| Err(BadIndex::Content(text));
        if self.packages.len() > ENTRIES_MAX {
            return content(format!(
                "it has {} packages, at most {ENTRIES_MAX} are read",
                self.packages.len()
            ));
        }
        for pair in self.packages.windows(2) {
            if pair[0].name >= pair[1].name {
                return content("its packages are not in the order of their names".to_owned());
            }
        }
        for package in &mut self.packages {
            if let Err(bad) = package.name.parse::<PackageName>() {
                return content(bad.to_string());
            }
            if package.versions.len() > ENTRIES_MAX {
                return content(format!("`{}` has more than {ENTRIES_MAX} versions", package.name));
            }
            // For terminals and tables.
            let plain = package.description.chars().filter(|c| !c.is_control());
            package.description = plain.take(DESCRIPTION_CHARS_MAX).collect();
        }
        Ok(())
    }

    pub fn bytes(&self) -> Vec<u8> {
        // A tree of texts and numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.packages
            .binary_search_by(|entry| entry.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.packages[at])
    }

    /// What is known of one version; none where the index does not have it.
    pub fn release(&self, name: &str, version: &Version) -> Option<&Release> {
        self.find(name)?.release(version)
    }

    /// Packages whose name or description has all of the words, the closest first.
    pub fn search(&self, term: &str) -> Vec<&Entry> {
        let term = term.to_lowercase();
        let words: Vec<&str> = term.split_whitespace().collect();
        let mut found: Vec<(u8, &Entry)> = self
            .packages
            .iter()
            .filter_map(|entry| {
                let description = entry.description.to_lowercase();
                let fits = words.iter().all(|word| entry.name.contains(word) || description.contains(word));
                let distance = match words.as_slice() {
                    [word] if entry.name == *word => 0,
                    [word] if entry.name.split('-').any(|part| part == *word) => 1,
                    words if words.iter().all(|word| entry.name.contains(word)) => 2,
                    _ => 3,
                };
                fits.then_some((distance, entry))
            })
            .collect();
        found.sort_by(|one, two| (one.0, &one.1.name).cmp(&(two.0, &two.1.name)));
        found.into_iter().map(|(_, entry)| entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, description: &str, versions: &[(&str, bool)]) -> Entry {
        let release = |(version, yanked): &(&str, bool)| Release {
            version: version.parse().unwrap(),
            digest: Digest::of(version.as_bytes()),
            published_at: Timestamp::UNIX_EPOCH,
            yanked: *yanked,
        };
        let (name, description) = (name.to_owned(), description.to_owned());
        Entry {
            name,
            role: ConnectorRole::Source,
            description,
            versions: versions.iter().map(release).collect(),
        }
    }

    fn index(packages: Vec<Entry>) -> PackageIndex {
        PackageIndex::new(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, packages)
    }

    #[test]
    fn an_index_is_read_as_it_is_written_and_sorted() {
        let written = index(vec![
            entry("source-b", "B", &[("1.10.0", false), ("1.9.0", true), ("2.0.0-rc.1", false)]),
            entry("source-a", "A", &[("0.1.0", true)]),
        ]);
        let read = PackageIndex::read(&written.bytes()).unwrap();
        assert_eq!(read, written);
        let b = read.find("source-b").unwrap();
        assert_eq!(b.newest().unwrap().version, Version::new(1, 10, 0));
        assert_eq!(b.versions[0].version, Version::new(1, 9, 0));
        assert!(read.release("source-b", &Version::new(1, 9, 0)).unwrap().yanked);
        assert_eq!(read.find("source-a").unwrap().newest(), None);
        assert_eq!(read.find("source-c"), None);
    }

    #[test]
    fn the_closest_is_found_first() {
        let index = index(vec![
            entry("dest-postgres", "Writes tables", &[]),
            entry("postgres", "Odd", &[]),
            entry("source-postgresql", "Reads tables", &[]),
            entry("source-jira", "Issues, also into Postgres", &[]),
        ]);
        let names = |term: &str| -> Vec<&str> {
            index.search(term).into_iter().map(|entry| entry.name.as_str()).collect()
        };
        assert_eq!(names("Postgres"), ["postgres", "dest-postgres", "source-postgresql", "source-jira"]);
        assert_eq!(names("tables reads"), ["source-postgresql"]);
        assert_eq!(names("oracle"), Vec::<&str>::new());
        assert_eq!(names("").len(), 4);
    }

    #[test]
    fn strange_documents_are_refused() {
        let refused = |text: &str| PackageIndex::read(text.as_bytes()).unwrap_err().to_string();
        assert!(refused("{}").contains("not the JSON"));
        assert!(refused(r#"{"format":2,"packages":7}"#).contains("format 2"));
        let good =
            String::from_utf8(index(vec![entry("source-a", "A", &[("0.1.0", false)])]).bytes()).unwrap();
        assert!(refused(&good.replace("source-a", "../source")).contains("no name"));
        assert!(refused(&good.replace("sha256:", "md5:")).contains("not the JSON"));
        let twice = index(vec![entry("source-a", "A", &[]), entry("source-a", "A", &[])]);
        assert!(refused(&String::from_utf8(twice.bytes()).unwrap()).contains("order"));
        let loud = index(vec![entry("source-a", "A\u{1b}[31m", &[])]);
        assert_eq!(PackageIndex::read(&loud.bytes()).unwrap().packages[0].description, "A[31m");
    }
}
