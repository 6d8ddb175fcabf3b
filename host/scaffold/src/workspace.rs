//! A new workspace: folders for pipelines, connectors and contracts, settings, and an example that runs.

use std::path::{Path, PathBuf};

use crate::place::Place;
use crate::{Error, packed};

/// Path in the workspace, and content.
const FILES: &[(&str, &str)] = &[
    (".gitignore", include_str!("../workspace/gitignore")),
    ("README.md", include_str!("../workspace/README.md")),
    ("connectors/README.md", include_str!("../workspace/connectors/README.md")),
    ("contracts/README.md", include_str!("../workspace/contracts/README.md")),
    ("data/orders.csv", include_str!("../workspace/data/orders.csv")),
    ("pipelines/example.yaml", include_str!("../workspace/pipelines/example.yaml")),
    ("rapidbyte.toml", include_str!("../workspace/rapidbyte.toml")),
];

/// A workspace that was made.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub folder: PathBuf,
    /// Relative to `folder`.
    pub files: Vec<String>,
}

/// Makes a workspace in `folder`, which must be new or empty. `more` are further files for it, by path.
pub fn create(folder: &Path, more: &[(&str, String)]) -> Result<Workspace, Error> {
    let place = Place::new(folder)?;
    let mut files = Vec::new();
    let more = more.iter().map(|(path, text)| (*path, text.as_str()));
    for (path, text) in FILES.iter().copied().chain(more) {
        packed::write(&place.beside().join(path), text)?;
        files.push(path.to_owned());
    }
    files.sort();
    place.settle()?;
    Ok(Workspace { folder: folder.to_owned(), files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_made_once() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("deep/shop");
        let made = create(&folder, &[(".rapidbyte/x.json", "{}".to_owned())]).unwrap();
        assert_eq!(made.files.len(), FILES.len() + 1);
        for file in &made.files {
            assert!(folder.join(file).is_file(), "{file}");
        }
        assert!(matches!(create(&folder, &[]), Err(Error::Exists { .. })));
        // Nothing is left of the attempt.
        assert_eq!(above.path().join("deep").read_dir().unwrap().count(), 1);
        let empty = above.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        create(&empty, &[]).unwrap();
    }
}
