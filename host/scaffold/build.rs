//! Packs what a scaffolded project needs into the binary: the sources of the SDK, its macros and the contract, each crate
//! with a manifest that stands without this workspace; the templates; and the versions of dependencies that all of it was
//! tested with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use sha2::{Digest, Sha256};
use toml::{Table, Value};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Crates that are packed.
const CRATES: [&str; 2] = ["sdk", "sdk-macros"];
/// What only this repository's own tests and publishing need.
const LEFT_OUT: [&str; 5] = ["dev-dependencies", "test", "bench", "example", "lints"];

fn main() -> Outcome<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    for watched in ["sdk", "sdk-macros", "wit", "templates", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let workspace = read(&root.join("Cargo.toml"))?;
    let mut sdk: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut needed = BTreeMap::new();
    for name in CRATES {
        let manifest = standalone(read(&root.join(name).join("Cargo.toml"))?, &workspace, name)?;
        needed.insert(format!("rapidbyte-{name}"), dependencies(&manifest));
        sdk.insert(format!("{name}/Cargo.toml"), toml::to_string(&manifest)?.into_bytes());
        collect(&root.join(name).join("src"), &format!("{name}/src"), &mut sdk)?;
    }
    collect(&root.join("wit"), "wit", &mut sdk)?;
    let mut templates = BTreeMap::new();
    collect(&root.join("templates"), "", &mut templates)?;

    // What templates depend on beside the SDK.
    let mut direct: BTreeSet<String> = ["rapidbyte-sdk".to_owned()].into();
    for (path, bytes) in &templates {
        if path.ends_with("Cargo.toml") {
            let table: Table = std::str::from_utf8(bytes)?.parse()?;
            direct.extend(dependencies(&table));
            for extra in table.get("dev-dependencies").and_then(Value::as_table).into_iter().flatten() {
                direct.insert(extra.0.clone());
            }
        }
    }
    let lock = lock(&read(&root.join("Cargo.lock"))?, &needed, direct)?;

    let mut digest = Sha256::new();
    for (path, bytes) in sdk.iter().chain(&templates) {
        digest.update((path.len() as u64).to_le_bytes());
        digest.update(path);
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    }
    digest.update(&lock);
    let digest: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();

    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut code = format!("const DIGEST: &str = {digest:?};\nconst LOCK: &str = {lock:?};\n");
    let rust_version = workspace["workspace"]["package"]["rust-version"].as_str().ok_or("no rust-version")?;
    writeln!(code, "const RUST_VERSION: &str = {rust_version:?};")?;
    for (constant, files) in [("SDK", &sdk), ("TEMPLATES", &templates)] {
        writeln!(code, "const {constant}: &[(&str, &str)] = &[")?;
        for (path, bytes) in files {
            writeln!(code, "    ({path:?}, {:?}),", std::str::from_utf8(bytes)?)?;
        }
        writeln!(code, "];")?;
    }
    fs::write(out.join("packed.rs"), code)?;
    Ok(())
}

fn read(path: &Path) -> Outcome<Table> {
    Ok(fs::read_to_string(path)?.parse()?)
}

/// Every file below a folder, by its path with `/`.
fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a name that is not Unicode")?;
        let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if path.is_dir() {
            collect(&path, &key, files)?;
        } else {
            files.insert(key, fs::read(&path)?);
        }
    }
    Ok(())
}

/// A manifest with what it inherits filled in and without what only this repository needs.
fn standalone(mut manifest: Table, workspace: &Table, folder: &str) -> Outcome<Table> {
    let shared = &workspace["workspace"];
    let package = manifest.get_mut("package").and_then(Value::as_table_mut).ok_or("no [package]")?;
    for (key, value) in package.iter_mut() {
        if value.get("workspace").is_some() {
            *value = shared["package"][key.as_str()].clone();
        }
    }
    for key in LEFT_OUT {
        manifest.remove(key);
    }
    for table in dependency_tables(&mut manifest) {
        for (name, value) in table.iter_mut() {
            if value.get("workspace").is_none() {
                continue;
            }
            let mut full = match &shared["dependencies"][name.as_str()] {
                Value::Table(table) => table.clone(),
                version => Table::from_iter([("version".to_owned(), version.clone())]),
            };
            if let Some(Value::String(path)) = full.get_mut("path") {
                *path = format!("../{path}");
            }
            for (key, own) in value.as_table().into_iter().flatten() {
                match (key.as_str(), full.get_mut(key)) {
                    ("workspace", _) => {}
                    ("features", Some(Value::Array(features))) => {
                        features.extend(own.as_array().into_iter().flatten().cloned());
                    }
                    _ => drop(full.insert(key.clone(), own.clone())),
                }
            }
            *value = Value::Table(full);
        }
    }
    // On its own, whatever lies above the folder it is unpacked to.
    manifest.insert("workspace".to_owned(), Value::Table(Table::new()));
    if toml::to_string(&manifest)?.contains("workspace = true") {
        return Err(format!("`{folder}/Cargo.toml` inherits something that is not filled in").into());
    }
    Ok(manifest)
}

fn dependency_tables(manifest: &mut Table) -> Vec<&mut Table> {
    let mut tables = Vec::new();
    for (key, value) in manifest.iter_mut() {
        match (key.as_str(), value) {
            ("dependencies" | "build-dependencies", Value::Table(table)) => tables.push(table),
            ("target", Value::Table(targets)) => {
                for (_, target) in targets.iter_mut() {
                    tables.extend(target.get_mut("dependencies").and_then(Value::as_table_mut));
                }
            }
            _ => {}
        }
    }
    tables
}

fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let mut manifest = manifest.clone();
    dependency_tables(&mut manifest).iter().flat_map(|table| table.keys().cloned()).collect()
}

/// The part of the workspace's lock file that a project can need. Cargo adds the project's own packages and drops what it
/// does not use.
fn lock(
    whole: &Table,
    ours: &BTreeMap<String, BTreeSet<String>>,
    direct: BTreeSet<String>,
) -> Outcome<String> {
    let packages = whole["package"].as_array().ok_or("a lock file without packages")?;
    let mut waiting: Vec<String> = direct.into_iter().collect();
    let mut kept = BTreeSet::new();
    while let Some(wanted) = waiting.pop() {
        // `name`, or `name version` where several versions are locked.
        let (name, version) = wanted.split_once(' ').map_or((wanted.as_str(), None), |(n, v)| (n, Some(v)));
        for (index, package) in packages.iter().enumerate() {
            let matches = package["name"].as_str() == Some(name)
                && version.is_none_or(|version| package["version"].as_str() == Some(version));
            if !matches || !kept.insert(index) {
                continue;
            }
            let all = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
            let all = all.filter_map(Value::as_str).map(str::to_owned);
            match ours.get(name) {
                // Those of its tests are locked beside its own.
                Some(needed) => {
                    waiting.extend(all.filter(|it| needed.contains(it.split(' ').next().unwrap_or_default())))
                }
                None => waiting.extend(all),
            }
        }
    }
    let mut lock = Table::new();
    lock.insert("version".to_owned(), whole["version"].clone());
    // Only what comes from a registry: packages by path are for Cargo to add.
    let kept = packages
        .iter()
        .enumerate()
        .filter(|(index, package)| kept.contains(index) && package.get("source").is_some());
    lock.insert("package".to_owned(), Value::Array(kept.map(|(_, package)| package.clone()).collect()));
    Ok(toml::to_string(&lock)?)
}
