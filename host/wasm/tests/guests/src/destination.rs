//! The destination: what may be committed, and when.

wit_bindgen::generate!({ world: "rapidbyte-destination", path: "../../../../wit" });

mod common;

use common::*;
use exports::rapidbyte::connector::destination::Guest;

struct Destination;

macro_rules! dispatch {
    ($($name:ident),+ $(,)?) => {
        fn by_name(name: &str) -> Option<Outcome> {
            match name {
                $(stringify!($name) => Some(hostile::$name()),)+
                _ => None,
            }
        }
    };
}
macro_rules! dispatch_honest {
    ($($name:ident),+ $(,)?) => {
        fn honest_by_name(name: &str) -> Option<Outcome> {
            match name {
                $(stringify!($name) => Some(honest::$name()),)+
                _ => None,
            }
        }
    };
}
rapidbyte_test_guests::hostile_destinations!(dispatch);
rapidbyte_test_guests::honest_destinations!(dispatch_honest);

fn done(records: u64, batches: u64) -> Outcome {
    Ok(summary(ConnectorRole::Destination, records, batches))
}

mod hostile {
    use super::*;

    pub fn commits_unknown() -> Outcome {
        batch_next()?;
        checkpoint(CheckpointKind::Destination, 4711, int_cursor(1))?;
        done(0, 0)
    }

    pub fn commits_twice() -> Outcome {
        loop {
            if let BatchEvent::Checkpoint(event) = batch_next()? {
                checkpoint(CheckpointKind::Destination, event.id, event.cursor.clone())?;
                checkpoint(CheckpointKind::Destination, event.id, event.cursor)?;
            }
        }
    }

    pub fn never_reads() -> Outcome {
        done(0, 0)
    }

    pub fn late_receipt() -> Outcome {
        batch_next()?;
        checkpoint(CheckpointKind::Receipt, 1, int_cursor(1))?;
        done(0, 0)
    }

    pub fn emits_as_destination() -> Outcome {
        batch_emit(Frame::from_ipc(&config().frame(0))?)?;
        done(0, 0)
    }
}

mod honest {
    use super::*;

    fn take(event: BatchEvent, records: &mut u64, batches: &mut u64) -> Result<bool, ConnectorError> {
        match event {
            BatchEvent::Frame(frame) => {
                *records += frame.records();
                *batches += 1;
                assert_eq!(frame.to_ipc().len() as u64, frame.bytes());
            }
            BatchEvent::Checkpoint(event) => {
                checkpoint(CheckpointKind::Destination, event.id, event.cursor)?;
            }
            BatchEvent::End => return Ok(false),
        }
        Ok(true)
    }

    pub fn take_all() -> Outcome {
        let (mut records, mut batches) = (0, 0);
        while take(batch_next()?, &mut records, &mut batches)? {}
        done(records, batches)
    }

    pub fn try_take_all() -> Outcome {
        let (mut records, mut batches) = (0, 0);
        loop {
            match batch_try_next()? {
                Some(event) => {
                    if !take(event, &mut records, &mut batches)? {
                        return done(records, batches);
                    }
                }
                None => assert_eq!(wait(&[Interest::BatchNext], None), [0]),
            }
        }
    }

    pub fn to_json() -> Outcome {
        loop {
            match batch_next()? {
                BatchEvent::Frame(frame) => say(frame.to_json()?),
                BatchEvent::Checkpoint(_) => {}
                BatchEvent::End => return done(0, 0),
            }
        }
    }

    pub fn receipt() -> Outcome {
        let reply = checkpoint(CheckpointKind::Receipt, 5, int_cursor(50))?;
        say(format!("{reply:?}"));
        take_all()
    }
}

impl Guest for Destination {
    fn open(config_json: String) -> Result<Opened, ConnectorError> {
        parse(&config_json)?;
        Ok(opened(1, ConnectorRole::Destination, "4.0.0"))
    }

    fn validate(_session: u64) -> Result<ValidationReport, ConnectorError> {
        Ok(report())
    }

    fn run(_session: u64, _request: RunRequest) -> Result<RunSummary, ConnectorError> {
        let name = config().behaviour;
        by_name(&name)
            .or_else(|| honest_by_name(&name))
            .unwrap_or_else(|| Err(error("unknown_behaviour", &name)))
    }

    fn close(_session: u64) -> Result<(), ConnectorError> {
        Ok(())
    }
}

export!(Destination);
