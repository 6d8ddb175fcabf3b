//! A connector crate that builds in seconds: the bare contract, one dependency from the registry, one from the folder beside.

use std::path::{Path, PathBuf};

use super::{Project, repository};

const FILES: &[(&str, &str)] = &[
    ("source-bare/Cargo.toml", include_str!("../bare/Cargo.toml")),
    ("source-bare/Cargo.lock", include_str!("../bare/Cargo.lock")),
    ("source-bare/rapidbyte-plugin.yaml", include_str!("../bare/rapidbyte-plugin.yaml")),
    ("source-bare/src/lib.rs", include_str!("../bare/lib.rs")),
    ("beside/Cargo.toml", "[package]\nname = \"beside\"\nversion = \"0.1.0\"\nedition = \"2024\"\n"),
    (
        "beside/src/lib.rs",
        "pub fn is_object(text: &str) -> bool {\n    assert!(!text.is_empty(), \"no text\");\n    \
         text.starts_with('{')\n}\n",
    ),
];

/// Writes the crate and what lies beside it below `folder`; answers where the crate is.
pub fn write_connector(project: &Project, folder: &str) -> PathBuf {
    for (path, text) in FILES {
        project.write(Path::new(folder).join(path), text);
    }
    let wit = repository().join("wit/rapidbyte-connector.wit");
    let wit = std::fs::read(wit).expect("the contract");
    project.write(Path::new(folder).join("source-bare/wit/rapidbyte-connector.wit"), wit);
    project.path(folder).join("source-bare")
}
