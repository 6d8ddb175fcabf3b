//! Sockets of a guest: counted, named in errors, and let go.

use rapidbyte_core::ConnectorError;
use rapidbyte_core::limits::SOCKETS_MAX;
use wasmtime::component::Resource;

use super::Fault;
use crate::bindings::host_io;
use crate::faults::{Bent, was_reset};
use crate::network::{self, Socket, TlsOptions, Verification};
use crate::store::HostState;

pub async fn connect(
    state: &mut HostState,
    host: &str,
    port: u16,
    timeout_ms: u32,
    bent: Option<Bent>,
) -> Result<Resource<Socket>, Fault> {
    if state.held.sockets >= SOCKETS_MAX {
        return Err(ConnectorError::internal(
            "too_many_sockets",
            format!("{SOCKETS_MAX} connections are open already, close some first"),
        )
        .into());
    }
    state.activity.touch();
    let activity = state.activity.clone();
    activity.wait();
    let _remote = activity.remote();
    let mut socket =
        network::connect(&state.grants, state.network.as_ref(), &state.id, host, port, timeout_ms).await?;
    if bent == Some(Bent::Reset) {
        socket.reset();
        return Err(was_reset().into());
    }
    let handle = state.table.push(socket)?;
    state.held.sockets += 1;
    state.activity.touch();
    Ok(handle)
}

/// Resets the connection where a fault plan wants that.
fn bend(socket: &mut Socket, bent: Option<Bent>) -> Result<(), ConnectorError> {
    if bent != Some(Bent::Reset) {
        return Ok(());
    }
    socket.reset();
    Err(was_reset())
}

/// How many of so many bytes a fault plan lets through.
fn shortened(bytes: usize, bent: Option<Bent>) -> usize {
    match bent {
        Some(Bent::CutShort(bytes_max)) => bytes.min(bytes_max as usize),
        _ => bytes,
    }
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
    bent: Option<Bent>,
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
    let activity = state.activity.clone();
    activity.wait();
    let _remote = activity.remote();
    let connection = state.table.get_mut(socket)?;
    bend(connection, bent)?;
    let info = connection.start_tls(options).await?;
    state.activity.touch();
    Ok(host_io::TlsInfo { alpn: info.alpn, channel_binding: info.channel_binding })
}

pub async fn read(
    state: &mut HostState,
    socket: &Resource<Socket>,
    bytes_max: u32,
    bent: Option<Bent>,
) -> Result<Vec<u8>, Fault> {
    let activity = state.activity.clone();
    activity.wait();
    let _remote = activity.remote();
    let connection = state.table.get_mut(socket)?;
    bend(connection, bent)?;
    let bytes = connection.read(shortened(bytes_max as usize, bent) as u32).await?;
    state.activity.touch();
    Ok(bytes)
}

pub fn try_read(
    state: &mut HostState,
    socket: &Resource<Socket>,
    bytes_max: u32,
    bent: Option<Bent>,
) -> Result<Option<Vec<u8>>, Fault> {
    let connection = state.table.get_mut(socket)?;
    bend(connection, bent)?;
    let bytes = connection.try_read(shortened(bytes_max as usize, bent) as u32)?;
    if bytes.is_some() {
        state.activity.touch();
    }
    Ok(bytes)
}

pub async fn write(
    state: &mut HostState,
    socket: &Resource<Socket>,
    bytes: &[u8],
    bent: Option<Bent>,
) -> Result<(), Fault> {
    let activity = state.activity.clone();
    activity.wait();
    let _remote = activity.remote();
    let connection = state.table.get_mut(socket)?;
    bend(connection, bent)?;
    let length = shortened(bytes.len(), bent);
    connection.write(&bytes[..length]).await?;
    if length < bytes.len() {
        // All or an error is what the contract promises.
        connection.reset();
        return Err(was_reset().into());
    }
    state.activity.touch();
    Ok(())
}

pub fn try_write(
    state: &mut HostState,
    socket: &Resource<Socket>,
    bytes: &[u8],
    bent: Option<Bent>,
) -> Result<u32, Fault> {
    let connection = state.table.get_mut(socket)?;
    bend(connection, bent)?;
    let written = connection.try_write(&bytes[..shortened(bytes.len(), bent)])?;
    if connection.has_unsent() && !state.unsent.contains(&socket.rep()) {
        state.unsent.push(socket.rep());
    }
    if written > 0 {
        state.activity.touch();
    }
    Ok(written)
}

pub async fn close(state: &mut HostState, socket: Resource<Socket>, bent: Option<Bent>) -> Result<(), Fault> {
    let mut socket = take(state, socket).map_err(Fault::Trap)?;
    let activity = state.activity.clone();
    activity.wait();
    let _remote = activity.remote();
    bend(&mut socket, bent)?;
    socket.close().await?;
    Ok(())
}
