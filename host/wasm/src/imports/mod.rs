//! What the host does when a guest calls, one file for each kind of service; `host_io` is the table of contents in the
//! contract's order. Nothing here trusts what a guest says.

mod batches;
mod host_io;
pub mod http;
mod json;
mod network;
mod state;
mod telemetry;
mod wait;
mod zones;

use rapidbyte_core::{ConnectorError, Frame};
use wasmtime::component::ResourceTableError;

use crate::bindings::core_types;
use crate::store::HostState;

/// How a call of a guest ends other than well.
pub enum Fault {
    /// The guest is told why.
    Refused(Box<ConnectorError>),
    /// The guest is ended: it used a handle that it does not have, or broke a bound that has no error to tell.
    Trap(wasmtime::Error),
}

impl From<ConnectorError> for Fault {
    fn from(error: ConnectorError) -> Self {
        Fault::Refused(Box::new(error))
    }
}

impl From<ResourceTableError> for Fault {
    fn from(error: ResourceTableError) -> Self {
        Fault::Trap(error.into())
    }
}

impl core_types::Host for HostState {
    fn convert_connector_error(&mut self, fault: Fault) -> wasmtime::Result<core_types::ConnectorError> {
        match fault {
            Fault::Refused(error) => Ok((*error).into()),
            Fault::Trap(error) => Err(error),
        }
    }
}

/// A frame in a guest's hands.
pub struct HeldFrame(pub Frame);

/// The name of an import with the role in front, as `Services::reached` wants it, without building a string.
macro_rules! point {
    ($state:expr, $import:literal) => {
        match $state.role {
            rapidbyte_core::ConnectorRole::Source => concat!("source.", $import),
            rapidbyte_core::ConnectorRole::Destination => concat!("destination.", $import),
            rapidbyte_core::ConnectorRole::Transform => concat!("transform.", $import),
        }
    };
}
use point;

/// Used by `telemetry` for dead letters and by `batches`.
fn wrong_role(doing: &str) -> ConnectorError {
    ConnectorError::permission("wrong_role", format!("{doing} does not belong to this role or phase"))
}

/// The records of a frame as newline-delimited JSON objects, as `frame.to-json` of the contract gives them to guests.
pub fn json_lines(frame: &rapidbyte_core::Frame) -> Result<String, rapidbyte_core::ConnectorError> {
    json::from_frame(frame, rapidbyte_core::limits::BATCH_BYTES_MAX)
}
