//! What crosses between [`crate::Context`] and its backend, besides the public records.

use arrow_buffer::Buffer;

use crate::types::Checkpoint;

/// Who reports a checkpoint, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckpointKind {
    Source,
    Transform,
    Destination,
    Receipt,
}

/// The host's answer to a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckpointReply {
    Accepted,
    Resume,
    Restart,
}

/// What comes next, not yet decoded.
#[derive(Debug, Clone)]
pub(crate) enum RawEvent {
    Frame(Buffer),
    Checkpoint(Checkpoint),
    End,
}
