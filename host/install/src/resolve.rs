//! From a reference to one package of one registry, described by its manifest and config alone: what it may reach is known
//! before its layer is downloaded. The lock decides where it can; what it has decided is never silently something else.

use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::limits::{CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX};
use rapidbyte_packages::lock::{Lock, Locked};
use rapidbyte_packages::oci::Manifest;
use rapidbyte_packages::package::{self, BadPackage, Described};
use rapidbyte_packages::reference::{PackageRef, RegistryRef, VersionSpec, tag_of, version_of};
use rapidbyte_packages::registry;
use rapidbyte_packages::store::Installed;
use rapidbyte_trust::Trusted;
use semver::Version;

use crate::Installer;
use crate::error::InstallError;
use crate::registries::Place;

/// A package that could be installed.
#[derive(Clone)]
pub struct Candidate {
    /// `oci://…` or `dir:…`.
    pub source: String,
    pub repository: String,
    pub described: Described,
    /// Where its component can be fetched; none of what the store knows, which has it.
    pub(crate) place: Option<Place>,
    pub(crate) manifest_bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
    pub(crate) config_bytes: Vec<u8>,
    /// That it may be installed and run.
    pub trusted: Trusted,
    /// Who signed it, where somebody looked.
    pub signer: Option<String>,
    /// What the project had decided for before.
    pub before: Option<Locked>,
    /// Somebody on this machine has agreed to this very package.
    pub reviewed: bool,
}

impl Candidate {
    /// `source-jira@1.2.0`.
    pub fn id(&self) -> String {
        self.described.manifest.id()
    }

    /// Who signed it, in words.
    pub fn signature(&self) -> String {
        match (&self.signer, self.trusted.warning()) {
            (Some(signer), _) => format!("signed by {signer}"),
            (None, Some(_)) => "signed by nobody who is trusted".to_owned(),
            (None, None) => "nobody asks who signed it (`level = \"off\"` under `[trust]`)".to_owned(),
        }
    }
}

/// How references are resolved.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resolution {
    /// Nothing but what the lock has.
    pub locked: bool,
    /// Nothing but what is on this machine.
    pub offline: bool,
    /// The newest that is asked for, whatever the lock has.
    pub update: bool,
}

impl Installer {
    /// Finds the package that is asked for.
    pub async fn resolve(
        &self,
        wanted: &PackageRef,
        lock: &Lock,
        how: Resolution,
    ) -> Result<Candidate, InstallError> {
        let registry = self.registry_for(wanted, lock, how)?;
        let source = self.registries.source_of(&registry)?;
        let name = wanted.name.as_str();
        let before = lock.find(name, Some(&source));
        if let Some(before) = before.filter(|_| !how.update) {
            if fits(&wanted.version, before) {
                return self.by_lock(before, how.offline).await;
            }
            if how.locked {
                return Err(InstallError::LockOutdated {
                    name: name.to_owned(),
                    locked: before.version.clone(),
                    wanted: wanted.version.to_string(),
                });
            }
        } else if how.locked && before.is_none() {
            return Err(InstallError::NotLocked { name: name.to_owned() });
        }
        let mut candidate = match how.offline {
            true => self.find_in_store(wanted, &source)?,
            false => self.find_in_registry(wanted, &registry, before).await?,
        };
        self.follow(&mut candidate, before)?;
        Ok(candidate)
    }

    /// Holds a candidate against what the project had decided for, and what this machine has.
    pub(crate) fn follow(
        &self,
        candidate: &mut Candidate,
        before: Option<&Locked>,
    ) -> Result<(), InstallError> {
        let now = candidate.locked();
        let moved = before.filter(|before| before.version == now.version && before.manifest != now.manifest);
        if let Some(before) = moved {
            return Err(InstallError::TagMoved {
                id: candidate.id(),
                registry: candidate.source.clone(),
                locked: before.manifest,
                found: now.manifest,
            });
        }
        candidate.follows(before);
        candidate.reviewed = candidate.reviewed || self.was_agreed_to(candidate)?;
        Ok(())
    }

    /// Whether this very package was installed on this machine before.
    fn was_agreed_to(&self, candidate: &Candidate) -> Result<bool, InstallError> {
        let same = |installed: &Installed| {
            installed.manifest == candidate.described.digest && installed.registry == candidate.source
        };
        Ok(self.store.installed()?.iter().any(same))
    }

    /// The registry of a reference. One that names none is from where it was locked or installed, else from the default one.
    fn registry_for(
        &self,
        wanted: &PackageRef,
        lock: &Lock,
        how: Resolution,
    ) -> Result<RegistryRef, InstallError> {
        if wanted.registry.is_some() || self.registries.settings().default_registry.is_some() {
            return self.registries.of_package(wanted);
        }
        let name = wanted.name.as_str();
        let known = match lock.find(name, None) {
            Some(locked) => Some(locked.source.clone()),
            None if how.locked => None,
            None => self.newest_installed(wanted, None)?.map(|installed| installed.registry),
        };
        match known {
            Some(source) => Ok(source.parse()?),
            None => self.registries.of_package(wanted),
        }
    }

