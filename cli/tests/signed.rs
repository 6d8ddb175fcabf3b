//! Signed packages on the operator's side: what the settings trust is installed and run, and nothing else; what was agreed to is signed
//! by the same from then on; signatures travel with packages to where there is no network.

mod support;

use std::path::Path;

use bytes::Bytes;
use rapidbyte_host::wasm::component as wasm;
use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::oci::{Descriptor, EMPTY_BLOB, EMPTY_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Manifest};
use rapidbyte_packages::package::ComponentFacts;
use rapidbyte_packages::registry::Registry;
use rapidbyte_publish::provenance::Build;
use rapidbyte_publish::push::push;
use rapidbyte_publish::sbom::Bill;
use rapidbyte_publish::{Parts, Publication};
use rapidbyte_signing::bundle::{self, Statement};
use rapidbyte_signing::{PrivateKey, PublicKey};
use registry_fixtures::Authority;
use serde_json::{Value, json};
use support::registry::{component, version};
use support::{Outcome, Project};

/// Publishes a version, signed by this key and certified, or by nobody.
fn publish(folder: &Path, number: &str, key: Option<&PrivateKey>) {
    let component = version(&component("source-file"), number);
    let inspection = wasm::inspect(&component).unwrap();
    let facts = ComponentFacts {
        imports: inspection.imports,
        exports: inspection.exports,
        manifest_json: inspection.manifest_json.unwrap(),
    };
    let certificate =
        json!({ "result": "PASSED", "configuration": [{ "annotations": { "partial": false } }] });
    let parts = Parts {
        component: Bytes::from(component),
        facts,
        native: vec![],
        bill: Bill::default(),
        build: Build::default(),
        certificate: Some(certificate),
    };
    let publication = Publication::new(parts, "source-file", key).unwrap();
    let registry = FolderRegistry::new(folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(push(&registry, "source-file", &publication, &mut |_| {})).unwrap();
}

/// Trusts these keys for what comes from `folder`, and nobody else for anything.
fn trust(project: &Project, folder: &Path, keys: &[&PublicKey]) {
    let path = project.home().join(".rapidbyte/config.toml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pems: Vec<String> = keys.iter().map(|key| format!("\"\"\"\n{}\"\"\"", key.to_pem())).collect();
    let folder = folder.display();
    let settings = format!(
        "default-registry = \"local\"\n[registries.local]\nurl = \"dir:{folder}\"\n[trust]\nlevel = \"require\"\n\
         [[trust.rule]]\nregistry = \"local\"\nkeys = [{}]\n",
        pems.join(", ")
    );
    std::fs::write(path, settings).unwrap();
}

fn connectors<'a>(project: &Project, arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
    project.rapidbyte(["connectors"].into_iter().chain(arguments).chain(["--format", "json"])).run()
}

#[track_caller]
fn refused(outcome: Outcome, expected: &str) -> Outcome {
    let outcome = outcome.expect(9);
    let json: Value = serde_json::from_str(&outcome.json()).unwrap();
    assert_eq!(json["error"]["code"], expected, "{}", outcome.text());
    outcome
}

fn lock(project: &Project) -> String {
    std::fs::read_to_string(project.path("rapidbyte.lock")).unwrap_or_default()
}

#[test]
fn what_is_signed_by_whom_is_locked_and_stays_so() {
    let (acme, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let project = Project::new();
    let folder = project.path("registry");
    project.write("registry/.keep", "");
    publish(&folder, "1.0.0", Some(&acme));
    trust(&project, &folder, &[]);
    refused(connectors(&project, ["add", "source-file", "--yes"]), "trust_nobody");
    trust(&project, &folder, &[&other.public()]);
    refused(connectors(&project, ["add", "source-file", "--yes"]), "trust_wrong_key");
    assert_eq!(lock(&project), "");
    trust(&project, &folder, &[&acme.public()]);
    connectors(&project, ["add", "source-file", "--yes", "--require-conformance"]).expect(0);
    let fingerprint = acme.public().fingerprint();
    assert!(lock(&project).contains(&format!("signer = \"key {fingerprint}\"")), "{}", lock(&project));
    let shown = project
        .rapidbyte(["connectors", "verify", "source-file"])
        .filter(r"SHA256:[A-Za-z0-9+/]{43}", "[FINGERPRINT]")
        .run();
    assert_outcome!("connectors_verify_signed", shown.expect(0));

    // Somebody else, who is trusted, too.
    publish(&folder, "1.1.0", Some(&other));
    trust(&project, &folder, &[&acme.public(), &other.public()]);
    refused(connectors(&project, ["update", "--all", "--yes"]), "signer_changed");
    assert!(lock(&project).contains("version = \"1.0.0\""));
    connectors(&project, ["update", "--all", "--yes", "--allow-widening"]).expect(0);
    assert!(lock(&project).contains(&other.public().fingerprint()));
    // Nobody at all.
    publish(&folder, "1.2.0", None);
    refused(connectors(&project, ["update", "--all", "--yes", "--allow-widening"]), "trust_unsigned");

    // A key that is trusted no more takes what it has signed with it, also what is installed.
    trust(&project, &folder, &[&acme.public()]);
    refused(connectors(&project, ["add", "--locked", "--offline"]), "trust_signer_not_trusted");
    refused(connectors(&project, ["add", "--locked"]), "trust_wrong_key");
    refused(connectors(&project, ["verify", "source-file", "--offline"]), "trust_signer_not_trusted");
}

/// Signs the newest of a folder's packages by an identity, as a robot without a key does.
fn sign_by(authority: &Authority, folder: &Path, number: &str) {
    let registry = FolderRegistry::new(folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let package = registry.resolve("source-file", number).await.unwrap().unwrap();
        let statement = Statement::new(&package.digest, bundle::SIGN_PREDICATE, json!({}));
        let signed = authority.sign(ISSUER, ROBOT, &serde_json::to_vec(&statement).unwrap()).unwrap();
        let layer = Descriptor::of(bundle::MEDIA_TYPE, &signed);
        let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
        registry.put_blob("source-file", &layer, &signed).await.unwrap();
        registry.put_blob("source-file", &config, EMPTY_BLOB).await.unwrap();
        let mut manifest = Manifest::new(bundle::MEDIA_TYPE, config, vec![layer]);
        manifest.subject = Some(package);
        registry.put_manifest("source-file", None, MANIFEST_MEDIA_TYPE, &manifest.bytes()).await.unwrap();
    });
}

