//! `rapidbyte registry`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;
use jiff::SignedDuration;
use rapidbyte_host::packages::reference::{PackageName, RegistryRef};
use rapidbyte_host::pipeline::quantity;

#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Show the registries of the settings
    #[command(after_help = "\
Examples:
  rapidbyte registry list
  rapidbyte registry list --format json | jq '.registries[].url'")]
    List,
    /// Name a registry, in `config.toml`
    #[command(after_help = "\
A registry is a server with a path on it, or a folder (`dir:PATH`). Servers are reached by HTTPS; this machine, and what is added \
with --plain-http, by HTTP. What is there under this name is replaced.

Examples:
  rapidbyte registry add acme registry.example/acme --default
  rapidbyte registry add lab registry.lab.example:5000 --ca lab-ca.pem
  rapidbyte registry add local dir:./registry")]
    Add {
        /// What to call it: `acme`
        alias: String,
        /// `registry.example/acme` or `dir:./registry`
        #[arg(value_name = "REGISTRY", value_parser = registry_ref)]
        registry: RegistryRef,
        /// Packages that name no registry are looked for here
        #[arg(long)]
        default: bool,
        /// Certificates to trust besides the system's, as PEM
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Speak HTTP without encryption to it
        #[arg(long)]
        plain_http: bool,
    },
    /// Make a registry's index anew, for searching and listing
    #[command(after_help = "\
The index says which packages and versions there are, since when, and which were withdrawn. It is an artifact of the registry itself, \
signed like a package, and good for --valid-for: make it anew after publishing, and before it expires. Packages are found where \
the registry lists its repositories, and by the index that is there; others are named with --package.

Examples:
  rapidbyte registry index acme --key acme.key
  rapidbyte registry index registry.example/acme --key acme.key --package source-jira --valid-for 7d
  rapidbyte registry index dir:./registry")]
    Index {
        /// An alias, a server with a path on it, or a folder (`dir:PATH`)
        #[arg(value_name = "REGISTRY", value_parser = registry_ref)]
        registry: RegistryRef,
        /// Sign with this private key; COSIGN_PASSWORD opens it, or its password is asked for
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// A package that is there (may be given several times)
        #[arg(long = "package", value_name = "NAME", value_parser = package_name)]
        packages: Vec<PackageName>,
        /// How long it is good: `7d`, `12h`
        #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration)]
        valid_for: SignedDuration,
        /// Forget what the present index knows of dates and withdrawals
        #[arg(long)]
        anew: bool,
    },
    /// Forget a registry
    #[command(after_help = "\
What was installed from it stays.

Examples:
  rapidbyte registry remove acme")]
    Remove {
        /// What it is called
        alias: String,
    },
    /// Keep credentials for a registry, if it accepts them
    #[command(after_help = "\
They are kept where Docker keeps them: with the program that its `config.json` names (`credHelpers`, `credsStore`), else in that \
file. Whoever has logged in with `docker login` or `skopeo login --compat-auth-file` need not do so again.

Examples:
  rapidbyte registry login acme --username reader
  rapidbyte registry login registry.example:5000 --username reader --password-stdin < token")]
    Login {
        /// An alias or a server
        #[arg(value_name = "REGISTRY", value_parser = registry_ref)]
        registry: RegistryRef,
        /// Who you are to it; asked for on a terminal
        #[arg(long, short, value_name = "NAME")]
        username: Option<String>,
        /// Read the password from stdin
        #[arg(long)]
        password_stdin: bool,
    },
    /// Forget the credentials for a registry
    #[command(after_help = "\
Examples:
  rapidbyte registry logout acme")]
    Logout {
        /// An alias or a server
        #[arg(value_name = "REGISTRY", value_parser = registry_ref)]
        registry: RegistryRef,
    },
    /// Serve a folder as a registry
    #[command(after_help = "\
What it keeps is the folder alone, one OCI image layout for each package, so it survives restarts; `dir:FOLDER` is the same \
registry without a server. It knows no users and no encryption: whoever reaches it may write, unless it is --read-only.

Examples:
  rapidbyte registry serve ./registry
  rapidbyte registry serve ./registry --listen 0.0.0.0:5000 --read-only")]
    Serve {
        /// The folder, made if it is not there
        folder: PathBuf,
        /// Address and port; port 0 takes a free one, which is named on stdout
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
        listen: SocketAddr,
        /// Refuse whatever would change it
        #[arg(long)]
        read_only: bool,
    },
}

/// Reads a registry, with the next step where it is none.
pub fn registry_ref(text: &str) -> Result<RegistryRef, String> {
    text.parse().map_err(|bad: rapidbyte_host::packages::reference::BadReference| {
        format!("{}; {}", bad.why, bad.hint)
    })
}

fn package_name(text: &str) -> Result<PackageName, String> {
    text.parse().map_err(|bad: rapidbyte_host::packages::reference::BadReference| {
        format!("{}; {}", bad.why, bad.hint)
    })
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let ms = quantity::parse_duration_ms(text)?;
    Ok(SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX)))
}
