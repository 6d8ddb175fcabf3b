//! Building connectors in Python and JavaScript: the project's own tool (`componentize-py` in its `.venv`,
//! `componentize-js` in its `node_modules`) makes a component of the sources and of an entry module written here, which
//! carries the manifest's name and version and `config.schema.json`. What is unchanged is not built again.
//!
//! ```text
//! build/wit/              the contract, as the tools want it
//! build/entry/            the module that is exported
//! build/component.wasm    what the tool made
//! build/inputs            the digest of everything it was made of
//! build/<name>.wasm       the component with its manifest inside
//! ```
//!
//! Refuses to know: what is in the sources, and how packages are installed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rapidbyte_core::ConnectorRole;
use rapidbyte_pipeline::Manifest;
use rapidbyte_pipeline::manifest::MANIFEST_FILE_NAME;
use sha2::{Digest, Sha256};

use super::build::{BuildProgress, write_if_changed};
use crate::error::HostError as Error;

const CONTRACT: &str = include_str!("../../../wit/rapidbyte-connector.wit");
const FILESYSTEM: &str = include_str!("scripted/filesystem.wit");
const COMPONENTIZE_JS: &str = include_str!("scripted/componentize.mjs");
const SCHEMA_FILE: &str = "config.schema.json";
/// Files besides the sources that a component depends on; those that are missing count as empty.
const INPUTS: [&str; 6] = [
    MANIFEST_FILE_NAME,
    SCHEMA_FILE,
    "requirements.txt",
    "pyproject.toml",
    "package.json",
    "package-lock.json",
];

/// A language whose sources are not compiled by Cargo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Python,
    JavaScript,
}

/// What a tool made.
pub struct Made {
    /// The component without its manifest.
    pub component: PathBuf,
    pub config_schema: String,
    /// Where the described component belongs.
    pub out: PathBuf,
    /// Nothing had changed.
    pub fresh: bool,
    /// How long the tool took.
    pub took: Duration,
}

impl Language {
    /// What a connector project is written in, if not in Rust.
    pub fn of(folder: &Path) -> Option<Language> {
        if folder.join("Cargo.toml").is_file() {
            None
        } else if folder.join("pyproject.toml").is_file() {
            Some(Language::Python)
        } else if folder.join("package.json").is_file() {
            Some(Language::JavaScript)
        } else {
            None
        }
    }

    /// The module that is exported: the author's class under the role's name.
    fn entry(self, manifest: &Manifest, schema: &str) -> (&'static str, String) {
        let (id, role) = (quoted(&manifest.id()), manifest.role);
        match self {
            Language::Python => {
                let class = match role {
                    ConnectorRole::Source => "Source",
                    ConnectorRole::Destination => "Destination",
                    ConnectorRole::Transform => "Transform",
                };
                let schema = quoted(schema);
                let text = format!(
                    "import json\n\nfrom connector import Connector\nfrom rapidbyte import guest\n\n\
                     {class} = guest.export(Connector, {id}, json.loads({schema}))\n"
                );
                ("rapidbyte_entry.py", text)
            }
            Language::JavaScript => {
                let text = format!(
                    "import {{ Connector }} from \"../../src/connector.js\";\n\
                     import {{ exported }} from \"../../src/rapidbyte/guest.js\";\n\n\
                     export const {role} = exported(Connector, {id}, {schema});\n"
                );
                ("rapidbyte_entry.js", text)
            }
        }
    }

    /// The files of the contract: the role's world, and for JavaScript the files that it has no other way to.
    fn wit(self, role: ConnectorRole) -> Vec<(&'static str, String)> {
        match self {
            Language::Python => vec![("rapidbyte-connector.wit", CONTRACT.to_owned())],
            Language::JavaScript => {
                let world = format!(
                    "package local:connector;\n\nworld connector {{\n    \
                     include rapidbyte:connector/rapidbyte-{role}@{contract};\n    \
                     import wasi:filesystem/types@0.2.3;\n    import wasi:filesystem/preopens@0.2.3;\n}}\n",
                    contract = rapidbyte_core::PROTOCOL_VERSION
                );
                vec![
                    ("connector.wit", world),
                    ("deps/rapidbyte-connector/rapidbyte-connector.wit", CONTRACT.to_owned()),
                    ("deps/filesystem/filesystem.wit", FILESYSTEM.to_owned()),
                ]
            }
        }
    }
}

