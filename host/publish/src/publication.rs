//! Everything that one version of a package consists of in a registry: the package itself, and what refers to it. Made in memory
//! before anything is sent, so that it can be looked at.

use bytes::Bytes;
use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::native;
use rapidbyte_packages::oci::{
    CREATED, Descriptor, EMPTY_BLOB, EMPTY_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Manifest, TITLE,
};
use rapidbyte_packages::package::{BadPackage, ComponentFacts, Packed, pack};
use rapidbyte_signing::bundle::{self, Statement};
use rapidbyte_signing::simple::{self, Signed};
use rapidbyte_signing::{KeyError, PrivateKey, PublicKey};
use rapidbyte_trust::judge::CERTIFICATE_PREDICATE;
use serde_json::{Value, json};

use crate::provenance::{self, Build};
use crate::sbom::{self, Bill};

/// A statement that nobody has signed.
pub const STATEMENT_MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// As cosign names the predicate of a bundle.
const BUNDLE_PREDICATE: &str = "dev.sigstore.bundle.predicateType";
const BUNDLE_CONTENT: &str = "dev.sigstore.bundle.content";
/// No time of day: the same content makes the same manifest.
const CREATED_NEVER: &str = "1970-01-01T00:00:00Z";

/// Code for one platform.
#[derive(Debug, Clone)]
pub struct Native {
    pub target: String,
    pub engine: String,
    pub code: Bytes,
}

/// What a version is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    pub component: Bytes,
    pub facts: ComponentFacts,
    pub native: Vec<Native>,
    pub bill: Bill,
    pub build: Build,
    /// The predicate of the conformance suite's certificate.
    pub certificate: Option<Value>,
}

/// A blob with what it is.
#[derive(Debug, Clone)]
pub struct Blob {
    pub descriptor: Descriptor,
    pub bytes: Bytes,
}

/// One manifest with its blobs.
#[derive(Debug, Clone)]
pub struct Item {
    /// In words: `package`, `bill of materials`.
    pub what: String,
    pub manifest: Bytes,
    pub descriptor: Descriptor,
    pub blobs: Vec<Blob>,
    /// What a key has said here, and about what: once is enough.
    pub statement: Option<(String, Digest)>,
}

/// A version of a package, ready to be pushed.
#[derive(Debug, Clone)]
pub struct Publication {
    pub name: String,
    pub version: String,
    pub package: Item,
    /// What refers to the package.
    pub referrers: Vec<Item>,
    pub signature: Option<OlderSignature>,
}

/// The signature in the older of cosign's forms, which joins those of others under one tag.
#[derive(Debug, Clone)]
pub struct OlderSignature {
    pub by: PublicKey,
    pub signed: Signed,
}

/// Why nothing can be published.
#[derive(Debug, thiserror::Error)]
pub enum Unpublishable {
    #[error("the component makes no package: {0}")]
    Package(#[from] BadPackage),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the certificate is of the component `{certified}`, and `{built}` was built")]
    Changed { certified: String, built: String },
}

impl Unpublishable {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Unpublishable::Package(error) => error.code(),
            Unpublishable::Key(error) => error.code(),
            Unpublishable::Changed { .. } => "publish_component_changed",
        }
    }
}

impl Publication {
    /// Packs and, with a key, signs. `reference` is what the older form of signatures calls the place:
    /// `registry.example/acme/source-a`.
    pub fn new(parts: Parts, reference: &str, key: Option<&PrivateKey>) -> Result<Self, Unpublishable> {
        let packed = pack(&parts.component, &parts.facts)?;
        let id = Identity::of(&packed)?;
        let component = packed.layer.digest;
        let package = package(&packed, parts.component.clone());
        let bill = Bytes::from(sbom::document(&id.name, &id.version, &id.license, &parts.bill));
        let bill_digest = Digest::of(&bill);
        let subject = &package.descriptor;
        let mut referrers = Vec::new();
        let title = format!("{}.cdx.json", id.name);
        referrers.push(referrer("bill of materials", sbom::MEDIA_TYPE, subject, bill, &[(TITLE, &title)]));

        let mut say = |what: &str, about: &Digest, kind: &str, predicate: Value| -> Result<(), KeyError> {
            let statement = Statement::new(about, kind, predicate);
            referrers.push(said(what, &statement, about, subject, key)?);
            Ok(())
        };
        let full_name = format!("{}@{}", id.name, id.version);
        let predicate = provenance::predicate(&full_name, &component, &bill_digest, &parts.build);
        say("provenance", &packed.digest, provenance::PREDICATE_TYPE, predicate)?;
        if let Some(certificate) = parts.certificate {
            say("certificate", &component, CERTIFICATE_PREDICATE, certificate)?;
        }
        for native in &parts.native {
            if key.is_some() {
                let predicate = json!({
                    "component": { "sha256": component.hex() },
                    "target": native.target,
                    "engine": native.engine,
                });
                let what = format!("signature of the code for {}", native.target);
                say(&what, &Digest::of(&native.code), native::PREDICATE_TYPE, predicate)?;
            }
        }
        if key.is_some() {
            say("signature", &packed.digest, bundle::SIGN_PREDICATE, json!({}))?;
        }
        for native in parts.native {
            let what = format!("code for {}", native.target);
            let title = format!("{}.{}.cwasm", id.name, native.target);
            let annotations = [
                (native::TARGET, native.target.as_str()),
                (native::ENGINE, native.engine.as_str()),
                (TITLE, title.as_str()),
            ];
            let kinds = (native::ARTIFACT_TYPE, native::LAYER_MEDIA_TYPE);
            referrers.push(referrer_of(&what, kinds, subject, native.code, &annotations));
        }
        let sign = |key: &PrivateKey| -> Result<OlderSignature, KeyError> {
            Ok(OlderSignature { by: key.public(), signed: simple::sign(key, reference, &packed.digest)? })
        };
        let signature = key.map(sign).transpose()?;
        Ok(Publication { name: id.name, version: id.version, package, referrers, signature })
    }

