//! A project made from its template: written beside its place and moved there as a whole.

use std::path::{Path, PathBuf};

use crate::name::{self, Role};
use crate::packed::{self, Names};
use crate::place::Place;
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
    let place = Place::new(folder)?;
    let sdk = sdk::unpack(home)?;

    let project = place.beside();
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
    place.settle()?;
    Ok(Project { name: name.to_owned(), role, language, folder: folder.to_owned(), sdk, files })
}
