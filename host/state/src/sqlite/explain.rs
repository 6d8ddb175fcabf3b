//! What went wrong with the file, and the next step.

use std::path::Path;

use rapidbyte_core::ports::StateError;
use rusqlite::ErrorCode;

pub(super) fn explain_io(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            format!("{error}; make the folder writable, or name another place in `state.path`")
        }
        std::io::ErrorKind::StorageFull => {
            format!("{error}; free some space and run again: what was committed before is safe")
        }
        _ => error.to_string(),
    }
}

pub(super) fn unavailable(path: &Path, message: impl Into<String>) -> StateError {
    StateError::Unavailable { location: path.display().to_string(), message: message.into() }
}

/// What SQLite said, with the next step.
pub(super) fn sqlite_error(path: &Path, error: &rusqlite::Error) -> StateError {
    let next = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "the file is damaged or not a state database; move it away and run again: transactional destinations know \
             from their receipts where to go on"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "make the file and its folder writable, or name another place in `state.path`"
        }
        Some(ErrorCode::DiskFull) => "free some space and run again: what was committed before is safe",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process kept it locked for too long; find out which one and run again"
        }
        Some(ErrorCode::SystemIoFailure) => {
            "the disk is full or fails; make room or check it, then run again"
        }
        _ => return unavailable(path, error.to_string()),
    };
    unavailable(path, format!("{error}; {next}"))
}
