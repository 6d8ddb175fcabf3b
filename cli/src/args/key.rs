//! `rapidbyte key`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key pair to sign connectors with
    #[command(after_help = "\
Writes NAME.key, encrypted under a password, and NAME.pub, which is for everybody. Both are cosign's files: either tool signs and \
verifies with them. The password is asked for on a terminal, or taken from COSIGN_PASSWORD. Nothing is ever overwritten.

Examples:
  rapidbyte key generate                      Writes rapidbyte.key and rapidbyte.pub
  rapidbyte key generate --output keys/acme
  COSIGN_PASSWORD=… rapidbyte key generate --output ci")]
    Generate {
        /// What to call the files, without `.key` and `.pub`
        #[arg(long, value_name = "NAME", default_value = "rapidbyte")]
        output: PathBuf,
    },
}
