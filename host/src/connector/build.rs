//! `rapidbyte connector build`: a project with a manifest becomes one self-describing component.
//!
//! Cargo does the compiling, or the tool of another language (`scripted`), so what is unchanged is not built again. What is added here: the manifest, completed with the
//! config schema that the SDK left in the code, as a custom section of the component; and the proof that manifest and
//! code agree. Refuses to know: how a component is run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cargo_metadata::{Message, Metadata, MetadataCommand};
use rapidbyte_pipeline::Manifest;
use rapidbyte_pipeline::manifest::MANIFEST_FILE_NAME;
use rapidbyte_wasm::component;
use sha2::{Digest, Sha256};

use super::{agreement, names, scripted, section};
use crate::error::HostError as Error;

/// The target every connector is compiled for.
pub const TARGET: &str = "wasm32-wasip2";

/// A built connector.
#[derive(Debug, Clone)]
pub struct BuiltConnector {
    pub manifest: Manifest,
    /// The component with its manifest inside.
    pub component: PathBuf,
    pub size_bytes: u64,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// What manifest and code say differently without being wrong.
    pub warnings: Vec<String>,
    /// Nothing had to be compiled or written.
    pub fresh: bool,
    /// How long Cargo, or another language's own tool, took of the build.
    pub tool_time: Duration,
}

/// What a build says while it goes on.
pub trait BuildProgress {
    /// The wasm target is missing and is being installed with `command`.
    fn installing_target(&mut self, command: &str);
    fn compiling(&mut self, name: &str, folder: &Path);
    /// One line of Cargo's own output, colours included.
    fn cargo_line(&mut self, line: &str);
}

/// Builds the connector project in `folder`; a crate with Cargo's release profile unless `debug` is asked for.
///
/// Each connector is built by its own call of Cargo: building several at once would unify their features, and the
/// same source would give another digest.
pub fn build(folder: &Path, debug: bool, progress: &mut dyn BuildProgress) -> Result<BuiltConnector, Error> {
    let manifest = read_manifest(folder)?;
    if let Some(language) = scripted::Language::of(folder) {
        let made = scripted::make(folder, language, &manifest, progress)?;
        return describe_made(made, manifest, folder);
    }
    let cargo_toml = folder.join("Cargo.toml");
    if !cargo_toml.is_file() {
        return Err(Error::NoCrate { folder: folder.to_owned() });
    }
    ensure_target(folder, progress)?;
    progress.compiling(&manifest.name, folder);

    let Compiled { artifact, fresh, took } = compile(folder, &cargo_toml, debug, progress)?;
    let raw = std::fs::read(&artifact).map_err(|source| Error::Read { path: artifact.clone(), source })?;
    let raw = names::blank_hashes(raw);
    let inspection =
        component::inspect(&raw).map_err(|error| Error::Component { path: artifact.clone(), error })?;
    let manifest_path = folder.join(MANIFEST_FILE_NAME);
    let manifest = agreement::complete(manifest, &inspection, &manifest_path)?;
    let functions = component::host_functions(&raw)
        .map_err(|error| Error::Component { path: artifact.clone(), error })?;
    let warnings = agreement::capabilities(&manifest, &functions, &manifest_path)?;

    let out = artifact.with_file_name("rapidbyte").join(format!("{}.wasm", manifest.name));
    describe(&raw, manifest, out, warnings, (fresh, took))
}

/// Finishes what the tool of another language made.
fn describe_made(made: scripted::Made, manifest: Manifest, folder: &Path) -> Result<BuiltConnector, Error> {
    let artifact = &made.component;
    let broken = |error| Error::Component { path: artifact.clone(), error };
    let raw = std::fs::read(artifact).map_err(|source| Error::Read { path: artifact.clone(), source })?;
    let raw = section::with_config_schema(&raw, &made.config_schema);
    let inspection = component::inspect(&raw).map_err(broken)?;
    let manifest_path = folder.join(MANIFEST_FILE_NAME);
    let manifest = agreement::complete(manifest, &inspection, &manifest_path)?;
    let functions = component::host_functions(&raw).map_err(broken)?;
    let warnings = agreement::capabilities(&manifest, &functions, &manifest_path)?;
    describe(&raw, manifest, made.out, warnings, (made.fresh, made.took))
}

