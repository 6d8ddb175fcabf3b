//! Commits of what was never handed over, state that was not granted.

use rapidbyte_core::channel::{Bounds, channel};

use super::*;

#[test]
pub fn commits_as_source() {
    let (_, outcome) = fails_with(Rig::source("commits_as_source"), "wrong_role");
    assert!(outcome.services.checkpoints.lock().unwrap().is_empty());
}

#[test]
pub fn commits_unknown() {
    let (_, outcome) = fails_with(Rig::destination("commits_unknown"), "unknown_checkpoint");
    assert!(outcome.services.checkpoints.lock().unwrap().is_empty());
}

#[test]
pub fn commits_twice() {
    let (_, outcome) = fails_with(Rig::destination("commits_twice"), "unknown_checkpoint");
    assert_eq!(outcome.services.checkpoints.lock().unwrap().len(), 1);
}

#[test]
pub fn late_receipt() {
    fails_with(Rig::destination("late_receipt"), "receipt_too_late");
}

#[test]
pub fn huge_cursor() {
    fails_with(Rig::source("huge_cursor"), "cursor_too_large");
}

/// No error, but the source learns that nobody listens.
#[test]
pub fn never_reads() {
    let (sender, receiver) = channel(Bounds { bytes_max: 1, frames_max: 1 });
    let mut rig = Rig::destination("never_reads");
    rig.inlet = Some(receiver);
    succeeds(rig);
    assert!(sender.try_send(rapidbyte_core::channel::Event::Frame(frame(1, 3))).is_err());
}

#[test]
pub fn state_without_grant() {
    for function in ["get", "put", "swap"] {
        let mut rig = Rig::source("state_without_grant").text(function);
        rig.grants.functions.state_read = false;
        rig.grants.functions.state_write = function == "swap";
        let (error, _) = fails_with(rig, "function_not_granted");
        assert_eq!(error.category, ErrorCategory::Permission);
    }
}

#[test]
pub fn state_too_large() {
    fails_with(Rig::source("state_too_large"), "state_value_too_large");
    fails_with(Rig::source("state_too_large").text("key"), "state_key_too_large");
}

#[test]
pub fn misplaced_dead_letters() {
    let rig = Rig::source("misplaced_dead_letters").frames([frame_hex(1, 3)]);
    let (_, outcome) = fails_with(rig, "dead_letters_misplaced");
    assert!(outcome.services.letters.lock().unwrap().is_empty());
}
