//! What is installed and what is locked, looked at again: listed, verified against disk, lock and registry, audited, removed.

use rapidbyte_packages::lock::{Lock, Locked};
use rapidbyte_packages::reference::{PackageRef, VersionSpec, tag_of};
use rapidbyte_packages::store::{Cleaned, Condition, Installed};
use semver::Version;

use crate::Installer;
use crate::error::InstallError;
use crate::project::Project;
use crate::registries::Place;
use crate::resolve::{Candidate, Resolution};

/// An installed package, as the project sees it.
#[derive(Debug, Clone)]
pub struct Listed {
    pub installed: Installed,
    /// The registry's alias, or its whole name.
    pub registry: String,
    /// Whether it is the one that the project's lock has.
    pub locked: bool,
}

/// What verifying found to be right.
#[derive(Debug, Clone)]
pub struct Verified {
    pub installed: Installed,
    /// One sentence for each thing.
    pub facts: Vec<String>,
    pub signer: Option<String>,
    /// Why it would be refused if signatures were required.
    pub warning: Option<String>,
}

/// One locked package that was audited.
#[derive(Debug)]
pub struct Audited {
    pub locked: Locked,
    pub result: Result<Verified, InstallError>,
    /// The newest version of its registry, if it is newer.
    pub newer: Option<Version>,
}

/// A package that may not be installed.
pub struct Inspected {
    pub candidate: Candidate,
    pub installed: bool,
    /// Of its registry; empty offline.
    pub versions: Vec<Version>,
}

impl Installer {
    /// Everything that is installed.
    pub fn list(&self, project: &Project) -> Result<Vec<Listed>, InstallError> {
        let lock = project.read()?;
        let installed = self.store.installed()?.into_iter();
        Ok(installed
            .map(|installed| Listed {
                registry: self.registries.shown(&installed.registry),
                locked: lock
                    .find(&installed.name, Some(&installed.registry))
                    .is_some_and(|locked| locked.manifest == installed.manifest),
                installed,
            })
            .collect())
    }

    /// What a package is, installed or not.
    pub async fn inspect(
        &self,
        project: &Project,
        wanted: &PackageRef,
        offline: bool,
    ) -> Result<Inspected, InstallError> {
        let lock = project.read()?;
        let how = Resolution { offline, ..Resolution::default() };
        let candidate = self.resolve(wanted, &lock, how).await?;
        let installed = self.store.installed()?.iter().any(|installed| {
            installed.manifest == candidate.described.digest && installed.registry == candidate.source
        });
        let versions = match offline {
            true => Vec::new(),
            false => {
                let place = self.registries.connect_source(&candidate.source).await?;
                self.versions(&place, &candidate.repository).await?
            }
        };
        Ok(Inspected { candidate, installed, versions })
    }

    /// The installed package that is meant: what the lock has, else the newest.
    pub fn find_installed(&self, project: &Project, wanted: &PackageRef) -> Result<Installed, InstallError> {
        let source = match &wanted.registry {
            Some(registry) => Some(self.registries.source_of(registry)?),
            None => None,
        };
        let lock = project.read()?;
        if let (VersionSpec::Newest, Some(locked)) =
            (&wanted.version, lock.find(wanted.name.as_str(), source.as_deref()))
        {
            let is_locked = |it: &Installed| it.manifest == locked.manifest && it.registry == locked.source;
            if let Some(installed) = self.store.installed()?.into_iter().find(is_locked) {
                return Ok(installed);
            }
        }
        let found = self.newest_installed(wanted, source.as_deref())?;
        found.ok_or_else(|| InstallError::NotInstalled { name: wanted.to_string() })
    }

    /// Holds an installed package against everything that it should agree with.
    pub async fn verify(
        &self,
        project: &Project,
        wanted: &PackageRef,
        offline: bool,
    ) -> Result<Verified, InstallError> {
        let installed = self.find_installed(project, wanted)?;
        self.verify_installed(&installed, &project.read()?, offline).await
    }