const ISSUER: &str = "https://token.ci.example";
const ROBOT: &str = "https://git.example/acme/source-file/release.yml@refs/heads/main";

#[test]
fn whoever_signs_without_a_key_is_pinned_by_name_and_issuer() {
    let authority = Authority::new().unwrap();
    let project = Project::new();
    let folder = project.path("registry");
    project.write("registry/.keep", "");
    publish(&folder, "1.0.0", None);
    sign_by(&authority, &folder, "1.0.0");
    let trust = |issuer: &str, subject: &str, root: &str| {
        let home = project.home().join(".rapidbyte");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("root.json"), root).unwrap();
        let settings = format!(
            "default-registry = \"local\"\n[registries.local]\nurl = \"dir:{}\"\n[trust]\nlevel = \"require\"\n\
             trusted-root = \"root.json\"\n[[trust.rule]]\nregistry = \"local\"\n\
             identities = [{{ issuer = \"{issuer}\", subject = \"{subject}\" }}]\n",
            folder.display()
        );
        std::fs::write(home.join("config.toml"), settings).unwrap();
    };
    let root = authority.trusted_root();
    trust(ISSUER, "https://git.example/mallory/release.yml@refs/heads/main", &root);
    refused(connectors(&project, ["add", "source-file", "--yes"]), "trust_wrong_identity");
    trust("https://login.example", ROBOT, &root);
    refused(connectors(&project, ["add", "source-file", "--yes"]), "trust_wrong_identity");
    trust(ISSUER, ROBOT, &Authority::new().unwrap().trusted_root());
    refused(connectors(&project, ["add", "source-file", "--yes"]), "trust_unproven");
    assert_eq!(lock(&project), "");
    trust(ISSUER, ROBOT, &root);
    connectors(&project, ["add", "source-file", "--yes"]).expect(0);
    assert!(
        lock(&project).contains(&format!("signer = \"identity {ROBOT} ({ISSUER})\"")),
        "{}",
        lock(&project)
    );
    connectors(&project, ["verify", "source-file", "--offline"]).expect(0);
}

#[test]
fn what_was_installed_unasked_is_judged_again_when_somebody_asks() {
    let acme = PrivateKey::generate().unwrap();
    let project = Project::new();
    let folder = project.path("registry");
    project.write("registry/.keep", "");
    publish(&folder, "1.0.0", Some(&acme));
    let path = project.home().join(".rapidbyte/config.toml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let off = format!(
        "default-registry = \"local\"\n[registries.local]\nurl = \"dir:{}\"\n[trust]\nlevel = \"off\"\n",
        folder.display()
    );
    std::fs::write(path, off).unwrap();
    connectors(&project, ["add", "source-file", "--yes"]).expect(0);
    assert!(!lock(&project).contains("signer"));
    trust(&project, &folder, &[&acme.public()]);
    refused(connectors(&project, ["add", "--locked", "--offline"]), "trust_installed_unsigned");
    // Its registry knows who signed it.
    connectors(&project, ["add", "source-file"]).expect(0);
    assert!(lock(&project).contains(&acme.public().fingerprint()));
    connectors(&project, ["add", "--locked", "--offline"]).expect(0);
}

#[test]
fn signatures_travel_in_bundles() {
    let (acme, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let project = Project::new();
    let folder = project.path("registry");
    project.write("registry/.keep", "");
    publish(&folder, "1.0.0", Some(&acme));
    trust(&project, &folder, &[&acme.public()]);
    connectors(&project, ["add", "source-file", "--yes"]).expect(0);
    connectors(&project, ["bundle", "--output", "connectors.tar"]).expect(0);
    let bundle = std::fs::read(project.path("connectors.tar")).unwrap();

    let far = Project::new();
    far.write("connectors.tar", &bundle);
    trust(&far, &folder, &[&other.public()]);
    refused(connectors(&far, ["add", "connectors.tar", "--yes"]), "trust_wrong_key");
    trust(&far, &folder, &[&acme.public()]);
    connectors(&far, ["add", "connectors.tar", "--yes", "--require-conformance"]).expect(0);
    assert!(lock(&far).contains(&acme.public().fingerprint()));
    connectors(&far, ["verify", "source-file", "--offline"]).expect(0);
}
