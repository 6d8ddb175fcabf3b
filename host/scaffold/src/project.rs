//! A project made from its template: written beside its place and moved there as a whole.

use std::path::{Path, PathBuf};

use crate::name::{self, Role};
use crate::packed::{self, Names};
use crate::{Error, sdk};

/// What a project is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    Python,
    JavaScript,
}

impl Language {
    /// The name of its templates' folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::Python => "python",
            Language::JavaScript => "js",
        }
    }
}

/// A project that was made.
#[derive(Debug, Clone)]
pub struct Project {
    pub name: String,
    pub role: Role,
    pub language: Language,
    pub folder: PathBuf,
    /// The SDK's folder.
    pub sdk: PathBuf,
    /// Relative to `folder`.
    pub files: Vec<String>,
}

/// Makes a project in `folder`, which must be new or empty, with the SDK in `home`.
pub fn create(
    name: &str,
    role: Option<Role>,
    language: Language,
    folder: &Path,
    home: &Path,
) -> Result<Project, Error> {
    let role = name::check(name, role)?;
    let exists = || Error::Exists { path: folder.to_owned() };
    match folder.read_dir().map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => return Err(exists()),
        Err(_) if folder.symlink_metadata().is_ok() => return Err(exists()),
        Err(_) => {}
    }
    let failed = |source| Error::Write { path: folder.to_owned(), source };
    let absolute = std::path::absolute(folder).map_err(failed)?;
    let above = absolute.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(above).map_err(failed)?;
    let sdk = sdk::unpack(home)?;

    let temporary = tempfile::Builder::new().prefix(".scaffold-").tempdir_in(above).map_err(failed)?;
    let project = temporary.path().join(name);
    let names = Names { name, sdk: sdk::text(&sdk)? };
    let mut files = Vec::new();
    for template in ["common", role.as_str()] {
        let template = format!("{}/{template}", language.as_str());
        files.extend(packed::write_template(&template, &names, &project)?);
    }
    if language == Language::Rust {
        packed::write(&project.join("Cargo.lock"), packed::lock())?;
        files.push("Cargo.lock".to_owned());
    }
    files.sort();
    // An empty folder gives way; one that has got something meanwhile does not.
    match std::fs::remove_dir(&absolute) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(exists()),
        _ => {}
    }
    std::fs::rename(&project, &absolute).map_err(failed)?;
    Ok(Project { name: name.to_owned(), role, language, folder: folder.to_owned(), sdk, files })
}
