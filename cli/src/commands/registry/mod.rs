//! `rapidbyte registry`: where packages come from.

mod add;
mod index;
mod list;
mod login;
mod logout;
mod remove;
mod serve;

use anyhow::Result;
use rapidbyte_host::Host;
use rapidbyte_host::operations::index::IndexOptions;
use rapidbyte_host::packages::reference::RegistryRef;

use crate::args::RegistryCommand;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings::Settings;

pub fn dispatch(
    host: &Host,
    command: RegistryCommand,
    settings: &Settings,
    printer: &Printer,
) -> Result<Exit> {
    match command {
        RegistryCommand::List => list::list(host, printer),
        RegistryCommand::Add { alias, registry, default, ca, plain_http } => {
            let options = add::AddOptions { alias, registry, default, ca, plain_http };
            add::add(options, settings, printer)
        }
        RegistryCommand::Index { registry, key, packages, valid_for, anew } => {
            let options = IndexOptions { registry: from_here(registry), names: packages, valid_for, anew };
            index::index(host, options, key.as_deref(), settings, printer)
        }
        RegistryCommand::Remove { alias } => remove::remove(&alias, settings, printer),
        RegistryCommand::Login { registry, username, password_stdin } => {
            login::login(host, &from_here(registry), username, password_stdin, settings, printer)
        }
        RegistryCommand::Logout { registry } => logout::logout(host, &from_here(registry), printer),
        RegistryCommand::Serve { folder, listen, read_only } => {
            serve::serve(&folder, listen, !read_only, printer)
        }
    }
}

/// A folder as it is seen from where the command was typed.
pub fn from_here(registry: RegistryRef) -> RegistryRef {
    match registry {
        RegistryRef::Dir(path) => RegistryRef::Dir(std::path::absolute(&path).unwrap_or(path)),
        other => other,
    }
}
