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
/// How much sooner an error of backoff class `fast` is tried again, and how much later one of class `slow`.
pub const BACKOFF_CLASS_FACTOR: u64 = 4;
/// The longest that a server's own `retry-after` is waited for: beyond an hour the next scheduled run is the better retry.
pub const RETRY_AFTER_MS_MAX: u64 = 3_600_000;
/// Records before a rate of refused ones means anything.
pub const BREAKER_RECORDS_MIN: u64 = 100;
/// Values shown of the records that broke a rule.
pub const SAMPLES_MAX: usize = 3;
/// Bytes of one such value.
pub const SAMPLE_BYTES_MAX: usize = 120;
/// Records that are refused in one call: their reasons are held in memory.
pub const DEAD_LETTERS_AT_ONCE_MAX: usize = 65_536;
/// A connector that holds a stream's moment open does nothing else.
pub const PARTITIONS_MAX: u32 = 1024;
/// A stream that nobody asked to split is split only as far as each part still takes records of this size, in bytes: what a
/// single stream takes in half of the default memory.
pub const SPLIT_RECORD_BYTES_MIN: u64 = 8 * 1024 * 1024;
