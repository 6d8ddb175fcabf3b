//! Sockets of a guest: counted, named in errors, and let go.

use rapidbyte_core::ConnectorError;
use rapidbyte_core::limits::SOCKETS_MAX;
use wasmtime::component::Resource;

use super::Fault;
use crate::bindings::host_io;
use crate::network::{self, Socket, TlsOptions, Verification};
use crate::store::HostState;

pub async fn connect(
    state: &mut HostState,
    host: &str,
    port: u16,
    timeout_ms: u32,
) -> Result<Resource<Socket>, Fault> {
    if state.held.sockets >= SOCKETS_MAX {
        return Err(ConnectorError::internal(
            "too_many_sockets",
            format!("{SOCKETS_MAX} connections are open already, close some first"),
        )
        .into());
    }
    state.activity.touch();
    state.activity.wait();
    let socket = network::connect(&state.grants, state.resolver.as_ref(), host, port, timeout_ms).await?;
    let handle = state.table.push(socket)?;
    state.held.sockets += 1;
    state.activity.touch();
    Ok(handle)
}

/// Takes a socket out of the guest's hands; dropping it closes it.
pub fn take(state: &mut HostState, socket: Resource<Socket>) -> wasmtime::Result<Socket> {
    let rep = socket.rep();
    let socket = state.table.delete(socket)?;
    state.unsent.retain(|unsent| *unsent != rep);
    state.held.sockets -= 1;
    Ok(socket)
}

pub async fn start_tls(
    state: &mut HostState,
    socket: &Resource<Socket>,
    options: host_io::TlsOptions,
) -> Result<host_io::TlsInfo, Fault> {
    let options = TlsOptions {
        server_name: options.server_name,
        verification: match options.verification {
            host_io::TlsVerification::Full => Verification::Full,
            host_io::TlsVerification::Chain => Verification::Chain,
            host_io::TlsVerification::None => Verification::None,
        },
        roots_pem: options.roots_pem,
        alpn: options.alpn,
    };
    state.activity.wait();
    let info = state.table.get_mut(socket)?.start_tls(options).await?;
    state.activity.touch();
    Ok(host_io::TlsInfo { alpn: info.alpn, channel_binding: info.channel_binding })
}

pub async fn read(
    state: &mut HostState,
    socket: &Resource<Socket>,
    bytes_max: u32,
) -> Result<Vec<u8>, Fault> {
    state.activity.wait();
    let bytes = state.table.get_mut(socket)?.read(bytes_max).await?;
    state.activity.touch();
    Ok(bytes)
}

pub fn try_read(
    state: &mut HostState,
    socket: &Resource<Socket>,
    bytes_max: u32,
) -> Result<Option<Vec<u8>>, Fault> {
    let bytes = state.table.get_mut(socket)?.try_read(bytes_max)?;
    if bytes.is_some() {
        state.activity.touch();
    }
    Ok(bytes)
}

pub async fn write(state: &mut HostState, socket: &Resource<Socket>, bytes: &[u8]) -> Result<(), Fault> {
    state.activity.wait();
    state.table.get_mut(socket)?.write(bytes).await?;
    state.activity.touch();
    Ok(())
}

pub fn try_write(state: &mut HostState, socket: &Resource<Socket>, bytes: &[u8]) -> Result<u32, Fault> {
    let connection = state.table.get_mut(socket)?;
    let written = connection.try_write(bytes)?;
    if connection.has_unsent() && !state.unsent.contains(&socket.rep()) {
        state.unsent.push(socket.rep());
    }
    if written > 0 {
        state.activity.touch();
    }
    Ok(written)
}

pub async fn close(state: &mut HostState, socket: Resource<Socket>) -> Result<(), Fault> {
    let socket = take(state, socket).map_err(Fault::Trap)?;
    state.activity.wait();
    socket.close().await?;
    Ok(())
}
