//! The operator's side of packages: from what a pipeline or a person names to a component on this machine that somebody has
//! looked at.
//!
//! - [`settings`]: `config.toml`, with its registries.
//! - [`docker`]: credentials, where Docker and its friends keep them.
//! - [`registries`]: from an alias to something that answers.
//! - [`trust`]: the judgement of each package, by the room that decides it.
//! - [`index`]: what a registry's index says: withdrawn versions, ages, what there is.
//! - [`resolve`]: which version, by ranges and by the lock; what it may reach, before its layer is downloaded.
//! - [`review`]: what somebody has to say yes to, and what nobody's yes covers.
//! - [`fetch`]: side by side into the store, digest by digest.
//! - [`plan`]: all of that together, for a command or a pipeline.
//! - [`bundle`]: packages in one file, for machines without a network.
//! - [`manage`]: what is installed: listing, verifying, auditing, removing.
//! - [`login`]: credentials, checked before they are kept.
//! - [`project`]: which lock a folder goes by, and changing it while others do.
//!
//! Refuses to know: how a component is run (what is in one it is told through [`Inspect`]), terminals, the environment.

pub mod bundle;
pub mod docker;
pub mod error;
pub mod fetch;
pub mod index;
pub mod limits;
pub mod login;
pub mod manage;
pub mod plan;
pub mod project;
pub mod registries;
pub mod resolve;
pub mod review;
pub mod settings;
pub mod trust;

use std::path::PathBuf;
use std::sync::Arc;

use rapidbyte_packages::package::ComponentFacts;
use rapidbyte_packages::store::Store;
use rapidbyte_trust::Policy;

pub use bundle::{Bundle, Bundled};
pub use docker::DockerConfig;
pub use error::InstallError;
pub use fetch::Progress;
use index::Indexes;
pub use index::{Found, Searched};
pub use plan::{AddOptions, Approved, Plan};
pub use project::Project;
pub use registries::{Place, Registries};
pub use resolve::{Candidate, Resolution};
pub use settings::{GlobalSettings, RegistrySettings};

/// Looks into components.
pub trait Inspect: Send + Sync {
    /// What a component imports and exports, and the manifest in it; or why it is no connector.
    fn facts(&self, component: &[u8]) -> Result<ComponentFacts, String>;
}

/// Installs packages. Cheap to clone.
#[derive(Clone)]
pub struct Installer {
    pub registries: Arc<Registries>,
    pub store: Store,
    policy: Arc<Policy>,
    indexes: Arc<Indexes>,
    /// Whether everything must be certified, also what is here already.
    certifying: bool,
    inspect: Arc<dyn Inspect>,
}

impl Installer {
    /// With the trust that the settings of `registries` say. `indexes` is a folder for what was seen of registries' indexes.
    pub fn new(
        registries: Registries,
        store: Store,
        indexes: PathBuf,
        inspect: Arc<dyn Inspect>,
    ) -> Result<Self, InstallError> {
        let policy = Arc::new(registries.settings().policy()?);
        Ok(Installer {
            registries: Arc::new(registries),
            store,
            policy,
            indexes: Arc::new(Indexes::new(indexes)),
            certifying: false,
            inspect,
        })
    }

    /// One that asks for a certificate of conformance of everything, also of what is here already.
    #[must_use]
    pub fn requiring_conformance(mut self) -> Self {
        Arc::make_mut(&mut self.policy).require_conformance();
        self.certifying = true;
        self
    }
}
