//! `rapidbyte registry login`: credentials that the registry accepts, kept where Docker keeps them.

use std::io::Read;

use anyhow::{Context, Result};
use rapidbyte_host::install::docker::Kept;
use rapidbyte_host::packages::reference::RegistryRef;
use rapidbyte_host::{Host, HostError};

use crate::asking;
use crate::exit::Exit;
use crate::printer::{Printer, Tone};
use crate::report::Failure;
use crate::runtime;
use crate::settings::Settings;

/// Tokens of cloud registries are a few KB.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

pub fn login(
    host: &Host,
    registry: &RegistryRef,
    username: Option<String>,
    password_stdin: bool,
    settings: &Settings,
    printer: &Printer,
) -> Result<Exit> {
    let registries = &host.installer()?.registries;
    let server = registries.host_of(registry).map_err(HostError::from)?;
    let user = match username {
        Some(user) => user,
        None if asking::can_ask() => asking::line(&format!("user name for {server}: "))?,
        None => {
            return Err(Failure::usage("username_missing", "a login needs a user name")
                .hint("give it with `--username`; there is no terminal to ask on")
                .into());
        }
    };
    let password = match password_stdin {
        true => read_password()?,
        false if asking::can_ask() => {
            rpassword::prompt_password(format!("password for {user} at {server}: ")).context("cannot ask")?
        }
        false => {
            return Err(Failure::usage("password_missing", "a login needs a password")
                .hint("give it on stdin with `--password-stdin`; there is no terminal to ask on")
                .into());
        }
    };
    settings.host.redactor.register(&password);
    let kept = runtime::block_on(registries.log_in(registry, &user, &password))?.map_err(HostError::from)?;
    let place = match &kept {
        Kept::File(path) => {
            printer.warning(format_args!(
                "the password lies in `{}` for whoever reads that; a credential helper (`credsStore`) keeps it better",
                path.display()
            ));
            path.display().to_string()
        }
        Kept::Helper(program) => program.clone(),
    };
    printer.status(Tone::Good, "Logged in", format_args!("{user} at {server}"));
    printer.json(&serde_json::json!({ "registry": server, "user": user, "kept_by": place }));
    Ok(Exit::Success)
}

/// A password from stdin, without the line's end that `echo` adds.
fn read_password() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(PASSWORD_BYTES_MAX)
        .read_to_string(&mut text)
        .context("cannot read stdin")?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password).to_owned();
    match password.is_empty() {
        true => Err(Failure::usage("password_missing", "there is no password on stdin").into()),
        false => Ok(password),
    }
}
