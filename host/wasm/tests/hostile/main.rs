//! What hostile and careless guests may try, and how each ends: with a typed error, and with a host that runs the next
//! guest. One test for each behaviour; the list at the end makes one that is missing a compile error.

#[path = "../harness/mod.rs"]
mod harness;

mod answers;
mod bounds;
mod checkpoints;
mod frames;
mod machine;
mod network;
mod words;

use std::sync::Arc;
use std::time::Duration;

use harness::*;
use rapidbyte_core::*;

/// Long enough for a loaded machine to get a guest going, short enough for a test to wait for it.
const IDLE: Duration = Duration::from_millis(500);

fn fails_with(rig: Rig, code: &str) -> (ConnectorError, Outcome) {
    let mut ended = None;
    block_on(async { ended = Some(rig.fails().await) });
    let (error, outcome) = ended.unwrap();
    assert_eq!(error.code, code, "{error:?}");
    (error, outcome)
}

fn succeeds(rig: Rig) -> (RunSummary, Outcome) {
    let mut ended = None;
    block_on(async { ended = Some(rig.succeeds().await) });
    ended.unwrap()
}

#[path = "../guests/src/names.rs"]
mod names;

mod list {
    use crate::{hostile_destinations, hostile_sources};

    use super::answers::*;
    use super::bounds::*;
    use super::checkpoints::*;
    use super::frames::*;
    use super::machine::*;
    use super::network::*;
    use super::words::*;

    macro_rules! must_be_tested {
        ($($name:ident),+ $(,)?) => { $(const _: fn() = $name;)+ };
    }
    hostile_sources!(must_be_tested);
    hostile_destinations!(must_be_tested);
}
