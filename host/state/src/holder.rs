//! Who holds a claim, and whether that process still lives.
//!
//! A process that claims anything locks a file of its own, `holders/<id>.lock`, for as long as it lives; the operating
//! system frees the lock when the process ends, however it ends. A claim names the id of its holder. So a claim is dead
//! exactly when its holder's file can be locked, or is gone. No clock, no heartbeat, no process id that may be reused.
//!
//! A file gets its final name only when it is locked, so whoever finds `<id>.lock` unlocked knows that its owner is dead.
//! Refuses to know: what is claimed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::limits::HOLDER_ATTEMPTS_MAX;

const LOCKED_SUFFIX: &str = ".lock";
const NEW_SUFFIX: &str = ".new";

/// This process as a holder of claims. Dropping it lets go of all of them.
#[derive(Debug)]
pub struct Holder {
    id: String,
    path: PathBuf,
    /// Keeps the lock.
    file: Option<File>,
}

impl Holder {
    /// Becomes a holder in `folder`, and removes the files of dead ones.
    pub fn enter(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        remove_dead(folder);
        for _ in 0..HOLDER_ATTEMPTS_MAX {
            let id = new_id();
            let new = folder.join(format!("{id}{NEW_SUFFIX}"));
            let path = folder.join(format!("{id}{LOCKED_SUFFIX}"));
            let file = OpenOptions::new().write(true).create_new(true).open(&new)?;
            match file.try_lock() {
                Ok(()) => {}
                // Another process took it for litter and is about to remove it.
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => {
                    let _ = std::fs::remove_file(&new);
                    return Err(error);
                }
            }
            match std::fs::rename(&new, &path) {
                Ok(()) => return Ok(Holder { id, path, file: Some(file) }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let _ = std::fs::remove_file(&new);
                    return Err(error);
                }
            }
        }
        Err(io::Error::other(format!("could not make a holder file in {HOLDER_ATTEMPTS_MAX} attempts")))
    }

    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Removed while still locked, so nobody can find it unlocked and alive.
        let _ = std::fs::remove_file(&self.path);
        self.file = None;
    }
}

/// Whether the process behind `id` lives.
pub fn is_alive(folder: &Path, id: &str) -> io::Result<bool> {
    // An id comes from the database; one that is not of our making is not looked for on the disk.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Ok(false);
    }
    is_locked(&folder.join(format!("{id}{LOCKED_SUFFIX}")))
}

/// For messages: which process this is.
pub fn describe_this_process() -> String {
    format!("process {}", std::process::id())
}

fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes the files of dead holders. What cannot be removed is left: a later claim judges it again.
fn remove_dead(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.ends_with(LOCKED_SUFFIX) && !name.ends_with(NEW_SUFFIX) {
            continue;
        }
        let Ok(file) = OpenOptions::new().write(true).open(entry.path()) else { continue };
        // Removed under the lock: a process that has just made this file and not locked it yet will find it gone.
        if file.try_lock().is_ok() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Unique among all processes that ever share a folder: `create_new` would refuse a repetition anyway.
fn new_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let random = {
        use std::hash::{BuildHasher, Hasher};
        std::hash::RandomState::new().build_hasher().finish()
    };
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{nanos:x}-{:x}-{random:016x}{count:x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_holder_lives_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let holder = Holder::enter(folder.path()).unwrap();
        assert!(is_alive(folder.path(), holder.id()).unwrap());
        let id = holder.id().to_owned();
        drop(holder);
        assert!(!is_alive(folder.path(), &id).unwrap());
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn files_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("dead-1.lock"), "").unwrap();
        std::fs::write(folder.path().join("dead-2.new"), "").unwrap();
        std::fs::write(folder.path().join("someone's notes.txt"), "").unwrap();
        let first = Holder::enter(folder.path()).unwrap();
        let second = Holder::enter(folder.path()).unwrap();
        assert_ne!(first.id(), second.id());
        assert!(is_alive(folder.path(), first.id()).unwrap());
        assert!(is_alive(folder.path(), second.id()).unwrap());
        assert_eq!(files(folder.path()), 3, "two holders and the notes");
    }

    #[test]
    fn many_at_once_never_take_each_other_for_dead() {
        let folder = tempfile::tempdir().unwrap();
        let holders: Vec<Holder> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| (0..20).map(|_| Holder::enter(folder.path()).unwrap()).collect::<Vec<_>>())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        for holder in &holders {
            assert!(is_alive(folder.path(), holder.id()).unwrap(), "{}", holder.id());
        }
    }

    #[test]
    fn an_id_that_is_a_path_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_alive(folder.path(), "../../etc/passwd").unwrap());
        assert!(!is_alive(folder.path(), "").unwrap());
    }
}
