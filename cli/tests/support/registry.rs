//! Packages for the tests of the package manager: real components, published under versions and with capabilities of the
//! test's choosing, to registries of every kind.

use std::path::Path;

use rapidbyte_host::wasm::component;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::index::{self, PackageIndex};
use rapidbyte_packages::oci::{Descriptor, EMPTY_BLOB, EMPTY_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Manifest};
use rapidbyte_packages::package::{ComponentFacts, Packed, pack};
use rapidbyte_packages::registry::{Registry, Tag};
use rapidbyte_registry::{Credentials, ServerOptions, ServerRegistry};
use serde_json::Value;

use super::components;

/// A first-party connector's component.
pub fn component(name: &str) -> Vec<u8> {
    let path = components().join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The same component with another manifest in it.
pub fn with_manifest(component: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let section = component::manifest_section(component).expect("a component").expect("a manifest in it");
    let json = component::inspect(component).expect("a connector").manifest_json.expect("a manifest in it");
    let mut manifest: Value = serde_json::from_str(&json).expect("JSON");
    edit(&mut manifest);
    let mut bare = component.to_vec();
    bare.drain(section);
    rapidbyte_host::connector::section::with_manifest(&bare, &manifest.to_string())
}

/// The same component under another version.
pub fn version(component: &[u8], version: &str) -> Vec<u8> {
    with_manifest(component, |manifest| manifest["version"] = version.into())
}

/// A package of a component.
pub fn packed(component: &[u8]) -> Packed {
    let inspection = component::inspect(component).expect("a connector");
    let facts = ComponentFacts {
        imports: inspection.imports,
        exports: inspection.exports,
        manifest_json: inspection.manifest_json.expect("a manifest in it"),
    };
    pack(component, &facts).expect("a package")
}

/// What a package is called, from its manifest.
fn name_and_version(packed: &Packed) -> (String, String) {
    let manifest = Manifest::read(&packed.manifest).expect("a manifest");
    let annotation = |key: &str| manifest.annotations[key].clone();
    (annotation("org.opencontainers.image.title"), annotation("org.opencontainers.image.version"))
}

/// Publishes a package; over what is there, if it `moves`.
pub fn push(registry: &dyn Registry, namespace: &str, component: &[u8], packed: &Packed, moves: bool) {
    let (name, version) = name_and_version(packed);
    let repository = if namespace.is_empty() { name } else { format!("{namespace}/{name}") };
    block_on(async {
        registry.put_blob(&repository, &packed.layer, component).await.expect("the component");
        registry.put_blob(&repository, &packed.config_descriptor, &packed.config).await.expect("the config");
        let tag = Some(Tag { name: &version, moves });
        registry
            .put_manifest(&repository, tag, MANIFEST_MEDIA_TYPE, &packed.manifest)
            .await
            .expect("the manifest");
    });
}

/// Publishes a component to a folder.
pub fn publish(folder: &Path, component: &[u8]) -> Packed {
    let packed = packed(component);
    push(&FolderRegistry::new(folder), "", component, &packed, false);
    packed
}

/// Publishes another component under a version that is there.
pub fn move_tag(folder: &Path, component: &[u8]) {
    push(&FolderRegistry::new(folder), "", component, &packed(component), true);
}

/// Publishes a component to a server.
pub fn publish_to(host: &str, login: Option<(&str, &str)>, namespace: &str, component: &[u8]) -> Packed {
    let credentials = login.map(|(user, password)| Credentials::new(user, password));
    let options = ServerOptions { credentials, ..ServerOptions::default() };
    let packed = packed(component);
    push(&ServerRegistry::new(host, &options).expect("a client"), namespace, component, &packed, false);
    packed
}

/// What a version in a folder is.
pub fn digest_of(folder: &Path, name: &str, version: &str) -> Digest {
    let found = block_on(FolderRegistry::new(folder).resolve(name, version)).expect("the folder");
    found.unwrap_or_else(|| panic!("no {name}@{version}")).digest
}

/// Publishes the index of a folder, over the one that is there; nobody signs it.
pub fn publish_index(folder: &Path, index: &PackageIndex) {
    let bytes = index.bytes();
    let layer = Descriptor::of(index::ARTIFACT_TYPE, &bytes);
    let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
    let manifest = Manifest::new(index::ARTIFACT_TYPE, config.clone(), vec![layer.clone()]);
    let (registry, repository) = (FolderRegistry::new(folder), index::repository(""));
    block_on(async {
        registry.put_blob(&repository, &config, EMPTY_BLOB).await.expect("the config");
        registry.put_blob(&repository, &layer, &bytes).await.expect("the index");
        let tag = Some(Tag { name: index::TAG, moves: true });
        let bytes = manifest.bytes();
        registry.put_manifest(&repository, tag, MANIFEST_MEDIA_TYPE, &bytes).await.expect("the manifest");
    });
}

fn block_on<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}
