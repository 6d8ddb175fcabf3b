//! `stream.json`: which files of a cached stream count. Replaced as a whole by a rename, so that a reader sees either the old or
//! the new.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CacheError;
use crate::limits::{CACHE_MANIFEST_BYTES_MAX, CACHE_NAME_BYTES_MAX};

const FILE: &str = "stream.json";
const VERSION: u32 = 1;

/// What a query sees of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum CacheMode {
    /// Every row of every reading.
    Append,
    /// The rows of the last complete reading.
    Replace,
    /// The newest row of every key.
    Upsert { key: Vec<String> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataFile {
    pub number: u64,
    pub partition: u32,
    pub checkpoint: u64,
    pub records: u64,
    pub bytes: u64,
}

impl DataFile {
    pub fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{:08}.parquet", self.number))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub version: u32,
    pub pipeline: String,
    pub stream: String,
    pub mode: CacheMode,
    /// What counts, oldest first.
    pub files: Vec<DataFile>,
    /// What a reading that will replace everything has filled so far.
    pub filling: Vec<DataFile>,
    /// What counted before, and may still be read by somebody who looked then.
    pub retired: Vec<DataFile>,
    pub next_number: u64,
    /// Seconds since the epoch.
    pub updated_at: i64,
}

impl Manifest {
    pub fn new(pipeline: &str, stream: &str, mode: CacheMode) -> Self {
        Manifest {
            version: VERSION,
            pipeline: pipeline.to_owned(),
            stream: stream.to_owned(),
            mode,
            files: Vec::new(),
            filling: Vec::new(),
            retired: Vec::new(),
            next_number: 1,
            updated_at: 0,
        }
    }

    pub fn load(folder: &Path) -> Result<Option<Manifest>, CacheError> {
        let path = folder.join(FILE);
        let damaged = |message: String| CacheError::Damaged { path: path.clone(), message };
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(&path)(error)),
        };
        if length > CACHE_MANIFEST_BYTES_MAX {
            return Err(damaged(format!("it has more than {CACHE_MANIFEST_BYTES_MAX} bytes")));
        }
        let text = fs::read(&path).map_err(io(&path))?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if manifest.version > VERSION {
            return Err(CacheError::TooNew { path });
        }
        Ok(Some(manifest))
    }

    /// Durable when it returns.
    pub fn save(&mut self, folder: &Path) -> Result<(), CacheError> {
        self.updated_at = chrono::Utc::now().timestamp();
        let path = folder.join(FILE);
        let temporary = folder.join(format!("{FILE}.tmp"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            sync_folder(folder)
        };
        write().map_err(io(&path))
    }

    pub fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }
}

pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> CacheError {
    move |error| CacheError::Io { path: path.to_owned(), error }
}

/// Makes renames in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    // Windows has no handles of folders, and makes renames durable itself.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// A name as one folder, whatever it contains.
fn encoded(name: &str) -> Result<String, CacheError> {
    let mut text = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
        if plain || (byte == b'.' && at > 0) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    if text.is_empty() || text.len() > CACHE_NAME_BYTES_MAX {
        return Err(CacheError::NameTooLong { name: name.to_owned() });
    }
    Ok(text)
}

pub(crate) fn folder(cache: &Path, pipeline: &str, stream: &str) -> Result<PathBuf, CacheError> {
    Ok(cache.join(encoded(pipeline)?).join(encoded(stream)?))
}

/// Every cached stream with its folder, ordered by name.
pub(crate) fn find(cache: &Path) -> Result<Vec<(PathBuf, Manifest)>, CacheError> {
    let mut found = Vec::new();
    for pipeline in folders(cache)? {
        for stream in folders(&pipeline)? {
            if let Some(manifest) = Manifest::load(&stream)? {
                found.push((stream, manifest));
            }
        }
    }
    found.sort_by(|(_, a), (_, b)| (&a.pipeline, &a.stream).cmp(&(&b.pipeline, &b.stream)));
    Ok(found)
}

fn folders(inside: &Path) -> Result<Vec<PathBuf>, CacheError> {
    let entries = match fs::read_dir(inside) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(inside)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io(inside))?;
        if entry.file_type().map_err(io(inside))?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
