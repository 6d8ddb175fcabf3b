//! Changes of the file system below one folder, each durable when it returns. It knows paths and bytes and nothing of what
//! they mean.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rapidbyte_sdk::prelude::*;

/// The granted folder. Paths given to its methods are relative to it.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    pub fn open(root: &str) -> Result<Self, ConnectorError> {
        let root = PathBuf::from(root);
        let metadata = fs::metadata(&root).map_err(|error| failed("open", &root, &error))?;
        if !metadata.is_dir() {
            return Err(ConnectorError::config(
                "path",
                format!("`{}` is a file, not a folder", root.display()),
            ));
        }
        Ok(Disk { root })
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub fn exists(&self, relative: &str) -> Result<bool, ConnectorError> {
        let path = self.path(relative);
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("look at", &path, &error)),
        }
    }

    /// A small file's bytes; none if there is no such file.
    pub fn read(&self, relative: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, ConnectorError> {
        let path = self.path(relative);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let mut bytes = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| failed("read", &path, &error))?;
        if bytes.len() as u64 > bytes_max {
            let message = format!("`{}` has more than {bytes_max} bytes", path.display());
            return Err(ConnectorError::internal("file_too_large", message));
        }
        Ok(Some(bytes))
    }

    /// Names in a folder, sorted; none if there is no such folder.
    pub fn list(&self, relative: &str) -> Result<Vec<String>, ConnectorError> {
        let path = self.path(relative);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", &path, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed("list", &path, &error))?;
            names.extend(entry.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    /// Makes a folder and those above it.
    pub fn create_folder(&self, relative: &str) -> Result<(), ConnectorError> {
        let mut made = String::new();
        for part in relative.split('/') {
            let above = made.clone();
            if !made.is_empty() {
                made.push('/');
            }
            made.push_str(part);
            let path = self.path(&made);
            if fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                continue;
            }
            step().map_err(|error| failed("make", &path, &error))?;
            match fs::create_dir(&path) {
                Ok(()) => {}
                // Another stream may have made it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                Err(error) => return Err(failed("make", &path, &error)),
            }
            self.sync_folder(&above)?;
        }
        Ok(())
    }

    /// A new file to write to, in place of one that an earlier run may have left.
    pub fn create_file(&self, relative: &str) -> Result<File, ConnectorError> {
        let path = self.path(relative);
        step().and_then(|()| File::create(&path)).map_err(|error| failed("create", &path, &error))
    }

    /// Makes a file's bytes durable.
    pub fn sync_file(&self, relative: &str, file: &File) -> Result<(), ConnectorError> {
        step().and_then(|()| file.sync_all()).map_err(|error| failed("sync", &self.path(relative), &error))
    }

    /// Makes the names in a folder durable. The root is the empty path.
    pub fn sync_folder(&self, relative: &str) -> Result<(), ConnectorError> {
        let path = self.path(relative);
        step().map_err(|error| failed("sync", &path, &error))?;
        match File::open(&path).and_then(|folder| folder.sync_all()) {
            Ok(()) => Ok(()),
            // Some file systems keep names without being asked and refuse to be.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) =>
            {
                Ok(())
            }
            Err(error) => Err(failed("sync", &path, &error)),
        }
    }

    /// Gives a file another name, in place of a file of that name. Not durable before its folder is synced.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), ConnectorError> {
        let (from, to) = (self.path(from), self.path(to));
        step().and_then(|()| fs::rename(&from, &to)).map_err(|error| failed("rename to", &to, &error))
    }

    pub fn remove_file(&self, relative: &str) -> Result<(), ConnectorError> {
        let path = self.path(relative);
        match step().and_then(|()| fs::remove_file(&path)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &path, &error)),
        }
    }

    /// A file that has its new bytes or its old ones, whatever happens. The folder must exist.
    pub fn write_atomically(&self, relative: &str, bytes: &[u8]) -> Result<(), ConnectorError> {
        let (folder, name) = split(relative);
        let temporary =
            if folder.is_empty() { format!(".tmp-{name}") } else { format!("{folder}/.tmp-{name}") };
        let mut file = self.create_file(&temporary)?;
        let path = self.path(&temporary);
        step().and_then(|()| file.write_all(bytes)).map_err(|error| failed("write", &path, &error))?;
        self.sync_file(&temporary, &file)?;
        drop(file);
        self.rename(&temporary, relative)?;
        self.sync_folder(folder)
    }

    /// Tries whether a file can be made and removed.
    pub fn probe(&self) -> Result<(), ConnectorError> {
        let name = ".tmp-rapidbyte-probe";
        drop(self.create_file(name)?);
        self.remove_file(name)
    }
}

/// Folder and name of a path; a name alone is in the root.
pub fn split(relative: &str) -> (&str, &str) {
    relative.rsplit_once('/').unwrap_or(("", relative))
}

/// An error of the file system that names the file.
pub fn failed(action: &str, path: &Path, error: &io::Error) -> ConnectorError {
    let message = format!("cannot {action} `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ConnectorError::permission("permission_denied", message)
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ConnectorError::transient_db("storage_full", message).with_backoff(BackoffClass::Slow)
        }
        io::ErrorKind::NotFound => ConnectorError::config("path", message).with_code("file_not_found"),
        // A sandbox does not say why a write failed.
        _ => {
            let hint = "the disk may be full or failing: see to it and run again; what is committed stays";
            ConnectorError::internal("io", message).with_details(serde_json::json!({ "hint": hint }))
        }
    }
}

/// Stands before every change: where a test lets the process die.
#[cfg(not(test))]
fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub use death::{die_after, live, step};

#[cfg(test)]
mod death {
    //! A process that dies at a chosen step, seen from the disk: nothing that was to come happens.

    use std::cell::Cell;
    use std::io;

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// From now on `steps` changes succeed and none after them.
    pub fn die_after(steps: u32) {
        LEFT.set(Some(steps));
    }

    /// A new process. Answers whether the last one died.
    pub fn live() -> bool {
        LEFT.take() == Some(0)
    }

    pub fn step() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("dead")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }
}
