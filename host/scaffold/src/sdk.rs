//! The SDK in the user's folder: `sdk/<version>-<digest>/`, with the two small connectors that example pipelines move data
//! with. A folder of that name is complete and never changes, whoever unpacks it at the same time.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::packed::{self, Names};

/// Puts the SDK of this very binary into `home`, if it is not there already, and answers its folder.
pub fn unpack(home: &Path) -> Result<PathBuf, Error> {
    let versions = home.join("sdk");
    let folder = versions.join(format!("{}-{}", env!("CARGO_PKG_VERSION"), packed::digest()));
    if folder.is_dir() {
        return Ok(folder);
    }
    let failed = |source| Error::Write { path: folder.clone(), source };
    std::fs::create_dir_all(&versions).map_err(failed)?;
    let temporary = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(&versions).map_err(failed)?;
    for (path, text) in packed::sdk() {
        packed::write(&temporary.path().join(path), text)?;
    }
    let sdk = text(&folder)?;
    for (name, template) in [("source-jsonl", "rust/companion"), ("dest-jsonl", "rust/destination")] {
        let companion = temporary.path().join("companions").join(name);
        packed::write_template(template, &Names { name, sdk }, &companion)?;
        packed::write(&companion.join("Cargo.lock"), packed::lock())?;
    }
    match std::fs::rename(temporary.path(), &folder) {
        // Nothing is left to be removed.
        Ok(()) => drop(temporary.keep()),
        // Another process was first, with the same files.
        Err(_) if folder.is_dir() => {}
        Err(source) => return Err(failed(source)),
    }
    Ok(folder)
}

/// A path as it can stand in TOML, YAML and prose.
pub(crate) fn text(path: &Path) -> Result<&str, Error> {
    let odd = |c: char| c.is_control() || matches!(c, '\'' | '"' | '`' | '#' | '|' | '$' | '{' | '@');
    path.to_str().filter(|text| !text.contains(odd)).ok_or_else(|| Error::Path { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_unpack_one() {
        let home = tempfile::tempdir().unwrap();
        let unpacking: Vec<_> = (0..8)
            .map(|_| {
                let home = home.path().to_owned();
                std::thread::spawn(move || unpack(&home).unwrap())
            })
            .collect();
        let folders: Vec<PathBuf> = unpacking.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(folders.iter().all(|folder| *folder == folders[0]));
        let left: Vec<_> = std::fs::read_dir(home.path().join("sdk")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(folders[0].join("sdk/src/lib.rs").is_file());
        assert!(folders[0].join("companions/dest-jsonl/Cargo.toml").is_file());
    }
}
