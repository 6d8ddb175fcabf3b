//! `rapidbyte key generate`: a key pair in two files.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rapidbyte_host::HostError;
use rapidbyte_host::signing::PrivateKey;
use serde::Serialize;

use super::{PASSWORD_VARIABLE, ask_password, no_password};
use crate::asking;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::report::Failure;
use crate::settings::Settings;

#[derive(Serialize)]
struct KeyJson {
    private_key: String,
    public_key: String,
    fingerprint: String,
}

pub fn generate(output: &Path, settings: &Settings, printer: &Printer) -> Result<Exit> {
    let (private, public) = (with_suffix(output, ".key"), with_suffix(output, ".pub"));
    for path in [&private, &public] {
        if path.exists() {
            return Err(taken(path).into());
        }
    }
    let password = match (settings.host.environment)(PASSWORD_VARIABLE) {
        Some(password) => password,
        None if asking::can_ask() => {
            let password = ask_password("password for the new key: ")?;
            if ask_password("the same again: ")? != password {
                return Err(Failure::usage("password_differs", "these were two different passwords").into());
            }
            password
        }
        None => return Err(no_password().into()),
    };
    settings.host.redactor.register(&password);
    if password.is_empty() {
        printer.warning("the password is empty: whoever has the file can sign with it");
    }
    let unusable =
        |error: rapidbyte_host::signing::KeyError| Failure::environment(error.code(), error.to_string());
    let key = PrivateKey::generate().map_err(unusable)?;
    write_new(&private, &key.to_pem(&password).map_err(unusable)?, true)?;
    write_new(&public, &key.public().to_pem(), false)?;
    let fingerprint = key.public().fingerprint();
    printer.status(
        Tone::Good,
        "Generated",
        format_args!(
            "{} (keep it and its password) and {} (for everybody)",
            private.display(),
            public.display()
        ),
    );
    printer.status(Tone::Good, "Fingerprint", &fingerprint);
    printer.data(public.display());
    printer.json(&KeyJson {
        private_key: private.display().to_string(),
        public_key: public.display().to_string(),
        fingerprint,
    });
    Ok(Exit::Success)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn taken(path: &Path) -> Failure {
    Failure::usage(
        "key_exists",
        format!("`{}` is there already, and no key is ever overwritten", path.display()),
    )
    .hint("name another with `--output`")
}

/// Writes a file that is not there yet; a secret one for its owner's eyes alone.
fn write_new(path: &Path, text: &str, secret: bool) -> Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = secret;
    let write = || -> io::Result<()> {
        let mut file = options.open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    match write() {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken(path).into()),
        Err(source) => Err(HostError::Write { path: path.to_owned(), source }.into()),
    }
}
