//! Every way in which a package can be untrustworthy, over a real folder registry: what is pushed, gathered and judged.

use rapidbyte_packages::folder::FolderRegistry;
use rapidbyte_packages::oci::{
    Descriptor, EMPTY_BLOB, EMPTY_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, Manifest, VERSION,
};
use rapidbyte_packages::registry::{Registry, Tag};
use rapidbyte_signing::PrivateKey;
use rapidbyte_signing::bundle::Statement;
use serde_json::json;

use super::*;
use crate::evidence::gather;

const REPOSITORY: &str = "source-a";
const COMPONENT: &[u8] = b"component";

/// A folder registry with one package in it.
struct Shop {
    _folder: tempfile::TempDir,
    registry: FolderRegistry,
    place: RegistryRef,
    package: Descriptor,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = FolderRegistry::new(folder.path());
        let place = RegistryRef::Dir(folder.path().to_owned());
        let package = push(&registry, "1.0.0", None, "application/x", COMPONENT, true).await;
        Shop { _folder: folder, registry, place, package }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            registry: &self.place,
            repository: REPOSITORY,
            manifest: self.package.digest,
            component: Digest::of(COMPONENT),
        }
    }

    /// Puts a bundle beside the package, whatever it is about.
    async fn attach(&self, bundle: &[u8]) -> Descriptor {
        let subject = Some(self.package.clone());
        push(&self.registry, "", subject, bundle::MEDIA_TYPE, bundle, false).await
    }

    async fn sign(&self, key: &PrivateKey, about: &Digest) -> Vec<u8> {
        let bundle = bundle::sign(key, &Statement::new(about, bundle::SIGN_PREDICATE, json!({}))).unwrap();
        self.attach(&bundle).await;
        bundle
    }

    async fn sign_simply(&self, key: &PrivateKey, about: &Digest, under: &Digest) -> Descriptor {
        let signed = simple::sign(key, "registry.example/source-a", about).unwrap();
        self.registry.put_blob(REPOSITORY, &signed.layer, &signed.payload).await.unwrap();
        let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
        let manifest = Manifest::new(simple::PAYLOAD_MEDIA_TYPE, config, vec![signed.layer.clone()]);
        let tag = Some(Tag { name: &simple::tag(under), moves: true });
        self.registry.put_manifest(REPOSITORY, tag, MANIFEST_MEDIA_TYPE, &manifest.bytes()).await.unwrap();
        signed.layer
    }

    async fn certify(&self, key: &PrivateKey, about: &Digest, result: &str, partial: bool) {
        let predicate = json!({
            "result": result, "configuration": [{ "annotations": { "partial": partial } }],
        });
        let statement = Statement::new(about, CERTIFICATE_PREDICATE, predicate);
        self.attach(&bundle::sign(key, &statement).unwrap()).await;
    }

    async fn judge(&self, policy: &Policy) -> Result<Trusted, Refusal> {
        let evidence = gather(&self.registry, REPOSITORY, &self.package.digest).await.unwrap();
        judge(policy, &self.subject(), &evidence)
    }

    /// The code of the refusal.
    async fn refused(&self, policy: &Policy) -> &'static str {
        self.judge(policy).await.unwrap_err().code()
    }
}

async fn push(
    registry: &FolderRegistry,
    version: &str,
    subject: Option<Descriptor>,
    kind: &str,
    content: &[u8],
    tagged: bool,
) -> Descriptor {
    let config = Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB);
    registry.put_blob(REPOSITORY, &config, EMPTY_BLOB).await.unwrap();
    let layer = Descriptor::of(kind, content);
    registry.put_blob(REPOSITORY, &layer, content).await.unwrap();
    let mut manifest = Manifest::new(kind, config, vec![layer]);
    manifest.subject = subject;
    if tagged {
        manifest.annotations.insert(VERSION.to_owned(), version.to_owned());
    }
    let tag = tagged.then_some(Tag { name: version, moves: false });
    registry.put_manifest(REPOSITORY, tag, MANIFEST_MEDIA_TYPE, &manifest.bytes()).await.unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::generate().unwrap()
}

