//! What goes wrong between a name and an installed package, by who must act; each with a stable code and a next step.

use std::io;
use std::path::PathBuf;

use rapidbyte_packages::blob::BlobError;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::lock::{LockError, Widening};
use rapidbyte_packages::package::BadPackage;
use rapidbyte_packages::reference::BadReference;
use rapidbyte_packages::registry::RegistryError;
use rapidbyte_packages::store::StoreError;
use rapidbyte_pipeline::DocumentErrors;
use rapidbyte_trust::index::IndexError;
use rapidbyte_trust::{PolicyError, Refusal};
use semver::Version;

use crate::docker::DockerError;

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// What was typed.
    Operator,
    /// A file that somebody wrote: settings, the lock.
    Document,
    /// This machine: disk, store, programs.
    Environment,
    /// The package, or whoever made it.
    Package,
    /// Whoever answers for what runs here: something is not what was agreed to, and somebody has to look.
    Judge,
    /// The registry, or the way there.
    Remote,
}

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("{0}")]
    Settings(DocumentErrors),
    #[error("{0}")]
    Policy(PolicyError),
    #[error(transparent)]
    Untrusted(#[from] Refusal),
    #[error(transparent)]
    Reference(#[from] BadReference),
    #[error("there is no registry `{alias}`")]
    UnknownAlias { alias: String, known: Vec<String>, suggestion: Option<String> },
    #[error("`{name}` names no registry, and there is no default one")]
    NoDefaultRegistry { name: String },
    #[error("there is no registry to search")]
    NoRegistries,
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("`{registry}` has no package `{name}`")]
    NoPackage { registry: String, name: String },
    #[error("`{registry}` has no version of `{name}` that is `{wanted}`")]
    NoVersion { registry: String, name: String, wanted: String, available: Vec<Version> },
    #[error("`{id}` from `{registry}` is not right")]
    Package { id: String, registry: String, source: Box<BadPackage> },
    /// What its config blob says of itself cannot be true.
    #[error("the component of `{id}` from `{registry}` is no connector: {message}")]
    Component { id: String, registry: String, message: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("`{id}` is `{locked}` in the lock, and `{registry}` says now that it is `{found}`")]
    TagMoved { id: String, registry: String, locked: Digest, found: Digest },
    #[error("`{registry}` has no `{id}` any more")]
    Unpublished { id: String, registry: String },
    #[error("`{id}` is not what the lock says: {what}")]
    NotAsLocked { id: String, what: &'static str },
    #[error("the newest `{name}` of `{registry}` is {found}, and {locked} is locked")]
    Downgrade { name: String, registry: String, locked: String, found: String },
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("`{id}` was withdrawn from `{registry}`")]
    Yanked { id: String, registry: String },
    #[error("`{id}` is too young: it was published at {published_at}")]
    TooYoung { id: String, published_at: jiff::Timestamp },
    #[error("`{registry}` does not say how old `{id}` is")]
    AgeUnknown { id: String, registry: String },
    #[error("`{registry}` says in its index that `{id}` is `{indexed}`, and hands out `{found}`")]
    NotAsIndexed { id: String, registry: String, indexed: Digest, found: Digest },
    #[error("`{name}` is not in the lock")]
    NotLocked { name: String },
    #[error("the lock has `{name}` {locked}, which is not `{wanted}`")]
    LockOutdated { name: String, locked: Version, wanted: String },
    #[error("`{id}` may reach more than what was agreed to: {}", difference(widening))]
    Widened { id: String, widening: Widening },
    #[error("`{id}` is signed by somebody else than before: {}", difference(widening))]
    SignerChanged { id: String, widening: Widening },
    #[error("what `{id}` may reach has not been looked at")]
    NotReviewed { id: String, line: String },
    #[error("`{what}` is not on this machine, and nothing is fetched (`--offline`)")]
    Offline { what: String },
    #[error("`{id}` in the store is damaged")]
    Damaged { id: String },
    #[error("`{}` is no bundle of connectors: {message}", path.display())]
    Bundle { path: PathBuf, message: String },
    #[error("`{name}` is not installed")]
    NotInstalled { name: String },
}