/// Puts the manifest into the component, and that to its place.
fn describe(
    raw: &[u8],
    manifest: Manifest,
    out: PathBuf,
    warnings: Vec<String>,
    (fresh, tool_time): (bool, Duration),
) -> Result<BuiltConnector, Error> {
    let described = section::with_manifest(raw, &manifest.to_json());
    let written = write_if_changed(&out, &described)?;
    Ok(BuiltConnector {
        manifest,
        component: out,
        size_bytes: described.len() as u64,
        digest: Sha256::digest(&described).iter().map(|byte| format!("{byte:02x}")).collect(),
        warnings,
        fresh: fresh && !written,
        tool_time,
    })
}

/// Reads and checks the manifest of a connector crate.
pub fn read_manifest(folder: &Path) -> Result<Manifest, Error> {
    let path = folder.join(MANIFEST_FILE_NAME);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NoManifest { folder: folder.to_owned() });
        }
        Err(source) => return Err(Error::Read { path, source }),
    };
    Manifest::from_yaml(&text, &path.display().to_string()).map_err(Error::Document)
}

/// What Cargo made.
struct Compiled {
    artifact: PathBuf,
    fresh: bool,
    took: Duration,
}

fn compile(
    folder: &Path,
    cargo_toml: &Path,
    debug: bool,
    progress: &mut dyn BuildProgress,
) -> Result<Compiled, Error> {
    let metadata = metadata(cargo_toml)
        .map_err(|error| Error::Cargo { folder: folder.to_owned(), message: error.to_string() })?;
    let cargo_toml = std::fs::canonicalize(cargo_toml)
        .map_err(|source| Error::Read { path: cargo_toml.to_owned(), source })?;
    let package = metadata
        .packages
        .iter()
        .find(|package| std::fs::canonicalize(&package.manifest_path).is_ok_and(|path| path == cargo_toml))
        .ok_or_else(|| Error::NoCrate { folder: folder.to_owned() })?;

    let mut command = cargo(folder, &remapping(&metadata, debug));
    command
        .args(["build", "--target", TARGET, "--message-format", "json-render-diagnostics", "--package"])
        .arg(package.name.as_str());
    if !debug {
        command.arg("--release");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child = command.spawn().map_err(|source| Error::NoTool { program: "cargo", source })?;

    // Cargo's messages are read on another thread, so that neither pipe can fill up and stop it.
    let stdout = child.stdout.take();
    let package_id = package.id.clone();
    let messages = std::thread::spawn(move || {
        let mut found = None;
        for message in
            stdout.into_iter().flat_map(|stdout| Message::parse_stream(BufReader::new(stdout))).flatten()
        {
            if let Message::CompilerArtifact(artifact) = message
                && artifact.package_id == package_id
                && let Some(file) = artifact.filenames.iter().find(|file| file.extension() == Some("wasm"))
            {
                found = Some((file.clone().into_std_path_buf(), artifact.fresh));
            }
        }
        found
    });
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            progress.cargo_line(&line);
        }
    }
    let status = child
        .wait()
        .map_err(|error| Error::Cargo { folder: folder.to_owned(), message: error.to_string() })?;
    if !status.success() {
        return Err(Error::Compile { folder: folder.to_owned() });
    }
    let took = began.elapsed();
    let made = messages.join().ok().flatten();
    let (artifact, fresh) = made.ok_or_else(|| Error::NoComponent { folder: folder.to_owned() })?;
    Ok(Compiled { artifact, fresh, took })
}

/// What cargo knows of the crate and, where they can be resolved without a network, its dependencies.
pub(super) fn metadata(cargo_toml: &Path) -> Result<Metadata, cargo_metadata::Error> {
    let mut command = MetadataCommand::new();
    command.manifest_path(cargo_toml);
    match command
        .clone()
        .other_options(["--offline".to_owned(), format!("--filter-platform={TARGET}")])
        .exec()
    {
        Ok(metadata) => Ok(metadata),
        // Nothing was fetched yet, or the manifest is wrong; the latter is said better without the dependencies.
        Err(_) => command.no_deps().exec(),
    }
}