    /// The newest installed package that is asked for.
    pub fn newest_installed(
        &self,
        wanted: &PackageRef,
        source: Option<&str>,
    ) -> Result<Option<Installed>, InstallError> {
        let installed = self.store.installed()?.into_iter().filter(|installed| {
            installed.name == wanted.name.as_str()
                && source.is_none_or(|source| source == installed.registry)
                && match &wanted.version {
                    VersionSpec::Digest(digest) => *digest == installed.manifest,
                    spec => spec.admits(&installed.version),
                }
        });
        Ok(installed.max_by(|one, two| one.version.cmp(&two.version)))
    }

    fn find_in_store(&self, wanted: &PackageRef, source: &str) -> Result<Candidate, InstallError> {
        let installed = self.newest_installed(wanted, Some(source))?;
        let installed = installed.ok_or_else(|| InstallError::Offline { what: wanted.to_string() })?;
        self.described_in_store(&installed)
    }

    /// What the store has of an installed package, held against its digests.
    pub fn described_in_store(&self, installed: &Installed) -> Result<Candidate, InstallError> {
        let read = |digest: &Digest, max: u64| self.read_small(&installed.id(), digest, max);
        let manifest_bytes = read(&installed.manifest, MANIFEST_BYTES_MAX)?;
        let config_bytes = read(&installed.config, CONFIG_BYTES_MAX)?;
        let repository = installed.repository.clone();
        let wrong = wrong(&installed.id(), &installed.registry);
        let manifest = package::open_manifest(&manifest_bytes, &installed.manifest).map_err(&wrong)?;
        let described = package::describe(installed.manifest, &manifest, &config_bytes).map_err(&wrong)?;
        described.must_be(&installed.name, Some(&installed.version)).map_err(&wrong)?;
        let trusted = self.judge_installed(installed)?;
        Ok(Candidate {
            source: installed.registry.clone(),
            repository,
            described,
            place: None,
            manifest_bytes,
            manifest,
            config_bytes,
            trusted,
            signer: installed.signer.clone(),
            before: None,
            reviewed: true,
        })
    }

    fn read_small(&self, id: &str, digest: &Digest, max: u64) -> Result<Vec<u8>, InstallError> {
        match self.store.read(digest, max)? {
            Some(bytes) => Ok(bytes),
            None => Err(InstallError::Damaged { id: id.to_owned() }),
        }
    }

    /// What the lock has decided for.
    async fn by_lock(&self, locked: &Locked, offline: bool) -> Result<Candidate, InstallError> {
        let installed =
            self.store.installed()?.into_iter().find(|installed| {
                installed.manifest == locked.manifest && installed.registry == locked.source
            });
        let mut candidate = match installed {
            // Certificates lie at the registry.
            Some(_) if self.certifying && !offline => self.fetch_locked(locked).await?,
            Some(installed) => match self.described_in_store(&installed) {
                // Its registry may have a signature that nobody asked for when it was installed.
                Err(InstallError::Damaged { .. } | InstallError::Untrusted(_)) if !offline => {
                    self.fetch_locked(locked).await?
                }
                described => described?,
            },
            None if offline => return Err(InstallError::Offline { what: id(&locked.name, &locked.version) }),
            None => self.fetch_locked(locked).await?,
        };
        candidate.follows(Some(locked));
        // Whoever commits the lock has looked at what it says.
        candidate.reviewed = true;
        candidate.must_be_as_locked(locked)?;
        Ok(candidate)
    }

    /// Fetches what the lock has decided for, by its digest; a version that is something else by now is refused.
    async fn fetch_locked(&self, locked: &Locked) -> Result<Candidate, InstallError> {
        let place = self.registries.connect_source(&locked.source).await?;
        let repository = place.repository(&locked.name);
        let tag = place.registry.resolve(&repository, &tag_of(&locked.version)).await?;
        if let Some(found) = tag.filter(|found| found.digest != locked.manifest) {
            return Err(InstallError::TagMoved {
                id: id(&locked.name, &locked.version),
                registry: locked.source.clone(),
                locked: locked.manifest,
                found: found.digest,
            });
        }
        self.describe(place, repository, &locked.name, Some(&locked.version), locked.manifest).await
    }

