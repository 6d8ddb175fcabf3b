//! `rapidbyte registry serve`: a folder as a registry, until it is told to end.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use rapidbyte_host::registry::RegistryServer;

use crate::exit::Exit;
use crate::interrupt::Signals;
use crate::printer::{Printer, Tone};
use crate::report::Failure;
use crate::runtime;

pub fn serve(folder: &Path, listen: SocketAddr, writable: bool, printer: &Printer) -> Result<Exit> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::environment(
            "registry_folder",
            format!("`{}` is no usable folder: {error}", folder.display()),
        )
    })?;
    if writable && !listen.ip().is_loopback() {
        printer.warning(format_args!(
            "whoever reaches `{listen}` may write to this registry; `--read-only` forbids it"
        ));
    }
    runtime::block_on(async {
        let server = RegistryServer::bind(listen, folder.to_owned(), writable).await.map_err(|error| {
            Failure::environment("address_in_use", format!("cannot listen on `{listen}`: {error}"))
                .hint("name another with `--listen 127.0.0.1:0`, which takes a free port")
        })?;
        let address = server.address().context("there is no address")?;
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let mode = if writable { "" } else { " (read-only)" };
        printer.data(address);
        printer.json(
            &serde_json::json!({ "address": address.to_string(), "folder": folder.display().to_string() }),
        );
        printer.status(
            Tone::Good,
            "Serving",
            format_args!("{} on {address}{mode}; Ctrl-C ends it", folder.display()),
        );
        tokio::select! {
            ended = server.serve() => ended.map(|()| Exit::Success).context("the registry ended"),
            exit = signals.next() => Ok(exit),
        }
    })?
}
