//! Network cassettes: what connectors exchanged with the network after TLS ends, written to a folder by [`Recorder`] and
//! served from it by [`Player`], each a [`super::Network`]. The format is described in `docs/cassettes.md`.
//!
//! Refuses to know: protocols. Bytes are compared and masked as they come.

mod play;
mod record;
mod tape;

pub use play::{Mark, Player};
pub use record::Recorder;

use sha2::{Digest, Sha256};

/// The file that makes a folder a recording.
pub const INDEX_FILE: &str = "cassette.json";
/// Version of the format.
pub const VERSION: u32 = 1;
/// Random bytes are repeated after so many.
const RANDOM_BYTES: usize = 16 * 1024;

/// Why a folder cannot be recorded to or played.
#[derive(Debug, thiserror::Error)]
pub enum CassetteError {
    #[error("`{path}` is not empty, so nothing is recorded to it")]
    NotEmpty { path: String },
    #[error("`{path}` is no recording: it has no `{INDEX_FILE}`")]
    NoRecording { path: String },
    #[error("`{path}` is a recording of version {found}, this host plays version {VERSION}")]
    Version { path: String, found: u32 },
    #[error("`{path}`, line {line}, is not as a recording has it: {message}")]
    Malformed { path: String, line: usize, message: String },
    #[error("cannot use `{path}`")]
    File { path: String, source: std::io::Error },
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Index {
    version: u32,
    /// What the guests' random numbers are made of: the same for the recording and when it is played, so that nonces are.
    random_seed: u64,
}

/// The random numbers of a connector's n-th instance.
fn random_bytes(seed: u64, connector: &str, instance: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RANDOM_BYTES);
    let mut block = 0_u64;
    while bytes.len() < RANDOM_BYTES {
        let mut hash = Sha256::new();
        for part in
            [&seed.to_le_bytes()[..], &instance.to_le_bytes(), &block.to_le_bytes(), connector.as_bytes()]
        {
            hash.update(part);
        }
        bytes.extend_from_slice(&hash.finalize());
        block += 1;
    }
    bytes
}

/// Counts the instances of each connector.
#[derive(Default)]
struct Instances(std::sync::Mutex<std::collections::HashMap<String, u64>>);

impl Instances {
    fn of(counts: std::collections::HashMap<String, u64>) -> Self {
        Instances(std::sync::Mutex::new(counts))
    }

    fn counts(&self) -> std::collections::HashMap<String, u64> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn next(&self, connector: &str) -> u64 {
        let mut counts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let count = counts.entry(connector.to_owned()).or_default();
        *count += 1;
        *count
    }
}
