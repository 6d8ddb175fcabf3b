//! What `build.rs` packed, and the names that are filled in where it is unpacked.

use std::path::Path;

use crate::Error;

include!(concat!(env!("OUT_DIR"), "/packed.rs"));

/// The SDK's files with their paths.
pub fn sdk() -> &'static [(&'static str, &'static str)] {
    SDK
}

/// Tells builds of the same version apart.
pub fn digest() -> &'static str {
    DIGEST
}

/// The versions that templates and SDK were tested with.
pub fn lock() -> &'static str {
    LOCK
}

/// What stands for what in a template.
pub struct Names<'a> {
    pub name: &'a str,
    /// The SDK's folder.
    pub sdk: &'a str,
}

impl Names<'_> {
    fn fill(&self, text: &str) -> String {
        text.replace("@name@", self.name)
            .replace("@crate@", &self.name.replace('-', "_"))
            .replace("@version@", env!("CARGO_PKG_VERSION"))
            .replace("@rust_version@", RUST_VERSION)
            .replace("@sdk@", self.sdk)
    }
}

/// Writes the files of a template to a folder and answers their paths.
pub fn write_template(template: &str, names: &Names<'_>, folder: &Path) -> Result<Vec<String>, Error> {
    let mut written = Vec::new();
    for (path, text) in TEMPLATES {
        let Some(path) = path.strip_prefix(template).and_then(|path| path.strip_prefix('/')) else {
            continue;
        };
        // Hidden files are not hidden among the templates.
        let path: Vec<String> = path
            .split('/')
            .map(|part| part.strip_prefix("dot-").map_or(part.to_owned(), |rest| format!(".{rest}")))
            .collect();
        let path = path.join("/");
        write(&folder.join(&path), &names.fill(text))?;
        written.push(path);
    }
    Ok(written)
}

/// Writes a file, with the folders above it.
pub fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in() {
        let names = Names { name: "source-two-words", sdk: "/sdk" };
        for (path, text) in TEMPLATES {
            let filled = names.fill(text);
            let left =
                filled.split('@').skip(1).step_by(2).find(|word| {
                    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
                });
            assert_eq!(left, None, "{path}");
        }
        assert_eq!(names.fill("@crate@ @name@"), "source_two_words source-two-words");
    }

    #[test]
    fn what_is_unpacked_stands_alone() {
        let manifests: Vec<_> = SDK.iter().filter(|(path, _)| path.ends_with("Cargo.toml")).collect();
        assert_eq!(manifests.len(), 2);
        for (path, text) in manifests {
            assert!(!text.contains("workspace = true") && !text.contains("wasmtime"), "{path}:\n{text}");
        }
        assert!(SDK.iter().any(|(path, _)| *path == "wit/rapidbyte-connector.wit"));
        for name in ["arrow-array", "hyper", "serde_json", "tempfile", "wit-bindgen"] {
            assert!(LOCK.contains(&format!("name = \"{name}\"\n")), "`{name}` is not locked");
        }
        assert!(!LOCK.contains("\"wasmtime\"") && !LOCK.contains("\"clap\""));
    }
}
