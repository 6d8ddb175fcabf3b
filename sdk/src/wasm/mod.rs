//! The backend inside a component: bindings, the executor that owns every wait, sockets over it, and the exports that
//! `#[connector]` wires. Nothing outside this module sees a WIT type.

pub mod bindings;
mod convert;
mod executor;
pub mod export;
mod host;
mod reactor;
mod tcp;

pub(crate) use host::Host;
pub(crate) use tcp::TcpStream;
