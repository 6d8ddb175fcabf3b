//! Compiled code on disk, found by the digest of the component and the engine that compiled it, loaded by mmap.
//!
//! Native code is trusted only because this user wrote it: the folder is the user's own and nobody else's, or the cache is
//! not used. A file is taken as it was written if length, times and inode are those noted at writing; otherwise it is
//! hashed, and compiled again if the hash differs too. Damage is never an error.
//!
//! So that large components are not hashed at each start, their digest is noted by path, length, times and inode. A note
//! made within moments of the file's last change is not believed, because a second change might not show in its times.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::limits::CACHE_ENTRIES_MAX;

/// A note is believed when the file was this much older than the note.
const SETTLED: Duration = Duration::from_millis(100);

/// A cache folder for one engine.
#[derive(Debug)]
pub struct Cache {
    code: PathBuf,
    notes: PathBuf,
    engine: String,
}

/// The digest of a component's bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ComponentDigest(String);

impl ComponentDigest {
    pub fn of(bytes: &[u8]) -> Self {
        ComponentDigest(hex(&Sha256::digest(bytes)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What identifies a file's present contents without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seal {
    len: u64,
    modified_ns: u128,
    /// Zero where the platform has none.
    changed_ns: i128,
    inode: u64,
    device: u64,
}

impl Seal {
    fn of(metadata: &fs::Metadata) -> Seal {
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let (changed_ns, inode, device) = {
            use std::os::unix::fs::MetadataExt;
            let changed_ns = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
            (changed_ns, metadata.ino(), metadata.dev())
        };
        #[cfg(not(unix))]
        let (changed_ns, inode, device) = (0, 0, 0);
        Seal {
            len: metadata.len(),
            modified_ns: modified.map_or(0, |since| since.as_nanos()),
            changed_ns,
            inode,
            device,
        }
    }

    fn line(&self) -> String {
        format!("{} {} {} {} {}", self.len, self.modified_ns, self.changed_ns, self.inode, self.device)
    }

    /// Whether the file had been left alone for long enough before `at`.
    fn settled_before(&self, at: SystemTime) -> bool {
        let Ok(at) = at.duration_since(UNIX_EPOCH) else { return false };
        let changed = self.modified_ns.max(u128::try_from(self.changed_ns).unwrap_or(0));
        changed + SETTLED.as_nanos() <= at.as_nanos()
    }
}

/// Tells engines apart whose code does not fit one another: by version, settings and platform.
pub(crate) fn engine_name(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}", env!("CARGO_PKG_VERSION"), hasher.finish())
}

impl Cache {
    /// Opens or makes the folder; none where it is not safely the user's own.
    pub fn open(dir: &Path, engine: &Engine) -> Option<Cache> {
        let cache = Cache { code: dir.join("code"), notes: dir.join("notes"), engine: engine_name(engine) };
        let usable = [dir, &cache.code, &cache.notes].iter().all(|folder| match own_folder(folder) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "compiled code is not cached");
                false
            }
        });
        usable.then_some(cache)
    }

    /// The same folder for the code of another engine.
    pub fn of_engine(&self, engine: &Engine) -> Cache {
        Cache { code: self.code.clone(), notes: self.notes.clone(), engine: engine_name(engine) }
    }

    /// The digest of the component at `path`, if it was noted and the file is still the same.
    pub fn noted_digest(&self, path: &Path) -> Option<ComponentDigest> {
        let seal = Seal::of(&fs::metadata(path).ok()?);
        let note = fs::read_to_string(self.note_path(path)).ok()?;
        let (line, digest) = note.split_once('\n')?;
        (line == seal.line()).then(|| ComponentDigest(digest.to_owned()))
    }

    /// Notes a digest. `sealed` and `read_at` are from before the file was read.
    fn note_digest(&self, path: &Path, sealed: &Seal, digest: &ComponentDigest) -> io::Result<()> {
        write_atomically(&self.note_path(path), format!("{}\n{}", sealed.line(), digest.0).as_bytes())
    }

    /// Reads a component and notes its digest.
    pub fn read(cache: Option<&Cache>, path: &Path) -> io::Result<(Vec<u8>, ComponentDigest)> {
        let read_at = SystemTime::now();
        let sealed = Seal::of(&fs::metadata(path)?);
        let bytes = fs::read(path)?;
        let digest = ComponentDigest::of(&bytes);
        if let Some(cache) = cache
            && sealed.settled_before(read_at)
            && sealed == Seal::of(&fs::metadata(path)?)
            && let Err(error) = cache.note_digest(path, &sealed, &digest)
        {
            tracing::debug!(%error, "the component's digest could not be noted");
        }
        Ok((bytes, digest))
    }

    /// Where the code of a component is or would be.
    pub fn code_path(&self, digest: &ComponentDigest) -> PathBuf {
        self.code.join(format!("{}-{}.cwasm", digest.0, self.engine))
    }

    fn seal_path(&self, digest: &ComponentDigest) -> PathBuf {
        self.code_path(digest).with_extension("seal")
    }

    fn note_path(&self, path: &Path) -> PathBuf {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.notes.join(hex(&Sha256::digest(path.as_os_str().as_encoded_bytes())))
    }

    /// Loads compiled code. None if there is none or it is not what was written.
    pub fn load(&self, engine: &Engine, digest: &ComponentDigest) -> Option<Component> {
        let path = self.code_path(digest);
        let seal = Seal::of(&fs::metadata(&path).ok()?);
        let written = fs::read_to_string(self.seal_path(digest)).ok()?;
        let (line, code_digest) = written.split_once('\n')?;
        if line != seal.line() {
            let code = fs::read(&path).ok()?;
            if ComponentDigest::of(&code).0 != code_digest {
                tracing::debug!(path = %path.display(), "compiled code is damaged and is made anew");
                return None;
            }
            // A copied or restored cache: the contents are those that were written.
            let _ = write_atomically(
                &self.seal_path(digest),
                format!("{}\n{code_digest}", seal.line()).as_bytes(),
            );
        }
        // SAFETY: the file is what this user's Wasmtime wrote: it lies in a folder that only this user can write
        // (`own_folder`), and it is the file that was sealed or has the sealed hash. Wasmtime checks version and settings.
        match unsafe { Component::deserialize_file(engine, &path) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "compiled code does not fit and is made anew");
                None
            }
        }
    }

    /// The bytes of compiled code. None if there is none or it is not what was written.
    pub fn read_code(&self, digest: &ComponentDigest) -> Option<Vec<u8>> {
        let written = fs::read_to_string(self.seal_path(digest)).ok()?;
        let (_, code_digest) = written.split_once('\n')?;
        let code = fs::read(self.code_path(digest)).ok()?;
        (ComponentDigest::of(&code).0 == code_digest).then_some(code)
    }

    /// Writes compiled code, durably before it gets its name, and seals it.
    pub fn store(&self, digest: &ComponentDigest, code: &[u8]) -> io::Result<()> {
        self.make_room();
        let path = self.code_path(digest);
        write_atomically(&path, code)?;
        let seal = Seal::of(&fs::metadata(&path)?);
        let sealed = format!("{}\n{}", seal.line(), ComponentDigest::of(code).0);
        write_atomically(&self.seal_path(digest), sealed.as_bytes())
    }

    /// Removes the oldest code where there is too much. Whoever has it mapped keeps it.
    fn make_room(&self) {
        let Ok(entries) = fs::read_dir(&self.code) else { return };
        let mut code: Vec<_> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        if code.len() < CACHE_ENTRIES_MAX {
            return;
        }
        code.sort();
        for (_, path) in code.iter().take(code.len() + 1 - CACHE_ENTRIES_MAX) {
            let _ = fs::remove_file(path);
            let _ = fs::remove_file(path.with_extension("seal"));
        }
    }
}

fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The name is durable once the folder is; losing it costs a compilation.
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Makes sure that a folder exists, belongs to this user and can be written by nobody else.
#[cfg(unix)]
fn own_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the folder belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn own_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file written twice within one tick of the file system's clock looks the same both times.
    #[test]
    fn only_a_settled_file_is_noted() {
        let seal =
            Seal { len: 1, modified_ns: 1_000_000_000, changed_ns: 2_000_000_000, inode: 1, device: 1 };
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        assert!(!seal.settled_before(at(1_500)));
        assert!(!seal.settled_before(at(2_050)));
        assert!(seal.settled_before(at(2_100)));

        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { code: folder.path().into(), notes: folder.path().into(), engine: "e".into() };
        let path = folder.path().join("component");
        fs::write(&path, "fresh").unwrap();
        let (_, digest) = Cache::read(Some(&cache), &path).unwrap();
        assert_eq!(cache.noted_digest(&path), None, "just written");
        let old = SystemTime::now() - Duration::from_secs(60);
        let seal = Seal::of(&fs::metadata(&path).unwrap());
        assert!(!seal.settled_before(old));
        cache.note_digest(&path, &seal, &digest).unwrap();
        assert_eq!(cache.noted_digest(&path), Some(digest));
        fs::write(&path, "other contents").unwrap();
        assert_eq!(cache.noted_digest(&path), None, "changed");
    }
}
