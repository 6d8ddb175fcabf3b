//! Keys on the curve P-256: made, encrypted under a password as cosign does (scrypt, then NaCl's secretbox), read again, told
//! apart by their fingerprint. Private keys and passwords are never shown and are wiped from memory.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305};
use pem::{EncodeConfig, LineEnding, Pem};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::limits::{KEY_BYTES_MAX, SCRYPT_LOG_N_MAX, SCRYPT_P_MAX, SCRYPT_R_MAX};

/// What cosign calls it today; the second is what it did before.
const PRIVATE_TAGS: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];
const PUBLIC_TAG: &str = "PUBLIC KEY";
const KDF: &str = "scrypt";
const CIPHER: &str = "nacl/secretbox";
/// As cosign does.
const SCRYPT_LOG_N: u8 = 16;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const BOX_KEY_BYTES: usize = 32;
/// `SubjectPublicKeyInfo` of a point on P-256 up to the point: the algorithm and the curve by their numbers, a bit string.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point.
const POINT_BYTES: usize = 65;
const UNCOMPRESSED: u8 = 0x04;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("this is no private key as cosign or `rapidbyte key generate` write it: {message}")]
    NoPrivateKey { message: String },
    #[error("this is no public key on the curve P-256 (PEM, `PUBLIC KEY`): {message}")]
    NoPublicKey { message: String },
    #[error("the password does not open the private key")]
    Password,
    #[error("the private key asks for more work ({what}) than is done for a key")]
    TooCostly { what: String },
    #[error("the operating system gives no random numbers")]
    NoRandom,
}

impl KeyError {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            KeyError::NoPrivateKey { .. } => "key_private_malformed",
            KeyError::NoPublicKey { .. } => "key_public_malformed",
            KeyError::Password => "key_password",
            KeyError::TooCostly { .. } => "key_too_costly",
            KeyError::NoRandom => "key_no_random",
        }
    }
}

/// The JSON in the PEM.
#[derive(Serialize, Deserialize)]
struct Envelope {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: KdfParams,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct KdfParams {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// A key to sign with.
pub struct PrivateKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public().fingerprint())
    }
}

impl PrivateKey {
    /// A new one.
    pub fn generate() -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| KeyError::NoRandom)?;
        Self::from_pkcs8(Zeroizing::new(document.as_ref().to_vec()))
    }

    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &SystemRandom::new())
            .map_err(|error| KeyError::NoPrivateKey { message: error.to_string() })?;
        Ok(PrivateKey { pair, pkcs8 })
    }

    /// Reads an encrypted one. Takes a tenth of a second, which is what makes guessing passwords slow.
    pub fn from_pem(text: &str, password: &str) -> Result<Self, KeyError> {
        let malformed = |message: &str| KeyError::NoPrivateKey { message: message.to_owned() };
        if text.len() > KEY_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let pem = pem::parse(text).map_err(|error| malformed(&error.to_string()))?;
        if !PRIVATE_TAGS.contains(&pem.tag()) {
            return Err(malformed(&format!("it is a `{}`", pem.tag())));
        }
        let envelope: Envelope =
            serde_json::from_slice(pem.contents()).map_err(|error| malformed(&error.to_string()))?;
        if envelope.kdf.name != KDF || envelope.cipher.name != CIPHER {
            return Err(malformed(&format!(
                "it is encrypted by {} and {}",
                envelope.kdf.name, envelope.cipher.name
            )));
        }
        let decode = |text: &str| STANDARD.decode(text).map_err(|error| malformed(&error.to_string()));
        let nonce = <[u8; NONCE_BYTES]>::try_from(decode(&envelope.cipher.nonce)?)
            .map_err(|_| malformed("its nonce is not 24 bytes long"))?;
        let box_key = box_key(password, &decode(&envelope.kdf.salt)?, &envelope.kdf.params)?;
        let opened = XSalsa20Poly1305::new(box_key.as_slice().into())
            .decrypt(&nonce.into(), decode(&envelope.ciphertext)?.as_slice())
            .map_err(|_| KeyError::Password)?;
        Self::from_pkcs8(Zeroizing::new(opened))
    }

    /// Encrypts it under a password, as a file.
    pub fn to_pem(&self, password: &str) -> Result<String, KeyError> {
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
        let random = SystemRandom::new();
        random.fill(&mut salt).and_then(|()| random.fill(&mut nonce)).map_err(|_| KeyError::NoRandom)?;
        let params = KdfParams { n: 1 << SCRYPT_LOG_N, r: SCRYPT_R, p: SCRYPT_P };
        let box_key = box_key(password, &salt, &params)?;
        let ciphertext = XSalsa20Poly1305::new(box_key.as_slice().into())
            .encrypt(&nonce.into(), self.pkcs8.as_slice())
            .map_err(|_| KeyError::NoPrivateKey { message: "it cannot be encrypted".to_owned() })?;
        let envelope = Envelope {
            kdf: Kdf { name: KDF.to_owned(), params, salt: STANDARD.encode(salt) },
            cipher: Cipher { name: CIPHER.to_owned(), nonce: STANDARD.encode(nonce) },
            ciphertext: STANDARD.encode(ciphertext),
        };
        // A tree of texts and numbers always serialises.
        let json = serde_json::to_vec(&envelope).unwrap_or_default();
        Ok(encode(PRIVATE_TAGS[0], json))
    }

    pub fn public(&self) -> PublicKey {
        PublicKey { point: self.pair.public_key().as_ref().to_vec() }
    }

    /// Signs: ECDSA over SHA-256, as ASN.1.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::NoRandom)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// A key to verify with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// Uncompressed.
    point: Vec<u8>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl PublicKey {
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let malformed = |message: String| KeyError::NoPublicKey { message };
        if text.len() > KEY_BYTES_MAX {
            return Err(malformed("it is too long".to_owned()));
        }
        let pem = pem::parse(text).map_err(|error| malformed(error.to_string()))?;
        if pem.tag() != PUBLIC_TAG {
            return Err(malformed(format!("it is a `{}`", pem.tag())));
        }
        let point = pem.contents().strip_prefix(&SPKI_PREFIX);
        match point.filter(|point| point.len() == POINT_BYTES && point[0] == UNCOMPRESSED) {
            Some(point) => Ok(PublicKey { point: point.to_vec() }),
            None => Err(malformed("it is of another kind".to_owned())),
        }
    }

    pub fn to_pem(&self) -> String {
        encode(PUBLIC_TAG, self.spki())
    }

    /// As `SubjectPublicKeyInfo`.
    fn spki(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.point].concat()
    }

    /// What bundles call it: base64 of the SHA-256 of its `SubjectPublicKeyInfo`.
    pub fn hint(&self) -> String {
        STANDARD.encode(digest::digest(&digest::SHA256, &self.spki()))
    }

    /// What people and locks call it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", self.hint().trim_end_matches('='))
    }

    /// Whether it made this signature over this message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(message, signature).is_ok()
    }
}