    async fn verify_installed(
        &self,
        installed: &Installed,
        lock: &Lock,
        offline: bool,
    ) -> Result<Verified, InstallError> {
        let candidate = match self.described_in_store(installed) {
            // Judged again below, by what its registry offers.
            Err(InstallError::Untrusted(_)) if !offline => self.described_at_registry(installed).await?,
            candidate => candidate?,
        };
        if self.store.condition(&installed.layer)? != Condition::Whole {
            return Err(InstallError::Damaged { id: installed.id() });
        }
        let mut facts = vec![format!(
            "manifest, config and component are what their digests say ({})",
            installed.manifest
        )];
        self.must_fit(&candidate)?;
        facts.push("the component is what its package claims".to_owned());
        let locked = lock.find(&installed.name, Some(&installed.registry));
        if let Some(locked) = locked.filter(|locked| locked.version == installed.version) {
            if locked.manifest != installed.manifest {
                return Err(InstallError::NotAsLocked {
                    id: installed.id(),
                    what: "its digest is another one",
                });
            }
            facts.push("it is what the lock has".to_owned());
        }
        let trusted = match offline {
            true => candidate.trusted,
            false => {
                let place = self.registries.connect_source(&installed.registry).await?;
                self.must_be_published(&place, installed).await?;
                facts.push(format!("`{}` has it under this version still", installed.registry));
                self.judge(&place, &installed.repository, &candidate.described).await?
            }
        };
        let signer = trusted.signer().map(ToString::to_string);
        facts.extend(signer.as_ref().map(|signer| format!("signed by {signer}")));
        let warning = trusted.warning().map(ToString::to_string);
        Ok(Verified { installed: installed.clone(), facts, signer, warning })
    }

    async fn described_at_registry(&self, installed: &Installed) -> Result<Candidate, InstallError> {
        let place = self.registries.connect_source(&installed.registry).await?;
        let Installed { repository, name, version, manifest, .. } = installed;
        self.describe(place, repository.clone(), name, Some(version), *manifest).await
    }

    async fn must_be_published(&self, place: &Place, installed: &Installed) -> Result<(), InstallError> {
        let tag = place.registry.resolve(&installed.repository, &tag_of(&installed.version)).await?;
        match tag {
            Some(found) if found.digest == installed.manifest => Ok(()),
            Some(found) => Err(InstallError::TagMoved {
                id: installed.id(),
                registry: installed.registry.clone(),
                locked: installed.manifest,
                found: found.digest,
            }),
            None => {
                Err(InstallError::Unpublished { id: installed.id(), registry: installed.registry.clone() })
            }
        }
    }

    /// Verifies every package of the lock; what is wrong with one keeps nobody from looking at the next.
    pub async fn audit(&self, project: &Project, offline: bool) -> Result<Vec<Audited>, InstallError> {
        let lock = project.read()?;
        let mut audited = Vec::new();
        for locked in lock.packages() {
            let result = self.audit_one(locked, &lock, offline).await;
            let newer = match offline {
                true => None,
                false => self.newer(locked).await.unwrap_or_default(),
            };
            audited.push(Audited { locked: locked.clone(), result, newer });
        }
        Ok(audited)
    }

    async fn audit_one(&self, locked: &Locked, lock: &Lock, offline: bool) -> Result<Verified, InstallError> {
        let here =
            self.store.installed()?.into_iter().find(|installed| {
                installed.manifest == locked.manifest && installed.registry == locked.source
            });
        let name = format!("{}@{}", locked.name, locked.version);
        let installed = here.ok_or(InstallError::NotInstalled { name })?;
        self.verify_installed(&installed, lock, offline).await
    }

    async fn newer(&self, locked: &Locked) -> Result<Option<Version>, InstallError> {
        let place = self.registries.connect_source(&locked.source).await?;
        let versions = self.versions(&place, &place.repository(&locked.name)).await?;
        let newest = VersionSpec::Newest.newest(&versions).cloned();
        Ok(newest.filter(|newest| *newest > locked.version))
    }

    /// Takes packages off this machine and out of the lock; answers what was installed. Their blobs stay until cleaning up.
    pub fn remove(&self, project: &Project, wanted: &PackageRef) -> Result<Vec<Installed>, InstallError> {
        let source = match &wanted.registry {
            Some(registry) => Some(self.registries.source_of(registry)?),
            None => None,
        };
        let source = source.as_deref();
        let mut removed = Vec::new();
        for installed in self.store.installed()? {
            let meant = installed.name == wanted.name.as_str()
                && source.is_none_or(|source| source == installed.registry)
                && match &wanted.version {
                    // All of them: a pre-release is installed, too.
                    VersionSpec::Newest => true,
                    VersionSpec::Digest(digest) => *digest == installed.manifest,
                    spec => spec.admits(&installed.version),
                };
            if meant && self.store.remove(&installed)? {
                removed.push(installed);
            }
        }
        let lock = project.read()?;
        let locked = lock.find(wanted.name.as_str(), source);
        let unlock = locked.is_some_and(|locked| match &wanted.version {
            VersionSpec::Newest => true,
            VersionSpec::Digest(digest) => *digest == locked.manifest,
            spec => spec.admits(&locked.version),
        });
        if unlock {
            project.change(|lock| lock.remove(wanted.name.as_str(), source))?;
        } else if removed.is_empty() {
            return Err(InstallError::NotInstalled { name: wanted.to_string() });
        }
        Ok(removed)
    }

    /// Removes what nothing installed stands on.
    pub fn clean(&self) -> Result<Cleaned, InstallError> {
        Ok(self.store.clean()?)
    }
}