fn at_level(level: Level, keys: &[&PrivateKey]) -> Policy {
    let pem = keys.iter().map(|key| key.public().to_pem()).collect();
    let rule = crate::RuleConfig {
        registry: "dir:/".to_owned(),
        namespace: None,
        level,
        keys: pem,
        identities: Vec::new(),
        native_keys: Vec::new(),
        require_conformance: false,
    };
    let config = crate::TrustConfig { level: None, trusted_root: None, rules: vec![rule] };
    let places = crate::Places { folder: std::path::Path::new("/"), aliases: &|_| None, official: None };
    let mut policy = Policy::resolve(&config, &places).unwrap();
    policy.hold_everywhere();
    policy
}

#[tokio::test]
async fn either_form_of_a_trusted_key_is_enough() {
    let (ours, theirs) = (key(), key());
    let policy = at_level(Level::Require, &[&theirs, &ours]);
    for simply in [false, true] {
        let shop = Shop::open().await;
        assert_eq!(shop.refused(&policy).await, "trust_unsigned");
        match simply {
            true => drop(shop.sign_simply(&ours, &shop.package.digest, &shop.package.digest).await),
            false => drop(shop.sign(&ours, &shop.package.digest).await),
        }
        let trusted = shop.judge(&policy).await.unwrap();
        let signer = trusted.signer().unwrap().to_string();
        assert_eq!(signer, format!("key {}", ours.public().fingerprint()));
        assert_eq!((trusted.warning(), trusted.manifest()), (None, &shop.package.digest));
        // Rubbish that others put beside it changes nothing.
        shop.attach(b"{}").await;
        shop.sign(&key(), &shop.package.digest).await;
        assert_eq!(shop.judge(&policy).await.unwrap(), trusted);
        assert_eq!(judge_installed(&policy, &shop.subject(), Some(&signer)).unwrap(), trusted);
    }
}

#[tokio::test]
async fn every_reason_has_its_own_code() {
    let (ours, other) = (key(), key());
    let policy = at_level(Level::Require, &[&ours]);

    let shop = Shop::open().await;
    shop.sign(&other, &shop.package.digest).await;
    let refusal = shop.judge(&policy).await.unwrap_err();
    assert_eq!(refusal.code(), "trust_wrong_key");
    assert!(refusal.to_string().contains(&other.public().fingerprint()), "{refusal}");

    let shop = Shop::open().await;
    shop.sign(&ours, &Digest::of(b"elsewhere")).await;
    assert_eq!(shop.refused(&policy).await, "trust_wrong_subject");

    // The right signature of another version, put beside this one, in either form.
    for simply in [false, true] {
        let shop = Shop::open().await;
        let newer = push(&shop.registry, "1.1.0", None, "application/x", b"newer", true).await;
        match simply {
            true => drop(shop.sign_simply(&ours, &newer.digest, &shop.package.digest).await),
            false => drop(shop.sign(&ours, &newer.digest).await),
        }
        let refusal = shop.judge(&policy).await.unwrap_err();
        assert_eq!(refusal.code(), "trust_replayed");
        assert!(refusal.to_string().contains("`1.1.0`"), "{refusal}");
    }

    let shop = Shop::open().await;
    shop.attach(b"{ \"mediaType\": 3 }").await;
    assert_eq!(shop.refused(&policy).await, "trust_signature_malformed");

    let shop = Shop::open().await;
    shop.certify(&ours, &shop.package.digest, "PASSED", false).await;
    assert_eq!(shop.refused(&policy).await, "trust_unsigned");

    assert_eq!(shop.refused(&at_level(Level::Require, &[])).await, "trust_nobody");
}

