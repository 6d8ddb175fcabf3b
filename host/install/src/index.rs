//! Registries' indexes, for choosing and searching: which versions were withdrawn, how old each is, what there is at all. Judged by
//! the trust room; remembered here is when the newest one was built that was seen, so that nobody answers with an older one.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rapidbyte_packages::blob;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::index::{Entry, PackageIndex};
use rapidbyte_packages::reference::{RegistryRef, VersionSpec};
use rapidbyte_trust::index::{IndexError, open_index};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::Installer;
use crate::error::{Actor, InstallError};
use crate::registries::Place;

/// What was seen of a registry's index.
#[derive(Serialize, Deserialize)]
struct Seen {
    registry: String,
    built_at: Timestamp,
}

/// Indexes that were opened, and the folder of what was seen of them.
pub(crate) struct Indexes {
    folder: PathBuf,
    opened: Mutex<HashMap<String, Option<Arc<PackageIndex>>>>,
}

/// A package that was searched for.
#[derive(Debug, Clone)]
pub struct Found {
    /// The registry's alias, or its whole name.
    pub registry: String,
    pub entry: Entry,
    /// Versions that are installed.
    pub installed: Vec<Version>,
}

/// What a search came to.
#[derive(Debug)]
pub struct Searched {
    pub found: Vec<Found>,
    /// Registries that could not be searched, by what people call them.
    pub failed: Vec<(String, InstallError)>,
}

impl Indexes {
    pub fn new(folder: PathBuf) -> Self {
        Indexes { folder, opened: Mutex::default() }
    }

    fn path(&self, source: &str) -> PathBuf {
        self.folder.join(format!("{}.json", Digest::of(source.as_bytes()).hex()))
    }

    fn seen(&self, source: &str) -> Result<Option<Timestamp>, InstallError> {
        let path = self.path(source);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|source| InstallError::Read { path: path.clone(), source })?,
        };
        // What was damaged is forgotten: it says no more than that nothing was seen yet.
        let seen = serde_json::from_slice::<Seen>(&text).ok();
        Ok(seen.filter(|seen| seen.registry == source).map(|seen| seen.built_at))
    }

    fn remember(&self, source: &str, built_at: Timestamp) -> Result<(), InstallError> {
        let path = self.path(source);
        // A tree of texts always serialises.
        let text = serde_json::to_vec(&Seen { registry: source.to_owned(), built_at }).unwrap_or_default();
        blob::replace(&path, &text).map_err(|source| InstallError::Write { path, source })
    }
}

impl Installer {
    /// The index of a registry; none where it has none.
    pub(crate) async fn index(&self, place: &Place) -> Result<Option<Arc<PackageIndex>>, InstallError> {
        let source = place.source.as_str();
        let opened = || self.indexes.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened().get(source) {
            return Ok(known.clone());
        }
        let registry: RegistryRef = source.parse()?;
        let seen = self.indexes.seen(source)?;
        let opening =
            open_index(place.registry.as_ref(), &registry, &self.policy, Timestamp::now(), seen).await;
        let index = match opening {
            Ok(found) => {
                if seen.is_none_or(|seen| seen < found.index.built_at) {
                    self.indexes.remember(source, found.index.built_at)?;
                }
                Some(Arc::new(found.index))
            }
            // One that was there once does not go away.
            Err(IndexError::Missing { .. }) if seen.is_none() => None,
            Err(error) => return Err(error.into()),
        };
        opened().insert(source.to_owned(), index.clone());
        Ok(index)
    }

    /// Versions of a package that may be chosen newly: neither withdrawn nor too young. If none of those that are asked for is
    /// left, says why the newest of them is not.
    pub(crate) async fn choosable(
        &self,
        place: &Place,
        name: &str,
        wanted: &VersionSpec,
        versions: &[Version],
    ) -> Result<Vec<Version>, InstallError> {
        let age = self.registries.settings().minimum_release_age;
        let index = self.index(place).await?;
        if index.is_none() && age.is_zero() {
            return Ok(versions.to_vec());
        }
        let now = Timestamp::now();
        let judge = |version: &Version| -> Result<(), InstallError> {
            let id = format!("{name}@{version}");
            let release = index.as_ref().and_then(|index| index.release(name, version));
            if release.is_some_and(|release| release.yanked) {
                return Err(InstallError::Yanked { id, registry: place.source.clone() });
            }
            if age.is_zero() {
                return Ok(());
            }
            match release {
                None => Err(InstallError::AgeUnknown { id, registry: place.source.clone() }),
                Some(release) if now.duration_since(release.published_at).unsigned_abs() < age => {
                    Err(InstallError::TooYoung { id, published_at: release.published_at })
                }
                Some(_) => Ok(()),
            }
        };
        let choosable: Vec<Version> =
            versions.iter().filter(|version| judge(version).is_ok()).cloned().collect();
        if wanted.newest(&choosable).is_none()
            && let Some(newest) = wanted.newest(versions)
        {
            judge(newest)?;
        }
        Ok(choosable)
    }

    /// Holds what a tag stands for against the index.
    pub(crate) async fn must_be_as_indexed(
        &self,
        place: &Place,
        name: &str,
        version: &Version,
        found: &Digest,
    ) -> Result<(), InstallError> {
        let index = self.index(place).await?;
        let indexed =
            index.as_ref().and_then(|index| index.release(name, version)).map(|release| release.digest);
        match indexed.filter(|indexed| indexed != found) {
            None => Ok(()),
            Some(indexed) => Err(InstallError::NotAsIndexed {
                id: format!("{name}@{version}"),
                registry: place.source.clone(),
                indexed,
                found: *found,
            }),
        }
    }

    /// Packages by words, in one registry or in all of the settings. What keeps one from being searched keeps nobody from the
    /// others, as long as there is one.
    pub async fn search(&self, term: &str, registry: Option<&RegistryRef>) -> Result<Searched, InstallError> {
        let all = || self.registries.settings().registries.keys().cloned().map(RegistryRef::Alias).collect();
        let registries: Vec<RegistryRef> = registry.map_or_else(all, |one| vec![one.clone()]);
        if registries.is_empty() {
            return Err(InstallError::NoRegistries);
        }
        let mut searched = Searched { found: Vec::new(), failed: Vec::new() };
        for registry in &registries {
            match self.search_one(term, registry).await {
                Ok(found) => searched.found.extend(found),
                Err(error) => searched.failed.push((registry.to_string(), error)),
            }
        }
        if searched.failed.len() < registries.len() {
            return Ok(searched);
        }
        // What somebody has to look at tells more than what is merely not there.
        let judged = searched.failed.iter().position(|(_, error)| error.actor() == Actor::Judge);
        Err(searched.failed.swap_remove(judged.unwrap_or(0)).1)
    }

    async fn search_one(&self, term: &str, registry: &RegistryRef) -> Result<Vec<Found>, InstallError> {
        let place = self.registries.connect(registry).await?;
        let index = self.index(&place).await?;
        let index = index.ok_or_else(|| IndexError::Missing { registry: place.source.clone() })?;
        let installed = self.store.installed()?;
        let found = index.search(term).into_iter().map(|entry| {
            let here = installed.iter().filter(|it| it.name == entry.name && it.registry == place.source);
            Found {
                registry: self.registries.shown(&place.source),
                installed: here.map(|it| it.version.clone()).collect(),
                entry: entry.clone(),
            }
        });
        Ok(found.collect())
    }
}
