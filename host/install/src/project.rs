//! Which `rapidbyte.lock` a folder goes by, and changing it while others do: the file is read, changed and replaced by one
//! process at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rapidbyte_packages::digest::Digest;
use rapidbyte_packages::lock::{LOCK_FILE_NAME, Lock, LockError};

/// Marks a workspace; its lock lies beside it.
const WORKSPACE_FILE: &str = "rapidbyte.toml";

/// A project, as far as its lock goes.
#[derive(Debug, Clone)]
pub struct Project {
    path: PathBuf,
    /// What writers hold meanwhile; not beside the lock, where it would be committed.
    guard: PathBuf,
}

impl Project {
    /// The one that `folder` belongs to: the nearest folder above with a lock or a workspace in it, else `folder` itself.
    /// `guards` is a folder of the user's for what writers hold.
    pub fn of(folder: &Path, guards: &Path) -> Self {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let marked =
            |folder: &&Path| folder.join(LOCK_FILE_NAME).is_file() || folder.join(WORKSPACE_FILE).is_file();
        let root = folder.ancestors().find(marked).unwrap_or(&folder);
        let path = root.join(LOCK_FILE_NAME);
        let guard = guards.join(Digest::of(path.as_os_str().as_encoded_bytes()).hex());
        Project { path, guard }
    }

    /// Its lock file, which may not be there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn read(&self) -> Result<Lock, LockError> {
        Lock::read(&self.path)
    }

    /// Changes the lock as it is now, which need not be what was read before.
    pub fn change<T>(&self, change: impl FnOnce(&mut Lock) -> T) -> Result<T, LockError> {
        let hold = || {
            if let Some(folder) = self.guard.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = File::options().create(true).truncate(false).write(true).open(&self.guard)?;
            file.lock()?;
            Ok(file)
        };
        // Let go of when it is closed, also by a death.
        let _held = hold().map_err(|source| LockError::Io { path: self.guard.clone(), source })?;
        let mut lock = self.read()?;
        let result = change(&mut lock);
        lock.write(&self.path)?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_lock_or_workspace_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let deep = root.join("work/pipelines");
        fs::create_dir_all(&deep).unwrap();
        let lock_of = |from: &Path| Project::of(from, &root.join("guards")).path().to_owned();
        assert_eq!(lock_of(&deep), deep.join(LOCK_FILE_NAME));
        fs::write(root.join("work").join(WORKSPACE_FILE), "").unwrap();
        assert_eq!(lock_of(&deep), root.join("work").join(LOCK_FILE_NAME));
        fs::write(deep.join(LOCK_FILE_NAME), "version = 1\n").unwrap();
        assert_eq!(lock_of(&deep), deep.join(LOCK_FILE_NAME));
    }
}
