//! `rapidbyte connector publish`, in the steps that the conformance suite comes between: what can be refused at once, the build,
//! everything that is to be pushed, the push.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use rapidbyte_install::Place;
use rapidbyte_packages::package::ComponentFacts;
use rapidbyte_packages::reference::RegistryRef;
use rapidbyte_pipeline::Manifest;
use rapidbyte_publish::provenance::Build;
use rapidbyte_publish::publication::Unpublishable;
use rapidbyte_publish::push::{self, must_be_new};
use rapidbyte_publish::sbom::Bill;
use rapidbyte_publish::{Native, Parts, Publication, PushError, Pushed, Step};
use rapidbyte_signing::PrivateKey;
use rapidbyte_wasm::{NativeTarget, component};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::connector::build::{self, BuildProgress};
use crate::connector::load;
use crate::connector::scripted::Language;
use crate::error::HostError;
use crate::publishing::git::{self, Tree};
use crate::publishing::materials::{self, Materials};
use crate::settings::Host;

/// What is to be published, and where.
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// A project's folder, or a component.
    pub path: PathBuf,
    pub registry: RegistryRef,
    /// Platforms to compile for.
    pub targets: Vec<NativeTarget>,
    /// Whether sources may differ from what is committed.
    pub allow_dirty: bool,
}

/// Why a version is not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("`{}` differs from what is committed: {}", folder.display(), listed(changes, *more))]
    Dirty { folder: PathBuf, changes: Vec<String>, more: usize },
    #[error(transparent)]
    Unpublishable(#[from] Unpublishable),
    #[error(transparent)]
    Push(#[from] PushError),
}

fn listed(changes: &[String], more: usize) -> String {
    let names: Vec<String> = changes.iter().map(|name| format!("`{name}`")).collect();
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

impl PublishError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            PublishError::Dirty { .. } => "publish_dirty",
            PublishError::Unpublishable(error) => error.code(),
            PublishError::Push(error) => error.code(),
        }
    }

    /// The next step.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            PublishError::Dirty { .. } => {
                "commit it, or say `--allow-dirty`; then the package names no commit that it is of".to_owned()
            }
            PublishError::Push(PushError::VersionExists { same: Some(true), .. }) => {
                "there is nothing left to do".to_owned()
            }
            PublishError::Push(PushError::VersionExists { .. }) => {
                "a version that is published never changes: raise `version` in `rapidbyte-plugin.yaml`"
                    .to_owned()
            }
            PublishError::Push(PushError::Registry(error)) if error.is_transient() => {
                "publish again: what is there is not sent twice, and nothing is visible under the version yet"
                    .to_owned()
            }
            PublishError::Unpublishable(Unpublishable::Changed { .. }) => {
                "something has changed its sources meanwhile: publish again".to_owned()
            }
            _ => return None,
        })
    }
}

/// A version that may be published as far as is known before it is built.
pub struct Publishing {
    pub manifest: Manifest,
    place: Place,
    /// In the registry.
    pub repository: String,
    tree: Tree,
    materials: Materials,
    options: PublishOptions,
}

impl Publishing {
    /// Where it goes, as people write it.
    pub fn registry(&self) -> &str {
        &self.place.source
    }

    /// What the older form of signatures calls the place.
    fn reference(&self) -> String {
        match self.place.source.strip_prefix("oci://") {
            Some(server) => format!("{}/{}", server.split('/').next().unwrap_or(server), self.repository),
            None => self.repository.clone(),
        }
    }

    /// Whether the package will say which commit it is of.
    pub fn names_source(&self) -> bool {
        matches!(self.tree, Tree::Clean(_))
    }
}

/// A built version.
pub struct Made {
    /// The component with its manifest inside.
    pub component: PathBuf,
    pub bytes: Bytes,
    /// SHA-256 in hexadecimal.
    pub digest: String,
    facts: ComponentFacts,
    native: Vec<Native>,
    /// What manifest and code say differently without being wrong.
    pub warnings: Vec<String>,
}

impl Host {
    /// Refuses what can be refused before anything is built: uncommitted changes, a version that exists, a registry that cannot
    /// be reached.
    pub async fn begin_publishing(&self, options: PublishOptions) -> Result<Publishing, HostError> {
        let (manifest, materials) = described(&options.path)?;
        let tree = match options.path.is_dir() {
            true => {
                let folders: Vec<&Path> = materials.folders.iter().map(PathBuf::as_path).collect();
                git::tree(&options.path, &folders)
            }
            // Of a component nobody knows what it was built of.
            false => Tree::Unknown,
        };
        if let (Tree::Dirty { changes, more }, false) = (&tree, options.allow_dirty) {
            let (folder, changes) = (options.path.clone(), changes.clone());
            return Err(PublishError::Dirty { folder, changes, more: *more }.into());
        }
        let place = self.installer()?.registries.connect(&options.registry).await?;
        let repository = place.repository(&manifest.name);
        let version = manifest.version.to_string();
        must_be_new(place.registry.as_ref(), &repository, &manifest.name, &version, None)
            .await
            .map_err(PublishError::Push)?;
        Ok(Publishing { manifest, place, repository, tree, materials, options })
    }

