//! A disk that can be full: a file system of its own in memory, gone when dropped. Mounting needs root, or `sudo` that asks
//! nothing.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::getuid;

const FILLER: &str = "filler";

pub struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    pub fn new(bytes: u64) -> Self {
        let folder =
            tempfile::Builder::new().prefix("rapidbyte-disk-").tempdir().expect("a temporary folder");
        let options = format!("size={bytes},mode=0777");
        let mount = ["mount", "-t", "tmpfs", "-o", &options, "tmpfs"].map(OsStr::new);
        let mounted = privileged(mount.into_iter().chain([folder.path().as_os_str()]));
        assert!(
            mounted,
            "this test mounts a file system in memory: run it as root, or let `sudo -n mount` work"
        );
        Disk { folder }
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Leaves room for so many bytes.
    pub fn fill(&self, but: u64) {
        self.free();
        let mut filler = File::create(self.path(FILLER)).expect("the filler");
        let block = vec![1; 1 << 16];
        let mut filled = 0u64;
        let error = loop {
            match filler.write(&block) {
                Ok(written) => filled += written as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        filler.set_len(filled.saturating_sub(but)).expect("the filler shrinks");
    }

    /// Makes room again.
    pub fn free(&self) {
        let removed = std::fs::remove_file(self.path(FILLER));
        assert!(removed.is_ok() || !self.path(FILLER).exists(), "{removed:?}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let umount = ["umount", "--lazy"].map(OsStr::new);
        privileged(umount.into_iter().chain([self.folder.path().as_os_str()]));
    }
}

fn privileged<'a>(words: impl Iterator<Item = &'a OsStr>) -> bool {
    let sudo: &[&str] = if getuid().is_root() { &[] } else { &["sudo", "-n"] };
    let mut words = sudo.iter().map(OsStr::new).chain(words);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).status().is_ok_and(|status| status.success())
}