/// A string as JSON, Python and JavaScript all write it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Makes the component of a project, if anything has changed since it was made.
pub fn make(
    folder: &Path,
    language: Language,
    manifest: &Manifest,
    progress: &mut dyn BuildProgress,
) -> Result<Made, Error> {
    let folder =
        std::path::absolute(folder).map_err(|source| Error::Read { path: folder.to_owned(), source })?;
    let schema_path = folder.join(SCHEMA_FILE);
    let schema = fs::read_to_string(&schema_path)
        .map_err(|source| Error::Read { path: schema_path.clone(), source })?;
    let schema = serde_json::from_str::<serde_json::Value>(&schema)
        .map_err(|error| Error::BadSchema { path: schema_path, message: error.to_string() })?
        .to_string();
    let tool = Tool::find(&folder, language)?;

    let build = folder.join("build");
    let (entry_name, entry) = language.entry(manifest, &schema);
    let entry_path = build.join("entry").join(entry_name);
    let mut generated = vec![(entry_path.clone(), entry)];
    for (name, text) in language.wit(manifest.role) {
        generated.push((build.join("wit").join(name), text));
    }
    let digest = digest(&folder, &generated, &tool)?;
    let component = build.join("component.wasm");
    let made = Made {
        out: build.join(format!("{}.wasm", manifest.name)),
        component: component.clone(),
        config_schema: schema,
        fresh: false,
        took: Duration::ZERO,
    };
    let stamp = build.join("inputs");
    if component.is_file() && fs::read_to_string(&stamp).is_ok_and(|present| present == digest) {
        return Ok(Made { fresh: true, ..made });
    }

    progress.compiling(&manifest.name, &folder);
    // Until the new component is there, there is none.
    match fs::remove_file(&stamp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::Write { path: stamp, source: error });
        }
        _ => {}
    }
    for (path, text) in &generated {
        write_if_changed(path, text.as_bytes())?;
    }
    let began = Instant::now();
    let output = tool.run(&folder, &build, &entry_path, manifest.role, &component)?;
    let took = began.elapsed();
    if !output.status.success() {
        for text in [&output.stdout, &output.stderr] {
            for line in String::from_utf8_lossy(text).lines() {
                progress.cargo_line(line);
            }
        }
        return Err(Error::Compile { folder });
    }
    write_if_changed(&stamp, digest.as_bytes())?;
    Ok(Made { took, ..made })
}

/// The program that makes components, as the project has it.
struct Tool {
    language: Language,
    /// The program for Python; the package's folder for JavaScript.
    path: PathBuf,
    /// Another version makes another component.
    version: String,
}

impl Tool {
    /// In the project's folder or one above it, as both languages look for packages.
    fn find(folder: &Path, language: Language) -> Result<Tool, Error> {
        let places: &[&str] = match language {
            Language::Python => &[".venv/bin/componentize-py", ".venv/Scripts/componentize-py.exe"],
            Language::JavaScript => &["node_modules/@bytecodealliance/componentize-js"],
        };
        let found = folder
            .ancestors()
            .flat_map(|above| places.iter().map(move |place| above.join(place)))
            .find(|path| path.exists());
        let Some(path) = found else {
            let (tool, install) = match language {
                Language::Python => {
                    ("componentize-py", "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt")
                }
                Language::JavaScript => ("@bytecodealliance/componentize-js", "npm install"),
            };
            return Err(Error::NoComponentizer { tool, install, folder: folder.to_owned() });
        };
        let version = match language {
            Language::Python => {
                let output = Command::new(&path).arg("--version").stdin(Stdio::null()).output();
                let output = output.map_err(|source| Error::NoTool { program: "componentize-py", source })?;
                String::from_utf8_lossy(&output.stdout).into_owned()
            }
            Language::JavaScript => fs::read_to_string(path.join("package.json")).unwrap_or_default(),
        };
        Ok(Tool { language, path, version })
    }

    fn run(
        &self,
        folder: &Path,
        build: &Path,
        entry: &Path,
        role: ConnectorRole,
        out: &Path,
    ) -> Result<Output, Error> {
        let (program, mut command) = match self.language {
            Language::Python => {
                let mut command = Command::new(&self.path);
                command.arg("-d").arg(build.join("wit")).args(["-w", &format!("rapidbyte-{role}")]);
                command.args(["componentize", "rapidbyte_entry", "-p"]).arg(build.join("entry"));
                command.arg("-p").arg(folder.join("src")).arg("-o").arg(out);
                // `.venv/bin/componentize-py` is in `.venv`: packages are looked for there.
                if let Some(venv) = self.path.parent().and_then(Path::parent) {
                    command.env("VIRTUAL_ENV", venv);
                }
                // The order of sets and dicts of an instance is settled when it is made.
                command.env("PYTHONHASHSEED", "0").env("PYTHONDONTWRITEBYTECODE", "1");
                ("componentize-py", command)
            }
            Language::JavaScript => {
                let mut command = Command::new("node");
                command.args(["--input-type=module", "--eval", COMPONENTIZE_JS, "--"]).arg(entry);
                command.arg(build.join("wit")).arg("connector").arg(out);
                ("node", command)
            }
        };
        command.current_dir(folder).stdin(Stdio::null());
        command.output().map_err(|source| Error::NoTool { program, source })
    }
}

