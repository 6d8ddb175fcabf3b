//! A connector's own state, where the manifest asks for it.

use rapidbyte_core::limits::{STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX};
use rapidbyte_core::{ConnectorError, StateScope};

use super::Fault;
use crate::bindings::host_io;
use crate::store::HostState;

fn scope(scope: host_io::StateScope) -> StateScope {
    match scope {
        host_io::StateScope::Pipeline => StateScope::Pipeline,
        host_io::StateScope::Stream => StateScope::Stream,
        host_io::StateScope::ConnectorInstance => StateScope::ConnectorInstance,
    }
}

fn granted(granted: bool, function: &str) -> Result<(), ConnectorError> {
    if granted {
        return Ok(());
    }
    Err(ConnectorError::permission(
        "function_not_granted",
        format!("the manifest does not list `{function}` among its `host_functions`"),
    ))
}

fn key_fits(key: &str) -> Result<(), ConnectorError> {
    if key.len() <= STATE_KEY_BYTES_MAX {
        return Ok(());
    }
    Err(ConnectorError::internal(
        "state_key_too_large",
        format!("a state key of {} bytes exceeds {STATE_KEY_BYTES_MAX}", key.len()),
    ))
}

fn value_fits(value: &[u8]) -> Result<(), ConnectorError> {
    if value.len() <= STATE_VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(ConnectorError::internal(
        "state_value_too_large",
        format!("a state value of {} bytes exceeds {STATE_VALUE_BYTES_MAX}", value.len()),
    ))
}

pub async fn get(
    state: &mut HostState,
    at: host_io::StateScope,
    key: &str,
) -> Result<Option<Vec<u8>>, Fault> {
    granted(state.grants.functions.state_read, "state_read")?;
    key_fits(key)?;
    let value = state.services.state_get(scope(at), key).await?;
    state.activity.touch();
    Ok(value)
}

pub async fn put(
    state: &mut HostState,
    at: host_io::StateScope,
    key: &str,
    value: Vec<u8>,
) -> Result<(), Fault> {
    granted(state.grants.functions.state_write, "state_write")?;
    key_fits(key)?;
    value_fits(&value)?;
    state.services.state_put(scope(at), key, value).await?;
    state.activity.touch();
    Ok(())
}

/// Tells whether `expected` was there, so it takes both rights.
pub async fn compare_and_swap(
    state: &mut HostState,
    at: host_io::StateScope,
    key: &str,
    expected: Option<Vec<u8>>,
    value: Vec<u8>,
) -> Result<bool, Fault> {
    granted(state.grants.functions.state_read, "state_read")?;
    granted(state.grants.functions.state_write, "state_write")?;
    key_fits(key)?;
    value_fits(&value)?;
    let swapped = state.services.state_compare_and_swap(scope(at), key, expected, value).await?;
    state.activity.touch();
    Ok(swapped)
}