    /// The package's digest.
    pub fn digest(&self) -> Digest {
        self.package.descriptor.digest
    }

    /// Everything, in the order in which it is pushed; the version tag comes after it.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        std::iter::once(&self.package).chain(&self.referrers)
    }
}

/// What a package is called, from the bytes that say so.
struct Identity {
    name: String,
    version: String,
    license: String,
}

impl Identity {
    fn of(packed: &Packed) -> Result<Self, BadPackage> {
        use rapidbyte_packages::oci::{LICENSES, VERSION};
        let mut annotations = Manifest::read(&packed.manifest)?.annotations;
        let mut take = |key: &str| annotations.remove(key).unwrap_or_default();
        Ok(Identity { name: take(TITLE), version: take(VERSION), license: take(LICENSES) })
    }
}

fn package(packed: &Packed, component: Bytes) -> Item {
    Item {
        what: "package".to_owned(),
        descriptor: Descriptor::of(MANIFEST_MEDIA_TYPE, &packed.manifest),
        manifest: Bytes::from(packed.manifest.clone()),
        blobs: vec![
            Blob { descriptor: packed.config_descriptor.clone(), bytes: Bytes::from(packed.config.clone()) },
            Blob { descriptor: packed.layer.clone(), bytes: component },
        ],
        statement: None,
    }
}

/// A statement, signed where there is a key.
pub(crate) fn said(
    what: &str,
    statement: &Statement,
    about: &Digest,
    subject: &Descriptor,
    key: Option<&PrivateKey>,
) -> Result<Item, KeyError> {
    let kind = statement.predicate_type.clone();
    let Some(key) = key else {
        // A tree of texts and numbers always serialises.
        let bytes = Bytes::from(serde_json::to_vec(statement).unwrap_or_default());
        let annotations = [("in-toto.io/predicate-type", kind.as_str())];
        return Ok(referrer(what, STATEMENT_MEDIA_TYPE, subject, bytes, &annotations));
    };
    let bytes = Bytes::from(bundle::sign(key, statement)?);
    let annotations = [(BUNDLE_CONTENT, "dsse-envelope"), (BUNDLE_PREDICATE, kind.as_str())];
    let item = referrer(what, bundle::MEDIA_TYPE, subject, bytes, &annotations);
    Ok(Item { statement: Some((kind, *about)), ..item })
}

fn referrer(
    what: &str,
    kind: &str,
    subject: &Descriptor,
    content: Bytes,
    annotations: &[(&str, &str)],
) -> Item {
    referrer_of(what, (kind, kind), subject, content, annotations)
}

fn referrer_of(
    what: &str,
    (kind, layer_kind): (&str, &str),
    subject: &Descriptor,
    content: Bytes,
    annotations: &[(&str, &str)],
) -> Item {
    let mut layer = Descriptor::of(layer_kind, &content);
    let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
    for (key, value) in annotations.iter().filter(|(key, _)| *key == TITLE) {
        layer.annotations.insert((*key).to_owned(), (*value).to_owned());
    }
    let mut manifest = Manifest::new(kind, config.clone(), vec![layer.clone()]);
    manifest.subject = Some(subject.clone());
    manifest.annotations.insert(CREATED.to_owned(), CREATED_NEVER.to_owned());
    for (key, value) in annotations.iter().filter(|(key, _)| *key != TITLE) {
        manifest.annotations.insert((*key).to_owned(), (*value).to_owned());
    }
    let bytes = Bytes::from(manifest.bytes());
    Item {
        what: what.to_owned(),
        descriptor: Descriptor::of(MANIFEST_MEDIA_TYPE, &bytes),
        manifest: bytes,
        blobs: vec![
            Blob { descriptor: config, bytes: Bytes::from_static(EMPTY_BLOB) },
            Blob { descriptor: layer, bytes: content },
        ],
        statement: None,
    }
}