/// SHA-256 over everything that a component is made of.
fn digest(folder: &Path, generated: &[(PathBuf, String)], tool: &Tool) -> Result<String, Error> {
    let mut digest = Sha256::new();
    let mut add = |name: &str, bytes: &[u8]| {
        for part in [name.as_bytes(), bytes] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    };
    add("tool", tool.version.as_bytes());
    for (path, text) in generated {
        add(&path.strip_prefix(folder).unwrap_or(path).to_string_lossy(), text.as_bytes());
    }
    for name in INPUTS {
        add(name, &fs::read(folder.join(name)).unwrap_or_default());
    }
    let mut files = Vec::new();
    let sources = folder.join("src");
    collect(&sources, &mut files).map_err(|source| Error::Read { path: sources.clone(), source })?;
    files.sort();
    for file in files {
        let bytes = fs::read(&file).map_err(|source| Error::Read { path: file.clone(), source })?;
        add(&file.strip_prefix(&sources).unwrap_or(&file).to_string_lossy(), &bytes);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Every source file below a folder; not what Python or an editor leaves there.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == "__pycache__" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.path().is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "name: source-a\nversion: 0.1.0\nrole: source\ndescription: A\nlicense: MIT\ntier: community\n\
        wasm: { entrypoint: a.wasm, target: wasm32-wasip2, contract: 4.0.0 }\nlimits: { memory: 64mb, timeout: 1h }\n\
        streams: discovery\nsync_modes: [full_refresh]\n";

    #[test]
    fn a_project_is_of_the_language_whose_file_it_has() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Language::of(folder.path()), None);
        for (file, language) in [
            ("package.json", Some(Language::JavaScript)),
            ("pyproject.toml", Some(Language::Python)),
            // A crate may have either beside it.
            ("Cargo.toml", None),
        ] {
            fs::write(folder.path().join(file), "").unwrap();
            assert_eq!(Language::of(folder.path()), language, "{file}");
        }
    }

    #[test]
    fn the_entry_holds_any_schema() {
        let manifest = Manifest::from_yaml(MANIFEST, "rapidbyte-plugin.yaml").unwrap();
        let schema = serde_json::json!({ "description": "it's \"quoted\" \\ \n ''' 𝄞" }).to_string();
        let (_, python) = Language::Python.entry(&manifest, &schema);
        let literal = python.split("json.loads(").nth(1).unwrap().trim_end().trim_end_matches("))");
        assert_eq!(serde_json::from_str::<String>(literal).unwrap(), schema);
        assert!(python.contains("\nSource = guest.export(Connector, \"source-a@0.1.0\", "), "{python}");
        let (_, script) = Language::JavaScript.entry(&manifest, &schema);
        assert!(script.ends_with(&format!(
            "export const source = exported(Connector, \"source-a@0.1.0\", {schema});\n"
        )));
    }

    #[test]
    fn whatever_a_component_is_made_of_changes_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/connector.py", "a");
        let tool = |version: &str| Tool {
            language: Language::Python,
            path: PathBuf::new(),
            version: version.to_owned(),
        };
        let now = |version: &str| digest(folder.path(), &[], &tool(version)).unwrap();
        let mut seen = vec![now("1")];
        write("src/__pycache__/connector.pyc", "b");
        write("src/.connector.py.swp", "b");
        write("README.md", "b");
        assert_eq!(now("1"), seen[0], "none of these is in the component");
        for (name, text) in [("src/connector.py", "b"), ("src/inner/more.py", ""), ("requirements.txt", "c")]
        {
            write(name, text);
            seen.push(now("1"));
        }
        seen.push(now("2"));
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn a_tool_that_is_not_there_is_named_with_what_installs_it() {
        let folder = tempfile::tempdir().unwrap();
        for (language, install) in [(Language::Python, "pip install"), (Language::JavaScript, "npm install")]
        {
            let error = Tool::find(folder.path(), language).err().unwrap();
            assert!(error.hint().is_some_and(|hint| hint.contains(install)), "{error}");
        }
    }
}
