//! The native backend: the in-memory test host behind [`crate::Context`], tokio's sockets behind
//! [`crate::HostTcpStream`]. It exists so that connector logic can be tested and measured without a sandbox.

mod channel;
mod host;
mod tcp;
mod tls;

pub(crate) use channel::{Channel, Inlet, Outlet};
pub(crate) use host::{Emitted, Host};
pub use host::{LogLine, Metric};
pub(crate) use tcp::TcpStream;