#[tokio::test]
async fn a_flipped_byte_is_told_from_a_wrong_key() {
    let ours = key();
    let policy = at_level(Level::Require, &[&ours]);
    let flip = |shop: &Shop, digest: &Digest| {
        let path = shop.registry.blob_path(REPOSITORY, digest);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[10] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    // On the registry's disk: the digest says so.
    let shop = Shop::open().await;
    let bundle = shop.sign(&ours, &shop.package.digest).await;
    flip(&shop, &Digest::of(&bundle));
    assert_eq!(shop.refused(&policy).await, "trust_signature_damaged");
    let shop = Shop::open().await;
    let layer = shop.sign_simply(&ours, &shop.package.digest, &shop.package.digest).await;
    flip(&shop, &layer.digest);
    assert_eq!(shop.refused(&policy).await, "trust_signature_damaged");
    // By somebody who fixes the digests: the signature says so.
    let shop = Shop::open().await;
    let bundle = shop.sign(&ours, &shop.package.digest).await;
    let forged =
        Shop { package: push(&shop.registry, "1.0.1", None, "application/x", b"x", true).await, ..shop };
    let mut value: Value = serde_json::from_slice(&bundle).unwrap();
    let statement = Statement::new(&forged.package.digest, bundle::SIGN_PREDICATE, json!({}));
    let other = bundle::sign(&key(), &statement).unwrap();
    let other: Value = serde_json::from_slice(&other).unwrap();
    value["dsseEnvelope"]["payload"] = other["dsseEnvelope"]["payload"].clone();
    forged.attach(&serde_json::to_vec(&value).unwrap()).await;
    assert_eq!(forged.refused(&policy).await, "trust_wrong_key");
}

#[tokio::test]
async fn warning_lets_through_and_says_why_and_off_asks_nothing() {
    let ours = key();
    let shop = Shop::open().await;
    let warned = shop.judge(&at_level(Level::Warn, &[&ours])).await.unwrap();
    assert_eq!(warned.warning().unwrap().code(), "trust_unsigned");
    assert_eq!(warned.signer(), None);
    let off = at_level(Level::Off, &[&ours]);
    assert!(!off.asks_for_evidence(&shop.subject()));
    let trusted = judge(&off, &shop.subject(), &Evidence::none()).unwrap();
    assert_eq!((trusted.signer(), trusted.warning()), (None, None));
    // Signed, it is known by whom, where signatures are only warned of.
    shop.sign(&ours, &shop.package.digest).await;
    let warned = shop.judge(&at_level(Level::Warn, &[&ours])).await.unwrap();
    assert!(warned.signer().is_some() && warned.warning().is_none());
}

#[tokio::test]
async fn a_certificate_is_about_the_component_whole_and_signed() {
    let ours = key();
    let component = Digest::of(COMPONENT);
    let mut policy = at_level(Level::Require, &[&ours]);
    policy.require_conformance();
    let cases = [
        (None, "certificate_missing"),
        (Some((false, component, "PASSED", false)), "certificate_wrong_key"),
        (Some((true, Digest::of(b"other"), "PASSED", false)), "certificate_wrong_subject"),
        (Some((true, component, "FAILED", false)), "certificate_failed"),
        (Some((true, component, "PASSED", true)), "certificate_failed"),
        (Some((true, component, "", false)), "certificate_failed"),
        (Some((true, component, "WARNED", false)), ""),
    ];
    for (certificate, code) in cases {
        let shop = Shop::open().await;
        shop.sign(&ours, &shop.package.digest).await;
        if let Some((by_us, about, result, partial)) = certificate {
            let by = if by_us { &ours } else { &key() };
            shop.certify(by, &about, result, partial).await;
        }
        match shop.judge(&policy).await {
            Ok(trusted) => assert!(trusted.is_certified() && code.is_empty(), "{certificate:?}"),
            Err(refusal) => assert_eq!(refusal.code(), code, "{certificate:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_installed_stays_only_while_its_signer_is_trusted() {
    let (ours, other) = (key(), key());
    let shop = Shop::open().await;
    let signer = Signer::key(&ours.public()).to_string();
    let installed = |policy: &Policy, signer| judge_installed(policy, &shop.subject(), signer);
    let strict = at_level(Level::Require, &[&other]);
    assert_eq!(installed(&strict, Some(&signer)).unwrap_err().code(), "trust_signer_not_trusted");
    assert_eq!(installed(&strict, None).unwrap_err().code(), "trust_installed_unsigned");
    let lenient = at_level(Level::Warn, &[&other]);
    let warned = installed(&lenient, Some(&signer)).unwrap();
    assert_eq!(warned.warning().unwrap().code(), "trust_signer_not_trusted");
    assert_eq!(installed(&at_level(Level::Off, &[]), None).unwrap().warning(), None);
}

#[tokio::test]
async fn rubbish_without_end_is_not_looked_at() {
    let ours = key();
    let shop = Shop::open().await;
    let more = 3;
    for number in 0..crate::limits::REFERRERS_MAX + more {
        shop.attach(format!("{{\"rubbish\":{number}}}").as_bytes()).await;
    }
    let evidence = gather(&shop.registry, REPOSITORY, &shop.package.digest).await.unwrap();
    assert_eq!(evidence.ignored(), more);
    let large = vec![b' '; crate::limits::SIGNATURE_BYTES_MAX as usize + 1];
    let shop = Shop::open().await;
    shop.attach(&large).await;
    assert_eq!(shop.refused(&at_level(Level::Require, &[&ours])).await, "trust_signature_damaged");
}

#[tokio::test]
async fn identities_are_pinned_with_their_issuer() {
    const ISSUER: &str = "https://token.ci.example";
    const SUBJECT: &str = "https://git.example/acme/release.yml@refs/heads/main";
    let authority = registry_fixtures::Authority::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root.json"), authority.trusted_root()).unwrap();
    let policy = |issuer: &str, subject: &str, root: Option<&str>| {
        let rule = crate::RuleConfig {
            registry: "dir:/".to_owned(),
            namespace: None,
            level: Level::Require,
            keys: Vec::new(),
            identities: vec![crate::IdentityConfig {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
            }],
            native_keys: Vec::new(),
            require_conformance: false,
        };
        let trusted_root = root.map(Into::into);
        let config = crate::TrustConfig { level: None, trusted_root, rules: vec![rule] };
        let places = crate::Places { folder: folder.path(), aliases: &|_| None, official: None };
        Policy::resolve(&config, &places).map(|mut policy| {
            policy.hold_everywhere();
            policy
        })
    };
    let right = policy(ISSUER, SUBJECT, Some("root.json")).unwrap();
    assert_eq!(policy(ISSUER, SUBJECT, None).unwrap_err().code(), "trust_root_missing");
    assert_eq!(policy(ISSUER, SUBJECT, Some("none.json")).unwrap_err().code(), "trust_root_file");
    std::fs::write(folder.path().join("odd.json"), "{").unwrap();
    assert_eq!(policy(ISSUER, SUBJECT, Some("odd.json")).unwrap_err().code(), "trust_root_malformed");

    let sign = |about: &Digest| {
        let statement = Statement::new(about, bundle::SIGN_PREDICATE, json!({}));
        authority.sign(ISSUER, SUBJECT, &serde_json::to_vec(&statement).unwrap()).unwrap()
    };
    let shop = Shop::open().await;
    assert_eq!(shop.refused(&right).await, "trust_unsigned");
    shop.attach(&sign(&shop.package.digest)).await;
    let trusted = shop.judge(&right).await.unwrap();
    let signer = trusted.signer().unwrap().to_string();
    assert_eq!(signer, format!("identity {SUBJECT} ({ISSUER})"));
    assert_eq!(judge_installed(&right, &shop.subject(), Some(&signer)).unwrap(), trusted);
    for (issuer, subject) in [("https://login.example", SUBJECT), (ISSUER, "https://git.example/fork")] {
        let wrong = policy(issuer, subject, Some("root.json")).unwrap();
        assert_eq!(shop.refused(&wrong).await, "trust_wrong_identity");
        let installed = judge_installed(&wrong, &shop.subject(), Some(&signer));
        assert_eq!(installed.unwrap_err().code(), "trust_signer_not_trusted");
    }
    // Under an authority that nobody trusts, and of another version.
    let stranger = registry_fixtures::Authority::new().unwrap();
    std::fs::write(folder.path().join("other.json"), stranger.trusted_root()).unwrap();
    assert_eq!(shop.refused(&policy(ISSUER, SUBJECT, Some("other.json")).unwrap()).await, "trust_unproven");
    let replayed = Shop::open().await;
    let newer = push(&replayed.registry, "1.1.0", None, "application/x", b"newer", true).await;
    replayed.attach(&sign(&newer.digest)).await;
    assert_eq!(replayed.refused(&right).await, "trust_replayed");
}
