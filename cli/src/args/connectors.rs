//! `rapidbyte connectors`: the package manager.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use rapidbyte_host::packages::reference::{PackageRef, RegistryRef};

use super::registry::registry_ref;

#[derive(Debug, Subcommand)]
pub enum ConnectorsCommand {
    /// Find connectors in registries
    #[command(after_help = "\
Looks at names and descriptions in the indexes of the registries that the settings name.

Examples:
  rapidbyte connectors search jira
  rapidbyte connectors search \"github issues\" --registry acme
  rapidbyte connectors search postgres --format json | jq '.connectors[].name'")]
    Search {
        /// Words that all must be there
        #[arg(value_name = "TERM", required = true)]
        terms: Vec<String>,
        /// Only this registry
        #[arg(long, value_name = "REGISTRY", value_parser = registry_ref)]
        registry: Option<RegistryRef>,
    },
    /// Install connectors, after showing what they may reach
    Add(AddArgs),
    /// Show what is installed
    #[command(after_help = "\
A `*` marks what the lock of this folder's project has.

Examples:
  rapidbyte connectors list
  rapidbyte connectors list --format json | jq '.connectors[].name'")]
    List,
    /// Show what a connector is and may reach, installed or not
    #[command(after_help = "\
Nothing is downloaded but what describes it.

Examples:
  rapidbyte connectors inspect source-postgres
  rapidbyte connectors inspect acme/source-jira@^1.2")]
    Inspect {
        /// The connector
        #[arg(value_name = "NAME[@VERSION]", value_parser = package_ref)]
        package: PackageRef,
        /// Look at nothing but what is on this machine
        #[arg(long)]
        offline: bool,
    },
    /// Update what is locked, within what is compatible
    Update(UpdateArgs),
    /// Uninstall a connector and take it out of the lock
    #[command(after_help = "\
Without a version, all versions. What they take on the disk is given back by `rapidbyte connectors gc`.

Examples:
  rapidbyte connectors remove source-jira
  rapidbyte connectors remove source-jira@1.2.0")]
    Remove {
        /// The connectors
        #[arg(value_name = "NAME[@VERSION]", required = true, value_parser = package_ref)]
        packages: Vec<PackageRef>,
    },
    /// Hold an installed connector against its digests, its claims, the lock, its registry and its signatures
    #[command(after_help = "\
Examples:
  rapidbyte connectors verify source-jira@1.2.0
  rapidbyte connectors verify source-jira --offline")]
    Verify {
        /// The connector
        #[arg(value_name = "NAME[@VERSION]", value_parser = package_ref)]
        package: PackageRef,
        /// Ask no registry
        #[arg(long)]
        offline: bool,
    },
    /// Verify everything that the lock has, and say what is newer
    #[command(after_help = "\
Ends with 9 if something is not what was agreed to.

Examples:
  rapidbyte connectors audit
  rapidbyte connectors audit --format json | jq '.packages[] | select(.error)'")]
    Audit {
        /// Ask no registry
        #[arg(long)]
        offline: bool,
    },
    /// Compile an installed connector for this machine now, so that its first run need not
    #[command(after_help = "\
Examples:
  rapidbyte connectors compile source-jira")]
    Compile {
        /// The connectors
        #[arg(value_name = "NAME[@VERSION]", required = true, value_parser = package_ref)]
        packages: Vec<PackageRef>,
    },
    /// Run the conformance suite over an installed connector
    #[command(after_help = "\
As `rapidbyte connector test`, for what was built elsewhere. What it is opened with is given with --config or --config-file.

Examples:
  rapidbyte connectors test source-file --config path=data
  rapidbyte connectors test source-jira@1.2.0 --config-file conformance.yaml")]
    Test(TestPackageArgs),
    /// Write connectors to one file, for machines without a network
    #[command(after_help = "\
With their signatures and certificates; `rapidbyte connectors add FILE` installs them elsewhere, judged as if they came from \
their registry. Without names, everything that the lock has.

Examples:
  rapidbyte connectors bundle --output connectors.tar
  rapidbyte connectors bundle source-jira@^1 dest-postgres --output connectors.tar")]
    Bundle {
        /// The connectors
        #[arg(value_name = "NAME[@VERSION]", value_parser = package_ref)]
        packages: Vec<PackageRef>,
        /// The file
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// Say yes to what they may reach, where nobody has yet
        #[arg(long, short)]
        yes: bool,
    },
    /// Remove from the disk what nothing installed needs
    #[command(after_help = "\
Waits for whoever is installing.

Examples:
  rapidbyte connectors gc")]
    Gc,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Shows what each may reach, from its manifest and what its component imports, before the component is downloaded, and installs \
after a yes on the terminal, or with --yes. What is installed is written to `rapidbyte.lock`, by digest: commit it. What the lock \
has already is not asked about again; what would reach further than was agreed to, or is signed by somebody else, stops.

Examples:
  rapidbyte connectors add source-postgres dest-postgres
  rapidbyte connectors add acme/source-jira@^1.2 --yes
  rapidbyte connectors add source-jira@1.2.0 --registry dir:./registry
  rapidbyte connectors add oci://registry.example/acme/source-jira
  rapidbyte connectors add ./connectors.tar        What `connectors bundle` has written, without a network
  rapidbyte connectors add --locked                Everything that the lock has, and nothing else")]
pub struct AddArgs {
    /// Names, with a version (`@1.2.0`), a range (`@^1.2`), a digest (`@sha256:…`) or nothing for the newest; or bundles
    #[arg(value_name = "NAME[@VERSION]|FILE", required_unless_present = "locked", value_parser = addition)]
    pub packages: Vec<Addition>,
    /// Where those that name no registry are
    #[arg(long, value_name = "REGISTRY", value_parser = registry_ref)]
    pub registry: Option<RegistryRef>,
    /// Say yes to what they may reach
    #[arg(long, short)]
    pub yes: bool,
    /// Let them reach further than was agreed to, or be signed by somebody else
    #[arg(long)]
    pub allow_widening: bool,
    /// Refuse what has no certificate of the conformance suite, signed by somebody trusted
    #[arg(long, conflicts_with = "offline")]
    pub require_conformance: bool,
    #[command(flatten)]
    pub packages_from: PackageArgs,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A package that is named without a version stays compatible with what is locked: 1.2.0 becomes 1.9.0, and not 2.0.0. With a \
version or a range, what that says.

Examples:
  rapidbyte connectors update source-jira
  rapidbyte connectors update source-jira@^2
  rapidbyte connectors update --all")]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct UpdateArgs {
    /// The connectors
    #[arg(value_name = "NAME[@VERSION]", group = "which", value_parser = package_ref)]
    pub packages: Vec<PackageRef>,
    /// Everything that the lock has
    #[arg(long, group = "which")]
    pub all: bool,
    /// Say yes to what is new
    #[arg(long, short)]
    pub yes: bool,
    /// Let them reach further than was agreed to, or be signed by somebody else
    #[arg(long)]
    pub allow_widening: bool,
}

/// Something to add.
#[derive(Debug, Clone)]
pub enum Addition {
    Package(PackageRef),
    /// What `connectors bundle` has written.
    Bundle(PathBuf),
}

/// A file is what is written as a path, or ends in `.tar`.
fn addition(text: &str) -> Result<Addition, String> {
    let is_path = ["./", "../", "/"].iter().any(|start| text.starts_with(start)) || text.ends_with(".tar");
    if is_path { Ok(Addition::Bundle(PathBuf::from(text))) } else { package_ref(text).map(Addition::Package) }
}

/// What packages a command may use.
#[derive(Debug, Clone, Copy, Default, ClapArgs)]
#[command(next_help_heading = "Packages (docs/packages.md)")]
pub struct PackageArgs {
    /// Use nothing but what `rapidbyte.lock` has, and leave that as it is
    #[arg(long)]
    pub locked: bool,
    /// Fetch nothing
    #[arg(long)]
    pub offline: bool,
}

#[derive(Debug, ClapArgs)]
pub struct TestPackageArgs {
    /// The connector
    #[arg(value_name = "NAME[@VERSION]", value_parser = package_ref)]
    pub package: PackageRef,
    #[command(flatten)]
    pub trial: super::TrialArgs,
    /// What random choices begin from; every report names it
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub seed: u64,
}

/// Reads a package, with the next step where it is none.
pub fn package_ref(text: &str) -> Result<PackageRef, String> {
    text.parse().map_err(|bad: rapidbyte_host::packages::reference::BadReference| {
        format!("{}; {}", bad.why, bad.hint)
    })
}
