//! A source on the bare contract: quick to build, so that what builds and watches connectors can be tested often. Emits
//! nothing and says so.

wit_bindgen::generate!({ world: "rapidbyte-source", path: "wit" });

use exports::rapidbyte::connector::source::Guest;
use rapidbyte::connector::core_types::*;
use rapidbyte::connector::stream_types::{Catalog, RunRequest, RunSummary};

/// What `validate` answers; tests change it.
const GREETING: &str = "hello from the first build";

struct Source;

impl Guest for Source {
    fn open(config_json: String) -> Result<Opened, ConnectorError> {
        // Panics name the file they are in.
        assert!(beside::is_object(&config_json), "the config is an object");
        Ok(Opened {
            session: 1,
            info: OpenInfo {
                connector_id: "source-bare@0.1.0".into(),
                role: ConnectorRole::Source,
                protocol_version: "4.0.0".into(),
                capabilities: Capabilities::FULL_REFRESH,
                default_limits: None,
            },
        })
    }

    fn validate(_session: u64) -> Result<ValidationReport, ConnectorError> {
        Ok(ValidationReport { status: ValidationStatus::Success, message: GREETING.into(), warnings: vec![] })
    }

    fn run(_session: u64, _request: RunRequest) -> Result<RunSummary, ConnectorError> {
        Ok(RunSummary {
            role: ConnectorRole::Source,
            read: None,
            write: None,
            transform: None,
            catalog: Some(Catalog { streams: vec![] }),
            partition_plan: None,
        })
    }

    fn close(_session: u64) -> Result<(), ConnectorError> {
        Ok(())
    }
}

export!(Source);
