//! The source: most hostile behaviours, because a source has every way out.

wit_bindgen::generate!({ world: "rapidbyte-source", path: "../../../../wit" });

mod common;
#[path = "source/honest.rs"]
mod honest;
#[path = "source/hostile.rs"]
mod hostile;

use common::*;
use exports::rapidbyte::connector::source::Guest;

struct Source;

macro_rules! dispatch_hostile {
    ($($name:ident),+ $(,)?) => {
        fn hostile_by_name(name: &str, request: &RunRequest) -> Option<Outcome> {
            match name {
                $(stringify!($name) => Some(hostile::$name(request)),)+
                _ => None,
            }
        }
    };
}
macro_rules! dispatch_honest {
    ($($name:ident),+ $(,)?) => {
        fn honest_by_name(name: &str, request: &RunRequest) -> Option<Outcome> {
            match name {
                $(stringify!($name) => Some(honest::$name(request)),)+
                _ => None,
            }
        }
    };
}
rapidbyte_test_guests::hostile_sources!(dispatch_hostile);
rapidbyte_test_guests::honest_sources!(dispatch_honest);

impl Guest for Source {
    fn open(config_json: String) -> Result<Opened, ConnectorError> {
        let config = parse(&config_json)?;
        match config.behaviour.as_str() {
            "endless_loop_in_open" => hostile::spin(),
            "emit_in_open" => return Err(hostile::emit_frame(&config.frame(0)).unwrap_err()),
            "wrong_role_info" => return Ok(opened(1, ConnectorRole::Destination, "4.0.0")),
            "wrong_version" => return Ok(opened(1, ConnectorRole::Source, "3.9.0")),
            _ => {}
        }
        let session = if config.behaviour == "forged_session" { u64::MAX } else { 1 };
        Ok(opened(session, ConnectorRole::Source, "4.0.0"))
    }

    fn validate(_session: u64) -> Result<ValidationReport, ConnectorError> {
        Ok(report())
    }

    fn run(session: u64, request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let config = config();
        if (config.behaviour == "forged_session") != (session == u64::MAX) {
            return Err(error("other_session", "this is not the session that was opened"));
        }
        hostile_by_name(&config.behaviour, &request)
            .or_else(|| honest_by_name(&config.behaviour, &request))
            .unwrap_or_else(|| Err(error("unknown_behaviour", &config.behaviour)))
    }

    fn close(_session: u64) -> Result<(), ConnectorError> {
        let config = config();
        if config.behaviour == "emit_in_close" {
            return hostile::emit_frame(&config.frame(0));
        }
        Ok(())
    }
}

export!(Source);
