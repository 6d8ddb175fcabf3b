//! The engine's own limits; those it shares with other rooms are in `rapidbyte_core::limits`.

/// Frames that one link between two connectors can hold at worst: one held by the connector that made it, one before the
/// pump, one in it, one in the channel and one more admitted just below the channel's bound, one held by the connector
/// that takes it.
pub const FRAMES_PER_LINK: u64 = 6;
/// The part of a task's memory that frames get where the pipeline does not say how large they are: a quarter. Guests
/// need a record several times (read buffer, columns, frame), so they get the rest.
pub const FRAMES_SHARE: u64 = 4;
/// The largest part of a task's memory that frames ever get: a half.
pub const FRAMES_SHARE_MAX: u64 = 2;
/// How different a name may be and still be suggested, in edits.
pub const SUGGESTION_EDITS_MAX: usize = 3;
/// Names listed in a message before the rest is counted.
pub const NAMES_SHOWN_MAX: usize = 8;
/// Warnings kept of one stream; the rest is counted.
pub const WARNINGS_MAX: usize = 64;