/// What is new, in words.
fn difference(widening: &Widening) -> String {
    let mut words: Vec<String> = widening.capabilities.iter().map(|it| format!("`{it}`")).collect();
    if let Some((before, now)) = &widening.signer {
        let name = |signer: &Option<String>| signer.clone().unwrap_or_else(|| "nobody".to_owned());
        words.push(format!("signed by {}, not by {}", name(now), name(before)));
    }
    words.join(", ")
}

impl InstallError {
    /// Stable, for machines.
    pub fn code(&self) -> &str {
        match self {
            Self::Settings(_) => "settings",
            Self::Policy(error) => error.code(),
            Self::Untrusted(refusal) => refusal.code(),
            Self::Reference(_) => "bad_reference",
            Self::UnknownAlias { .. } => "registry_unknown",
            Self::NoDefaultRegistry { .. } => "registry_default_missing",
            Self::NoRegistries => "registries_missing",
            Self::Read { .. } | Self::Write { .. } => "file",
            Self::Docker(error) => error.code(),
            Self::Registry(error) => error.code(),
            Self::NoPackage { .. } => "package_unknown",
            Self::NoVersion { .. } => "version_unknown",
            Self::Package { source, .. } => source.code(),
            Self::Component { .. } => "package_no_component",
            Self::Store(error) => error.code(),
            Self::Lock(error) => error.code(),
            Self::TagMoved { .. } => "tag_moved",
            Self::Unpublished { .. } => "version_unpublished",
            Self::NotAsLocked { .. } => "lock_disagrees",
            Self::Downgrade { .. } => "version_downgrade",
            Self::Index(error) => error.code(),
            Self::Yanked { .. } => "version_yanked",
            Self::TooYoung { .. } => "version_too_young",
            Self::AgeUnknown { .. } => "version_age_unknown",
            Self::NotAsIndexed { .. } => "index_disagrees",
            Self::NotLocked { .. } => "not_locked",
            Self::LockOutdated { .. } => "lock_outdated",
            Self::Widened { .. } => "capabilities_widened",
            Self::SignerChanged { .. } => "signer_changed",
            Self::NotReviewed { .. } => "capabilities_not_reviewed",
            Self::Offline { .. } => "offline",
            Self::Damaged { .. } => "store_damaged",
            Self::Bundle { .. } => "bundle_malformed",
            Self::NotInstalled { .. } => "not_installed",
        }
    }

    pub fn actor(&self) -> Actor {
        match self {
            Self::Reference(_)
            | Self::UnknownAlias { .. }
            | Self::NoDefaultRegistry { .. }
            | Self::NoRegistries
            | Self::NoPackage { .. }
            | Self::NoVersion { .. }
            | Self::NotInstalled { .. } => Actor::Operator,
            Self::Settings(_)
            | Self::Policy(_)
            | Self::Lock(_)
            | Self::NotLocked { .. }
            | Self::LockOutdated { .. } => Actor::Document,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Docker(_)
            | Self::Store(_)
            | Self::Offline { .. }
            | Self::Damaged { .. }
            | Self::Registry(
                RegistryError::Folder { .. } | RegistryError::Blob { source: BlobError::Write { .. }, .. },
            ) => Actor::Environment,
            Self::Untrusted(_)
            | Self::Yanked { .. }
            | Self::TooYoung { .. }
            | Self::AgeUnknown { .. }
            | Self::NotAsIndexed { .. }
            | Self::Index(
                IndexError::Damaged { .. }
                | IndexError::Untrusted { .. }
                | IndexError::Stale { .. }
                | IndexError::RolledBack { .. },
            )
            | Self::TagMoved { .. }
            | Self::Unpublished { .. }
            | Self::NotAsLocked { .. }
            | Self::Downgrade { .. }
            | Self::Widened { .. }
            | Self::SignerChanged { .. }
            | Self::NotReviewed { .. }
            | Self::Registry(RegistryError::Blob { source: BlobError::Digest { .. }, .. }) => Actor::Judge,
            Self::Package { source, .. } => match **source {
                BadPackage::Digest { .. } | BadPackage::Claim { .. } => Actor::Judge,
                _ => Actor::Package,
            },
            Self::Component { .. } | Self::Bundle { .. } => Actor::Package,
            Self::Registry(_) | Self::Index(_) => Actor::Remote,
        }
    }

