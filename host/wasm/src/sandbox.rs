//! What a guest has of WASI: granted variables and folders, clocks, random numbers, HTTP to granted endpoints, and nothing
//! else. Sockets are linked, because language runtimes import them, and refuse everything: the way out is host-io.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rapidbyte_core::ConnectorError;
use rapidbyte_core::grants::Grants;
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtxView, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::{Deterministic, WasiRandom};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};
use wasmtime_wasi_io::bindings::wasi::io;

use crate::limits::{RANDOM_BYTES_MAX, STDIO_LINE_BYTES_MAX, STDIO_WRITE_BYTES_MAX};
use crate::report::Reporter;
use crate::store::HostState;

/// The WASI interfaces a component may import, all of version 0.2.
pub const INTERFACES: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Builds the context of one instance.
/// `random` is repeated instead of real random numbers.
pub fn context(
    grants: &Grants,
    reporter: &Arc<Reporter>,
    random: Option<Vec<u8>>,
) -> Result<WasiCtx, ConnectorError> {
    let mut builder = WasiCtxBuilder::new();
    if let Some(bytes) = random.filter(|bytes| !bytes.is_empty()) {
        let seed = bytes.iter().take(16).fold(0, |seed, byte| (seed << 8) | u128::from(*byte));
        builder.secure_random(Deterministic::new(bytes.clone()));
        builder.insecure_random(Deterministic::new(bytes));
        builder.insecure_random_seed(seed);
    }
    builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    builder.max_random_size(RANDOM_BYTES_MAX);
    builder.envs(&grants.env);
    for folder in &grants.folders {
        let perms = if folder.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        let failed = |cause: &dyn std::fmt::Display| {
            ConnectorError::new(
                rapidbyte_core::ErrorCategory::Config,
                "folder_not_usable",
                format!("the granted folder `{}` cannot be opened: {cause}", folder.path.display()),
            )
        };
        let path = guest_path(&folder.path).ok_or_else(|| failed(&"its path is not valid Unicode"))?;
        builder.preopened_dir(&folder.path, path, perms).map_err(|error| failed(&error.root_cause()))?;
    }
    builder.stdout(Output(reporter.clone())).stderr(Output(reporter.clone()));
    Ok(builder.build())
}

fn guest_path(path: &Path) -> Option<&str> {
    path.to_str()
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Reading and writing files counts as being busy; asking for the time does not.
fn busy_files(state: &mut HostState) -> WasiFilesystemCtxView<'_> {
    state.activity.touch();
    state.filesystem()
}

fn busy_streams(state: &mut HostState) -> &mut ResourceTable {
    state.activity.touch();
    &mut state.table
}

/// Links [`INTERFACES`].
pub fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    type T = HostState;
    let l = linker;
    io::error::add_to_linker::<T, Io>(l, |state| &mut state.table)?;
    io::poll::add_to_linker::<T, Io>(l, |state| &mut state.table)?;
    io::streams::add_to_linker::<T, Io>(l, busy_streams)?;
    filesystem::types::add_to_linker::<T, WasiFilesystem>(l, busy_files)?;
    filesystem::preopens::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
    clocks::wall_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
    clocks::monotonic_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
    random::random::add_to_linker::<T, WasiRandom>(l, |state| state.wasi.random())?;
    random::insecure::add_to_linker::<T, WasiRandom>(l, |state| state.wasi.random())?;
    random::insecure_seed::add_to_linker::<T, WasiRandom>(l, |state| state.wasi.random())?;
    cli::exit::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::environment::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
    http::types::add_to_linker::<T, WasiHttp>(l, &Default::default(), T::http)?;
    http::outgoing_handler::add_to_linker::<T, WasiHttp>(l, T::http)?;
    sockets::network::add_to_linker::<T, WasiSockets>(l, &Default::default(), T::sockets)?;
    sockets::instance_network::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
    sockets::tcp::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
    sockets::udp::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
    sockets::udp_create_socket::add_to_linker::<T, WasiSockets>(l, T::sockets)?;
    Ok(())
}

/// Standard output and error: each line becomes a debug log line.
struct Output(Arc<Reporter>);

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for it, which is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Lines { reporter: self.0.clone(), line: Vec::new() })
    }
}

/// Splits what is written into lines.
struct Lines {
    reporter: Arc<Reporter>,
    line: Vec<u8>,
}

impl Lines {
    fn end_line(&mut self) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.reporter.output_line(&String::from_utf8_lossy(&line));
        }
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.line.len() < STDIO_LINE_BYTES_MAX {
                self.line.push(byte);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(STDIO_WRITE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end_line();
    }
}
