//! `rapidbyte key`: keys to sign connectors with.

pub mod generate;

use std::path::Path;

use anyhow::{Context, Result};
use rapidbyte_host::signing::{KeyError, PrivateKey};

use crate::asking;
use crate::report::Failure;
use crate::settings::Settings;

/// As cosign calls it.
pub const PASSWORD_VARIABLE: &str = "COSIGN_PASSWORD";
/// A key has less than one KB.
const KEY_BYTES_MAX: u64 = 16 << 10;

/// Reads a private key, and opens it with the password of the environment or of whoever sits there.
pub fn read(path: &Path, settings: &Settings) -> Result<PrivateKey> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::environment("key_file", format!("cannot read the key `{}`: {error}", path.display()))
            .hint("`rapidbyte key generate` makes one")
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if size > KEY_BYTES_MAX {
        return Err(unreadable(&format_args!("it has {size} bytes")).into());
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    let password = match (settings.host.environment)(PASSWORD_VARIABLE) {
        Some(password) => password,
        None if asking::can_ask() => ask_password(&format!("password of {}: ", path.display()))?,
        None => return Err(no_password().into()),
    };
    settings.host.redactor.register(&password);
    PrivateKey::from_pem(&text, &password).map_err(|error| refuse(path, &error).into())
}

/// Asks without showing what is typed.
fn ask_password(question: &str) -> Result<String> {
    rpassword::prompt_password(question).context("cannot ask")
}

/// Nobody is there to be asked for a password.
fn no_password() -> Failure {
    Failure::usage("password_missing", "a private key needs its password")
        .hint(format!("set {PASSWORD_VARIABLE}; there is no terminal to ask on"))
}

fn refuse(path: &Path, error: &KeyError) -> Failure {
    let failure = Failure::environment(error.code(), format!("`{}`: {error}", path.display()));
    match error {
        KeyError::Password => failure.hint(format!("check {PASSWORD_VARIABLE}, or type it again")),
        _ => failure,
    }
}
