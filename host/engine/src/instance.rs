//! Starting a connector: instance, `open`, and the checks that hold for every role.

use rapidbyte_core::contract::PROTOCOL_VERSION;
use rapidbyte_core::ports::{Instance, InstanceIo};
use rapidbyte_core::{ConnectorError, ConnectorRole, ErrorCategory, OpenInfo};

use crate::spec::Plugged;

/// An opened connector.
pub(crate) struct Opened {
    pub instance: Box<dyn Instance>,
    pub info: OpenInfo,
}

/// Starts and opens a connector.
pub(crate) async fn open(
    plugged: &Plugged,
    role: ConnectorRole,
    io: InstanceIo,
) -> Result<Opened, ConnectorError> {
    let mut instance = plugged.connector.start(io).await?;
    let info = instance.open(&plugged.config_json).await?;
    if info.role != role {
        return Err(ConnectorError::internal(
            "role_mismatch",
            format!("is used as a {role}, but says that it is a {}", info.role),
        ));
    }
    if major(&info.protocol_version) != major(PROTOCOL_VERSION) {
        return Err(ConnectorError::new(
            ErrorCategory::Config,
            "protocol_mismatch",
            format!(
                "was built for contract {}, this engine speaks {PROTOCOL_VERSION}",
                info.protocol_version
            ),
        ));
    }
    Ok(Opened { instance, info })
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}
