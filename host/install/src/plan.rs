//! Adding, updating, and what a pipeline needs: resolve everything first, stop at what nobody's yes covers, let what is new be
//! looked at, and only then download. The lock changes last, when everything is here.

use std::collections::BTreeMap;

use rapidbyte_packages::lock::{Lock, Locked};
use rapidbyte_packages::reference::{PackageRef, VersionSpec};
use rapidbyte_packages::store::Installed;
use semver::{Comparator, Op, VersionReq};

use crate::Installer;
use crate::error::InstallError;
use crate::fetch::Progress;
use crate::project::Project;
use crate::resolve::{Candidate, Resolution};

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct AddOptions {
    pub packages: Vec<PackageRef>,
    pub how: Resolution,
    /// Whether a package may reach further than before, or be signed by somebody else.
    pub allow_widening: bool,
}

/// What would be installed.
pub struct Plan {
    pub project: Project,
    pub candidates: Vec<Candidate>,
    how: Resolution,
}

/// A plan that somebody has looked at.
pub struct Approved(Plan);

impl Approved {
    pub fn plan(&self) -> &Plan {
        &self.0
    }
}

impl Plan {
    /// Of candidates that were found.
    pub(crate) fn of(
        project: &Project,
        mut candidates: Vec<Candidate>,
        how: Resolution,
        allow_widening: bool,
    ) -> Result<Self, InstallError> {
        once_each(&mut candidates);
        if !allow_widening {
            candidates.iter().try_for_each(Candidate::must_not_widen)?;
        }
        Ok(Plan { project: project.clone(), candidates, how })
    }

    /// What somebody has to look at.
    pub fn to_review(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|candidate| candidate.needs_review())
    }

    /// Says that somebody has looked at everything in [`Plan::to_review`] and wants it.
    pub fn approve(self) -> Approved {
        Approved(self)
    }
}

impl Installer {
    /// Finds out what adding packages comes to. Nothing is downloaded but what says what it would be.
    pub async fn plan(&self, project: &Project, options: &AddOptions) -> Result<Plan, InstallError> {
        let lock = project.read()?;
        let resolving = options.packages.iter().map(|wanted| self.resolve(wanted, &lock, options.how));
        let candidates = futures::future::try_join_all(resolving).await?;
        Plan::of(project, candidates, options.how, options.allow_widening)
    }

    /// Installs what was approved, and locks it.
    pub async fn complete(
        &self,
        approved: Approved,
        progress: &dyn Progress,
    ) -> Result<Vec<Installed>, InstallError> {
        let Plan { project, candidates, how } = approved.0;
        let installed = self.fetch(&candidates, how.offline, progress).await?;
        if !how.locked {
            lock_all(&project, &candidates)?;
        }
        Ok(installed)
    }

    /// What a pipeline names, installed: by the lock, or what is here already and fits, else fetched. What nobody has looked at
    /// is refused.
    pub async fn provide(
        &self,
        project: &Project,
        wanted: &[PackageRef],
        how: Resolution,
        progress: &dyn Progress,
    ) -> Result<Vec<Installed>, InstallError> {
        let lock = project.read()?;
        let mut candidates = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            candidates.push(self.provide_one(wanted, &lock, how).await?);
        }
        // One package may be named twice; each name gets its answer.
        let mut needed = candidates.clone();
        once_each(&mut needed);
        let installed = self.fetch(&needed, how.offline, progress).await?;
        if !how.locked {
            lock_all(project, &needed)?;
        }
        let by_digest: BTreeMap<_, _> =
            installed.into_iter().map(|one| ((one.manifest, one.registry.clone()), one)).collect();
        let answer = |candidate: &Candidate| {
            by_digest.get(&(candidate.described.digest, candidate.source.clone())).cloned()
        };
        Ok(candidates.iter().filter_map(answer).collect())
    }

    async fn provide_one(
        &self,
        wanted: &PackageRef,
        lock: &Lock,
        how: Resolution,
    ) -> Result<Candidate, InstallError> {
        let candidate =
            match self.resolve(wanted, lock, Resolution { offline: true, ..how }).await {
                Ok(candidate) => candidate,
                Err(
                    InstallError::Offline { .. } | InstallError::Damaged { .. } | InstallError::Untrusted(_),
                ) if !how.offline => self.resolve(wanted, lock, how).await?,
                Err(error) => return Err(error),
            };
        candidate.must_not_widen()?;
        if candidate.needs_review() {
            let line = format!("rapidbyte connectors add {}", quoted(&wanted.to_string()));
            return Err(InstallError::NotReviewed { id: candidate.id(), line });
        }
        Ok(candidate)
    }

    /// What updating comes to: of the lock, the packages that are named, or all. One that is named without a version stays
    /// compatible with what is locked, as Cargo does it.
    pub async fn plan_update(
        &self,
        project: &Project,
        names: &[PackageRef],
        allow_widening: bool,
    ) -> Result<Plan, InstallError> {
        let lock = project.read()?;
        let mut packages = Vec::new();
        if names.is_empty() {
            for locked in lock.packages() {
                packages.push(compatible(locked)?);
            }
        }
        for name in names {
            let source = match &name.registry {
                Some(registry) => Some(self.registries.source_of(registry)?),
                None => None,
            };
            let locked = lock.find(name.name.as_str(), source.as_deref());
            let locked = locked.ok_or_else(|| InstallError::NotLocked { name: name.name.to_string() })?;
            packages.push(match &name.version {
                VersionSpec::Newest => compatible(locked)?,
                version => PackageRef { version: version.clone(), ..compatible(locked)? },
            });
        }
        let how = Resolution { update: true, ..Resolution::default() };
        self.plan(project, &AddOptions { packages, how, allow_widening }).await
    }
}

/// A reference to the newest package that is compatible with what is locked.
fn compatible(locked: &Locked) -> Result<PackageRef, InstallError> {
    let version = &locked.version;
    let comparator = Comparator {
        op: Op::Caret,
        major: version.major,
        minor: Some(version.minor),
        patch: Some(version.patch),
        pre: version.pre.clone(),
    };
    Ok(PackageRef {
        registry: Some(locked.source.parse()?),
        name: locked.name.parse()?,
        version: VersionSpec::Range(VersionReq { comparators: vec![comparator] }),
    })
}

fn once_each(candidates: &mut Vec<Candidate>) {
    let mut seen = std::collections::BTreeSet::new();
    candidates.retain(|candidate| seen.insert((candidate.described.digest, candidate.source.clone())));
}

/// Locks packages. Another process may have locked the same version meanwhile, and as something else.
fn lock_all(project: &Project, candidates: &[Candidate]) -> Result<(), InstallError> {
    let wanted: Vec<Locked> = candidates.iter().map(Candidate::locked).collect();
    let lock = project.read()?;
    if wanted.iter().all(|one| lock.packages().contains(one)) {
        return Ok(());
    }
    project.change(|lock| {
        for one in wanted {
            let other = lock
                .find(&one.name, Some(&one.source))
                .filter(|other| other.version == one.version && other.manifest != one.manifest);
            if let Some(other) = other {
                return Err(InstallError::TagMoved {
                    id: format!("{}@{}", one.name, one.version),
                    registry: one.source.clone(),
                    locked: other.manifest,
                    found: one.manifest,
                });
            }
            lock.set(one);
        }
        Ok(())
    })?
}

/// A word of a command line; a range may hold what a shell would take for its own.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/:@+=^".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}
