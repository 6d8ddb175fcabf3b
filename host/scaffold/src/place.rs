//! Where something new is to stand: a folder that is new or empty, filled beside its place and moved there as a whole.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Error;

/// A folder that is being made.
pub(crate) struct Place {
    folder: PathBuf,
    absolute: PathBuf,
    temporary: TempDir,
}

impl Place {
    /// Refuses a folder that has something in it.
    pub fn new(folder: &Path) -> Result<Self, Error> {
        match folder.read_dir().map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return Err(exists(folder)),
            Err(_) if folder.symlink_metadata().is_ok() => return Err(exists(folder)),
            Err(_) => {}
        }
        let failed = |source| Error::Write { path: folder.to_owned(), source };
        let absolute = std::path::absolute(folder).map_err(failed)?;
        let above = absolute.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(above).map_err(failed)?;
        let temporary = tempfile::Builder::new().prefix(".scaffold-").tempdir_in(above).map_err(failed)?;
        Ok(Place { folder: folder.to_owned(), absolute, temporary })
    }

    /// Where its files are written before it is there.
    pub fn beside(&self) -> PathBuf {
        self.temporary.path().join("new")
    }

    /// Puts it where it is to stand.
    pub fn settle(self) -> Result<(), Error> {
        // An empty folder gives way; one that has got something meanwhile does not.
        match std::fs::remove_dir(&self.absolute) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(exists(&self.folder)),
            _ => {}
        }
        std::fs::rename(self.beside(), &self.absolute)
            .map_err(|source| Error::Write { path: self.folder.clone(), source })
    }
}

fn exists(folder: &Path) -> Error {
    Error::Exists { path: folder.to_owned() }
}
