//! Packages in one file, for machines without a network: a tar archive of image layouts, one folder for each registry that they
//! come from, with their signatures and certificates, and a list of what it holds. What is unpacked is judged as if it came from
//! its registry: the file is a stranger's as much as a server is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::{Component, Path, PathBuf};

use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::limits::{COMPONENT_BYTES_MAX, ENTRIES_MAX, STATEMENT_BYTES_MAX};
use rapidbyte_packages::oci::{Descriptor, MANIFEST_MEDIA_TYPE, Manifest};
use rapidbyte_packages::reference::{PackageName, RegistryRef, tag_of};
use rapidbyte_packages::registry::{self, Registry, RegistryError, Tag};
use semver::Version;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::Installer;
use crate::error::InstallError;
use crate::fetch::Progress;
use crate::limits::{BUNDLE_BYTES_MAX, BUNDLE_FILES_MAX};
use crate::plan::Plan;
use crate::project::Project;
use crate::registries::Place;
use crate::resolve::{Candidate, Resolution};

const CONTENTS: &str = "bundle.json";
/// Of the file's format.
const FORMAT: u32 = 1;

/// What a bundle holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    packages: Vec<Bundled>,
}

/// One package of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundled {
    pub name: String,
    pub version: Version,
    /// Where it comes from, and is trusted as.
    pub source: String,
    pub repository: String,
    pub manifest: Digest,
    /// Of the registry's layouts in the archive.
    folder: String,
}