fn box_key(
    password: &str,
    salt: &[u8],
    params: &KdfParams,
) -> Result<Zeroizing<[u8; BOX_KEY_BYTES]>, KeyError> {
    let KdfParams { n, r, p } = *params;
    let too_costly = || KeyError::TooCostly { what: format!("N={n}, r={r}, p={p}") };
    let log_n =
        u8::try_from(n.trailing_zeros()).ok().filter(|_| n.is_power_of_two()).ok_or_else(too_costly)?;
    if log_n > SCRYPT_LOG_N_MAX || r > SCRYPT_R_MAX || p > SCRYPT_P_MAX {
        return Err(too_costly());
    }
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| too_costly())?;
    let mut key = Zeroizing::new([0; BOX_KEY_BYTES]);
    scrypt::scrypt(password.as_bytes(), salt, &params, key.as_mut_slice()).map_err(|_| too_costly())?;
    Ok(key)
}

/// Other tools read PEM with plain line ends only.
fn encode(tag: &str, contents: Vec<u8>) -> String {
    pem::encode_config(&Pem::new(tag, contents), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_by_who_knows_the_password() {
        let key = PrivateKey::generate().unwrap();
        let pem = key.to_pem("a password").unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"), "{pem}");
        assert!(!pem.contains('\r'));
        let read = PrivateKey::from_pem(&pem, "a password").unwrap();
        assert_eq!(read.public(), key.public());
        assert_eq!(PrivateKey::from_pem(&pem, "another").unwrap_err(), KeyError::Password);
        let signature = read.sign(b"message").unwrap();
        let public = PublicKey::from_pem(&key.public().to_pem()).unwrap();
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
        assert!(!PrivateKey::generate().unwrap().public().verifies(b"message", &signature));
        assert!(!format!("{key:?}").contains("pkcs8"));
    }

    #[test]
    fn what_is_no_key_says_so() {
        let private = |text: &str| PrivateKey::from_pem(text, "x").unwrap_err().code();
        assert_eq!(private(""), "key_private_malformed");
        let key = PrivateKey::generate().unwrap();
        assert_eq!(private(&key.public().to_pem()), "key_private_malformed");
        let costly = r#"{"kdf":{"name":"scrypt","params":{"N":1073741824,"r":8,"p":1},"salt":"AAAA"},
            "cipher":{"name":"nacl/secretbox","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"ciphertext":"AAAA"}"#;
        assert_eq!(private(&encode(PRIVATE_TAGS[0], costly.into())), "key_too_costly");
        let odd = costly.replace("1073741824", "1000");
        assert_eq!(private(&encode(PRIVATE_TAGS[1], odd.into())), "key_too_costly");
        let other = costly.replace("scrypt", "argon2");
        assert_eq!(private(&encode(PRIVATE_TAGS[0], other.into())), "key_private_malformed");
        let public = |text: &str| PublicKey::from_pem(text).unwrap_err().code();
        assert_eq!(public("rubbish"), "key_public_malformed");
        assert_eq!(public(&encode("PUBLIC KEY", vec![0; 91])), "key_public_malformed");
        assert_eq!(public(&encode("CERTIFICATE", vec![0; 91])), "key_public_malformed");
    }
}
