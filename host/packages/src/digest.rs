//! SHA-256 digests as OCI writes them, and hashing that goes on while bytes pass by. The only algorithm: a registry that names
//! another is refused, never believed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "sha256:";
const BYTES: usize = 32;

/// `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; BYTES]);

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not `sha256:` with 64 lower-case hexadecimal digits")]
pub struct NoDigest {
    text: String,
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Digest(Sha256::digest(bytes).into())
    }

    /// The 64 digits alone: a file's name.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        // A stranger's text, which may be long.
        let refuse = || NoDigest { text: text.chars().take(2 * PREFIX.len() + 2 * BYTES).collect() };
        let hex = text.strip_prefix(PREFIX).filter(|hex| hex.len() == 2 * BYTES).ok_or_else(refuse)?;
        let mut bytes = [0; BYTES];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let digit = |at: usize| match pair.get(at) {
                Some(digit @ b'0'..=b'9') => Some(digit - b'0'),
                Some(digit @ b'a'..=b'f') => Some(digit - b'a' + 10),
                _ => None,
            };
            *byte = digit(0).zip(digit(1)).map(|(high, low)| high << 4 | low).ok_or_else(refuse)?;
        }
        Ok(Digest(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes what passes by.
#[derive(Default)]
pub struct Hasher(Sha256);

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(digest));
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{EMPTY}\""));
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{EMPTY}\"")).unwrap(), digest);
        let mut hasher = Hasher::default();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.finish(), Digest::of(b"abc"));
    }

    #[test]
    fn anything_else_is_refused() {
        let hex = &EMPTY[PREFIX.len()..];
        let upper = EMPTY.to_uppercase();
        let texts =
            ["", "sha256:", hex, upper.as_str(), &EMPTY[1..], &format!("{EMPTY}0"), "sha512:00", "md5:"];
        for text in texts {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        let path = format!("sha256:../../{}", "a".repeat(58));
        assert!(path.parse::<Digest>().is_err());
    }
}