    async fn find_in_registry(
        &self,
        wanted: &PackageRef,
        registry: &RegistryRef,
        before: Option<&Locked>,
    ) -> Result<Candidate, InstallError> {
        let place = self.registries.connect(registry).await?;
        let name = wanted.name.as_str();
        let repository = place.repository(name);
        if let VersionSpec::Digest(digest) = &wanted.version {
            return self.describe(place, repository, name, None, *digest).await;
        }
        let version = self.choose(&place, &repository, wanted).await?;
        if let Some(before) = before
            && version < before.version
            // Who names a version means it.
            && !matches!(wanted.version, VersionSpec::Exact(_))
        {
            return Err(InstallError::Downgrade {
                name: name.to_owned(),
                registry: place.source.clone(),
                locked: before.version.to_string(),
                found: version.to_string(),
            });
        }
        let found = place.registry.resolve(&repository, &tag_of(&version)).await?;
        let found = found.ok_or_else(|| InstallError::NoVersion {
            registry: place.source.clone(),
            name: name.to_owned(),
            wanted: version.to_string(),
            available: Vec::new(),
        })?;
        self.must_be_as_indexed(&place, name, &version, &found.digest).await?;
        self.describe(place, repository, name, Some(&version), found.digest).await
    }

    /// The newest version that is asked for.
    async fn choose(
        &self,
        place: &Place,
        repository: &str,
        wanted: &PackageRef,
    ) -> Result<Version, InstallError> {
        let versions = self.versions(place, repository).await?;
        if versions.is_empty() {
            return Err(InstallError::NoPackage {
                registry: place.source.clone(),
                name: wanted.name.to_string(),
            });
        }
        let name = wanted.name.as_str();
        let choosable = self.choosable(place, name, &wanted.version, &versions).await?;
        wanted.version.newest(&choosable).cloned().ok_or_else(|| InstallError::NoVersion {
            registry: place.source.clone(),
            name: wanted.name.to_string(),
            wanted: wanted.version.to_string(),
            available: versions.clone(),
        })
    }

    /// Every version of a package, in order. Tags that are no versions are others' business.
    pub async fn versions(&self, place: &Place, repository: &str) -> Result<Vec<Version>, InstallError> {
        let tags = place.registry.tags(repository).await?;
        let mut versions: Vec<Version> = tags.iter().filter_map(|tag| version_of(tag)).collect();
        versions.sort();
        Ok(versions)
    }

    /// Fetches manifest and config of a package and reads what they say.
    pub async fn describe(
        &self,
        place: Place,
        repository: String,
        name: &str,
        version: Option<&Version>,
        digest: Digest,
    ) -> Result<Candidate, InstallError> {
        let shown = version.map_or_else(|| name.to_owned(), |version| id(name, version));
        let wrong = wrong(&shown, &place.source);
        let registry = place.registry.as_ref();
        let manifest_bytes = registry::manifest(registry, &repository, &digest).await?;
        let manifest = package::open_manifest(&manifest_bytes, &digest).map_err(&wrong)?;
        let config_bytes = registry::blob(registry, &repository, &manifest.config, CONFIG_BYTES_MAX).await?;
        let described = package::describe(digest, &manifest, &config_bytes).map_err(&wrong)?;
        described.must_be(name, version).map_err(&wrong)?;
        let trusted = self.judge(&place, &repository, &described).await?;
        let signer = trusted.signer().map(ToString::to_string);
        Ok(Candidate {
            source: place.source.clone(),
            repository,
            described,
            place: Some(place),
            manifest_bytes,
            manifest,
            config_bytes,
            trusted,
            signer,
            before: None,
            reviewed: false,
        })
    }
}

impl Candidate {
    /// Says what the project had decided for before. Of several who signed it, the one that signed then counts; where nobody
    /// asks for signers any more, the one of then stays.
    fn follows(&mut self, before: Option<&Locked>) {
        self.before = before.cloned();
        let Some(signer) = before.and_then(|before| before.signer.as_ref()) else { return };
        let signers = self.trusted.signers();
        let nobody_asked = signers.is_empty() && self.trusted.warning().is_none();
        if nobody_asked || signers.iter().any(|known| known.to_string() == *signer) {
            self.signer = Some(signer.clone());
        }
    }

    /// Holds a package against the lock that it was fetched by: its digest is the same, so only the lock can be wrong.
    fn must_be_as_locked(&self, locked: &Locked) -> Result<(), InstallError> {
        let now = self.locked();
        let what = match () {
            () if now.layer != locked.layer => "its component is another one",
            () if now.version != locked.version => "its version is another one",
            () if now.world != locked.world => "its world is another one",
            () if now.capabilities != locked.capabilities => "what it may reach is something else",
            () => return Ok(()),
        };
        Err(InstallError::NotAsLocked { id: self.id(), what })
    }
}

/// Whether what the lock has is one of those that are asked for.
fn fits(wanted: &VersionSpec, locked: &Locked) -> bool {
    match wanted {
        VersionSpec::Newest => true,
        VersionSpec::Digest(digest) => *digest == locked.manifest,
        spec => spec.admits(&locked.version),
    }
}

fn id(name: &str, version: &Version) -> String {
    format!("{name}@{version}")
}

fn wrong(id: &str, registry: &str) -> impl Fn(BadPackage) -> InstallError + use<> {
    let (id, registry) = (id.to_owned(), registry.to_owned());
    move |source| InstallError::Package {
        id: id.clone(),
        registry: registry.clone(),
        source: Box::new(source),
    }
}
