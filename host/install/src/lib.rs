//! The operator's side of packages: from what a pipeline or a person names to a component on this machine that somebody has
//! looked at.
//!
//! - [`settings`]: `config.toml`, with its registries.
//! - [`docker`]: credentials, where Docker and its friends keep them.
//! - [`registries`]: from an alias to something that answers.
//! - [`resolve`]: which version, by ranges and by the lock; what it may reach, before its layer is downloaded.
//! - [`review`]: what somebody has to say yes to, and what nobody's yes covers.
//! - [`fetch`]: side by side into the store, digest by digest.
//! - [`plan`]: all of that together, for a command or a pipeline.
//! - [`project`]: which lock a folder goes by, and changing it while others do.
//!
//! Refuses to know: how a component is run (what is in one it is told through [`Inspect`]), terminals, the environment.

pub mod docker;
pub mod error;
pub mod fetch;
pub mod limits;
pub mod plan;
pub mod project;
pub mod registries;
pub mod resolve;
pub mod review;
pub mod settings;

use std::sync::Arc;

use rapidbyte_packages::package::ComponentFacts;
use rapidbyte_packages::store::Store;

pub use docker::DockerConfig;
pub use error::InstallError;
pub use fetch::Progress;
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
    inspect: Arc<dyn Inspect>,
}

impl Installer {
    pub fn new(registries: Registries, store: Store, inspect: Arc<dyn Inspect>) -> Self {
        Installer { registries: Arc::new(registries), store, inspect }
    }
}