    /// Builds it, and its code for the platforms that are asked for. Blocks.
    pub fn build_for_publishing(
        &self,
        publishing: &Publishing,
        progress: &mut dyn BuildProgress,
    ) -> Result<Made, HostError> {
        let options = &publishing.options;
        let (component, warnings) = match options.path.is_dir() {
            true => {
                let built = build::build(&options.path, false, progress)?;
                (built.component, built.warnings)
            }
            false => {
                let path = options.path.clone();
                if let Some(what) = self.disagreement(&publishing.manifest, &path)? {
                    return Err(HostError::Disagree { manifest: path, what });
                }
                (path, Vec::new())
            }
        };
        let bytes = std::fs::read(&component)
            .map_err(|source| HostError::Read { path: component.clone(), source })?;
        let broken = |error| HostError::Component { path: component.clone(), error };
        let inspection = component::inspect(&bytes).map_err(broken)?;
        let facts = ComponentFacts {
            imports: inspection.imports,
            exports: inspection.exports,
            manifest_json: inspection
                .manifest_json
                .ok_or_else(|| HostError::NotDescribed { path: component.clone() })?,
        };
        let mut targets = options.targets.clone();
        targets.sort();
        targets.dedup();
        let mut native = Vec::with_capacity(targets.len());
        for target in targets {
            let code = self.engine()?.compile_for(&component, target).map_err(broken)?;
            native.push(Native {
                target: target.triple().to_owned(),
                engine: code.engine,
                code: Bytes::from(code.bytes),
            });
        }
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Made { component, bytes: Bytes::from(bytes), digest, facts, native, warnings })
    }

    /// Everything that is to be pushed. `certificate` is the suite's statement about this very component.
    pub fn publication(
        &self,
        publishing: &Publishing,
        made: &Made,
        certificate: &Value,
        key: Option<&PrivateKey>,
    ) -> Result<Publication, HostError> {
        let certified = certificate.pointer("/subject/0/digest/sha256").and_then(Value::as_str);
        if certified != Some(&made.digest) {
            let certified = certified.unwrap_or_default().to_owned();
            let changed = Unpublishable::Changed { certified, built: made.digest.clone() };
            return Err(PublishError::Unpublishable(changed).into());
        }
        let folder = publishing.options.path.is_dir().then_some(publishing.options.path.as_path());
        let source = match &publishing.tree {
            Tree::Clean(source) => Some(source.clone()),
            Tree::Dirty { .. } | Tree::Unknown => None,
        };
        let language = folder.map(|folder| match Language::of(folder) {
            None => "rust",
            Some(Language::Python) => "python",
            Some(Language::JavaScript) => "javascript",
        });
        let build = Build {
            source,
            language,
            tools: if language == Some("rust") { compiler() } else { Vec::new() },
            targets: made.native.iter().map(|native| native.target.clone()).collect(),
        };
        let parts = Parts {
            component: made.bytes.clone(),
            facts: made.facts.clone(),
            native: made.native.clone(),
            bill: publishing.materials.bill.clone(),
            build,
            certificate: certificate.get("predicate").cloned(),
        };
        Ok(Publication::new(parts, &publishing.reference(), key).map_err(PublishError::Unpublishable)?)
    }

    /// Pushes it, its version tag last.
    pub async fn push_publication(
        &self,
        publishing: &Publishing,
        publication: &Publication,
        observe: &mut (dyn FnMut(Step<'_>) + Send),
    ) -> Result<Pushed, HostError> {
        let (registry, repository) = (publishing.place.registry.as_ref(), &publishing.repository);
        let pushed = push::push(registry, repository, publication, observe).await;
        Ok(pushed.map_err(PublishError::Push)?)
    }
}

/// What a project or a component says of itself, and what is known of what it is made of.
fn described(path: &Path) -> Result<(Manifest, Materials), HostError> {
    if !path.is_dir() {
        return Ok((load::read_manifest(path)?, Materials { bill: Bill::default(), folders: Vec::new() }));
    }
    let manifest = build::read_manifest(path)?;
    let materials = match Language::of(path) {
        None => materials::of_crate(path)?,
        Some(_) => materials::of_scripts(path),
    };
    Ok((manifest, materials))
}

/// The compiler's own words about its version.
fn compiler() -> Vec<(String, String)> {
    let output = Command::new("rustc").arg("--version").output().ok();
    let said = output.filter(|output| output.status.success());
    let version = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    version.into_iter().map(|version| ("rustc".to_owned(), version)).collect()
}
