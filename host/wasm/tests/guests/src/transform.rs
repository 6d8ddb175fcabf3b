//! The transform.

wit_bindgen::generate!({ world: "rapidbyte-transform", path: "../../../../wit" });

mod common;

use common::*;
use exports::rapidbyte::connector::transform::Guest;

struct Transform;

macro_rules! dispatch_honest {
    ($($name:ident),+ $(,)?) => {
        fn by_name(name: &str) -> Option<Outcome> {
            match name {
                $(stringify!($name) => Some($name()),)+
                _ => None,
            }
        }
    };
}
rapidbyte_test_guests::honest_transforms!(dispatch_honest);

fn pass_on() -> Outcome {
    let (mut records, mut batches) = (0, 0);
    loop {
        match batch_next()? {
            BatchEvent::Frame(frame) => {
                records += frame.records();
                batches += 1;
                batch_emit(frame)?;
            }
            BatchEvent::Checkpoint(event) => {
                checkpoint(CheckpointKind::Transform, event.id, int_cursor(0))?;
            }
            BatchEvent::End => {
                say("end");
                return Ok(summary(ConnectorRole::Transform, records, batches));
            }
        }
    }
}

impl Guest for Transform {
    fn open(config_json: String) -> Result<Opened, ConnectorError> {
        parse(&config_json)?;
        Ok(opened(1, ConnectorRole::Transform, "4.0.0"))
    }

    fn validate(_session: u64) -> Result<ValidationReport, ConnectorError> {
        Ok(report())
    }

    fn run(_session: u64, _request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let name = config().behaviour;
        by_name(&name).unwrap_or_else(|| Err(error("unknown_behaviour", &name)))
    }

    fn close(_session: u64) -> Result<(), ConnectorError> {
        Ok(())
    }
}

export!(Transform);