    /// The next step, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Index(error) => return error.hint().map(str::to_owned),
            Self::Yanked { .. } => "its author took it back; choose another version (who has it locked keeps it)".to_owned(),
            Self::TooYoung { .. } | Self::AgeUnknown { .. } => {
                "`minimum-release-age` of config.toml says so; an older version can be named, or the setting lowered".to_owned()
            }
            Self::NotAsIndexed { .. } => "one of the two was changed: tell who runs the registry".to_owned(),
            Self::Policy(error) => error.hint(),
            Self::Untrusted(refusal) => refusal.hint().to_owned(),
            Self::Reference(bad) => bad.hint.clone(),
            Self::UnknownAlias { suggestion: Some(similar), .. } => format!("did you mean `{similar}`?"),
            Self::UnknownAlias { alias, known, .. } if known.is_empty() => {
                format!("add it with `rapidbyte registry add {alias} registry.example/{alias}`")
            }
            Self::UnknownAlias { known, .. } => format!("there are `{}`", known.join("`, `")),
            Self::NoDefaultRegistry { name } => format!(
                "write `REGISTRY/{name}`, or name a default one: `rapidbyte registry add --default acme registry.example/acme`"
            ),
            Self::NoRegistries => "name one: `rapidbyte registry add acme registry.example/acme`".to_owned(),
            Self::Docker(DockerError::Helper { .. }) => {
                "repair or remove it in Docker's `config.json` (`credHelpers`, `credsStore`)".to_owned()
            }
            Self::Docker(DockerError::Token { host }) => {
                format!("log in with a user and a password or access token: `rapidbyte registry login {host}`")
            }
            Self::Registry(RegistryError::Unauthorized { registry, .. }) => {
                format!("log in with `rapidbyte registry login {}`", registry.trim_start_matches("oci://"))
            }
            Self::Registry(RegistryError::Blob { source: BlobError::Write { .. }, .. }) | Self::Store(StoreError::Blob(BlobError::Write { .. }))
                if self.code() == "disk_full" =>
            {
                "make room (`rapidbyte connectors gc` removes what nothing needs), then try again; nothing was installed".to_owned()
            }
            Self::Registry(RegistryError::Unreachable { .. }) => "try again later; nothing was changed".to_owned(),
            Self::Registry(RegistryError::Blob { .. }) => {
                "the registry, or somebody on the way to it, changes packages: do not use it before it is clear why".to_owned()
            }
            Self::NoVersion { available, .. } => {
                let shown: Vec<String> = available.iter().rev().take(5).map(|version| format!("`{version}`")).collect();
                match shown.is_empty() {
                    true => "it has no version at all".to_owned(),
                    false => format!("it has {}", shown.join(", ")),
                }
            }
            Self::Store(StoreError::Damaged { .. }) => {
                "remove that file; `rapidbyte connectors add` writes it again".to_owned()
            }
            Self::TagMoved { id, .. } => format!(
                "a version is published once: ask its author why it changed. If the new one is right, `rapidbyte connectors remove {id}` forgets the old one"
            ),
            Self::Unpublished { .. } => "what is installed goes on to run; find out why it was taken back".to_owned(),
            Self::NotAsLocked { .. } => {
                "the lock was edited, or the registry lies; `rapidbyte connectors update` looks at it anew".to_owned()
            }
            Self::Downgrade { name, found, .. } => format!(
                "if the older one is wanted, say so: `rapidbyte connectors add {name}@{found}`; if not, somebody hides newer versions"
            ),
            Self::NotLocked { name } => format!("lock it with `rapidbyte connectors add {name}`, and commit `rapidbyte.lock`"),
            Self::LockOutdated { name, wanted, .. } => {
                format!("bring the lock up to date: `rapidbyte connectors update '{name}@{wanted}'`")
            }
            Self::Widened { .. } | Self::SignerChanged { .. } => {
                "if that is what you want, say `--allow-widening`".to_owned()
            }
            Self::NotReviewed { line, .. } => format!("look at it and say yes: `{line}`"),
            Self::Offline { .. } => {
                "fetch it where there is a network; `rapidbyte connectors bundle` takes packages elsewhere".to_owned()
            }
            Self::Damaged { id } => {
                format!("what is damaged was removed; `rapidbyte connectors add {id}` fetches it again")
            }
            Self::Bundle { .. } => "make one with `rapidbyte connectors bundle`".to_owned(),
            Self::NotInstalled { .. } => "`rapidbyte connectors list` shows what is".to_owned(),
            _ => return None,
        })
    }
}
