//! `rapidbyte registry`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;
use rapidbyte_host::packages::reference::RegistryRef;

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
