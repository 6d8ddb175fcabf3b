//! `rapidbyte connector publish` and `rapidbyte connector yank`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use rapidbyte_host::packages::reference::{PackageName, RegistryRef};
use rapidbyte_host::wasm::NativeTarget;
use semver::Version;

use super::registry::registry_ref;
use super::{key_value, native_target};

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Builds, runs the whole conformance suite, packs, signs and pushes; the version becomes visible when everything is there. Refused \
are versions that exist, sources that are not committed, connectors that do not build, break a clause, or reach what their \
manifest does not declare. A push that breaks off is gone on with by the next. What is pushed and how to sign in CI: \
docs/publishing.md.

Examples:
  rapidbyte connector publish --registry registry.example/acme --key acme.key
  rapidbyte connector publish --registry dir:./registry --dry-run
  rapidbyte connector publish connectors/source-jira --registry acme --key acme.key --target x86_64-unknown-linux-gnu
  rapidbyte connector publish --registry acme --key acme.key --replay fixtures/cassette")]
pub struct PublishArgs {
    /// The connector's project, or a built component
    #[arg(value_name = "PATH", default_value = ".")]
    pub path: PathBuf,
    /// Where to: an alias, a server with a path on it, or a folder (`dir:PATH`)
    #[arg(long, value_name = "REGISTRY", value_parser = registry_ref)]
    pub registry: RegistryRef,
    /// Sign with this private key; COSIGN_PASSWORD opens it, or its password is asked for
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Show what would be pushed, and push nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Compile for this platform, too (may be given several times)
    #[arg(long = "target", value_name = "TRIPLE", value_parser = native_target())]
    pub targets: Vec<NativeTarget>,
    /// Publish although sources are not committed
    #[arg(long)]
    pub allow_dirty: bool,
    /// A key of the connector's config for the suite, over the fixture's (may be given several times)
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
    pub config: Vec<(String, String)>,
    /// A fixture in place of the `conformance.yaml` beside the connector
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Serve the suite from this recording instead of the network
    #[arg(long, value_name = "DIR")]
    pub replay: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The version stays where it is, and whoever has it locked keeps it; nobody chooses it any more who goes by the registry's index. The \
index must be there (`rapidbyte registry index`) and is signed again.

Examples:
  rapidbyte connector yank source-jira@1.2.0 --registry acme --key acme.key
  rapidbyte connector yank source-jira@1.2.0 --registry acme --key acme.key --undo")]
pub struct YankArgs {
    /// The version
    #[arg(value_name = "NAME@VERSION", value_parser = exact_version)]
    pub version: (PackageName, Version),
    /// Where it is
    #[arg(long, value_name = "REGISTRY", value_parser = registry_ref)]
    pub registry: RegistryRef,
    /// Sign the index with this private key; COSIGN_PASSWORD opens it, or its password is asked for
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Take it back
    #[arg(long)]
    pub undo: bool,
}

/// `source-jira@1.2.0`
fn exact_version(text: &str) -> Result<(PackageName, Version), String> {
    let (name, version) = text.split_once('@').ok_or("write `NAME@VERSION`")?;
    let name = name.parse::<PackageName>().map_err(|bad| format!("{}; {}", bad.why, bad.hint))?;
    let version = version.parse().map_err(|_| format!("`{version}` is no version, such as `1.2.0`"))?;
    Ok((name, version))
}
