//! Arguments around workspaces and this machine.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use clap_complete::Shell;

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Makes `pipelines/` with an example, `connectors/`, `contracts/`, `rapidbyte.toml`, a README and what an editor needs. The \
folder is named on stdout. Nothing is ever overwritten.

Examples:
  rapidbyte init shop
  rapidbyte init .                            This folder, if it is empty")]
pub struct InitArgs {
    /// The workspace's folder, new or empty
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  rapidbyte completions bash > ~/.local/share/bash-completion/completions/rapidbyte
  rapidbyte completions zsh > ~/.zfunc/_rapidbyte
  rapidbyte completions fish > ~/.config/fish/completions/rapidbyte.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// How many pipelines of a folder run at once.
#[derive(Debug, Clone, Copy, Default, ClapArgs)]
pub struct SideBySide {
    /// Run the pipelines of a folder side by side [default: `run.parallel` of rapidbyte.toml, else as many as processors]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: Option<Option<u16>>,
}