impl Bundled {
    /// Whether its names are names, and its repository the one that its registry would have it in.
    fn is_sound(&self) -> bool {
        let expected = match self.source.parse() {
            Ok(RegistryRef::Oci { namespace, .. }) if !namespace.is_empty() => {
                format!("{namespace}/{}", self.name)
            }
            Ok(RegistryRef::Oci { .. } | RegistryRef::Dir(_)) => self.name.clone(),
            Ok(RegistryRef::Alias(_)) | Err(_) => return false,
        };
        self.name.parse::<PackageName>().is_ok()
            && self.repository == expected
            && self.folder.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// An unpacked bundle.
#[derive(Debug)]
pub struct Bundle {
    pub packages: Vec<Bundled>,
    folder: TempDir,
}

impl Installer {
    /// Writes packages with everything that refers to them into one file; what is not here is fetched.
    pub async fn bundle(
        &self,
        candidates: &[Candidate],
        path: &Path,
        progress: &dyn Progress,
    ) -> Result<Vec<Bundled>, InstallError> {
        self.fetch(candidates, false, progress).await?;
        let failed = |source| InstallError::Write { path: path.to_owned(), source };
        let scratch = tempfile::tempdir().map_err(failed)?;
        let mut folders: BTreeMap<String, String> = BTreeMap::new();
        let mut packages = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let next = folders.len().to_string();
            let folder = folders.entry(candidate.source.clone()).or_insert(next).clone();
            let target = FolderRegistry::new(scratch.path().join(&folder));
            self.copy(candidate, &target).await?;
            packages.push(Bundled {
                name: candidate.described.manifest.name.clone(),
                version: candidate.described.manifest.version.clone(),
                source: candidate.source.clone(),
                repository: candidate.repository.clone(),
                manifest: candidate.described.digest,
                folder,
            });
        }
        let contents = Contents { version: FORMAT, packages: packages.clone() };
        // A tree of texts and numbers always serialises.
        let contents = serde_json::to_vec_pretty(&contents).unwrap_or_default();
        archive(scratch.path(), &contents, path).map_err(failed)?;
        Ok(packages)
    }

    /// Copies a package into a folder, with whatever is said about it.
    async fn copy(&self, candidate: &Candidate, target: &FolderRegistry) -> Result<(), InstallError> {
        let repository = candidate.repository.as_str();
        let layer = &candidate.described.layer;
        let path = self.store.blob_path(&layer.digest);
        let component = fs::read(&path).map_err(|source| InstallError::Read { path, source })?;
        target.put_blob(repository, layer, &component).await?;
        target.put_blob(repository, &candidate.manifest.config, &candidate.config_bytes).await?;
        let version = tag_of(&candidate.described.manifest.version);
        let tag = Some(Tag { name: &version, moves: false });
        target.put_manifest(repository, tag, MANIFEST_MEDIA_TYPE, &candidate.manifest_bytes).await?;

        let place = self.registries.connect_source(&candidate.source).await?;
        let from = place.registry.as_ref();
        let digest = &candidate.described.digest;
        for referrer in from.referrers(repository, digest).await? {
            copy_statement(from, target, repository, &referrer.digest, None).await?;
        }
        // Signatures in the older form are found by a tag.
        let tag = format!("sha256-{}.sig", digest.hex());
        if let Some(signatures) = from.resolve(repository, &tag).await? {
            copy_statement(from, target, repository, &signatures.digest, Some(&tag)).await?;
        }
        Ok(())
    }

    /// What installing a bundle comes to.
    pub async fn plan_bundle(
        &self,
        project: &Project,
        bundle: &Bundle,
        how: Resolution,
        allow_widening: bool,
    ) -> Result<Plan, InstallError> {
        let lock = project.read()?;
        let mut candidates = Vec::with_capacity(bundle.packages.len());
        for bundled in &bundle.packages {
            let registry = FolderRegistry::new(bundle.folder.path().join(&bundled.folder));
            let place = Place::new(std::sync::Arc::new(registry), bundled.source.clone(), String::new());
            let before = lock.find(&bundled.name, Some(&bundled.source));
            if how.locked && before.is_none_or(|before| before.manifest != bundled.manifest) {
                continue;
            }
            let Bundled { repository, name, version, manifest, .. } = bundled;
            let mut candidate =
                self.describe(place, repository.clone(), name, Some(version), *manifest).await?;
            self.follow(&mut candidate, before)?;
            candidates.push(candidate);
        }
        // All of it is in the file: that is where it is fetched from, network or not.
        let how = Resolution { offline: false, ..how };
        Plan::of(project, candidates, how, allow_widening)
    }
}

/// Copies a manifest that says something about a package, with its blobs. What is too large to be a statement (code compiled for
/// platforms) stays behind: it can be made anew.
async fn copy_statement(
    from: &dyn Registry,
    target: &FolderRegistry,
    repository: &str,
    digest: &Digest,
    tag: Option<&str>,
) -> Result<(), InstallError> {
    let bytes = registry::manifest(from, repository, digest).await?;
    let manifest = Manifest::read(&bytes)
        .map_err(|error| RegistryError::malformed(from, "a statement about a package", &error))?;
    let blobs: Vec<&Descriptor> = manifest.layers.iter().chain([&manifest.config]).collect();
    if blobs.iter().any(|blob| blob.size > STATEMENT_BYTES_MAX) {
        return Ok(());
    }
    for blob in blobs {
        let content = registry::blob(from, repository, blob, STATEMENT_BYTES_MAX).await?;
        target.put_blob(repository, blob, &content).await?;
    }
    let tag = tag.map(|name| Tag { name, moves: true });
    target.put_manifest(repository, tag, MANIFEST_MEDIA_TYPE, &bytes).await?;
    Ok(())
}

/// Writes the archive in one step: whole or not at all, and the same bytes of the same packages.
fn archive(folder: &Path, contents: &[u8], path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let file = tempfile::Builder::new().prefix(".bundling-").tempfile_in(parent)?;
    let mut builder = tar::Builder::new(BufWriter::new(file.as_file()));
    builder.append_data(&mut header(contents.len() as u64), CONTENTS, contents)?;
    let mut files = Vec::new();
    files_below(folder, &mut files)?;
    files.sort();
    for found in files {
        let name = found.strip_prefix(folder).unwrap_or(&found).to_owned();
        let source = File::open(&found)?;
        let mut header = header(source.metadata()?.len());
        builder.append_data(&mut header, &name, source)?;
    }
    builder.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn header(bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o644);
    header
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // What writers of layouts lock is no part of them.
        if entry.file_name() == ".lock" {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => files_below(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    Ok(())
}

impl Bundle {
    /// Unpacks a bundle to a temporary folder, which goes with the value.
    pub fn open(path: &Path) -> Result<Self, InstallError> {
        let failed = |source| InstallError::Read { path: path.to_owned(), source };
        let malformed = |message: String| InstallError::Bundle { path: path.to_owned(), message };
        let folder = tempfile::tempdir().map_err(failed)?;
        let mut archive = tar::Archive::new(io::BufReader::new(File::open(path).map_err(failed)?));
        let mut left = BUNDLE_BYTES_MAX;
        let entries = archive.entries().map_err(|error| malformed(error.to_string()))?;
        for (count, entry) in entries.enumerate() {
            let mut entry = entry.map_err(|error| malformed(error.to_string()))?;
            let name = entry.path().map_err(|error| malformed(error.to_string()))?.into_owned();
            let shown =
                name.display().to_string().chars().filter(|c| !c.is_control()).take(120).collect::<String>();
            if count >= BUNDLE_FILES_MAX {
                return Err(malformed(format!("it has more than {BUNDLE_FILES_MAX} files")));
            }
            // Links and paths that lead out of the folder are what archives are attacked with.
            if !entry.header().entry_type().is_file() {
                return Err(malformed(format!("`{shown}` in it is no file")));
            }
            if name.as_os_str().is_empty()
                || !name.components().all(|part| matches!(part, Component::Normal(_)))
            {
                return Err(malformed(format!("`{shown}` in it leads out of it")));
            }
            let size = entry.size();
            left = left
                .checked_sub(size)
                .filter(|_| size <= COMPONENT_BYTES_MAX)
                .ok_or_else(|| malformed(format!("`{shown}` in it has {size} bytes, which is too much")))?;
            let target = folder.path().join(&name);
            let mut unpack = || {
                fs::create_dir_all(target.parent().unwrap_or(folder.path()))?;
                let mut file = File::options().write(true).create_new(true).open(&target)?;
                io::copy(&mut entry.by_ref().take(size), &mut file)
            };
            match unpack() {
                Ok(copied) if copied == size => {}
                Ok(_) => return Err(malformed(format!("`{shown}` in it is cut short"))),
                Err(error) => return Err(malformed(format!("`{shown}` in it: {error}"))),
            }
        }
        let contents = fs::read(folder.path().join(CONTENTS))
            .map_err(|_| malformed(format!("there is no `{CONTENTS}` in it")))?;
        let contents: Contents = serde_json::from_slice(&contents)
            .map_err(|error| malformed(format!("`{CONTENTS}` in it: {error}")))?;
        if contents.version != FORMAT {
            return Err(malformed(format!(
                "it is of format {}, this version of rapidbyte knows {FORMAT}",
                contents.version
            )));
        }
        if contents.packages.len() > ENTRIES_MAX {
            return Err(malformed(format!("it has more than {ENTRIES_MAX} packages")));
        }
        if let Some(package) = contents.packages.iter().find(|package| !package.is_sound()) {
            let shown: String = package.name.chars().filter(|c| !c.is_control()).take(80).collect();
            return Err(malformed(format!("`{shown}` in its list is not described as packages are")));
        }
        Ok(Bundle { packages: contents.packages, folder })
    }
}