/// Flags that leave the folders of this machine out of the component, so that the same source gives the same bytes in any
/// folder and nobody's home is published. The workspace's own paths are relative already.
fn remapping(metadata: &Metadata, debug: bool) -> Vec<String> {
    let workspace = metadata.workspace_root.as_std_path();
    // The compiler takes the last that fits: what is inside of another comes behind it.
    let mut from = Vec::new();
    // Only debug information names the workspace's folder. Other flags are the same for all connectors, so that those that
    // share a target folder share what they depend on.
    if debug || asks_for_debug_information(workspace) {
        from.push((workspace.to_owned(), "/connector".to_owned()));
    }
    if let Some(home) = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(default_cargo_home) {
        from.push((home, "/cargo".to_owned()));
    }
    for package in metadata.packages.iter().filter(|package| package.source.is_none()) {
        if let Some(folder) = package.manifest_path.parent()
            && !folder.as_std_path().starts_with(workspace)
        {
            from.push((folder.as_std_path().to_owned(), format!("/{}", package.name)));
        }
    }
    from.push((metadata.target_directory.as_std_path().to_owned(), "/target".to_owned()));
    from.sort_by_key(|(path, _)| path.as_os_str().len());
    from.dedup();
    from.iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect()
}

/// Whether the release profile has debug information, which it has not by itself.
fn asks_for_debug_information(workspace: &Path) -> bool {
    let manifest = std::fs::read_to_string(workspace.join("Cargo.toml")).unwrap_or_default();
    let manifest: Option<toml::Table> = manifest.parse().ok();
    manifest.and_then(|manifest| Some(manifest.get("profile")?.get("release")?.get("debug").is_some()))
        == Some(true)
        || std::env::var_os("CARGO_PROFILE_RELEASE_DEBUG").is_some()
}

fn default_cargo_home() -> Option<PathBuf> {
    Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"))
}

/// `cargo`, as the user would type it in `folder`: without what an outer `cargo run` left in the environment for the
/// crate that it ran.
fn cargo(folder: &Path, remapping: &[String]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(folder);
    // Every engine that runs components has 128-bit vectors; text and validity are checked faster with them. Joined
    // with what the user's own cargo configuration says.
    let flags = std::iter::once("-Ctarget-feature=+simd128".to_owned()).chain(remapping.iter().cloned());
    // A JSON array of strings is a TOML array of strings.
    let flags = serde_json::Value::from(flags.collect::<Vec<_>>());
    command.arg("--config").arg(format!("target.{TARGET}.rustflags={flags}"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_BIN_NAME" {
            command.env_remove(&name);
        }
    }
    command
}

/// Installs the standard library of the wasm target where it is missing and rustup is there to do it.
fn ensure_target(folder: &Path, progress: &mut dyn BuildProgress) -> Result<(), Error> {
    let install = format!("rustup target add {TARGET}");
    let missing = || Error::NoTarget { install: install.clone() };
    let output = Command::new("rustc")
        .current_dir(folder)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|source| Error::NoTool { program: "rustc", source })?;
    let present = output.status.success()
        && Path::new(String::from_utf8_lossy(&output.stdout).trim())
            .read_dir()
            .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok()));
    if present {
        return Ok(());
    }
    progress.installing_target(&install);
    let status = Command::new("rustup")
        .current_dir(folder)
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|_| missing())?;
    if status.success() { Ok(()) } else { Err(missing()) }
}

/// What is built is no secret, as temporary files are.
#[cfg(unix)]
fn readable_by_all<'a, 'b>(builder: &'a mut tempfile::Builder<'b, 'b>) -> &'a mut tempfile::Builder<'b, 'b> {
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all<'a, 'b>(builder: &'a mut tempfile::Builder<'b, 'b>) -> &'a mut tempfile::Builder<'b, 'b> {
    builder
}

/// Writes through a temporary name; leaves an equal file alone, so that caches keyed by its times stay warm.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, Error> {
    if std::fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let write = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = readable_by_all(&mut tempfile::Builder::new()).tempfile_in(folder)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| Error::Write { path: path.to_owned(), source })?;
    Ok(true)
}
