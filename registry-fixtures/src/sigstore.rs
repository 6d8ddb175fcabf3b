//! A Sigstore of our own for tests: an authority that certifies identities, the log of its certificates, a log of signatures, and
//! the trusted root that names all three. What it signs is what the public one would.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use serde_json::json;

/// Of the issuer's name in a certificate.
const ISSUER_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 57264, 1, 1];
/// Of the promises of certificates' logs.
const SCT_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
const ORIGIN: &str = "log.example";
/// When everything here was signed: 2025-06-01, within all certificates.
const SIGNED_AT_S: u64 = 1_748_736_000;
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A key with its public half as others name it.
struct Key {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Key {
    fn of(pair: &KeyPair) -> Result<Self> {
        let random = SystemRandom::new();
        let signing =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pair.serialize_der(), &random);
        let signing = signing.ok().context("a key that was just made")?;
        Ok(Key { pair: signing, spki: pair.subject_public_key_info() })
    }

    fn generate() -> Result<Self> {
        Self::of(&KeyPair::generate()?)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature = self.pair.sign(&SystemRandom::new(), message).ok().context("random numbers")?;
        Ok(signature.as_ref().to_vec())
    }

    fn id(&self) -> Vec<u8> {
        sha256(&self.spki)
    }
}

/// All of it.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    spki: Vec<u8>,
    certificate_log: Key,
    log: Key,
}

impl Authority {
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2045, 1, 1);
        let certificate = params.self_signed(&key)?.der().to_vec();
        let spki = key.subject_public_key_info();
        let issuer = Issuer::new(params, key);
        Ok(Authority { issuer, certificate, spki, certificate_log: Key::generate()?, log: Key::generate()? })
    }

    /// The trusted root that names it.
    pub fn trusted_root(&self) -> String {
        let since = json!({ "start": "2025-01-01T00:00:00Z" });
        let log = |url: &str, key: &Key| {
            json!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(&key.spki),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": since,
                },
                "logId": { "keyId": STANDARD.encode(key.id()) },
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log("https://log.example", &self.log)],
            "certificateAuthorities": [{
                "subject": { "organization": "example", "commonName": "authority" },
                "uri": "https://authority.example",
                "certChain": { "certificates": [{ "rawBytes": STANDARD.encode(&self.certificate) }] },
                "validFor": since,
            }],
            "ctlogs": [log("https://certificates.example", &self.certificate_log)],
            "timestampAuthorities": [],
        })
        .to_string()
    }

    /// A bundle in which somebody who logged in at `issuer` as `subject` signs a statement.
    pub fn sign(&self, issuer: &str, subject: &str, statement: &[u8]) -> Result<Vec<u8>> {
        let pair = KeyPair::generate()?;
        let key = Key::of(&pair)?;
        let certificate = self.certify(issuer, subject, &pair)?;
        let mut message =
            format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), statement.len()).into_bytes();
        message.extend_from_slice(statement);
        let signature = STANDARD.encode(key.sign(&message)?);
        let envelope = json!({
            "payload": STANDARD.encode(statement),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{ "sig": signature }],
        });
        let entry = self.log_entry(statement, &signature, &certificate)?;
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": { "rawBytes": STANDARD.encode(&certificate) },
                "tlogEntries": [entry],
                "timestampVerificationData": {},
            },
            "dsseEnvelope": envelope,
        });
        Ok(bundle.to_string().into_bytes())
    }

    /// A certificate for an identity, with the promise of the certificates' log in it.
    fn certify(&self, issuer: &str, subject: &str, key: &KeyPair) -> Result<Vec<u8>> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from(vec![7; 16]));
        params.subject_alt_names = vec![SanType::URI(subject.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2035, 1, 1);
        params.custom_extensions = vec![CustomExtension::from_oid_content(ISSUER_OID, issuer.into())];
        let before = params.signed_by(key, &self.issuer)?;
        // What the log signs is the certificate without its promise.
        let to_be_signed = inner(before.der());
        let mut signed = vec![0, 0];
        let at_ms = (SIGNED_AT_S * 1000).to_be_bytes();
        signed.extend(at_ms);
        signed.extend([0, 1]);
        signed.extend(sha256(&self.spki));
        signed.extend(&(to_be_signed.len() as u32).to_be_bytes()[1..]);
        signed.extend(to_be_signed);
        signed.extend([0, 0]);
        let signature = self.certificate_log.sign(&signed)?;
        let mut promise = vec![0];
        promise.extend(self.certificate_log.id());
        promise.extend(at_ms);
        promise.extend([0, 0, 4, 3]);
        promise.extend((signature.len() as u16).to_be_bytes());
        promise.extend(signature);
        let mut list = ((promise.len() + 2) as u16).to_be_bytes().to_vec();
        list.extend((promise.len() as u16).to_be_bytes());
        list.extend(promise);
        // As an octet string in the extension's own.
        let mut content = vec![0x04, 0x81, list.len() as u8];
        if list.len() < 0x80 {
            content.remove(1);
        }
        content.extend(list);
        params.custom_extensions.push(CustomExtension::from_oid_content(SCT_OID, content));
        Ok(params.signed_by(key, &self.issuer)?.der().to_vec())
    }

    /// What the log says of a signature, which is its only entry.
    fn log_entry(&self, payload: &[u8], signature: &str, certificate: &[u8]) -> Result<serde_json::Value> {
        let lines: Vec<String> = STANDARD
            .encode(certificate)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        let hash = hex(&sha256(payload));
        let body = format!(
            r#"{{"apiVersion":"0.0.1","kind":"dsse","spec":{{"envelopeHash":{{"algorithm":"sha256","value":"{hash}"}},"payloadHash":{{"algorithm":"sha256","value":"{hash}"}},"signatures":[{{"signature":"{signature}","verifier":"{}"}}]}}}}"#,
            STANDARD.encode(pem)
        );
        let body = STANDARD.encode(body);
        let log_id = hex(&self.log.id());
        let promise =
            format!(r#"{{"body":"{body}","integratedTime":{SIGNED_AT_S},"logID":"{log_id}","logIndex":0}}"#);
        let mut leaf = vec![0];
        leaf.extend(STANDARD.decode(&body)?);
        let root = STANDARD.encode(sha256(&leaf));
        let note = format!("{ORIGIN}\n1\n{root}\n");
        let mut signed = self.log.id()[..4].to_vec();
        signed.extend(self.log.sign(note.as_bytes())?);
        Ok(json!({
            "logIndex": "0",
            "logId": { "keyId": STANDARD.encode(self.log.id()) },
            "kindVersion": { "kind": "dsse", "version": "0.0.1" },
            "integratedTime": SIGNED_AT_S.to_string(),
            "inclusionPromise": {
                "signedEntryTimestamp": STANDARD.encode(self.log.sign(promise.as_bytes())?),
            },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": root,
                "treeSize": "1",
                "hashes": [],
                "checkpoint": { "envelope": format!("{note}\n\u{2014} {ORIGIN} {}\n", STANDARD.encode(signed)) },
            },
            "canonicalizedBody": body,
        }))
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first thing in a DER sequence: of a certificate, what is signed of it.
fn inner(der: &[u8]) -> &[u8] {
    let header = |der: &[u8]| match der.get(1) {
        Some(0x81) => (3, usize::from(der[2])),
        Some(0x82) => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
        length => (2, length.map_or(0, |length| usize::from(*length))),
    };
    let rest = &der[header(der).0..];
    let (start, length) = header(rest);
    &rest[..start + length]
}
